"""Parsed Python files for digests of code: definitions, imports, and what is ignored.

Nothing is imported; names are followed in the source text.
"""

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from prunescope import kinds, own
from prunescope.errors import InputError

LIBRARY = "prunescope"
# Facts of a kind that only people or the configuration check read, never a script.
DESCRIPTIVE = {"label", "reference", "url", "unchanged_by", "settings", "names", "form"}
# Strings given to these names end up in messages or in the documentation.
MESSAGES = {"advice", "hint", "meaning", "problem", "remedy"}
# Strings in calls to these methods of a log end up in messages.
SPEAKERS = {("log", level) for level in ("debug", "info", "warning", "error", "exception")}
# With these, a user's file can reach definitions that its text does not name.
BY_TEXT = {"globals", "vars", "eval", "exec", "compile", "__import__"}
BY_TEXT |= {"import_module", "modules", "__subclasses__", "__init_subclass__", "__dict__"}


@dataclass(frozen=True)
class Definition:
    """A function, class or constant of a module, or the code that importing the module runs.

    Attributes
    ----------
    digest : str
        Digest of its syntax tree, without what is ignored.
    names : frozenset of tuple of str
        The dotted names in it, e.g. ``("np", "linalg", "svd")``.
    """

    digest: str
    names: frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class Module:
    """A parsed file.

    Attributes
    ----------
    definitions : dict of str to Definition
        By name. All assignments to the same name form one definition.
    effects : Definition
        The statements that importing the module runs, apart from definitions.
    imports : dict of str to tuple of str
        What an imported name refers to: the dotted module, then the attribute or an empty string.
    whole : bool
        Whether the whole file is included: a user's file in which names cannot be followed.
    """

    definitions: dict[str, Definition]
    effects: Definition
    imports: dict[str, tuple[tuple[str, str], ...]]
    whole: bool = False


def parse(path: Path, root: Path | None = None) -> Module:
    """Parse a file; the result is cached as long as the file is unchanged.

    Parameters
    ----------
    path : pathlib.Path
    root : pathlib.Path, optional
        For a user's file, the folder of the user's code: imports of files below it are followed.
    """
    stat = path.stat()
    return _parse(path, stat.st_mtime_ns, stat.st_size, root)


@cache
def _parse(path: Path, _mtime: int, _size: int, root: Path | None) -> Module:
    tree = _tree(path, root)
    imports: dict[str, set[tuple[str, str]]] = {}
    for node in ast.walk(tree):
        for name, target in [*_imported(node), *(_beside(node, path, root) if root else ())]:
            imports.setdefault(name, set()).add(target)
    parts: dict[str, list[ast.stmt]] = {}
    effects = []
    for node in tree.body:
        names = _defined(node)
        for name in names:
            parts.setdefault(name, []).append(node)
        silent = _is_text(node) or bool(_imported(node))
        if (not names and not silent) or _runs(node, imports, tree):
            effects.append(node)
    clean = _WithoutDocstrings if root else _Clean
    cleaned = {id(node): clean().visit(node) for node in tree.body}
    return Module(
        {name: _definition([cleaned[id(node)] for node in nodes]) for name, nodes in parts.items()},
        _definition([cleaned[id(node)] for node in effects]),
        {name: tuple(sorted(targets)) for name, targets in imports.items()},
        root is not None and (_by_text(tree) or "*" in imports),
    )


def _tree(path: Path, root: Path | None) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        if root is None:
            raise
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        problem = error.msg if isinstance(error, SyntaxError) else error
        raise InputError(f"{path.relative_to(root)}{line}: {problem}; correct the file") from None


def _by_text(tree: ast.Module) -> bool:
    """Whether a file can reach definitions that its text does not name."""
    return any(
        getattr(node, "id", getattr(node, "attr", getattr(node, "name", None))) in BY_TEXT
        for node in ast.walk(tree)
    )


def _beside(node: ast.AST, path: Path, root: Path) -> list[tuple[str, tuple[str, str]]]:
    """Return the names that an import statement in a user's file may bind to neighbouring files.

    The file may be imported from several folders, so all enclosing folders are searched.
    """
    folders = [folder for folder in path.parents if folder.is_relative_to(root)]
    found = []
    if isinstance(node, ast.ImportFrom):
        module = (node.module or "").split(".") if node.module else []
        for folder in folders[node.level - 1 : node.level] if node.level else folders:
            if target := _canonical(folder.joinpath(*module), root):
                found += [(alias.asname or alias.name, (target, alias.name)) for alias in node.names]
    if isinstance(node, ast.Import):
        for alias in node.names:
            parts = alias.name.split(".")
            for folder in folders:
                if target := _canonical(folder.joinpath(*(parts if alias.asname else parts[:1])), root):
                    found.append((alias.asname or parts[0], (target, "")))
    return found


def _canonical(base: Path, root: Path) -> str | None:
    """Return the dotted name, below the user's package, of a module or folder; None if there is none."""
    if base.with_suffix(".py").is_file() or base.is_dir():
        return ".".join([own.PACKAGE, *base.relative_to(root).parts])
    return None


