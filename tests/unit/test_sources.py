"""Images from a folder or an archive; damaged files and paths outside are refused."""

import errno
import gzip
import io
import os
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunescope.data import archives, datasets, pictures, sources
from prunescope.errors import InputError

MNIST = Path(__file__).parents[2].parent / "shared/data/mnist"


def png(value, size=(4, 6), mode="L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value, 0, 255)).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {
    "train/cat/b.png": png(20),
    "train/cat/a.png": png(10),
    "train/ape/c.png": png(30),
    "test/ape/d.png": png(40),
    "test/cat/e.png": png(50),
}


def prepared(data: datasets.Dataset) -> datasets.Prepared:
    """A data set after it was written and read."""
    with tempfile.TemporaryDirectory() as folder:
        datasets.save(f"{folder}/data.h5", data)
        return datasets.load(f"{folder}/data.h5")


def checksum(data: datasets.Dataset) -> str:
    return prepared(data).digest


def declaring(width, height) -> bytes:
    """A PNG of a hundred bytes that declares any size."""

    def part(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + part(b"IDAT", zlib.compress(bytes(99))) + part(b"IEND", b"")


def make(kind: str, files: dict, folder: Path) -> str:
    """Write files as a folder or an archive; return the source that names it."""
    path = folder / ("images" + {"folder": "", "tar": ".tar.gz", "zip": ".zip"}[kind])
    if kind == "folder":
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    elif kind == "tar":
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    return f"imagefolder:{path.name}"


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_folder_and_archives_give_the_same_data_set(kind, tmp_path):
    files = dict(reversed(FILES.items())) | {
        "README": b"not an image",
        "train/cat/notes.txt": b"nor this",
        "train/cat/._a.png": b"nor",
    }
    source = make(kind, files, tmp_path)
    data = sources.fetch("pets", source, str(tmp_path), download=False)
    assert data.classes == ("ape", "cat")
    assert data.train_images.shape == (3, 1, 6, 4) and data.train_images.dtype == np.uint8
    assert data.train_images[:][:, 0, 0, 0].tolist() == [30, 10, 20]
    assert data.train_labels.tolist() == [0, 1, 1] and data.test_labels.tolist() == [0, 1]
    assert sources.find(source, str(tmp_path)).describe() == {
        "shape": [1, 6, 4],
        "classes": 2,
        "train": 3,
        "test": 2,
    }


def test_the_way_images_are_packed_does_not_change_the_checksum(tmp_path):
    checksums = {
        checksum(sources.fetch("x", make(kind, FILES, tmp_path), str(tmp_path), False))
        for kind in ("folder", "tar")
    }
    assert len(checksums) == 1


def test_grey_images_among_coloured_ones_become_coloured(tmp_path):
    source = make("tar", FILES | {"test/cat/f.png": png(60, mode="RGB")}, tmp_path)
    data = sources.fetch("pets", source, str(tmp_path), False)
    assert data.shape == (3, 6, 4)
    assert sources.find(source, str(tmp_path)).describe()["shape"] == [3, 6, 4], "whichever image comes first"
    assert data.test_images[-1:][0, :, 0, 0].tolist() == [60, 0, 255]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (FILES | {"../train/cat/x.png": png(1)}, ["../train/cat/x.png", "outside"]),
        (FILES | {"/train/cat/x.png": png(1)}, ["/train/cat/x.png", "outside"]),
        (FILES | {"train/cat/x.png": png(1, (5, 6))}, ["train/cat/x.png", "6×5", "same size"]),
        (FILES | {"train/cat/x.png": b"broken"}, ["train/cat/x.png", "not a readable image"]),
        (FILES | {"train/cat/x.png": declaring(9000, 9000)}, ["train/cat/x.png", "9000×9000 pixels"]),
        (FILES | {"train/cat/x.png": declaring(2**31 - 1, 2**31 - 1)}, ["train/cat/x.png", "pixels"]),
        (
            FILES | {"train/cat/x.png": b"%!PS-Adobe-3.0 EPSF-3.0\n"},
            ["train/cat/x.png", "not a readable image"],
        ),
        ({"train/cat/x.png": png(1)}, ["no separate test images", "test_fraction: 0.2"]),
        ({"train/x.png": png(1), "test/x.png": png(2)}, ["test/x.png is not in a class folder"]),
        ({"cat/x.png": png(1), "dog/a/x.png": png(2)}, ["dog/a/x.png is not in a class folder"]),
        ({"README": b"nothing"}, ["contains no images", ".jpg"]),
        (FILES | {"test/dog/x.png": png(1)}, ["class 'dog'", "none under train/"]),
        (FILES | {"train/dog/x.png": png(1)}, ["class 'dog'", "none under test/"]),
        (FILES | {"other/train/cat/x.png": png(1)}, ["more than one data set", "other/train"]),
    ],
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_bad_archives_are_refused(files, words, kind, tmp_path):
    with pytest.raises(InputError) as caught:
        sources.fetch("pets", make(kind, files, tmp_path), str(tmp_path), False)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)
    with pytest.raises(InputError) as planned:
        sources.describe(make(kind, files, tmp_path), str(tmp_path))
    assert str(planned.value) == str(caught.value), "known before any job"
    assert [path.name for path in tmp_path.iterdir()] == ["images.tar.gz" if kind == "tar" else "images.zip"]


