"""What each rule reads of an experiment, what a round starts from, and the kinds whose code a rule runs."""

from collections.abc import Mapping

from prunescope import digests, kinds, provenance
from prunescope.errors import InputError
from prunescope.files import unchanging_sha256
from prunescope.networks import DEFAULT
from prunescope.settings import elsewhere
from prunescope.settings.activations import EXAMPLES
from prunescope.settings.pruning import Selection

# Packages that can change the bytes of a rule's outputs.
LEARNING = ("torch", "torchvision", "numpy")
COMPARING = ("torch", "numpy", "scipy", "h5py", "pyarrow")
TABLES = ("pandas", "pyarrow")
PACKAGES = {
    "prepare_dataset": ("torchvision", "numpy", "scikit-learn", "pillow", "h5py"),
    "train_dense": LEARNING,
    "prune_round": LEARNING,
    "import_model": LEARNING,
    "extract_activations": (*LEARNING, "h5py"),
    "extract_untrained": (*LEARNING, "h5py"),
    "compare_round": COMPARING,
    "compare_seeds": COMPARING,
    "compare_untrained": COMPARING,
    "compare_siblings": COMPARING,
    "measure_barriers": (*LEARNING, *TABLES),
    "compare_predictions": ("numpy", "scipy", "h5py", *TABLES),
    "compare_weights": (*LEARNING, "pandas", "pyarrow"),
    "assemble_matrix": TABLES,
    "assemble_siblings": TABLES,
    "assemble_spectrum": TABLES,
    "assemble_accuracy": TABLES,
    "assemble_barriers": TABLES,
}


def environment(rule: str, policy: str) -> dict:
    """Return the versions that a rule's results depend on; empty if a new version does not rerun it.

    `policy` is ``environment`` of the top-level configuration.
    """
    return provenance.versions(PACKAGES.get(rule, ())) if policy == "rerun" else {}


def network_params(network: dict, key: str = "network.weights") -> dict:
    """Return the parameters that build a network, and the digests of the user's files it uses.

    `network` is a key of an experiment; `key` is that of its weights, for messages.
    """
    weights = network["weights"]
    params = {key: network[key] for key in ("name", "arguments", "classes") if key in network}
    more = {
        "code": digests.of_file("network", network["name"]),
        "weights": weights,
        "digest": None if weights in (None, DEFAULT) else _digest(weights, key),
        "zeros": network.get("zeros"),
    }
    more = {key: value for key, value in more.items() if value is not None}
    return params | {"more": more} if more else params


def _digest(weights: str, key: str) -> str:
    try:
        return unchanging_sha256(weights)
    except OSError as error:
        raise InputError(
            f"{key} = {weights!r}: cannot be read ({error.strerror}); give a path, absolute or relative to "
            "the working directory"
        ) from None


def networks(experiment: dict) -> list[tuple[int, int]]:
    """Return the seed and round of every network of an experiment, seed by seed."""
    return [(seed, round) for seed in experiment["seeds"] for round in range(rounds_of(experiment, seed) + 1)]


def rounds_of(experiment: dict, seed: int) -> int:
    """Return the last round of a seed. Lineages of `models` can differ in length."""
    if "models" not in experiment:
        return experiment["rounds"]
    return len(elsewhere.lineage(experiment, seed)) - 1


def seeds_with(experiment: dict, round: int) -> list[int]:
    """Return the seeds that have a round."""
    return [seed for seed in experiment["seeds"] if rounds_of(experiment, seed) >= round]


def import_params(experiment: dict, seed: int, round: int) -> dict:
    """Return what `import_model` reads."""
    model = elsewhere.find(experiment, seed, round)
    return {
        "network": network_params(elsewhere.network_of(experiment, model), "weights"),
        "training": _scaling(elsewhere.normalisation_of(experiment, model)),
    }


def _scaling(normalisation: str | dict) -> dict:
    """Return training settings of which only the scaling of the pixels is used."""
    return {"normalisation": normalisation}


def train_params(experiment: dict) -> dict:
    """Return what `train_dense` reads: network, training, and the point of training to keep for rewinding."""
    pruning = experiment["pruning"]
    rewinds = pruning["retraining"] == "rewind"
    return {
        "network": network_params(experiment["network"]),
        "training": _without_threads(experiment["training"]),
        "again": trains_again(experiment),
        "rewind": {
            "epoch": pruning["rewind_epoch"] if rewinds else 0,
            "step": pruning["rewind_step"] if rewinds else None,
        },
    }


