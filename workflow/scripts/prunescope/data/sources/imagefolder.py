"""A folder or an archive of images: train/CLASS/* and test/CLASS/*."""

import lzma
import os
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from math import prod
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from PIL import Image, UnidentifiedImageError

from prunescope.data.sources import Source
from prunescope.errors import InputError
from prunescope.kinds import source

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
# What Pillow may take a file for, whatever its name: other formats run programs or have no use here.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(ValueError, OverflowError),  # of tarfile, for headers that make no sense
    RuntimeError,  # of zipfile, for encryption and unknown compression; of recursion without end
)
# A small archive can declare, or unpack to, any size. These bounds are checked before and while it is read.
LARGEST_FILE = 2**26  # bytes of an image file
LARGEST_HEADER = 2**20  # bytes of a name or attributes in a tar archive
MOST_PIXELS = 2**24  # of an image: 4096 × 4096
# Of all decoded images: half of this machine's memory, because they are copied once.
MOST_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip")


@source(form="imagefolder:PATH")
class ImageFolder(Source):
    """A folder, or an archive (.tar, .tar.gz, .tar.xz, .tar.bz2, .zip), of train/CLASS/* and test/CLASS/*."""

    @property
    def path(self) -> Path:
        """The folder or archive.

        Raises
        ------
        InputError
            When it is not there, or is a file of an unknown kind.
        """
        path = Path(self.root, self.name)
        where = f"data.datasets: {self.text!r}"
        if not path.exists():
            raise InputError(
                f"{where}: no folder or archive {path}; correct the path (relative ones start at data.root)"
            )
        if path.is_file() and not path.name.endswith(ARCHIVES):
            raise InputError(
                f"{where}: {path} is neither a folder nor an archive; allowed: {', '.join(ARCHIVES)}"
            )
        return path

    def stamp(self) -> list:
        """Return its path, the number and sizes of its files, and the latest time of change."""
        path = self.path
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        stats = [file.stat() for file in files]
        return [
            str(path.resolve()),
            len(files),
            sum(stat.st_size for stat in stats),
            max((stat.st_mtime_ns for stat in stats), default=0),
        ]

    def describe(self) -> dict:
        items = list(self._each(_header))
        shape, classes = self._check(items)
        counts = {split: sum(item[0] == split for item in items) for split in ("train", "test")}
        return {"shape": list(shape), "classes": len(classes), **counts}

    def read(self, download: bool) -> tuple:
        self.describe()  # refuses, before anything is decoded, what would take too much memory
        images = list(self._each(_decode))
        images.sort(key=lambda item: item[:3])  # the order in an archive must not matter
        shape, classes = self._check([(*place, image.shape) for *place, image in images])
        arrays = []
        for split in ("train", "test"):
            part = [(name, image) for kind, name, _, image in images if kind == split]
            arrays.append(np.stack([np.broadcast_to(image, shape) for _, image in part]))
            arrays.append(np.array([classes.index(name) for name, _ in part]))
        return *arrays, classes

    def _each(self, look: Callable) -> Iterator[tuple]:
        """Give split, class, file and what `look` finds for each image.

        Raises
        ------
        InputError
            As soon as the images would take too much memory.
        """
        path, size = self.path, 0
        for split, name, file, read in _images(path):
            found = look(read, path, file)
            size += prod(found if isinstance(found, tuple) else found.shape)
            if size > MOST_BYTES:
                raise InputError(
                    f"{path}: its images take more than {MOST_BYTES / 1e9:.1f} GB when decoded, half of this "
                    "machine's memory; use fewer or smaller images"
                )
            yield split, name, file, found

    def _check(self, items: list[tuple]) -> tuple[tuple[int, int, int], list[str]]:
        """Return the images' common shape and the classes, from split, class, file and shape of each image.

        Raises
        ------
        InputError
            When a split is empty, a class is in one split only, or images differ in size.
        """
        names = {split: {item[1] for item in items if item[0] == split} for split in ("train", "test")}
        for split, classes in names.items():
            if not classes:
                raise InputError(f"{self.path}: holds no images under {split}/CLASS/")
        for name in sorted(names["train"] ^ names["test"]):
            there, missing = ("train", "test") if name in names["train"] else ("test", "train")
            raise InputError(
                f"{self.path}: class {name!r} has images under {there}/ but none under {missing}/"
            )
        sizes: dict[tuple[int, int], str] = {}
        for *_, file, shape in sorted(items):
            sizes.setdefault(shape[1:], file)
        if len(sizes) > 1:
            (first, one), (second, other) = list(sizes.items())[:2]
            raise InputError(
                f"{self.path}: {other} is {second[0]}×{second[1]} pixels, {one} is {first[0]}×{first[1]}; "
                "resize all images to the same size first"
            )
        return (max(item[3][0] for item in items), *next(iter(sizes))), sorted(names["train"])


