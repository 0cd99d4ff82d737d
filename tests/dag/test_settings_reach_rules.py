"""Every key of an experiment reaches exactly the rules that use it; one Snakemake evaluates all of them.

For each key there are two experiments that differ in it alone. Snakemake reads all of them together and
writes what each rule would be given, so the whole table costs one start of Snakemake.
"""

import copy
import json
import re
from pathlib import Path

import pytest
import torch
import yaml

from projects import REPOSITORY, snakemake
from prunescope.networks.build import build

# Read after the workflow: evaluate what each rule is given for each experiment, then stop.
PROBE = f"""
import json

include: {str(REPOSITORY / "Snakefile")!r}

def jobs_of(name):
    this = experiment(name)
    absent = ("train_dense", "prune_round") if "models" in this else ("import_model",)
    absent += () if stages.trains_again(experiment(name)) else ("compare_siblings", "assemble_siblings")
    absent += () if lines_of(name) else ("measure_barriers", "assemble_barriers")
    for stage in workflow.rules:
        if "experiment" in stage.wildcard_names and stage.name not in absent:
            several = {{"train_dense": [(0, 0), (1, 0)], "prune_round": [(0, 1), (0, 2)]}}
            for seed, round in several.get(stage.name, [(0, 1)]):
                every = {{"experiment": name, "seed": str(seed), "round": str(round)}}
                wildcards = Wildcards(fromdict={{key: every[key] for key in stage.wildcard_names}})
                yield f"{{stage.name}} {{seed}} {{round}}", stage, wildcards


def job_of(stage, wildcards, attempts):
    granted = [stage.expand_resources(wildcards, [], attempt) for attempt in attempts]
    return {{
        "params": {{
            key: value(wildcards) if callable(value) else value
            for key, value in stage.params.items()
        }},
        "input": inputs_of(stage.name, wildcards),
        "threads": granted[0]["_cores"],
        "gpu": granted[0].get("gpu", 0),
        "bounds": [[one["mem_mb"], one["runtime"]] for one in granted],
    }}


evaluated = {{
    name: {{
        job: job_of(stage, wildcards, (1, 2) if name.startswith("base") else (1,))
        for job, stage, wildcards in jobs_of(name)
    }}
    | {{"all": {{"params": {{}}, "input": targets.of_experiment(lineage(name))}}}}
    for name in CONFIG["experiments"]
}}
# Snakemake ignores changes of values that JSON does not have, so they would rerun nothing.
def strange(value, where):
    if type(value) is dict:
        keys = [f"{{where}}: {{key!r}}" for key in value if type(key) is not str]
        return sum((strange(value[key], f"{{where}}.{{key}}") for key in value), keys)
    if type(value) is list:
        return sum((strange(child, f"{{where}}[{{place}}]") for place, child in enumerate(value)), [])
    return [] if value is None or type(value) in (str, int, float, bool) else [f"{{where}}: {{type(value)}}"]


def params_of(rule):
    jobs = [("", Wildcards(fromdict={{"dataset": "digits"}}))]
    if "experiment" in rule.wildcard_names:
        bases = [name for name in CONFIG["experiments"] if name.startswith("base")]
        every = [(stage, job, wildcards) for name in bases for job, stage, wildcards in jobs_of(name)]
        jobs = [one[1:] for one in every if one[0] is rule]
    for job, wildcards in jobs:
        for key, value in rule.params.items():
            yield f"{{rule.name}} {{job}} {{key}}", value(wildcards) if callable(value) else value


found = [one for rule in workflow.rules for where, value in params_of(rule) for one in strange(value, where)]
Path("strange.json").write_text(json.dumps(found))
Path("evaluated.json").write_text(json.dumps(evaluated, default=str))
os._exit(0)
"""
NETWORKS = """
from prunescope.networks.lenet import lenet_small as small

def mine(shape, classes, hidden=4):
    return small(shape, classes)
"""
BASE = {
    "dataset": "digits",
    "rounds": 2,
    "network": {"name": "lenet_small"},
    "training": {
        "epochs": 4,
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        "schedule": {"name": "constant"},
    },
    "activations": {"layers": ["ReLU", "output"], "examples": None},
    "similarity": {"measures": ["cca", "cka_debiased", "svcca"]},
}
TRAINED = {"train_dense", "prune_round"}
PRUNED = {"prune_round"}
RECORDED = {"extract_activations", "extract_untrained"}
COMPARED = {"compare_round", "compare_seeds", "compare_untrained"}
LEVELS = {"compare_predictions", "compare_weights"}
# Rules that read the files of all seeds and rounds.
COLLECTED = {"assemble_matrix", "assemble_spectrum", "assemble_accuracy", "draw_figures", *LEVELS}
BARRIERS = {"measure_barriers"}
# Rules that build trained networks.
BUILT = {"compare_weights"}
FIGURES = {"draw_figures"}
# The figures are charts of the report.
REPORT = {"write_report", *FIGURES}
REWINDS = {"pruning.retraining": "rewind"}
FINETUNES = {"pruning.retraining": "finetune", "pruning.finetune": {"epochs": 2}}
ADAM = {"training.optimizer": {"name": "adam", "lr": 0.1}}
LANDSCAPE = {"landscape": {}}
MODELS = {"models": [{"weights": "first.pt"}, {"weights": "second.pt"}, {"weights": "second.pt"}]}