def prune_params(experiment: dict, round: int) -> dict:
    """Return what `prune_round` reads for one round, without the target densities of other rounds.

    Of `pruning`, a control reads only the keys that determine what its rounds start from and, if its masks
    have units, which these are.
    """
    if round > experiment["rounds"]:
        raise InputError(
            f"round {round}: the experiment has rounds 0 to {experiment['rounds']}; increase rounds"
        )
    pruning = experiment["pruning"]
    selection = {"control": experiment["control"]}
    selection |= {key: pruning[key] for key in ("at", "from", "retraining")}
    if control_facts(experiment).get("units"):
        selection["unit"] = pruning["unit"]
    if prunes(experiment):
        selection |= {key: pruning[key] for key in Selection.by_key()}
        selection["density"] = pruning["densities"][round - 1] if pruning["densities"] else None
    return {
        "network": network_params(experiment["network"]),
        "training": _without_threads(training_after_round0(experiment)),
        "again": trains_again(experiment),
        "pruning": selection,
    }


def prunes(experiment: dict) -> bool:
    """Whether the rounds of an experiment choose weights to remove; those of a control do not."""
    return "models" not in experiment and control_facts(experiment).get("prunes", False)


def control_facts(experiment: dict) -> Mapping:
    """Return the facts of an experiment's control, see `prunescope.pruning.table`."""
    return kinds.find("control", experiment["control"], "control").facts


def trains_again(experiment: dict) -> bool:
    """Whether an experiment is a control whose rounds are those of another one, trained again."""
    return control_facts(experiment).get("again", False)


def draws_new_weights(experiment: dict) -> bool:
    """Whether an experiment is a control whose rounds start from newly drawn weights."""
    return control_facts(experiment).get("fresh", False)


def starts_from(experiment: dict) -> set[str]:
    """Return the files that a later round starts from: a subset of ``origin``, ``rewind`` and ``masks``.

    These are the checkpoint of an earlier round, see `origin_of`, the weights of round 0 to rewind to, and
    the checkpoint of the same round of the controlled experiment. The first two are of the
    experiment itself or of the controlled one, see `sharing.starting_files`.
    """
    pruning, needed = experiment["pruning"], set(control_facts(experiment)["reads"])
    if pruning["at"] == "initialisation":
        # The untrained network is built again; of the previous round, only the masks are needed.
        return needed - {"origin"} if pruning["from"] == "dense" else needed
    if not draws_new_weights(experiment):
        rewinds = pruning["retraining"] == "rewind"
        if rewinds:
            needed.add("rewind")
        # Given weights can be sparse; the masks of their zeros are in the checkpoint only.
        if not rewinds or experiment["network"]["weights"]:
            needed.add("origin")
    return needed


def origin_of(experiment: dict, round: int) -> int:
    """Return the round that a later round starts from, pruned or not."""
    return 0 if experiment["pruning"]["from"] == "dense" else round - 1


def activation_params(experiment: dict) -> dict:
    """Return what recordings of all networks of an experiment read."""
    return {"examples": EXAMPLES} | _without_threads(experiment["activations"])


def recording_params(experiment: dict, seed: int, round: int, layers: list[str]) -> dict:
    """Return what `extract_activations` reads for one network.

    `layers` are the recorded layers of the experiment, which those of the first of its `models` define.
    """
    if "models" not in experiment:
        return activation_params(experiment)
    model = elsewhere.find(experiment, seed, round)
    first = model is experiment["models"][0]
    recorded = elsewhere.recorded(experiment, model, [] if first else layers)
    return activation_params(experiment) | {"layers": recorded}


def images(experiment: dict, available: int) -> int:
    """Return how many of the available test images are recorded."""
    wanted = activation_params(experiment)["examples"]
    return available if wanted is None else min(wanted, available)


def similarity_params(experiment: dict) -> dict:
    """Return what `compare_round` and `compare_seeds` read. The order of the measures does not matter."""
    similarity = experiment["similarity"]
    params = {key: similarity[key] for key in ("variance", "pairs", "intervals", "gpu")}
    return params | {"measures": sorted(similarity["measures"])}


def untrained_params(experiment: dict) -> dict:
    """Return what `extract_untrained` reads. Of the training, only the scaling of the pixels is used.

    With `models`, the untrained networks are built and recorded like the first model.
    """
    network, normalisation = experiment["network"], experiment["training"]["normalisation"]
    activations = activation_params(experiment)
    if "models" in experiment:
        first = experiment["models"][0]
        network = elsewhere.network_of(experiment, first) | {"weights": None}
        normalisation = elsewhere.normalisation_of(experiment, first)
        activations["layers"] = elsewhere.recorded(experiment, first, [])
    return {
        "network": network_params(network),
        "training": _scaling(normalisation),
        "activations": activations,
    }


def untrained_seeds(experiment: dict) -> list[int]:
    """Return the seeds of the untrained networks: the experiment's, plus a second seed if it has only one."""
    seeds = experiment["seeds"]
    return seeds if len(seeds) > 1 else [seeds[0], seeds[0] + 1]


