"""Kinds: networks, measures, criteria, controls, optimisers, schedules, data sources and views.

A kind is one decorated function or class in the folder of its family. Its decorator, docstring and signature
describe it completely; they are read from the source text. Nothing is imported before a kind is used, so the
configuration is checked without torch. To add a kind, add a file to the folder; no other file has to be
changed.
"""

import ast
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from prunescope import own
from prunescope.errors import InputError, guess

LIBRARY = Path(__file__).parent
T = TypeVar("T")


@dataclass(frozen=True)
class Family:
    """What the kinds of a family share.

    Attributes
    ----------
    folder : str
        Folder of the kinds, below the library's folder.
    title : str
        Title of their table in the reference.
    required : tuple of str
        Facts that every kind must state in its decorator.
    optional : tuple of str
        Facts that a kind may state besides `COMMON`.
    files : bool
        Whether a kind may also be in a file of the user's own project, see `prunescope.own`.
    """

    folder: str
    title: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    files: bool = False


# Form of a kind in a file of the user's own project.
FILE = "file:PATH.py:NAME"
# Facts that a kind of any family may state.
COMMON = ("name", "reference", "url", "form", "names", "settings")
FAMILIES = {
    "network": Family(
        "networks",
        "Networks (`network.name`)",
        optional=("pretrained", "preprocessing"),
        files=True,
    ),
    "source": Family("data/sources", "Sources of images (`data.datasets`)"),
    "criterion": Family("pruning/criteria", "Pruning criteria (`pruning.criterion`)"),
    "control": Family("pruning/controls", "Controls (`control`)", optional=("fresh",)),
    "optimizer": Family("training/optimizers", "Optimisers (`training.optimizer`)"),
    "schedule": Family("training/schedules", "Learning-rate schedules (`training.schedule`)"),
    "view": Family("activations/views", "Views (`activations.view`)", ("aligned",)),
    "measure": Family(
        "similarity/measures",
        "Measures (`similarity.measures`)",
        ("label", "reference", "unchanged_by"),
        (
            *("needs", "basis", "symmetric", "directions", "spectrum", "saturates"),
            *("fewest_rows", "rows_per_unit", "halves", "intervals", "rotation_suffices", "chance"),
        ),
    ),
}
# Facts that are functions: they are known only after the kind is imported.
FUNCTIONS = ("chance", "pretrained", "preprocessing")


@dataclass(frozen=True)
class Kind:
    """A kind as its source describes it.

    Attributes
    ----------
    family : str
        A key of `FAMILIES`.
    name : str
        Its name in configuration files: the fact ``name``, or else the name of the function or class.
    path : pathlib.Path
        The file that defines it.
    definition : str
        Name of the function or class in that file.
    facts : dict
        The decorator's keyword arguments that are literals.
    summary : str
        First sentence of the docstring, without the period.
    parameters : tuple of str
        Names of the function's parameters; of ``__init__`` for a class.
    variable : bool
        Whether it takes any keyword argument.
    """

    family: str
    name: str
    path: Path
    definition: str
    facts: dict
    summary: str
    parameters: tuple[str, ...]
    variable: bool

    @property
    def form(self) -> str:
        """Its form in a configuration file: its name, or a pattern such as ``torchvision/NAME``."""
        return self.facts.get("form", self.name)

    @property
    def settings(self) -> dict:
        """JSON schemas of its settings by key; a setting without a default is required."""
        return self.facts.get("settings", {})


def mark(**_facts) -> Callable[[T], T]:
    """Mark a function or class as a kind. It is returned unchanged; the facts are read from the source."""
    return lambda definition: definition


