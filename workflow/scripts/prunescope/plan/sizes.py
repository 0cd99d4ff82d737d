"""Sizes of an experiment's data set and network, found without training, and checks that they fit together.

Results are cached, so the workflow's graph is built quickly; torch is imported only when a network is
inspected for the first time.
"""

import math
from fnmatch import fnmatchcase
from pathlib import Path

from prunescope import digests, kinds
from prunescope.activations import views
from prunescope.errors import InputError, guess, listed
from prunescope.plan.stages import network_params
from prunescope.records import remember
from prunescope.settings import elsewhere
from prunescope.settings.activations import Activations

LIBRARY = Path(__file__).parents[1]


def describe(experiment: dict, where: str, data: dict) -> dict:
    """Inspect an experiment's data set and network without training; check that they fit together.

    `where` is the experiment's file, for messages; `data` is a key of the top-level configuration. The result
    has ``dataset``, see `prunescope.data.sources.Source.describe`, and ``network``, see
    `prunescope.networks.inspect.inspect`.
    """
    dataset = _dataset(source_of(experiment["dataset"], data, f"{where}: dataset"), data["root"])
    try:
        _check_count(
            "activations.examples", experiment["activations"].get("examples"), dataset["test"], "test images"
        )
        _check_landscape(experiment, dataset)
        inspected = _trained_elsewhere if "models" in experiment else _trained_here
        return {"dataset": dataset, "network": inspected(experiment, dataset)}
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _trained_here(experiment: dict, dataset: dict) -> dict:
    """Inspect the network of an experiment, and check that it can be trained, pruned and recorded."""
    training, pruning = experiment["training"], experiment["pruning"]
    _check_training(experiment, dataset)
    network = _network(
        network=network_params(experiment["network"]),
        shape=dataset["shape"],
        classes=dataset["classes"],
        prunable=pruning["prunable"],
        rates=pruning["rates"],
        recorded=experiment["activations"]["layers"],
        normalisation=training["normalisation"],
        axes=experiment["activations"]["axes"],
    )
    network = _units_first(experiment["activations"], network)
    _check_figures(experiment["figures"], list(network["shapes"]))
    _check_batches(experiment, dataset, network["alone"])
    if kinds.find("criterion", pruning["criterion"]).facts.get("inputs") and network["unusual"]:
        raise InputError(
            f"pruning.criterion = {pruning['criterion']!r}: {network['unusual']} is not the weight of an "
            "ordinary linear layer or convolution; leave it out of pruning.prunable"
        )
    if pruning["unit"] == "channel" and network["channels"]:
        raise InputError(
            f"pruning.prunable: {network['channels']}; leave it out, or set pruning.unit: weight"
        )
    return network


def _trained_elsewhere(experiment: dict, dataset: dict) -> dict:
    """Inspect networks that were trained elsewhere, with their weights; return the largest sizes."""
    largest: dict = {}
    for index, model in enumerate(experiment["models"]):
        try:
            network = _model(experiment, model, dataset, list(largest.get("shapes", [])))
            if largest and experiment["similarity"]["pairs"] == "same-layer":
                _check_rows(experiment["activations"], largest["shapes"], network["shapes"])
        except InputError as error:
            raise InputError(f"models[{index}]: {error}") from None
        shapes = largest.get("shapes", {})
        sizes = ("parameters", "macs", "floats", "batch_norm")
        largest = network | {key: max(network[key], largest.get(key, 0)) for key in sizes}
        largest["shapes"] = {
            name: max(filter(None, (shapes.get(name), network["shapes"].get(name))), key=math.prod)
            for name in {**shapes, **network["shapes"]}
        }
    _check_figures(experiment["figures"], list(largest["shapes"]))
    return largest


def _model(experiment: dict, model: dict, dataset: dict, layers: list[str]) -> dict:
    """Inspect one of `models`; `layers` are the recorded layers of those before it."""
    network = network_params(elsewhere.network_of(experiment, model), "weights")
    classes = network.get("classes", dataset["classes"])
    if not classes:
        raise InputError(
            f"network.classes: the images of {experiment['dataset']} have no labels; give the number of "
            "outputs of the network"
        )
    network = _network(
        network=network,
        shape=dataset["shape"],
        classes=classes,
        prunable=[],
        rates={},
        recorded=elsewhere.recorded(experiment, model, layers),
        normalisation=elsewhere.normalisation_of(experiment, model),
        trained_elsewhere=True,
        axes=experiment["activations"]["axes"],
    )
    return _units_first(experiment["activations"], network)


def _units_first(activations: dict, network: dict) -> dict:
    """Return what `inspect` found with the units first in each shape; check that the view can record it."""
    view, token, shapes = activations["view"], activations["token"], {}
    for name, output in network["shapes"].items():
        shape = views.units_first(view, name, output, network["axes"][name])
        positions = math.prod(shape[1:])
        if positions > 1 and (token or 0) >= positions:
            raise InputError(
                f"activations.token = {token}: module {name!r} has only positions 0 to {positions - 1}"
            )
        shapes[name] = list(shape)
    return {key: value for key, value in network.items() if key != "axes"} | {"shapes": shapes}


