"""What each rule reads of an experiment, and the kinds whose code it runs."""

import copy

import pytest

from prunescope import kinds, provenance
from prunescope.errors import InputError
from prunescope.plan import bounds, stages
from prunescope.settings.load import Catalogue, load_experiment
from prunescope.settings.reading import merge

MINIMAL = {
    "dataset": "digits",
    "network": {"name": "lenet_small"},
    "training": {"epochs": 4, "optimizer": {"name": "sgd", "lr": 0.1}, "schedule": {"name": "cosine"}},
    "activations": {"layers": ["ReLU"], "view": "pooled"},
    "similarity": {"measures": ["cka", "cca"]},
}
MODELS = {
    "dataset": "digits",
    "network": {"name": "lenet_small"},
    "models": [
        {"weights": "a.pt", "normalisation": "symmetric", "layers": {"first": "conv1"}},
        {"weights": "b.pt", "network": {"name": "lenet300"}, "layers": {"first": "linear1"}},
    ],
    "activations": {"layers": ["first"]},
}
NETWORK, VIEW, SGD = ("network", "lenet_small"), ("view", "pooled"), ("optimizer", "sgd")
SCHEDULE = ("schedule", "cosine")
COMPARED = (("measure", "cca"), ("measure", "cka"))


def load(changes=None, experiment=MINIMAL, control="none"):
    own = {
        "x": merge(copy.deepcopy(experiment), changes or {}),
        "control": {"extends": "x", "control": control},
    }
    return load_experiment("x" if control == "none" else "control", Catalogue((), own))


@pytest.mark.parametrize("rule", [*stages.PACKAGES, "compare"])
def test_kinds_that_a_rule_runs(rule):
    trained = (NETWORK, SGD, SCHEDULE)
    expected = {
        "train_dense": trained,
        "prune_round": (NETWORK, ("control", "none"), ("criterion", "magnitude"), SGD, SCHEDULE),
        "import_model": (NETWORK,),
        "measure_barriers": (NETWORK,),
        "extract_activations": (NETWORK, VIEW),
        "extract_untrained": (NETWORK, VIEW),
        "compare": COMPARED,
        "compare_weights": (NETWORK,),
    }
    assert stages.kinds_of(rule, load()) == expected.get(rule, ())


def test_kinds_that_rounds_of_other_experiments_run():
    control = load(control="retrain")
    assert stages.kinds_of("prune_round", control) == (NETWORK, ("control", "retrain"), SGD, SCHEDULE)
    tuned = {"epochs": 1, "optimizer": {"name": "adam", "lr": 0.1}, "schedule": {"name": "constant"}}
    finetuned = load({"pruning": {"retraining": "finetune", "finetune": tuned}})
    assert stages.kinds_of("train_dense", finetuned) == (NETWORK, SGD, SCHEDULE)
    assert stages.kinds_of("prune_round", finetuned)[-2:] == (("optimizer", "adam"), ("schedule", "constant"))
    models = load(experiment=MODELS)
    networks = (NETWORK, ("network", "lenet300"))
    assert stages.kinds_of("import_model", models) == networks
    assert stages.kinds_of("measure_barriers", models) == networks
    assert stages.kinds_of("extract_activations", models) == (*networks, ("view", "channels"))


def test_finetuning_changes_training_key_by_key():
    sgd = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
    cosine = {"name": "cosine", "warmup_epochs": 1.0}

    def retrained(**finetune) -> dict:
        pruning = {"retraining": "finetune", "finetune": finetune}
        training = {"optimizer": sgd, "schedule": cosine, "epochs": 4}
        return stages.prune_params(load({"training": training, "pruning": pruning}), 1)["training"]

    slow = retrained(optimizer={"lr": 0.01})
    assert slow == retrained(optimizer={"name": "sgd", "lr": 0.01})
    dense = stages.train_params(load({"training": {"optimizer": sgd, "schedule": cosine, "epochs": 4}}))
    assert slow == dense["training"] | {"optimizer": dense["training"]["optimizer"] | {"lr": 0.01}}
    training = {key: value for key, value in MINIMAL["training"].items() if key != "schedule"}
    pruning = {"retraining": "finetune", "finetune": {"schedule": {"warmup_epochs": 0.5}}}
    default = load(experiment=MINIMAL | {"training": training, "pruning": pruning})
    schedule = stages.prune_params(default, 1)["training"]["schedule"]
    assert schedule == {"name": "constant", "warmup_epochs": 0.5}
    other = retrained(optimizer={"name": "adam", "lr": 0.01}, schedule={"warmup_epochs": 0.5})
    assert "momentum" not in other["optimizer"] and other["optimizer"]["weight_decay"] == 0
    assert other["schedule"] == dense["training"]["schedule"] | {"warmup_epochs": 0.5}