def models(place: int, **changes) -> list[dict]:
    """The models of `MODELS`; one of them is changed."""
    return [one | (changes if index == place else {}) for index, one in enumerate(MODELS["models"])]


def schedule(name: str, **settings) -> dict:
    return {"training.schedule": {"name": name, **settings}}


def row(key, value, *rules, given=None):
    return pytest.param(key, value, set().union(*rules), given or {}, id=f"{key}={json.dumps(value)}"[:60])


# Key, its new value, the rules that it reaches, and keys that are the same before and after. The report shows
# all settings that affect results.
ROWS = [
    row("description", "other", REPORT),
    row("control", "retrain", PRUNED, LEVELS, REPORT, given={"extends": "controlled"}),
    row("dataset", "again", TRAINED, RECORDED, REPORT),
    row("seeds", [0, 1], COLLECTED, {"compare_seeds"}, REPORT),
    row("rounds", 3, COLLECTED, REPORT),
    row("network.name", "file:nets.py:small", TRAINED, RECORDED, BUILT, REPORT),
    row(
        "network.arguments",
        {"hidden": 8},
        TRAINED,
        {"extract_untrained"},
        REPORT,
        given={"network.name": "file:nets.py:mine"},
    ),
    row("network.weights", "first.pt", TRAINED, {"extract_untrained"}, BUILT, REPORT),
    row("network.classes", 10, {"import_model", "extract_untrained"}, REPORT, given=MODELS),
    row("models[].weights", models(1, weights="first.pt"), {"import_model"}, REPORT, given=MODELS),
    row("models[].zeros", models(1, zeros="all"), {"import_model"}, REPORT, given=MODELS),
    row("models[].lineage", models(2, lineage=1), COLLECTED, REPORT, given=MODELS),
    row("models[].label", models(1, label="half"), REPORT, given=MODELS),
    row(
        "models[].network",
        models(1, network={"name": "file:nets.py:small"}),
        {"import_model"},
        RECORDED,
        BUILT,
        REPORT,
        given=MODELS,
    ),
    row(
        "models[].normalisation",
        models(1, normalisation="symmetric"),
        {"import_model"},
        REPORT,
        given=MODELS,
    ),
    row(
        "models[].layers",
        models(1, layers={"relu3": "linear3"}),
        {"extract_activations"},
        REPORT,
        given=MODELS,
    ),
    row("training.epochs", 5, TRAINED, REPORT),
    row("training.batch_size", 64, TRAINED, REPORT),
    row("training.examples", 100, TRAINED, REPORT),
    row("training.validation", 100, TRAINED, REPORT),
    row("training.optimizer.name", "adamw", TRAINED, REPORT, given=ADAM),
    row("training.optimizer.lr", 0.2, TRAINED, REPORT),
    row("training.optimizer.betas", [0.8, 0.9], TRAINED, REPORT, given=ADAM),
    row("training.optimizer.weight_decay", 0.1, TRAINED, REPORT),
    row("training.optimizer.momentum", 0.8, TRAINED, REPORT),
    row("training.optimizer.nesterov", True, TRAINED, REPORT),
    row("training.schedule.name", "cosine", TRAINED, REPORT),
    row("training.schedule.warmup_epochs", 1, TRAINED, REPORT),
    row("training.schedule.final", 0.1, TRAINED, REPORT, given=schedule("cosine")),
    row(
        "training.schedule.points",
        [[0, 1], [3, 0]],
        TRAINED,
        REPORT,
        given=schedule("linear", points=[[0, 1], [4, 0]]),
    ),
    row("training.schedule.milestones", [1], TRAINED, REPORT, given=schedule("steps", milestones=[2])),
    row("training.schedule.gamma", 0.5, TRAINED, REPORT, given=schedule("steps", milestones=[2])),
    row("training.decay_norm_and_bias", False, TRAINED, REPORT),
    row("training.label_smoothing", 0.1, TRAINED, REPORT),
    row("training.clip_norm", 1.0, TRAINED, REPORT),
    row("training.normalisation", "symmetric", TRAINED, {"extract_untrained"}, REPORT),
    row("training.normalisation", "symmetric", {"import_model", "extract_untrained"}, REPORT, given=MODELS),
    row("training.augmentation.crop", 1, TRAINED, REPORT),
    row("training.augmentation.flip", True, TRAINED, REPORT),
    row("training.augmentation.cutout", 2, TRAINED, REPORT),
    row("training.augmentation.rotate", 5.0, TRAINED, REPORT),
    row("training.augmentation.translate", 0.1, TRAINED, REPORT),
    row("training.augmentation.scale", [0.9, 1.1], TRAINED, REPORT),
    row("training.precision", "bfloat16", TRAINED, REPORT),
    row("training.channels_last", False, TRAINED, REPORT),
    row("training.threads", 2, TRAINED, REPORT),
    row("pruning.criterion", "random", PRUNED, REPORT),
    row("pruning.from", "dense", PRUNED, REPORT),
    row("pruning.at", "initialisation", PRUNED, REPORT),
    row("pruning.unit", "channel", PRUNED, REPORT, given={"pruning.prunable": ["Conv2d"]}),
    row("pruning.scope", "layer", PRUNED, REPORT),
    row("pruning.prunable", ["Linear"], PRUNED, REPORT),
    row("pruning.rate", 0.3, PRUNED, REPORT),
    row("pruning.rates", {"output": 0.1}, PRUNED, REPORT, given={"pruning.scope": "layer"}),
    row("pruning.densities", [0.8, 0.5], PRUNED, REPORT),
    row("pruning.retraining", "rewind", PRUNED, REPORT),
    row("pruning.rewind_epoch", 1, {"train_dense"}, REPORT, given=REWINDS),
    row("pruning.rewind_epoch", 1, REPORT),
    row("pruning.rewind_step", 1, {"train_dense"}, REPORT, given=REWINDS),
    row("pruning.rewind_step", 1, REPORT),
    row("pruning.finetune", {"epochs": 1}, PRUNED, REPORT, given=FINETUNES),
    row("pruning.finetune", {"epochs": 1}, REPORT),
    row("activations.layers", ["ReLU"], RECORDED, REPORT),
    row("activations.examples", 100, RECORDED, REPORT),
    row("activations.view", "pooled", RECORDED, REPORT),
    row("activations.axes", "last", RECORDED, REPORT),
    row("activations.positions", 3, RECORDED, REPORT),
    row(
        "activations.token",
        0,
        RECORDED,
        REPORT,
        given={"activations.layers": ["output"]},
    ),
    row("activations.dtype", "float16", RECORDED, REPORT),
    row("activations.compression", "lzf", RECORDED, REPORT),
    row("activations.batch_size", 100, RECORDED, REPORT),
    row("activations.threads", 2, RECORDED, REPORT),
    row("similarity.measures", ["cca", "cka_debiased"], COMPARED, REPORT),
    # Their order and the number of threads do not matter.
    row("similarity.measures", ["svcca", "cka_debiased", "cca"]),
    row("similarity.variance", 0.9, COMPARED, REPORT),
    row(
        "similarity.pairs",
        "all-layers",
        {"compare_round", "compare_seeds"},
        REPORT,
        given={"activations.view": "pooled"},
    ),
    row("similarity.intervals", True, COMPARED, REPORT),
    row(
        "similarity.across_seeds",
        True,
        {"assemble_matrix", "assemble_spectrum"},
        REPORT,
        given={"seeds": [0, 1]},
    ),
    row("similarity.untrained", True, {"all"}, REPORT),
    row("similarity.spectrum", True, {"all"}, REPORT),
    row("similarity.gpu", True, COMPARED, REPORT),
    row("similarity.threads", 2),
    row("landscape.points", 5, BARRIERS, REPORT, given=LANDSCAPE),
    row("landscape.split", "train", BARRIERS, REPORT, given=LANDSCAPE),
    # In round 1, the dense network is the round before.
    row("landscape.pairs", ["successive"], REPORT, given=LANDSCAPE),
    row(
        "landscape.pairs",
        ["dense", "seeds"],
        BARRIERS,
        {"assemble_barriers"},
        REPORT,
        given={"landscape": {"pairs": ["dense"]}, "seeds": [1, 0]},
    ),
    # A loss depends on how it is computed, and statistics of batch norm on the training images.
    row("training.precision", "bfloat16", TRAINED, BARRIERS, REPORT, given=LANDSCAPE),
    row("training.channels_last", False, TRAINED, BARRIERS, REPORT, given=LANDSCAPE),
    row("training.examples", 100, TRAINED, BARRIERS, REPORT, given=LANDSCAPE),
    row("training.validation", 100, TRAINED, BARRIERS, REPORT, given=LANDSCAPE),
    row("training.threads", 2, TRAINED, BARRIERS, REPORT, given=LANDSCAPE),
    row("training.epochs", 5, TRAINED, REPORT, given=LANDSCAPE),
    row("findings.measure", "svcca", REPORT),
    row("findings.margin", 0.1, REPORT),
    row("findings.least_accuracy", 0.5, REPORT),
    row("figures.colormap", "magma", REPORT),
    row("figures.width", 3.25, REPORT),
    row("figures.dpi", 100, REPORT),
    row("figures.measures", ["cca"], REPORT),
    row("figures.layers", ["output"], REPORT),
    row("figures.formats", ["pdf"], REPORT),
]


