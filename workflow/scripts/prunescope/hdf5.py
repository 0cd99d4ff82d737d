"""HDF5 files: checksums, verified before HDF5 reads data that may be damaged, and no links to other files.

HDF5's own checksum (the filter ``fletcher32``) makes reading five times slower and covers neither
attributes nor structure; HDF5 can hang on a damaged file. Therefore `seal` appends to a finished file, where
HDF5 ignores it:

- JSON with two entries. ``rows``: for every two-dimensional uncompressed data set, its place in the file
  (first byte, number of bytes) and, for every `BLOCK` rows, the sum of their bytes, taken as unsigned
  integers of 8 bytes (4, 2 or 1 where a row's size is no multiple of 8), modulo 2⁶⁴; a flipped bit always
  changes it. ``rest``: the SHA-256 of all other bytes.
- the length of the JSON in 16 digits, its SHA-256 in 64 digits, and `MAGIC`.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from prunescope.errors import InputError
from prunescope.files import damaged

BLOCK = 1024
MAGIC = b"prunescope seal\n"
FOOTER = 16 + 64 + len(MAGIC)
REMEDY = "delete the file and run again"


def seal(path: str | Path) -> None:
    """Append checksums to an HDF5 file that is finished and closed."""
    rows = {}

    def add(name: str, item) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 2 and item.id.get_offset() is not None:
            parts = (item[start : start + 16 * BLOCK] for start in range(0, item.shape[0], 16 * BLOCK))
            sums = [int(value) for part in parts for value in block_sums(part)]
            rows[name] = [item.id.get_offset(), item.id.get_storage_size(), sums]

    with h5py.File(path) as file:
        file.visititems(add)
    with open(path, "r+b") as file:
        rest = _rest(file, file.seek(0, os.SEEK_END), rows)
        content = json.dumps({"rows": rows, "rest": rest}).encode()
        file.seek(0, os.SEEK_END)
        file.write(content + f"{len(content):016d}{hashlib.sha256(content).hexdigest()}".encode() + MAGIC)


@contextmanager
def opening(path: str | Path, what: str) -> Iterator[tuple[h5py.File, dict[str, np.ndarray]]]:
    """Open a sealed file, which stays open: yield it and the checksums of its matrices."""
    try:
        sums = verify(path)
        file = h5py.File(path)
        refuse_links(path, file)
        yield file, sums
    except (InputError, MemoryError):
        raise
    except Exception as error:  # a damaged file can make the reader raise anything
        raise InputError(f"{path}: not a readable {what} ({error}); delete it and run again") from None


def verify(path: str | Path) -> dict[str, np.ndarray]:
    """Verify all of a sealed file except the rows of matrices; return their checksums, for `read_rows`."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - FOOTER))
        footer = file.read()
        if not footer.endswith(MAGIC):
            raise InputError(f"{path}: damaged, or not of this version; delete it and run again")
        length = footer[:16].decode("ascii", "replace")
        end = size - FOOTER - (int(length) if length.isdecimal() else size)
        file.seek(max(0, end))
        content = file.read(size - FOOTER - end) if end >= 0 else b""
        if hashlib.sha256(content).hexdigest().encode() != footer[16:80]:
            raise damaged(path)
        sealed = json.loads(content)
        if _rest(file, end, sealed["rows"]) != sealed["rest"]:
            raise damaged(path)
    return {name: np.array(sums, np.uint64) for name, (_, _, sums) in sealed["rows"].items()}


def digest_of_seal(path: str | Path) -> str:
    """Return the SHA-256 of a file's seal, which covers everything in the file; an empty text without one."""
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - FOOTER))
        footer = file.read()
    return footer[16:80].decode("ascii", "replace") if footer.endswith(MAGIC) else ""


def _rest(file: BinaryIO, end: int, rows: dict) -> str:
    """SHA-256 of the first `end` bytes of a file without the matrices of `rows`."""
    digest, position = hashlib.sha256(), 0
    for start, size, _ in sorted([*rows.values(), [end, 0, []]]):
        file.seek(position)
        while position < start:
            part = file.read(min(2**20, start - position))
            if not part:
                break
            digest.update(part)
            position += len(part)
        position = start + size
    return digest.hexdigest()


def block_sums(rows: np.ndarray) -> np.ndarray:
    """Return the checksum of each block of `BLOCK` rows, uint64; the last block may be smaller."""
    size = rows.shape[1] * rows.itemsize
    word = next(bytes_ for bytes_ in (8, 4, 2, 1) if size % bytes_ == 0)
    words = np.ascontiguousarray(rows).reshape(-1).view(f"u{word}")
    whole, rest = divmod(len(rows), BLOCK)
    split = whole * BLOCK * size // word
    sums = np.empty(whole + (rest > 0), np.uint64)
    blocks = words[:split].reshape(whole, BLOCK * size // word)
    np.add.reduce(blocks, axis=1, dtype=np.uint64, out=sums[:whole])
    if rest:
        sums[whole] = np.add.reduce(words[split:], dtype=np.uint64)
    return sums


def read_rows(data: h5py.Dataset, sums: np.ndarray, rows: slice) -> np.ndarray | None:
    """Read rows of a matrix and verify them; None if they are damaged.

    Whole blocks are read, so slices should start and end at multiples of `BLOCK`.
    """
    start, stop, _ = rows.indices(data.shape[0])
    first, last = start // BLOCK, -(-max(stop, start) // BLOCK)
    blocks = data[first * BLOCK : last * BLOCK]
    if (block_sums(blocks) != sums[first:last]).any():
        return None
    return blocks[start - first * BLOCK : stop - first * BLOCK]


def refuse_links(path: str | Path, file: h5py.File, remedy: str = REMEDY) -> None:
    """Refuse links, external storage and virtual data sets: such a file would read other files."""
    seen, groups = set(), [file]
    while groups:
        group = groups.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:  # a group that contains itself
            continue
        seen.add(address)
        for name in group:
            where = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _refused(path, where, "a link", remedy)
            item = group[name]
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                raise _refused(path, where, "stored in another file", remedy)


def _refused(path: str | Path, where: str, what: str, remedy: str) -> InputError:
    return InputError(f"{path}: {where} is {what}, which is not allowed; {remedy}")
