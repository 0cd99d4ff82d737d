"""A wrong configuration is refused with one line that names file, key, value and what is allowed."""

import copy
import os
import re
import time
from pathlib import Path

import jsonschema
import pytest
import yaml
from snakemake.cli import parse_config

from prunescope import kinds, records, user_code
from prunescope.errors import InputError
from prunescope.plan import reference, sizes, stages
from prunescope.settings.load import EXPERIMENTS, Catalogue, load_config, load_experiment
from prunescope.settings.reading import read_yaml, typed
from prunescope.settings.training import Training

REPOSITORY = Path(__file__).parents[2]
TOP = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
MINIMAL = {
    "dataset": "digits",
    "network": {"name": "lenet_small"},
    "training": {"epochs": 4, "optimizer": {"name": "sgd", "lr": 0.1}},
    "activations": {"layers": ["ReLU"], "examples": 100},
}
LAUGHS = "a0: &a0 [x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join(9 * [f'*a{level - 1}'])}]\n" for level in range(1, 10)
)
MERGED = LAUGHS.replace("[x, x, x]", "{x: 1}").replace("[*", "{<<: [*").replace("]", "]}")


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write experiment files into an empty project folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / EXPERIMENTS).mkdir(parents=True)

    def write(name, value):
        text = value if isinstance(value, str) else yaml.safe_dump(value)
        (tmp_path / EXPERIMENTS / f"{name}.yaml").write_text(text)

    return write


def changed(**dotted):
    """MINIMAL with single keys set, e.g. ``training__epochs=3``."""
    experiment = copy.deepcopy(MINIMAL)
    for key, value in dotted.items():
        *parents, last = key.split("__")
        part = experiment
        for parent in parents:
            part = part.setdefault(parent, {})
        part[last] = value
    return experiment


def top(config):
    return load_config(config, TOP, (EXPERIMENTS,))