def test_files_that_later_rounds_start_from():
    assert stages.starts_from(load({"pruning": {"retraining": "rewind"}})) == {"origin", "rewind"}
    for retraining in ("lr-rewind", "finetune"):
        pruning = {"retraining": retraining}
        pruning |= {"finetune": {"epochs": 1}} if retraining == "finetune" else {}
        assert stages.starts_from(load({"pruning": pruning})) == {"origin"}
        shuffled = load({"pruning": pruning}, control="shuffled-masks")
        assert stages.starts_from(shuffled) == {"origin", "masks"}
    rewinding = {"pruning": {"retraining": "rewind"}}
    assert stages.starts_from(load(rewinding, control="retrain")) == {"rewind"}
    sparse = rewinding | {"network": {"name": "lenet5", "weights": "sparse.pt"}}
    assert stages.starts_from(load(sparse, control="retrain")) == {"origin", "rewind"}, "masks of its zeros"
    untrained = load({"pruning": {"retraining": "none"}})
    assert stages.prune_params(untrained, 1)["training"] == stages.train_params(untrained)["training"] | {
        "epochs": 0
    }
    assert [stages.origin_of(load({"pruning": {"from": start}}), 3) for start in ("previous", "dense")] == [
        2,
        0,
    ]
    siblings = load(control="siblings")
    assert stages.starts_from(siblings) == stages.starts_from(shuffled)
    for params in (stages.train_params, lambda experiment: stages.prune_params(experiment, 1)):
        assert params(siblings)["again"] and not params(shuffled)["again"]


def test_what_a_round_is_given():
    pruning = stages.prune_params(load(), 1)["pruning"]
    assert pruning["density"] is None and pruning["control"] == "none"
    densities = load({"rounds": 2, "pruning": {"densities": [0.5, 0.2]}})
    assert [stages.prune_params(densities, round)["pruning"]["density"] for round in (1, 2)] == [0.5, 0.2]
    with pytest.raises(InputError, match=r"round 3: the experiment has rounds 0 to 2; increase rounds"):
        stages.prune_params(densities, 3)
    assert "more" not in stages.prune_params(load(), 1)["network"]
    assert not stages.prunes(load(control="retrain")) and not stages.prunes(load(experiment=MODELS))


def test_controls_read_the_unit_only_if_their_masks_have_units():
    channels = {"pruning": {"unit": "channel", "scope": "layer"}}
    for control in kinds.known("control"):
        same = stages.prune_params(load(control=control), 1) == stages.prune_params(
            load(channels, control=control), 1
        )
        assert same == (control not in ("none", "shuffled-masks")), control


def test_threads_change_no_rule_and_no_report():
    several = {"training": {"threads": 3}, "activations": {"threads": 3}, "similarity": {"threads": 3}}
    for params in (
        stages.train_params,
        stages.activation_params,
        stages.similarity_params,
        stages.untrained_params,
    ):
        assert params(load(several)) == params(load()), params
    assert "threads" not in stages.shown(load(several))["similarity"]
    assert stages.shown(load())["similarity"]["measures"] == ["cca", "cka"]


def test_networks_are_evaluated_with_the_threads_that_measured_their_accuracy():
    several = {"training": {"threads": 3}, "activations": {"threads": 2}}
    assert stages.evaluation_threads(load(several)) == 3
    assert stages.evaluation_threads(load({"activations": {"threads": 2}}, experiment=MODELS)) == 2


def test_reports_show_of_models_what_they_use():
    shown = stages.shown(load(experiment=MODELS))
    assert not {"pruning", "rounds", "seeds", "control"} & shown.keys()
    assert set(shown["training"]) == {"normalisation"} and "pruning" in stages.shown(load())


def test_untrained_networks_are_built_like_the_first_model():
    params = stages.untrained_params(load(experiment=MODELS))
    assert params["network"] == {"name": "lenet_small", "arguments": {}}
    assert params["training"] == {"normalisation": "symmetric"}
    assert params["activations"]["layers"] == {"first": "conv1"}
    params = stages.untrained_params(load({"training": {"normalisation": "symmetric"}}))
    assert params["training"] == {"normalisation": "symmetric"}
    assert params["activations"]["layers"] == ["ReLU"]


def test_measures_of_an_experiment():
    assert stages.with_spectrum(load()) == ["cca"]
    assert stages.own_layer_params(load({"similarity": {"pairs": "all-layers"}})) == {
        **stages.similarity_params(load()),
        "pairs": "same-layer",
    }
    assert stages.images(load({"activations": {"examples": 20}}), 50) == 20
    assert stages.images(load(), 50) == stages.images(load({"activations": {"examples": None}}), 50) == 50


def test_versions_rerun_a_rule_only_if_asked():
    for rule, packages in stages.PACKAGES.items():
        assert stages.environment(rule, "warn") == {}
        assert stages.environment(rule, "rerun") == provenance.versions(packages)
        assert set(packages) == set(stages.environment(rule, "rerun"))


def test_scoring_a_sample_needs_the_memory_of_a_large_batch():
    sizes = {
        "dataset": {"train": 1000, "test": 200, "shape": [3, 32, 32], "classes": 10},
        "network": {"floats": 100_000, "parameters": 1000},
    }

    def bound(criterion, batch_size):
        at = "training" if criterion == "magnitude" else "initialisation"
        changes = {"training": {"batch_size": batch_size}, "pruning": {"criterion": criterion, "at": at}}
        return bounds.training_mb(load(changes), sizes)

    assert bound("snip", 32) == bound("magnitude", 512) > bound("magnitude", 32)
    assert bound("grasp", 32) == bound("magnitude", 1024)
    assert bound("snip", 2048) == bound("magnitude", 2048)
