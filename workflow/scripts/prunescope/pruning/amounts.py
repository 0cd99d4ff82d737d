"""How many weights a round removes: exact arithmetic on counts, without torch."""

import math
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


def idle_round(sizes: dict[str, int], rates: dict[str, float], pruning: dict, rounds: int) -> int | None:
    """Return the first round from which no weights are removed any more, or None.

    Parameters
    ----------
    sizes : dict of str to int
        Number of weights of each prunable parameter.
    rates : dict of str to float
        Rates of single parameters.
    pruning : dict
        ``pruning`` of an experiment.
    rounds : int
    """
    totals = sizes if pruning["scope"] == "layer" else {"": sum(sizes.values())}
    left, last = dict(totals), 0
    for round in range(1, rounds + 1):
        density = pruning["densities"][round - 1] if pruning["densities"] else None
        gone = {
            name: removed(left[name], total, rates.get(name, pruning["rate"]), density)
            for name, total in totals.items()
        }
        left = {name: left[name] - gone[name] for name in totals}
        last = round if any(gone.values()) else last
    return last + 1 if last < rounds else None
