"""Facts about a network that do not require training: recorded layers, output shapes, weights, operations."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from prunescope.errors import InputError, first_line
from prunescope.networks import DEFAULT, channels, modules
from prunescope.networks import weights as trained
from prunescope.networks.build import build, obstacle, seeded, trace
from prunescope.networks.masks import census
from prunescope.networks.outline import Module, check_repeatable, check_storable, outline
from prunescope.networks.preprocessing import channel_values, input_shape, preprocessing_of


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
    """Run one image through a network, and return what a plan needs to know about it.

    `network` has ``name``, ``arguments`` and ``more``, see `prunescope.networks.weights.initial`; with
    `trained_elsewhere`, its weights must fit exactly. Patterns name the modules that are pruned, their
    `rates` and those that are recorded (or a mapping from layers to modules); one that matches nothing is
    refused. With the normalisation ``weights``, images are resized as the trained weights require. For
    `axes`, see `prunescope.networks.outline.outline`.
    """
    shape = _input_shape(network["name"], shape, normalisation)
    net = _build({**network, "shape": tuple(shape), "classes": classes}, trained_elsewhere)
    net.eval()
    weights = modules.prunable(net, prunable)
    modules.check_zeros(net, weights)
    if rates:
        modules.prunable(net, list(rates), "pruning.rates")
    weight_rates = modules.layer_rates(net, list(weights), rates)
    recorded_modules = modules.chosen(net, recorded)
    outlined = {module.name: module for module in outline(net, partial(trace, net, shape), axes)}
    layers = _layers(net, recorded_modules, outlined)
    sizes = census(net, {}, shape)
    alone = _try_out(net, recorded_modules, shape, trains=not trained_elsewhere)
    return {
        "parameters": sizes["parameters"],
        # Shapes and rates by parameter name.
        "prunable": {name: list(weight.shape) for name, weight in weights.items()},
        "rates": weight_rates,
        # For one image: operations of convolutions and linear layers, numbers in the outputs of all modules.
        "macs": sizes["macs_dense"],
        "floats": sum(math.prod(module.output) for module in outlined.values() if module.output is not None),
        # Of the output (n, ...) of each recorded module: its shape for one image, and the axis that holds the
        # units, None if it is not known.
        "shapes": {layer: list(module.output) for layer, module in layers.items()},
        "axes": {layer: module.axis for layer, module in layers.items()},
        # Modules with running statistics.
        "batch_norm": len(modules.batch_norms(net)),
        # Why it cannot be trained on a batch of one image, and why whole channels cannot be pruned; empty if
        # it can. A prunable weight that is not that of an ordinary linear layer or convolution.
        "alone": alone,
        "channels": channels.obstacle(net, weights, shape),
        "unusual": modules.unusual(net, weights),
    }


def _input_shape(name: str, shape: list[int], normalisation: str | dict) -> Sequence[int]:
    """Return the shape of a network's input; refuse images with other channels than the normalisation."""
    if normalisation == "weights":
        expected = preprocessing_of(name)
        channel_values(expected.mean, shape[0])
        return input_shape(shape, expected.resizing)
    if isinstance(normalisation, dict):
        for values in (normalisation["mean"], normalisation["std"]):
            channel_values(values, shape[0])
    return shape


def _build(network: dict, trained_elsewhere: bool) -> nn.Module:
    """Build a network, with its weights if they are in a file."""
    # On torch's device `meta`, the first call would import torch's compiler, which takes seconds.
    if trained_elsewhere:
        return trained.elsewhere(network)[0]
    # Weights from torchvision and timm are downloaded by the training job, not while planning.
    offered = (network.get("more") or {}).get("weights") == DEFAULT
    return build(**network, seed=0) if offered else trained.initial(network, 0)


def _layers(
    network: nn.Module, recorded: dict[str, nn.Module], outlined: dict[str, Module]
) -> dict[str, Module]:
    """Return the outline of the recorded modules by layer; refuse those that cannot be recorded."""
    names = {module: name for name, module in network.named_modules() if name}
    # The name of a layer may also be that of another module.
    layers = {layer: outlined[names[module]] for layer, module in recorded.items()}
    for layer, module in layers.items():
        if module.obstacle:
            raise InputError(
                f"activations.layers: module {module.name!r} {module.obstacle}, so it cannot be recorded; "
                "choose other layers, e.g. the block around it"
            )
        check_storable(layer)
    return layers


def _try_out(network: nn.Module, recorded: dict[str, nn.Module], shape: Sequence[int], trains: bool) -> str:
    """Check what several images show, and return why the network cannot be trained on one image."""
    with seeded(0):
        check_repeatable(network, {**recorded, "": network}, torch.randn(2, *shape))
        if not trains:
            return ""
        if problem := _fault_in_training(network, shape, 2):
            raise InputError(
                f"network: {type(network).__name__} cannot be trained on a batch of 2 images of shape "
                f"{tuple(shape)} ({problem}); choose another network, other arguments or larger images"
            )
        return _fault_in_training(network, shape, 1)


@torch.no_grad()
def _fault_in_training(network: nn.Module, shape: Sequence[int], images: int) -> str:
    """Return why a network cannot be trained on a batch of this many images; empty if it can.

    The network is left in training mode, and may have changed its running statistics.
    """
    network.train()
    try:
        output = network(torch.randn(images, *shape))
    except Exception as error:  # the network's code can raise anything
        return first_line(error)
    return obstacle(output)
