"""One matrix prepared for comparisons: its whitened independent units and its principal components.

In all equations the columns of X (n × p) are centred, C = XᵀX / n, and W (p × r) whitens: WᵀCW = 1.
"""

from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import lapack

from prunescope.similarity.classes import members, sums
from prunescope.similarity.images import Sample, image_vectors
from prunescope.similarity.moments import LEAST_ROWS, Moments

# A unit is constant when its variance is at most this fraction of its squared mean plus the largest variance:
# the rounding error of a constant in float32. Float64 numbers that float32 cannot hold are more precise, and
# `PRECISE` is the fraction of the squared mean.
CONSTANT, PRECISE = 1e-13, 1e-26
# A unit depends on others if they leave at most this fraction of its variance unexplained. In very wide
# matrices, rounding leaves more: p times the machine precision.
DEPENDENT = 1e-13
# Moments square the condition number, so whitening with them loses digits if a direction has less than this
# fraction of its units' variance; `refine` restores the digits.
ILL = 1e-6
# Whitened columns whose Cholesky factor has no smaller squared diagonal all vary within halves of the images.
WELL = 1e-2
# Within this factor of the tolerance it is unclear whether a unit depends on others.
UNCLEAR = 10.0
# A direction is silent in a half of the images that holds at most this fraction of its variance.
SILENT = 1e-9
# Relative difference below which two variances are equal.
TIE = 1e-9
# Columns whose correlations are all below this are already principal components; storing such a matrix as
# float32 leaves correlations of about 1e-8.
UNCORRELATED = 1e-7


