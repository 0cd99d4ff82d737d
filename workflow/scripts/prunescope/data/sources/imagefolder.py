"""A folder or an archive of images: train/CLASS/* and test/CLASS/*."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from prunescope.data.sources import Source
from prunescope.errors import InputError
from prunescope.kinds import source

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)
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
        path = self.path
        items = [
            (split, name, file, _shape(_open(read, path, file))) for split, name, file, read in _images(path)
        ]
        shape, classes = self._check(items)
        counts = {split: sum(item[0] == split for item in items) for split in ("train", "test")}
        return {"shape": list(shape), "classes": len(classes), **counts}

    def read(self, download: bool) -> tuple:
        path = self.path
        images = [(split, name, file, _decode(read, path, file)) for split, name, file, read in _images(path)]
        images.sort(key=lambda item: item[:3])  # the order in an archive must not matter
        shape, classes = self._check([(*place, image.shape) for *place, image in images])
        arrays = []
        for split in ("train", "test"):
            part = [(name, image) for kind, name, _, image in images if kind == split]
            arrays.append(np.stack([np.broadcast_to(image, shape) for _, image in part]))
            arrays.append(np.array([classes.index(name) for name, _ in part]))
        return *arrays, classes

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
        image = Image.open(BytesIO(read()))
    except UnidentifiedImageError:
        raise InputError(f"{path}: {file} is not a readable image; remove or replace it") from None
    except (*DAMAGE, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: {file} is not a readable image ({error}); remove or replace it") from None
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{path}: {file} has more than 8 bits per channel; convert the images to 8 bits")
    return image


def _shape(image: Image.Image) -> tuple[int, int, int]:
    """Return the shape that `_decode` gives."""
    return 1 if _is_grey(image) else 3, image.height, image.width


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L")


def _decode(read: Callable[[], bytes], path: Path, file: str) -> np.ndarray:
    """Decode an image to (1, H, W) when it is grey, else to (3, H, W)."""
    image = _open(read, path, file)
    try:
        array = np.asarray(image.convert("L" if _is_grey(image) else "RGB"))
    except (*DAMAGE, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: {file} is not a readable image ({error}); remove or replace it") from None
    return array[None] if _is_grey(image) else array.transpose(2, 0, 1)


def _images(path: Path) -> Iterator[tuple]:
    """Give (split, class, name, read) for each image of a folder or an archive.

    Archives are read member by member and never unpacked to disk; a member that would land outside, or a
    link, is refused all the same: such an archive is not trustworthy.
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
