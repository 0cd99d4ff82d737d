"""A folder or an archive of images, with or without a folder for each class and each split."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from prunescope.data import archives, pictures
from prunescope.data.datasets import UNLABELLED
from prunescope.data.pictures import DAMAGE
from prunescope.data.sources import Source
from prunescope.errors import InputError

# Images that cannot be read, which must not be left out silently.
UNREADABLE = {".avif", ".heic", ".heif", ".ico", ".jp2", ".jxl", ".svg", ".tga"}
SPLITS = ("train", "val", "test")
# How other names of splits start, e.g. Train, training, testing, validation.
LIKE_SPLITS = ("trai", "vali", "val", "test")


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
        return self.local(archives.ARCHIVES, "folder or archive")

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
        items = self._splits(_arranged(path, list(_images(path).items())))
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
    files = list(archives.files_below(path, path)) if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    return [
        str(path.resolve()),
        len(files),
        sum(stat.st_size for stat in stats),
        max((stat.st_mtime_ns for stat in stats), default=0),
    ]


def _images(path: Path) -> dict[tuple[str, ...], Callable[[], BinaryIO]]:
    """Return functions that open the images in a folder or an archive, by path as its parts.

    If an archive has several members of a name, the last one counts, as when it is unpacked.
    """
    images = {}
    try:
        for name, size, open in archives.members(path):
            parts, suffix = PurePosixPath(name).parts, Path(name).suffix.lower()
            copied = any(part.startswith(archives.COPIES) for part in parts)
            if copied or suffix not in archives.SUFFIXES | UNREADABLE:
                continue
            if problem := _problem(parts, suffix, size):
                raise InputError(f"{path}: {name}: {problem}")
            images[parts] = open
    except InputError:
        raise
    except DAMAGE as error:
        problem = str(error).split("\n")[0].rstrip(":")
        raise InputError(f"{path}: damaged archive ({problem}); download or copy it again") from None
    return images


def _problem(parts: tuple[str, ...], suffix: str, size: int) -> str:
    """Say why an image cannot be used; an empty text if it can."""
    if any(part.startswith(".") for part in parts):
        return "this image is hidden; rename or remove it"
    if suffix in UNREADABLE:
        return f"{suffix} images are not supported; convert it to PNG"
    if size > archives.LARGEST_FILE:
        most = f"{archives.LARGEST_FILE:,}"
        return f"this image file has {size:,} bytes, more than the allowed {most}; make it smaller"
    return ""


def _arranged(path: Path, images: list[tuple[tuple[str, ...], Callable]]) -> list[Item]:
    """Determine split and class of images from their folders.

    Raises
    ------
    InputError
        When there are no images, or the folders do not determine the split and class of each image.
    """
    known = "see docs/data.md for the supported folder layouts"
    if not images:
        raise InputError(f"{path}: contains no images ({', '.join(sorted(archives.SUFFIXES))}); {known}")
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
            if len(parts) != start + 3 or parts[start] not in SPLITS:
                raise InputError(
                    f"{path}: {'/'.join(parts)} is not in the folder of a class and a split; move or remove "
                    f"it; {known}"
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
        odd = [name for name, part in last.items() if part not in SPLITS and part.lower()[:4] in LIKE_SPLITS]
        if odd:
            raise InputError(
                f"{path}: the folder {odd[0]} is not a split; rename it to train, val or test, or, if it is "
                "a data set of its own, give its path"
            )
        raise InputError(f"{path}: contains more than one data set ({two}); give the path of one of them")