@dataclass(frozen=True)
class Representation:
    """One matrix prepared for comparisons: whitened once, used in every pair.

    Attributes
    ----------
    moments : Moments
    units : ndarray of int, shape (rank,)
        Linearly independent units, in the order in which they were taken.
    whitening : ndarray, shape (rank, rank)
        Wᵀ without its zeros: lower triangular, maps these units to uncorrelated columns of variance 1.
    least : float
        Smallest fraction of a taken unit's variance that the units taken before it leave unexplained.
    components : ndarray, shape (p, k), or None
        Maps centred rows to the leading principal components, scaled to variance 1.
    hidden : bool
        Whether the status of a unit is unclear: its variance, or the part that others leave unexplained, is
        so small relative to others that it may be due to rounding.
    tied : bool
        Whether the last component has the same variance as the next one, which is left out.
    rotated : bool
        Whether the columns are an orthogonal rotation of the units, to which only PWCCA is sensitive.
    precise : ndarray, shape (2, rank, rank), optional
        `halves`, if they are known from whitened rows.
    varying : ndarray of bool, shape (p,)
        Units that are not constant.
    rows : array-like, shape (n, p), optional
        The matrix itself, of which some pairs and measures need a sample.
    labels : ndarray of int, shape (images,), optional
        Classes of the images, -1 where there is none.
    """

    moments: Moments
    units: np.ndarray
    whitening: np.ndarray
    least: float
    hidden: bool
    components: np.ndarray | None
    tied: bool = False
    rotated: bool = False
    precise: np.ndarray | None = None
    varying: np.ndarray | None = None
    rows: Any = field(default=None, repr=False)
    labels: np.ndarray | None = field(default=None, repr=False)

    @property
    def rank(self) -> int:
        """Number of linearly independent units."""
        return self.units.size

    @property
    def vectors(self) -> np.ndarray:
        """One vector for each image of a sample, for measures that need rows; see `image_vectors`."""
        if "vectors" not in self.memo:
            self.memo["vectors"] = image_vectors(self.rows, self.moments.images, self.moments.mean)
        return self.memo["vectors"]

    @cached_property
    def memo(self) -> dict:
        """`vectors`, and what measures compute of them, by name, so that it is not computed for each pair."""
        return {}

    @cached_property
    def sample_memo(self) -> dict:
        """What measures compute of `sample`, by name."""
        return {}

    @cached_property
    def loadings(self) -> np.ndarray:
        """WᵀC, shape (rank, p): covariance of the whitened columns with all units."""
        return self.whitening @ self.moments.covariance[self.units]

    @cached_property
    def root(self) -> np.ndarray:
        """A root L of the covariance of all units, LLᵀ = C up to rounding; shape (p, p)."""
        slack = 1e-10 * np.diagonal(self.moments.covariance).max()
        return np.linalg.cholesky(self.moments.covariance + slack * np.eye(self.moments.mean.size))

    @cached_property
    def halves(self) -> np.ndarray:
        """Covariance of the whitened columns within each half of the images, shape (2, rank, rank)."""
        if self.precise is not None:
            return self.precise
        inner = self.moments.halves[:, self.units[:, None], self.units]
        return self.whitening @ inner @ self.whitening.T

    @cached_property
    def half_whitenings(self) -> np.ndarray:
        """Maps of the whitened columns to columns that are white within each half, shape (2, rank, k).

        Both halves have the same k directions, those that make both covariances diagonal. Directions that do
        not vary in both halves are left out.
        """
        root = _root(self.halves.mean(axis=0))
        # In this basis the two covariances add up to 2, so they have the same eigenvectors.
        values, vectors = np.linalg.eigh(root.T @ self.halves[0] @ root)
        kept = (values > SILENT) & (values < 2 - SILENT)
        shares = np.stack([values, 2 - values])[:, None, kept]
        return root @ vectors[:, kept] / np.sqrt(shares)

    def coordinates(self, basis: str, rows: np.ndarray) -> np.ndarray:
        """Express centred rows, shape (..., p), in a basis: ``raw``, ``units`` or ``components``."""
        if basis == "raw":
            return rows
        return rows[..., self.units] @ self.whitening.T if basis == "units" else rows @ self.components

    def size(self, basis: str) -> float:
        """Sum of the variances in a basis: of the units, or the number of whitened columns."""
        if basis == "raw":
            return self.variance
        return self.rank if basis == "units" else self.components.shape[1]

    @cached_property
    def sample(self) -> Sample:
        """Rows of some images."""
        return Sample.of(self.rows, self.moments.images, self.moments.mean + self.moments.map)

    @property
    def sample_size(self) -> int:
        """Number of images of `sample`."""
        known = self.__dict__.get("sample")
        return len(known.order) if known else Sample.size(self.moments.images, self.moments.map.size)

    def with_sample_of(self, count: int) -> "Representation":
        """Return the same with a sample of at most this many images, to compare it with a wider layer."""
        if self.sample_size <= count:
            return self
        shorter = copy(self)
        shorter.__dict__["memo"] = self.memo
        for name in ("sample_memo", "classes", "class_means", "within_root"):
            shorter.__dict__.pop(name, None)
        shorter.__dict__["sample"] = self.sample.first(count)
        return shorter

    @cached_property
    def classes(self) -> np.ndarray:
        """Class of each image of the sample in random order, see `classes.members`."""
        return members(self.labels[self.sample.images])

    @cached_property
    def class_means(self) -> np.ndarray:
        """Mean images of the classes, shape (classes, positions, p), centred and weighted.

        Their products are covariances between classes.
        """
        stored = np.empty_like(self.classes)
        stored[self.sample.order] = self.classes
        sizes = np.bincount(self.classes[self.classes >= 0])[:, None, None]
        return sums(self.sample.rows, stored) / np.sqrt(sizes * sizes.sum() * self.moments.positions)

    @cached_property
    def within_root(self) -> np.ndarray:
        """A root L of the covariance within classes, LLᵀ, shape (p, p)."""
        between = self.class_means.reshape(-1, self.moments.mean.size)
        values, vectors = np.linalg.eigh(self.within_positions - between.T @ between)
        return vectors * np.sqrt(np.clip(values, 0, None))

    @cached_property
    def within_positions(self) -> np.ndarray:
        """Covariance of the columns, centred at each position, shape (p, p)."""
        return self.moments.covariance - self.moments.map.T @ self.moments.map / self.moments.positions

    @cached_property
    def evenness(self) -> float:
        """How many images carry the variance, as a fraction of all: n_a / N, n_a = (Σ|x|²)² / Σ|x|⁴.

        The smaller value of raw and whitened rows, for one row per image. The covariances of whitened rows
        within halves of the images differ by 4 (Σ|x|⁴ / N - rank) / N on average.
        """
        apart = np.square(self.halves[0] - self.halves[1]).sum() * self.moments.n / 4
        whitened = self.rank**2 / (apart + self.rank) if self.rank else 1.0
        raw = self.variance**2 / self.moments.lengths if self.moments.lengths else 1.0
        return float(min(raw, whitened))

    @cached_property
    def spread(self) -> float:
        """Number of directions that hold the variance: (tr C)² / ‖C‖_F²."""
        norm = np.linalg.norm(self.moments.covariance)
        return float((self.variance / norm) ** 2) if norm else 0.0

    @property
    def ill(self) -> bool:
        """Whether whitening needs `refine` to be precise."""
        return self.least < ILL

    @property
    def variance(self) -> float:
        """Sum of the units' variances."""
        return float(np.trace(self.moments.covariance))


def represent(
    moments: Moments, variance: float | None = 0.99, rotated: bool = False, constant: float = CONSTANT
) -> Representation:
    """Find a matrix's independent units and whiten them; whiten its leading principal components.

    Units that do not vary are removed first (`CONSTANT`), and the others are scaled to variance 1. A Cholesky
    factorisation with complete pivoting then takes one unit at a time, always the one that the units taken
    before explain least, until all others are explained (`DEPENDENT`). The inverse factor whitens the units
    taken. They span what all units span, so nothing is lost.

    Parameters
    ----------
    moments : Moments
    variance : float, optional
        Fraction of the variance that the principal components keep, in (0, 1]; None computes no components,
        which saves an eigendecomposition.
    rotated : bool, optional
        Whether the columns are a rotation of the units instead of the units themselves.
    constant : float, optional
        A unit is constant if its variance is at most this fraction of its squared mean, see `constant_share`.
    """
    alive, unclear = _alive(moments, constant)
    units, whitening, least, near = _whitening(moments, alive, constant == PRECISE)
    components, tied = (
        (None, False) if variance is None else _components(moments, alive, units.size, variance)
    )
    varying = np.isin(np.arange(moments.mean.size), alive)
    unclear = unclear or near
    return Representation(
        moments, units, whitening, least, unclear, components, tied, rotated, varying=varying
    )