def network(pretrained: Callable | None = None, preprocessing: Callable | None = None, **_facts):
    """Mark a function as a network, and keep its functions for trained weights.

    Parameters
    ----------
    pretrained : callable, optional
        Called with the variable part of the name (see `rest`), `network.arguments`, and whether it may
        download; returns trained weights as a state dict.
    preprocessing : callable, optional
        Called with the variable part of the name; returns the `prunescope.networks.build.Preprocessing` of
        these weights.
    """

    def keep(definition: T) -> T:
        definition.pretrained, definition.preprocessing = pretrained, preprocessing
        return definition

    return keep


# The name of the decorator identifies the family. The one of measures is `similarity.measures.measure`.
source = criterion = control = optimizer = schedule = view = mark


@cache
def known(family: str) -> dict[str, Kind]:
    """Return the kinds of a family by name, in alphabetical order.

    Raises
    ------
    InputError
        When a file of the family cannot be parsed, a kind lacks a required fact, or two have the same name.
    """
    found: dict[str, Kind] = {}
    for path in sorted((LIBRARY / FAMILIES[family].folder).glob("[!.]*.py")):
        for kind in _in_file(family, path):
            other = next(
                (one for one in found.values() if kind.form == one.form or kind.name == one.name), None
            )
            if other is not None:
                raise InputError(
                    f"{path}: {family} {kind.form!r} is also defined in {other.path}; rename one of them"
                )
            found[kind.name] = kind
    return dict(sorted(found.items()))


def find(family: str, text: str, where: str = "") -> Kind:
    """Return the kind that a configuration value names.

    Parameters
    ----------
    family : str
    text : str
        A name, or a value of a kind's form, for instance ``torchvision/resnet18``.
    where : str, optional
        The configuration key, for the error message.

    Raises
    ------
    InputError
        When there is no such kind.
    """
    kinds = known(family)
    if FAMILIES[family].files and text.startswith("file:"):
        return _of_file(family, text, where)
    for kind in kinds.values():
        fixed, part = _prefix(kind) == kind.form, rest(kind, text)
        if (fixed and kind.form == text) or (part and text != kind.form and _lists(kind, part)):
            return kind
    options = [kind.form for kind in kinds.values()]
    options += [_prefix(kind) + name for kind in kinds.values() for name in _names(kind)]
    likely = [option for option in options if option.endswith(("/" + text, ":" + text))]
    hint = f" (did you mean {' or '.join(map(repr, likely))}?)" if likely else guess(text, options)
    raise InputError(f"{where or family} = {text!r}: unknown{hint}; allowed: {', '.join(forms(family))}")


def forms(family: str) -> list[str]:
    """Return the forms in which a configuration file names the kinds of a family."""
    return [kind.form for kind in known(family).values()] + [FILE] * FAMILIES[family].files


def _of_file(family: str, text: str, where: str) -> Kind:
    """Return a kind in a file of the user's own project."""
    try:
        path, definition = own.locate(text.removeprefix("file:"))
    except InputError as error:
        raise InputError(f"{where or family} = {text!r}: {error}") from None
    if path.is_relative_to(LIBRARY.resolve().parent):
        raise InputError(f"{where or family} = {text!r}: the file is part of prunescope; copy it elsewhere")
    return Kind(family, text, path, definition, {}, "", (), True)


def _prefix(kind: Kind) -> str:
    """Return the fixed part of a kind's form: ``torchvision/`` of ``torchvision/NAME``."""
    return kind.form.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ") if kind.form != kind.name else kind.form


def _names(kind: Kind) -> list[str]:
    """Return the names that may replace the variable part of a kind's form.

    The fact ``names`` is a literal, or the name of a function in the same file that lists them. Calling the
    function may take a long time, so it is called only for the hint in an error message.
    """
    names = kind.facts.get("names", [])
    return list(getattr(_module(kind), names)() if isinstance(names, str) else names)


def _lists(kind: Kind, name: str) -> bool:
    names = kind.facts.get("names", "")
    return isinstance(names, str) or name in names


def _module(kind: Kind):
    parts = kind.path.relative_to(LIBRARY).with_suffix("").parts
    return importlib.import_module(".".join([LIBRARY.name, *parts]).removesuffix(".__init__"))


