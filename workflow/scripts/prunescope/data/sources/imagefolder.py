"""A folder or an archive of images, with or without a folder for each class and each split."""

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from prunescope.data import pictures
from prunescope.data.datasets import UNLABELLED
from prunescope.data.pictures import DAMAGE
from prunescope.data.sources import Source
from prunescope.errors import InputError
from prunescope.files import FULL

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
COMPRESSED = {".tar.gz": gzip.open, ".tgz": gzip.open, ".tar.xz": lzma.open, ".tar.bz2": bz2.open}
ARCHIVES = (".tar", *COMPRESSED, ".zip")
SPLITS = ("train", "val", "test")
# How other names of splits start, e.g. Train, training, testing, validation.
LIKE_SPLITS = ("trai", "vali", "val", "test")
# A small archive can declare any size, or unpack to any size.
LARGEST_FILE = 2**26  # bytes of an image file
LARGEST_HEADER = 2**20  # bytes of a name or attributes in a tar archive
HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


@dataclass(frozen=True)
class Item:
    """An image file.

    Attributes
    ----------
    split : str
        ``train``, ``val``, ``test``, or an empty string.
    label : str
        Name of its class, or an empty string.
    file : str
        Its path below the outermost folder.
    open : callable
    """

    split: str
    label: str
    file: str
    open: Callable[[], BinaryIO]


class ImageFolder(Source):
    """A folder or archive (.tar, .tar.gz, .tar.xz, .tar.bz2, .zip) of images: train/CLASS/* and test/CLASS/*
    (or val/CLASS/*), CLASS/*, or all in one folder without labels
    """

    @property
    def path(self) -> Path:
        """The folder or archive."""
        return self.local(ARCHIVES, "folder or archive")

    def stamp(self) -> list:
        return stamp(self.path)

    def describe(self) -> dict:
        items, shape, classes = self._survey()
        counts = {split: sum(item.split == split for item in items) for split in ("train", "test")}
        return {"shape": list(shape), "classes": len(classes), **counts}

    def read(self, download: bool) -> tuple:
        items, shape, classes = self._survey()
        parts = []
        for split in ("train", "test"):
            # The result must not depend on the order in an archive.
            part = sorted(
                (item for item in items if item.split == split), key=lambda item: (item.label, item.file)
            )
            decode = [
                partial(pictures.decode, item.open, f"{self.path}: {item.file}", self.resize) for item in part
            ]
            labels = [classes.index(item.label) if classes else UNLABELLED for item in part]
            parts += [pictures.Decoded(decode, shape), labels]
        return *parts, classes

    def _survey(self) -> tuple[list[Item], tuple[int, int, int], list[str]]:
        """Return the images, their common shape (with `resize`, the shape of one of them), and the classes.

        Raises
        ------
        InputError
            When the folder layout is unknown, a class is in only one split, images differ in size, or an
            image cannot be read.
        """
        path = self.path
        items = self._splits(_arranged(path, list(_images(path))))
        shapes = {item.file: pictures.shape(item.open, f"{path}: {item.file}") for item in items}
        sizes: dict[tuple[int, int], str] = {}
        for file, shape in sorted(shapes.items()):
            sizes.setdefault(shape[1:], file)
        if self.resize is None and len(sizes) > 1:
            (first, one), (second, other) = list(sizes.items())[:2]
            raise InputError(
                f"{path}: {other} is {second[0]}×{second[1]} pixels, {one} is {first[0]}×{first[1]}; "
                f"resize all images to the same size first, or set resize, e.g. {{source: '{self.text}', "
                "resize: 64}"
            )
        size = next(iter(sizes)) if self.resize is None else (self.resize, self.resize)
        channels = max(shape[0] for shape in shapes.values())
        return items, (channels, *size), sorted({item.label for item in items} - {""})

    def _splits(self, items: list[Item]) -> list[Item]:
        """Return the images as training and test images.

        Without splits, they are training images if they have labels, and test images otherwise.
        """
        names = {split: {item.label for item in items if item.split == split} for split in (*SPLITS, "")}
        if names[""]:
            return [replace(item, split="train" if item.label else "test") for item in items]
        test = "test" if names["test"] else "val"
        if names["train"] and names[test]:
            for name in sorted(names["train"] ^ names[test]):
                there, missing = ("train", test) if name in names["train"] else (test, "train")
                raise InputError(
                    f"{self.path}: class {name!r} has images under {there}/ but none under {missing}/; "
                    "add some or remove the class"
                )
        used = {"train": "train", test: "test"}
        return [replace(item, split=used[item.split]) for item in items if item.split in used]


