"""Where images come from: torchvision's data sets, scikit-learn's digits, a folder or an archive of images.

Only the preparation stage calls `fetch`; torchvision is imported there and nowhere else for data.
"""

import lzma
import socket
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from prunescope.datasets import Dataset
from prunescope.errors import InputError

# Channels, height, width; classes; training and test images.
KNOWN = {
    "torchvision:MNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "torchvision:FashionMNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "torchvision:KMNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "torchvision:CIFAR10": ((3, 32, 32), 10, 50_000, 10_000),
    "torchvision:CIFAR100": ((3, 32, 32), 100, 50_000, 10_000),
    "torchvision:SVHN": ((3, 32, 32), 10, 73_257, 26_032),
    "sklearn:digits": ((1, 8, 8), 10, 1_437, 360),
}
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)
SILENCE = 60  # seconds without a byte after which a download is given up
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip")


def path_of(source: str, root: str) -> Path | None:
    """Return the folder or archive behind an ``imagefolder:`` source, None for the others.

    Raises
    ------
    InputError
        When it is not there, or is a file of an unknown kind.
    """
    kind, _, name = source.partition(":")
    if kind != "imagefolder":
        return None
    path = Path(root, name)
    where = f"data.datasets: {source!r}"
    if not path.exists():
        raise InputError(
            f"{where}: no folder or archive {path}; mend the path (relative ones start at data.root)"
        )
    if path.is_file() and not path.name.endswith(ARCHIVES):
        raise InputError(f"{where}: {path} is no folder and no archive; allowed: {', '.join(ARCHIVES)}")
    return path


def stamp(source: str, root: str) -> list:
    """Return what changes when an image folder or archive changes: its path, sizes and times of change."""
    path = path_of(source, root)
    if path is None:
        return []
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    return [
        str(path.resolve()),
        len(files),
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime_ns for stat in stats), default=0),
    ]


def describe(source: str, root: str) -> dict:
    """Tell a data set's sizes without preparing it.

    Returns
    -------
    dict
        ``shape`` (channels, height, width), ``classes``, ``train`` and ``test`` (numbers of images).
    """
    if source in KNOWN:
        shape, classes, train, test = KNOWN[source]
        return {"shape": list(shape), "classes": classes, "train": train, "test": test}
    path = path_of(source, root)
    counts, classes, first = {"train": 0, "test": 0}, set(), None
    for split, name, file, read in _images(path):
        counts[split] += 1
        classes.add(name)
        if first is None:
            first = _decode(read, path, file)
    if not counts["train"] or not counts["test"]:
        raise InputError(f"{path}: holds no images under train/CLASS/ and test/CLASS/")
    return {"shape": [first.shape[0], *first.shape[1:]], "classes": len(classes), **counts}


def fetch(name: str, source: str, root: str, download: bool) -> Dataset:
    """Read a data set from where it comes from.

    Parameters
    ----------
    name : str
        Its name in the configuration.
    source : str
        ``torchvision:NAME``, ``sklearn:digits`` or ``imagefolder:PATH``.
    root : str
        Folder of torchvision's files; relative image folders start there.
    download : bool
        Whether torchvision may download what is missing.

    Raises
    ------
    InputError
        When the data is missing or damaged.
    """
    kind, _, rest = source.partition(":")
    if kind == "sklearn":
        arrays = _digits()
    elif kind == "torchvision":
        arrays = _torchvision(rest, root, download)
    else:
        arrays = _image_folder(path_of(source, root))
    train_images, train_labels, test_images, test_labels, classes = arrays
    dataset = Dataset(
        name,
        source,
        np.ascontiguousarray(train_images, dtype=np.uint8),
        np.asarray(train_labels, dtype=np.int64),
        np.ascontiguousarray(test_images, dtype=np.uint8),
        np.asarray(test_labels, dtype=np.int64),
        tuple(map(str, classes)),
    )
    _check(dataset, root)
    return dataset


def _check(dataset: Dataset, root: str) -> None:
    """Compare with what is known of the data set: a damaged file must not become a result."""
    found = (dataset.shape, len(dataset.classes), len(dataset.train_labels), len(dataset.test_labels))
    known = KNOWN.get(dataset.source, found)
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])
    images = (len(dataset.train_images), len(dataset.test_images))
    if found != known or images != found[2:] or set(np.unique(labels)) != set(range(len(dataset.classes))):
        raise InputError(
            f"data set {dataset.name!r} ({dataset.source}) under {root}: damaged: shape, classes, training "
            f"and test images are {found}, expected {known}; delete its files there and run again"
        )


