"""One matrix made ready for comparisons: its independent units, whitened, and its principal components.

In all equations the columns of X (n × p) are centred, C = XᵀX / n, and W (p × r) whitens: WᵀCW = 1.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import lapack

from prunescope.similarity.moments import Moments

# A unit is constant when its variance is at most this fraction of its squared mean plus the largest variance.
CONSTANT = 1e-13
# A unit depends on others when they leave at most this fraction of its variance unexplained. For very wide
# matrices rounding leaves more: p times the machine's precision.
DEPENDENT = 1e-13
# Moments square the condition number, so whitening by them loses digits where some direction leaves less than
# this fraction of its units' variance; `refine` restores them.
ILL = 1e-6
# Columns whose correlations are all below this are principal components already; float32 storage of such a
# matrix leaves about 1e-8.
UNCORRELATED = 1e-7


@dataclass(frozen=True)
class Representation:
    """One matrix made ready for comparisons: whitened once, used in every pair.

    Attributes
    ----------
    moments : Moments
    units : ndarray of int, shape (rank,)
        Linearly independent units, in the order in which they were taken.
    whitening : ndarray, shape (rank, rank)
        Wᵀ without its zeros: lower triangular, maps these units to uncorrelated columns of variance 1.
    least : float
        Smallest fraction of a taken unit's variance that those taken before it leave unexplained.
    components : ndarray, shape (p, k), or None
        Maps centred rows to the leading principal components, scaled to variance 1.
    rotated : bool
        Whether the columns are an orthogonal rotation of the units, to which only PWCCA is sensitive.
    """

    moments: Moments
    units: np.ndarray
    whitening: np.ndarray
    least: float
    components: np.ndarray | None
    rotated: bool = False

    @property
    def rank(self) -> int:
        """Number of linearly independent units."""
        return self.units.size

    @cached_property
    def loadings(self) -> np.ndarray:
        """WᵀC, shape (rank, p): covariance of the whitened columns with all units."""
        return self.whitening @ self.moments.covariance[self.units]

    @property
    def ill(self) -> bool:
        """Whether whitening needs `refine` to be precise."""
        return self.least < ILL

    @property
    def variance(self) -> float:
        """Sum of the units' variances."""
        return float(np.trace(self.moments.covariance))


def represent(moments: Moments, variance: float | None = 0.99, rotated: bool = False) -> Representation:
    """Find a matrix's independent units and whiten them; whiten its leading principal components.

    Units that do not vary are removed first (`CONSTANT`) and the others scaled to variance 1. A Cholesky
    factorisation with complete pivoting then takes one unit at a time, always the one least explained by
    those taken before, until the rest is explained (`DEPENDENT`). The inverse factor whitens the units taken.
    They span what all units span, so nothing is lost.

    Parameters
    ----------
    moments : Moments
    variance : float, optional
        Fraction of the variance that the principal components keep, in (0, 1]; None computes no components,
        which saves an eigendecomposition.
    rotated : bool, optional
        Whether the columns are a rotation of the units instead of the units themselves.
    """
    components = None if variance is None else _components(moments, variance)
    return Representation(moments, *_whitening(moments), components, rotated)


def refine(side: Representation, moments: Moments) -> tuple[Representation, np.ndarray]:
    """Correct a whitening by the moments of the rows that it whitened: the second step of CholeskyQR2.

    Whitened rows are nearly uncorrelated, so their moments lose no digits, however ill-conditioned the matrix
    is.

    Parameters
    ----------
    side : Representation
    moments : Moments
        Of its whitened rows (`whiten`), accumulated in a second pass.

    Returns
    -------
    Representation
        The same with the corrected whitening, T times the old one.
    T : ndarray, shape (rank, rank)
        Lower triangular, near the identity.

    References
    ----------
    Yamamoto, Nakatsukasa, Yanagisawa & Fukaya, "Roundoff error analysis of the CholeskyQR2 algorithm", ETNA
    2015.
    """
    inverse = np.linalg.inv(np.linalg.cholesky(moments.covariance))
    return replace(side, whitening=np.asfortranarray(np.tril(inverse @ side.whitening))), np.tril(inverse)


def whiten(side: Representation, rows: np.ndarray) -> np.ndarray:
    """Centre and whiten rows, shape (m, p) to (m, rank)."""
    return (rows[:, side.units] - side.moments.mean[side.units]) @ side.whitening.T


def _whitening(moments: Moments) -> tuple[np.ndarray, np.ndarray, float]:
    spread = np.diagonal(moments.covariance)
    alive = np.flatnonzero(spread > CONSTANT * (moments.mean**2 + spread.max(initial=0.0)))
    if not alive.size:
        return alive, np.zeros((0, 0)), 1.0
    scale = 1 / np.sqrt(spread[alive])
    correlation = moments.covariance[np.ix_(alive, alive)] * scale * scale[:, None]
    tolerance = max(DEPENDENT, alive.size * np.finfo(float).eps)
    factor, pivots, rank, _ = lapack.dpstrf(correlation, tol=tolerance, lower=1)
    taken = pivots[:rank] - 1
    inverse, _ = lapack.dtrtri(np.tril(factor[:rank, :rank]), lower=1)
    least = np.square(np.diagonal(factor)[:rank]).min()
    return alive[taken], np.asfortranarray(inverse * scale[taken]), float(least)


def _components(moments: Moments, variance: float) -> np.ndarray:
    spread = np.diagonal(moments.covariance)
    limit = np.sqrt(np.outer(spread, spread)) * UNCORRELATED
    if (np.abs(moments.covariance) <= limit)[~np.eye(spread.size, dtype=bool)].all():
        order = np.argsort(-spread, kind="stable")
        values, vectors = spread[order], np.eye(spread.size)[:, order]
    else:
        values, vectors = np.linalg.eigh(moments.covariance)
        values, vectors = values[::-1], vectors[:, ::-1]
    alive = values > CONSTANT * (values.max(initial=0.0) + np.max(moments.mean**2, initial=0.0))
    total = np.cumsum(values[alive])
    # The slack is for variance = 1, which rounding must not push beyond the last component.
    kept = int(np.searchsorted(total, variance * total[-1] * (1 - 1e-12))) + 1 if total.size else 0
    return vectors[:, :kept] / np.sqrt(values[:kept])
