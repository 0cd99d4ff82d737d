"""A grid of experiments: one for each combination of values of some keys.

Each combination extends the one without its last key, as `NAME-lr=0.1-rate=0.2` extends `NAME-lr=0.1` and
that one `NAME`. Keys of the dense training come first, so all combinations with the same dense training
extend the same experiment and share its round 0. A name depends only on the combination's own values.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from itertools import pairwise

from prunescope.errors import InputError

# Keys that the dense training reads; a control comes last because it extends the experiment that it controls.
DENSE = ("dataset", "network", "training", "pruning.retraining", "pruning.rewind")
CONTROL = "control"
# The value of `control` for an experiment that is not a control.
NO_CONTROL = "none"
# A folder name can have 255 bytes; a value in it should stay readable.
MOST, MOST_OF_VALUE = 200, 40


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