def _digits():
    """scikit-learn's 1,797 digits (values 0 to 16), every fifth one a test image."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
    test = np.arange(len(images)) % 5 == 0
    return images[~test], digits.target[~test], images[test], digits.target[test], digits.target_names


def _torchvision(name: str, root: str, download: bool):
    from torchvision import datasets

    kind = getattr(datasets, name)
    splits = (
        [{"split": "train"}, {"split": "test"}] if name == "SVHN" else [{"train": True}, {"train": False}]
    )
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        train, test = (kind(root, download=download, **split) for split in splits)
    except Exception as error:  # torchvision raises whatever its parsers and urllib raise
        text = " ".join(str(error).split()) or type(error).__name__
        advice = (
            "run again to fetch what is damaged or missing; if that does not help, delete its files there"
            if download
            else "put torchvision's files there, or set data.download: true"
        )
        raise InputError(
            f"data set {name} under data.root = {root}: missing or damaged ({text}); {advice}"
        ) from None
    finally:
        socket.setdefaulttimeout(patience)
    arrays = []
    for part in (train, test):
        images = np.asarray(part.data)
        if name == "SVHN":
            labels = part.labels
        else:
            labels = np.asarray(part.targets)
            images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        arrays += [images, labels]
    return *arrays, getattr(train, "classes", range(10))


def _image_folder(path: Path):
    items = [(split, name, file, _decode(read, path, file)) for split, name, file, read in _images(path)]
    items.sort(key=lambda item: item[:3])  # the order in an archive must not matter
    classes = sorted({item[1] for item in items})
    label = {name: index for index, name in enumerate(classes)}
    channels = max((image.shape[0] for *_, image in items), default=0)
    splits = {split: {item[1] for item in items if item[0] == split} for split in ("train", "test")}
    for name in sorted(splits["train"] ^ splits["test"]):
        there, missing = ("train", "test") if name in splits["train"] else ("test", "train")
        if splits[missing]:
            raise InputError(f"{path}: class {name!r} has images under {there}/ but none under {missing}/")
    arrays = []
    for split in ("train", "test"):
        part = [item for item in items if item[0] == split]
        if not part:
            raise InputError(f"{path}: holds no images under {split}/CLASS/")
        shape = part[0][3].shape[1:]
        for _, _, file, image in part:
            if image.shape[1:] != shape:
                raise InputError(
                    f"{path}: {file} is {image.shape[1]}×{image.shape[2]} pixels, {part[0][2]} is "
                    f"{shape[0]}×{shape[1]}; bring all images to one size first"
                )
        images = np.stack([np.broadcast_to(image, (channels, *shape)) for *_, image in part])
        arrays += [images, np.array([label[name] for _, name, _, _ in part])]
    return *arrays, classes


def _decode(read, path: Path, file: str) -> np.ndarray:
    """Decode an image to (1, H, W) when it is grey, else to (3, H, W)."""
    try:
        image = Image.open(BytesIO(read()))
        if image.mode.startswith(("I", "F")):
            raise InputError(f"{path}: {file} has more than 8 bits per channel; convert the images to 8 bits")
        grey = image.mode in ("1", "L")
        array = np.asarray(image.convert("L" if grey else "RGB"))
    except InputError:
        raise
    except (*DAMAGE, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: {file} is not a readable image ({error}); remove or mend it") from None
    return array[None] if grey else array.transpose(2, 0, 1)


def _images(path: Path) -> Iterator[tuple]:
    """Give (split, class, name, read) for each image of a folder or an archive.

    Archives are read member by member and never unpacked to disk; a member that would land outside, or a
    link, is refused all the same: an archive that tries has not been made for us.
    """
    if path.is_dir():
        members = (
            (str(file.relative_to(path)), file.read_bytes)
            for file in sorted(path.rglob("*"))
            if file.is_file()
        )
    elif path.name.endswith(".zip"):
        members = _zip_members(path)
    else:
        members = _tar_members(path)
    first = None
    try:
        for name, read in members:
            parts = PurePosixPath(name).parts
            if parts[-1].startswith("."):  # macOS puts ._x.png beside x.png
                continue
            if len(parts) >= 3 and parts[-3] in ("train", "test") and Path(name).suffix.lower() in SUFFIXES:
                first = parts[:-3] if first is None else first
                if parts[:-3] != first:
                    two = " and ".join("/".join((*prefix, "train")) for prefix in (first, parts[:-3]))
                    raise InputError(f"{path}: holds more than one data set ({two}); name one of them")
                yield parts[-3], parts[-2], "/".join(parts[-3:]), read
    except DAMAGE as error:
        raise InputError(f"{path}: damaged archive ({error}); fetch it again") from None


def _tar_members(path: Path):
    with tarfile.open(path) as archive:
        for member in archive:
            _check_member(path, member.name, member.issym() or member.islnk() or member.isdev())
            if member.isfile():
                yield member.name, archive.extractfile(member).read
        # tarfile takes the end of the file for the end of the archive; only a block of zeros is.
        if archive.fileobj.tell() == archive.offset:
            raise EOFError("ends in the middle")


def _zip_members(path: Path):
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            _check_member(path, member.filename, (member.external_attr >> 16) & 0o170000 == 0o120000)
            if not member.is_dir():
                yield member.filename, lambda member=member: archive.read(member)


def _check_member(path: Path, name: str, special: bool) -> None:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or special:
        raise InputError(f"{path}: member {name!r} would land outside its folder or is a link; refused")