def refusal(call, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_defaults_are_filled_in_everywhere(write):
    assert load_experiment("x", Catalogue((), {"x": MINIMAL}))["landscape"] is None
    write("x", changed(landscape={}))
    experiment = load_experiment("x")
    given = {"landscape", "activations.examples", "training.schedule"}
    other = {"training.optimizer.betas", "training.schedule.gamma", "training.schedule.final"}
    for key, part, _ in reference.keys("experiment"):
        if "default" in part and part["default"] != {} and key not in given | other and "[]" not in key:
            value = experiment
            for name in key.split("."):
                value = value[name]
            assert value == part["default"], key
    assert experiment["training"]["schedule"] == {"name": "constant", "warmup_epochs": 0}
    assert experiment["pruning"]["finetune"] == {}, "what finetune does not say stays as in training"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"training__epocs": 3}, ["training.epocs", "did you mean 'epochs'", "allowed: epochs, batch_size"]),
        ({"training__epochs": "3"}, ["training.epochs", '"3"', "must be an integer, not a string"]),
        ({"training__epochs": 0}, ["training.epochs = 0", "at least 1"]),
        ({"training__epochs": True}, ["training.epochs = true", "an integer"]),
        ({"rounds": 2.0}, ["rounds = 2.0", "an integer, not a number"]),
        ({"seeds": [0, 1.0]}, ["seeds[1] = 1.0", "an integer", "a number"]),
        ({"pruning__rate": 1.0}, ["pruning.rate = 1.0", "less than 1"]),
        ({"pruning__rate": 0}, ["pruning.rate = 0", "greater than 0"]),
        ({"pruning__rates": {"conv*": 2}}, ["pruning.rates.conv*", "less than 1"]),
        (
            {"network__name": "lenet6"},
            ["network.name", "lenet6", "did you mean 'lenet5'", "vgg_svhn", "torchvision/NAME"],
        ),
        (
            {"similarity__measures": ["cca", "cka2"]},
            ["similarity.measures[1]", "cka2", "did you mean 'cka'", "svcca"],
        ),
        ({"network__name": "resnet50"}, ["network.name = 'resnet50'", "or 'torchvision/resnet50'?"]),
        ({"similarity__measures": ["cca", "cca"]}, ["similarity.measures", "duplicates"]),
        ({"similarity__variance": 1.5}, ["similarity.variance = 1.5", "at most 1"]),
        ({"activations__positions": "some"}, ["activations.positions", "at least 1", "all"]),
        ({"activations__layers": "ReLU"}, ["activations.layers", "a list", "[ReLU]"]),
        ({"landscape": True}, ["landscape = true", "must be a mapping or null, not a boolean"]),
        ({"landscape__points": 2}, ["landscape.points = 2", "at least 3"]),
        ({"landscape__pairs": []}, ["landscape.pairs = []", "must not be empty"]),
        (
            {"landscape__pairs": ["dens"]},
            ["landscape.pairs[0]", "did you mean 'dense'", "allowed: dense, successive, seeds, control"],
        ),
        ({"landscape__split": "validation"}, ["landscape.split", "allowed: test, train"]),
        ({"seeds": [1, 1]}, ["seeds", "duplicates"]),
        ({"training__optimizer__name": "sdg"}, ["training.optimizer.name", "did you mean 'sgd'", "adamw"]),
        ({"training__optimizer__betas": [0.9, 0.9]}, ["training.optimizer.betas", "unknown key", "momentum"]),
        (
            {"training__schedule": {"name": "steps"}},
            ["training.schedule.milestones", "required key is missing (epochs after which"],
        ),
        # The key that is missing is not a setting of some other schedule.
        (
            {"training__schedule": {"warmup_epochs": 1}},
            ["training.schedule.name", "required key is missing (shape of the schedule"],
        ),
        (
            {"training__schedule": {"name": "cosine", "gamma": 1}},
            ["training.schedule.gamma", "unknown key", "final"],
        ),
        (
            {"training__schedule": {"name": "steps", "milestones": [3, 2]}},
            ["schedule.milestones", "increase"],
        ),
        ({"rounds": 2, "pruning__densities": [0.5]}, ["pruning.densities", "each round, 2 in total"]),
        ({"rounds": 2, "pruning__densities": [0.5, 0.6]}, ["pruning.densities", "decrease"]),
        (
            {"pruning__retraining": "rewind", "pruning__rewind_epoch": 4},
            ["pruning.rewind_epoch = 4", "training.epochs = 4"],
        ),
        ({"pruning__retraining": "finetune"}, ["pruning.finetune", "epochs, optimizer, schedule"]),
        (
            {"pruning": {"retraining": "finetune", "finetune": {"optimizer": {}}}},
            ["pruning.finetune.optimizer.name", "required"],
        ),
        (
            {
                "training__optimizer": {"name": "sgd", "lr": -1},
                "pruning": {"retraining": "finetune", "finetune": {"optimizer": {"momentum": 0.5}}},
            },
            ["training.optimizer.lr = -1", "greater than 0"],
        ),
        ({"pruning__rates": {"output": 0.1}}, ["pruning.rates", "pruning.scope: layer"]),
        ({"training__optimizer__lr": float("nan")}, ["training.optimizer.lr = nan", "finite"]),
        ({"seeds": [2**64]}, ["seeds[0]", "at most"]),
        (
            {"similarity__spectrum": True, "similarity__measures": ["cka"]},
            ["similarity.spectrum = true", "needs cca among similarity.measures"],
        ),
        (
            {"findings__measure": "nbs"},
            ['findings.measure = "nbs"', "one of similarity.measures: cca, "],
        ),
        (
            {"figures__measures": ["nbs"]},
            ['figures.measures = ["nbs"]', "some of similarity.measures: cca, "],
        ),
        ({"figures__formats": ["jpg"]}, ["figures.formats[0]", "allowed: svg, pdf, png"]),
        ({"findings__measure": "cka_biased"}, ["findings.measure", "did you mean 'cka_debiased'"]),
        ({"findings__margin": 0}, ["findings.margin = 0", "greater than 0"]),
        ({"activations__axes": "second"}, ['activations.axes = "second"', "first, last"]),
        ({"activations__axes": {"Block": 1}}, ["activations.axes.Block = 1"]),
        ({"activations__axes": ["Block"]}, ["activations.axes", "a mapping from patterns"]),
        (
            {"training__schedule": {"name": "linear", "points": [[0, 1], [9, 0]]}},
            ["points", "runs to epoch 9, but training ends after epoch 4"],
        ),
        ({"extends": "nothing"}, ["extends", "nothing"]),
    ],
)
def test_wrong_values_are_explained_in_one_line(write, change, words):
    write("x", changed(**change))
    text = refusal(load_experiment, "x")
    assert text.startswith("config/experiments/x.yaml: ")
    for word in words:
        assert word in text, text


@pytest.mark.parametrize(
    ("change", "primary"),
    [
        ({}, "cka_debiased"),
        ({"similarity__measures": ["nbs"]}, "nbs"),
        ({"similarity__measures": ["cca", "cka_debiased"]}, "cka_debiased"),
        ({"similarity__measures": ["cca", "cka_debiased"], "findings__measure": "cca"}, "cca"),
    ],
)
def test_the_primary_measure_is_named_or_the_only_or_the_debiased_one(write, change, primary):
    write("x", changed(**change, findings__margin=0.1))
    params = stages.findings_params(load_experiment("x"), 10)
    assert params == {"primary": primary, "margin": 0.1, "least_accuracy": pytest.approx(0.28)}


