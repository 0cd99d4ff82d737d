"""Correlation of single units."""

import numpy as np
from scipy.optimize import linear_sum_assignment

# Numbers of units and of draws for chance: the more units, the fewer draws are needed.
UNITS, LEAST_DRAWS, MOST_DRAWS = 256, 4, 32


def units(pair):
    """Mean correlation of corresponding units.

    If `pair.aligned`, unit j of a corresponds to unit j of b. Otherwise units are matched one to one so that
    the mean is largest. Correlations keep their sign: a network stays the same when its units are permuted,
    but not when the sign of a rectified unit changes. A unit that is constant on one side only has
    correlation 0, so a layer that loses units becomes less similar; units that are constant on both sides are
    left out. With unequal widths, there are as many pairs as the narrower layer has units.
    """
    return _mean(pair, _correlations(pair, pair.cross.covariance))


def chance(pair, _ranks: tuple[int, int]) -> float:
    """Mean over permutations of images: exact if units correspond, otherwise from Gaussian draws."""
    a, b = pair.a, pair.b
    fixed = a.moments.map.T @ b.moments.map / a.moments.positions
    if pair.aligned:
        return _mean(pair, _correlations(pair, fixed))
    count = int(np.clip(UNITS // min(fixed.shape), LEAST_DRAWS, MOST_DRAWS))
    noise = np.random.default_rng(0).standard_normal((count, *fixed.shape))
    noise = a.root @ noise @ b.root.T / np.sqrt(pair.unrelated.rows("raw") - 1)
    return float(np.mean([_mean(pair, _correlations(pair, fixed + one)) for one in noise]))


def _correlations(pair, covariance: np.ndarray) -> np.ndarray:
    """Correlations of all units of a with all units of b, shape (p_a, p_b); 0 where a unit is constant."""
    scales = []
    for side in (pair.a, pair.b):
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
