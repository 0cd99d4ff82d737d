"""YAML as JSON's values: from files and from the command line, and one mapping over another."""

import copy
import json
import re
from functools import cache
from pathlib import Path

import yaml

from prunescope.errors import InputError
from prunescope.settings.base import kind_of

# Far more than any configuration needs, but small enough to refuse larger files immediately.
LARGEST_FILE = 1_000_000
DEEPEST = 50
MOST_VALUES = 30_000


class _Loader(yaml.SafeLoader):
    """YAML in which a duplicate key is an error; 1e-3 is a number, 1:30 and 010 are text as in JSON.

    Depth and number of values are limited while the file is parsed. An alias counts as all the values that it
    refers to: a few lines of nested aliases can expand to billions of values.
    """

    def __init__(self, stream):
        super().__init__(stream)
        self._depth, self._values, self._sizes = 0, 0, {}

    def compose_node(self, parent, index):
        mark, is_alias = self.peek_event().start_mark, self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {DEEPEST} levels", mark)
        before = self._values
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not is_alias:
            self._values += 1 + len(node.value) // 100  # a long text counts as several values
            self._sizes[node] = self._values - before
        elif node not in self._sizes:
            raise yaml.composer.ComposerError(None, None, "an anchor that contains itself", mark)
        else:
            self._values += self._sizes[node]
        if self._values > MOST_VALUES:
            problem = f"more than {MOST_VALUES:,} values after aliases are expanded"
            raise yaml.composer.ComposerError(None, None, problem, mark)
        return node

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if str(key) in seen:
                mark = key_node.start_mark
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} appears twice", mark)
            seen.add(str(key))
        return super().construct_mapping(node, deep)


_NUMBERS = {
    "tag:yaml.org,2002:int": r"^[-+]?(0|[1-9]\d*)$",
    "tag:yaml.org,2002:float": r"^([-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?|[-+]?\.inf|\.nan)$",
}
_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] not in _NUMBERS]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list("-+0123456789."))


def typed(value, key: str = ""):
    """Return a value of ``--config``: Snakemake leaves nested values as text, which is YAML."""
    if isinstance(value, dict):
        return {name: typed(child, f"{key}.{name}" if key else str(name)) for name, child in value.items()}
    if isinstance(value, list):
        return [typed(child, f"{key}[{index}]") for index, child in enumerate(value)]
    return _load(value, f"--config {key} = {json.dumps(value)}") if isinstance(value, str) else value


def _load(text: str, where: str):
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise InputError(f"{where}{line}: {problem}") from None
    except (ValueError, LookupError) as error:  # from a date, number or tag that Python cannot read
        raise InputError(f"{where}: {error}") from None


def read_yaml(path: Path) -> dict:
    """Read a YAML file whose top level is a mapping, within limits of size and depth."""
    try:
        # Opening a pipe would wait for its writer.
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: not a regular file; replace it")
        stat = path.stat()
        if stat.st_size > LARGEST_FILE:
            raise InputError(f"{path}: larger than {LARGEST_FILE:,} bytes, so not a configuration file")
        # Every experiment of a grid reads the same file.
        return copy.deepcopy(_parsed(path, stat.st_mtime_ns, stat.st_size))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


@cache
def _parsed(path: Path, _mtime: int, _size: int) -> dict:
    value = _load(path.read_text(encoding="utf-8"), str(path))
    if not isinstance(value, dict):
        raise InputError(f"{path}: must be a mapping of keys to values, not {kind_of(value)}")
    return value


def plain(value):
    """Return a copy made of plain dictionaries, lists and values; Snakemake's own types are subclasses."""
    if isinstance(value, dict):
        return {str(key): plain(child) for key, child in value.items()}
    return [plain(child) for child in value] if isinstance(value, list | tuple) else value


def merge(base: dict, changes: dict) -> dict:
    """Return `base` with the keys of `changes` replaced, mapping by mapping.

    A mapping with another ``name`` (network, optimizer, schedule) is replaced as a whole: the settings of one
    optimiser do not apply to another. Lists are replaced as a whole, too.
    """
    merged = copy.deepcopy(base)
    for key, value in changes.items():
        old = merged.get(key)
        same = isinstance(old, dict) and isinstance(value, dict)
        if same and value.get("name", old.get("name")) == old.get("name"):
            merged[key] = merge(old, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged
