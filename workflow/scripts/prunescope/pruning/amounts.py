"""How many weights a round keeps: exact arithmetic on counts, without torch."""

import math
from collections.abc import Mapping
from fractions import Fraction


def removed(survivors: int, total: int, rate: float, density: float | None = None) -> int:
    """Return how many of the survivors a round removes.

    Parameters
    ----------
    survivors, total : int
        Number of remaining weights, and of all weights.
    rate : float
        Fraction of the survivors to remove: ⌊rate × survivors⌋ weights are removed. It is treated as a
        decimal number: 0.29 of 100 is 29.
    density : float, optional
        In place of `rate`, the fraction of all weights to keep: ⌈density × total⌉ weights.
    """
    if density is None:
        return math.floor(Fraction(str(rate)) * survivors)
    return max(0, survivors - math.ceil(Fraction(str(density)) * total))


def kept(
    totals: Mapping[str, int],
    left: Mapping[str, int],
    scope: str,
    rate: float,
    rates: Mapping[str, float],
    density: float | None = None,
    times: int = 1,
) -> dict[tuple[str, ...], int]:
    """Return how many weights to keep of each group of parameters, whose weights share one threshold.

    Parameters
    ----------
    totals, left : dict of str to int
        Number of weights of each prunable parameter, and of those that remain.
    scope : {'global', 'layer'}
        Whether all parameters are one group.
    rate : float
        Fraction of the remaining weights to remove.
    rates : dict of str to float
        Rates of single parameters, for ``layer``.
    density : float, optional
        Fraction of all weights to keep, in place of `rate`.
    times : int, default 1
        How often the rate applies: once for each round since `left` was counted.
    """
    groups = [tuple(totals)] if scope == "global" else [(name,) for name in totals]
    found = {}
    for names in groups:
        count, total = (sum(sizes[name] for name in names) for sizes in (left, totals))
        own = rates.get(names[0]) if scope == "layer" else None
        for _ in range(times):
            count -= removed(count, total, own or rate, None if own else density)
        found[names] = count
    return found


def idle_round(totals: dict[str, int], rates: dict[str, float], pruning: dict, rounds: int) -> int | None:
    """Return the first round from which no weights are removed any more, or None.

    Parameters
    ----------
    totals : dict of str to int
        Number of weights of each prunable parameter.
    rates : dict of str to float
        Rates of single parameters.
    pruning : dict
        ``pruning`` of an experiment.
    rounds : int
    """
    if pruning["scope"] == "global":
        totals = {"": sum(totals.values())}
    left, last = dict(totals), 0
    for round in range(1, rounds + 1):
        density = pruning["densities"][round - 1] if pruning["densities"] else None
        counts = kept(totals, left, pruning["scope"], pruning["rate"], rates, density)
        after = {name: count for (name,), count in counts.items()}
        last = round if after != left else last
        left = after
    return last + 1 if last < rounds else None
