"""What measures give for two unrelated representations of the same sizes.

Functions of a pair and its ranks can be the `chance` of a measure.
"""

from functools import lru_cache

import numpy as np


@lru_cache(maxsize=4096)
def wachter(n: int, rank_a: int, rank_b: int) -> float:
    """Mean canonical correlation between unrelated representations, by Wachter's law.

    The squared correlations of independent Gaussian matrices of ranks p ≤ q in N = n - 1 dimensions have, for
    large sizes, the density √((x - l)(u - x)) / (2π (p/N) x (1 - x)) between l, u = (√(p/N (1 - q/N)) ∓
    √(q/N (1 - p/N)))².

    Parameters
    ----------
    n : int
        Rows.
    rank_a, rank_b : int

    Returns
    -------
    float
        NaN when p + q > N.

    References
    ----------
    Wachter, "The limiting empirical measure of multiple discriminant ratios", Annals of Statistics 1980.
    """
    p, q = sorted((rank_a / (n - 1), rank_b / (n - 1)))
    if p + q > 1 or p == 0:
        return np.nan
    lower, upper = ((np.sqrt(p * (1 - q)) + sign * np.sqrt(q * (1 - p))) ** 2 for sign in (-1, 1))
    angles = (np.arange(4096) + 0.5) * np.pi / 4096
    half = (upper - lower) / 2
    x = lower + half * (1 + np.cos(angles))
    density = (half * np.sin(angles)) ** 2 / (2 * np.pi * p * x * (1 - x))
    return float(np.sum(np.sqrt(x) * density) / np.sum(density))


def correlation(pair, ranks: tuple[int, int]) -> float:
    """Mean canonical correlation of unrelated representations, see `wachter`."""
    return wachter(pair.n, *ranks)


def squared_correlation(pair, ranks: tuple[int, int]) -> float:
    """Mean squared canonical correlation of unrelated representations, max(r_a, r_b) / (n - 1): exact."""
    return max(ranks) / (pair.n - 1)


def alignment(pair, _ranks: tuple[int, int]) -> float:
    """Mean CKA over all permutations of b's rows, tr C_aa tr C_bb / ((n - 1) ‖C_aa‖_F ‖C_bb‖_F): exact."""
    own = np.linalg.norm(pair.a.moments.covariance) * np.linalg.norm(pair.b.moments.covariance)
    return pair.a.variance * pair.b.variance / (own * (pair.n - 1))


def zero(_pair, _ranks: tuple[int, int]) -> float:
    """Chance of a measure that is unbiased where there is nothing in common."""
    return 0.0
