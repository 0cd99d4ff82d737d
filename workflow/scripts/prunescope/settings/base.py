"""The base of all settings, the types they share, and their errors as one line."""

import json
import re
from functools import reduce
from operator import or_
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from prunescope import kinds
from prunescope.errors import InputError, guess

M = TypeVar("M", bound=BaseModel)


def problem(text: str, key: str = "", **value) -> PydanticCustomError:
    """Return the error of a validator: what is wrong with a key, relative to the validated value.

    The value is part of the message if it is given as ``value=...``.
    """
    return PydanticCustomError("problem", "{text}", {"text": text, "key": key, **value})


class Settings(BaseModel):
    """Base of all settings. Nothing is converted: "0.1", NaN and true are not numbers."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )

    @classmethod
    def by_key(cls) -> dict[str, FieldInfo]:
        """Return the fields by their keys. A key that is a word of Python, like `from`, is an alias."""
        return {field.alias or name: field for name, field in cls.model_fields.items()}

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        fields = cls.by_key()
        for key, field in fields.items():
            if field.is_required() and key not in value:
                meaning = (field.description or "it has no default").rstrip(".")
                raise problem(f"required key is missing ({meaning[:1].lower()}{meaning[1:]})", key)
        for key in value:
            if key not in fields:
                # The keys of a kind come before those that all kinds of its family have.
                names = sorted(cls.model_fields, key=lambda name: name not in cls.__annotations__)
                allowed = ", ".join(cls.model_fields[name].alias or name for name in names)
                raise problem(f"unknown key{guess(str(key), fields)}; allowed: {allowed}", str(key))
        return value

    def plain(self, **options) -> dict:
        """Return the settings as JSON values, for a rule's parameters."""
        return self.model_dump(mode="json", by_alias=True, **options)


def absent(**options) -> Any:
    """Return the field of a key that is left out unless it is written."""
    return Field(default_factory=type(None), exclude_if=lambda value: value is None, **options)


def named(family: str) -> Any:
    """Return the type of a key that names a kind."""

    def check(value: str) -> str:
        kinds.known(family)  # an error in a kind's file is not an error in the configuration
        try:
            kinds.find(family, value)
        except InputError as error:
            meaning = str(error).removeprefix(f"{family} = {value!r}: ")
            raise PydanticCustomError("kind", "{meaning}", {"meaning": meaning}) from None
        return value

    return Annotated[str, AfterValidator(check), Field(json_schema_extra={"kind": family})]


def spelled(pattern: str, form: str) -> Any:
    """Return the type of a text that must match a pattern; `form` describes it."""

    def check(value: str) -> str:
        if not re.search(pattern, value):
            raise problem(f"must be {form}", value=value)
        return value

    return Annotated[str, AfterValidator(check), Field(json_schema_extra={"pattern": pattern})]


def _unique(values: list) -> list:
    texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
    if len(set(texts)) < len(texts):
        raise problem("must not contain duplicates", value=values)
    return values


# A list without duplicates: Annotated[list[int], UNIQUE].
UNIQUE = AfterValidator(_unique), Field(json_schema_extra={"uniqueItems": True})


def either(allowed: str, **options) -> Any:
    """Return a union whose option is chosen by the type of the value: ``int=..., dict=...``."""

    def tag(value: Any) -> str | None:
        name = "dict" if isinstance(value, BaseModel) else type(value).__name__
        option = options.get(name)
        if get_args(option) and get_args(option)[0] == "all" and value != "all":
            return None
        return f"<{name}>" if option else None

    return Annotated[
        reduce(or_, [Annotated[option, Tag(f"<{name}>")] for name, option in options.items()]),
        Discriminator(
            tag, custom_error_type="problem", custom_error_message=f"not allowed; allowed: {allowed}"
        ),
    ]


def load(model: type[M], values: dict, where: str = "") -> M:
    """Return validated settings; `where` is the file or key that has the values, for messages.

    Raises
    ------
    InputError
        With one line for the first problem: key, value, what is allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    for one in errors:
        if one["type"] == "value_error":  # an error in a kind's file
            raise one["ctx"]["error"]
    first = errors[0]  # in the order of the keys
    raise InputError(f"{where}: {explain(first, model)}" if where else explain(first, model))


def explain(error: dict, model: type[BaseModel]) -> str:
    """Turn an error of pydantic into one line: key, value, what is allowed."""
    kind, value, limits = error["type"], error["input"], error.get("ctx", {})
    path = [part for part in error["loc"] if not re.fullmatch(r"<\w+>|\[key\]", str(part))]
    if kind in ("finite_number", "invalid-json-value"):  # the types of pydantic's JsonValue are no keys
        path = [part for part in path if part not in ("list", "dict", "float")]
    key = _dotted(path)
    shown = f"{key} = {json.dumps(value, default=str)}"
    if kind == "problem" and limits:
        key = f"{key}.{limits['key']}" if key and limits["key"] else key or limits["key"]
        value = f" = {json.dumps(limits['value'], default=str)}" if "value" in limits else ""
        return f"{key}{value}: {limits['text']}"
    if kind == "kind":
        return f"{key} = {value!r}: {error['msg']}"
    if kind == "finite_number":
        return f"{key} = {value}: must be a finite number"
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", limits["expected"])
        return f"{shown}: unknown{guess(str(value), options)}; allowed: {', '.join(options)}"
    if kind in TYPES:
        hint = f", e.g. [{value}]" if kind == "list_type" and isinstance(value, str | int | float) else ""
        null = " or null" if _allows_null(model, path) else ""
        return f"{shown}: must be {TYPES[kind]}{null}{hint}, not {kind_of(value)}"
    least, most = limits.get("min_length"), limits.get("max_length")
    texts = {
        "greater_than": f"must be greater than {_number(limits.get('gt'))}",
        "greater_than_equal": f"must be at least {_number(limits.get('ge'))}",
        "less_than": f"must be less than {_number(limits.get('lt'))}",
        "less_than_equal": f"must be at most {_number(limits.get('le'))}",
        "too_short": "must not be empty" if least == 1 else f"must have at least {least} entries",
        "too_long": f"must have at most {most} entries",
        "string_too_short": "must not be empty",
        "invalid-json-value": f"must be plain text, a number, a list or a mapping, not {kind_of(value)}",
    }
    return f"{shown}: {texts.get(kind, error['msg'])}"


# What a value must be, by the type of pydantic's error.
TYPES = {
    "int_type": "an integer",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


def _allows_null(model: type[BaseModel], path: list) -> bool:
    null = False
    for part in path:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        parts = get_args(field.annotation) if field else ()
        null = type(None) in parts
        inner = [field.annotation if field else None, *parts]
        model = next((one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)), model)
    return null


def _number(limit: float | None) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _dotted(path: list) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def kind_of(value: Any) -> str:
    """Return the name of a value's type with its article."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "a mapping" if isinstance(value, dict) else f"a {type(value).__name__}")
