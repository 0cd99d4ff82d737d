"""The user's own code: where it may be, how it is imported, and how its errors are reported.

A configuration names a file and a definition in it, ``nets/mine.py:MyNet``, never a module to import. The
file must be in the folder of the user's code: by default the working directory.
"""

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType

from prunescope.errors import InputError, guess

# The user's files are imported as modules of a package of this name.
PACKAGE = "prunescope_own"
# Environment variable with the folder of the user's code.
FOLDER = "PRUNESCOPE_CODE_FOLDER"
_state = {"folder": Path(os.environ.get(FOLDER, ""))}
_read: set[str] = set()  # files that were imported


def use(folder: str | Path) -> None:
    """Set the folder of the user's code, absolute or relative to the working directory."""
    _state["folder"] = Path(folder)


@contextmanager
def used(folder: str | Path) -> Iterator[None]:
    """Set the folder of the user's code until the block ends."""
    before = _state["folder"]
    use(folder)
    try:
        yield
    finally:
        use(before)


def root() -> Path:
    """Return the folder of the user's code, without links."""
    return _resolved(_state["folder"], Path.cwd())


@cache
def _resolved(folder: Path, _working_directory: Path) -> Path:
    return folder.resolve()


def locate(text: str) -> tuple[Path, str]:
    """Return the file and the name of a definition, written as ``nets/mine.py:MyNet``."""
    file, _, definition = text.rpartition(":")
    written = Path(file)
    if written.suffix != ".py" or not definition.isidentifier():
        raise InputError("must name a file and what it defines, e.g. file:nets/mine.py:MyNet")
    base = root()
    try:
        path = (base / written).resolve()
        path.is_file()
    except (OSError, ValueError) as error:  # too long a name, or a character that no name has
        raise InputError(f"{file!r} cannot be the name of a file ({error})") from None
    if ".." in written.parts or not path.is_relative_to(base):
        raise InputError(
            f"{file} is outside {base}; move it into that folder, or set code_folder in config/config.yaml"
        )
    if any("." in part for part in path.relative_to(base).with_suffix("").parts):
        raise InputError(f"{file}: Python cannot import files or folders with a dot in their name; rename it")
    if not path.is_file():
        others = [str(other.relative_to(base)) for other in path.parent.glob("*.py")]
        raise InputError(f"no file {file} in {base}{guess(file, others)}")
    return path, definition


def load(path: Path, definition: str):
    """Import a file of the user's code and return what it defines under a name.

    The file is read again each time, together with the neighbouring files that it imports: as ``blocks`` from
    its own folder, as ``nets.blocks`` from the folder of the user's code, or relatively.
    """
    base = root()
    shown = path.relative_to(base)
    _forget()
    finder = _Beside([path.parent, base])
    sys.meta_path.insert(0, finder)
    package = ModuleType(PACKAGE)
    package.__path__ = [str(base)]
    sys.modules[PACKAGE] = package
    try:
        # Importing the module imports the packages around it as well.
        module = importlib.import_module(".".join([PACKAGE, *shown.with_suffix("").parts]))
    except (Exception, SystemExit) as error:
        raise InputError(problem(error) or f"{shown}: {_words(error)}") from None
    finally:
        # Imports within functions run later; at that point the user's files must not hide other modules.
        sys.meta_path.remove(finder)
        sys.meta_path.append(finder)
    if not hasattr(module, definition):
        names = [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]
        raise InputError(
            f"{shown} does not define {definition}{guess(definition, names)}; it defines: {', '.join(names)}"
        )
    return getattr(module, definition)


def problem(error: BaseException) -> str | None:
    """Describe an error that was raised in the user's code: file, line, kind of error and its first line.

    The result is None for an error that did not pass through the user's code.
    """
    base = root()
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((Path(error.filename), error.lineno))
    for path, line in reversed(frames):
        # An environment may be inside the folder too, so a file's path does not show that it is the user's.
        if str(path) in _read and path.is_relative_to(base):
            return f"{path.relative_to(base)}, line {line}: {_words(error)}"
    return None


def _words(error: BaseException) -> str:
    text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split("\n")[0].split())
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def _forget() -> None:
    """Remove what earlier calls of `load` imported: other files may have the same names."""
    earlier = [finder for finder in sys.meta_path if isinstance(finder, _Beside)]
    for name in {PACKAGE}.union(*(finder.modules for finder in earlier)):
        sys.modules.pop(name, None)
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder not in earlier]
    importlib.invalidate_caches()


class _Source(SourceFileLoader):
    """Import from the source text. Bytecode is validated by time stamp, so it can miss a quick edit."""

    def get_code(self, fullname):
        _read.add(self.path)
        return self.source_to_code(self.get_data(self.path), self.path)


class _Beside:
    """Find the modules of the user's code, in a few folders."""

    def __init__(self, folders: list[Path]):
        self._folders = [str(folder) for folder in folders]
        self.modules: set[str] = set()

    def find_spec(self, name: str, path=None, target=None) -> ModuleSpec | None:
        # An environment inside the folder is not the user's code, so a package's path is no evidence.
        inside = name.rpartition(".")[0] in {PACKAGE, *self.modules}
        if path is not None and not inside:
            return None
        spec = PathFinder.find_spec(name, list(path) if inside else self._folders)
        if spec is None:
            return None
        source = spec.origin is not None and isinstance(spec.loader, SourceFileLoader)
        if not source and not inside and PathFinder.find_spec(name) is not None:
            # A folder without __init__.py gives way to an installed package, as usual in Python.
            return None
        self.modules.add(name)
        if not source:
            return spec
        return importlib.util.spec_from_file_location(
            name,
            spec.origin,
            loader=_Source(name, spec.origin),
            submodule_search_locations=spec.submodule_search_locations,
        )
