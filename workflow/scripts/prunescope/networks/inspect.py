"""Facts about a network that do not require training: recorded layers, output shapes, weights, operations."""

import math
from collections import Counter
from functools import partial

import torch
from torch import nn

from prunescope.errors import InputError
from prunescope.networks import DEFAULT, modules
from prunescope.networks import weights as trained
from prunescope.networks.build import build, seeded, trace
from prunescope.networks.channels import cost_of_dead_channels, obstacle
from prunescope.networks.layers import Shape
from prunescope.networks.masks import Masks, counts, density
from prunescope.networks.outline import outline
from prunescope.networks.preprocessing import channel_values, input_shape, preprocessing_of
from prunescope.networks.probe import check_repeatable, check_storable, fault_in_training


def inspect(
    network: dict,
    shape: list[int],
    classes: int,
    prunable: list[str],
    rates: dict[str, float],
    recorded: list[str] | dict[str, str],
    normalisation: str | dict[str, list[float]] = "dataset",
    trained_elsewhere: bool = False,
    axes: str | dict[str, str] | None = None,
) -> dict:
    """Run one image through a network, and check the module patterns.

    Parameters
    ----------
    network : dict
        ``name``, ``arguments`` and ``more``, see `prunescope.networks.weights.initial`.
    shape : list of int
        Channels, height and width of an image.
    classes : int
    prunable : list of str
        Patterns of the modules whose weights are pruned.
    rates : dict of str to float
        Pruning rates by module pattern.
    recorded : list of str or dict of str to str
        The modules whose outputs are recorded, see `prunescope.networks.modules.chosen`.
    normalisation : str or dict, default "dataset"
        How pixels are scaled; with ``weights``, images are resized as the trained weights require.
    trained_elsewhere : bool, default False
        Whether the weights must fit exactly, see `prunescope.networks.weights.elsewhere`.
    axes : str or dict of str to str, optional
        ``first`` or ``last``, see `prunescope.networks.outline.outline`.

    Returns
    -------
    dict
        ``parameters``, ``prunable`` (shapes of the prunable weights by parameter name), ``rates`` (of single
        parameters), ``macs`` (multiply–accumulates of convolutions and linear layers per image), ``floats``
        (numbers in all module outputs per image); for each recorded module ``shapes``, that of its output for
        one image, and ``axes``, the axis of its output (n, ...) that holds the units, None if it is not
        known. ``batch_norm`` is the number of modules with running statistics. ``alone`` says why it cannot
        be trained on a batch of one image, and ``channels`` why whole channels cannot be pruned; both are
        empty texts if it can. ``unusual`` is a prunable weight that is not that of an ordinary linear
        layer or convolution, if there is one.

    Raises
    ------
    InputError
        When a pattern matches nothing, a module cannot be recorded, or the network does not fit the images.
    """
    # On torch's device `meta`, the first call would import torch's compiler, which takes seconds.
    if normalisation == "weights":
        expected = preprocessing_of(network["name"])
        channel_values(expected.mean, shape[0])
        shape = input_shape(shape, expected.resizing)
    elif isinstance(normalisation, dict):
        for values in (normalisation["mean"], normalisation["std"]):
            channel_values(values, shape[0])
    built = {**network, "shape": tuple(shape), "classes": classes}
    # Weights from torchvision and timm are downloaded by the training job, not while planning.
    offered = (network.get("more") or {}).get("weights") == DEFAULT
    if trained_elsewhere:
        net, _ = trained.elsewhere(built)
    else:
        net = build(**built, seed=0) if offered else trained.initial(built, 0)
    net.eval()
    weights = modules.prunable(net, prunable)
    modules.check_zeros(net, weights)
    if rates:
        modules.prunable(net, list(rates), "pruning.rates")
    own_rates = modules.layer_rates(net, list(weights), rates)
    chosen = modules.chosen(net, recorded)
    names = {module: name for name, module in net.named_modules() if name}
    found = {module.name: module for module in outline(net, partial(trace, net, shape), axes)}
    # The name of a layer may also be that of another module.
    layers = {layer: found[names[module]] for layer, module in chosen.items()}
    for layer, module in layers.items():
        if module.obstacle:
            raise InputError(
                f"activations.layers: module {module.name!r} {module.obstacle}, so it cannot be recorded; "
                "choose other layers, e.g. the block around it"
            )
        check_storable(layer)
    sizes = census(net, {}, shape)
    alone = _try_out(net, chosen, shape, trains=not trained_elsewhere)
    return {
        "parameters": sizes["parameters"],
        "prunable": {name: list(weight.shape) for name, weight in weights.items()},
        "rates": own_rates,
        "macs": sizes["macs_dense"],
        "floats": sum(math.prod(module.output) for module in found.values() if module.output is not None),
        "shapes": {layer: list(module.output) for layer, module in layers.items()},
        "axes": {layer: module.axis for layer, module in layers.items()},
        "batch_norm": len(modules.batch_norms(net)),
        "alone": alone,
        "channels": obstacle(net, weights, shape),
        "unusual": modules.unusual(net, weights),
    }


