"""Masks: what pruning has left of a network. How they are chosen is `pruning`'s business."""

import math

import torch
from torch import Tensor, nn

from prunescope import networks

Masks = dict[str, Tensor]


def has_weight(module: nn.Module) -> bool:
    """Tell whether a module has a weight that can be pruned: a matrix or a kernel."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim >= 2


def density(masks: Masks) -> float:
    """Fraction of the prunable weights that is left; 1 when there are no masks."""
    total = sum(mask.numel() for mask in masks.values())
    return sum(int(mask.sum()) for mask in masks.values()) / total if total else 1.0


@torch.no_grad()
def apply_masks(network: nn.Module, masks: Masks) -> None:
    """Set the pruned weights of a network to exactly zero."""
    parameters = dict(network.named_parameters())
    for name, mask in masks.items():
        parameters[name].masked_fill_(~mask.to(parameters[name].device), 0.0)


def census(network: nn.Module, masks: Masks, shape: networks.Shape) -> dict:
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
    weighted = {name: module for name, module in network.named_modules() if has_weight(module)}
    positions = dict.fromkeys(weighted, 0)

    def count(name, module):
        def hook(output_shape):
            # A linear layer works on the last dimension, a convolution on the second.
            positions[name] += math.prod(output_shape[1:-1] if module.weight.ndim == 2 else output_shape[2:])

        return hook

    networks.trace(network, shape, {module: count(name, module) for name, module in weighted.items()})
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