@pytest.mark.parametrize(("given", "classes", "limit"), [(None, 2, 0.6), (None, 0, 1.0), (0.5, 10, 0.5)])
def test_a_network_classifies_from_a_fifth_of_the_way_from_chance_to_1_on(given, classes, limit):
    assert stages.least_accuracy(given, classes) == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dataset: digits\ndataset: mnist\n", ["line 2", "'dataset' appears twice"]),
        ("dataset: [digits\n", ["line 2"]),
        ("- a\n", ["a mapping", "a list"]),
        ("", ["a mapping", "null"]),
        ("a: " + "9" * 5000, ["5000 digits"]),
        ("a: 2001-13-45", ["month must be in 1..12"]),
        # A few bytes that expand to billions of values, to infinitely many, or to any nesting depth.
        (LAUGHS, ["line 5", "more than 30,000 values"]),
        (MERGED, ["line 6", "more than 30,000 values"]),
        (
            "a: &a " + "x" * 900_000 + "\n" + "".join(f"b{i}: *a\n" for i in range(9)),
            ["more than 30,000 values"],
        ),
        ("a: &a [*a]", ["an anchor that contains itself"]),
        ("a: &a {b: {<<: *a}}", ["an anchor that contains itself"]),
        ("a: " + "[" * 3000, ["deeper than 50 levels"]),
        ("- " * 3000, ["deeper than 50 levels"]),
        ("".join(" " * depth + "a:\n" for depth in range(1000)), ["line 50", "deeper than 50 levels"]),
        ("#" * 1_000_001, ["larger than 1,000,000 bytes"]),
    ],
)
def test_unreadable_files_are_explained_in_one_line(write, text, words):
    write("x", text)
    start = time.process_time()
    message = refusal(load_experiment, "x")
    assert time.process_time() - start < 5
    for word in ["config/experiments/x.yaml", *words]:
        assert word in message, message


def test_a_pipe_or_folder_in_place_of_a_file_is_refused(write, tmp_path):
    """Opening a pipe would wait for its writer."""
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", tmp_path):
        assert "not a regular file" in refusal(read_yaml, path)
    (tmp_path / EXPERIMENTS / "loop.yaml").symlink_to("loop.yaml")
    assert "symbolic links" in refusal(load_experiment, "loop")


@pytest.mark.parametrize(
    ("key", "settings", "allowed", "refused"),
    [
        *(
            ("optimizer", {"name": name, "lr": 0.1, setting: None}, allowed, refused)
            for name, setting, allowed, refused in [
                *((name, "weight_decay", [0, 1], [-1e-9]) for name in ("adam", "adamw", "sgd")),
                *(
                    ("adam" + w, "betas", [[0, 0], [0.99, 0.9]], [[-1e-9, 0.9], [0.9, 1], [0.9], 3 * [0.9]])
                    for w in ("", "w")
                ),
                ("sgd", "momentum", [0, 0.99], [-1e-9, 1]),
                ("sgd", "nesterov", [True, False], [1]),
            ]
        ),
        *(
            ("schedule", {"name": name, setting: None, **more}, allowed, refused)
            for name, setting, allowed, refused, more in [
                ("cosine", "final", [0, 1], [-1e-9, 1.001], {}),
                ("linear", "points", [[[0, 0], [4, 1]]], [[[0, 1]], [[0], [4]], [[0, 0, 0], [4, 1, 1]]], {}),
                ("linear", "points", [[[0, 1e-9], [4, 1]]], [[[0, -1e-9], [4, 1]]], {}),
                ("steps", "milestones", [[1e-9], [1, 3]], [[], [0], [-1]], {}),
                ("steps", "gamma", [1e-9, 0.999], [0, 1], {"milestones": [1]}),
            ]
        ),
    ],
)
def test_bounds_of_optimisers_and_schedules(write, key, settings, allowed, refused):
    (open_key,) = (name for name, value in settings.items() if value is None)
    for value in allowed:
        write("x", changed(**{f"training__{key}": settings | {open_key: value}}))
        assert load_experiment("x")["training"][key][open_key] == value
    for value in refused:
        write("x", changed(**{f"training__{key}": settings | {open_key: value}}))
        assert f"training.{key}.{open_key}" in refusal(load_experiment, "x")


def test_missing_keys_say_what_they_mean(write):
    write("x", {key: value for key, value in MINIMAL.items() if key != "dataset"})
    assert "dataset: required key is missing (data set, a key of" in refusal(load_experiment, "x")


def test_numbers_in_scientific_notation_are_numbers(write):
    write("x", yaml.safe_dump(MINIMAL).replace("lr: 0.1", "lr: 1e-3"))
    assert load_experiment("x")["training"]["optimizer"]["lr"] == 0.001


