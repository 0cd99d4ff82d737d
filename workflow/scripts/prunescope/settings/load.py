"""Configuration files: find experiments, expand grids, resolve `extends`.

A grid is one experiment for each combination of values of some keys. Each combination extends the one without
its last key, as `NAME-lr=0.1-rate=0.2` extends `NAME-lr=0.1` and that one `NAME`. Keys of the dense training
come first, so all combinations with the same dense training extend the same experiment and share its round 0.
A name depends only on the combination's own values.
"""

import copy
import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from prunescope import kinds
from prunescope.errors import InputError, guess
from prunescope.settings import base, elsewhere
from prunescope.settings.activations import EXAMPLES
from prunescope.settings.config import Config, repeats
from prunescope.settings.experiment import Written, validated
from prunescope.settings.reading import merge, plain, read_yaml

# Keys that the dense training reads; a control comes last because it extends the experiment that it controls.
DENSE = ("dataset", "network", "training", "pruning.retraining", "pruning.rewind")
CONTROL = "control"
# The value of `control` for an experiment that is not a control.
NO_CONTROL = "none"
# A folder name can have 255 bytes; a value in it should stay readable.
MOST, MOST_OF_VALUE = 200, 40
EXPERIMENTS = Path("config/experiments")
# The shipped configuration: in the installed package, or in a checkout beside the workflow.
SHIPPED = next(
    (folder for above in (1, 4) if (folder := Path(__file__).parents[above] / "config").is_dir()),
    Path("config"),
)
FILE = "config/config.yaml"
# Names in results/ that no experiment can have.
RESERVED = ("data", "logs", "benchmarks", "overview.html", "overview.parquet", "README.md")


@dataclass(frozen=True)
class Grid:
    """The experiments of a grid.

    Attributes
    ----------
    experiments : dict of str to dict
        The changes of each one to the experiment that it ``extends``, by name.
    combinations : list of str
        Names of the experiments with a value for every key.
    """

    experiments: dict[str, dict]
    combinations: list[str]


@dataclass(frozen=True)
class Catalogue:
    """Where experiments are found.

    Attributes
    ----------
    folders : tuple of pathlib.Path
        Searched in this order for NAME.yaml.
    inline : dict of str to dict
        Experiments given in the configuration itself; they take precedence.
    """

    folders: tuple[Path, ...] = (EXPERIMENTS,)
    inline: dict[str, dict] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return the sorted names of all written experiments, without those that grids define."""
        return sorted(
            {*self.inline, *(path.stem for folder in self.folders for path in folder.glob("*.yaml"))}
        )

    def where(self, name: str) -> str:
        """Return the file of an experiment, or its key if it is given inline; for messages."""
        if name in self.inline:
            return f"experiments.{name}"
        if path := self._file(name):
            return str(path)
        return f"{self.where(self._origin(name))}: {name}"

    def read(self, name: str) -> dict:
        """Return an experiment as written, without the experiment it extends and without its grid."""
        if origin := self._origin(name):
            return copy.deepcopy(self.grid(origin).experiments[name])
        written = self._written(name)
        written.pop("grid", None)
        return written

    def grid(self, name: str) -> Grid:
        """Return the experiments of an experiment's grid; none without a grid."""
        written, where = self._written(name), self.where(name)
        if "grid" not in written:
            return Grid({}, [])
        return expand(name, base.load(Written, {"grid": written["grid"]}, where).grid, where)

    def selected(self, name: str) -> list[str]:
        """Return the experiments that a name selects: all combinations of its grid, or itself."""
        return (not self._origin(name) and self.grid(name).combinations) or [name]

    def _written(self, name: str) -> dict:
        return copy.deepcopy(self.inline[name]) if name in self.inline else read_yaml(self._file(name))

    def _file(self, name: str) -> Path | None:
        files = (folder / f"{name}.yaml" for folder in self.folders)
        return next((path for path in files if os.path.lexists(path)), None)

    def _origin(self, name: str) -> str | None:
        """Return the experiment whose grid defines this one; None for a written experiment."""
        if "=" not in name or name in self.inline or self._file(name):
            return None
        origins = (other for other in self.names() if name.startswith(f"{other}-"))
        return next((other for other in origins if name in self.grid(other).experiments), None)

    def parent(self, name: str) -> str | None:
        """Return the experiment that another one extends."""
        return self.read(name).get("extends")

    def check(self, name: str, where: str) -> None:
        """Refuse a name that no experiment has; `where` is the key or target that gave it."""
        known = self.names()
        if name not in known and not self._origin(str(name)):
            for other in [other for other in known if str(name).startswith(f"{other}-")]:
                known += self.grid(other).combinations
            folders = " or ".join(map(str, self.folders))
            raise InputError(
                f"{where}: no experiment {name!r} in {folders}{guess(str(name), known, nearest=2)}"
            )
        if problem := repeats(name):
            raise InputError(f"{where}: the name {name!r} {problem}")


