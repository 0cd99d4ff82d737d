"""Which code a script can run, definition by definition, and a digest of it.

A rule's digest covers the script, every function, class and constant of the library that it can reach
by name, what importing their modules runs, and of the kinds only those that the experiment names. Names
are followed in the source text; nothing is imported. These do not count: comments, formatting,
docstrings, type annotations, the wording of errors and log lines, and what only describes a kind.

Where a name cannot be followed, the digest covers too much rather than too little: a class counts
whole, and so does a module that is passed around as an object. A test refuses what it could not follow
at all, such as relative imports and names looked up by text.
"""

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from prunescope import kinds

LIBRARY = Path(__file__).parent
# Facts of a kind that are read by people or by the configuration's check, never by a script.
DESCRIPTIVE = {"label", "reference", "url", "unchanged_by", "settings", "names", "form"}
# Strings given to these names end up in messages.
MESSAGES = {"advice", "hint", "problem", "remedy"}
# Strings in calls to these methods of a log end up in messages.
SPEAKERS = {("log", level) for level in ("debug", "info", "warning", "error", "exception")}


@dataclass(frozen=True)
class Definition:
    """A function, class or constant of a module, or what importing the module runs.

    Attributes
    ----------
    digest : str
        Of its syntax tree, without what does not count.
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
        By name. A name that is assigned several times has one definition of all of them.
    effects : Definition
        The statements that importing the module runs besides defining names.
    imports : dict of str to tuple of str
        What an imported name stands for: dotted module, then the attribute or an empty string.
    """

    definitions: dict[str, Definition]
    effects: Definition
    imports: dict[str, tuple[tuple[str, str], ...]]


def code(script: str | Path, named: Iterable[tuple[str, str]] = ()) -> str:
    """Digest of the code that a script can run.

    Parameters
    ----------
    script : path
        A Python file; all of its definitions count.
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
    digest = hashlib.sha256()
    for (path, name), definition in sorted(reach(script, named).items()):
        digest.update(f"{path}\0{name}\0{definition.digest}\0".encode())
    return digest.hexdigest()[:16]


def reach(script: str | Path, named: Iterable[tuple[str, str]] = ()) -> dict[tuple[str, str], Definition]:
    """Return the definitions that a script can reach, by file (relative to the library) and name.

    The name is empty for what importing a module runs. Parameters as for `code`.
    """
    script = Path(script).resolve()
    own = parse(script)
    todo = [(script, name) for name in (*own.definitions, "")]
    for family, text in named:
        kind = kinds.find(family, text)
        path = kind.path.resolve()
        parents = [
            parent / "__init__.py" for parent in path.parents if parent.is_relative_to(LIBRARY.resolve())
        ]
        todo += [(path, kind.definition), (path, ""), *((parent, "") for parent in parents)]
    found: dict[tuple[Path, str], Definition] = {}
    while todo:
        path, name = todo.pop()
        if (path, name) in found:
            continue
        module = parse(path)
        definition = module.definitions[name] if name else module.effects
        found[path, name] = definition
        for chain in definition.names:
            todo += _resolve(module, path, chain)
        if not name:  # importing a module imports others
            todo += [
                (file, "")
                for targets in module.imports.values()
                for target, attribute in targets
                for file in _files(target, attribute)
            ]
    root = LIBRARY.resolve()
    places = {path: path.relative_to(root) if path.is_relative_to(root) else path.name for path, _ in found}
    return {(str(places[path]), name): definition for (path, name), definition in found.items()}


def _resolve(module: Module, path: Path, chain: tuple[str, ...]) -> list[tuple[Path, str]]:
    """Return the definitions that a dotted name may stand for."""
    first, *more = chain
    found = [(path, first)] if first in module.definitions else []
    for target, attribute in module.imports.get(first, ()):
        found += _attribute(target, [attribute, *more] if attribute else more)
    return found


def _attribute(target: str, chain: list[str]) -> list[tuple[Path, str]]:
    """Return the definitions that a chain of attributes of a library module stands for."""
    file = _file(target)
    if file is None:
        return []
    if not chain:  # the module itself is used as an object
        return [(file, name) for name in (*parse(file).definitions, "")]
    if _file(f"{target}.{chain[0]}") is not None:
        return [(file, ""), *_attribute(f"{target}.{chain[0]}", chain[1:])]
    module = parse(file)
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
    """Return the file of a library module, None for any other."""
    first, *rest = module.split(".")
    if first != LIBRARY.name:
        return None
    base = LIBRARY.resolve().joinpath(*rest)
    return next(
        (file for file in (base / "__init__.py", base.with_suffix(".py")) if _is_file(file)),
        None,
    )


@cache
def _is_file(path: Path) -> bool:
    return path.is_file()


def parse(path: Path) -> Module:
    """Parse a file; the result is kept as long as the file stays the same."""
    stat = path.stat()
    return _parse(path, stat.st_mtime_ns, stat.st_size)


@cache
def _parse(path: Path, _mtime: int, _size: int) -> Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports: dict[str, set[tuple[str, str]]] = {}
    for node in ast.walk(tree):
        for name, target in _imported(node):
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
    cleaned = {id(node): _Clean().visit(node) for node in tree.body}
    return Module(
        {name: _definition([cleaned[id(node)] for node in nodes]) for name, nodes in parts.items()},
        _definition([cleaned[id(node)] for node in effects]),
        {name: tuple(sorted(targets)) for name, targets in imports.items()},
    )


def _imported(node: ast.AST) -> list[tuple[str, tuple[str, str]]]:
    """Return the names that an import statement binds to library modules, or to what they define."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == LIBRARY.name:
        return [(alias.asname or alias.name, (node.module, alias.name)) for alias in node.names]
    if isinstance(node, ast.Import):
        own = [alias for alias in node.names if alias.name.split(".")[0] == LIBRARY.name]
        return [
            (alias.asname or LIBRARY.name, (alias.name if alias.asname else LIBRARY.name, ""))
            for alias in own
        ]
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

    An assignment does so by a call, a function or class by a decorator or a base class of the library; the
    decorators that mark kinds do nothing.
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
    """Write a syntax tree as text that is the same in all versions of Python: without what is empty."""
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({', '.join(f'{name}={_dump(value)}' for name, value in fields)})"
    return f"[{', '.join(map(_dump, node))}]" if isinstance(node, list) else repr(node)


def _chains(node: ast.AST) -> Iterable[tuple[str, ...]]:
    """Give the longest dotted names in a syntax tree."""
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


class _Clean(ast.NodeTransformer):
    """Remove from a syntax tree what does not count."""

    def _body(self, node):
        """Remove the docstring."""
        if _is_text(node.body[0]):
            node.body = node.body[1:] or [ast.Pass()]

    def visit_ClassDef(self, node):
        self._body(node)
        node.decorator_list = [self._decorator(decorator) for decorator in node.decorator_list]
        for item in node.body:
            # The annotations of a data class name its fields' types; nothing is called by them.
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
    """Remove the words of a message; what is computed for it stays, in no particular order."""
    return _Silence().visit(node)


class _Silence(ast.NodeTransformer):
    def visit_Subscript(self, node):
        return node  # a key is no word

    def visit_Constant(self, node):
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node):
        values = [self.visit(part.value) for part in node.values if isinstance(part, ast.FormattedValue)]
        return ast.Set(sorted(values, key=_dump))
