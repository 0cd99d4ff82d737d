"""Images from a folder or an archive; what is damaged or escapes is refused."""

import gzip
import io
import re
import shutil
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunescope.data import datasets, sources
from prunescope.data.sources import imagefolder
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
    assert data.train_images[:, 0, 0, 0].tolist() == [30, 10, 20]
    assert data.train_labels.tolist() == [0, 1, 1] and data.test_labels.tolist() == [0, 1]
    assert sources.find(source, str(tmp_path)).describe() == {
        "shape": [1, 6, 4],
        "classes": 2,
        "train": 3,
        "test": 2,
    }


def test_the_way_images_are_packed_does_not_change_the_checksum(tmp_path):
    checksums = {
        sources.fetch("x", make(kind, FILES, tmp_path), str(tmp_path), False).checksum()
        for kind in ("folder", "tar")
    }
    assert len(checksums) == 1


def test_grey_images_among_coloured_ones_become_coloured(tmp_path):
    source = make("tar", FILES | {"test/cat/f.png": png(60, mode="RGB")}, tmp_path)
    data = sources.fetch("pets", source, str(tmp_path), False)
    assert data.shape == (3, 6, 4)
    assert sources.find(source, str(tmp_path)).describe()["shape"] == [3, 6, 4], "whichever image comes first"
    assert data.test_images[-1, :, 0, 0].tolist() == [60, 0, 255]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (FILES | {"../train/cat/x.png": png(1)}, ["../train/cat/x.png", "outside"]),
        (FILES | {"/train/cat/x.png": png(1)}, ["/train/cat/x.png", "outside"]),
        (FILES | {"train/cat/x.png": png(1, (5, 6))}, ["train/cat/x.png", "6×5", "same size"]),
        (FILES | {"train/cat/x.png": b"broken"}, ["train/cat/x.png", "not a readable image"]),
        ({"train/cat/x.png": png(1)}, ["no images under test/CLASS/"]),
        (FILES | {"test/dog/x.png": png(1)}, ["class 'dog'", "none under train/"]),
        (FILES | {"other/train/cat/x.png": png(1)}, ["more than one data set", "other/train"]),
        (FILES | {"train/cat/x.png": declaring(9000, 9000)}, ["train/cat/x.png", "9000×9000 pixels"]),
        (FILES | {"train/cat/x.png": declaring(2**31 - 1, 2**31 - 1)}, ["train/cat/x.png", "pixels"]),
        (
            FILES | {"train/cat/x.png": b"%!PS-Adobe-3.0 EPSF-3.0\n"},
            ["train/cat/x.png", "not a readable image"],
        ),
    ],
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_bad_archives_are_refused(files, words, kind, tmp_path):
    with pytest.raises(InputError) as caught:
        sources.fetch("pets", make(kind, files, tmp_path), str(tmp_path), False)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)
    with pytest.raises(InputError) as planned:
        sources.find(make(kind, files, tmp_path), str(tmp_path)).describe()
    assert str(planned.value) == str(caught.value), "known before any job"
    assert [path.name for path in tmp_path.iterdir()] == ["images.tar.gz" if kind == "tar" else "images.zip"]


def test_a_link_in_an_archive_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        member = tarfile.TarInfo("train/cat/x.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(InputError, match=r"train/cat/x\.png"):
        sources.fetch("pets", "imagefolder:x.tar", str(tmp_path), False)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_truncated_archive_never_loses_images_silently(kind, tmp_path):
    source = make(kind, FILES, tmp_path)
    path = sources.find(source, str(tmp_path)).path
    whole, checksum = path.read_bytes(), sources.fetch("x", source, str(tmp_path), False).checksum()
    refused = 0
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        try:
            assert sources.fetch("x", source, str(tmp_path), False).checksum() == checksum, length
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
    """3 MB of archive for 3 GB, under a name that is read."""
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
    monkeypatch.setattr(imagefolder, "LARGEST_FILE", 50)
    with pytest.raises(InputError, match=r"d\.png: this image file has \d+ bytes, more than 50"):
        sources.fetch("pets", make("folder", FILES, tmp_path), str(tmp_path), False)


def test_images_that_would_not_fit_into_memory_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    """480 PNG files of 16 KB each, for instance, are 8 GB."""
    source = make("zip", {**FILES, "train/cat/c.png": declaring(6, 4)}, tmp_path)
    monkeypatch.setattr(imagefolder, "MOST_BYTES", 6 * 24 - 1)
    with pytest.raises(InputError, match="when decoded, half of this machine's memory"):
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


def test_a_missing_archive_names_its_path(tmp_path):
    with pytest.raises(InputError, match=r"no folder or archive .*nothing\.tar"):
        sources.fetch("x", "imagefolder:nothing.tar", str(tmp_path), False)


def test_the_stamp_follows_changes(tmp_path):
    source = make("folder", FILES, tmp_path)
    before = sources.find(source, str(tmp_path)).stamp()
    assert sources.find(source, str(tmp_path)).stamp() == before
    (tmp_path / "images/train/cat/b.png").write_bytes(png(21) + b" ")
    assert sources.find(source, str(tmp_path)).stamp() != before


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
    mean, std = data.statistics()
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
    assert again.digest == again.checksum() == data.checksum()
    assert np.allclose(again.mean, data.train_images.mean() / 255) and np.allclose(
        again.std, data.train_images.std() / 255
    )
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"pets\.h5: not a readable data set"):
        datasets.load(path)