def test_a_link_in_an_archive_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        member = tarfile.TarInfo("train/cat/x.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        member = zipfile.ZipInfo("train/cat/x.png")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    for name in ("x.tar", "x.zip"):
        with pytest.raises(InputError, match=r"member 'train/cat/x\.png' is a link"):
            sources.fetch("pets", f"imagefolder:{name}", str(tmp_path), False)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_truncated_archive_never_loses_images_silently(kind, tmp_path):
    source = make(kind, FILES, tmp_path)
    path = sources.find(source, str(tmp_path)).path
    whole, intact = path.read_bytes(), checksum(sources.fetch("x", source, str(tmp_path), False))
    refused = 0
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        try:
            assert checksum(sources.fetch("x", source, str(tmp_path), False)) == intact, length
        except InputError:
            refused += 1
    assert refused > 30


def test_an_archive_cut_between_two_members_is_refused(tmp_path):
    source = make("tar", FILES, tmp_path)
    with gzip.open(tmp_path / "images.tar.gz") as file:
        whole = file.read()
    (tmp_path / "cut.tar").write_bytes(
        whole[: 8 * 512]
    )  # each member is one block of header and one of content
    with pytest.raises(InputError, match="damaged archive"):
        sources.fetch("x", source.replace("images.tar.gz", "cut.tar"), str(tmp_path), False)


class Zeros(io.RawIOBase):
    """A file of any number of zeros."""

    def __init__(self, size):
        self.left = size

    def read(self, size=-1):
        size = min(self.left, size)
        self.left -= size
        return bytes(size)


@pytest.mark.parametrize("bomb", ["zip", "tar.gz", "a long name", "attributes"])
def test_a_small_archive_that_unpacks_to_much_is_refused_in_little_memory(bomb, tmp_path):
    """A 3 MB archive that unpacks to 3 GB, under a name that is read."""
    size = 3 * 2**30
    path = tmp_path / ("x.zip" if bomb == "zip" else "x.tar.gz")
    if bomb == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("train/cat/x.png", bytes(2**22))
        declared = struct.pack("<I", 2**22), struct.pack("<I", size)
        path.write_bytes(path.read_bytes().replace(*declared))
    else:
        member = tarfile.TarInfo("train/cat/x.png")
        member.size = size
        member.type = {"a long name": tarfile.GNUTYPE_LONGNAME, "attributes": tarfile.XHDTYPE}.get(bomb, b"0")
        with gzip.open(path, "wb") as file:
            file.write(member.tobuf(tarfile.GNU_FORMAT))
            shutil.copyfileobj(Zeros(2**26), file, 2**20)
    tracemalloc.start()
    with pytest.raises(InputError, match="3,221,225,472 bytes"):
        sources.fetch("pets", f"imagefolder:{path.name}", str(tmp_path), False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**22


def test_a_zip_member_that_declares_less_than_it_holds_is_refused(tmp_path):
    source = make("zip", FILES, tmp_path)
    path, size = tmp_path / "images.zip", len(FILES["train/cat/a.png"])
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", size), struct.pack("<I", size - 9)))
    with pytest.raises(InputError, match="not a readable image"):
        sources.fetch("pets", source, str(tmp_path), False)


def test_a_large_file_in_a_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_FILE", 50)
    with pytest.raises(InputError, match=r"d\.png: this image file has \d+ bytes, more than the allowed 50"):
        sources.fetch("pets", make("folder", FILES, tmp_path), str(tmp_path), False)


def test_limits_are_the_documented_ones_and_the_largest_values_allowed(tmp_path, monkeypatch):
    """A file of 64 MiB with 8192 × 8192 pixels; names in a tar archive have a limit, too."""
    assert archives.LARGEST_FILE == 64 * 2**20 and pictures.MOST_PIXELS == 8192 * 8192
    assert archives.LARGEST_HEADER == 2**20
    name = "train/cat/" + 150 * "x" + ".png"
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        for file, content in (FILES | {name: png(60)}).items():
            member = tarfile.TarInfo(file)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    largest = max(len(content) for content in FILES.values())
    for module, limit, most in (
        (archives, "LARGEST_FILE", largest),
        (pictures, "MOST_PIXELS", 4 * 6),
        (archives, "LARGEST_HEADER", len(name) + 1),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, most)
            sources.fetch("pets", "imagefolder:x.tar", str(tmp_path), False)
            patch.setattr(module, limit, most - 1)
            with pytest.raises(InputError, match=f"more than the allowed {most - 1}|header of {most} bytes"):
                sources.fetch("pets", "imagefolder:x.tar", str(tmp_path), False)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device; set TMPDIR to a folder with more space"),
        (errno.EIO, r"damaged archive \(.*Input/output error"),
    ],
)
def test_a_full_temporary_folder_is_not_a_damaged_archive(number, words, tmp_path, monkeypatch):
    source = make("tar", FILES, tmp_path)

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(shutil, "copyfileobj", fail)
    with pytest.raises(InputError, match=words):
        sources.fetch("pets", source, str(tmp_path), False)