def written(keys: dict) -> dict:
    """An experiment from dotted keys; a key of `models` replaces the whole list."""
    found = copy.deepcopy(BASE)
    if MODELS.keys() <= keys.keys():
        del found["rounds"], found["training"]
    for key, value in keys.items():
        *parents, last = key.split("[]")[0].split(".")
        part = found
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = copy.deepcopy(value)
    return found


# What pairs of experiments have in common, each once.
CONTEXTS = [{}]
for *_, common in (one.values for one in ROWS):
    CONTEXTS += [common] if common not in CONTEXTS else []


def name_of(keys: dict) -> str:
    place = CONTEXTS.index(keys)
    return f"base{place or ''}"


def evaluate(folder: Path) -> None:
    experiments = {name_of(keys): written(keys) for keys in CONTEXTS}
    for number, (key, value, _, given) in enumerate(one.values for one in ROWS):
        experiments[f"changed{number}"] = written({**given, key: value})
    experiments |= {"controlled": BASE, "same": BASE}
    (folder / "config").mkdir(parents=True)
    config = {"experiments": experiments, "data": {"datasets": {"again": "sklearn:digits"}}}
    (folder / "config/config.yaml").write_text(yaml.safe_dump(config))
    (folder / "Snakefile").write_text(PROBE)
    (folder / "nets.py").write_text(NETWORKS)
    for seed, name in enumerate(("first.pt", "second.pt")):
        torch.save(build("lenet_small", {}, (1, 8, 8), 10, seed).state_dict(), folder / name)
    snakemake(folder, "--dry-run", "--cores", "8")