def test_extends_overrides_single_keys_and_replaces_what_gets_another_name(write):
    write("base", changed(training__optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9}, rounds=7))
    write("child", {"extends": "base", "training": {"optimizer": {"lr": 0.2}}})
    write("other", {"extends": "child", "training": {"optimizer": {"name": "adam", "lr": 0.3}}})
    child, other = load_experiment("child"), load_experiment("other")
    assert child["rounds"] == other["rounds"] == 7
    assert child["training"]["optimizer"] == {
        "name": "sgd", "lr": 0.2, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0
    }  # fmt: skip
    assert other["training"]["optimizer"] == {
        "name": "adam",
        "lr": 0.3,
        "betas": [0.9, 0.999],
        "weight_decay": 0.0,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"training": {"optimizer": {"lr": 0.2}}},
            ["training.optimizer.lr = 0.2", "have the same value, 0.1"],
        ),
        (
            {"training": {"optimizer": {"name": "adam", "lr": 0.1}}},
            ['training.optimizer.name = "adam"', '"sgd"'],
        ),
        ({"training": {"schedule": {"name": "cosine"}}}, ['training.schedule.name = "cosine"', '"constant"']),
        ({"pruning": {"rate": 0.5}}, ["pruning.rate = 0.5", "a control of x", "0.2; remove the key"]),
        ({"dataset": "mnist"}, ['dataset = "mnist"', '"digits"']),
        ({"network": {"name": "conv2"}}, ['network.name = "conv2"', "lenet_small"]),
        ({"seeds": [0, 7]}, ["seeds = [0, 7]", "its seeds, 0, 1"]),
        ({"rounds": 9}, ["rounds = 9", "the controlled experiment x ends after round 5"]),
        ({"control": "retain"}, ["control = 'retain': unknown (did you mean 'retrain'?)", "shuffled-masks"]),
    ],
)
def test_a_control_keeps_what_masks_and_trainings_depend_on(write, change, words):
    write("x", changed(seeds=[0, 1]))
    write(
        "y",
        {"extends": "x", "control": "retrain", "seeds": [1], "rounds": 2, "similarity": {"variance": 0.9}},
    )
    assert load_experiment("y")["control"] == "retrain"
    write("y", {"extends": "x", "control": "retrain"} | change)
    text = refusal(load_experiment, "y")
    for word in ["config/experiments/y.yaml: ", *words]:
        assert word in text, text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"view": "pooled"}, ['activations.view = "pooled"', '"channels"']),
        ({"positions": 2}, ["activations.positions = 2", '"all"']),
        ({"token": 0}, ["activations.token = 0", "null"]),
        ({"examples": 100}, ["activations.examples = 100", "500"]),
        ({"examples": None}, ["activations.examples = null", "500"]),
        ({"layers": ["fc"]}, ['activations.layers = ["fc"]', '["relu1", "relu2"]']),
    ],
)
def test_siblings_record_what_their_experiment_records(write, change, words):
    write("x", changed(activations={"layers": ["relu1", "relu2"]}))
    same = {"examples": 500, "layers": ["relu1", "relu2"], "batch_size": 10, "dtype": "float16", "threads": 2}
    write("y", {"extends": "x", "control": "siblings", "activations": same})
    assert load_experiment("y")["activations"]["batch_size"] == 10
    # Other controls are not compared with the recordings of their experiment.
    write("y", {"extends": "x", "control": "retrain", "activations": change})
    assert load_experiment("y")["control"] == "retrain"
    write("y", {"extends": "x", "control": "siblings", "activations": change})
    text = refusal(load_experiment, "y")
    for word in ["config/experiments/y.yaml: ", "a control of x must have the same value", *words]:
        assert word in text, text


def test_a_control_controls_an_experiment(write):
    write("x", MINIMAL | {"control": "retrain"})
    assert 'x.yaml: control = "retrain": needs `extends`' in refusal(load_experiment, "x")
    write("x", MINIMAL)
    write("y", {"extends": "x", "control": "retrain"})
    write("z", {"extends": "y"})
    text = refusal(load_experiment, "z")
    assert text == (
        'config/experiments/z.yaml: extends = "y": is a control (retrain); '
        "extend the experiment it controls, x"
    )


def test_extends_in_a_circle_is_refused(write):
    write("a", {"extends": "b"})
    write("b", {"extends": "a"})
    assert "a → b → a" in refusal(load_experiment, "a")


