"""Correlation of single units."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from prunescope.similarity.chance import NORMAL


def units(pair):
    """Mean correlation of corresponding units.

    If `pair.aligned`, unit j of a corresponds to unit j of b. Otherwise units are matched one to one so that
    the mean is largest. Correlations keep their sign: a network stays the same when its units are permuted,
    but not when the sign of a rectified unit changes. A unit that is constant on one side only has
    correlation 0, so a layer that loses units becomes less similar; units that are constant on both sides are
    left out. With unequal widths, there are as many pairs as the narrower layer has units.
    """
    return _mean(pair, _correlations(pair, pair.cross.covariance))


def chance(pair, _ranks: tuple[int, int]) -> tuple[float, float] | None:
    """Mean and 95 % quantile when images are shuffled, if units correspond; None where they are matched.

    Var(Σ_j r_jj) = Σ_jk R^a_jk R^b_jk / (N - 1) with the correlations R of the units of each side.
    """
    if not pair.aligned:
        return None
    a, b = pair.a.moments, pair.b.moments
    mean = _mean(pair, _correlations(pair, a.map.T @ b.map / a.positions))
    both = np.sum(_scaled(pair.a, pair.a, a.covariance) * _scaled(pair.b, pair.b, b.covariance))
    deviation = np.sqrt(max(both, 0) / (pair.unrelated.rows(("raw", "raw")) - 1)) / np.sum(
        pair.a.varying | pair.b.varying
    )
    return mean, float(mean + NORMAL * deviation)


def soft_match(pair):
    """Mean over the units of a of the largest correlation with any unit of b: not symmetric.

    Several units may have the same counterpart. Constant units of either side are left out, so lost units of
    b lower the value, lost units of a do not.
    """
    correlations = _correlations(pair, pair.cross.covariance)
    return float(correlations[np.ix_(pair.a.varying, pair.b.varying)].max(axis=1).mean())


def shuffled(_pair, _ranks: tuple[int, int]) -> None:
    """Return None: images have to be shuffled."""


def _correlations(pair, covariance: np.ndarray) -> np.ndarray:
    """Correlations of all units of a with all units of b, shape (p_a, p_b); 0 where a unit is constant."""
    return _scaled(pair.a, pair.b, covariance)


def _scaled(a, b, covariance: np.ndarray) -> np.ndarray:
    scales = []
    for side in (a, b):
        deviation = np.sqrt(np.diagonal(side.moments.covariance))
        scales.append(np.divide(1, deviation, out=np.zeros_like(deviation), where=side.varying))
    return covariance * scales[0][:, None] * scales[1]


def _mean(pair, correlations: np.ndarray) -> float:
    a, b = pair.a.varying, pair.b.varying
    if pair.aligned:
        return float(np.trace(correlations) / np.sum(a | b))
    matched = correlations[linear_sum_assignment(correlations, maximize=True)]
    # Constant units are matched with each other, as far as there are any on both sides.
    return float(matched.sum() / min(*correlations.shape, max(a.sum(), b.sum())))
