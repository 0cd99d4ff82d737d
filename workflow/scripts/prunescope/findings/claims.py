"""The questions that an experiment answers, each with a verdict from `prunescope.findings.words`.

All of them use one measure, chosen before the run. Values are tables with a row for each seed; NaN marks a
value that cannot be trusted or does not exist. docs/statistics.md explains what each verdict means.
"""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from prunescope.findings.statistics import FEWEST_SEEDS, LEVEL, Contrast, holm, of_pairs, of_seeds, spread
from prunescope.findings.words import (
    ABOVE,
    BELOW,
    FAILS,
    HOLDS,
    NO_DIFFERENCE,
    NOT_APPLICABLE,
    TOO_FEW_SEEDS,
    UNDECIDED,
)

# The paper's finding is that both contrasts of (first, middle, output) are positive.
SHAPE = {"first": (1.0, -1.0, 0.0), "output": (0.0, -1.0, 1.0)}


def not_applicable(reason: str) -> dict:
    """Return the answer to a question that does not apply."""
    return {"verdict": NOT_APPLICABLE, "reason": reason}


def groups(shapes: dict[str, list[int]]) -> dict[str, list[str]]:
    """Divide the recorded layers as Ansuini et al. (ICPRAM 2020) do.

    Parameters
    ----------
    shapes : dict of str to list of int
        Output shapes in the order of the network.

    Returns
    -------
    dict of str to list of str
        ``first``: the first quarter of the recorded convolutional layers (at least one), ``output``: the last
        layer, which must be fully connected, ``middle``: all layers between these.

    Raises
    ------
    ValueError
        When the network has no such groups; the message is the reason.
    """
    layers = list(shapes)
    maps = [layer for layer in layers if len(shapes[layer]) == 3]
    first = maps[: math.ceil(len(maps) / 4)]
    middle = [layer for layer in layers[:-1] if layer not in first]
    if not maps:
        raise ValueError("no convolutional layer was recorded")
    if len(shapes[layers[-1]]) == 3:
        raise ValueError("the last recorded layer is not fully connected")
    if not middle:
        raise ValueError("no layer was recorded between the first and the last")
    return {"first": first, "middle": middle, "output": layers[-1:]}


def group_means(values: pd.DataFrame, members: dict[str, list[str]]) -> pd.DataFrame:
    """Average the layers of each group: seeds × groups.

    A seed in which one of the layers has no value is left out: its mean would be over fewer layers.

    Parameters
    ----------
    values : pandas.DataFrame
        Seeds × layers.
    members : dict of str to list of str
        From `groups`.
    """
    means = {name: values[layers].mean(axis=1, skipna=False) for name, layers in members.items()}
    return pd.DataFrame(means).dropna()


def finding(values: pd.DataFrame, margin: float, retrain: pd.DataFrame | None = None) -> dict:
    """Test the finding of Ansuini et al.: first and output layers stay more similar than the middle.

    Both contrasts, first - middle and output - middle, must exceed the margin (an intersection-union test, so
    each is tested at the full level). The opposite is that one of them is below the margin.

    Parameters
    ----------
    values : pandas.DataFrame
        Seeds × (first, middle, output): similarity of the last round to the dense network.
    margin : float
    retrain : pandas.DataFrame, optional
        The same for the control that retrains without pruning. Both contrasts must then exceed the control's
        by the margin. Only seeds that both have are used.
    """
    if retrain is None:
        return _shape(of_seeds(values.to_numpy()), (1.0,), margin)
    return _shape(of_seeds(_side_by_side(values, retrain)), (1.0, -1.0), margin)


def untrained(pairs: dict[str, pd.DataFrame], members: dict[str, list[str]], margin: float) -> dict:
    """Test whether untrained networks of different seeds show the shape of the finding.

    Parameters
    ----------
    pairs : dict of str to pandas.DataFrame
        Seeds × seeds for each layer, see `prunescope.findings.slices.by_pair`.
    members : dict of str to list of str
        From `groups`.
    margin : float
    """
    means = {name: sum(pairs[layer] for layer in layers) / len(layers) for name, layers in members.items()}
    matrices = np.stack([table.to_numpy() for table in means.values()])
    places = complete(matrices.sum(axis=0))
    if len(places) < FEWEST_SEEDS:
        return {"verdict": TOO_FEW_SEEDS}
    return _shape(of_pairs(matrices[:, places][:, :, places]), (1.0,), margin, flips=False)


def _shape(columns: np.ndarray, factors: tuple[float, ...], margin: float, flips: bool = True) -> dict:
    """Judge the two contrasts; `factors` are those of the experiment and of its control, side by side."""
    contrasts = {name: Contrast(columns, np.kron(factors, weights), flips) for name, weights in SHAPE.items()}
    return _judge(
        contrasts,
        margin,
        lambda: all(one.above(margin) for one in contrasts.values()),
        # Either contrast can give a wrong verdict, so each is tested at half the level.
        lambda: any(one.below(margin, LEVEL / 2) for one in contrasts.values()),
    )


def _judge(
    contrasts: dict[str, Contrast], margin: float, holds: Callable[[], bool], fails: Callable[[], bool]
) -> dict:
    if min(one.count for one in contrasts.values()) < FEWEST_SEEDS:
        return {"verdict": TOO_FEW_SEEDS}
    verdict = HOLDS if holds() else FAILS if fails() else UNDECIDED
    return {
        "verdict": verdict,
        "contrasts": {name: one.summary(margin) for name, one in contrasts.items()},
    }


