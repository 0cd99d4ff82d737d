"""Reading and writing files, so that a half-written one is never mistaken for a result.

All JSON, CSV and Parquet files are read and written here; equal content gives equal bytes.
"""

import csv
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prunescope.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_writable(folder: str | Path) -> None:
    """Raise an error if no file can be created in a folder, whether or not the folder exists yet.

    Raises
    ------
    InputError
        Names the folder that is not writable.
    """
    folder = Path(folder)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{there}: this folder is not writable; make it writable and run again")


@contextmanager
def atomic_path(final: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `final`, which is renamed to `final` when the block succeeds.

    The file (or folder) written under the temporary path is flushed to disk and renamed in one step. When
    the block raises, the temporary path is removed and `final` stays as it was. The temporary name holds the
    process id: an orphaned process that writes late never touches the file of its successor.

    Parameters
    ----------
    final : path
        Path of the finished file or folder. Missing parent folders are created.

    Yields
    ------
    pathlib.Path
        The path to write to, with the suffix of `final`. Nothing exists there yet.

    Raises
    ------
    InputError
        When the folder is not writable or the disk is full.
    """
    final = Path(final)
    check_writable(final.parent)
    final.parent.mkdir(parents=True, exist_ok=True)
    part = final.with_name(f".{final.stem}.{os.getpid()}.part{final.suffix}")
    _remove(part)
    try:
        yield part
        for path in [part, *part.rglob("*")] if part.is_dir() else [part]:
            _flush(path)
        if part.is_dir():
            _remove(final)
        part.replace(final)
        _flush(final.parent)
    except BaseException as error:
        _remove(part)
        # torch.save raises an error of its own while it handles the system's.
        number = getattr(error if isinstance(error, OSError) else error.__context__, "errno", None)
        if number in FULL:
            reason = os.strerror(number)
            raise InputError(f"{final}: cannot be written: {reason}; make room and run again") from None
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: str | Path) -> dict:
    """Read a JSON file.

    Raises
    ------
    InputError
        When the file is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error}); delete it and run again") from None


def write_json(path: str | Path, value) -> None:
    """Write `value` as indented JSON, atomically. NaN is refused: it is not JSON."""
    with atomic_path(path) as part:
        part.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_csv(path: str | Path, rows: list[dict]) -> None:
    """Write dictionaries that share their keys as a CSV file with a header, atomically."""
    with atomic_path(path) as part, open(part, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: str | Path):
    """Read a CSV file with a header into a pandas.DataFrame.

    Raises
    ------
    InputError
        When the file is missing or not CSV.
    """
    import pandas as pd

    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable CSV file ({error}); delete it and run again") from None


def read_table(path: str | Path):
    """Read a Parquet file into a pyarrow.Table.

    Raises
    ------
    InputError
        When the file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        problem = str(error).splitlines()[0]
        raise InputError(
            f"{path}: not a readable Parquet file ({problem}); delete it and run again"
        ) from None


def read_parquet(path: str | Path):
    """Read a Parquet file into a pandas.DataFrame; errors are those of `read_table`."""
    return read_table(path).to_pandas()


def write_parquet(path: str | Path, table) -> None:
    """Write a pandas.DataFrame (without its index) or a pyarrow.Table as Parquet, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    with atomic_path(path) as part:
        pq.write_table(table, part)


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
