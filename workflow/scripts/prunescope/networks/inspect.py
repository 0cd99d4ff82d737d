"""What can be said of a network without training it: recorded layers, output shapes, weights, arithmetic."""

import math
from collections import Counter
from functools import partial

import torch
from torch import nn

from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.networks.build import build, trace
from prunescope.networks.layers import Shape
from prunescope.networks.masks import Masks, density


def inspect(
    network: dict,
    shape: list[int],
    classes: int,
    prunable: list[str],
    rates: dict[str, float],
    recorded: list[str],
) -> dict:
    """Run one image through a network, and check the module patterns.

    Parameters
    ----------
    network : dict
        ``name`` and ``arguments``.
    shape : list of int
        Channels, height and width of an image.
    classes : int
    prunable, recorded : list of str
        Module patterns: whose weights are pruned, whose outputs are recorded.
    rates : dict of str to float
        Pruning rates by module pattern.

    Returns
    -------
    dict
        ``parameters``, ``prunable`` (number of prunable weights by parameter name), ``rates`` (of single
        parameters), ``macs``
        (multiply–accumulates of convolutions and linear layers per image), ``floats`` (numbers in all module
        outputs per image) and ``shapes``: output shape by name of each recorded module.

    Raises
    ------
    InputError
        When a pattern matches nothing, a module cannot be recorded, or the network does not fit the images.
    """
    # On torch's device `meta` the first call would import torch's compiler, which takes seconds.
    net = build(network["name"], network["arguments"], tuple(shape), classes, 0).eval()
    weights = modules.prunable(net, prunable)
    if rates:
        modules.prunable(net, list(rates), "pruning.rates")
    own_rates = modules.layer_rates(net, list(weights), rates)
    chosen = modules.select(net, recorded, "activations.layers")
    shapes: dict[str, tuple[int, ...]] = {}
    named = {module: name for name, module in net.named_modules() if name}
    runs = Counter()

    def note(name: str, output: tuple[int, ...]) -> None:
        shapes[name] = output[1:]
        runs[name] += 1

    trace(net, shape, {module: partial(note, name) for module, name in named.items()})
    for name in chosen:
        if runs[name] != 1:
            problem = "runs more than once" if runs[name] else "gives no tensor of its own"
            raise InputError(
                f"activations.layers: module {name!r} {problem} in a forward pass, so it cannot be recorded; "
                "choose other layers, e.g. the block around it"
            )
    counts = census(net, {}, shape)
    return {
        "parameters": counts["parameters"],
        "prunable": {name: weight.numel() for name, weight in weights.items()},
        "rates": own_rates,
        "macs": counts["macs_dense"],
        "floats": sum(math.prod(output) for output in shapes.values()),
        "shapes": {name: list(shapes[name]) for name in chosen},
    }


def census(network: nn.Module, masks: Masks, shape: Shape) -> dict:
    """Count weights, dead channels and arithmetic, layer by layer.

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
        ``parameters_kept``, ``prunable`` and ``prunable_kept``, ``macs_dense`` and ``macs_effective``
        (multiply–accumulate operations for one image; effective counts only the weights left),
        ``dead_channels``, and ``layers``: for each convolution and linear layer ``name``, ``total``,
        ``kept``, ``density``, ``channels``, ``dead_channels`` (outputs with no weight left),
        ``macs_dense`` and ``macs_effective``.
    """
    weighted = {name: module for name, module in network.named_modules() if modules.has_weight(module)}
    positions = dict.fromkeys(weighted, 0)

    def count(name, module):
        def hook(output_shape):
            # A linear layer works on the last dimension, a convolution on the second.
            positions[name] += math.prod(output_shape[1:-1] if module.weight.ndim == 2 else output_shape[2:])

        return hook

    trace(network, shape, {module: count(name, module) for name, module in weighted.items()})
    layers = []
    for name, module in weighted.items():
        total = module.weight.numel()
        mask = masks.get(f"{name}.weight", torch.ones(module.weight.shape, dtype=torch.bool))
        kept = int(mask.sum())
        layers.append(
            {
                "name": name,
                "total": total,
                "kept": kept,
                "density": kept / total,
                "channels": mask.shape[0],
                "dead_channels": int((~mask.flatten(1).any(1)).sum()),
                "macs_dense": total * positions[name],
                "macs_effective": kept * positions[name],
            }
        )
    parameters = sum(parameter.numel() for parameter in network.parameters())
    removed = sum(int((~mask).sum()) for mask in masks.values())
    total = sum(mask.numel() for mask in masks.values())
    return {
        "density": density(masks),
        "density_all": (parameters - removed) / parameters,
        "parameters": parameters,
        "parameters_kept": parameters - removed,
        "prunable": total,
        "prunable_kept": total - removed,
        "macs_dense": sum(layer["macs_dense"] for layer in layers),
        "macs_effective": sum(layer["macs_effective"] for layer in layers),
        "dead_channels": sum(layer["dead_channels"] for layer in layers),
        "layers": layers,
    }