def fall(values: pd.DataFrame, log_density: pd.Series, retrain: pd.DataFrame | None = None) -> Contrast:
    """Return the fall of a similarity over the rounds, from a line fitted for each seed: first minus last.

    The line is a function of the log density; the fall is the slope times the range of the log density. It is
    positive if similarity falls while weights are removed.

    Parameters
    ----------
    values : pandas.DataFrame
        Seeds × rounds from 1 on, at least two. Seeds with a missing value are left out.
    log_density : pandas.Series
        By round.
    retrain : pandas.DataFrame, optional
        The same for the control that retrains without pruning; its fall at the same rounds is subtracted.
    """
    x = log_density.loc[values.columns].to_numpy()
    centred = x - x.mean()
    weights = centred / (centred @ centred) * (x[0] - x[-1])
    if retrain is None:
        return Contrast(of_seeds(values.dropna().to_numpy()), weights)
    both = _side_by_side(values, retrain[values.columns])
    return Contrast(of_seeds(both), np.concatenate([weights, -weights]))


def _side_by_side(values: pd.DataFrame, control: pd.DataFrame) -> np.ndarray:
    """Put the values next to the control's, for seeds with all values in both."""
    return pd.concat([values, control], axis=1, join="inner").dropna().to_numpy()


def grows_apart(middle: Contrast, margin: float) -> dict:
    """Test whether the middle's similarity to the dense network falls by more than the margin (`fall`)."""
    return _judge({"fall": middle}, margin, lambda: middle.above(margin), lambda: middle.below(margin))


def stays_similar(middle: Contrast, margin: float) -> dict:
    """Test whether that fall is between minus and plus the margin: equivalence by two one-sided tests."""
    return _judge(
        {"fall": middle},
        margin,
        lambda: middle.within(margin),
        lambda: middle.above(margin, LEVEL / 2) or middle.below(-margin, LEVEL / 2),
    )


def layers_that_stay(falls: dict[str, Contrast], margin: float) -> dict[str, str]:
    """Test the same for single layers, with Holm's correction over the layers: verdict by layer."""
    shown = holm(falls, lambda layer, level: falls[layer].within(margin, level))
    return {
        layer: TOO_FEW_SEEDS if one.count < FEWEST_SEEDS else HOLDS if layer in shown else UNDECIDED
        for layer, one in falls.items()
    }


def against_ceiling(values: pd.DataFrame, pairs: dict[str, pd.DataFrame]) -> dict[str, dict]:
    """Compare each layer's similarity to its dense network with that between dense networks of other seeds.

    The delete-one-seed jackknife takes into account that pairs share seeds. Holm's correction is over the
    layers and over both directions of a difference.

    Parameters
    ----------
    values : pandas.DataFrame
        Seeds × layers, in the last round.
    pairs : dict of str to pandas.DataFrame
        Seeds × seeds for each layer.

    Returns
    -------
    dict of str to dict
        By layer: ``verdict`` (above, below or no detectable difference), ``contrast`` and ``seeds``, the
        seeds with all values.
    """
    seeds, contrasts = {}, {}
    for layer, table in pairs.items():
        own, matrix = values[layer].reindex(table.index).to_numpy(), table.to_numpy()
        # Pairs with a seed that has no value itself are not used.
        places = [
            place for place in complete(matrix + 0 * np.add.outer(own, own)) if own[place] == own[place]
        ]
        seeds[layer] = [int(table.index[place]) for place in places]
        if len(places) >= FEWEST_SEEDS:
            columns = [of_seeds(own[places][:, None]), of_pairs(matrix[np.ix_(places, places)][None])]
            contrasts[layer] = Contrast(np.concatenate(columns, axis=2), np.array([1.0, -1.0]), flips=False)
    above = holm_two_sided(contrasts)
    return {
        layer: {"verdict": above[layer], "contrast": contrasts[layer].summary(), "seeds": seeds[layer]}
        if layer in contrasts
        else {"verdict": TOO_FEW_SEEDS, "seeds": seeds[layer]}
        for layer in pairs
    }


def holm_two_sided(contrasts: dict[str, Contrast]) -> dict[str, str]:
    """Decide whether each contrast is above or below zero, with a family-wise error rate."""
    shown = holm(
        contrasts,
        lambda name, level: contrasts[name].above(0, level / 2) or contrasts[name].below(0, level / 2),
    )
    return {
        name: NO_DIFFERENCE if name not in shown else ABOVE if one.differences.mean() > 0 else BELOW
        for name, one in contrasts.items()
    }


def complete(matrix: np.ndarray) -> list[int]:
    """Return the indices of seeds whose pairs all have values; leave out those with most missing first.

    Parameters
    ----------
    matrix : array of float, shape (n, n)
        NaN where a pair has no value; the diagonal is ignored.
    """
    missing = np.isnan(matrix) & ~np.eye(len(matrix), dtype=bool)
    left = list(range(len(matrix)))
    while missing[np.ix_(left, left)].any():
        left.remove(max(left, key=lambda place: missing[place, left].sum()))
    return left


def accuracy(table: pd.DataFrame, last: int) -> dict:
    """Compare the test accuracy of the last round with that of the dense network, seed by seed.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns seed, round, test_accuracy.
    last : int
        The last round.

    Returns
    -------
    dict
        ``verdict``: above, below or no detectable difference; ``dense``, ``last``: spreads over the seeds
        in which both were measured, None if there are none; ``change``.
    """
    rounds = table.pivot(index="seed", columns="round", values="test_accuracy")
    # Lineages of networks that were trained elsewhere can be shorter.
    both = rounds[[last, 0]].dropna()
    change = Contrast(of_seeds(both.to_numpy()), np.array([1.0, -1.0]))
    enough = change.count >= FEWEST_SEEDS
    return {
        "verdict": holm_two_sided({"change": change})["change"] if enough else TOO_FEW_SEEDS,
        "dense": spread(both[0]),
        "last": spread(both[last]),
        "change": change.summary() if enough else None,
    }