def own_layer_params(experiment: dict) -> dict:
    """Return what `compare_untrained` and `compare_siblings` read: each layer with itself only."""
    return similarity_params(experiment) | {"pairs": "same-layer"}


def landscape_params(experiment: dict) -> dict:
    """Return what `measure_barriers` reads; of the training, what the loss of a network depends on."""
    landscape, training = experiment["landscape"], experiment["training"]
    params = {key: landscape[key] for key in ("points", "split")}
    return params | {key: training[key] for key in ("precision", "channels_last", "examples", "validation")}


def evaluation_threads(experiment: dict) -> int:
    """Return the threads of the jobs that measure the accuracy of networks."""
    return experiment["activations" if "models" in experiment else "training"]["threads"]


def with_spectrum(experiment: dict) -> list[str]:
    """Return the measures whose rows contain the canonical correlations."""
    measures = [kinds.find("measure", name) for name in experiment["similarity"]["measures"]]
    return sorted(measure.name for measure in measures if measure.facts.get("spectrum"))


def primary_measure(experiment: dict) -> str | None:
    """Return the measure that verdicts are about; None if the experiment does not say."""
    measures = experiment["similarity"]["measures"]
    if experiment["findings"]["measure"] is not None:
        return experiment["findings"]["measure"]
    return measures[0] if len(measures) == 1 else "cka_debiased" if "cka_debiased" in measures else None


def measures_with_figures(experiment: dict) -> list[str]:
    """Return the names of the measures in `figures.measures`; empty means the report's first."""
    return [kinds.find("measure", name).name for name in experiment["figures"]["measures"] or ()]


def findings_params(experiment: dict, classes: int) -> dict:
    """Return what `write_report` reads for the verdicts: primary measure, margin and lowest accuracy."""
    primary, given = primary_measure(experiment), experiment["findings"]
    name = None if primary is None else kinds.find("measure", primary).name
    return {
        "primary": name,
        "margin": given["margin"],
        "least_accuracy": least_accuracy(given["least_accuracy"], classes),
    }


def least_accuracy(given: float | None, classes: int) -> float:
    """Return `findings.least_accuracy`, or its default for a number of classes."""
    # A chance-corrected accuracy (kappa) below 0.2 is slight agreement (Landis & Koch, Biometrics 33, 1977).
    # A constant answer, which scores more than chance where classes are unequal, stays below it.
    chance = 1 / max(classes, 1)
    return chance + (1 - chance) / 5 if given is None else given


def shown(experiment: dict) -> dict:
    """Return the settings that reports show: all except those that do not affect the results."""
    if "models" in experiment:
        experiment = elsewhere.without_training(experiment)
    similarity = _without_threads(experiment["similarity"])
    return experiment | {"similarity": similarity | {"measures": sorted(similarity["measures"])}}


def kinds_of(rule: str, experiment: dict) -> tuple[tuple[str, str], ...]:
    """Return the kinds whose code a rule runs for an experiment, as pairs of family and name."""
    network = ("network", experiment["network"]["name"])
    recorded = [*_networks(experiment), ("view", experiment["activations"]["view"])]
    named = {
        "import_model": lambda: _networks(experiment),
        "measure_barriers": lambda: _networks(experiment),
        "train_dense": lambda: [network, *_steps(experiment["training"])],
        "prune_round": lambda: [
            network,
            ("control", experiment["control"]),
            *([("criterion", experiment["pruning"]["criterion"])] if prunes(experiment) else []),
            *_steps(training_after_round0(experiment)),
        ],
        "extract_activations": lambda: recorded,
        "extract_untrained": lambda: recorded,
        "compare": lambda: _compared(experiment),
        "compare_weights": lambda: _networks(experiment),
    }
    return tuple(named[rule]()) if rule in named else ()


def _networks(experiment: dict) -> list[tuple[str, str]]:
    others = [model["network"]["name"] for model in experiment.get("models", ()) if "network" in model]
    return [("network", name) for name in dict.fromkeys([experiment["network"]["name"], *others])]


def training_after_round0(experiment: dict) -> dict:
    """Return how rounds after 0 are trained. Newly drawn weights need the full training, not fine-tuning."""
    training, pruning = experiment["training"], experiment["pruning"]
    if pruning["retraining"] == "none":
        return training | {"epochs": 0}
    if pruning["retraining"] == "finetune" and not draws_new_weights(experiment):
        return training | pruning["finetune"]
    return training


def _steps(training: dict) -> list[tuple[str, str]]:
    return [("optimizer", training["optimizer"]["name"]), ("schedule", training["schedule"]["name"])]


def _compared(experiment: dict) -> list[tuple[str, str]]:
    return [("measure", name) for name in sorted(experiment["similarity"]["measures"])]


def _without_threads(part: dict) -> dict:
    return {key: value for key, value in part.items() if key != "threads"}