def test_top_level_configuration(write):
    write("x", MINIMAL)
    config = {**TOP, "experiments": ["x"]}
    assert top(config)["data"]["download"] is True
    assert "no experiment 'y'" in refusal(top, {**config, "experiments": ["y"]})
    assert "allowed: a list; a mapping" in refusal(top, {**config, "experiments": "x"})
    assert "experiments[0] = 3: must be a string, not an integer" in refusal(
        top, {**config, "experiments": [3]}
    )
    assert "must be letters, digits, _ . or -" in refusal(top, {**config, "experiments": {"ä": {}}})
    # Snakemake takes such a name for an endless recursion.
    for name, end in (("x" * 240, "x"), ("a" + 20 * "-01", "-01")):
        words = f"ends in '{end}' 20 times, which Snakemake refuses; choose another name"
        assert words in refusal(top, {**config, "experiments": {name: {}}})
        assert words in refusal(top, {**config, "data": {"datasets": {name: "sklearn:digits"}}})
    assert "experiments.a = 1: must be a mapping" in refusal(top, {**config, "experiments": {"a": 1}})
    assert top({"experiments": ["x"]})["data"]["datasets"] == TOP["data"]["datasets"], "the shipped ones"
    mine = top({**config, "data": {"datasets": {"mine": "imagefolder:a"}}})["data"]["datasets"]
    assert mine == TOP["data"]["datasets"] | {"mine": "imagefolder:a"}
    wrong = {**config, "data": {"datasets": {"a": "torchvision:MINST"}}}
    text = refusal(top, wrong)
    assert "data.datasets.a = 'torchvision:MINST'" in text and "did you mean 'torchvision:MNIST'" in text


def test_the_shipped_configuration_may_lose_its_data_sets(write):
    write("x", MINIMAL)
    config = {"experiments": ["x"], "data": {"root": "images"}}
    assert load_config(config, config, (EXPERIMENTS,))["data"]["datasets"] == {}


def test_options_of_a_data_set(write):
    write("x", MINIMAL)

    def given(value) -> dict:
        return {**TOP, "experiments": ["x"], "data": {"datasets": {"a": value}}}

    options = {"source": "imagefolder:a", "resize": 64, "test_fraction": 0.2}
    assert top(given(options))["data"]["datasets"]["a"] == options
    text = {key: str(value) for key, value in options.items()}  # as Snakemake gives --config
    assert top(given(typed(text)))["data"]["datasets"]["a"] == options
    for wrong, words in [
        (
            {"source": "torchvision:MINST"},
            "data.datasets.a.source = 'torchvision:MINST': unknown (did you mean",
        ),
        ({**options, "resise": 3}, "data.datasets.a.resise: unknown key (did you mean 'resize'?)"),
        ({"resize": 3}, "data.datasets.a.source: required key is missing (where the images come from)"),
        ({**options, "resize": "small"}, 'data.datasets.a.resize = "small": must be an integer'),
        ({**options, "test_fraction": 1}, "data.datasets.a.test_fraction = 1: must be less than 1"),
        (3, "data.datasets.a = 3: not allowed; allowed: a string; a mapping"),
    ]:
        assert words in refusal(top, given(wrong)), wrong


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": "didgits"}, ["dataset = 'didgits'", "did you mean 'digits'"]),
        (
            {"activations__examples": 361},
            ["activations.examples = 361", "only 360 test images", "write null"],
        ),
        (
            {"training__validation": 1437, "training__examples": 1},
            ["training.validation", "1438", "only 1437"],
        ),
        (
            {"activations__layers": ["relu9"]},
            ["activations.layers", "'relu9' matches no module", "modules: "],
        ),
        (
            {
                "dataset": "cifar10",
                "network": {
                    "name": "torchvision/vit_b_16",
                    "arguments": {"image_size": 32},
                },
                "activations__layers": ["encoder.ln"],
                "activations__token": 5,
            },
            ["activations.token = 5", "'encoder.ln' has only positions 0 to 4"],
        ),
        ({"pruning__prunable": ["Conv3d"]}, ["pruning.prunable", "'Conv3d' matches no module"]),
        (
            {"pruning__prunable": ["ReLU"]},
            ["pruning.prunable", "'ReLU' matches no module with a prunable weight"],
        ),
        ({"network__name": "torchvision/resnet0"}, ["resnet0", "did you mean"]),
        ({"activations__layers": ["Relu"]}, ["'Relu' matches no module", "did you mean 'ReLU'"]),
        (
            {"pruning__scope": "layer", "pruning__rates": {"ReLU": 0.1}},
            ["pruning.rates", "'ReLU' matches no"],
        ),
        ({"training__validation": 1437}, ["training.validation", "1438"]),
        (
            {"pruning__retraining": "rewind", "pruning__rewind_step": 48},
            ["rewind_step = 48", "must be less than 48"],
        ),
        ({"network__name": "torchvision/resnet18"}, ["'layer1.0.relu' runs more than once"]),
        (
            {"network__name": "torchvision/resnet18", "network__arguments": {"weights": "DEFAULT"}},
            ["network.arguments", "weights"],
        ),
        ({"network__arguments": {"depth": 3}}, ["network.arguments", "depth"]),
        ({"network__name": "lenet5"}, ["lenet5", "1×8×8"]),
    ],
)
def test_mistakes_that_only_network_and_data_reveal(write, change, words):
    write("x", changed(**change))
    text = refusal(sizes.describe, load_experiment("x"), "config/experiments/x.yaml", TOP["data"])
    for word in ["config/experiments/x.yaml", *words]:
        assert word in text, text


