"""The files in a folder or an archive: none is lost without an error, and none is larger than allowed."""

import bz2
import gzip
import lzma
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from prunescope.errors import InputError
from prunescope.files import FULL

SUFFIXES = {".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
# Copies that macOS stores as ._x.png next to x.png, and Jupyter in a folder; and a folder of file systems.
COPIES = ("._", ".ipynb_checkpoints", "lost+found")
COMPRESSED = {".tar.gz": gzip.open, ".tgz": gzip.open, ".tar.xz": lzma.open, ".tar.bz2": bz2.open}
ARCHIVES = (".tar", *COMPRESSED, ".zip")
# A small archive can declare any size, or unpack to any size.
LARGEST_FILE = 2**26  # bytes of an image file
LARGEST_OTHER = 2**30  # bytes of another file in a compressed tar archive, which must be read to skip it
LARGEST_HEADER = 2**20  # bytes of a name or attributes in a tar archive
HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)


def members(path: Path) -> Iterator[tuple[str, int, Callable[[], BinaryIO]]]:
    """Yield name and size of each file in a folder or an archive, and a function that opens it.

    Members of an archive are never unpacked to disk. A link, or a member with a path outside, is refused
    nevertheless, because such an archive is not trustworthy.
    """
    if path.is_dir():
        for file in files_below(path, path):
            yield str(file.relative_to(path)), file.stat().st_size, partial(file.open, "rb")
    elif path.name.endswith(".zip"):
        yield from _zip_members(path)
    else:
        yield from _tar_members(path)


def files_below(root: Path, folder: Path, above: tuple = ()) -> Iterator[Path]:
    """Yield the files below a folder, behind links as well.

    Raises
    ------
    InputError
        At the first folder that cannot be read, link that leads nowhere or in a circle, or image that is not
        a file.
    """
    for path in sorted(_entries(root, folder)):
        problem = None
        if path.is_dir():
            status = path.stat()
            identity = status.st_dev, status.st_ino
            if identity in above:
                problem = "is a link to a folder that contains it; remove it"
            else:
                yield from files_below(root, path, (*above, identity))
        elif path.is_file():
            yield path
        elif path.is_symlink():
            problem = f"is a link to {path.readlink()}, which does not exist; correct or remove it"
        elif path.suffix.lower() in SUFFIXES:
            problem = "is not a regular file; remove it"
        if problem:
            raise InputError(f"{root}: {path.relative_to(root)} {problem}")


def _entries(root: Path, folder: Path) -> list[Path]:
    if folder != root and folder.name.startswith(COPIES):
        return []
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise InputError(
            f"{root}: {folder.relative_to(root)} cannot be read ({error.strerror}); make it readable or "
            "remove it"
        ) from None


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
    if compressed is not None:
        yield from _compressed_members(path, compressed)
        return
    # The archive is not closed here, because images are read later. It is closed when the last function is
    # deleted.
    archive = tarfile.open(path, "r:", tarinfo=_TarMember)  # noqa: SIM115
    for member in archive:
        _check_member(path, member.name, member.issym() or member.islnk() or member.isdev())
        if member.isfile():
            yield member.name, member.size, partial(archive.extractfile, member)
    _check_end(archive)


def _compressed_members(path: Path, opened: Callable):
    """Copy images to an unnamed temporary file: they are not read in the order in which they are stored."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    with opened(path) as packed:
        archive = tarfile.open(fileobj=packed, mode="r|", tarinfo=_TarMember)  # noqa: SIM115
        for member in archive:
            _check_member(path, member.name, member.issym() or member.islnk() or member.isdev())
            image = Path(member.name).suffix.lower() in SUFFIXES
            if member.size > LARGEST_OTHER and not image:
                raise InputError(
                    f"{path}: {member.name}: this file has {member.size:,} bytes, more than the allowed "
                    f"{LARGEST_OTHER:,} of a compressed archive; remove it, or unpack the archive"
                )
            if not member.isfile():
                continue
            start = file.tell()
            if image and member.size <= LARGEST_FILE:
                _copy(path, archive.extractfile(member), file)
            yield member.name, member.size, partial(_part, file, start, member.size)
        _check_end(archive)
        # Only at its end is the checksum of the whole file verified.
        allowed = LARGEST_FILE
        while allowed > 0 and (part := packed.read(2**18)):
            allowed -= len(part)
        if allowed <= 0:
            raise OverflowError("more than 64 MiB after the last member")


def _check_end(archive: tarfile.TarFile) -> None:
    # tarfile accepts the end of the file as the end of the archive; a complete archive ends with a block of
    # zeros.
    if archive.fileobj.tell() == archive.offset:
        raise EOFError("truncated")


def _copy(path: Path, member: BinaryIO, file: BinaryIO) -> None:
    try:
        shutil.copyfileobj(member, file, 2**18)
        file.flush()
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise InputError(
            f"{path}: cannot be decompressed in {tempfile.gettempdir()}: {error.strerror}; set TMPDIR to a "
            "folder with more space"
        ) from None


def _part(file: BinaryIO, start: int, size: int) -> BinaryIO:
    end = file.tell()
    file.seek(start)
    content = file.read(size)
    file.seek(end)
    return BytesIO(content)


def _zip_members(path: Path):
    archive = zipfile.ZipFile(path)
    for member in archive.infolist():
        name = member.filename.replace("\\", "/")  # of programs on Windows
        _check_member(path, name, (member.external_attr >> 16) & 0o170000 == 0o120000)
        if not name.endswith("/"):
            yield name, member.file_size, partial(archive.open, member)


def _check_member(path: Path, name: str, special: bool) -> None:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or special:
        raise InputError(
            f"{path}: member {name!r} is a link or lies outside the archive's folder; remove it from the "
            "archive"
        )
