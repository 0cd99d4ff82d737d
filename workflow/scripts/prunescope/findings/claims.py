"""The questions that an experiment answers, each with a verdict from `prunescope.findings.words`.

Values are arrays with a row for each seed; as in `prunescope.findings.statistics`, they may have leading
dimensions. Verdicts have the shape of these dimensions. docs/statistics.md explains what each verdict means.
"""

import math

import numpy as np

from prunescope.findings.statistics import LEVEL, Contrast, holm, of_pairs, of_seeds
from prunescope.findings.words import ABOVE, BELOW, FAILS, FALLS, HOLDS, STAYS, UNDECIDED

# The paper's finding is that both contrasts of (first, middle, output) are positive.
SHAPE = {"first": (1.0, -1.0, 0.0), "output": (0.0, -1.0, 1.0)}


def groups(shapes: dict[str, list[int]]) -> dict[str, list[str]]:
    """Divide the recorded layers as Ansuini et al. (ICPRAM 2020) do, by their output shapes, in order.

    ``first``: the first quarter of the recorded convolutional layers (at least one), ``output``: the last
    layer, which must be fully connected, ``middle``: all layers between these. A network without such groups
    raises a ValueError, whose message is the reason.
    """
    layers = list(shapes)
    maps = [layer for layer in layers if len(shapes[layer]) == 3]
    first = maps[: math.ceil(len(maps) / 4)]
    middle = [layer for layer in layers[:-1] if layer not in first]
    if not maps:
        raise ValueError("no convolutional layer was recorded")
    if len(shapes[layers[-1]]) != 1:
        raise ValueError("the last recorded layer is not fully connected")
    if not middle:
        raise ValueError("no layer was recorded between the first and the last")
    return {"first": first, "middle": middle, "output": layers[-1:]}


def shape(values: np.ndarray, retrain: np.ndarray | None = None) -> dict[str, Contrast]:
    """Return the contrasts first - middle and output - middle of (..., n, 3), for `has_shape`.

    Those of the control that retrains without pruning are subtracted.
    """
    columns = values if retrain is None else np.concatenate([values, retrain], axis=-1)
    factors = (1.0,) if retrain is None else (1.0, -1.0)
    return {name: of_seeds(columns, np.kron(factors, weights)) for name, weights in SHAPE.items()}


def shape_of_pairs(pairs: np.ndarray) -> dict[str, Contrast]:
    """Return the same contrasts between networks of different seeds: (..., 3, n, n)."""
    return {name: of_pairs(pairs, weights) for name, weights in SHAPE.items()}


def has_shape(contrasts: dict[str, Contrast], margin: float) -> np.ndarray:
    """Test the finding of Ansuini et al.: first and output layers stay more similar than the middle.

    Both contrasts must exceed the margin (an intersection-union test, so each is tested at the full level).
    The opposite is that one of them is below the margin; either can be wrong, so each has half the level.
    """
    above = [one.above(margin) for one in contrasts.values()]
    below = [one.below(margin, LEVEL / 2) for one in contrasts.values()]
    return _word({HOLDS: np.all(above, axis=0), FAILS: np.any(below, axis=0)})


def fall(values: np.ndarray, log_density: np.ndarray, retrain: np.ndarray | None = None) -> Contrast:
    """Return the fall of a similarity over the rounds, from a line fitted for each seed: first minus last.

    Values are (..., n, rounds), from round 1 on, at least two. The line is a function of the log density; the
    fall is the slope times the range of the log density. It is positive if similarity falls while weights are
    removed. That of the control that retrains without pruning is subtracted.
    """
    centred = log_density - log_density.mean()
    weights = centred / (centred @ centred) * (log_density[0] - log_density[-1])
    if retrain is None:
        return of_seeds(values, weights)
    return of_seeds(np.concatenate([values, retrain], axis=-1), np.concatenate([weights, -weights]))


def grows_apart(middle: Contrast, margin: float) -> np.ndarray:
    """Test whether a similarity to the dense network falls by more than the margin (`fall`)."""
    return _word({HOLDS: middle.above(margin), FAILS: middle.below(margin)})


def stays_similar(middle: Contrast, margin: float) -> np.ndarray:
    """Test whether that fall is between minus and plus the margin: equivalence by two one-sided tests."""
    outside = middle.above(margin, LEVEL / 2) | middle.below(-margin, LEVEL / 2)
    return _word({HOLDS: middle.within(margin), FAILS: outside})


def layers_change(falls: list[Contrast], margin: float) -> np.ndarray:
    """Test for each layer whether it falls or stays: (..., layers), each with Holm's correction."""
    falling = holm(len(falls), lambda layer, level: falls[layer].above(margin, level))
    staying = holm(len(falls), lambda layer, level: falls[layer].within(margin, level))
    return _word({FALLS: falling, STAYS: staying})


def changes(layers: np.ndarray) -> np.ndarray:
    """Return whether pruning changes a layer, from `layers_change`; not if all layers stay similar."""
    return _word({HOLDS: np.any(layers == FALLS, axis=-1), FAILS: np.all(layers == STAYS, axis=-1)})


def against_others(values: np.ndarray, pairs: np.ndarray) -> Contrast:
    """Subtract the similarity of other seeds' networks, pairs (..., n, n), from a layer's own, (..., n)."""
    return of_pairs(pairs[..., None, :, :], [1.0, -1.0], values[..., None])


def differ(contrasts: list[Contrast]) -> np.ndarray:
    """Test whether each contrast is above or below zero: (..., contrasts).

    Holm's correction is over the contrasts and over both directions.
    """
    shown = holm(
        len(contrasts),
        lambda i, level: contrasts[i].above(0, level / 2) | contrasts[i].below(0, level / 2),
    )
    positive = np.moveaxis(np.array([one.estimate > 0 for one in contrasts], bool), 0, -1)
    return _word({ABOVE: shown & positive, BELOW: shown & ~positive})


def _word(shown: dict[str, np.ndarray]) -> np.ndarray:
    return np.select(list(shown.values()), list(shown), UNDECIDED)


def complete(matrix: np.ndarray) -> list[int]:
    """Return the indices of seeds whose pairs (n, n) are all known; those with most NaN are dropped first."""
    missing = np.isnan(matrix) & ~np.eye(len(matrix), dtype=bool)
    seeds = list(range(len(matrix)))
    while missing[np.ix_(seeds, seeds)].any():
        seeds.remove(max(seeds, key=lambda seed: missing[seed, seeds].sum()))
    return seeds
