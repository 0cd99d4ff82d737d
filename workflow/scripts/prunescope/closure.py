"""Files that a Python file can import: of this library, and of the user's own project.

Imports are followed in the source text, also within functions; nothing is imported.
"""

import ast
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from prunescope import records, user_code
from prunescope.errors import InputError

LIBRARY = Path(__file__).resolve().parent
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def digest(files: Iterable[Path]) -> str:
    """Digest of the code in some files, without comments, docstrings and formatting."""
    code = hashlib.sha256()
    for name, text in sorted((_name(path), _parsed(path)[0]) for path in files):
        code.update(f"{name}\0{text}\0".encode())
    return code.hexdigest()


def closure(files: Iterable[Path], only: Callable[[Path], bool] = lambda path: True) -> set[Path]:
    """Return these files and all that they can import, of the library and of the user's project."""
    reached: set[Path] = set()
    todo, before = list(files), len(_sources())
    while todo:
        path = todo.pop()
        if path not in reached and only(path):
            reached.add(path)
            todo += _parsed(path)[1]
    if len(_sources()) > before:
        records.write(_record(), _sources())
    return reached


def of_user(path: Path) -> tuple[tuple[Path, int, int], ...]:
    """Return a file of the user's project and those of the project that it can import.

    Their time stamps and sizes are added, so the result changes when a file does.
    """
    stats = ((file, file.stat()) for file in sorted(closure(with_packages(path), is_user_code)))
    return tuple((file, stat.st_mtime_ns, stat.st_size) for file, stat in stats)


def with_packages(path: Path) -> list[Path]:
    """Return a file of the user's project, and those of the packages around it, which Python runs first."""
    packages = [folder / "__init__.py" for folder in path.parents if is_user_code(folder)]
    return [path, *filter(Path.is_file, packages)]


def is_user_code(path: Path) -> bool:
    """Whether a file belongs to the user's own project."""
    return path.is_relative_to(user_code.root()) and not path.is_relative_to(LIBRARY.parent)


def _name(path: Path) -> str:
    """Return a file's path relative to the library or to the folder of the user's code."""
    if is_user_code(path):
        return f"{user_code.PACKAGE}:{path.relative_to(user_code.root())}"
    return str(path.relative_to(LIBRARY.parent)) if path.is_relative_to(LIBRARY.parent) else path.name


def _parsed(path: Path) -> tuple[str, tuple[Path, ...]]:
    """Return a digest of a file's code, and the files that it imports."""
    stat = path.stat()
    return _parse(path, user_code.root() if is_user_code(path) else None, stat.st_mtime_ns, stat.st_size)


@cache
def _parse(path: Path, root: Path | None, _mtime: int, _size: int) -> tuple[str, tuple[Path, ...]]:
    text = path.read_bytes()
    key = hashlib.sha256(text).hexdigest()
    if key not in _sources():
        _sources()[key] = _read(text, path, root)
    digest, imports = _sources()[key]
    return digest, tuple({file for names, level in imports for file in _files(names, level, path, root)})


@cache
def _sources() -> dict[str, list]:
    """The digest and the imports of source texts, by the digest of a text: also by earlier plans."""
    return records.read(_record()) or {}


@cache
def _record() -> str:
    """Name the record of source texts; what it holds depends on this file and on the version of Python."""
    return f"sources-{hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).hexdigest()[:16]}"


def _read(text: bytes, path: Path, root: Path | None) -> list:
    """Return a digest of a text's code, and its imports: names, and the dots before them."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        if root is None:
            raise
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        problem = error.msg if isinstance(error, SyntaxError) else error
        raise InputError(f"{path.relative_to(root)}{line}: {problem}; correct the file") from None
    imports = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports.append([[alias.name for alias in node.names], 0])
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{alias.name}".strip(".") for alias in node.names]
            imports.append([names, node.level])
        elif isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body[0] = ast.Pass()
    return [hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports]


def _files(names: list[str], level: int, path: Path, root: Path | None) -> Iterator[Path]:
    """Yield the files of the library, and of the user's project below `root`, that a statement imports."""
    # A user's file may be imported from several folders, so all that enclose it are searched.
    around = [folder for folder in path.parents if root and folder.is_relative_to(root)]
    for folder in around[level - 1 : level] if level else [*around, LIBRARY.parent]:
        for parts in (name.split(".") for name in names):
            if folder == LIBRARY.parent and parts[0] != LIBRARY.name:
                continue
            for depth in range(1, len(parts) + 1):
                if (file := module(folder, ".".join(parts[:depth]))) not in (None, LIBRARY / "__init__.py"):
                    yield file


def module(folder: Path, name: str) -> Path | None:
    """Return the file of a module or package below a folder."""
    base = folder.joinpath(*name.split("."))
    return next(filter(Path.is_file, (base / "__init__.py", base.with_name(f"{base.name}.py"))), None)
