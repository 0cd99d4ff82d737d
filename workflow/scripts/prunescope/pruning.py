"""Choosing which weights stay. Exact counts, nested from round to round, the same on every machine."""

import math
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import Tensor, nn

from prunescope import modules
from prunescope.errors import InputError
from prunescope.masks import Masks, has_weight


@dataclass(frozen=True)
class PruningSettings:
    """How one round prunes: the experiment file's keys, and `density`, this round's entry of `densities`."""

    criterion: str = "magnitude"
    scope: str = "global"
    prunable: list[str] = field(default_factory=lambda: ["Conv2d", "Linear"])
    rate: float = 0.2
    rates: dict[str, float] = field(default_factory=dict)
    density: float | None = None
    retraining: str = "lr-rewind"


def prunable(network: nn.Module, patterns: list[str]) -> dict[str, nn.Parameter]:
    """Return the weights that patterns choose, by parameter name in the network's order.

    A weight can be pruned when it is a matrix or a kernel: batch norm and biases never are.

    Parameters
    ----------
    network : torch.nn.Module
    patterns : list of str
        Module names or types, see `modules.select`.

    Raises
    ------
    InputError
        When a pattern matches no module with such a weight.
    """
    chosen = modules.select(network, patterns, "pruning.prunable")
    weights = {name: module.weight for name, module in chosen.items() if has_weight(module)}
    for pattern in patterns:
        if not any(modules.matches(pattern, name, type(chosen[name]).__name__) for name in weights):
            raise InputError(
                f"pruning.prunable: pattern {pattern!r} matches no module with a prunable weight; "
                f"choose convolutions or linear layers, or everything inside a block as in {pattern + '.*'!r}"
            )
    return {f"{name}.weight": weight for name, weight in weights.items()}


def complete(masks: Masks, weights: dict[str, Tensor]) -> Masks:
    """Return the masks of all prunable weights: those of the round before, or everything kept at first.

    Raises
    ------
    InputError
        When the round before pruned other weights.
    """
    if masks and set(masks) != set(weights):
        odd = sorted(set(masks) ^ set(weights))
        raise InputError(
            f"pruning.prunable: the round before pruned other weights (differing: {', '.join(odd)})"
        )
    return {
        name: masks[name] if masks else torch.ones(weight.shape, dtype=torch.bool)
        for name, weight in weights.items()
    }


def scores(
    criterion: str, weights: dict[str, Tensor], gradients: dict[str, Tensor] | None = None, seed: int = 0
) -> dict[str, Tensor]:
    """Score every weight; the lowest go first.

    Parameters
    ----------
    criterion : {'magnitude', 'random', 'saliency'}
        |w|; uniform random numbers; |w × gradient|, the first-order change of the loss when w goes.
    weights : dict of str to Tensor
    gradients : dict of str to Tensor, optional
        Of the training loss, for `saliency`.
    seed : int, default 0
        Names the numbers of `random`.

    Returns
    -------
    dict of str to Tensor of float32
        On the CPU, shaped like the weights.
    """
    weights = {name: weight.detach().to("cpu") for name, weight in weights.items()}
    if criterion == "magnitude":
        return {name: weight.abs() for name, weight in weights.items()}
    if criterion == "saliency":
        return {name: (weight * gradients[name].to("cpu")).abs() for name, weight in weights.items()}
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}


def layer_rates(network: nn.Module, names: list[str], rates: dict[str, float]) -> dict[str, float]:
    """Resolve rates by pattern into rates by parameter name.

    Parameters
    ----------
    network : torch.nn.Module
    names : list of str
        The prunable weights.
    rates : dict of str to float
        By module pattern; the last pattern that matches a module counts.

    Returns
    -------
    dict of str to float
        Only the weights that a pattern matches.

    Raises
    ------
    InputError
        When a pattern matches no prunable module.
    """
    kinds = {f"{name}.weight": type(module).__name__ for name, module in network.named_modules()}
    resolved = {}
    for pattern, rate in rates.items():
        matched = [
            name for name in names if modules.matches(pattern, name.removesuffix(".weight"), kinds[name])
        ]
        if not matched:
            raise InputError(
                f"pruning.rates: pattern {pattern!r} matches no prunable module; "
                f"prunable: {', '.join(name.removesuffix('.weight') for name in names)}"
            )
        resolved.update(dict.fromkeys(matched, rate))
    return resolved


def prune(
    values: dict[str, Tensor], masks: Masks, settings: PruningSettings, rates: dict[str, float]
) -> Masks:
    """Remove the surviving weights of lowest score.

    With a rate, ⌊rate × survivors⌋ weights go, in the whole network (scope ``global``) or in each layer
    (``layer``); with a density, as many as leave ⌈density × all⌉. Rates are taken as the decimal numbers
    they were written as: 0.29 of 100 is 29. Of equal scores the first in the network's order go.

    Parameters
    ----------
    values : dict of str to Tensor
        Scores, from `scores`.
    masks : dict of str to Tensor of bool
        Of the round before.
    settings : PruningSettings
    rates : dict of str to float
        Single weights' own rates (scope ``layer``), from `layer_rates`.

    Returns
    -------
    dict of str to Tensor of bool
        New masks, subsets of the old ones.
    """
    if settings.scope == "global":
        if rates:
            raise InputError("pruning.rates: rates of single layers need `scope: layer`")
        return _prune_together(values, masks, _removed(masks, settings.rate, settings.density))
    pruned: Masks = {}
    for name, mask in masks.items():
        own = {name: mask}
        removed = _removed(own, rates.get(name, settings.rate), None if name in rates else settings.density)
        pruned |= _prune_together(values, own, removed)
    return pruned


def _removed(masks: Masks, rate: float, density: float | None) -> int:
    survivors = sum(int(mask.sum()) for mask in masks.values())
    if density is None:
        return math.floor(Fraction(str(rate)) * survivors)
    total = sum(mask.numel() for mask in masks.values())
    return max(0, survivors - math.ceil(Fraction(str(density)) * total))


def _prune_together(values: dict[str, Tensor], masks: Masks, count: int) -> Masks:
    """Remove the `count` lowest-scored survivors of all these weights taken together."""
    if count == 0:
        return dict(masks)
    kept = torch.cat([mask.flatten() for mask in masks.values()])
    survivors = kept.nonzero().squeeze(1)
    ranked = torch.cat([values[name].flatten() for name in masks])[survivors]
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
