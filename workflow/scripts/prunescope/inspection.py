"""What can be said of a network before it is trained: modules, sizes, multiply–accumulates."""

from collections import Counter
from functools import partial
from math import prod

import torch
from torch import nn

from prunescope import modules, networks
from prunescope.errors import InputError
from prunescope.masks import census, has_weight


def inspect(network: dict, shape: list[int], classes: int, patterns: dict[str, list[str]]) -> dict:
    """Run one image through a network that has shapes but no numbers, and check the module patterns.

    Parameters
    ----------
    network : dict
        ``name`` and ``arguments``.
    shape : list of int
        Channels, height and width of an image.
    classes : int
    patterns : dict of str to list of str
        Patterns by the configuration key they come from; those of ``activations.layers`` are recorded, the
        others must match modules with weights.

    Returns
    -------
    dict
        ``parameters``, ``macs`` (multiply–accumulates of convolutions and linear layers per image),
        ``floats`` (numbers in all module outputs per image) and ``layers``: output shape by module name.

    Raises
    ------
    InputError
        When a pattern matches nothing, or the network does not fit the image size.
    """
    with torch.device("meta"):
        net = networks.build(network["name"], network["arguments"], tuple(shape), classes, 0).eval()
    chosen = {key: modules.select(net, names, key) for key, names in patterns.items()}
    for key in ("pruning.prunable", "pruning.rates"):
        _check_weights(chosen.get(key, {}), patterns.get(key, []), key)
    shapes: dict[str, list[int]] = {}
    named = {module: name for name, module in net.named_modules() if name}
    runs = Counter()

    def record(name, output):
        shapes[name] = output[1:]
        runs[name] += 1

    networks.trace(net, shape, {module: partial(record, name) for module, name in named.items()})
    layers = chosen.get("activations.layers", {})
    for name in layers:
        if runs[name] != 1:
            problem = "runs more than once" if runs[name] else "gives no tensor of its own"
            raise InputError(
                f"activations.layers: module {name!r} {problem} in a forward pass, so it cannot be recorded; "
                "choose other layers, e.g. the block around it"
            )
    counts = census(net, {}, shape)
    return {
        "parameters": counts["parameters"],
        "macs": counts["macs_dense"],
        "floats": sum(prod(output) for output in shapes.values()),
        "layers": {name: list(shapes[name]) for name in layers},
    }


def _check_weights(chosen: dict[str, nn.Module], patterns: list[str], key: str) -> None:
    for pattern in patterns:
        matched = [
            name for name, module in chosen.items() if modules.matches(pattern, name, type(module).__name__)
        ]
        if not any(has_weight(chosen[name]) for name in matched):
            raise InputError(
                f"{key}: pattern {pattern!r} matches no convolution or linear layer, only {matched[0]}"
            )
