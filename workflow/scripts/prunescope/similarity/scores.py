"""The measures of a pair of representations, as scores: values, chance levels, intervals and statuses."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import special

from prunescope.similarity import chance, classes
from prunescope.similarity.chance import SHARED
from prunescope.similarity.images import FOLDS
from prunescope.similarity.measures import Measure
from prunescope.similarity.pairs import Pair
from prunescope.similarity.statuses import (
    CHANCE,
    GIVEN,
    ILL,
    LEVERAGE,
    NOT_UNIQUE,
    OTHER_POSITIONS,
    SILENT,
    UNDEFINED,
    gravest,
)

# Numbers that each order of a pair has.
OF_ONE_ORDER = ("value", "chance", "chance_high", "chance_classes")
# Correlations closer to each other than this are equal within rounding. A value is not unique if the choice
# of their directions changes it by more than `MOVED`.
EQUAL, MOVED = 1e-10, 1e-6


@dataclass(frozen=True, kw_only=True)
class Score:
    """One measure of one pair (a, b). Numbers are NaN where they are not known.

    Attributes
    ----------
    measure : str
        Its name.
    status : str
        One of `statuses.STATUSES`.
    rank_a, rank_b : int
        Directions used: independent units or principal components, see `Pair.ranks`.
    value, reverse_value : float
        Value of (a, b) and of (b, a), which differ only if the measure is not symmetric. NaN if a number
        would be misleading.
    chance, reverse_chance : float
        Expected value of (a, b) and of (b, a) when images are permuted.
    chance_high, reverse_chance_high : float
        95 % quantiles of these values.
    chance_classes, reverse_chance_classes : float
        Values for other images of the same classes.
    low, high : float
        95 % interval of `value`, if requested and known to be valid. The same for both orders.
    spectrum : ndarray or None
        The canonical correlations, descending, for measures with `Measure.spectrum`.
    """

    measure: str
    status: str
    rank_a: int = 0
    rank_b: int = 0
    value: float = np.nan
    reverse_value: float = np.nan
    chance: float = np.nan
    reverse_chance: float = np.nan
    chance_high: float = np.nan
    reverse_chance_high: float = np.nan
    chance_classes: float = np.nan
    reverse_chance_classes: float = np.nan
    low: float = np.nan
    high: float = np.nan
    spectrum: np.ndarray | None = field(default=None, repr=False)

    def swapped(self) -> "Score":
        """Return the score of (b, a)."""
        swapped = {"rank_a": self.rank_b, "rank_b": self.rank_a}
        for name in OF_ONE_ORDER:
            swapped |= {name: getattr(self, f"reverse_{name}"), f"reverse_{name}": getattr(self, name)}
        return replace(self, **swapped)


def compare(pair: Pair, measures: Sequence[Measure]) -> list[Score]:
    """Compute measures of one pair.

    Parameters
    ----------
    pair : Pair
    measures : sequence of Measure

    Returns
    -------
    list of Score
        In the order of `measures`.
    """
    # Wider layers have samples of fewer images.
    count = min(pair.a.sample_size, pair.b.sample_size)
    sides = {name: getattr(pair, name).with_sample_of(count) for name in "ab"}
    pair = replace(pair, **sides, directions=any(measure.directions for measure in measures))
    scores = _with_chance(pair, measures, [_score(pair, measure) for measure in measures])
    if pair.replica is None or pair.a.moments.images < 2 * FOLDS:
        return scores
    return _with_intervals(pair, measures, scores)


def not_comparable(measure: Measure) -> Score:
    """Return the score of layers whose rows are different positions of the images."""
    return Score(measure=measure.name, status=OTHER_POSITIONS)


def _score(pair: Pair, measure: Measure) -> Score:
    ranks = pair.ranks(measure.basis)
    status = _status(pair, measure, ranks)
    value = float(measure.function(pair)) if status in GIVEN else np.nan
    common = {"measure": measure.name, "rank_a": ranks[0], "rank_b": ranks[1]}
    if np.isnan(value):
        return Score(**common, status=UNDEFINED if status in GIVEN else status)
    return Score(
        **common,
        status=status,
        value=value,
        reverse_value=value if measure.symmetric else measure.value(pair, back=True),
        spectrum=pair.correlations if measure.spectrum else None,
    )


def _with_chance(pair: Pair, measures: Sequence[Measure], scores: list[Score]) -> list[Score]:
    """Add chance levels to scores that have a value."""
    given = [measure for measure, score in zip(measures, scores, strict=True) if score.status in GIVEN]
    permuted, of_classes = chance.levels(pair, given), classes.levels(pair, given)
    completed = []
    for score in scores:
        levels: dict[str, float | str] = {}
        if score.measure in permuted:
            # For a symmetric measure, there is one for both orders.
            (mean, high), *_, (back, back_high) = permuted[score.measure] * 2
            levels |= {"chance": mean, "chance_high": high}
            levels |= {"reverse_chance": back, "reverse_chance_high": back_high}
            if np.isnan([mean, back]).any():
                levels["status"] = gravest([score.status, CHANCE])
        if score.measure in of_classes:
            there, *_, back = of_classes[score.measure] * 2
            levels |= {"chance_classes": there, "reverse_chance_classes": back}
        completed.append(replace(score, **levels))
    return completed


def _with_intervals(pair: Pair, measures: Sequence[Measure], scores: list[Score]) -> list[Score]:
    """Add intervals to the scores of measures whose intervals are valid for this pair."""
    bounded = [
        number
        for number, (score, measure) in enumerate(zip(scores, measures, strict=True))
        if score.status in GIVEN
        and measure.intervals
        and not (pair.ill if measure.basis == "units" else pair.leveraged)
    ]
    values_without: dict[int, list[float]] = {number: [] for number in bounded}
    for fold in range(FOLDS) if bounded else ():
        without = replace(pair.replica(fold), aligned=pair.aligned, whole=pair)
        for number, values in values_without.items():
            values.append(float(measures[number].function(without)))
    scores = list(scores)
    for number, values in values_without.items():
        measure, score = measures[number], scores[number]
        shared = SHARED if measure.halves else 0.0
        low, high = jackknife(score.value, np.array(values), shared, measure.least)
        scores[number] = replace(score, low=low, high=high)
    return scores


def jackknife(
    value: float, without: np.ndarray, shared: float = 0.0, least: float = -1.0
) -> tuple[float, float]:
    """Return a 95 % interval for the expected value of a similarity over samples of as many images.

    Student's t interval for Fisher's z = artanh(value), from the values that leave out one fold of images at
    a time. If few of these differ much, there are as few degrees of freedom. It does not leave [least, 1].

    Parameters
    ----------
    value : float
        Value for all images.
    without : ndarray, shape (folds,)
        Values without each fold.
    shared : float, default 0
        Correlation, at value 0, of the two estimates whose mean is the value; the jackknife treats them as
        independent.
    least : float, default -1
        The smallest value of the measure.

    Returns
    -------
    low, high : float
        Both equal the value if it is 1 for any images; NaN if a value without a fold is NaN.
    """
    nearly = 1 - 1e-12
    if min(value, without.min()) >= nearly:
        return value, value
    z = np.arctanh(np.clip([value, *without], -nearly, nearly))
    folds = without.size
    squares = np.square(z[1:] - z[1:].mean())
    error = np.sqrt((folds - 1) / folds * np.sum(squares))
    # Satterthwaite's: as many as there are squares, if all are equal.
    freedom = np.clip(np.sum(squares) ** 2 / np.sum(squares**2), 1, folds - 1) if error else folds - 1
    half = special.stdtrit(freedom, 0.975) * error * np.sqrt(1 + shared * (1 - value**4))
    return max(float(np.tanh(z[0] - half)), least), float(np.tanh(z[0] + half))


def _status(pair: Pair, measure: Measure, ranks: tuple[int, int]) -> str:
    """Return the most serious status that follows from sizes and directions."""
    widths = tuple(side.moments.mean.size for side in (pair.a, pair.b))
    units = max(widths)
    rows = float(pair.n)
    if min(ranks) and measure.rows_per_unit:
        rows = pair.unrelated.rows(measure.bases)
        if measure.basis == "raw":
            units = np.sqrt(pair.a.spread * pair.b.spread)
    rotated, images = pair.a.rotated or pair.b.rotated, pair.a.moments.images
    statuses = [measure.status(pair.n, units, ranks, rotated, rows, images, widths)]
    if not (measure.basis == "units" or measure.robust) and pair.leveraged:
        statuses.append(LEVERAGE)
    if (
        measure.halves
        and measure.basis == "units"
        and gravest(statuses) in GIVEN  # a half may have no images
        and any(side.half_whitenings.shape[2] < side.rank for side in (pair.a, pair.b))
    ):
        statuses.append(SILENT)
    if "units" in measure.bases and (pair.a.hidden or pair.b.hidden):
        statuses.append(ILL)
    if measure.basis == "components" and (pair.a.tied or pair.b.tied) and pair.a is not pair.b:
        statuses.append(NOT_UNIQUE)
    if measure.directions and gravest(statuses) in GIVEN and _undetermined(pair):
        statuses.append(NOT_UNIQUE)
    if measure.unique and gravest(statuses) in GIVEN and pair.a is not pair.b and not measure.unique(pair):
        statuses.append(NOT_UNIQUE)
    return gravest(statuses)


def _undetermined(pair: Pair) -> bool:
    """Whether a mean weighted by the canonical directions depends on a choice among equal correlations.

    The directions of k equal correlations can be rotated among themselves. Their total weight is at least the
    sum over units of the Euclidean norm, at most √k times that.
    """
    left, correlations, _ = pair.canonical
    loadings = np.square(left.T @ pair.a.loadings)
    starts = np.flatnonzero(np.diff(correlations, prepend=np.inf) < -EQUAL)
    counts = np.diff(starts, append=correlations.size)
    if counts.max() == 1:
        return False
    least, rho = np.sqrt(np.add.reduceat(loadings, starts)).sum(axis=1), correlations[starts]

    def value(group: int, factor: float) -> float:
        weights = least * np.where(np.arange(least.size) == group, factor, 1)
        return weights @ rho / weights.sum()

    return any(abs(value(g, np.sqrt(k)) - value(g, 1)) > MOVED for g, k in enumerate(counts) if k > 1)