def stamp(path: Path) -> list:
    """Return the path, the number and sizes of its files, and the latest modification time."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    return [
        str(path.resolve()),
        len(files),
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime_ns for stat in stats), default=0),
    ]


def _images(path: Path) -> Iterator[tuple[tuple[str, ...], Callable[[], BinaryIO]]]:
    """Yield the path of each image in a folder or an archive, as its parts, and a function that opens it."""
    try:
        for name, size, open in _members(path):
            parts = PurePosixPath(name).parts
            # macOS stores ._x.png next to x.png, and Jupyter a folder .ipynb_checkpoints.
            if any(part.startswith(".") for part in parts) or Path(name).suffix.lower() not in SUFFIXES:
                continue
            if size > LARGEST_FILE:
                raise InputError(
                    f"{path}: {name}: this image file has {size:,} bytes, more than the allowed "
                    f"{LARGEST_FILE:,}; make it smaller"
                )
            yield parts, open
    except InputError:
        raise
    except DAMAGE as error:
        problem = str(error).split("\n")[0].rstrip(":")
        raise InputError(f"{path}: damaged archive ({problem}); download or copy it again") from None


def _arranged(path: Path, images: list[tuple[tuple[str, ...], Callable]]) -> list[Item]:
    """Determine split and class of images from their folders.

    Raises
    ------
    InputError
        When there are no images, or the folders do not determine the split and class of each image.
    """
    known = "see docs/data.md for the supported folder layouts"
    if not images:
        raise InputError(f"{path}: contains no images ({', '.join(sorted(SUFFIXES))}); {known}")
    split = [(parts, open) for parts, open in images if len(parts) >= 3 and parts[-3] in SPLITS]
    if split:
        _check_one(path, {"/".join((*parts[:-3], "train")) for parts, _ in split})
        start = len(split[0][0]) - 3
        for parts, _ in images:
            if len(parts) > start + 3 and parts[start] in SPLITS:
                raise InputError(
                    f"{path}: {'/'.join(parts)} is in a folder inside that of a class; move it to "
                    f"{'/'.join(parts[: start + 2])}/ or remove it; {known}"
                )
        return [Item(parts[-3], parts[-2], "/".join(parts[-3:]), open) for parts, open in split]
    folders = sorted({parts[:-1] for parts, _ in images})
    if len(folders) == 1:
        return [Item("", "", parts[-1], open) for parts, open in images]
    for folder in folders:
        if not folder or folder[-1] in SPLITS or len(folder) != len(folders[0]):
            name = next("/".join(parts) for parts, _ in images if parts[:-1] == folder)
            raise InputError(f"{path}: {name} is not in a class folder; {known}")
    _check_one(path, {"/".join(folder[:-1]) or "." for folder in folders})
    return [Item("", parts[-2], "/".join(parts[-2:]), open) for parts, open in images]


def _check_one(path: Path, folders: set[str]) -> None:
    """Refuse images of more than one data set."""
    if len(folders) > 1:
        two = " and ".join(sorted(folders)[:2])
        last = {name: name.rpartition("/")[2] for name in sorted(folders)}
        odd = [name for name, own in last.items() if own not in SPLITS and own.lower()[:4] in LIKE_SPLITS]
        if odd:
            raise InputError(
                f"{path}: the folder {odd[0]} is not a split; rename it to train, val or test, or, if it is "
                "a data set of its own, give its path"
            )
        raise InputError(f"{path}: contains more than one data set ({two}); give the path of one of them")


def _members(path: Path) -> Iterator[tuple[str, int, Callable[[], BinaryIO]]]:
    """Yield name and size of each file in a folder or an archive, and a function that opens it.

    Members of an archive are never unpacked to disk. A link, or a member with a path outside, is refused
    nevertheless, because such an archive is not trustworthy.
    """
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                yield str(file.relative_to(path)), file.stat().st_size, partial(file.open, "rb")
    elif path.name.endswith(".zip"):
        yield from _zip_members(path)
    else:
        yield from _tar_members(path)


class _TarMember(tarfile.TarInfo):
    """A member with a limit on long names and attributes, which `tarfile` reads into memory."""

    @classmethod
    def frombuf(cls, *arguments):
        member = super().frombuf(*arguments)
        if member.type in HEADERS and member.size > LARGEST_HEADER:
            raise OverflowError(f"a header of {member.size:,} bytes")
        return member


def _tar_members(path: Path):
    compressed = next((open for suffix, open in COMPRESSED.items() if path.name.endswith(suffix)), None)
    # The files are not closed here, because images are read later. They are closed when the last function is
    # deleted.
    file = path.open("rb") if compressed is None else _decompressed(path, compressed)
    archive = tarfile.open(fileobj=file, tarinfo=_TarMember)  # noqa: SIM115
    for member in archive:
        _check_member(path, member.name, member.issym() or member.islnk() or member.isdev())
        if member.isfile():
            yield member.name, member.size, partial(archive.extractfile, member)
    # tarfile accepts the end of the file as the end of the archive; a complete archive ends with a block of
    # zeros.
    if archive.fileobj.tell() == archive.offset:
        raise EOFError("truncated")


def _decompressed(path: Path, opened: Callable) -> BinaryIO:
    """Return an unnamed temporary file: images are read in a different order than they are stored."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with opened(path) as packed:
            shutil.copyfileobj(packed, file, 2**18)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise InputError(
            f"{path}: cannot be decompressed in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR to a "
            "folder with more space"
        ) from None
    file.seek(0)
    return file


def _zip_members(path: Path):
    archive = zipfile.ZipFile(path)
    for member in archive.infolist():
        _check_member(path, member.filename, (member.external_attr >> 16) & 0o170000 == 0o120000)
        if not member.is_dir():
            yield member.filename, member.file_size, partial(archive.open, member)


def _check_member(path: Path, name: str, special: bool) -> None:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or special:
        raise InputError(
            f"{path}: member {name!r} is a link or lies outside the archive's folder; remove it from the "
            "archive"
        )