def _try_out(network: nn.Module, recorded: dict[str, nn.Module], shape: Shape, trains: bool) -> str:
    """Check what several images show, and return why the network cannot be trained on one image."""
    with seeded(0):
        check_repeatable(network, {**recorded, "": network}, torch.randn(2, *shape))
        if not trains:
            return ""
        if problem := fault_in_training(network, shape, 2):
            raise InputError(
                f"network: {type(network).__name__} cannot be trained on a batch of 2 images of shape "
                f"{tuple(shape)} ({problem}); choose another network, other arguments or larger images"
            )
        return fault_in_training(network, shape, 1)


def census(network: nn.Module, masks: Masks, shape: Shape) -> dict:
    """Count weights, dead channels and operations, layer by layer.

    Parameters
    ----------
    network : torch.nn.Module
    masks : dict of str to Tensor of bool
    shape : sequence of int
        Channels, height and width of an image.

    Returns
    -------
    dict
        ``density`` over the prunable weights, ``density_all`` over all parameters, ``parameters`` and
        ``parameters_kept``, ``unpruned`` (see `unpruned`), ``prunable`` and ``prunable_kept``,
        ``macs_dense`` and ``macs_effective``
        (multiply–accumulate operations for one image; effective counts only the remaining weights),
        ``parameters_alive`` and ``macs_alive`` (those of a dense network without the dead channels),
        ``dead_channels``, and ``layers``: for each module with prunable weights of its own (a weight that
        several modules share belongs to the first one, with the operations of all) ``name``, ``total``,
        ``kept``, ``density``, ``channels``, ``dead_channels`` (outputs with no weight left), ``macs_dense``
        and ``macs_effective``.
    """
    weighted = {name: own for name, module in network.named_modules() if (own := modules.weights_of(module))}
    positions = _positions(network, weighted, shape)
    first, uses = modules.first_names(network), Counter()
    for name, own in weighted.items():
        for key in own:
            uses[first[f"{name}.{key}" if name else key]] += positions[name]
    layers = []
    for name, own in weighted.items():
        names = {key: f"{name}.{key}" if name else key for key in own}
        kept = {
            full: masks.get(full, torch.ones(own[key].shape, dtype=torch.bool))
            for key, full in names.items()
            if first[full] == full
        }
        if not kept:
            continue
        rows = [modules.by_output(network.get_submodule(name), mask) for mask in kept.values()]
        total, left = (sum(int(count(mask)) for mask in kept.values()) for count in (torch.numel, torch.sum))
        layers.append(
            {
                "name": name,
                "total": total,
                "kept": left,
                "density": left / total,
                "channels": sum(len(mask) for mask in rows),
                "dead_channels": sum(int((~mask.any(1)).sum()) for mask in rows),
                "macs_dense": sum(mask.numel() * uses[full] for full, mask in kept.items()),
                "macs_effective": sum(int(mask.sum()) * uses[full] for full, mask in kept.items()),
            }
        )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    removed = sum(int((~mask).sum()) for mask in masks.values())
    prunable_kept, prunable = counts(masks)
    macs, dead = (sum(layer[key] for layer in layers) for key in ("macs_dense", "dead_channels"))
    saved = cost_of_dead_channels(network, masks, shape) if dead else {"parameters": 0, "macs": 0}
    return {
        "density": density(masks),
        "density_all": (parameters - removed) / parameters,
        "parameters": parameters,
        "parameters_kept": parameters - removed,
        "unpruned": unpruned(network, masks),
        "parameters_alive": parameters - saved["parameters"],
        "prunable": prunable,
        "prunable_kept": prunable_kept,
        "macs_dense": macs,
        "macs_effective": sum(layer["macs_effective"] for layer in layers),
        "macs_alive": macs - saved["macs"],
        "dead_channels": dead,
        "layers": layers,
    }


def _positions(network: nn.Module, weighted: dict[str, dict], shape: Shape) -> dict[str, int]:
    """Return how often each weight of a module is used for one image."""
    found = dict.fromkeys(weighted, 0)

    def count(name: str, output) -> None:
        # Multi-head attention also returns its attention weights.
        output = output[0] if isinstance(output, tuple) else output
        shape = getattr(output, "shape", ())
        # A linear layer works on the last dimension, a convolution on the second.
        matrix = next(iter(weighted[name].values())).ndim == 2
        found[name] += math.prod(shape[1:-1] if matrix else shape[2:])

    trace(network, shape, {network.get_submodule(name): partial(count, name) for name in weighted})
    for name in weighted:
        # Multi-head attention reads the weight of its output projection without running that module.
        found[name] = found[name] or found.get(name.rpartition(".")[0], 0)
    return found


def unpruned(network: nn.Module, masks: Masks) -> dict[str, dict]:
    """Sum up the parameters that are never pruned, by module type and parameter name, largest first.

    Returns
    -------
    dict of str to dict
        ``parameters`` and their ``share`` of all parameters, by e.g. ``BatchNorm2d.weight``; empty when
        nothing is pruned.
    """
    total = sum(parameter.numel() for parameter in network.parameters())
    found, shown = Counter(), {id(network.get_parameter(name)) for name in masks}
    for _, module in network.named_modules() if masks else ():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in shown:
                shown.add(id(parameter))
                found[f"{type(module).__name__}.{name}"] += parameter.numel()
    return {name: {"parameters": n, "share": n / total} for name, n in found.most_common()}
