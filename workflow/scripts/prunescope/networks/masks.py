"""Masks: the weights that remain after pruning, and how many weights, channels and operations these are."""

import copy
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from prunescope.networks import modules
from prunescope.networks.build import trace

# By parameter name; True means kept.
Masks = dict[str, Tensor]


def density(masks: Masks) -> float:
    """Fraction of the prunable weights that remains; 1 if there are no masks."""
    kept, total = counts(masks)
    return kept / total if total else 1.0


def counts(masks: Masks) -> tuple[int, int]:
    """Return how many of the prunable weights remain, and how many there are.

    Biases and batch norms are not among them: they are pruned only with whole channels.
    """
    weights = [mask for mask in masks.values() if mask.ndim > 1]
    return sum(int(mask.sum()) for mask in weights), sum(mask.numel() for mask in weights)


def complete(masks: Masks, weights: Mapping[str, Tensor]) -> Masks:
    """Return the masks of these weights, all true where there is none."""
    return {
        name: masks.get(name, torch.ones(weight.shape, dtype=torch.bool)) for name, weight in weights.items()
    }


@torch.no_grad()
def apply_masks(network: nn.Module, masks: Masks) -> None:
    """Set the pruned weights of a network to exactly zero."""
    parameters = dict(network.named_parameters())
    for name, mask in masks.items():
        parameters[name].masked_fill_(~mask.to(parameters[name].device), 0.0)


def census(network: nn.Module, masks: Masks, shape: Sequence[int]) -> dict:
    """Count weights, dead channels and operations, in all and in ``layers``.

    ``macs`` are multiply–accumulate operations for one image; effective ones count only the remaining
    weights. What is ``alive`` would remain of a dense network without its dead channels: outputs with no
    weight left. A weight that several modules share belongs to the first one, with the operations of all.
    """
    layers = _layers(network, masks, shape)
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


def _layers(network: nn.Module, masks: Masks, shape: Sequence[int]) -> list[dict]:
    """Return the entries of `census` for the modules with prunable weights of their own."""
    uses, layers = _uses(network, shape), []
    for layer, weights in modules.weighted(network).items():
        kept = complete(masks, weights)
        rows = [modules.by_output(network.get_submodule(layer), mask) for mask in kept.values()]
        total = sum(mask.numel() for mask in kept.values())
        remaining = sum(int(mask.sum()) for mask in kept.values())
        layers.append(
            {
                "name": layer,
                "total": total,
                "kept": remaining,
                "density": remaining / total,
                "channels": sum(len(mask) for mask in rows),
                "dead_channels": sum(int((~mask.any(1)).sum()) for mask in rows),
                "macs_dense": sum(mask.numel() * uses[name] for name, mask in kept.items()),
                "macs_effective": sum(int(mask.sum()) * uses[name] for name, mask in kept.items()),
            }
        )
    return layers


def _uses(network: nn.Module, shape: Sequence[int]) -> Counter[str]:
    """Return how often each prunable weight is used for one image, by its first name."""
    weights_of = {
        layer: weights for layer, module in network.named_modules() if (weights := modules.weights_of(module))
    }
    positions = dict.fromkeys(weights_of, 0)

    def count(layer: str, output) -> None:
        # Multi-head attention also returns its attention weights.
        output = output[0] if isinstance(output, tuple) else output
        shape = getattr(output, "shape", ())
        # A linear layer works on the last dimension, a convolution on the second.
        matrix = next(iter(weights_of[layer].values())).ndim == 2
        positions[layer] += math.prod(shape[1:-1] if matrix else shape[2:])

    trace(network, shape, {network.get_submodule(layer): partial(count, layer) for layer in weights_of})
    first, uses = modules.first_names(network), Counter()
    for layer, weights in weights_of.items():
        # Multi-head attention reads the weight of its output projection without running that module.
        positions[layer] = positions[layer] or positions.get(layer.rpartition(".")[0], 0)
        for name in weights:
            uses[first[f"{layer}.{name}" if layer else name]] += positions[layer]
    return uses


def unpruned(network: nn.Module, masks: Masks) -> dict[str, dict]:
    """Sum up the parameters that are never pruned, by e.g. ``BatchNorm2d.weight``, largest first.

    The result is empty when nothing is pruned.
    """
    total = sum(parameter.numel() for parameter in network.parameters())
    sizes, counted = Counter(), {id(network.get_parameter(name)) for name in masks}
    for _, module in network.named_modules() if masks else ():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in counted:
                counted.add(id(parameter))
                sizes[f"{type(module).__name__}.{name}"] += parameter.numel()
    return {name: {"parameters": size, "share": size / total} for name, size in sizes.most_common()}


@torch.no_grad()
def cost_of_dead_channels(network: nn.Module, masks: Masks, shape: Sequence[int]) -> dict[str, int]:
    """Count the ``parameters`` and ``macs`` that a network would not have without its dead channels.

    These are also the weights of later layers that are multiplied with them, entries of batch norms, and
    channels that have no other input; of linear layers and convolutions.
    """
    removed, macs, counted = 0, 0, set()

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        nonlocal removed, macs
        axis = 1 if isinstance(module, _ConvNd | _BatchNorm) else -1
        alive_in, alive_out = _alive(inputs[0], axis), _alive(output, axis)
        vectors = [value for value in module.parameters(recurse=False) if value.ndim == 1]
        alive = len(vectors) * int(alive_out.sum())
        if isinstance(module, _BatchNorm):
            total = len(vectors) * len(alive_out)
        else:
            groups = getattr(module, "groups", 1)
            pairs = alive_in.view(groups, -1).sum(1) * alive_out.view(groups, -1).sum(1)
            weights = int(pairs.sum()) * math.prod(module.weight.shape[2:])
            uses = output.numel() // len(alive_out)
            macs += (module.weight.numel() - weights) * uses
            alive += weights
            total = module.weight.numel() + sum(value.numel() for value in vectors)
        if module not in counted:
            removed += total - alive
            counted.add(module)
        # In deep networks, means over ever fewer ones would vanish.
        return (output != 0).to(output.dtype)

    alike = _of_ones(network, masks)
    for module in alike.modules():
        if isinstance(module, nn.Linear | _ConvNd | _BatchNorm) and not isinstance(module, _ConvTransposeNd):
            module.register_forward_hook(count)
        elif "Norm" in type(module).__name__:
            # It would subtract a mean, and what is positive would not stay so.
            module.register_forward_hook(lambda _, inputs, __: inputs[0])
    device = next(alike.parameters()).device
    alike(torch.ones(1, *shape, device=device))
    return {"parameters": removed, "macs": macs}


def _alive(values: Tensor, axis: int) -> Tensor:
    """Return which channels have a number other than zero."""
    return (values != 0).movedim(axis, 0).flatten(1).any(1)


def _of_ones(network: nn.Module, masks: Masks) -> nn.Module:
    """Return a copy of a network whose outputs are positive where weights lead, and 0 elsewhere.

    Each output of a layer is the mean of the inputs that it has a weight left for.
    """
    alike = copy.deepcopy(network).eval()
    values = dict([*alike.named_parameters(), *alike.named_buffers()])
    values = {name: value for name, value in values.items() if value.is_floating_point()}
    for name, mask in complete(masks, values).items():
        value, kept = values[name], mask.to(values[name].device)
        if name.rpartition(".")[2] in ("bias", "running_mean"):
            value.data.zero_()
        elif value.ndim > 1:
            value.data.copy_(kept / kept.flatten(1).sum(1).clamp(min=1).view(-1, *[1] * (value.ndim - 1)))
        else:
            value.data.copy_(kept)
    return alike
