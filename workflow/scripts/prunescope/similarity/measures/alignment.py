"""Measures of kernel alignment."""

import numpy as np

from prunescope.similarity import chance
from prunescope.similarity.measures import measure


@measure(
    label="linear CKA",
    reference="S. Kornblith, M. Norouzi, H. Lee, G. Hinton: Similarity of Neural Network Representations "
    "Revisited. ICML 2019.",
    url="https://arxiv.org/abs/1905.00414",
    unchanged_by="orthogonal maps, isotropic scaling",
    chance=chance.alignment,
)
def cka(pair):
    """Linear centred kernel alignment, ‖C_ab‖_F² / (‖C_aa‖_F ‖C_bb‖_F).

    Biased upwards when there are few rows.
    """
    own = np.linalg.norm(pair.a.moments.covariance) * np.linalg.norm(pair.b.moments.covariance)
    return np.sum(np.square(pair.cross.covariance)) / own


@measure(
    label="debiased CKA",
    reference="L. Song, A. Smola, A. Gretton, J. Bedo, K. Borgwardt: Feature Selection via Dependence "
    "Maximization. JMLR 13, 2012.",
    url="https://jmlr.org/papers/v13/song12a.html",
    unchanged_by="orthogonal maps, isotropic scaling",
    chance=chance.zero,
    fewest_rows=4,
)
def cka_debiased(pair):
    """Linear CKA with unbiased estimates of HSIC; 0 is expected of unrelated representations.

    H(a,b) / √(H(a,a) H(b,b)), where, with centred rows x_i and y_i,
    n(n-3) H = Σ_ij (x_i·x_j)(y_i·y_j) [i≠j] + Σ|x|² Σ|y|² / ((n-1)(n-2)) - 2/(n-2) Σ |x_i|²|y_i|².
    Can be slightly negative. NaN when H(a,a) or H(b,b) is not positive. The
    reference gives the estimate of HSIC.
    """
    a, b = pair.a, pair.b
    own_a = _hsic(a.moments.n, a.moments.covariance, a.moments.lengths, a.variance, a.variance)
    own_b = _hsic(b.moments.n, b.moments.covariance, b.moments.lengths, b.variance, b.variance)
    if min(own_a, own_b) <= 0:
        return np.nan
    between = _hsic(a.moments.n, pair.cross.covariance, pair.cross.lengths, a.variance, b.variance)
    return between / np.sqrt(own_a * own_b)


def _hsic(n: int, covariance: np.ndarray, lengths: float, variance_a: float, variance_b: float) -> float:
    """Unbiased HSIC of linear kernels, up to the factor n - 3."""
    diagonal = n * variance_a * variance_b / ((n - 1) * (n - 2))
    return n * np.sum(np.square(covariance)) + diagonal - lengths * n / (n - 2)
