"""Choosing the weights to keep: exact counts, nested over rounds, the same on every machine."""

import torch
from torch import Tensor

from prunescope.checkpoints import Checkpoint
from prunescope.errors import InputError
from prunescope.networks.masks import Masks
from prunescope.pruning.amounts import removed


def survivors(previous: Checkpoint, weights: dict[str, Tensor]) -> Masks:
    """Return the masks of the prunable weights after the previous round.

    The dense network has none, unless it was initially sparse: then those of some weights.

    Raises
    ------
    InputError
        When the previous round pruned other weights.
    """
    masks = {name: mask for name, mask in previous.masks.items() if name in weights}
    missing = [name for name in weights if name not in masks]
    if previous.round and missing:
        raise InputError(
            f"pruning.prunable: the previous round did not prune {', '.join(missing)}; prune the "
            "same weights in every round"
        )
    return {name: masks.get(name, torch.ones(w.shape, dtype=torch.bool)) for name, w in weights.items()}


def prune(
    scores: dict[str, Tensor],
    masks: Masks,
    scope: str,
    rate: float,
    rates: dict[str, float],
    density: float | None = None,
) -> Masks:
    """Remove the surviving weights with the lowest scores, in the whole network or in each layer.

    `prunescope.pruning.amounts.removed` determines their number. Among equal scores, the first weights in the
    network's order are removed.

    Parameters
    ----------
    scores : dict of str to Tensor
        By parameter name, see `prunescope.pruning.criteria`.
    masks : dict of str to Tensor of bool
        Masks of the previous round.
    scope : {'global', 'layer'}
    rate : float
        Fraction of the survivors to remove.
    rates : dict of str to float
        Rates of single weights (scope ``layer``), see `prunescope.networks.modules.layer_rates`.
    density : float, optional
        Fraction of all these weights to keep, in place of `rate`.

    Returns
    -------
    dict of str to Tensor of bool
        New masks, subsets of the old ones.
    """
    if scope == "global":
        if rates:
            raise InputError("pruning.rates: separate rates for layers need pruning.scope: layer")
        return _prune_together(scores, masks, _count(masks, rate, density))
    pruned: Masks = {}
    for name, mask in masks.items():
        own = {name: mask}
        count = _count(own, rates.get(name, rate), None if name in rates else density)
        pruned |= _prune_together(scores, own, count)
    return pruned


def _count(masks: Masks, rate: float, density: float | None) -> int:
    survivors = sum(int(mask.sum()) for mask in masks.values())
    return removed(survivors, sum(mask.numel() for mask in masks.values()), rate, density)


def _prune_together(scores: dict[str, Tensor], masks: Masks, count: int) -> Masks:
    """Remove the `count` lowest-scored survivors of all these weights taken together."""
    if count == 0:
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
