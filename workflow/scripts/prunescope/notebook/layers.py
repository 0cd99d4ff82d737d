"""The layers of a network: names, output shapes, and what can be recorded and pruned."""

from collections.abc import Sequence

from torch import nn

from prunescope import kinds, own
from prunescope.config.facts import describe_dataset
from prunescope.config.files import configuration_of, load_experiment
from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.networks.build import build
from prunescope.networks.outline import Module, outline, pruned_weights
from prunescope.networks.preprocessing import input_shape, preprocessing_of


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
    return [_row(module, list(kinds.known("view"))) for module in outline(network, shape)]


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
        own.use(config["code_folder"])
        catalogue = config["catalogue"]
        catalogue.check(name, "layers")
    except InputError:
        if _is_network(name):
            raise InputError(f"{name} is a network, not an experiment; add --shape C H W") from None
        raise
    experiment, where = load_experiment(name, catalogue), catalogue.where(name)
    data = describe_dataset(experiment, where, config["data"])
    settings, shape = experiment["network"], tuple(data["shape"])
    if experiment["training"]["normalisation"] == "weights":
        shape = input_shape(shape, preprocessing_of(settings["name"]).resizing)
    classes = settings.get("classes", data["classes"])
    network = build(settings["name"], settings["arguments"], shape, classes, 0)
    recorded = _chosen(network, experiment["activations"]["layers"])
    # Networks that were trained elsewhere are not pruned here.
    patterns = [] if "models" in experiment else experiment["pruning"]["prunable"]
    pruned = pruned_weights(network, patterns)
    rows = []
    for module in outline(network, shape):
        row = _row(module, [experiment["activations"]["view"]])
        row["recordable"] += " *" if module.name in recorded else ""
        row["prunable weights"] += " *" if pruned & {*module.weights} else ""
        rows.append(row)
    return rows


def _row(module: Module, views: list[str]) -> dict[str, str]:
    output = module.output
    recordable = f"no: {module.obstacle}" if module.obstacle else "yes"
    if output is not None and not any(kinds.load("view", view).accepts(output) for view in views):
        recordable = f"no: not with view {' or '.join(views)}"
    return {
        "module": module.name,
        "type": module.type,
        "output": "×".join(map(str, output)) if output is not None else "-",
        "recordable": recordable,
        "prunable weights": f"{sum(module.weights.values()):,}" if module.weights else "",
    }


def _chosen(network: nn.Module, patterns: list[str]) -> set[str]:
    """Return the modules that patterns select; a pattern that matches nothing is ignored."""
    found: set[str] = set()
    for pattern in patterns:
        try:
            found |= {*modules.select(network, [pattern], "activations.layers")}
        except InputError:
            continue
    return found


def _is_network(name: str) -> bool:
    try:
        kinds.find("network", name)
    except InputError:
        return False
    return True
