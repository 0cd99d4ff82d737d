"""The reference of all configuration keys in config/README.md, made from the schemas.

``python -m prunescope.documentation`` (`make docs`) writes it; a test fails when it is out of date.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from prunescope import settings

README = Path(__file__).parents[3] / "config" / "README.md"
START, END = "<!-- made by `make docs` from workflow/schemas; do not edit below -->", "<!-- end -->"


def keys(name: str) -> Iterator[tuple[str, dict, bool]]:
    """Give (dotted key, its schema, whether it is required) for every key of a schema, in its order.

    A key that only one optimiser or schedule knows is required when that one requires it.
    """
    root = settings.schema(name)

    def walk(part: dict, prefix: str) -> Iterator[tuple[str, dict, bool]]:
        properties = dict(part.get("properties", {}))
        needed = [*part.get("required", [])]
        for condition in part.get("allOf", []):
            needed += condition["then"].get("required", [])
            for key, child in condition["then"]["properties"].items():
                if child is not True:
                    properties.setdefault(key, child)
        for key, child in properties.items():
            child = settings.deref(child, root)
            if "description" in child:
                yield prefix + key, child, key in needed
            # What finetune replaces is explained at training.
            if not (prefix == "pruning." and key == "finetune"):
                yield from walk(child, f"{prefix}{key}.")

    return walk(root, "")


def allowed(part: dict) -> str:
    """Describe in words which values a schema allows."""
    if "enum" in part:
        return ", ".join(f"`{option}`" for option in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if "anyOf" in part:
        return " or ".join(allowed(option) for option in part["anyOf"])
    if "type" not in part:
        return f"`{part['pattern'].strip('^$')}`" if "pattern" in part else ""
    kinds = part["type"] if isinstance(part["type"], list) else [part["type"]]
    words = {"array": "list", "object": "mapping", "boolean": "`true`, `false`", "null": "`null`"}
    text = " or ".join(words.get(kind, kind) for kind in kinds)
    if "array" in kinds and "items" in part:
        inner = allowed(part["items"])
        text = text.replace("list", f"list of {inner}" if inner else "list")
    bounds = [
        f"{sign} {part[key]}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in part
    ]
    return f"{text} {', '.join(bounds)}".strip()


def table(name: str) -> str:
    """Return the Markdown table of one schema's keys."""
    lines = ["| key | meaning | allowed | default |", "|---|---|---|---|"]
    for key, part, required in keys(name):
        default = "required" if required else f"`{json.dumps(part['default'])}`" if "default" in part else ""
        cells = [f"`{key}`", part["description"], allowed(part), default]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").strip() for cell in cells) + " |")
    return "\n".join(lines)


def page(text: str) -> str:
    """Return config/README.md with its reference made anew."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    made = f"## config.yaml\n\n{table('config')}\n\n## experiments/NAME.yaml\n\n{table('experiment')}"
    return f"{before}{START}\n\n{made}\n\n{END}{after}"


if __name__ == "__main__":
    README.write_text(page(README.read_text()))