def load_config(config: dict, shipped: dict, folders: tuple[Path, ...], module: bool = False) -> dict:
    """Return the validated top-level configuration, with defaults filled in.

    ``experiments`` becomes a list of names; ``catalogue``, a `Catalogue`, is added.

    Parameters
    ----------
    config : dict
        As Snakemake merged it from the file and ``--config``.
    shipped : dict
        The workflow's own config.yaml: its data sets are known everywhere.
    folders : tuple of pathlib.Path
        Folders of experiment files.
    module : bool, default False
        Whether another workflow provides the configuration. It may then contain other keys.
    """
    config, file = plain(config), "config" if module else FILE
    if module:
        config = {key: value for key, value in config.items() if key in Config.model_fields}
    data = config.setdefault("data", {})
    if isinstance(data, dict) and isinstance(data.get("datasets", {}), dict):
        # An edited copy of the shipped file may lack its data sets.
        data["datasets"] = shipped.get("data", {}).get("datasets", {}) | data.get("datasets", {})
    config = base.load(Config, config, file).plain()
    given = config["experiments"]
    catalogue = Catalogue(folders, given if isinstance(given, dict) else {})
    for name in given:
        catalogue.check(name, f"{file}: experiments")
        if name in RESERVED:
            raise InputError(
                f"{file}: experiments: {name!r} is reserved for a folder or file in results/; rename the "
                "experiment"
            )
    names = dict.fromkeys(one for name in given for one in catalogue.selected(name))
    return config | {"experiments": list(names), "catalogue": catalogue}


def configuration_of(folder: str | Path = ".") -> dict:
    """Load the configuration of a working directory as the workflow does, without Snakemake.

    If the folder has none, the shipped one is used, provided that the library is part of a checkout.
    """
    folder = Path(folder)
    shipped = SHIPPED / "config.yaml"
    file = folder / FILE if (folder / FILE).is_file() or not shipped.is_file() else shipped
    known = read_yaml(shipped) if shipped.is_file() else {"data": {"datasets": {}}}
    return load_config(read_yaml(file), known, (folder / EXPERIMENTS, SHIPPED / "experiments"))


def load_experiment(name: str, catalogue: Catalogue | None = None) -> dict:
    """Read, resolve (`extends`) and validate one experiment, with defaults filled in."""
    catalogue = catalogue or Catalogue()
    catalogue.check(name, "experiments")
    catalogue.selected(name)  # refuses an invalid grid
    where = catalogue.where(name)
    written = _resolve(name, catalogue, ())
    experiment = elsewhere.validate(written, where) if "models" in written else validated(written, where)
    if experiment["control"] != NO_CONTROL:
        parent = catalogue.parent(name)
        if parent is None:
            raise InputError(
                f"{where}: control = {json.dumps(experiment['control'])}: needs `extends`, which names the "
                "experiment to control"
            )
        check_control(experiment, load_experiment(parent, catalogue), parent, where)
    return experiment


def load_lineage(name: str, catalogue: Catalogue) -> list[tuple[str, dict]]:
    """Return the names and contents of an experiment and all that it extends, `name` last.

    Those that are incomplete on their own are left out.
    """
    lineage, ancestor = [(name, load_experiment(name, catalogue))], catalogue.parent(name)
    while ancestor is not None:
        with suppress(InputError):
            lineage.append((ancestor, load_experiment(ancestor, catalogue)))
        ancestor = catalogue.parent(ancestor)
    return lineage[::-1]


def _resolve(name: str, catalogue: Catalogue, descendants: tuple[str, ...]) -> dict:
    written, where = catalogue.read(name), catalogue.where(name)
    parent = written.pop("extends", None)
    if parent is None:
        return written
    chain = (*descendants, name)
    if parent in chain:
        raise InputError(f"{where}: extends: {' → '.join((*chain, parent))} is circular; remove one of these")
    catalogue.check(parent, f"{where}: extends")
    control = catalogue.read(parent).get("control", NO_CONTROL)
    if control != NO_CONTROL:
        raise InputError(
            f"{where}: extends = {json.dumps(parent)}: is a control ({control}); extend the experiment "
            f"it controls, {catalogue.parent(parent)}"
        )
    inherited = _resolve(parent, catalogue, chain)
    return merge(elsewhere.without_training(inherited) if "models" in written else inherited, written)


