"""Configuration files: load, fill in defaults, and say in one line what is wrong.

The JSON schemas in workflow/schemas are the single list of keys, with their meaning, default and range.
Nothing here imports torch before a network has to be looked at, and what was found about it is kept, so
that building the workflow's graph stays fast.
"""

import copy
import difflib
import hashlib
import json
import math
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import jsonschema
import yaml

from prunescope import provenance
from prunescope.errors import InputError
from prunescope.files import write_json

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXPERIMENTS = Path("config/experiments")
CHECKED = Path(".snakemake/prunescope")
# JSON takes 2.0 for an integer; range() and the names of folders do not.
_DRAFT = jsonschema.Draft202012Validator
_Validator = jsonschema.validators.extend(
    _DRAFT, type_checker=_DRAFT.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
)
RESERVED = ("data", "logs", "benchmarks", "overview.html", "README.md")


# --- files ---------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML in which a key counts once and 1e-3 is a number, as a reader expects."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if str(key) in seen:
                mark = key_node.start_mark
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", mark)
            seen.add(str(key))
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*(\.[\d_]*)?|\.[\d_]+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> dict:
    """Read a YAML file whose top level is a mapping.

    Raises
    ------
    InputError
        When the file cannot be read, is not YAML, gives a key twice or is no mapping.
    """
    try:
        value = yaml.load(path.read_text(), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise InputError(f"{path}{where}: {problem}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: must be a mapping of keys to values, is {_kind(value)}")
    return value


@cache
def schema(name: str) -> dict:
    """Return the JSON schema ``config`` or ``experiment``."""
    return yaml.safe_load((SCHEMAS / f"{name}.schema.yaml").read_text())


def load_config(config: dict, file: str = "config/config.yaml") -> dict:
    """Validate the top-level configuration, with defaults filled in.

    Parameters
    ----------
    config : dict
        As Snakemake merged it from the file and ``--config``.
    file : str
        Its name, for messages.

    Raises
    ------
    InputError
        With file, key, value and what is allowed.
    """
    config = copy.deepcopy(config)
    data = config.get("data")
    # Snakemake leaves what is nested in --config as text.
    if isinstance(data, dict) and str(data.get("download")).lower() in ("true", "false"):
        data["download"] = str(data["download"]).lower() == "true"
    config = validate(config, schema("config"), file)
    for name in config["experiments"]:
        _check_experiment(name, f"{file}: experiments")
        if name in RESERVED:
            raise InputError(
                f"{file}: experiments: {name!r} is a folder or file of results/; rename the experiment"
            )
    return config


def experiment_names() -> list[str]:
    """Names of all experiment files, sorted."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))


def _check_experiment(name, where: str) -> None:
    known = experiment_names()
    if name not in known:
        raise InputError(
            f"{where}: no experiment {name!r} in {EXPERIMENTS}{_guess(str(name), known)}; "
            f"there are: {', '.join(known)}"
        )


def load_experiment(name: str) -> dict:
    """Read, resolve (`extends`) and validate one experiment, with defaults filled in.

    Parameters
    ----------
    name : str
        File name in config/experiments without ``.yaml``.

    Returns
    -------
    dict
        The complete experiment; its keys are those of the schema.

    Raises
    ------
    InputError
        With file, key, value and what is allowed.
    """
    _check_experiment(name, "experiments")
    path = EXPERIMENTS / f"{name}.yaml"
    experiment = validate(_resolve(name, ()), schema("experiment"), str(path))
    _check_values(experiment, path)
    return experiment


def _resolve(name: str, descendants: tuple[str, ...]) -> dict:
    path = EXPERIMENTS / f"{name}.yaml"
    own = read_yaml(path)
    parent = own.pop("extends", None)
    if parent is None:
        return own
    chain = (*descendants, name)
    if parent in chain:
        raise InputError(f"{path}: extends: {' → '.join((*chain, parent))} is a circle; remove one link")
    _check_experiment(parent, f"{path}: extends")
    return merge(_resolve(parent, chain), own)


def merge(base: dict, changes: dict) -> dict:
    """Return `base` with the keys of `changes` replaced, mapping by mapping.

    A mapping that is given another ``name`` (network, optimizer, schedule) is replaced whole: the settings
    of one optimiser mean nothing to another. Lists are replaced whole as well.
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


# --- validation ----------------------------------------------------------------------------------------


def validate(value: dict, schema: dict, file: str) -> dict:
    """Check a configuration against its schema and return it with defaults filled in.

    Raises
    ------
    InputError
        One line for the first problem, in reading order of the file.
    """
    _check_finite(value, file, "")
    validator = _Validator(schema)
    errors = sorted(
        validator.iter_errors(value), key=lambda error: ([str(p) for p in error.absolute_path], error.message)
    )
    if errors:
        raise InputError(f"{file}: {_explain(errors[0])}")
    value = copy.deepcopy(value)
    _fill(value, schema, schema)
    return value


def _check_finite(value, file: str, key: str) -> None:
    """Refuse NaN and infinity, which compare with every bound in their own way."""
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
    """Follow a schema's ``$ref`` into the ``$defs`` of its root; what stands beside it is added."""
    if "$ref" not in part:
        return part
    beside = {key: value for key, value in part.items() if key != "$ref"}
    return deref(root["$defs"][part["$ref"].rsplit("/", 1)[-1]], root) | beside


def _explain(error: jsonschema.ValidationError) -> str:
    """Turn a schema error into: key, value, what is allowed."""
    key = _dotted(error.absolute_path)
    value, limit = error.instance, error.validator_value
    prefix = f"{key}." if key else ""
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(name for name in value if name not in known)
        return f"{prefix}{unknown}: unknown key{_guess(str(unknown), known)}; allowed: {', '.join(known)}"
    if error.validator == "required":
        missing = next(name for name in limit if name not in value)
        return f"{prefix}{missing}: missing; {_meaning(error.schema, missing)}"
    if error.validator == "propertyNames" or (error.validator == "pattern" and isinstance(value, str)):
        rule = error.schema.get("description") or (error.parent and error.parent.schema.get("description"))
        return f"{key} = {value!r}: not allowed; must match {limit}" + (f" ({rule})" if rule else "")
    shown = f"{key} = {json.dumps(value, default=str)}"
    if error.validator == "type":
        kinds = [limit] if isinstance(limit, str) else limit
        hint = f", e.g. [{value}]" if kinds == ["array"] and isinstance(value, str | int | float) else ""
        return f"{shown}: must be {' or '.join(_article(kind) for kind in kinds)}{hint}, is {_kind(value)}"
    if error.validator == "enum":
        return f"{shown}: unknown{_guess(str(value), limit)}; allowed: {', '.join(map(str, limit))}"
    if error.validator == "anyOf":
        options = [option for part in limit for option in part.get("enum", [])]
        texts = [_option(part) for part in limit]
        return f"{shown}: not allowed{_guess(str(value), options)}; allowed: {'; '.join(texts)}"
    text = {
        "minimum": f"must be at least {limit}",
        "maximum": f"must be at most {limit}",
        "exclusiveMinimum": f"must be greater than {limit}",
        "exclusiveMaximum": f"must be less than {limit}",
        "minItems": f"must have at least {limit} entries",
        "maxItems": f"must have at most {limit} entries",
        "minLength": "must not be empty",
        "minProperties": "must not be empty",
        "uniqueItems": "must not name anything twice",
    }.get(error.validator, error.message)
    return f"{shown}: {text}"


def _option(part: dict) -> str:
    if "enum" in part:
        return ", ".join(map(str, part["enum"]))
    if "const" in part:
        return str(part["const"])
    if "pattern" in part:
        return f"or a name like {part['pattern']}"
    least = f" of at least {part['minimum']}" if "minimum" in part else ""
    return _article(part["type"]) + least


def _meaning(schema: dict, key: str) -> str:
    child = schema.get("properties", {}).get(key, {})
    child = child if isinstance(child, dict) else {}
    return child.get("description", "it has no default").rstrip(".")


def _dotted(path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _article(kind: str) -> str:
    names = {
        "array": "a list",
        "object": "a mapping",
        "integer": "an integer",
        "null": "null",
        "boolean": "true or false",
    }
    return names.get(kind, f"a {kind}")


def _kind(value) -> str:
    if value is None:
        return "null"
    kinds = {
        bool: "true or false",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "a mapping",
    }
    return kinds.get(type(value), f"a {type(value).__name__}")


def _guess(name: str, known: list) -> str:
    close = difflib.get_close_matches(name, [str(option) for option in known], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _check_values(experiment: dict, path: Path) -> None:
    """Check what involves more than one key."""
    training, pruning = experiment["training"], experiment["pruning"]

    def refuse(key: str, text: str):
        value = experiment
        for part in key.split("."):
            value = value[part]
        raise InputError(f"{path}: {key} = {json.dumps(value)}: {text}")

    densities = pruning["densities"]
    if densities is not None:
        if len(densities) != experiment["rounds"]:
            refuse("pruning.densities", f"must have one entry for each of the {experiment['rounds']} rounds")
        if any(after >= before for before, after in pairwise(densities)):
            refuse("pruning.densities", "must decrease from round to round")
        if pruning["rates"]:
            refuse("pruning.rates", "cannot be combined with pruning.densities; keep one of them")
    if pruning["rates"] and pruning["scope"] != "layer":
        refuse("pruning.rates", "single modules have their own rates only with pruning.scope: layer")
    if pruning["retraining"] == "rewind":
        if pruning["rewind_epoch"] >= training["epochs"]:
            refuse("pruning.rewind_epoch", f"must be less than training.epochs = {training['epochs']}")
        if pruning["rewind_step"] is not None and pruning["rewind_epoch"]:
            refuse("pruning.rewind_step", "cannot be combined with pruning.rewind_epoch; keep one of them")
    if pruning["retraining"] == "finetune" and not pruning["finetune"]:
        refuse(
            "pruning.finetune",
            "pruning.retraining: finetune needs at least one of epochs, optimizer, schedule",
        )
    if experiment["similarity"]["pairs"] == "all-layers" and experiment["activations"]["view"] == "channels":
        refuse(
            "similarity.pairs",
            "needs rows that correspond between layers: activations.view flatten or pooled",
        )
    schedules = [
        ("training", training["schedule"]),
        ("pruning.finetune", pruning["finetune"].get("schedule", {})),
    ]
    for where, schedule in schedules:
        for key in ("milestones", "points"):
            times = [item[0] if key == "points" else item for item in schedule.get(key, [])]
            if any(after <= before for before, after in pairwise(times)):
                refuse(f"{where}.schedule.{key}", "epochs must increase")
            epochs = experiment["pruning"]["finetune"].get("epochs") if "finetune" in where else None
            epochs = epochs or training["epochs"]
            if times and (times[-1] > epochs or (key == "milestones" and times[-1] == epochs)):
                refuse(
                    f"{where}.schedule.{key}", f"the training ends before, after {epochs} epochs; change one"
                )
    if training["augmentation"]["scale"][0] > training["augmentation"]["scale"][1]:
        refuse("training.augmentation.scale", "must be [smallest, largest]")


# --- what the network and the data set say about an experiment ----------------------------------------------


def describe(experiment: dict, name: str, data: dict) -> dict:
    """Look at an experiment's data set and network, without training, and check that they fit together.

    Parameters
    ----------
    experiment : dict
        From `load_experiment`.
    name : str
        Its name, for messages.
    data : dict
        ``data`` of the top-level configuration.

    Returns
    -------
    dict
        ``dataset`` (see `prunescope.sources.describe`) and ``network``: ``parameters``, multiply–accumulates
        per image (``macs``), floats of all module outputs per image (``floats``) and ``layers``, the
        recorded modules with the shape of their output for one image.

    Raises
    ------
    InputError
        When the data set is unknown, too few images are there, the network does not fit the images, or a
        pattern matches no module.
    """
    path = EXPERIMENTS / f"{name}.yaml"
    source = source_of(experiment["dataset"], data, f"{path}: dataset")
    from prunescope import sources

    stamp = sources.stamp(source, data["root"])
    dataset = _remember("dataset", [source, stamp], "sources", lambda: sources.describe(source, data["root"]))
    training, activations = experiment["training"], experiment["activations"]
    _check_count(path, "activations.examples", activations["examples"], dataset["test"], "test images")
    wanted = (training["examples"] or 1) + training["validation"]
    _check_count(path, "training.examples + training.validation", wanted, dataset["train"], "training images")
    used = training["examples"] or dataset["train"] - training["validation"]
    steps = training["epochs"] * -(-used // training["batch_size"])
    if (
        experiment["pruning"]["retraining"] == "rewind"
        and (experiment["pruning"]["rewind_step"] or 0) >= steps
    ):
        step = experiment["pruning"]["rewind_step"]
        raise InputError(f"{path}: pruning.rewind_step = {step}: a training has only {steps} steps")

    patterns = {
        "pruning.prunable": experiment["pruning"]["prunable"],
        "pruning.rates": list(experiment["pruning"]["rates"]),
        "activations.layers": activations["layers"],
    }
    network = experiment["network"]
    key = [network, dataset["shape"], dataset["classes"], patterns]

    def look() -> dict:
        from prunescope import inspection

        return inspection.inspect(network, dataset["shape"], dataset["classes"], patterns)

    try:
        return {"dataset": dataset, "network": _remember("network", key, "inspection", look)}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def source_of(name: str, data: dict, where: str) -> str:
    """Return the source of a data set.

    Raises
    ------
    InputError
        When the configuration has no data set of this name; `where` says where it is asked for.
    """
    known = list(data["datasets"])
    if name not in known:
        raise InputError(
            f"{where} = {name!r}: not in data.datasets of config/config.yaml{_guess(name, known)}; "
            f"there are: {', '.join(known)}"
        )
    return data["datasets"][name]


def _check_count(path: Path, key: str, wanted: int | None, there: int, what: str) -> None:
    if wanted is not None and wanted > there:
        raise InputError(f"{path}: {key} = {wanted}: the data set has only {there} {what}")


def _remember(what: str, key: list, module: str, compute) -> dict:
    """Return `compute()`, kept in a file as long as the key and the code behind it stay the same."""
    code = provenance.code_digest(Path(__file__).with_name(f"{module}.py"))
    digest = hashlib.sha256(json.dumps([code, key], sort_keys=True).encode()).hexdigest()[:24]
    path = CHECKED / f"{what}-{digest}.json"
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        value = compute()
        write_json(path, value)
        return value


# --- the part of an experiment that each stage reads --------------------------------------------------------


def train_params(experiment: dict) -> dict:
    """Return what `train_dense` reads: network, training, and the moment of round 0 to keep for rewinding."""
    pruning = experiment["pruning"]
    rewinds = pruning["retraining"] == "rewind"
    return {
        "network": experiment["network"],
        "training": experiment["training"],
        "rewind": {
            "epoch": pruning["rewind_epoch"] if rewinds else 0,
            "step": pruning["rewind_step"] if rewinds else None,
        },
    }


def prune_params(experiment: dict, round: int) -> dict:
    """Return what `prune_round` reads for one round: another round's target density is not part of it."""
    if round > experiment["rounds"]:
        raise InputError(
            f"round {round}: the experiment has rounds 0 to {experiment['rounds']}; raise rounds"
        )
    pruning = experiment["pruning"]
    densities = pruning["densities"]
    keys = ("criterion", "scope", "prunable", "rates", "retraining")
    training = experiment["training"]
    if pruning["retraining"] == "finetune":
        training = merge(training, pruning["finetune"])
    return {
        "network": experiment["network"],
        "training": training,
        "pruning": {key: pruning[key] for key in keys}
        | {"rate": pruning["rate"], "density": densities[round - 1] if densities else None},
    }


def similarity_params(experiment: dict) -> dict:
    """Return what `compare_round` and `compare_seeds` read."""
    keys = ("metrics", "variance", "pairs", "gpu", "threads")
    return {key: experiment["similarity"][key] for key in keys}