def rest(kind: Kind, text: str) -> str:
    """Return the variable part of a value: ``resnet18`` of ``torchvision/resnet18``."""
    prefix = _prefix(kind)
    return text.removeprefix(prefix) if prefix != kind.form and text.startswith(prefix) else ""


def load(family: str, text: str, where: str = ""):
    """Import the kind that a configuration value names and return its function or class.

    Raises
    ------
    InputError
        When there is no such kind, or the user's file that defines it cannot be imported.
    """
    if FAMILIES[family].files and text.startswith("file:"):
        kind = find(family, text, where)
        return own.load(kind.path, kind.definition)
    return _load(family, text, where)


@cache
def _load(family: str, text: str, where: str):
    kind = find(family, text, where)
    return getattr(_module(kind), kind.definition)


def _in_file(family: str, path: Path) -> list[Kind]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise InputError(f"{path}{line}: {error}; correct or remove the file") from None
    constants = {}
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and getattr(node, "value", None) is not None:
            constants[target.id] = node.value
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                call = decorator.func if isinstance(decorator, ast.Call) else decorator
                if getattr(call, "id", getattr(call, "attr", None)) == family:
                    found.append(_kind(family, path, node, decorator, constants))
    return found


def _kind(family: str, path: Path, node, decorator, constants: dict[str, ast.expr]) -> Kind:
    where = f"{path}, line {node.lineno}: {family} {node.name!r}"
    if not isinstance(decorator, ast.Call):
        raise InputError(f"{where}: its decorator must be called; write @{family}()")
    facts = _facts(family, decorator.keywords, constants, where)
    start = node
    if isinstance(node, ast.ClassDef):
        start = next((item for item in node.body if getattr(item, "name", "") == "__init__"), None)
    arguments = [argument.arg for argument in [*start.args.args, *start.args.kwonlyargs]] if start else []
    summary = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
    name = facts.get("name", node.name)
    parameters = tuple(name for name in arguments if name != "self")
    variable = bool(start and start.args.kwarg)
    return Kind(family, name, path, node.name, facts, summary.rstrip("."), parameters, variable)


def _facts(family: str, keywords: list[ast.keyword], constants: dict[str, ast.expr], where: str) -> dict:
    """Read the facts of a decorator; refuse unknown, missing and unreadable facts."""
    known, facts = FAMILIES[family], {}
    allowed = sorted({*COMMON, *known.required, *known.optional})
    for keyword in keywords:
        if keyword.arg not in allowed:
            hint = guess(str(keyword.arg), allowed)
            raise InputError(f"{where}: unknown fact {keyword.arg}{hint}; allowed: {', '.join(allowed)}")
        if keyword.arg in FUNCTIONS:
            continue
        try:
            facts[keyword.arg] = _literal(keyword.value, constants)
        except (ValueError, TypeError, RecursionError):
            raise InputError(
                f"{where}: {keyword.arg} cannot be read without running the file; write it as a literal"
            ) from None
    for fact in known.required:
        if facts.get(fact) in (None, ""):
            raise InputError(f"{where} has no {fact}; add {fact}=... to its decorator")
    for key, setting in facts.get("settings", {}).items():
        if "description" not in setting:
            raise InputError(f"{where}: setting {key!r} has no description; add one")
    return facts


def _literal(node: ast.expr, constants: dict[str, ast.expr]):
    """Evaluate literals, the file's own constants, joined strings and unions of mappings."""
    if isinstance(node, ast.Name) and node.id in constants:
        return _literal(constants[node.id], constants)
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {
            ast.literal_eval(key): _literal(value, constants)
            for key, value in zip(node.keys, node.values, strict=True)
        }
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(element, constants) for element in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.Add):
        left, right = _literal(node.left, constants), _literal(node.right, constants)
        return left | right if isinstance(node.op, ast.BitOr) else left + right
    return ast.literal_eval(node)
