"""Kinds: networks, measures, criteria, controls, optimisers, schedules, data sources and views.

Each family has a table in its room: the name in configuration files and a `Kind` that describes it. The
tables import nothing heavy, so a configuration is checked without torch; a definition is imported when it is
used. To add a kind, write its function or class and one entry of the table.

The tables are in no digest of code (`prunescope.digests`), only the entries that an experiment names. So a
new entry reruns nothing.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from inspect import signature
from pathlib import Path

from prunescope import closure, user_code
from prunescope.errors import InputError, guess
from prunescope.user_code.description import WORDS, description

# Form of a kind in a file of the user's own project.
FILE = "file:PATH.py:NAME"


@dataclass(frozen=True)
class Family:
    """A family of kinds.

    Attributes
    ----------
    table : str
        Where its table is defined, as in `Kind.definition`.
    title : str
        Title of the table in the reference.
    files : bool, default False
        Whether a kind may also be in a file of the user's own project, see `prunescope.user_code`.

    The others are about such a kind:

    described : bool, default True
        Whether the file is imported to learn about it before any job; otherwise, it is when it is built.
    required : tuple of str, default ()
        What `prunescope.described` must state.
    given : int, default 0
        How many arguments it is always given; the further ones are its settings.
    alone : str, default ''
        What these arguments are, if it must not require any further one.
    base : str, default ''
        Where the class is defined that it must extend; a kind of another family is a function.
    offers : str, default ''
        Where the arguments are described that it may ask for by the names of its parameters.
    """

    table: str
    title: str
    files: bool = False
    described: bool = True
    required: tuple[str, ...] = ()
    given: int = 0
    alone: str = ""
    base: str = ""
    offers: str = ""


FAMILIES = {
    "network": Family("networks.table:NETWORKS", "Networks (`network.name`)", files=True, described=False),
    "source": Family("data.table:SOURCES", "Sources of images (`data.datasets`)"),
    "criterion": Family(
        "pruning.table:CRITERIA",
        "Pruning criteria (`pruning.criterion`)",
        files=True,
        offers="pruning.table:OFFERED",
    ),
    "control": Family("pruning.table:CONTROLS", "Controls (`control`)"),
    "optimizer": Family(
        "training.table:OPTIMIZERS",
        "Optimisers (`training.optimizer`)",
        files=True,
        given=2,
        base="training.optimizers:Optimizer",
    ),
    "schedule": Family(
        "training.table:SCHEDULES", "Learning-rate schedules (`training.schedule`)", files=True, given=3
    ),
    "view": Family("activations.table:VIEWS", "Views (`activations.view`)"),
    "measure": Family(
        "similarity.table:MEASURES",
        "Measures (`similarity.measures`)",
        files=True,
        required=("label", "reference", "unchanged_by"),
        given=1,
        alone="one argument, a pair",
    ),
}


@dataclass(frozen=True)
class Kind:
    """A kind, as its family's table describes it.

    Attributes
    ----------
    definition : str
        Where its function or class is defined, e.g. ``networks.lenet:lenet5``: a module below the library,
        and a name.
    summary : str
        A sentence for the reference, without a period.
    label : str
        Its name in figures and reports.
    reference, url : str
        Its source.
    prefix, variable : str
        If a configuration file names it by a pattern such as ``torchvision/NAME``: the fixed part
        ``torchvision/``, and the word for the part that varies.
    names : collection of str, or str
        What may stand for the variable part: the names, or where a function that lists them is defined.
    settings : type or mapping
        Pydantic model of an optimiser's or schedule's settings; of a user's own kind, the defaults of its
        settings by key, ``...`` for those that are required.
    facts : mapping
        What planning and jobs need to know about it besides its definition.
    functions : mapping of str to str
        Further functions of the kind, and where they are defined.
    name : str
        Its name, the key of the table.
    file : str
        Its name in configurations if the user's own project has it: ``file:nets/mine.py:MyNet``.
    """

    definition: str
    summary: str
    label: str = ""
    reference: str = ""
    url: str = ""
    prefix: str = ""
    variable: str = "NAME"
    names: tuple[str, ...] | str = ()
    settings: type | Mapping | None = None
    facts: Mapping = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    file: str = ""

    @property
    def form(self) -> str:
        """Its form in a configuration file: its name, or a pattern such as ``torchvision/NAME``."""
        return self.file or (self.prefix + self.variable if self.prefix else self.name)


@cache
def known(family: str) -> dict[str, Kind]:
    """Return the kinds of a family by name, in alphabetical order."""
    table = imported(FAMILIES[family].table)
    return {name: replace(kind, name=name) for name, kind in sorted(table.items())}


def find(family: str, text: str, where: str = "", listed: bool = False) -> Kind:
    """Return the kind that a configuration value names, by its name or as ``torchvision/resnet18``.

    `where` is the configuration key, for messages. Names that take long to list, such as those of
    torchvision's networks, are checked with `listed`.
    """
    if FAMILIES[family].files and text.startswith("file:"):
        return _of_file(family, text, where or family)
    kinds = known(family).values()
    for kind in kinds:
        names = () if isinstance(kind.names, str) and not listed else _names(kind)
        variable = rest(kind, text)
        if variable and text != kind.form and (not names or variable in names):
            return kind
        if not kind.prefix and text == kind.name:
            return kind
    options = [kind.form for kind in kinds] + [kind.prefix + name for kind in kinds for name in _names(kind)]
    likely = [option for option in options if option.endswith(("/" + text, ":" + text))]
    hint = f" (did you mean {' or '.join(map(repr, likely))}?)" if likely else guess(text, options)
    raise InputError(f"{where or family} = {text!r}: unknown{hint}; allowed: {', '.join(forms(family))}")


def forms(family: str) -> list[str]:
    """Return the forms in which a configuration file names the kinds of a family."""
    return [kind.form for kind in known(family).values()] + [FILE] * FAMILIES[family].files


def rest(kind: Kind, text: str) -> str:
    """Return the variable part of a value: ``resnet18`` of ``torchvision/resnet18``."""
    return text.removeprefix(kind.prefix) if kind.prefix and text.startswith(kind.prefix) else ""


def load(family: str, text: str, where: str = ""):
    """Import the kind that a configuration value names, see `find`, and return its function or class."""
    kind = find(family, text, where)
    return user_code.load(*user_code.locate(kind.definition)) if kind.file else imported(kind.definition)


def call(family: str, text: str, offered: object):
    """Call a kind with the attributes of `offered` that its parameters name, see `Family.offers`."""
    function, names = load(family, text), imported(FAMILIES[family].offers)
    asked = [parameter for parameter in signature(function).parameters if parameter in names]
    return function(**{parameter: getattr(offered, parameter) for parameter in asked})


@cache
def imported(definition: str):
    """Import what is defined under a name such as ``networks.lenet:lenet5``, below the library."""
    module, _, name = definition.partition(":")
    return getattr(importlib.import_module(f"{__package__}.{module}"), name)


def _of_file(family: str, text: str, where: str) -> Kind:
    """Return a kind in a file of the user's own project."""
    definition = text.removeprefix("file:")
    try:
        path, name = user_code.locate(definition)
        if path.is_relative_to(closure.LIBRARY.parent):
            raise InputError("the file is part of prunescope; copy it elsewhere")
        if not FAMILIES[family].described:
            return Kind(definition, "", name=text, file=text)
        if name in known(family):
            raise InputError(f"{name} is the name of a {family} of prunescope; rename your function")
        return _described(family, text, path, name, closure.of_user(path))
    except InputError as error:
        raise InputError(f"{where} = {text!r}: {error}") from None