def test_cached_facts_are_computed_again_when_their_file_is_damaged(write):
    write("x", MINIMAL)
    experiment = load_experiment("x")
    records.FOLDER.mkdir(parents=True)
    found = sizes.describe(experiment, "x", TOP["data"])
    kept = list(records.FOLDER.glob("*.json"))
    assert {path.name.partition("-")[0] for path in kept} >= {"dataset", "network"}
    for path in kept:
        for damage in (
            '{"a',
            "[]",
            "{}",
            path.read_text().replace("1", "2", 1),
            path.read_text()[:-4] + "9}}",
        ):
            path.write_text(damage)
            assert sizes.describe(experiment, "x", TOP["data"]) == found


def test_describe_counts_what_the_network_does(write):
    write("x", MINIMAL)
    found = sizes.describe(load_experiment("x"), "x", TOP["data"])
    assert found["dataset"] == {"shape": [1, 8, 8], "classes": 10, "train": 1437, "test": 360}
    assert sizes.describe(load_experiment("x"), "x", TOP["data"]) == found  # kept, read back
    assert found["network"]["parameters"] > 0 and found["network"]["macs"] > 0


def test_a_stage_is_given_only_what_it_reads(write):
    write("x", changed(rounds=3, pruning__densities=[0.5, 0.2, 0.1]))
    one = load_experiment("x")
    write("x", changed(rounds=4, pruning__densities=[0.5, 0.2, 0.1, 0.05]))
    more = load_experiment("x")
    for round in (1, 2, 3):
        assert stages.prune_params(one, round) == stages.prune_params(more, round)
    assert stages.train_params(one) == stages.train_params(more)


WAVE = "file:mine/wave.py:wave"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"period": 2.5, "depth": 0, "points": [[1, 0]]}, None),
        ({"period": "x"}, ['schedule.period = "x": not allowed; allowed: a number']),
        ({"period": True}, ["schedule.period = true: not allowed"]),
        ({"depth": "x"}, ['schedule.depth = "x": must be a number, not a string']),
        ({"points": [1, float("nan")]}, ["schedule.points[1] = nan: must be a finite number"]),
        ({"phase": None}, ["schedule.phase: required key is missing"]),
        ({"peak": 1}, ["schedule.peak: unknown key; allowed: phase, period, depth, points"]),
    ],
)
def test_settings_of_a_users_kind_are_like_their_defaults(write, tmp_path, change, words):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/wave.py").write_text(
        "def wave(epoch, epochs, warmup, phase, period=3, depth=0.5, points=(1, 2)):\n    return 1.0\n"
    )
    schedule = {"name": WAVE, "phase": [0], **change}
    if schedule["phase"] is None:
        del schedule["phase"]
    write("x", changed(training__schedule=schedule))
    with user_code.used(tmp_path):
        if words is None:
            assert load_experiment("x")["training"]["schedule"] == schedule | {"warmup_epochs": 0.0}
        else:
            text = refusal(load_experiment, "x")
            assert all(word in text for word in words), text


@pytest.mark.parametrize("key", ["epoch", "step"])
def test_the_point_to_rewind_to_is_read_only_if_rounds_rewind(write, key):
    wanted = {"pruning__retraining": "rewind", f"pruning__rewind_{key}": 3}
    write("x", changed(**wanted))
    assert stages.train_params(load_experiment("x"))["rewind"] == {"epoch": 0, "step": None} | {key: 3}
    write("x", changed(**wanted | {"pruning__retraining": "lr-rewind"}))
    assert stages.train_params(load_experiment("x"))["rewind"] == {"epoch": 0, "step": None}


def test_untrained_networks_have_the_seeds_of_the_experiment_and_at_least_two(write):
    for seeds, untrained in (([3], [3, 4]), ([3, 7], [3, 7])):
        write("x", changed(seeds=seeds))
        assert stages.untrained_seeds(load_experiment("x")) == untrained


