"""Choosing the weights or channels to keep: exact counts, nested over rounds, the same on every machine."""

import torch
from torch import Tensor

from prunescope.networks.masks import Masks


def prune(scores: dict[str, Tensor], masks: Masks, counts: dict[tuple[str, ...], int]) -> Masks:
    """Remove the surviving weights with the lowest scores, until each group has its count of weights.

    Among equal scores, the first weights in the network's order are removed. For the counts, see
    `prunescope.pruning.amounts.kept`.
    """
    after: Masks = {}
    for names, count in counts.items():
        group = {name: masks[name] for name in names}
        remaining = sum(int(mask.sum()) for mask in group.values())
        after |= _prune_together(scores, group, remaining - count)
    return after


def _prune_together(scores: dict[str, Tensor], masks: Masks, count: int) -> Masks:
    """Remove the `count` lowest-scored survivors of all these weights taken together."""
    if count <= 0:
        return dict(masks)
    kept = torch.cat([mask.flatten() for mask in masks.values()])
    remaining = kept.nonzero().squeeze(1)
    ranked = torch.cat([scores[name].flatten() for name in masks])[remaining]
    threshold = ranked.kthvalue(count).values
    below = ranked < threshold
    ties = (ranked == threshold).nonzero().squeeze(1)[: count - int(below.sum())]
    below[ties] = True
    kept = kept.clone()
    kept[remaining[below]] = False
    parts = kept.split([mask.numel() for mask in masks.values()])
    return {
        name: part.view(mask.shape).clone() for (name, mask), part in zip(masks.items(), parts, strict=True)
    }


def channel_scores(scores: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the score of each output channel: the Euclidean norm of the scores of its weights."""
    return {name: score.flatten(1).norm(dim=1) for name, score in scores.items()}


def channels_of(masks: Masks) -> Masks:
    """Return which output channels have a weight left."""
    return {name: mask.flatten(1).any(1) for name, mask in masks.items() if mask.ndim > 1}


def masks_of_channels(channels: Masks, companions: dict[str, list[str]], masks: Masks) -> Masks:
    """Return masks that keep whole channels, by the name of their weight, and their companions.

    What the `masks` of the weights remove stays removed. For the `companions`, see
    `prunescope.networks.channels.companions`.
    """
    whole = {}
    for name, kept in channels.items():
        whole[name] = masks[name] & kept.view(-1, *[1] * (masks[name].ndim - 1))
        whole |= {other: kept.clone() for other in companions[name]}
    return whole
