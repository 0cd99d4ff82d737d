"""What can be said of a network before it is trained: modules, sizes, multiply–accumulates."""

import torch
from torch import nn

from prunescope import modules, networks
from prunescope.errors import InputError


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
    macs = 0

    def record(name):
        def hook(module, inputs, output):
            nonlocal macs
            if isinstance(output, torch.Tensor):
                shapes[name] = list(output.shape[1:])
            if isinstance(module, nn.Conv2d | nn.Linear):
                places = output[0, 0].numel() if isinstance(module, nn.Conv2d) else 1
                macs += module.weight.numel() * places

        return hook

    for name, module in net.named_modules():
        if name:
            module.register_forward_hook(record(name))
    with torch.no_grad():
        net(torch.empty(1, *shape, device="meta"))
    layers = chosen.get("activations.layers", {})
    missing = [name for name in layers if name not in shapes]
    if missing:
        raise InputError(
            f"activations.layers: module {missing[0]!r} has no output of its own; choose another"
        )
    return {
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
        "macs": macs,
        "floats": sum(torch.Size(shape).numel() for shape in shapes.values()),
        "layers": {name: shapes[name] for name in layers},
    }


def _check_weights(chosen: dict[str, nn.Module], patterns: list[str], key: str) -> None:
    for pattern in patterns:
        matched = [
            name for name, module in chosen.items() if modules.matches(pattern, name, type(module).__name__)
        ]
        if not any(isinstance(chosen[name], nn.Conv2d | nn.Linear) for name in matched):
            raise InputError(
                f"{key}: pattern {pattern!r} matches no convolution or linear layer, only {matched[0]}"
            )
