"""How many weights a round keeps: exact arithmetic on counts, without torch."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction


def removed(survivors: int, total: int, rate: float, density: float | None = None) -> int:
    """Return how many of the survivors, of a total of weights, a round removes.

    These are ⌊rate × survivors⌋, with the rate as a decimal number: 0.29 of 100 is 29. With a `density`, all
    but ⌈density × total⌉ weights.
    """
    if density is None:
        return math.floor(Fraction(str(rate)) * survivors)
    return max(0, survivors - math.ceil(Fraction(str(density)) * total))


def kept(
    shapes: Mapping[str, Sequence[int]],
    remaining: Mapping[str, int],
    scope: str,
    rate: float,
    rates: Mapping[str, float],
    density: float | None = None,
    times: int = 1,
) -> dict[tuple[str, ...], int]:
    """Return how many weights to keep of each group of parameters, whose weights share one threshold.

    With the scope ``global``, all parameters are one group; with ``layer``, each is one, which loses the same
    fraction as the others, or its own of `rates`; with ``erk``, the sum is distributed by `erk`. The rate
    applies several `times`: once for each round since the weights that remain were counted. A `density` is
    the fraction of all weights to keep, in place of rates.
    """
    groups = [(name,) for name in shapes] if scope == "layer" else [tuple(shapes)]
    counts = {}
    for names in groups:
        count = sum(remaining[name] for name in names)
        total = sum(math.prod(shapes[name]) for name in names)
        group_rate = rates.get(names[0], rate) if scope == "layer" else rate
        for _ in range(times):
            count -= removed(count, total, group_rate, density)
        counts[names] = count
    if scope == "erk":
        return {(name,): count for name, count in erk(shapes, remaining, *counts.values()).items()}
    return counts


def erk(shapes: Mapping[str, Sequence[int]], remaining: Mapping[str, int], count: int) -> dict[str, int]:
    """Distribute `count` weights over parameters in proportion to the sums of their dimensions.

    So the density of a parameter is proportional to the sum of its dimensions over their product, and at most
    what remains of it (Evci et al., Rigging the Lottery, ICML 2020, call this Erdős–Rényi kernel).
    """
    counts, free = {}, dict(shapes)
    while free:
        share = Fraction(count - sum(counts.values()), sum(map(sum, free.values())))
        full = {
            name: remaining[name] for name, shape in free.items() if share * sum(shape) >= remaining[name]
        }
        if not full:
            break
        counts |= full
        free = {name: shape for name, shape in free.items() if name not in full}
    exact = {name: share * sum(shape) for name, shape in free.items()}
    counts |= {name: math.floor(amount) for name, amount in exact.items()}
    # The weights that rounding leaves go to the parameters with the largest fractions.
    last = sorted(exact, key=lambda name: math.floor(exact[name]) - exact[name])
    for name in last[: count - sum(counts.values())]:
        counts[name] += 1
    return {name: counts[name] for name in shapes}


def on_the_way(
    remaining: Mapping[str, int], counts: Mapping[tuple[str, ...], int], part: float
) -> dict[tuple[str, ...], int]:
    """Return how many weights remain after a `part` of several steps that each keep the same fraction."""
    reached = {}
    for names, count in counts.items():
        start = sum(remaining[name] for name in names)
        reached[names] = round(start ** (1 - part) * count**part)
    return reached


def idle_round(
    shapes: Mapping[str, Sequence[int]], rates: Mapping[str, float], pruning: dict, rounds: int
) -> int | None:
    """Return the first round from which no weights are removed any more, or None."""
    if pruning["scope"] != "layer":
        shapes = {"": [sum(map(math.prod, shapes.values()))]}
    remaining, last = {name: math.prod(shape) for name, shape in shapes.items()}, 0
    for round in range(1, rounds + 1):
        density = pruning["densities"][round - 1] if pruning["densities"] else None
        counts = kept(shapes, remaining, "layer", pruning["rate"], rates, density)
        after = {name: count for (name,), count in counts.items()}
        last = round if after != remaining else last
        remaining = after
    return last + 1 if last < rounds else None
