"""Records of what plans have found out, kept next to Snakemake's own."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from prunescope import identity
from prunescope.errors import InputError
from prunescope.files import read_json, write_json

FOLDER = Path(".snakemake/prunescope")


def remember(what: str, key: list, compute: Callable[[], object]):
    """Return ``compute()``, a JSON value, kept in a file for this key."""
    name = f"{what}-{_digest(key)[:24]}"
    value = read(name)
    if value is None:
        value = compute()
        write(name, value)
    return value


def read(name: str):
    """Return a record; None if it is missing or damaged."""
    try:
        kept = read_json(FOLDER / f"{name}.json")
        return kept["value"] if kept["digest"] == _digest(kept["value"]) else None
    except (InputError, LookupError, TypeError):
        return None


def write(name: str, value) -> None:
    """Write a record, unless Snakemake has never run in the working directory."""
    if FOLDER.is_dir():
        write_json(FOLDER / f"{name}.json", {"digest": _digest(value), "value": value})


class Hashes:
    """The hashes of files, kept between plans: computed again when a file's size, times or inode change."""

    def __init__(self):
        self._kept = read("hashes") or {}
        self._changed = False

    def of(self, path: str) -> str | None:
        """Return the hash of a file or folder; None if it does not exist."""
        stamp = list(_stamps(Path(path)))
        if not stamp:
            return None
        if self._kept.get(path, [None])[0] != stamp:
            self._kept[path], self._changed = [stamp, identity.content(path)], True
        return self._kept[path][1]

    def save(self) -> None:
        """Keep the hashes for the next plan, if any is new."""
        if self._changed:
            write("hashes", self._kept)


def _stamps(path: Path) -> Iterator[list[int]]:
    for part in identity.files_in(path) if path.is_dir() else [path]:
        try:
            stat = part.stat()
        except OSError:
            return
        # The time of the last change of the inode cannot be set, so a restored modification time is noticed.
        yield [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _digest(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
