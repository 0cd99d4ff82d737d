"""The layers of a network: names, output shapes, and what can be recorded and pruned."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from torch import nn

from prunescope import kinds, user_code
from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.networks.build import build, trace
from prunescope.networks.outline import Module, outline
from prunescope.networks.preprocessing import input_shape, preprocessing_of
from prunescope.plan.sizes import describe_dataset
from prunescope.settings.load import configuration_of, load_experiment


def layers_of_network(name: str, arguments: dict, shape: Sequence[int], classes: int) -> list[dict[str, str]]:
    """List the modules of a network.

    Parameters
    ----------
    name : str
        As `network.name` in an experiment.
    arguments : dict
    shape : sequence of int
        Channels, height and width of an image.
    classes : int

    Returns
    -------
    list of dict of str to str
        By column: ``module``, ``type``, ``output`` for one image, ``recordable`` (``yes``, or the reason why
        not), ``prunable weights``.

    Raises
    ------
    InputError
        When the network is unknown or does not fit the images.
    """
    network = build(name, arguments, tuple(shape), classes, 0)
    weights = modules.weighted(network)
    return [_row(module, weights) for module in outline(network, partial(trace, network, shape))]


def layers_of_experiment(name: str) -> list[dict[str, str]]:
    """List the modules of the network of an experiment in the working directory.

    Returns
    -------
    list of dict of str to str
        See `layers_of_network`. ``*`` marks outputs that the experiment records and weights that it prunes.

    Raises
    ------
    InputError
        When there is no such experiment, or it is invalid. Patterns that match no module are accepted,
        because this list helps to correct them.
    """
    try:
        config = configuration_of()  # an empty folder may have none
        user_code.use(config["code_folder"])
        catalogue = config["catalogue"]
        catalogue.check(name, "layers")
    except InputError:
        # No name of an experiment has a slash.
        if name in kinds.known("network") or (
            "/" in name and kinds.find("network", name, "layers", listed=True)
        ):
            raise InputError(f"{name} is a network, not an experiment; add --shape C H W") from None
        raise
    experiment, where = load_experiment(name, catalogue), catalogue.where(name)
    data = describe_dataset(experiment, where, config["data"])
    settings, shape = experiment["network"], tuple(data["shape"])
    if experiment["training"]["normalisation"] == "weights":
        shape = input_shape(shape, preprocessing_of(settings["name"]).resizing)
    classes = settings.get("classes", data["classes"])
    network = build(settings["name"], settings["arguments"], shape, classes, 0)
    recorded = _matched(network, experiment["activations"]["layers"], modules.select)
    # Networks that were trained elsewhere are not pruned here.
    patterns = [] if "models" in experiment else experiment["pruning"]["prunable"]
    pruned = _matched(network, patterns, modules.prunable)
    weights, activations = modules.weighted(network), experiment["activations"]
    needed = kinds.load("view", activations["view"]).needs_axis
    rows = []
    for module in outline(network, partial(trace, network, shape), activations["axes"]):
        row = _row(module, weights)
        if needed and module.axis is None and not module.obstacle:
            row["recordable"] = "no: needs activations.axes"
        row["recordable"] += " *" if module.name in recorded else ""
        row["prunable weights"] += " *" if pruned & {*weights.get(module.name, ())} else ""
        rows.append(row)
    return rows


def _row(module: Module, weights: dict[str, dict[str, nn.Parameter]]) -> dict[str, str]:
    sizes = [weight.numel() for weight in weights.get(module.name, {}).values()]
    return {
        "module": module.name,
        "type": module.type,
        "output": "×".join(map(str, module.output)) if module.output is not None else "-",
        "recordable": f"no: {module.obstacle}" if module.obstacle else "yes",
        "prunable weights": f"{sum(sizes):,}" if sizes else "",
    }


def _matched(network: nn.Module, patterns: list[str], select: Callable[..., Mapping]) -> set[str]:
    """Return the names that patterns select; a pattern that matches nothing is ignored."""
    names: set[str] = set()
    for pattern in patterns:
        with suppress(InputError):
            names |= {*select(network, [pattern])}
    return names