def test_a_control_is_given_only_what_it_starts_from(write):
    write("x", changed(pruning__retraining="rewind"))
    needed = {"none": {"origin", "rewind"}, "retrain": {"rewind"}}
    needed |= {"shuffled-masks": {"masks", "rewind"}, "new-weights": {"masks"}}
    for control, files in needed.items():
        write("y", {"extends": "x", "control": control})
        assert stages.starts_from(load_experiment("y")) == files
        pruning = stages.prune_params(load_experiment("y"), 1)["pruning"]
        assert ("rate" in pruning) == ("criterion" in pruning) == (control == "none")
    tuned = {"retraining": "finetune", "finetune": {"epochs": 1}}
    write("x", MINIMAL | {"pruning": tuned})
    for control, epochs in (("none", 1), ("retrain", 1), ("shuffled-masks", 1), ("new-weights", 4)):
        write("y", {"extends": "x", "control": control})
        assert stages.prune_params(load_experiment("y"), 1)["training"]["epochs"] == epochs


def test_the_reference_is_up_to_date_and_names_every_key_and_kind():
    for path, parts in reference.made().items():
        text = path.read_text()
        assert reference.page(text, parts) == text, f"{path}: run `make docs`"
    for path, text in reference.schemas().items():
        assert path.read_text() == text, f"{path}: run `make docs`"
    readme = (REPOSITORY / "config/README.md").read_text()
    for family in kinds.FAMILIES:
        assert all(f"`{kind.form}`" in readme for kind in kinds.known(family).values())
        assert kinds.known(family) and all(kind.summary for kind in kinds.known(family).values())
    assert all(
        part.get("description") for name in ("config", "experiment") for _, part, _ in reference.keys(name)
    )


def test_weights_are_kept_without_epochs_only_where_something_can_follow(write):
    Path("mine.pt").touch()
    kept = {"training__epochs": 0, "network__weights": "mine.pt"}
    allowed = ({"retraining": "none"}, {"retraining": "finetune", "finetune": {"epochs": 2}})
    for pruning, epochs in zip(allowed, (0, 2), strict=True):
        write("x", changed(**kept, pruning=pruning))
        params = stages.prune_params(load_experiment("x"), 1)
        assert Training(**params["training"]).epochs == epochs
    write("y", {"extends": "x", "control": "new-weights"})
    assert 'control = "new-weights": needs training.epochs of 1' in refusal(load_experiment, "y")
    for pruning in ({}, {"retraining": "finetune", "finetune": {"optimizer": {"name": "sgd", "lr": 1.0}}}):
        write("x", changed(**kept, pruning=pruning))
        assert "pruning.retraining = " in refusal(load_experiment, "x")


def test_the_schema_requires_no_key_of_finetuning():
    tuned = {
        "retraining": "finetune",
        "finetune": {"optimizer": {"lr": 0.01}, "schedule": {"warmup_epochs": 1}},
    }
    check = jsonschema.Draft202012Validator(reference.schema("experiment")).is_valid
    assert check(MINIMAL | {"pruning": tuned})
    tuned["finetune"]["optimizer"] = {"lr": -1}
    assert not check(MINIMAL | {"pruning": tuned})
    assert not check(MINIMAL | {"training": MINIMAL["training"] | {"optimizer": {"lr": 0.01}}})


def test_every_property_of_the_schemas_is_closed_and_described():
    def walk(part, where):
        if not isinstance(part, dict):
            return
        if part.get("type") == "object" and "properties" in part:
            assert part.get("additionalProperties") is False, where
        for key, child in part.get("properties", {}).items():
            if isinstance(child, dict):
                assert "description" in child or "$ref" in child or child.get("type") == "object", (
                    f"{where}.{key}"
                )
            walk(child, f"{where}.{key}")

    for name in ("config", "experiment"):
        walk(reference.schema(name), name)


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "config/experiments").glob("*.yaml")), ids=lambda path: path.stem
)
def test_shipped_experiments_are_valid_and_fit_their_data(path, monkeypatch, tmp_path):
    (tmp_path / "config").symlink_to(REPOSITORY / "config")
    monkeypatch.chdir(tmp_path)
    experiment = load_experiment(path.stem)
    assert sizes.describe(experiment, path.stem, TOP["data"])["network"]["shapes"]
    assert re.fullmatch(r"\S.*\S", experiment["description"]), "a description helps whoever reads the report"


def test_experiments_given_inline_or_by_another_workflow(write):
    write("x", MINIMAL)
    inline = {"mine": {"extends": "x", "rounds": 2}, "whole": MINIMAL}
    found = top({"experiments": inline})
    assert found["experiments"] == ["mine", "whole"]
    assert load_experiment("mine", found["catalogue"])["rounds"] == 2
    assert found["catalogue"].names() == ["mine", "whole", "x"]
    wrong = top({"experiments": {"mine": {"extends": "x", "rounds": "2"}}})["catalogue"]
    assert refusal(load_experiment, "mine", wrong).startswith("experiments.mine: rounds = ")
    # A module gets the configuration of its host, which has keys of its own.
    config = {"experiments": ["x"], "samples": "table.tsv", "database": "a"}
    assert load_config(config, TOP, (EXPERIMENTS,), module=True)["experiments"] == ["x"]
    assert "config: samples: unknown key" in refusal(load_config, config, TOP, (EXPERIMENTS,)).replace(
        "config/config.yaml", "config"
    )