def test_an_encrypted_archive_is_refused(tmp_path):
    source = make("zip", FILES, tmp_path)
    path = tmp_path / "images.zip"
    content = bytearray(path.read_bytes())
    for name in (b"PK\x03\x04", b"PK\x01\x02"):  # bit 0 of each member's flags
        offset = 6 if name == b"PK\x03\x04" else 8
        for start in [match.start() for match in re.finditer(name, content)]:
            content[start + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="encrypted"):
        sources.fetch("pets", source, str(tmp_path), False)


def photo(size, mode="RGB", kind="PNG") -> bytes:
    """An image that changes when it is shifted or rotated."""
    buffer = io.BytesIO()
    pixels = np.add.outer(np.arange(size[1]) * 7, np.arange(size[0]) * 3).astype(np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


MIXED = {
    "cat/a.png": photo((40, 30)),
    "cat/b.jpg": photo((20, 70), kind="JPEG"),
    "cat/c.gif": photo((33, 32), "P", "GIF"),
    "ape/d.png": photo((18, 16), "L"),
    "ape/e.tif": photo((30, 50), "CMYK", "TIFF"),
    "ape/f.png": photo((31, 50), "RGBA"),
    "ape/g.png": photo((90, 30), "1"),
}


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_images_of_any_size_and_mode_are_resized_as_torchvision_does(kind, tmp_path):
    transforms = pytest.importorskip("torchvision.transforms")
    given = {"source": make(kind, MIXED, tmp_path), "resize": 16, "test_fraction": 0.3}
    assert sources.describe(given, str(tmp_path)) == {
        "shape": [3, 16, 16],
        "classes": 2,
        "train": 5,
        "test": 2,
    }
    data = sources.fetch("pets", given, str(tmp_path), False)
    assert data.shape == (3, 16, 16) and data.classes == ("ape", "cat")
    assert data.source == f"{given['source']}, resize 16, test_fraction 0.3"
    reference = transforms.Compose([transforms.Resize(16), transforms.CenterCrop(16)])
    expected = []
    for name in sorted(MIXED):
        image = Image.open(io.BytesIO(MIXED[name]))
        grey = image.mode in ("1", "L")
        pixels = np.asarray(reference(image.convert("L" if grey else "RGB")))
        expected.append(np.broadcast_to(pixels, (3, 16, 16)) if grey else pixels.transpose(2, 0, 1))
    found = [*np.asarray(data.train_images), *np.asarray(data.test_images)]
    assert sorted(image.tobytes() for image in found) == sorted(image.tobytes() for image in expected)


@pytest.mark.parametrize("split", ["train/", ""])
def test_messages_name_an_image_below_the_outermost_folder(tmp_path, split):
    files = FILES if split else {name.partition("/")[2]: content for name, content in FILES.items()}
    files = {f"my/pets/{name}": content for name, content in files.items()}
    files |= {f"my/pets/{split}cat/x.png": b"broken"}
    with pytest.raises(InputError, match=rf"images\.zip: {split}cat/x\.png is not a readable image"):
        sources.describe(make("zip", files, tmp_path), str(tmp_path))


def test_mixed_sizes_without_resize_are_refused_with_what_to_set(tmp_path):
    with pytest.raises(
        InputError, match=r"pixels, .* is .*or set resize, e\.g\. \{source: 'imagefolder:images'"
    ):
        sources.describe({"source": make("folder", MIXED, tmp_path), "test_fraction": 0.3}, str(tmp_path))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (FILES | {"train/cat/tabby/x.png": png(7)}, ["train/cat/tabby/x.png", "move it to train/cat/"]),
        (
            {f"{split}/{name}/x.png": png(7) for split in ("Train", "Test") for name in ("ape", "cat")},
            ["the folder Test is not a split", "rename it to train, val or test"],
        ),
    ],
)
def test_folders_that_would_be_left_out_are_refused(files, words, tmp_path):
    with pytest.raises(InputError) as caught:
        sources.describe(make("folder", files, tmp_path), str(tmp_path))
    assert all(word in str(caught.value) for word in words), caught.value


