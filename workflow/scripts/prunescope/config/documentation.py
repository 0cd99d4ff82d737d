"""The reference of configuration keys, kinds and verdicts, generated from their definitions.

``python -m prunescope.config.documentation`` (`make docs`) writes it; a test fails when it is out of date.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from prunescope import kinds
from prunescope.config import schema as schemas
from prunescope.findings.words import MEANINGS
from prunescope.similarity import measures

REPOSITORY = Path(__file__).parents[4]


def keys(name: str) -> Iterator[tuple[str, dict, bool]]:
    """Yield (dotted key, its schema, whether it is required) for every key of a schema, in its order.

    The description of a setting that only some kinds have names these kinds; it is required if they require
    it.
    """
    root = schemas.schema(name)

    def walk(part: dict, prefix: str) -> Iterator[tuple[str, dict, bool]]:
        properties, needed = dict(part.get("properties", {})), [*part.get("required", [])]
        own = _settings(part)
        needed += [key for key, child in own.items() if "default" not in child]
        for key, child in (properties | own).items():
            child = schemas.deref(child, root)
            if "description" in child:
                yield prefix + key, child, key in needed
            # The keys of finetune are explained under training, and those of a model's network under network.
            if prefix + key not in ("pruning.finetune", "models[].network"):
                yield from walk(child, f"{prefix}{key}.")
            yield from walk(child.get("items", {}), f"{prefix}{key}[].")
            values = child.get("additionalProperties")
            for option in values.get("anyOf", []) if isinstance(values, dict) else []:
                yield from walk(option, f"{prefix}{key}.NAME.")

    return walk(root, "")


def _settings(part: dict) -> dict[str, dict]:
    """Return the settings of all kinds of a family; each description names the kinds that have it."""
    found: dict[str, dict] = {}
    texts: dict[str, dict[str, list[str]]] = {}
    for kind in kinds.known(part["settings"]).values() if "settings" in part else ():
        for key, child in kind.settings.items():
            found.setdefault(key, child)
            texts.setdefault(key, {}).setdefault(child["description"].rstrip("."), []).append(kind.name)
    return {
        key: child
        | {"description": " ".join(f"{text} ({', '.join(names)})." for text, names in texts[key].items())}
        for key, child in found.items()
    }


def allowed(part: dict) -> str:
    """Describe the values that a schema allows, in words."""
    if "kind" in part:
        return ", ".join(f"`{form}`" for form in kinds.forms(part["kind"]))
    if "enum" in part:
        return ", ".join(f"`{option}`" for option in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if "anyOf" in part:
        return " or ".join(allowed(option) for option in part["anyOf"])
    if "type" not in part:
        return ""
    types = part["type"] if isinstance(part["type"], list) else [part["type"]]
    words = {"array": "list", "object": "mapping", "boolean": "`true`, `false`", "null": "`null`"}
    text = " or ".join(words.get(kind, kind) for kind in types)
    if "array" in types and "items" in part:
        inner = allowed(part["items"])
        text = text.replace("list", f"list of {inner}" if inner else "list")
    values = part.get("additionalProperties")
    if "object" in types and isinstance(values, dict) and allowed(values):
        text = text.replace("mapping", f"mapping to {allowed(values)}")
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
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n".join(lines)


def kind_tables() -> str:
    """Return a Markdown table for each family of kinds."""
    parts = []
    for family, shared in kinds.FAMILIES.items():
        lines = ["| name | what it is | reference |", "|---|---|---|"]
        for kind in kinds.known(family).values():
            listed = kind.names and not isinstance(kind.names, str)
            text = (kind.label or kind.summary) + (f": {', '.join(kind.names)}" if listed else "")
            lines.append(f"| `{kind.form}` | {_cell(text)} | {_cell(kind.reference)} |")
        if shared.files:
            page = "networks" if family == "network" else "extending"
            lines.append(f"| `{kinds.FILE}` | One in a file of your own project, see docs/{page}.md | |")
        parts.append("\n".join([f"### {shared.title}", "", *lines]))
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").strip()


def made() -> dict[Path, list[tuple[str, str, str]]]:
    """Return the generated parts by file: first line, last line and the text between."""
    reference = (
        f"## config.yaml\n\n{table('config')}\n\n## experiments/NAME.yaml\n\n{table('experiment')}"
        f"\n\n## Kinds\n\n{kind_tables()}"
    )
    verdicts = [
        "| verdict | meaning |",
        "|---|---|",
        *(f"| `{word}` | {text} |" for word, text in MEANINGS.items()),
    ]
    start = "<!-- made by `make docs` from workflow/schemas and the library; do not edit below -->"
    return {
        REPOSITORY / "config/README.md": [(start, "<!-- end -->", reference)],
        REPOSITORY / "docs/similarity.md": [
            ("<!-- measures: made by `make docs` -->", "<!-- end of measures -->", measures.table())
        ],
        REPOSITORY / "results/README.md": [
            ("<!-- statuses: made by `make docs` -->", "<!-- end of statuses -->", measures.statuses()),
            ("<!-- verdicts: made by `make docs` -->", "<!-- end of verdicts -->", "\n".join(verdicts)),
        ],
    }


def page(text: str, parts: list[tuple[str, str, str]]) -> str:
    """Return a page with its parts updated."""
    for start, end, content in parts:
        before, found, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        assert found and closed, f"{start} and {end} are not there"
        text = f"{before}{start}\n\n{content}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    for path, parts in made().items():
        path.write_text(page(path.read_text(), parts))