def test_folders_are_searched_in_their_order(write, tmp_path):
    write("x", MINIMAL | {"rounds": 1})
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for name in ("x", "y"):
        (shipped / f"{name}.yaml").write_text(yaml.safe_dump(MINIMAL | {"rounds": 9}))
    catalogue = Catalogue((EXPERIMENTS, shipped))
    assert load_experiment("x", catalogue)["rounds"] == 1
    assert load_experiment("y", catalogue)["rounds"] == 9
    assert "no experiment 'z' in config/experiments or " in refusal(load_experiment, "z", catalogue)


@pytest.mark.parametrize("value", ["false", "False", "No", "0"])
def test_text_in_place_of_a_boolean_or_number_is_refused(write, value):
    write("x", MINIMAL)
    text = refusal(top, {"experiments": ["x"], "data": {"download": value}})
    assert f'data.download = "{value}": must be true or false, not a string' in text


def test_nested_values_of_the_command_line_are_read_as_yaml(write):
    """The example of README.md, and mistakes."""
    write("x", MINIMAL)
    text = (REPOSITORY / "README.md").read_text()
    (entry,) = re.findall(r"--config experiments=\[\S+\] (data=)'(.*?)'", text)
    given = typed(parse_config(["experiments=[x]", "".join(entry)]))
    assert top(given)["data"] == {**TOP["data"], "root": "/my/data", "download": False}
    given = typed(parse_config(["experiments=[x]", "data={download: '\"false\"'}"]))
    assert 'data.download = "false": must be true' in refusal(top, given)
    given = typed(parse_config(["data={datasets: {a: {source: 'imagefolder:a', resize: 010}}}"]))
    assert 'resize = "010": must be an integer, not a string' in refusal(top, {"experiments": ["x"], **given})
    assert refusal(typed, {"data": {"root": "[a"}}).startswith('--config data.root = "[a", line 1: ')


NUMBERS = {
    "12": 12,
    "-3": -3,
    "+3": 3,
    "0": 0,
    "0.25": 0.25,
    "1e-3": 0.001,
    "1E+2": 100.0,
    ".5": 0.5,
    "2.": 2.0,
}
OTHERS = ("1:30", "010", "0x10", "0o7", "1_000", "0b1", "08", "1e", ".", "1:30.5")


@pytest.mark.parametrize(("text", "value"), [*NUMBERS.items(), *((text, text) for text in OTHERS)])
def test_numbers_are_those_of_json(write, text, value):
    write("x", f"a: [{text}]")
    (found,) = read_yaml(EXPERIMENTS / "x.yaml")["a"]
    assert found == value and type(found) is type(value)


def test_the_default_number_of_images_fits_any_data_set(write):
    """Digits has 360 test images; a number that is written has to fit."""
    written = changed()
    del written["activations"]["examples"]
    write("x", written)
    experiment = load_experiment("x")
    assert sizes.describe(experiment, "x", TOP["data"])["dataset"]["test"] == 360
    assert stages.images(experiment, 360) == 360 and stages.images(experiment, 9000) == 500
    assert stages.activation_params(experiment)["examples"] == 500
    write("y", {"extends": "x", "activations": {"examples": 500}})
    text = refusal(sizes.describe, load_experiment("y"), "y", TOP["data"])
    assert "activations.examples = 500: the data set has only 360 test images" in text


@pytest.mark.parametrize("prunable", [None, ["Conv2d", "Linear"]])
def test_one_of_the_default_patterns_has_to_match(write, prunable):
    without = changed(network__name="lenet300")  # without convolutions
    write("x", without | ({"pruning": {"prunable": prunable}} if prunable else {}))
    assert sizes.describe(load_experiment("x"), "x", TOP["data"])["network"]["prunable"]
    write("x", without | {"pruning": {"prunable": ["Linear", "Conv2d"]}})
    text = refusal(sizes.describe, load_experiment("x"), "x", TOP["data"])
    assert "'Conv2d' matches no module" in text


def test_a_mistyped_experiment_gets_the_two_nearest_names(write):
    for name in ("digits-lenet", "digits-lenet-retrain", "mnist", "svhn"):
        write(name, MINIMAL)
    text = refusal(top, {"experiments": ["digits-lent"]})
    assert text == (
        "config/config.yaml: experiments: no experiment 'digits-lent' in config/experiments "
        "(did you mean 'digits-lenet' or 'digits-lenet-retrain'?)"
    )


def test_several_measures_need_no_primary_one(write):
    write("x", changed(similarity__measures=["cka", "cca"]))
    assert stages.findings_params(load_experiment("x"), 10)["primary"] is None
