"""Digests of code: what a rule's script can import, and the kinds that an experiment names.

A digest covers whole files, without comments, docstrings and formatting. Tables of kinds are left out. For
each kind that is named, the digest has its entry, without what only people read, and the files that define
it, with all that they import. The library's own ``__init__.py`` is left out: it only provides names for
notebooks.
"""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from prunescope import closure, kinds, own
from prunescope.files import unchanging_sha256


def code(script: str | Path, named: Iterable[tuple[str, str]] = ()) -> str:
    """Digest of the code that a script can run, 16 hexadecimal digits.

    Parameters
    ----------
    script : path
        A Python file.
    named : iterable of (str, str)
        The kinds it uses, as family and name.

    Raises
    ------
    InputError
        When there is no such kind, or a user's file cannot be found or parsed.
    """
    found = [(family, kinds.find(family, text)) for family, text in sorted(set(named))]
    entries = [
        [family, kind.name, kind.definition, dict(kind.facts), dict(kind.functions)]
        for family, kind in found
        if not kind.own
    ]
    text = json.dumps([closure.digest(files(script, named)), entries])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def files(script: str | Path, named: Iterable[tuple[str, str]] = ()) -> set[Path]:
    """Return the files that a script can import, including its own. Parameters are those of `code`."""
    found = [Path(script).resolve()]
    for kind in (kinds.find(family, text) for family, text in named):
        if kind.own:
            found += closure.with_packages(own.locate(kind.definition)[0])
        else:
            places = (kind.definition, *kind.functions.values())
            found += [closure.module(closure.LIBRARY, place.partition(":")[0]) for place in places]
    return closure.closure(found)


def of_file(family: str, text: str) -> str | None:
    """Digest of a kind in a file of the user's own project, without the library; None for any other kind."""
    kind = kinds.find(family, text)
    return _of_user(closure.of_user(own.locate(kind.definition)[0]), own.root()) if kind.own else None


def user_files(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the user's own files that some kinds can run, each with its SHA-256 and the digest of its code.

    Paths are relative to the folder of the user's code.
    """
    own_kinds = [kind for kind in (kinds.find(family, text) for family, text in named) if kind.own]
    found = [file for kind in own_kinds for file, *_ in closure.of_user(own.locate(kind.definition)[0])]
    return {
        str(path.relative_to(own.root())): [unchanging_sha256(path), closure.digest([path])[:16]]
        for path in sorted(found)
    }


@cache
def _of_user(files: tuple, _root: Path) -> str:
    return closure.digest(file for file, *_ in files)[:16]
