"""Records of what plans have found out, kept next to Snakemake's own."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

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


def _digest(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