@cache
def _described(family: str, text: str, path: Path, name: str, _files: tuple) -> Kind:
    shared = FAMILIES[family]
    code = closure.digest(closure.closure(closure.with_packages(path)))
    described = description(path, name, shared.given, shared.base, code)
    facts, required = dict(described["facts"]), described["required"]
    for fact in shared.required:
        if not facts.get(fact):
            raise InputError(f"{name} has no {fact}; add @ps.described({fact}=...) to it")
    if shared.alone and required:
        raise InputError(f"{name} must take {shared.alone}")
    offers = imported(shared.offers) if shared.offers else required
    for parameter in required:
        if parameter not in offers:
            what = f"unknown parameter {parameter!r}{guess(parameter, list(offers))}"
            raise InputError(f"{name} has the {what}; allowed: {', '.join(offers)}")
    return Kind(
        text.removeprefix("file:"),
        described["summary"],
        **{key: facts.pop(key, "") for key in WORDS},
        settings=dict.fromkeys(required, ...) | described["defaults"],
        facts=facts,
        name=name,
        file=text,
    )


def _names(kind: Kind) -> tuple[str, ...]:
    """Return the names that may replace the variable part; for messages only, as it may take a long time."""
    return imported(kind.names)() if isinstance(kind.names, str) else kind.names
