"""Reading and writing files, so that no incomplete file is mistaken for a result.

All JSON, CSV and Parquet files are read and written here; equal content gives equal bytes.
"""

import csv
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from prunescope.errors import InputError, first_line

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Files that this process has claimed, by absolute path, and what their owner files must hold.
_claims: dict[Path, str] = {}


def check_writable(folder: str | Path) -> None:
    """Raise an error if no file can be created in a folder; the folder need not exist yet."""
    folder = Path(folder)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{there}: folder is not writable; make it writable and run again")


@contextmanager
def atomic_path(final: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `final`, which is renamed to `final` when the block succeeds.

    The file (or folder) written under the temporary path is flushed to disk and renamed in one step. If the
    block raises, the temporary path is removed and `final` is unchanged. A file that this process has claimed
    is replaced only if no other process has claimed it since, see `claimed`.
    """
    final = Path(final)
    check_writable(final.parent)
    final.parent.mkdir(parents=True, exist_ok=True)
    part = final.with_name(f".{final.stem}.{secrets.token_hex(8)}.part{final.suffix}")
    try:
        yield part
        for path in [part, *part.rglob("*")] if part.is_dir() else [part]:
            _flush(path)
        check_claim(final)
        if part.is_dir():
            _remove(final)
        part.replace(final)
        _flush(final.parent)
    except BaseException as error:
        _remove(part)
        # torch.save raises its own error while it handles the system's error.
        _explain(final, error if isinstance(error, OSError) else error.__context__)
        if isinstance(error, OSError):
            check_claim(final)  # the other process has removed the temporary file
        raise


def _explain(final: str | Path, error: BaseException | None) -> None:
    """Raise an `InputError` if an error means that there is no room for a file."""
    number = getattr(error, "errno", None)
    if number in FULL:
        reason = os.strerror(number)
        raise InputError(f"{final}: cannot be written: {reason}; free some space and run again") from None


@contextmanager
def claimed(paths: Iterable[str | Path]) -> Iterator[None]:
    """Claim files that this process will write, until the block ends.

    A hidden file beside each, ``.NAME.owner``, holds a random token. A later claim replaces the token, so a
    process that is still running after its workflow was killed cannot overwrite the results of its successor.
    Temporary files left by earlier owners are removed.
    """
    token, paths = secrets.token_hex(8), list(paths)
    finals = [Path(path).absolute() for path in paths]
    for path, final in zip(paths, finals, strict=True):
        check_writable(Path(path).parent)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            _owner(final).write_text(token)
        except OSError as error:
            _explain(path, error)
            raise
        _claims[final] = token
        temporary = re.compile(rf"\.{re.escape(final.stem)}\.[0-9a-f]+\.part{re.escape(final.suffix)}")
        for path in final.parent.iterdir():
            if temporary.fullmatch(path.name):
                _remove(path)
    try:
        yield
    finally:
        for final in finals:
            if _owns(final):
                _owner(final).unlink()
            del _claims[final]


def check_claim(path: str | Path) -> None:
    """Raise an `InputError` if another process has claimed a file since this process claimed it."""
    if not _owns(Path(path).absolute()):
        raise InputError(f"{path}: another job is writing this file; this job stops without changing it")


def _owner(final: Path) -> Path:
    return final.with_name(f".{final.name.removeprefix('.')}.owner")


def _owns(final: Path) -> bool:
    if final not in _claims:
        return True
    try:
        return _owner(final).read_text() == _claims[final]
    except FileNotFoundError:  # the successor has finished
        return False


def discard(path: str | Path) -> None:
    """Remove a file if it exists, unless another process has claimed it."""
    check_claim(path)
    Path(path).unlink(missing_ok=True)


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
    """Read a JSON file whose top level is a mapping."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error}); delete it and run again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold a mapping; delete it and run again")
    return content


def write_json(path: str | Path, value: dict) -> None:
    """Write `value` as indented JSON, atomically. NaN is refused because it is not valid JSON."""
    text = json.dumps(value, indent=2, allow_nan=False)
    write_text(path, text + "\n")


def damaged(path: str | Path) -> InputError:
    """Return the error for a file whose content is not what its job wrote."""
    return InputError(
        f"{path}: damaged or another file: its content does not match its checksum; delete it and run again"
    )


def damaged_member(path: str | Path) -> str | None:
    """Return the first member of a zip archive whose checksum is wrong; None if all are right, or it is none.

    torch.load reads the archives of torch.save without looking at their checksums.
    """
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def write_csv(path: str | Path, rows: list[dict], columns: Sequence[str] = ()) -> None:
    """Write dictionaries that share their keys as a CSV file, atomically; `columns` are used without any."""
    with atomic_path(path) as part, open(part, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else columns)
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: str | Path):
    """Read a CSV file with a header into a pandas.DataFrame."""
    import pandas as pd

    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable CSV file ({error}); delete it and run again") from None


def read_table(path: str | Path):
    """Read a Parquet file into a pyarrow.Table; the checksums of its pages are verified."""
    import pyarrow.parquet as pq

    return _parquet(path, lambda: pq.read_table(path, page_checksum_verification=True))


def read_schema(path: str | Path):
    """Read the schema of a Parquet file, with its metadata."""
    import pyarrow.parquet as pq

    return _parquet(path, lambda: pq.read_schema(path))


def _parquet(path: str | Path, read: Callable):
    import pyarrow as pa

    try:
        return read()
    except (OSError, ValueError, pa.ArrowException) as error:
        problem = first_line(error)
        raise InputError(
            f"{path}: not a readable Parquet file ({problem}); delete it and run again"
        ) from None


def read_parquet(path: str | Path):
    """Read a Parquet file into a pandas.DataFrame."""
    return read_table(path).to_pandas()


def write_parquet(path: str | Path, table) -> None:
    """Write a pandas.DataFrame (without its index) or a pyarrow.Table as Parquet, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    with atomic_path(path) as part:
        pq.write_table(table, part, write_page_checksum=True)


def write_text(path: str | Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def unchanging_sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, recomputed only when its size or modification time changes."""
    stat = Path(path).stat()
    return _sha256(str(path), stat.st_mtime_ns, stat.st_size)


@cache
def _sha256(path: str, _mtime: int, _size: int) -> str:
    return sha256(path)


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
