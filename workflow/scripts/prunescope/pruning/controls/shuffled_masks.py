import torch

from prunescope.networks.masks import Masks


def shuffled_masks(masks: Masks, generator: torch.Generator) -> Masks:
    """The masks of the same round, permuted within each layer.

    The generator has the same seed in every round, so each layer has one permutation, and nested masks stay
    nested.
    """
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view(mask.shape)
        for name, mask in masks.items()
    }