def _open(read: Callable[[], bytes], path: Path, file: str) -> Image.Image:
    """Read an image's header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of odd attributes, and of sizes for which the bound below is lower
            image = Image.open(BytesIO(read()), formats=FORMATS)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{path}: {file} is not a readable image; remove or replace it") from None
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: {file} is not a readable image ({error}); remove or replace it") from None
    if image.width * image.height > MOST_PIXELS:
        raise InputError(
            f"{path}: {file} declares {image.width}×{image.height} pixels, more than {MOST_PIXELS:,}; "
            "resize the images first"
        )
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{path}: {file} has more than 8 bits per channel; convert the images to 8 bits")
    return image


def _header(read: Callable[[], bytes], path: Path, file: str) -> tuple[int, int, int]:
    """Return the shape that `_decode` gives, without decoding."""
    image = _open(read, path, file)
    return 1 if _is_grey(image) else 3, image.height, image.width


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L")


def _decode(read: Callable[[], bytes], path: Path, file: str) -> np.ndarray:
    """Decode an image to (1, H, W) when it is grey, else to (3, H, W)."""
    image = _open(read, path, file)
    try:
        array = np.asarray(image.convert("L" if _is_grey(image) else "RGB"))
    except DAMAGE as error:
        raise InputError(f"{path}: {file} is not a readable image ({error}); remove or replace it") from None
    return array[None] if _is_grey(image) else array.transpose(2, 0, 1)


def _images(path: Path) -> Iterator[tuple]:
    """Give (split, class, name, read) for each image of a folder or an archive.

    Archives are read member by member and never unpacked to disk; a member that would land outside, or a
    link, is refused all the same: such an archive is not trustworthy.
    """
    if path.is_dir():
        members = (
            (str(file.relative_to(path)), lambda file=file: _read(file.open("rb"), file.stat().st_size, file))
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
    except InputError:
        raise
    except DAMAGE as error:
        problem = str(error).split("\n")[0].rstrip(":")
        raise InputError(f"{path}: damaged archive ({problem}); fetch it again") from None


def _read(stream: IO[bytes], declared: int, name) -> bytes:
    """Read an image file, but never more than `LARGEST_FILE`."""
    with stream:
        if declared <= LARGEST_FILE and len(content := stream.read(LARGEST_FILE + 1)) <= LARGEST_FILE:
            return content
    raise InputError(
        f"{name}: this image file has {declared:,} bytes, more than {LARGEST_FILE:,}; resize the images first"
    )


HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


class _TarMember(tarfile.TarInfo):
    """A member whose long names and attributes, which `tarfile` reads whole, have a bound."""

    @classmethod
    def frombuf(cls, *arguments):
        member = super().frombuf(*arguments)
        if member.type in HEADERS and member.size > LARGEST_HEADER:
            raise OverflowError(f"a header of {member.size:,} bytes")
        return member


def _tar_members(path: Path):
    with tarfile.open(path, tarinfo=_TarMember) as archive:
        for member in archive:
            _check_member(path, member.name, member.issym() or member.islnk() or member.isdev())
            if member.isfile():
                yield (
                    member.name,
                    lambda member=member: _read(
                        archive.extractfile(member), member.size, f"{path}: {member.name}"
                    ),
                )
        # tarfile takes the end of the file for the end of the archive; only a block of zeros is.
        if archive.fileobj.tell() == archive.offset:
            raise EOFError("ends in the middle")


def _zip_members(path: Path):
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            _check_member(path, member.filename, (member.external_attr >> 16) & 0o170000 == 0o120000)
            if not member.is_dir():
                yield (
                    member.filename,
                    lambda member=member: _read(
                        archive.open(member), member.file_size, f"{path}: {member.filename}"
                    ),
                )


def _check_member(path: Path, name: str, special: bool) -> None:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or special:
        raise InputError(f"{path}: member {name!r} would land outside its folder or is a link; refused")