def expand(name: str, grid: dict[str, list], where: str) -> Grid:
    """Return the experiments of a grid of an experiment: values by dotted key."""
    for first, second in pairwise(sorted(grid)):
        if second.startswith(f"{first}."):
            raise InputError(f"{where}: grid: {first} and {second} overlap; remove one of them")
    for key in grid:
        if key.split(".")[0] in ("extends", "grid"):
            raise InputError(f"{where}: grid.{key}: this key cannot have several values; remove it")
    keys = sorted(grid, key=lambda key: (key == CONTROL, not key.startswith(DENSE), key))
    experiments: dict[str, dict] = {}
    level = [name]
    for key in keys:
        added: dict[str, dict] = {}
        for parent in level:
            for value in grid[key]:
                if (key, value) == (CONTROL, NO_CONTROL):
                    added[parent] = {}  # the controls extend this one, so it has no separate name
                else:
                    child = f"{parent}-{_label(key, keys)}={_text(value)}"
                    added[child] = {"extends": parent} | _nested(key, value)
        if len(added) < len(level) * len(grid[key]):
            texts = ", ".join(json.dumps(value) for value in grid[key])
            raise InputError(f"{where}: grid.{key}: two of the values {texts} have the same name; remove one")
        experiments |= {child: changes for child, changes in added.items() if changes}
        level = list(added)
    longest = max(level, key=len)
    if len(longest) > MOST:
        raise InputError(f"{where}: grid: the name {longest} is too long for a folder; use fewer keys")
    return Grid(experiments, level)


def _label(key: str, keys: list[str]) -> str:
    """Return the last part of a key; the whole key if another key has the same last part."""
    last = key.rpartition(".")[2]
    alike = [other for other in keys if other.rpartition(".")[2] == last]
    return last if alike == [key] else key


def _text(value) -> str:
    """Write a value with the characters that a folder's name may have."""
    written = value if isinstance(value, str) else "_".join(_leaves(value))
    text = re.sub(r"[^A-Za-z0-9_.-]+", "_", written)
    if len(text) > MOST_OF_VALUE:
        digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:6]
        text = f"{text[: MOST_OF_VALUE - 7]}-{digest}"
    return text


def _leaves(value) -> list[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for child in value for text in _leaves(child)]
    return [value if isinstance(value, str) else json.dumps(value)]


def _nested(key: str, value) -> dict:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


# Keys that masks and training depend on. A control must have the same values.
CONTROLLED = ("dataset", "network", "training", "pruning")
# Keys of `activations` that decide whether recordings can be compared with those of another experiment.
RECORDED = ("layers", "examples", "view", "positions", "token")


def check_control(control: dict, experiment: dict, name: str, where: str) -> None:
    """Refuse a control that differs from the experiment that it controls in other than permitted keys.

    Both are complete; `name` is that of the experiment, `where` the file of the control.
    """
    again = kinds.find("control", control["control"]).facts.get("again", False)
    mine, theirs = (_controlled(one, again) for one in (control, experiment))
    for key in mine:
        if mine[key] != theirs[key]:
            key, value, controlled = _first_difference(key, mine[key], theirs[key])
            raise InputError(
                f"{where}: {key} = {json.dumps(value)}: a control of {name} must have the same value, "
                f"{json.dumps(controlled)}; remove the key"
            )
    for seed in control["seeds"]:
        if seed not in experiment["seeds"]:
            raise InputError(
                f"{where}: seeds = {json.dumps(control['seeds'])}: a control of {name} can only use its "
                f"seeds, {', '.join(map(str, experiment['seeds']))}"
            )
    if control["rounds"] > experiment["rounds"]:
        raise InputError(
            f"{where}: rounds = {control['rounds']}: the controlled experiment {name} ends after round "
            f"{experiment['rounds']}; lower rounds"
        )


def _controlled(experiment: dict, again: bool) -> dict:
    """Return what a control shares with its experiment; trained `again`, it is compared with it."""
    parts = {key: experiment[key] for key in CONTROLLED}
    activations = {"examples": EXAMPLES} | experiment["activations"]
    return parts | ({"activations": {key: activations[key] for key in RECORDED}} if again else {})


def _first_difference(key: str, one, other) -> tuple[str, object, object]:
    """Return the first dotted key at which two values differ, and both plain values."""
    while isinstance(one, dict) and isinstance(other, dict):
        name = next(name for name in {**one, **other} if one.get(name) != other.get(name))
        key, one, other = f"{key}.{name}", one.get(name), other.get(name)
    return key, one, other