@pytest.fixture(scope="module")
def evaluated(once) -> dict:
    """What each rule is given, by experiment and by ``rule seed round``."""
    return json.loads((once("evaluated", evaluate) / "evaluated.json").read_text())


def test_all_parameters_of_all_rules_are_values_of_json(evaluated, once):
    assert json.loads((once("evaluated", evaluate) / "strange.json").read_text()) == []


def pair(evaluated, number: int, given: dict) -> list[dict]:
    """The jobs before and after a change; files of the experiment itself have no name of an experiment."""
    found = []
    for name in (name_of(given), f"changed{number}"):
        text = re.sub(f"results/(?:controlled|{name})/", "results/", json.dumps(evaluated[name]))
        found.append(json.loads(text))
    return found


def differing(before: dict, after: dict, *parts: str) -> set[str]:
    """The jobs that are given something else."""
    return {job for job in before if any(before[job].get(part) != after[job].get(part) for part in parts)}


NUMBERED = [pytest.param(number, *one.values, id=one.id) for number, one in enumerate(ROWS)]


@pytest.mark.parametrize(("number", "key", "value", "rules", "given"), NUMBERED)
def test_a_key_reaches_the_rules_that_use_it(evaluated, number, key, value, rules, given):
    before, after = pair(evaluated, number, given)
    found = differing(before, after, "params", "input")
    assert {job.split()[0] for job in found} == rules


