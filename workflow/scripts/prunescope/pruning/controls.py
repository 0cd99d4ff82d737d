"""Controls: what a round does to the masks of the experiment that it controls, in place of pruning.

Each is a function of the masks of the same round of that experiment and a generator, a torch.Generator on the
CPU that is seeded for the experiment's seed, the same in every round. `prunescope.plan.stages` decides what a
round starts from (`starts_from`) and how it is trained (`training_after_round0`). The table of controls is in
`prunescope.pruning.table`.
"""

import torch

from prunescope.networks.masks import Masks


def no_masks(masks: None, generator: torch.Generator) -> Masks:
    """Nothing is pruned."""
    return {}


def same_masks(masks: Masks, generator: torch.Generator) -> Masks:
    """The same weights are pruned."""
    return masks


def shuffled_masks(masks: Masks, generator: torch.Generator) -> Masks:
    """The masks, permuted within each layer.

    As the generator is the same in every round, each layer has one permutation, and nested masks stay nested.
    """
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view(mask.shape)
        for name, mask in masks.items()
    }
