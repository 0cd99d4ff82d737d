"""Schema errors as one line: key, value, what is allowed."""

import json

import jsonschema

from prunescope.errors import guess


def explain(error: jsonschema.ValidationError) -> str:
    """Turn a schema error into: key, value, what is allowed."""
    key = _dotted(error.absolute_path)
    value, limit = error.instance, error.validator_value
    prefix = f"{key}." if key else ""
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(name for name in value if name not in known)
        return f"{prefix}{unknown}: unknown key{guess(str(unknown), known)}; allowed: {', '.join(known)}"
    if error.validator == "required":
        missing = next(name for name in limit if name not in value)
        return f"{prefix}{missing}: required key is missing ({_meaning(error.schema, missing)})"
    shown = f"{key} = {json.dumps(value, default=str)}"
    if error.validator == "kind":
        return f"{key} = {value!r}: {error.message}"
    if error.validator == "pattern":
        form = error.schema.get("form")
        return f"{shown}: must {f'be {form}' if form else f'match the pattern {limit}'}"
    if error.validator == "type":
        types = [limit] if isinstance(limit, str) else limit
        hint = f", e.g. [{value}]" if types == ["array"] and isinstance(value, str | int | float) else ""
        return f"{shown}: must be {' or '.join(map(article, types))}{hint}, not {kind_of(value)}"
    if error.validator == "enum":
        return f"{shown}: unknown{guess(str(value), limit)}; allowed: {', '.join(map(str, limit))}"
    if error.validator == "anyOf":
        # If the value has the type of one option, explain what is wrong inside.
        wrong = {child.schema_path[0] for child in error.context if _of_another_type(child)}
        inner = [child for child in error.context if child.schema_path[0] not in wrong]
        if inner:
            return explain(inner[0])
        options = [option for part in limit for option in part.get("enum", [])]
        texts = [_option(part) for part in limit]
        return f"{shown}: not allowed{guess(str(value), options)}; allowed: {'; '.join(texts)}"
    text = {
        "minimum": f"must be at least {limit}",
        "maximum": f"must be at most {limit}",
        "exclusiveMinimum": f"must be greater than {limit}",
        "exclusiveMaximum": f"must be less than {limit}",
        "minItems": "must not be empty" if limit == 1 else f"must have at least {limit} entries",
        "maxItems": f"must have at most {limit} entries",
        "minLength": "must not be empty",
        "minProperties": "must not be empty",
        "uniqueItems": "must not contain duplicates",
    }.get(error.validator, error.message)
    return f"{shown}: {text}"


def _of_another_type(error: jsonschema.ValidationError) -> bool:
    """Whether a value fails an option of ``anyOf`` because of its type."""
    if len(error.schema_path) == 2 and error.validator == "enum":
        return not any(type(option) is type(error.instance) for option in error.validator_value)
    return error.schema_path[1] in ("type", "const")


def _option(part: dict) -> str:
    if "enum" in part:
        return ", ".join(map(str, part["enum"]))
    if "const" in part:
        return str(part["const"])
    least = f" of at least {part['minimum']}" if "minimum" in part else ""
    return article(part["type"]) + least


def _meaning(schema: dict, key: str) -> str:
    child = schema.get("properties", {}).get(key, {})
    child = child if isinstance(child, dict) else {}
    text = child.get("description", "it has no default").rstrip(".")
    return text[:1].lower() + text[1:]


def _dotted(path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def article(kind: str) -> str:
    """Return the name of a JSON type with its article."""
    names = {
        "array": "a list",
        "object": "a mapping",
        "integer": "an integer",
        "null": "null",
        "boolean": "true or false",
    }
    return names.get(kind, f"a {kind}")


def kind_of(value) -> str:
    """Return the name of a value's type with its article."""
    if value is None:
        return "null"
    kinds = {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "a mapping",
    }
    return kinds.get(type(value), f"a {type(value).__name__}")
