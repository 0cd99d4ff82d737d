"""The reference of configuration keys, kinds and verdicts, and the JSON schemas, made from their definitions.

``python -m prunescope.plan.reference`` (`make docs`) writes them; a test fails when one is out of date.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from prunescope import kinds
from prunescope.findings.words import MEANINGS
from prunescope.settings.config import Config
from prunescope.settings.experiment import REFUSED, Experiment
from prunescope.similarity import measures
from prunescope.similarity.statuses import STATUSES

REPOSITORY = Path(__file__).parents[4]
# For each JSON schema: the model, and the file that it describes.
SCHEMAS = {
    "config": (Config, "config/config.yaml"),
    "experiment": (Experiment, "config/experiments/NAME.yaml"),
}


def schema(name: str) -> dict:
    """Return the JSON schema ``config`` or ``experiment``, without references and titles of keys."""
    model, file = SCHEMAS[name]
    root = model.model_json_schema()
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": file}
    inlined = _inlined(
        {key: part for key, part in root.items() if key not in ("$defs", "description")},
        root.get("$defs", {}),
    )
    if pruning := inlined["properties"].get("pruning"):
        # What it does not say is as in `training`.
        pruning["properties"]["finetune"] = _optional(pruning["properties"]["finetune"])
    return draft | inlined


def _optional(part):
    """Return a schema that requires no key."""
    if isinstance(part, list):
        return [_optional(child) for child in part]
    if not isinstance(part, dict):
        return part
    return {key: _optional(child) for key, child in part.items() if key != "required"}


def _inlined(part, definitions: dict, named: bool = False):
    """Replace references; `named` says that the keys of `part` are names, which may be ``title``."""
    if isinstance(part, list):
        return [_inlined(child, definitions) for child in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part and not named:
        definition = definitions[part["$ref"].rsplit("/", 1)[-1]]
        # The docstring of a model is not about the key.
        part = {key: child for key, child in definition.items() if key != "description"} | part
        del part["$ref"]
        if isinstance(part.get("default"), dict):
            part["default"] = {key: part["default"][key] for key in part.get("required", [])}
        if family := part.pop("family", None):
            common = {key: part.pop(key) for key in ("properties", "required", "additionalProperties")}
            common["type"] = "object"
            part["anyOf"] = _kinds(family, common)
        return _inlined(part, definitions)
    return {
        key: child if key == "default" and not named else _inlined(child, definitions, key == "properties")
        for key, child in part.items()
        if named or key != "title"
    }


def _kinds(family: str, common: dict) -> list[dict]:
    """Return the schemas of the settings of each kind; those of a user's own kinds are not known here."""
    options = []
    for kind in kinds.known(family).values():
        settings = kind.settings.model_json_schema()
        settings["properties"]["name"]["const"] = kind.name
        options.append(_inlined({key: settings[key] for key in common}, settings.get("$defs", {})))
    name = common["properties"]["name"] | {"pattern": "^file:"}
    properties = common["properties"] | {"name": name}
    return [*options, common | {"properties": properties, "additionalProperties": True}]


def keys(name: str) -> Iterator[tuple[str, dict, bool]]:
    """Yield (dotted key, its schema, whether it is required) for every key of a schema, in its order.

    The description of a setting that only some kinds have names these kinds; it is required if they require
    it.
    """

    def walk(part: dict, prefix: str) -> Iterator[tuple[str, dict, bool]]:
        part = _merged(part)
        for key, child in part.get("properties", {}).items():
            if "description" in child:
                yield prefix + key, child, key in part.get("required", [])
            # The keys of finetune are explained under training, and those of a model's network under network.
            if prefix + key not in ("pruning.finetune", "models[].network"):
                yield from walk(child, f"{prefix}{key}.")
            yield from walk(child.get("items", {}), f"{prefix}{key}[].")
            for option in _values(child).get("oneOf", []):
                yield from walk(option, f"{prefix}{key}.NAME.")

    return walk(schema(name), "")


def _merged(part: dict) -> dict:
    """Return one schema with the keys of a mapping that may be null, or of all kinds.

    In the second case, each description names the kinds, unless all have it.
    """
    options = [one for one in part.get("anyOf", ()) if one != {"type": "null"}]
    if len(options) == 1:
        return options[0]
    kinds_of = [one for one in part.get("anyOf", ()) if "const" in one.get("properties", {}).get("name", {})]
    if not kinds_of:
        return part
    properties: dict[str, dict] = {}
    texts: dict[str, dict[str, list[str]]] = {}
    for one in kinds_of:
        for key, child in one["properties"].items():
            properties.setdefault(key, child)
            names = texts.setdefault(key, {}).setdefault(child["description"].rstrip("."), [])
            names.append(one["properties"]["name"]["const"])
    for key, named in texts.items():
        if [len(names) for names in named.values()] != [len(kinds_of)]:
            text = " ".join(f"{text} ({', '.join(names)})." for text, names in named.items())
            properties[key] = properties[key] | {"description": text}
    return {"properties": properties, "required": [key for one in kinds_of for key in one["required"]]}


def _values(part: dict) -> dict:
    """Return the schema of a mapping's values."""
    values = next(iter(part.get("patternProperties", {}).values()), part.get("additionalProperties"))
    return values if isinstance(values, dict) else {}


