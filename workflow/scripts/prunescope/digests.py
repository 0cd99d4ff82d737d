"""Which code a script can run, definition by definition, and a digest of it.

A rule's digest covers the script; every function, class and constant of the library that it can reach by
name; the code that importing their modules runs; and only those kinds that the experiment names. Names are
followed in the source text; nothing is imported. The digest ignores comments, formatting, docstrings, type
annotations, the wording of errors and log lines, and facts that only describe a kind.

Files of the user's own project, which an experiment can name, are followed in the same way, together with the
neighbouring files that they import. In these files only comments, formatting and docstrings are ignored.

If a name cannot be followed, the digest covers too much rather than too little: a whole class, a whole module
that is passed around as an object, or a whole user's file that looks names up by text. A test refuses library
code that cannot be followed at all, such as relative imports and names looked up by text.
"""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from prunescope import kinds, own, syntax
from prunescope.syntax import Definition, Module

LIBRARY = Path(__file__).resolve().parent


def code(script: str | Path, named: Iterable[tuple[str, str]] = ()) -> str:
    """Digest of the code that a script can run.

    Parameters
    ----------
    script : path
        A Python file; all of its definitions are included.
    named : iterable of (str, str)
        The kinds it uses, as family and name.

    Returns
    -------
    str
        16 hexadecimal digits.

    Raises
    ------
    InputError
        When there is no such kind.
    """
    return _digest(reach(script, named))


def of_file(family: str, text: str) -> str | None:
    """Digest of a kind in a file of the user's own project, without the library; None for any other kind.

    Raises
    ------
    InputError
        When the file, or a neighbouring file that it imports, cannot be found or parsed.
    """
    kind = kinds.find(family, text)
    if not _is_own(_resolved(kind.path)):
        return None
    reached = _follow(_of_kind(kind))
    return _digest({key: part for key, part in reached.items() if key[0].startswith(f"{own.PACKAGE}:")})


def _digest(reached: dict[tuple[str, str], Definition]) -> str:
    digest = hashlib.sha256()
    for (path, name), definition in sorted(reached.items()):
        digest.update(f"{path}\0{name}\0{definition.digest}\0".encode())
    return digest.hexdigest()[:16]


def reach(script: str | Path, named: Iterable[tuple[str, str]] = ()) -> dict[tuple[str, str], Definition]:
    """Return the definitions that a script can reach, by file (relative to the library) and name.

    The name is empty for the code that importing a module runs. Parameters are those of `code`.
    """
    script = Path(script).resolve()
    todo = [(script, name) for name in (*_parse(script).definitions, "")]
    for family, text in named:
        todo += _of_kind(kinds.find(family, text))
    return _follow(todo)


def _of_kind(kind: kinds.Kind) -> list[tuple[Path, str]]:
    """Return the definition of a kind, and the code that importing its module runs."""
    path = _resolved(kind.path)
    root = own.root() if _is_own(path) else LIBRARY
    packages = [parent / "__init__.py" for parent in path.parents if parent.is_relative_to(root)]
    return [
        *_resolve(_parse(path), path, (kind.definition,)),
        *((file, "") for file in (path, *packages) if _is_file(file)),
    ]


def _follow(todo: list[tuple[Path, str]]) -> dict[tuple[str, str], Definition]:
    """Return all definitions that these can reach, including themselves, by path and name."""
    found: dict[tuple[Path, str], Definition] = {}
    while todo:
        path, name = todo.pop()
        if (path, name) in found:
            continue
        module = _parse(path)
        definition = module.definitions[name] if name else module.effects
        found[path, name] = definition
        for chain in definition.names:
            todo += _resolve(module, path, chain)
        if module.whole:
            todo += [(path, other) for other in module.definitions]
        if not name:  # importing a module imports others
            todo += [
                (file, "")
                for targets in module.imports.values()
                for target, attribute in targets
                for file in _files(target, attribute)
            ]
        if module.whole:
            todo += [
                place
                for targets in module.imports.values()
                for target, attribute in targets
                for place in _attribute(target, [attribute] if attribute not in ("", "*") else [])
            ]
    return {(_place(path), name): definition for (path, name), definition in found.items()}


def _place(path: Path) -> str:
    """Return a file's path relative to the library or to the folder of the user's code; a script's name."""
    root = LIBRARY
    if path.is_relative_to(root):
        return str(path.relative_to(root))
    return f"{own.PACKAGE}:{path.relative_to(own.root())}" if _is_own(path) else path.name


def _is_own(path: Path) -> bool:
    """Whether a file belongs to the user's own project."""
    return path.is_relative_to(own.root()) and not path.is_relative_to(LIBRARY.parent)


def _resolve(module: Module, path: Path, chain: tuple[str, ...]) -> list[tuple[Path, str]]:
    """Return the definitions that a dotted name may stand for."""
    first, *more = chain
    found = [(path, first)] if first in module.definitions else []
    for target, attribute in module.imports.get(first, ()):
        found += _attribute(target, [attribute, *more] if attribute else more)
    return found


def _attribute(target: str, chain: list[str]) -> list[tuple[Path, str]]:
    """Return the definitions that a chain of attributes of a module stands for."""
    file = _file(target)
    if file is None:  # a folder without __init__.py, or another package
        return _attribute(f"{target}.{chain[0]}", chain[1:]) if chain and _is_folder(target) else []
    if not chain:  # the module itself is used as an object
        return [(file, name) for name in (*_parse(file).definitions, "")]
    if _file(f"{target}.{chain[0]}") is not None:
        return [(file, ""), *_attribute(f"{target}.{chain[0]}", chain[1:])]
    module = _parse(file)
    if chain[0] in module.definitions:
        return [(file, chain[0]), (file, "")]
    if chain[0] in module.imports:
        return [(file, ""), *_resolve(module, file, tuple(chain))]
    return [(file, name) for name in (*module.definitions, "")]


def _files(target: str, attribute: str) -> list[Path]:
    """Return the library files that ``from target import attribute`` runs."""
    parts = [*target.split("."), *([attribute] if attribute else [])]
    found = [_file(".".join(parts[: depth + 1])) for depth in range(len(parts))]
    return [file for file in found if file is not None]


def _file(module: str) -> Path | None:
    """Return the file of a module of the library or of the user's code, None for any other."""
    base = _base(module)
    if base is None:
        return None
    return next(
        (file for file in (base / "__init__.py", base.with_suffix(".py")) if _is_file(file)),
        None,
    )


def _base(module: str) -> Path | None:
    """Return a module's path without a suffix."""
    first, *rest = module.split(".")
    if first not in (LIBRARY.name, own.PACKAGE):
        return None
    return (LIBRARY if first == LIBRARY.name else own.root()).joinpath(*rest)


def _is_folder(module: str) -> bool:
    base = _base(module)
    return base is not None and base.is_dir()


# A plan asks for the same few files thousands of times.
@cache
def _resolved(path: Path) -> Path:
    return path.resolve()


@cache
def _is_file(path: Path) -> bool:
    return path.is_file()


def _parse(path: Path) -> Module:
    return syntax.parse(path, own.root() if _is_own(path) else None)
