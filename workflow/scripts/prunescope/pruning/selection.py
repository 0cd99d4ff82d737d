"""Choosing the weights to keep: exact counts, nested over rounds, the same on every machine."""

import torch
from torch import Tensor

from prunescope.errors import InputError
from prunescope.networks.masks import Masks


def survivors(before: Masks, weights: dict[str, Tensor], pruned: bool) -> Masks:
    """Return the masks that the prunable weights have before a round.

    A network that is not `pruned` has none, unless it was initially sparse: then those of some weights.

    Raises
    ------
    InputError
        When an earlier round pruned other weights.
    """
    masks = {name: mask for name, mask in before.items() if name in weights}
    missing = [name for name in weights if name not in masks]
    if pruned and missing:
        raise InputError(
            f"pruning.prunable: the previous round did not prune {', '.join(missing)}; prune the "
            "same weights in every round"
        )
    return {name: masks.get(name, torch.ones(w.shape, dtype=torch.bool)) for name, w in weights.items()}


def prune(scores: dict[str, Tensor], masks: Masks, counts: dict[tuple[str, ...], int]) -> Masks:
    """Remove the surviving weights with the lowest scores.

    Among equal scores, the first weights in the network's order are removed.

    Parameters
    ----------
    scores : dict of str to Tensor
        By parameter name, see `prunescope.pruning.criteria`.
    masks : dict of str to Tensor of bool
        The survivors.
    counts : dict of tuple of str to int
        How many weights to keep of each group of parameters, see `prunescope.pruning.amounts.kept`.

    Returns
    -------
    dict of str to Tensor of bool
        New masks, subsets of the old ones.
    """
    pruned: Masks = {}
    for names, count in counts.items():
        group = {name: masks[name] for name in names}
        survivors = sum(int(mask.sum()) for mask in group.values())
        pruned |= _prune_together(scores, group, survivors - count)
    return pruned


def _prune_together(scores: dict[str, Tensor], masks: Masks, count: int) -> Masks:
    """Remove the `count` lowest-scored survivors of all these weights taken together."""
    if count <= 0:
        return dict(masks)
    kept = torch.cat([mask.flatten() for mask in masks.values()])
    survivors = kept.nonzero().squeeze(1)
    ranked = torch.cat([scores[name].flatten() for name in masks])[survivors]
    threshold = ranked.kthvalue(count).values
    below = ranked < threshold
    ties = (ranked == threshold).nonzero().squeeze(1)[: count - int(below.sum())]
    below[ties] = True
    kept = kept.clone()
    kept[survivors[below]] = False
    parts = kept.split([mask.numel() for mask in masks.values()])
    return {
        name: part.view(mask.shape).clone() for (name, mask), part in zip(masks.items(), parts, strict=True)
    }
