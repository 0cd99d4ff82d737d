import torch
from torch import Tensor


def random(weights: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Uniform random numbers, so weights are removed at random."""
    return {name: torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}