def _check_rows(activations: dict, shapes: dict[str, list[int]], others: dict[str, list[int]]) -> None:
    """Check that the rows of corresponding layers of two networks correspond."""
    view, sampled = activations["view"], Activations(**activations).sampled
    for name, output in others.items():
        mine, theirs = (views.sample(view, shape, sampled)[0] for shape in (shapes[name], output))
        if mine != theirs:
            sizes = ["×".join(map(str, part)) or "1" for part in (theirs, mine)]
            raise InputError(
                f"layer {name!r} has {sizes[0]} positions, but {sizes[1]} in earlier models, so its rows "
                f"do not correspond with activations.view = {view}; choose pooled or flatten, or other layers"
            )


def _check_figures(figures: dict, recorded: list[str]) -> None:
    """Check that every pattern of layers with figures matches a recorded layer."""
    for pattern in figures["layers"] or ():
        if not any(fnmatchcase(layer, pattern) for layer in recorded):
            raise InputError(
                f"figures.layers = {pattern!r}: no recorded layer{guess(pattern, recorded)}; recorded are "
                f"{listed(recorded)}"
            )


def _check_training(experiment: dict, dataset: dict) -> None:
    """Check that there are enough training images, and that the step to rewind to exists."""
    training, pruning = experiment["training"], experiment["pruning"]
    _check_trainable(experiment["dataset"], dataset)
    wanted = (training["examples"] or 1) + training["validation"]
    _check_count("training.examples + training.validation", wanted, dataset["train"], "training images")
    used = training["examples"] or dataset["train"] - training["validation"]
    steps = training["epochs"] * -(-used // training["batch_size"])
    if pruning["retraining"] == "rewind" and (pruning["rewind_step"] or 0) >= steps:
        raise InputError(
            f"pruning.rewind_step = {pruning['rewind_step']}: must be less than {steps}, the number of "
            "training steps"
        )


def _check_landscape(experiment: dict, dataset: dict) -> None:
    """Check that there are images whose loss can be measured."""
    landscape = experiment["landscape"]
    if landscape and not dataset["classes"]:
        raise InputError(
            f"landscape: the images of {experiment['dataset']} have no labels, so networks have no loss; "
            "remove the key"
        )
    if landscape and landscape["split"] == "train" and not dataset["train"]:
        raise InputError(
            f"landscape.split = 'train': {experiment['dataset']} has no training images; choose test"
        )


def _check_batches(experiment: dict, dataset: dict, problem: str) -> None:
    """Refuse a last batch of one image if the network cannot be trained on one: `problem` says why."""
    training = experiment["training"]
    used = training["examples"] or dataset["train"] - training["validation"]
    if problem and (used - 1) % training["batch_size"] == 0:
        raise InputError(
            f"training.batch_size = {training['batch_size']}: {used} training images leave a last batch of "
            f"one image, on which this network cannot be trained ({problem}); choose another size"
        )


def _check_trainable(name: str, dataset: dict) -> None:
    """Refuse to train on a data set that has test images only."""
    if not dataset["classes"]:
        raise InputError(
            f"dataset = {name!r}: its images have no labels, so no network can be trained on "
            "them; put the images of each class into their own folder, or add labels"
        )
    if dataset["classes"] == 1:
        raise InputError(
            f"dataset = {name!r}: all its images are of one class, so every network has accuracy 1; put the "
            "images of each class into their own folder, or give each class a label"
        )
    if not dataset["train"]:
        raise InputError(f"dataset = {name!r}: it has no training images; add some under train/")


def describe_dataset(experiment: dict, where: str, data: dict) -> dict:
    """Return the part of `describe` about the data set; do not check whether the network fits it."""
    return _dataset(source_of(experiment["dataset"], data, f"{where}: dataset"), data["root"])


def source_of(name: str, data: dict, where: str) -> str | dict:
    """Return the source of a data set as configured: its name, or a mapping with the key ``source``.

    `where` is the key or target that names the data set, for messages.
    """
    known = list(data["datasets"])
    if name not in known:
        raise InputError(
            f"{where} = {name!r}: not in data.datasets of config/config.yaml{guess(name, known)}; "
            f"available: {', '.join(known)}"
        )
    return data["datasets"][name]


def stamp(given: str | dict, root: str) -> list:
    """Return what changes when the files of a source change, see `prunescope.data.sources.Source.stamp`."""
    from prunescope.data import sources

    return sources.find(given, root).stamp()


def source_kind(given: str | dict) -> tuple[str, str]:
    """Return the kind that prepares a data set, as family and name."""
    return "source", given if isinstance(given, str) else given["source"]


def _dataset(given: str | dict, root: str) -> dict:
    def look() -> dict:
        from prunescope.data import sources

        return sources.describe(given, root)

    code = digests.code(LIBRARY / "data/sources/__init__.py", (source_kind(given),))
    return remember("dataset", [code, given, stamp(given, root)], look)


def _network(**question) -> dict:
    def look() -> dict:
        from prunescope.networks.inspect import inspect

        return inspect(**question)

    code = digests.code(LIBRARY / "networks/inspect.py", (("network", question["network"]["name"]),))
    return remember("network", [code, question], look)


def _check_count(key: str, wanted: int | None, there: int, what: str) -> None:
    if wanted is not None and wanted > there:
        raise InputError(
            f"{key} = {wanted}: the data set has only {there} {what}; lower it, or write null for all"
        )
