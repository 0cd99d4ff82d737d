"""Reading and writing files, so that no incomplete, damaged or foreign file is mistaken for a result.

All JSON, CSV and Parquet files are read and written here; equal content gives equal bytes. JSON and Parquet
files hold a checksum of their content and the mark of the job that made them (`prunescope.provenance`).
"""

import csv
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from prunescope import provenance
from prunescope.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Key of Parquet metadata.
SEAL = b"prunescope"
# Files that this process has claimed, by absolute path, and what their owner files must hold.
_claims: dict[Path, str] = {}


def check_writable(folder: str | Path) -> None:
    """Raise an error if no file can be created in a folder; the folder need not exist yet.

    Raises
    ------
    InputError
        Names the folder that is not writable.
    """
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

    Parameters
    ----------
    final : path
        Path of the finished file or folder. Missing parent folders are created.

    Yields
    ------
    pathlib.Path
        The path to write to, with the suffix of `final`. It does not exist yet.

    Raises
    ------
    InputError
        When the folder is not writable, the disk is full, or another process has claimed the file.
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
    """Read a JSON file that `write_json` wrote.

    Returns
    -------
    dict
        Without the checksum.

    Raises
    ------
    InputError
        When the file is missing, damaged, not of this version, or not the one that the running job expects.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error}); delete it and run again") from None
    if not isinstance(content, dict) or "checksum" not in content:
        raise InputError(f"{path}: not a JSON file of this version; delete it and run again")
    if content.pop("checksum") != _json_checksum(content):
        raise damaged(path)
    provenance.check(path, content)
    return content


def write_json(path: str | Path, value: dict) -> None:
    """Write `value`, the mark of the running job and a checksum as indented JSON, atomically.

    NaN is refused because it is not valid JSON.
    """
    content = {**provenance.mark(path), **value}
    content["checksum"] = _json_checksum(json.loads(json.dumps(content, allow_nan=False)))
    with atomic_path(path) as part:
        part.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _json_checksum(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def damaged(path: str | Path) -> InputError:
    """Return the error for a file whose content does not match its checksum."""
    return InputError(f"{path}: damaged: its content does not match its checksum; delete it and run again")


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
    """Read a Parquet file that `write_parquet` wrote into a pyarrow.Table.

    Raises
    ------
    InputError
        When the file is missing, damaged, not of this version, or not the one that the running job expects.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, page_checksum_verification=True)
        seal = json.loads((table.schema.metadata or {}).get(SEAL, "{}"))
    except (OSError, ValueError, pa.ArrowException) as error:
        problem = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path}: not a readable Parquet file ({problem}); delete it and run again"
        ) from None
    if not isinstance(seal, dict) or "checksum" not in seal:
        raise InputError(f"{path}: not a Parquet file of this version; delete it and run again")
    if seal.pop("checksum") != _table_checksum(table, seal):
        raise damaged(path)
    provenance.check(path, seal)
    return table


def read_parquet(path: str | Path):
    """Read a Parquet file into a pandas.DataFrame; errors are those of `read_table`."""
    return read_table(path).to_pandas()


def write_parquet(path: str | Path, table) -> None:
    """Write a pandas.DataFrame (without its index) or a pyarrow.Table as Parquet, atomically.

    The mark of the running job and a checksum of the table with its metadata go into the file's metadata, as
    JSON under the key ``prunescope``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not isinstance(table, pa.Table):
        table = pa.Table.from_pandas(table, preserve_index=False)
    seal = provenance.mark(path)
    seal["checksum"] = _table_checksum(table, seal)
    metadata = {**(table.schema.metadata or {}), SEAL: json.dumps(seal).encode()}
    with atomic_path(path) as part:
        pq.write_table(table.replace_schema_metadata(metadata), part, write_page_checksum=True)


def _table_checksum(table, seal: dict) -> str:
    """SHA-256 of the columns' names, types and values, the metadata and the mark."""
    metadata = sorted(item for item in (table.schema.metadata or {}).items() if item[0] != SEAL)
    digest = hashlib.sha256(json.dumps([seal, table.num_rows], sort_keys=True).encode())
    digest.update(repr(metadata).encode())
    for name, column in zip(table.column_names, table.columns, strict=True):
        digest.update(f"{name}\0".encode())
        for part in _content(column.combine_chunks()):
            digest.update(part)
    return digest.hexdigest()


def _content(array) -> Iterator[bytes]:
    """Yield type and bytes of a column's values, whatever their layout in Arrow's memory."""
    import pyarrow as pa
    import pyarrow.compute as pc

    yield array.is_valid().to_numpy(zero_copy_only=False).tobytes()
    array = array.drop_null()
    if pa.types.is_list(array.type):
        yield b"list"  # its full name differs between a table in memory and a table read from a file
        yield pc.list_value_length(array).to_numpy(zero_copy_only=False).tobytes()
        yield from _content(array.flatten())
        return
    yield str(array.type).encode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        encoded = array.dictionary_encode()
        yield json.dumps(encoded.dictionary.to_pylist()).encode()
        yield encoded.indices.to_numpy(zero_copy_only=False).tobytes()
    else:
        yield array.to_numpy(zero_copy_only=False).tobytes()


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