def change(path: Path, fault: str) -> None:
    """Make one image of a folder impossible to find or to read."""
    images = path / "train/ape"
    if fault == "class folder":
        images.rename(path.parent / "elsewhere")
        images.symlink_to("/missing/ape")
    elif fault == "circle":
        (images / "loop").symlink_to("../../train")
    elif fault == "pipe":
        os.mkfifo(images / "pipe.png")
    elif fault == "link":
        (images / "c.png").unlink()
        (images / "c.png").symlink_to("/missing/c.png")
    else:
        path = path / PLACES[fault]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(7))


PLACES = {
    "hidden": "train/ape/.x.png",
    "hidden folder": "train/.old/ape/x.png",
    "format": "train/ape/x.HEIC",
    "top": "x.png",
    "split": "train/x.png",
    "extra": "extra/ape/x.png",
}
LOST = {
    "class folder": "train/ape is a link to /missing/ape, which does not exist",
    "link": "train/ape/c.png is a link to /missing/c.png, which does not exist",
    "circle": "train/ape/loop is a link to a folder that contains it",
    "pipe": "train/ape/pipe.png is not a regular file",
    "unreadable": "test/ape cannot be read (Permission denied); make it readable",
    "hidden": "train/ape/.x.png: this image is hidden; rename or remove it",
    "hidden folder": "train/.old/ape/x.png: this image is hidden",
    "format": "train/ape/x.HEIC: .heic images are not supported; convert it to PNG",
    "top": "x.png is not in the folder of a class and a split",
    "split": "train/x.png is not in the folder of a class and a split",
    "extra": "extra/ape/x.png is not in the folder of a class and a split",
}


@pytest.mark.parametrize("fault", LOST)
def test_an_image_that_would_be_lost_is_named(fault, tmp_path, monkeypatch):
    source = make("folder", FILES, tmp_path)
    if fault != "unreadable":
        change(tmp_path / "images", fault)
    else:
        whole = Path.iterdir

        def iterdir(path):
            if path.name == "ape":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return whole(path)

        monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(InputError) as caught:
        sources.find(source, str(tmp_path)).stamp()
        sources.describe(source, str(tmp_path))
    assert LOST[fault] in str(caught.value) and "\n" not in str(caught.value)


def test_classes_behind_links_are_read(tmp_path):
    """Several folders may be links to one folder; changes behind them are noticed."""
    source = make("folder", FILES, tmp_path)
    plain = checksum(sources.fetch("pets", source, str(tmp_path), False))
    (tmp_path / "images/train/ape").rename(tmp_path / "far")
    (tmp_path / "images/train/ape").symlink_to(tmp_path / "far")
    (tmp_path / "images/README").write_text("not an image")
    assert checksum(sources.fetch("pets", source, str(tmp_path), False)) == plain
    stamp = sources.find(source, str(tmp_path)).stamp()
    (tmp_path / "far/z.png").write_bytes(png(3))
    assert sources.find(source, str(tmp_path)).stamp() != stamp
    (tmp_path / "images/test/ape").rename(tmp_path / "images/test/x")
    (tmp_path / "images/test/ape").symlink_to(tmp_path / "far")
    (tmp_path / "images/test/x").rename(tmp_path / "away")
    assert sources.describe(source, str(tmp_path))["test"] == 3


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_of_members_with_the_same_name_the_last_counts(kind, tmp_path):
    """As when the archive is unpacked; names may be written differently."""
    path, names = tmp_path / f"x.{kind}", [*FILES, "./train/cat/a.png"]
    contents = {**FILES, "train/cat/a.png": png(99), "./train/cat/a.png": png(10)}
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                # Programs on Windows may write backslashes.
                archive.writestr(name.replace("/", "\\"), contents[name])
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(contents[name])
                archive.addfile(member, io.BytesIO(contents[name]))
    data = sources.fetch("pets", f"imagefolder:{path.name}", str(tmp_path), False)
    same = sources.fetch("pets", make("folder", FILES, tmp_path), str(tmp_path), False)
    assert checksum(data) == checksum(same)


