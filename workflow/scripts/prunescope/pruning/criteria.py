"""Criteria: functions that score weights; the weights with the lowest scores are removed first.

A criterion asks for what it needs by the names of its parameters, see `prunescope.pruning.table.OFFERED`. It
returns scores on the CPU by parameter name, with the shapes of the weights.
"""

import torch
from torch import Tensor


def magnitude(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """|w|."""
    return {name: weight.abs() for name, weight in weights.items()}


def random(weights: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Uniform random numbers, so weights are removed at random."""
    return {name: torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}


def saliency(weights: dict[str, Tensor], gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    """|w × gradient|: the first-order change of the training loss when w is removed."""
    return {name: (weight * gradients[name]).abs() for name, weight in weights.items()}
