"""Validate configuration files: allowed keys and values, defaults, one line for each error.

The JSON schemas in workflow/schemas are the only list of keys, with their meaning, default and range. Two
additional keywords refer to kinds: ``kind: measure`` allows the names of a family, and ``settings:
optimizer`` adds the settings of the kind that the key ``name`` selects.
"""

import copy
import math
from functools import cache
from pathlib import Path

import jsonschema
import yaml

from prunescope import kinds
from prunescope.config.explain import explain
from prunescope.errors import InputError

HERE = Path(__file__).parents[1]
# An installed library contains the schemas.
SCHEMAS = next(path for path in (HERE / "schemas", HERE.parents[1] / "schemas") if path.is_dir())


def _named_kind(_validator, family: str, value, _schema):
    kinds.known(family)  # an error in a kind's file is not an error in the configuration
    if isinstance(value, str):
        try:
            kinds.find(family, value)
        except InputError as error:
            yield jsonschema.ValidationError(str(error).removeprefix(f"{family} = {value!r}: "))


# JSON Schema accepts 2.0 as an integer; range() and folder names do not.
_DRAFT = jsonschema.Draft202012Validator
_Validator = jsonschema.validators.extend(
    _DRAFT,
    {"kind": _named_kind},
    type_checker=_DRAFT.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int),
)


@cache
def schema(name: str) -> dict:
    """Return the JSON schema ``config`` or ``experiment``, with the settings of all kinds."""
    root = yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text())
    _add_settings(root)
    return root


def _add_settings(part) -> None:
    """Expand ``settings: FAMILY``: for each kind, the keys it allows and requires."""
    children = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
    for child in list(children):
        _add_settings(child)
    if isinstance(part, dict) and isinstance(part.get("settings"), str):
        common = dict.fromkeys(part["properties"], True)
        part["allOf"] = [
            {
                "if": {"properties": {"name": {"const": kind.name}}, "required": ["name"]},
                "then": {
                    "additionalProperties": False,
                    "properties": common | kind.settings,
                    "required": [key for key, child in kind.settings.items() if "default" not in child],
                },
            }
            for kind in kinds.known(part["settings"]).values()
        ]


def plain(value):
    """Return a copy made of plain dictionaries, lists and values."""
    if isinstance(value, dict):
        return {str(key): plain(child) for key, child in value.items()}
    return [plain(child) for child in value] if isinstance(value, list | tuple) else value


def validate(value: dict, schema: dict, file: str) -> dict:
    """Check a configuration against its schema and return it with defaults filled in.

    Raises
    ------
    InputError
        With one line for the first problem in the file.
    """
    _check_finite(value, file, "")
    validator = _Validator(schema)
    errors = sorted(
        validator.iter_errors(value), key=lambda error: ([str(p) for p in error.absolute_path], error.message)
    )
    if errors:
        raise InputError(f"{file}: {explain(errors[0])}")
    value = copy.deepcopy(value)
    _fill(value, schema, schema)
    return value


def _check_finite(value, file: str, key: str) -> None:
    """Refuse NaN and infinity, which can pass the comparison with a bound."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{file}: {key} = {value}: must be a finite number")
    if isinstance(value, dict):
        for name, child in value.items():
            _check_finite(child, file, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _check_finite(child, file, f"{key}[{index}]")


def _fill(value, part: dict, root: dict) -> None:
    part = deref(part, root)
    if isinstance(value, list):
        for item in value:
            _fill(item, part.get("items", {}), root)
    if not isinstance(value, dict):
        return
    for condition in part.get("allOf", []):
        if _Validator(condition["if"]).is_valid(value):
            _fill(value, condition["then"], root)
    for key, child in part.get("properties", {}).items():
        if child is True:
            continue
        resolved = deref(child, root)
        if key not in value and "default" in resolved:
            value[key] = copy.deepcopy(resolved["default"])
        if key in value:
            _fill(value[key], resolved, root)


def deref(part: dict, root: dict) -> dict:
    """Resolve a schema's ``$ref`` in the ``$defs`` of its root, and add the keys next to it."""
    if "$ref" not in part:
        return part
    beside = {key: value for key, value in part.items() if key != "$ref"}
    return deref(root["$defs"][part["$ref"].rsplit("/", 1)[-1]], root) | beside