@pytest.mark.parametrize("left", ["member", "end"])
def test_a_compressed_archive_is_bounded_while_it_is_unpacked(left, tmp_path, monkeypatch):
    """Other files than images are not stored; very large ones are refused before they are read."""
    path = tmp_path / "x.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        with tarfile.open(fileobj=file, mode="w|") as archive:
            for name, content in FILES.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            member = tarfile.TarInfo("notes.bin")
            member.size = 2**23
            archive.addfile(member, Zeros(2**23))
        file.write(bytes(2**21))
    monkeypatch.setattr(archives, "LARGEST_FILE", 2**22)
    assert sources.describe(f"imagefolder:{path.name}", str(tmp_path))["train"] == 3
    monkeypatch.setattr(archives, *{"member": ("LARGEST_OTHER", 2**22), "end": ("LARGEST_FILE", 2**20)}[left])
    words = {
        "member": r"notes.bin: this file has 8,388,608 bytes, more than the allowed 4,194,304",
        "end": "after the last",
    }
    with pytest.raises(InputError, match=words[left]):
        sources.describe(f"imagefolder:{path.name}", str(tmp_path))


def test_two_of_several_data_sets_are_named(tmp_path):
    files = {f"{name}/{split}/cat/x.png": png(7) for name in "cab" for split in ("train", "test")}
    with pytest.raises(
        InputError, match=r"more than one data set \(a/train and b/train\); give the path of one"
    ):
        sources.describe(make("zip", files, tmp_path), str(tmp_path))


def test_hidden_folders_are_left_out(tmp_path):
    hidden = {f"train/{place}.ipynb_checkpoints/x.png": png(7) for place in ("", "cat/")}
    data = sources.fetch("pets", make("folder", FILES | hidden, tmp_path), str(tmp_path), False)
    other = make("tar", FILES, tmp_path)
    assert checksum(data) == checksum(sources.fetch("pets", other, str(tmp_path), False))


def test_val_stands_for_a_missing_test_split_only(tmp_path):
    val = {name.replace("test/", "val/"): content for name, content in FILES.items()}
    data = sources.fetch("pets", make("folder", val, tmp_path), str(tmp_path), False)
    assert len(data.train_labels) == 3 and len(data.test_labels) == 2
    assert checksum(data) == checksum(
        sources.fetch("pets", make("tar", FILES, tmp_path), str(tmp_path), False)
    )
    both = make("zip", val | FILES | {"val/cat/x.png": png(7)}, tmp_path)
    assert checksum(sources.fetch("pets", both, str(tmp_path), False)) == checksum(data)


@pytest.mark.parametrize(("fraction", "counts"), [(0.25, [25, 5, 1]), (0.01, [1, 0, 0]), (0.9, [90, 18, 4])])
def test_every_class_has_its_share_of_the_test_images(fraction, counts):
    labels = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [100, 20, 4]))
    kept, held_out = sources.split(labels, fraction)
    assert sorted([*kept, *held_out]) == list(range(124)) and len(held_out) == round(fraction * 124)
    found = np.bincount(labels[held_out], minlength=3)
    assert np.all(np.abs(found - fraction * np.bincount(labels)) < 1), found
    assert all(
        np.array_equal(*pair) for pair in zip((kept, held_out), sources.split(labels, fraction), strict=True)
    )


@pytest.mark.parametrize(
    ("files", "given", "words"),
    [
        (FILES, {"test_fraction": 0.5}, ["test_fraction = 0.5", "already has test images", "remove it"]),
        ({"a.png": png(1), "b.png": png(2)}, {"test_fraction": 0.5}, ["without labels", "remove it"]),
        ({"a/a.png": png(1), "b/b.png": png(2)}, {"test_fraction": 0.1}, ["leaves 2 training and 0 test"]),
    ],
)
def test_a_fraction_that_does_not_fit_is_refused(files, given, words, tmp_path):
    given = {"source": make("folder", files, tmp_path), **given}
    for look in (
        lambda: sources.describe(given, str(tmp_path)),
        lambda: sources.fetch("x", given, str(tmp_path), False),
    ):
        with pytest.raises(InputError) as caught:
            look()
        assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_images_in_one_folder_are_test_images_without_labels(kind, tmp_path):
    files = {"photos/b.png": png(20), "photos/a.png": png(10)}
    data = sources.fetch("photos", make(kind, files, tmp_path), str(tmp_path), False)
    assert data.classes == () and len(data.train_labels) == 0
    assert data.test_images[:][:, 0, 0, 0].tolist() == [10, 20] and data.test_labels.tolist() == [-1, -1]
    datasets.save(tmp_path / "photos.h5", data)
    again = datasets.load(tmp_path / "photos.h5")
    assert again.classes == () and again.digest == checksum(data) == checksum(again)
    assert np.allclose(again.mean, 15 / 255) and np.array_equal(again.test_images, data.test_images)


def npz(folder: Path, **arrays) -> str:
    np.savez_compressed(folder / "mine.npz", **arrays)
    return "numpy:mine.npz"


RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (12, 3, 8, 9), dtype=np.uint8), np.arange(12) % 3


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1)])
@pytest.mark.parametrize("column", [False, True])
def test_arrays_of_a_file(save, axes, column, tmp_path, monkeypatch):
    """Channels first or last, labels as NumPy or Keras have them, read in blocks of any length."""
    monkeypatch.setattr("prunescope.data.images.BLOCK", 500)
    x, y = np.ascontiguousarray(X.transpose(axes)), Y[:, None] if column else Y
    save(tmp_path / "mine.npz", x_train=x[:7], y_train=y[:7], x_test=x[7:], y_test=y[7:])
    data = sources.fetch("mine", "numpy:mine.npz", str(tmp_path), False)
    assert np.array_equal(data.train_images, X[:7]) and np.array_equal(data.test_images, X[7:])
    assert data.train_labels.tolist() == Y[:7].tolist() and data.classes == ("0", "1", "2")
    assert sources.describe("numpy:mine.npz", str(tmp_path)) == {
        "shape": [3, 8, 9],
        "classes": 3,
        "train": 7,
        "test": 5,
    }
    datasets.save(tmp_path / "mine.h5", data)
    reference = datasets.Dataset("mine", "", X[:7], Y[:7], X[7:], Y[7:], ("0", "1", "2"))
    assert datasets.load(tmp_path / "mine.h5").digest == checksum(reference)


def test_arrays_are_split_resized_and_named(tmp_path):
    given = {
        "source": npz(tmp_path, x=X[:, 0], y=np.array(["b", "a", "c"])[Y]),
        "test_fraction": 0.25,
        "resize": 4,
    }
    data = sources.fetch("mine", given, str(tmp_path), False)
    assert data.shape == (1, 4, 4) and data.classes == ("a", "b", "c")
    kept, held_out = sources.split(Y, 0.25)
    small = np.array([pictures.resized(Image.fromarray(plane), 4) for plane in X[:, 0]])
    assert np.array_equal(data.train_images[:][:, 0], small[kept])
    assert np.array_equal(data.test_images[:][:, 0], small[held_out])
    assert sorted(data.test_labels.tolist()) == [0, 1, 2] and len(data.train_labels) == 9
    named = npz(tmp_path, x=X, y=Y, classes=np.array(["x", "y", "z"]))
    data = sources.fetch("mine", {"source": named, "test_fraction": 0.25}, str(tmp_path), False)
    assert data.classes == ("x", "y", "z")
    kept, held_out = sources.split(Y, 0.25)
    assert np.array_equal(data.test_images, X[held_out]) and np.array_equal(data.train_images, X[kept])
    bare = sources.fetch("mine", npz(tmp_path, x=X), str(tmp_path), False)
    assert bare.classes == () and set(bare.test_labels) == {-1} and len(bare.train_images) == 0


def with_value(image: int, value: float) -> np.ndarray:
    """The images as floats, with another value in one of them."""
    x = X.astype(np.float32) / 255
    x[image, 1, 2, 3] = value
    return x


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1)])
def test_floats_from_0_to_1_are_the_same_images(dtype, axes, tmp_path):
    x = np.ascontiguousarray((X / 255).astype(dtype).transpose(axes))
    data = sources.fetch("mine", {"source": npz(tmp_path, x=x, y=Y), "test_fraction": 0.25}, str(tmp_path), 0)
    kept, held_out = sources.split(Y, 0.25)
    assert np.array_equal(data.train_images, X[kept]) and np.array_equal(data.test_images, X[held_out])
    assert data.train_images[:].dtype == np.uint8


