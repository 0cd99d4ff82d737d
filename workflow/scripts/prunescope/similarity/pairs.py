"""Pairs of representations, and the scores of measures.

In all equations the columns of X_a (n × p_a) and X_b (n × p_b) are centred, C_ab = X_aᵀX_b / n, and W_a
(p_a × r_a) whitens a: W_aᵀC_aaW_a is the identity. The canonical correlations ρ₁ ≥ ρ₂ ≥ ... are the singular
values of M = W_aᵀC_abW_b.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Optional

import numpy as np
from scipy.linalg import blas, lapack

from prunescope.similarity import chance, classes
from prunescope.similarity.chance import SHARED
from prunescope.similarity.folds import FOLDS
from prunescope.similarity.intervals import jackknife
from prunescope.similarity.leverage import MOST
from prunescope.similarity.measures import (
    CHANCE,
    GIVEN,
    ILL,
    LEVERAGE,
    NOT_UNIQUE,
    OTHER_POSITIONS,
    SILENT,
    UNDEFINED,
    Measure,
    gravest,
)
from prunescope.similarity.moments import Cross
from prunescope.similarity.unrelated import Unrelated
from prunescope.similarity.whitening import Representation

# The directions of correlations below this value require an SVD. With an eigendecomposition of MᵀM, the left
# vectors are orthogonal only to about 1e-16 divided by the square of this value.
SMALL = 1e-4
# Columns of chance levels.
LEVELS = ("chance", "chance_high", "chance_classes")
# Correlations closer to each other than this are equal within rounding. A value is not unique if the choice
# of their directions changes it by more than `MOVED`.
EQUAL, MOVED = 1e-10, 1e-6


@dataclass(frozen=True)
class Pair:
    """Two representations and their cross-moments; the input of a measure.

    Attributes
    ----------
    a, b : Representation
        They have principal components if `truncated` is used.
    cross : Cross
    whitened : Cross, optional
        Cross-moments of the whitened columns, if known from whitened rows: the covariance is M. By default,
        they are computed from `cross`.
    directions : bool, optional
        Whether the correlations are computed together with the canonical directions.
    aligned : bool, optional
        Whether unit j of a and unit j of b are the same unit of a network.
    mirror : Pair, optional
        The same pair in the other order, so that nothing is computed twice.
    replica : callable, optional
        Takes a fold of images and returns the pair without this fold, for intervals.
    whole : Pair, optional
        For a replica, the pair with all images.
    """

    a: Representation
    b: Representation
    cross: Cross
    whitened: Cross | None = None
    directions: bool = True
    aligned: bool = False
    mirror: Optional["Pair"] = field(default=None, repr=False)
    replica: Callable[[int], "Pair"] | None = field(default=None, repr=False)
    whole: Optional["Pair"] = field(default=None, repr=False)

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.a.moments.n

    def ranks(self, basis: str) -> tuple[int, int]:
        """Numbers of components, or of independent units; see `Measure.basis`."""
        sides = (self.a, self.b)
        if basis == "components":
            return tuple(side.components.shape[1] for side in sides)
        return tuple(side.rank for side in sides)

    @property
    def ill(self) -> bool:
        """Whether whitening needed a second pass."""
        return self.a.ill or self.b.ill

    @property
    def leveraged(self) -> bool:
        """Whether a few images carry the variance of a or b."""
        return any(side.moments.leverage > MOST for side in (self.a, self.b))

    @cached_property
    def correlations(self) -> np.ndarray:
        """Canonical correlations, descending, shape (min(rank_a, rank_b),)."""
        if self.mirror is not None:
            return self.mirror.correlations
        if self.directions:
            return self.canonical[1]
        return _correlations(self._matrix)

    @cached_property
    def canonical(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Left singular vectors (columns), canonical correlations, right singular vectors (columns) of M."""
        if self.mirror is not None:
            return self.mirror.canonical[::-1]
        return _singular(self._matrix)

    @cached_property
    def truncated(self) -> np.ndarray:
        """Canonical correlations between the leading principal components."""
        if self.mirror is not None:
            return self.mirror.truncated
        if all(side.components.shape[1] == side.rank for side in (self.a, self.b)):
            # Both span the same space, and these are precise for any condition number.
            return self.correlations
        return _correlations(self.a.components.T @ self.cross.covariance @ self.b.components)

    @cached_property
    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """M within each half of the images, centred at each position, with the whitening of all images."""
        if self.whitened is not None:
            return tuple(self.whitened.halves)
        return tuple(_whitened(self.a, half, self.b) for half in self.cross.halves)

    @cached_property
    def half_directions(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Directions of a (columns), correlations, and directions of b in each half, for whitened columns.

        A replica uses the directions of all images. Their change when a fold is omitted would only add noise:
        at the optimal directions, a small change has no effect on the correlations.
        """
        if self.whole is not None:
            return self.whole.half_directions
        found = []
        for half, root_a, root_b in zip(
            self.halves, self.a.half_whitenings, self.b.half_whitenings, strict=True
        ):
            left, correlations, right = _singular(root_a.T @ half @ root_b)
            found.append((root_a @ left, correlations, root_b @ right))
        return found

    @cached_property
    def unrelated(self) -> Unrelated:
        """Moments between a and b when their images are permuted; for a mirror, between b and a."""
        return Unrelated(self.a, self.b) if self.mirror is None else self.mirror.unrelated

    def with_cross(self, cross: Cross) -> "Pair":
        """Return a pair with other cross-moments, for example after permuting the images of b."""
        return replace(self, cross=cross, whitened=None, mirror=None, replica=None, whole=None)

    def swapped(self) -> "Pair":
        """Return (b, a)."""
        whitened = None if self.whitened is None else self.whitened.swapped()
        return Pair(self.b, self.a, self.cross.swapped(), whitened, self.directions, self.aligned, self)

    @property
    def _matrix(self) -> np.ndarray:
        """M."""
        if self.whitened is not None:
            return self.whitened.covariance
        return _whitened(self.a, self.cross.covariance, self.b)


def _whitened(a: Representation, covariance: np.ndarray, b: Representation) -> np.ndarray:
    """M = W_aᵀ C_ab W_b, with half the arithmetic of full matrices because both factors are triangular."""
    # BLAS requires contiguous columns, so it is given Cᵀ.
    block = covariance[np.ix_(a.units, b.units)].T
    block = blas.dtrmm(1.0, b.whitening, block, lower=1, overwrite_b=1)
    return blas.dtrmm(1.0, a.whitening, block, side=1, lower=1, trans_a=1, overwrite_b=1).T


def _correlations(matrix: np.ndarray) -> np.ndarray:
    """Singular values, descending and within [0, 1], from the eigenvalues of the smaller Gram matrix.

    This is twice as fast as an SVD. Values near 0 have an absolute error of 1e-8 instead of 1e-16.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    gram = blas.dsyrk(1.0, matrix.T, trans=int(wide), lower=1)
    values, *_, failed = lapack.dsyevr(gram, compute_v=0, lower=1, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("eigenvalues of a matrix of correlations did not converge")
    return np.sqrt(np.clip(values[::-1], 0, 1))


def _singular(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left vectors (columns), values and right vectors (columns) of a matrix, computed in the same way."""
    if matrix.shape[0] < matrix.shape[1]:
        return _singular(matrix.T)[::-1]
    values, right = np.linalg.eigh(matrix.T @ matrix)
    if values.min(initial=1.0) < SMALL**2:
        # The left vectors of correlations near 0 would not be orthogonal.
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        return left, np.clip(values, 0, 1), right.T
    right = right[:, ::-1]
    left = matrix @ right
    return left / np.linalg.norm(left, axis=0), np.sqrt(np.clip(values[::-1], 0, 1)), right


@dataclass(frozen=True)
class Score:
    """One measure of one pair (a, b).

    Attributes
    ----------
    measure : str
        Its name.
    value, reverse : float
        Value of (a, b) and of (b, a), which differ only if the measure is not symmetric. NaN if a number
        would be misleading.
    chance, reverse_chance : float
        Expected value of (a, b) and of (b, a) when images are permuted; NaN if not known.
    chance_high, reverse_chance_high : float
        95 % quantiles of these values.
    chance_classes, reverse_chance_classes : float
        Values for other images of the same classes.
    low, high : float
        95 % interval of `value`; NaN unless requested and known to be valid. The same for both orders.
    rank_a, rank_b : int
        Directions used: independent units or principal components, see `Measure.ranks`.
    status : str
        One of `measures.STATUSES`.
    spectrum : ndarray or None
        The canonical correlations, descending, for measures with `Measure.spectrum`.
    """

    measure: str
    value: float
    reverse: float
    chance: float
    reverse_chance: float
    chance_high: float
    reverse_chance_high: float
    chance_classes: float
    reverse_chance_classes: float
    low: float
    high: float
    rank_a: int
    rank_b: int
    status: str
    spectrum: np.ndarray | None = field(default=None, repr=False)


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
    bounded = {
        place: []
        for place, (score, measure) in enumerate(zip(scores, measures, strict=True))
        if score.status in GIVEN
        and measure.intervals
        and not (pair.ill if measure.basis == "units" else pair.leveraged)
    }
    for fold in range(FOLDS) if bounded else ():
        without = replace(pair.replica(fold), aligned=pair.aligned, whole=pair)
        for place, values in bounded.items():
            values.append(float(measures[place].function(without)))
    for place, values in bounded.items():
        shared = SHARED if measures[place].halves else 0.0
        low, high = jackknife(scores[place].value, np.array(values), shared, measures[place].least)
        scores[place] = replace(scores[place], low=low, high=high)
    return scores


def _score(pair: Pair, measure: Measure) -> Score:
    ranks = pair.ranks(measure.basis)
    status = _status(pair, measure, ranks)
    value = float(measure.function(pair)) if status in GIVEN else np.nan
    if np.isnan(value):
        status = UNDEFINED if status in GIVEN else status
        return _absent(measure, ranks, status)
    reverse = value if measure.symmetric else measure.value(pair, back=True)
    spectrum = pair.correlations if measure.spectrum else None
    return Score(measure.name, value, reverse, *[np.nan] * 8, *ranks, status, spectrum)


def _with_chance(pair: Pair, measures: Sequence[Measure], scores: list[Score]) -> list[Score]:
    """Add chance levels to scores that have a value."""
    given = [measure for measure, score in zip(measures, scores, strict=True) if score.status in GIVEN]
    permuted, of_classes = chance.levels(pair, given), classes.levels(pair, given)
    for place, score in enumerate(scores):
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
        scores[place] = replace(score, **levels)
    return scores


def not_comparable(measure: Measure) -> Score:
    """Return the score of layers whose rows are different positions of the images."""
    return _absent(measure, (0, 0), OTHER_POSITIONS)


def _absent(measure: Measure, ranks: tuple[int, int], status: str) -> Score:
    return Score(measure.name, *[np.nan] * 10, *ranks, status)


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
    found = [measure.status(pair.n, units, ranks, rotated, rows, images, widths)]
    if not (measure.basis == "units" or measure.robust) and pair.leveraged:
        found.append(LEVERAGE)
    if (
        measure.halves
        and measure.basis == "units"
        and gravest(found) in GIVEN  # a half may have no images
        and any(side.half_whitenings.shape[2] < side.rank for side in (pair.a, pair.b))
    ):
        found.append(SILENT)
    if "units" in measure.bases and (pair.a.hidden or pair.b.hidden):
        found.append(ILL)
    if measure.basis == "components" and (pair.a.tied or pair.b.tied) and pair.a is not pair.b:
        found.append(NOT_UNIQUE)
    if measure.directions and gravest(found) in GIVEN and _undetermined(pair):
        found.append(NOT_UNIQUE)
    if measure.unique and gravest(found) in GIVEN and pair.a is not pair.b and not measure.unique(pair):
        found.append(NOT_UNIQUE)
    return gravest(found)


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