def _imported(node: ast.AST) -> list[tuple[str, tuple[str, str]]]:
    """Return the names that an import statement binds to library modules, or to what they define."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == LIBRARY:
        return [(alias.asname or alias.name, (node.module, alias.name)) for alias in node.names]
    if isinstance(node, ast.Import):
        own = [alias for alias in node.names if alias.name.split(".")[0] == LIBRARY]
        return [(alias.asname or LIBRARY, (alias.name if alias.asname else LIBRARY, "")) for alias in own]
    return []


def _defined(node: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a module defines, and nothing else.

    An import from another package defines the names that it binds.
    """
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom) and not _imported(node):
        return [(alias.asname or alias.name).split(".")[0] for alias in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    names = []
    for target in targets:
        elements = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        if not all(isinstance(element, ast.Name) for element in elements):
            return []
        names += [element.id for element in elements]
    return names


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a docstring."""
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)


def _runs(node: ast.stmt, imports: dict, tree: ast.Module) -> bool:
    """Whether a definition runs code of the library when the module is imported.

    An assignment does so if it has a call; a function or class, if it has a decorator or base class from the
    library. The decorators that mark kinds run nothing.
    """
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return any(isinstance(part, ast.Call | ast.NamedExpr) for part in ast.walk(node))
    own = {getattr(other, "name", "") for other in tree.body} | set(imports)
    for decorator in getattr(node, "decorator_list", []):
        chain = _chain(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if chain and chain[0] in own and chain[-1] not in kinds.FAMILIES:
            return True
    return False


def _definition(nodes: list[ast.AST]) -> Definition:
    text = "\0".join(map(_dump, nodes))
    names = {chain for node in nodes for chain in _chains(node)}
    return Definition(hashlib.sha256(text.encode()).hexdigest()[:16], frozenset(names))


def _dump(node) -> str:
    """Write a syntax tree as text that is the same in all versions of Python: without empty fields."""
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({', '.join(f'{name}={_dump(value)}' for name, value in fields)})"
    return f"[{', '.join(map(_dump, node))}]" if isinstance(node, list) else repr(node)


def _chains(node: ast.AST) -> Iterable[tuple[str, ...]]:
    """Yield the longest dotted names in a syntax tree."""
    chain = _chain(node)
    if chain:
        yield chain
        return
    for child in ast.iter_child_nodes(node):
        yield from _chains(child)


def _chain(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return (node.id,) if isinstance(node.ctx, ast.Load) else ()
    if isinstance(node, ast.Attribute):
        before = _chain(node.value)
        return (*before, node.attr) if before else ()
    return ()


class _WithoutDocstrings(ast.NodeTransformer):
    """Remove docstrings; a user's code may read everything else in its file."""

    def _body(self, node):
        if _is_text(node.body[0]):
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _body


class _Clean(ast.NodeTransformer):
    """Remove from a syntax tree what a digest ignores."""

    def _body(self, node):
        """Remove the docstring."""
        if _is_text(node.body[0]):
            node.body = node.body[1:] or [ast.Pass()]

    def visit_ClassDef(self, node):
        self._body(node)
        node.decorator_list = [self._decorator(decorator) for decorator in node.decorator_list]
        for item in node.body:
            # The annotations of a data class only name the types of its fields; they call nothing.
            if isinstance(item, ast.AnnAssign):
                item.annotation = ast.Constant(ast.unparse(item.annotation))
        return self.generic_visit(node)

    def visit_FunctionDef(self, node):
        self._body(node)
        node.decorator_list = [self._decorator(decorator) for decorator in node.decorator_list]
        node.returns = None
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def _decorator(self, node):
        if isinstance(node, ast.Call) and (_chain(node.func) or ("",))[-1] in kinds.FAMILIES:
            node.keywords = [keyword for keyword in node.keywords if keyword.arg not in DESCRIPTIVE]
        return node

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        if (
            isinstance(node.target, ast.Name)
            and node.value is not None
            and not isinstance(node.annotation, ast.Constant)
        ):
            return self.visit_Assign(ast.Assign([node.target], node.value, lineno=node.lineno))
        return self.generic_visit(node)

    def visit_Assign(self, node):
        node = self.generic_visit(node)
        if any(isinstance(target, ast.Name) and target.id in MESSAGES for target in node.targets):
            node.value = _silenced(node.value)
        return node

    def visit_keyword(self, node):
        node = self.generic_visit(node)
        if node.arg in MESSAGES:
            node.value = _silenced(node.value)
        return node

    def visit_Raise(self, node):
        node = self.generic_visit(node)
        node.exc = _silenced(node.exc) if node.exc is not None else None
        return node

    def visit_Call(self, node):
        node = self.generic_visit(node)
        speaker = _chain(node.func)
        return _silenced(node) if speaker in SPEAKERS | {("sys", "exit")} else node


def _silenced(node: ast.expr) -> ast.expr:
    """Remove the words of a message; keep the expressions computed for it, in no particular order."""
    return _Silence().visit(node)


class _Silence(ast.NodeTransformer):
    def visit_Subscript(self, node):
        return node  # a key is not part of the wording

    def visit_Constant(self, node):
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node):
        values = [self.visit(part.value) for part in node.values if isinstance(part, ast.FormattedValue)]
        return ast.Set(sorted(values, key=_dump))