def test_floats_between_two_pixels_become_the_nearer_one(tmp_path):
    x = np.full((1, 2, 4), [0, 0.49 / 255, 0.51 / 255, 1.0])
    data = sources.fetch("mine", npz(tmp_path, x=x), str(tmp_path), False)
    assert data.test_images[:][0, 0, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X, "labels": Y}, ["labels, x", "expected x_train"]),
        ({"x": X.astype(np.int64), "y": Y}, ["x has type int64", "uint8", "floats from 0 to 1"]),
        ({"x": X.astype(float), "y": Y}, ["x.npy: image 0 has values from 0 to 255", "be from 0 to 1"]),
        ({"x": with_value(7, -0.01), "y": Y}, ["x.npy: image 7 has values from -0.01 to"]),
        ({"x": with_value(11, 1.001), "y": Y}, ["x.npy: image 11 has values", "to 1.001;"]),
        ({"x": with_value(3, np.nan), "y": Y}, ["x.npy: image 3 has values from nan to nan"]),
        ({"x": X[0, 0], "y": Y}, ["x has shape (8, 9)"]),
        (
            {"x": np.zeros((4, 3, 5, 3), np.uint8), "y": Y[:4]},
            ["x has shape (4, 3, 5, 3)", "save it as (N, C, H, W)"],
        ),
        ({"x": np.asfortranarray(X), "y": Y}, ["Fortran", "ascontiguousarray"]),
        ({"x": X, "y": Y[:5]}, ["12 images, but y has 5 labels"]),
        ({"x": X, "y": np.eye(3)[Y]}, ["y has shape (12, 3)", "one integer or name"]),
        ({"x": X, "y": np.eye(3, dtype=int)[Y]}, ["y has shape (12, 3)", "one integer or name"]),
        ({"x": X, "y": Y / 2}, ["y has shape (12,) and type float64", "one integer or name"]),
        (
            {"x": X, "y": Y + 1, "classes": np.array(["a", "b", "c"])},
            ["3 names", "1, 2, 3", "expected 0 to 2"],
        ),
        ({"x": X, "y": Y.astype(object)}, ["not a readable .npz file"]),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :, :4], "y_test": Y}, ["x_test", "3×4×9", "3×8×9"]),
        (
            {"x_train": X, "y_train": Y.astype(str), "x_test": X, "y_test": Y},
            ["y_test has type int64", "both as names"],
        ),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1}, ["class '3' is in y_test but not"]),
    ],
)
def test_arrays_that_are_no_data_set_are_refused_while_planning(arrays, words, tmp_path):
    with pytest.raises(InputError) as caught:
        sources.describe({"source": npz(tmp_path, **arrays), "test_fraction": 0.5}, str(tmp_path))
    line = str(caught.value)
    assert "mine.npz" in line and "\n" not in line and all(word in line for word in words), line
    assert ("not a readable" in line) == ("not a readable" in words[0]), "the file is, its arrays are wrong"