def allowed(part: dict) -> str:
    """Describe the values that a schema allows, in words."""
    if "kind" in part:
        return ", ".join(f"`{form}`" for form in kinds.forms(part["kind"]))
    if "enum" in part:
        return ", ".join(f"`{option}`" for option in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if options := part.get("anyOf") or part.get("oneOf"):
        return " or ".join(dict.fromkeys(filter(None, map(allowed, options))))
    if "type" not in part:
        return ""
    words = {"array": "list", "object": "mapping", "boolean": "`true`, `false`", "null": "`null`"}
    text = words.get(part["type"], part["type"])
    inner = allowed(part.get("items", {}))
    values = allowed(_values(part))
    text += f" of {inner}" * bool(inner) + f" to {values}" * bool(values)
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [
        f"{sign} {part[key]:g}" if part[key] < 1e6 else f"{sign} {part[key]}"
        for key, sign in signs.items()
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
    """Return a Markdown table for each family of kinds, with a link from each to its file of code."""
    parts = []
    for family, shared in kinds.FAMILIES.items():
        lines = ["| name | what it is | reference |", "|---|---|---|"]
        for kind in kinds.known(family).values():
            listed = kind.names and not isinstance(kind.names, str)
            text = (kind.label or kind.summary) + (f": {', '.join(kind.names)}" if listed else "")
            lines.append(f"| {_code(kind)} | {_cell(text)} | {_cell(kind.reference)} |")
        if shared.files:
            page = "networks" if family == "network" else "extending"
            lines.append(f"| `{kinds.FILE}` | One in a file of your own project, see docs/{page}.md | |")
        parts.append("\n".join([f"### {shared.title}", "", *lines]))
    return "\n\n".join(parts)


def _code(kind: kinds.Kind) -> str:
    """Return the form of a kind as a link to the file that defines it, from a folder of the repository."""
    module = kind.definition.partition(":")[0].replace(".", "/")
    return f"[`{kind.form}`](../workflow/scripts/prunescope/{module}.py)"


def measure_table() -> str:
    """Return the Markdown table of measures: name, label, what does not change them, reference."""
    lines = ["| measure | label | unchanged by | reference |", "|---|---|---|---|"]
    for name, kind in kinds.known("measure").items():
        measure = measures.described(name)
        reference = f"[{measure.reference}]({measure.url})" if measure.url else measure.reference
        lines.append(f"| {_code(kind)} | {measure.label} | {measure.unchanged_by} | {reference} |")
    return "\n".join(lines)


def statuses() -> str:
    """Return the Markdown table of statuses: name, meaning, whether there is a value."""
    rows = [
        f"| `{status.name}` | {status.meaning} | {'given' if status.given else 'NaN'} |"
        for status in STATUSES
    ]
    return "\n".join(["| `status` | meaning | value |", "|---|---|---|", *rows])


def combinations() -> str:
    """Return the Markdown table of the values that do not go together."""
    lines = ["| with | not allowed | message |", "|---|---|---|"]
    for parts, why in REFUSED:
        refused, *others = (_options(key, options) for key, options in parts.items())
        lines.append(f"| {', '.join(others)} | {refused} | {why} |")
    return "\n".join(lines)


def _options(key: str, options: tuple[str, ...]) -> str:
    return f"`{key}`: " + ", ".join(f"`{option}`" for option in options)


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
    start = "<!-- made by `make docs` from the library; do not edit below -->"
    return {
        REPOSITORY / "config/README.md": [(start, "<!-- end -->", reference)],
        REPOSITORY / "docs/methods.md": [
            ("<!-- combinations: made by `make docs` -->", "<!-- end of combinations -->", combinations())
        ],
        REPOSITORY / "docs/similarity.md": [
            ("<!-- measures: made by `make docs` -->", "<!-- end of measures -->", measure_table())
        ],
        REPOSITORY / "results/README.md": [
            ("<!-- statuses: made by `make docs` -->", "<!-- end of statuses -->", statuses()),
            ("<!-- verdicts: made by `make docs` -->", "<!-- end of verdicts -->", "\n".join(verdicts)),
        ],
    }


def page(text: str, parts: list[tuple[str, str, str]]) -> str:
    """Return a page with its parts updated."""
    for start, end, content in parts:
        before, opening, rest = text.partition(start)
        _, closing, after = rest.partition(end)
        assert opening and closing, f"{start} and {end} are not there"
        text = f"{before}{start}\n\n{content}\n\n{end}{after}"
    return text


def schemas() -> dict[Path, str]:
    """Return the texts of the JSON schemas, which editors and the workflow catalogue use, by file."""
    head = "# Made by `make docs` from prunescope/settings; do not edit.\n"
    return {
        REPOSITORY / f"workflow/schemas/{name}.schema.yaml": head
        + yaml.safe_dump(schema(name), sort_keys=False, allow_unicode=True, width=110)
        for name in SCHEMAS
    }


if __name__ == "__main__":
    for path, parts in made().items():
        path.write_text(page(path.read_text(), parts))
    for path, text in schemas().items():
        path.write_text(text)
