"""Digests of code: what a rule's script can import, and the kinds that an experiment names.

A digest covers whole files, without comments, docstrings and formatting. Tables of kinds are left out. For
each kind that is named, the digest has its entry, without what only people read, and the files that define
it, with all that they import. The library's own ``__init__.py`` is left out: it only provides names for
notebooks.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from prunescope import closure, kinds, user_code
from prunescope.files import unchanging_sha256


def code(script: str | Path, named: Iterable[tuple[str, str]] = ()) -> str:
    """Digest of the code that a script can run, with these kinds (family and name), 16 digits."""
    used = [(family, kinds.find(family, text)) for family, text in sorted(set(named))]
    entries = [
        [family, kind.name, kind.definition, dict(kind.facts), dict(kind.functions)]
        for family, kind in used
        if not kind.file
    ]
    text = json.dumps([closure.digest(files(script, named)), entries])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files(script: str | Path, named: Iterable[tuple[str, str]] = ()) -> set[Path]:
    """Return the files that a script can import, including its own. Parameters are those of `code`."""
    first = [Path(script).resolve()]
    for kind in (kinds.find(family, text) for family, text in named):
        if kind.file:
            first += closure.with_packages(_file(kind))
        else:
            definitions = (kind.definition, *kind.functions.values())
            first += [closure.module(closure.LIBRARY, one.partition(":")[0]) for one in definitions]
    return closure.closure(first)


def of_file(family: str, text: str) -> str | None:
    """Digest of a kind in a file of the user's own project, without the library; None for any other kind."""
    kind = kinds.find(family, text)
    return closure.digest(file for file, *_ in closure.of_user(_file(kind)))[:16] if kind.file else None


def user_files(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the user's own files that some kinds can run, each with its SHA-256 and the digest of its code.

    Paths are relative to the folder of the user's code.
    """
    used = (kinds.find(family, text) for family, text in named)
    paths = [path for kind in used if kind.file for path, *_ in closure.of_user(_file(kind))]
    return {
        str(path.relative_to(user_code.root())): [unchanging_sha256(path), closure.digest([path])[:16]]
        for path in sorted(paths)
    }


def _file(kind: kinds.Kind) -> Path:
    """Return the file of the user's own project that defines a kind."""
    return user_code.locate(kind.definition)[0]
