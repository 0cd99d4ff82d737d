"""Masks: the weights that remain after pruning. `pruning` computes them."""

import torch
from torch import Tensor, nn

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


@torch.no_grad()
def apply_masks(network: nn.Module, masks: Masks) -> None:
    """Set the pruned weights of a network to exactly zero."""
    parameters = dict(network.named_parameters())
    for name, mask in masks.items():
        parameters[name].masked_fill_(~mask.to(parameters[name].device), 0.0)