def test_the_table_has_every_key_of_the_reference():
    text = (REPOSITORY / "config/README.md").read_text()
    part = text.split("\n## experiments/NAME.yaml\n")[1].split("\n## ")[0]
    keys = set(re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE))
    mappings = {key for key in keys if any(other.startswith((f"{key}.", f"{key}[]")) for other in keys)}
    # A grid makes experiments, each of which has other values of these keys.
    assert keys - mappings - {"grid"} == {one.values[0] for one in ROWS}


def test_each_round_prunes_to_its_own_density(evaluated):
    (number,) = (number for number, one in enumerate(ROWS) if one.values[0] == "pruning.densities")
    jobs = evaluated[f"changed{number}"]
    densities = [
        jobs[f"prune_round 0 {round}"]["params"]["settings"]["pruning"]["density"] for round in (1, 2)
    ]
    assert densities == ROWS[number].values[1]


@pytest.mark.parametrize(
    ("key", "part", "rules"),
    [
        ("training.threads", "threads", TRAINED),
        ("activations.threads", "threads", RECORDED),
        ("similarity.threads", "threads", COMPARED),
        ("similarity.gpu", "gpu", COMPARED),
    ],
)
def test_jobs_reserve_the_threads_and_gpus_that_they_use(evaluated, key, part, rules):
    (number,) = (
        n for n, (name, *_, given) in enumerate(one.values for one in ROWS) if (name, given) == (key, {})
    )
    before, after = pair(evaluated, number, {})
    assert {job.split()[0] for job in differing(before, after, "threads", "gpu")} == rules
    for job in before:
        if job.split()[0] in rules:
            assert after[job][part] == int(ROWS[number].values[1])


def test_a_repeated_attempt_gets_more_memory_and_time(evaluated):
    for jobs in (evaluated[name_of(given)] for given in ({}, MODELS, LANDSCAPE)):
        for job in jobs.keys() - {"all"}:
            first, second = jobs[job]["bounds"]
            assert all(more > bound for more, bound in zip(second, first, strict=True)), job


@pytest.mark.parametrize("key", ["findings.measure", "findings.margin", "findings.least_accuracy"])
def test_verdicts_follow_the_settings_that_the_report_shows(evaluated, key):
    (number,) = (number for number, one in enumerate(ROWS) if one.values[0] == key)
    before, after = (jobs["write_report 0 1"]["params"] for jobs in pair(evaluated, number, {}))
    assert before["findings"] != after["findings"]


def test_an_experiment_under_another_name_is_computed_in_the_same_way(evaluated):
    assert not differing(evaluated["base"], evaluated["same"], "params") - {"write_report 0 1"}