def lying(key: str, shape: tuple, dtype: str, folder: Path, size: int = 0) -> str:
    """Write a file in which the header of one array declares another shape and type."""
    with zipfile.ZipFile(folder / "lie.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in {"x": X, "y": Y, "classes": np.array(["a", "b", "c"])}.items():
            header = {"descr": dtype, "fortran_order": False, "shape": shape}
            with archive.open(f"{name}.npy", "w") as file:
                if name != key:
                    np.save(file, array)
                else:
                    np.lib.format.write_array_header_1_0(file, header)
                    file.write(bytes(size))
    return "numpy:lie.npz"


@pytest.mark.parametrize(
    ("key", "shape", "dtype", "words"),
    [
        ("y", (10**12,), "<i8", "y declares shape (1000000000000,) and type int64, but its"),
        ("y", (10**12,), "|i1", "y declares shape"),
        ("y", (-12,), "<i8", "y declares shape (-12,)"),
        ("y", (12,), "<U100000000", "y declares shape (12,) and type <U100000000"),
        ("classes", (3,), "<U100000000", "classes declares shape"),
        ("x", (10**12, 3, 8, 9), "|u1", "x declares shape"),
        ("x", (-1, -3, 8, 9), "|u1", "x declares shape"),
    ],
)
def test_headers_that_declare_more_than_there_is_are_refused_in_little_memory(
    key, shape, dtype, words, tmp_path
):
    source = {"source": lying(key, shape, dtype, tmp_path), "test_fraction": 0.5}
    tracemalloc.start()
    with pytest.raises(InputError) as caught:
        sources.describe(source, str(tmp_path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert f"lie.npz: {words}" in str(caught.value) and "write the file again" in str(caught.value)
    assert peak < 2**22


def test_names_of_classes_are_bounded(tmp_path):
    with pytest.raises(InputError, match=r"lie\.npz: classes has type <U1001; names may have at most 1,000"):
        source = lying("classes", (3,), "<U1001", tmp_path, 3 * 4 * 1001)
        sources.describe({"source": source, "test_fraction": 0.5}, str(tmp_path))
    source = lying("classes", (3,), "<U1000", tmp_path, 3 * 4 * 1000)
    assert sources.describe({"source": source, "test_fraction": 0.5}, str(tmp_path))["classes"] == 3


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("options", [{}, {"test_fraction": 0.5}])
def test_a_damaged_file_of_arrays_is_refused(save, options, tmp_path):
    x = RNG.integers(0, 256, (200, 3, 16, 16), dtype=np.uint8)
    arrays = {"x": x, "y": np.arange(200) % 2} if options else {"x": x}
    save(tmp_path / "mine.npz", **arrays)
    whole = (tmp_path / "mine.npz").read_bytes()
    place = whole.index(b"x.npy") + 100_000
    (tmp_path / "bad.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    data = sources.fetch("mine", {"source": "numpy:bad.npz", **options}, str(tmp_path), False)
    with pytest.raises(InputError, match=r"bad\.npz: x\.npy cannot be read"):
        checksum(data)
    (tmp_path / "cut.npz").write_bytes(whole[:-30])
    with pytest.raises(InputError, match=r"cut\.npz: not a readable \.npz file"):
        sources.describe("numpy:cut.npz", str(tmp_path))


def test_an_archive_that_is_missing_or_of_another_kind_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no folder or archive .*nothing\.tar"):
        sources.fetch("x", "imagefolder:nothing.tar", str(tmp_path), False)
    (tmp_path / "list.txt").touch()
    with pytest.raises(InputError, match=r"list\.txt is not a folder or archive; allowed: \.tar, "):
        sources.fetch("x", "imagefolder:list.txt", str(tmp_path), False)


def test_the_stamp_follows_changes(tmp_path):
    source = make("folder", FILES, tmp_path)
    before = sources.find(source, str(tmp_path)).stamp()
    latest = max(file.stat().st_mtime_ns for file in (tmp_path / "images").rglob("*.png"))
    size = sum(len(content) for content in FILES.values())
    assert before == [str(tmp_path / "images"), len(FILES), size, latest]
    archive = sources.find(make("zip", FILES, tmp_path), str(tmp_path))
    stat_ = archive.path.stat()
    assert archive.stamp() == [str(tmp_path / "images.zip"), 1, stat_.st_size, stat_.st_mtime_ns]
    assert sources.find(source, str(tmp_path)).stamp() == before
    sources.check_stamp(source, str(tmp_path), before)
    (tmp_path / "images/train/cat/b.png").write_bytes(png(21) + b" ")
    assert sources.find(source, str(tmp_path)).stamp() != before
    with pytest.raises(InputError, match=r"^[^\n]*images: changed after this run was planned; run the same"):
        sources.check_stamp(source, str(tmp_path), before)


def test_digits_are_what_their_table_says():
    data = sources.fetch("digits", "sklearn:digits", "nowhere", download=False)
    assert sources.find("sklearn:digits", "nowhere").describe() == {
        "shape": [1, 8, 8],
        "classes": 10,
        "train": 1437,
        "test": 360,
    }
    assert data.train_images.max() == 255 and len(np.unique(data.test_labels)) == 10


def test_missing_torchvision_files_without_download_stop_at_once(tmp_path):
    with pytest.raises(
        InputError, match=r"data set MNIST under data\.root = .*missing or damaged.*data\.download: true"
    ):
        sources.fetch("mnist", "torchvision:MNIST", str(tmp_path), download=False)


@pytest.mark.skipif(not MNIST.is_dir(), reason="the MNIST files are not there")
def test_mnist_from_torchvisions_files(tmp_path):
    data = sources.fetch("mnist", "torchvision:MNIST", str(MNIST), download=False)
    mean, std = prepared(data).mean, prepared(data).std
    assert data.train_images.shape == (60_000, 1, 28, 28) and len(data.test_labels) == 10_000
    assert abs(mean[0] - 0.1307) < 5e-5 and abs(std[0] - 0.3081) < 5e-5
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for file in (MNIST / "MNIST/raw").iterdir():
        (raw / file.name).write_bytes(file.read_bytes()[:1_000_000])
    with pytest.raises(InputError, match="missing or damaged"):
        sources.fetch("mnist", "torchvision:MNIST", str(tmp_path), download=False)


def test_a_prepared_data_set_is_read_back_and_a_damaged_one_refused(tmp_path):
    data = sources.fetch("pets", make("tar", FILES, tmp_path), str(tmp_path), False)
    path = tmp_path / "pets.h5"
    datasets.save(path, data)
    again = datasets.load(path)
    assert again.digest == checksum(again) == checksum(data)
    pixels = np.asarray(data.train_images) / 255
    assert np.allclose(again.mean, pixels.mean()) and np.allclose(again.std, pixels.std())
    whole = path.read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[:-2000])
    place = whole.index(data.test_images[:].tobytes())
    (tmp_path / "flipped.h5").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    for name in ("cut", "flipped"):
        with pytest.raises(InputError, match=rf"{name}\.h5: damaged"):
            datasets.load(tmp_path / f"{name}.h5")
