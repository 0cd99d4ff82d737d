"""Measures of covariances: kernel alignment and the Bures similarity."""

import numpy as np

# Rounding error of a difference, as a fraction of its terms.
LOST = 1e-12


def cka(pair):
    """Linear centred kernel alignment, ‖C_ab‖_F² / (‖C_aa‖_F ‖C_bb‖_F).

    Biased upwards when there are few rows.
    """
    norms = np.linalg.norm(pair.a.moments.covariance) * np.linalg.norm(pair.b.moments.covariance)
    return np.sum(np.square(pair.cross.covariance)) / norms


def cka_debiased(pair):
    """Linear CKA with unbiased estimates of HSIC; 0 is expected of unrelated representations.

    H(a,b) / √(H(a,a) H(b,b)), where, with centred rows x_i and y_i of n images,
    n(n-3) H = Σ_ij (x_i·x_j)(y_i·y_j) [i≠j] + Σ|x|² Σ|y|² / ((n-1)(n-2)) - 2/(n-2) Σ |x_i|²|y_i|².
    If an image has several rows, it is unbiased only between images: H is the product of C_ab from two halves
    of the images, with the rows centred at each position. Can be slightly negative. NaN when H(a,a) or H(b,b)
    is not positive. The reference gives the estimate of HSIC.
    """
    of_a, of_b = (_hsic(side.moments, side.moments, side.moments) for side in (pair.a, pair.b))
    if min(of_a, of_b) <= 0:
        return np.nan
    return _hsic(pair.a.moments, pair.b.moments, pair.cross) / np.sqrt(of_a) / np.sqrt(of_b)


def nbs(pair):
    """Normalised Bures similarity, ‖C_ab‖_* / √(tr C_aa · tr C_bb).

    One minus half the squared Procrustes distance of the matrices scaled to norm 1.
    """
    # Unlike correlations, these singular values span many orders of magnitude, so the small ones would be
    # lost in the eigenvalues of a squared matrix.
    nuclear = np.linalg.svd(pair.cross.covariance, compute_uv=False).sum()
    return nuclear / np.sqrt(pair.a.variance * pair.b.variance)


def _hsic(a, b, cross) -> float:
    """Unbiased HSIC of linear kernels at variance 1, up to a factor; 0 if only rounding remains."""
    n, scale = a.n, np.sqrt(np.trace(a.covariance)) * np.sqrt(np.trace(b.covariance))
    if a.positions > 1:
        first, second = cross.halves / scale
        terms = np.array([np.sum(first * second)])
        size = np.linalg.norm(first) * np.linalg.norm(second)
    else:
        # `squares` includes i = j, which changes 2/(n-2) in the formula to n/(n-2); all is divided by n².
        squares, lengths = np.sum(np.square(cross.covariance / scale)), cross.lengths / scale / scale
        terms = np.array([squares, 1 / ((n - 1) * (n - 2)), -lengths / (n - 2)])
        size = np.abs(terms).max()
    return terms.sum() if abs(terms.sum()) > LOST * size else 0.0