def refine(side: Representation, moments: Moments) -> tuple[Representation, np.ndarray]:
    """Correct a whitening with the moments of the whitened rows: the second step of CholeskyQR2.

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
        The same with the corrected whitening, T times the previous one.
    T : ndarray, shape (rank, rank)
        Lower triangular, near the identity.

    References
    ----------
    Yamamoto, Nakatsukasa, Yanagisawa & Fukaya, "Roundoff error analysis of the CholeskyQR2 algorithm", ETNA
    2015.
    """
    inverse = np.tril(np.linalg.inv(np.linalg.cholesky(moments.covariance)))
    whitening = np.asfortranarray(np.tril(inverse @ side.whitening))
    return replace(side, whitening=whitening, precise=inverse @ moments.halves @ inverse.T), inverse


def whiten(side: Representation, rows: np.ndarray) -> np.ndarray:
    """Centre and whiten rows, shape (m, p) to (m, rank)."""
    return (rows[:, side.units] - side.moments.mean[side.units]) @ side.whitening.T


def constant_share(matrix) -> float:
    """Return the fraction of its squared mean at which a unit's variance is the rounding error of a constant.

    Float64 numbers that float32 can hold were probably computed in float32.
    """
    if matrix.dtype != np.float64:
        return CONSTANT
    rows = matrix[:LEAST_ROWS]
    with np.errstate(over="ignore"):
        return CONSTANT if np.array_equal(rows, rows.astype(np.float32)) else PRECISE


def _alive(moments: Moments, constant: float) -> tuple[np.ndarray, bool]:
    """Return the units that vary, and whether a much larger unit may hide that others vary."""
    spread = np.diagonal(moments.covariance)
    alone, largest = constant * moments.mean**2, CONSTANT * spread.max(initial=0.0)
    unclear = (spread > alone) & (spread <= alone + largest)
    return np.flatnonzero(spread > alone + largest), bool(unclear.any())


def _whitening(
    moments: Moments, alive: np.ndarray, precise: bool
) -> tuple[np.ndarray, np.ndarray, float, bool]:
    if not alive.size:
        return alive, np.zeros((0, 0)), 1.0, False
    scale = 1 / np.sqrt(np.diagonal(moments.covariance)[alive])
    correlation = moments.covariance[np.ix_(alive, alive)] * scale * scale[:, None]
    rounding = alive.size * np.finfo(float).eps
    tolerance = max(DEPENDENT, rounding)
    factor, pivots, rank, _ = lapack.dpstrf(correlation, tol=tolerance, lower=1)
    taken = pivots[:rank] - 1
    inverse, _ = lapack.dtrtri(np.tril(factor[:rank, :rank]), lower=1)
    least = np.square(np.diagonal(factor)[:rank]).min()
    unexplained = 1 - np.square(factor[rank:, :rank]).sum(axis=1)
    # Sums that were rounded to float32 leave more than the rounding of float64.
    explained = min(rounding / 2, tolerance / UNCLEAR) if precise else tolerance / UNCLEAR
    near = least < UNCLEAR * tolerance or unexplained.max(initial=0.0) > explained
    return alive[taken], np.asfortranarray(inverse * scale[taken]), float(least), bool(near)


def _components(moments: Moments, alive: np.ndarray, rank: int, variance: float) -> tuple[np.ndarray, bool]:
    """Return the leading principal components of the units that vary: no more than there are directions."""
    covariance = moments.covariance[np.ix_(alive, alive)]
    spread = np.diagonal(covariance)
    limit = np.sqrt(np.outer(spread, spread)) * UNCORRELATED
    if (np.abs(covariance) <= limit)[~np.eye(spread.size, dtype=bool)].all():
        order = np.argsort(-spread, kind="stable")
        values, vectors = spread[order], np.eye(spread.size)[:, order]
    else:
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = values[::-1], vectors[:, ::-1]
    living = values[:rank] > CONSTANT * values.max(initial=0.0)
    total = np.cumsum(values[:rank][living])
    # The tolerance is for variance = 1: rounding must not exceed the last component.
    kept = int(np.searchsorted(total, variance * total[-1] * (1 - 1e-12))) + 1 if total.size else 0
    tied = 0 < kept < total.size and values[kept - 1] - values[kept] <= TIE * values[0]
    components = np.zeros((moments.mean.size, kept))
    components[alive] = vectors[:, :kept] / np.sqrt(values[:kept])
    return components, bool(tied)


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return R with RᵀCR = 1, for all directions of C that vary."""
    factor, failed = lapack.dpotrf(covariance, lower=1)
    if not failed and np.square(np.diagonal(factor)).min(initial=1.0) > WELL:
        # Several times faster than eigenvectors.
        return np.tril(lapack.dtrtri(factor, lower=1)[0]).T
    values, vectors = np.linalg.eigh(covariance)
    kept = values > ILL
    return vectors[:, kept] / np.sqrt(values[kept])
