"""Chance levels: the expected values of measures when whole images are permuted.

Images are exchangeable; rows of one image are not. With rows as (image, position t), m_t the mean over the
images at position t of centred columns and A° the rows minus m_t, permuting the images of b leaves C_ab with

    mean      D = Σ_t m_t^a (m_t^b)ᵀ / positions,
    variance  v = E‖C_ab - D‖_F² = Σ_tu G^a_tu G^b_tu / ((N - 1) n²), with G_tu = Σ_i ⟨A°_it, A°_iu⟩,

in raw, whitened or principal coordinates. With one position D = 0 and v = tr C_aa tr C_bb / (N - 1). With
more, G is estimated from sums over random folds of images; its trace is known exactly.

Functions of a pair and its ranks can be the `chance` of a measure.
"""

from functools import cached_property, lru_cache

import numpy as np

from prunescope.similarity.whitening import Representation

# Numbers of singular values and of draws: the more values, the fewer draws are needed.
VALUES, MOST_DRAWS = 256, 32


class Unrelated:
    """Moments between two representations when the images of one are permuted, each computed once.

    Parameters
    ----------
    a, b : Representation
    """

    def __init__(self, a: Representation, b: Representation):
        self.a, self.b = a, b
        self._moments, self._singular = {}, {}

    def moments(self, basis: str) -> tuple[np.ndarray, float]:
        """Return D and v in a basis, see `Measure.basis`."""
        if basis not in self._moments:
            self._moments[basis] = self._moments_in(basis)
        return self._moments[basis]

    def rows(self, basis: str) -> float:
        """Return how many independent rows would vary as much: the number of images, if each has one row."""
        variance = self.moments(basis)[1]
        with np.errstate(divide="ignore"):
            return float(np.divide(self.a.size(basis) * self.b.size(basis), variance)) + 1

    def singular(self, basis: str) -> np.ndarray:
        """Singular values of draws, descending, shape (draws, smaller side)."""
        if basis == "components" and self._ranks("components") == self._ranks("units"):
            basis = "units"  # they span the same
        if basis not in self._singular:
            mean, variance = self.moments(basis)
            if basis != "raw" and self.a.moments.positions > 1:
                # Equivalent to D, and independent of the order in which units were whitened.
                mean = _diagonal(_values(mean[None])[0], mean.shape)
            self._singular[basis] = _values(self._draws(basis, mean, variance))
        return self._singular[basis]

    @cached_property
    def directions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Left vectors (columns), correlations and right vectors (columns) of draws of M."""
        left, values, right = np.linalg.svd(self._draws("units", *self.moments("units")), full_matrices=False)
        return left, np.minimum(values, 1), right.transpose(0, 2, 1)

    def _draws(self, basis: str, mean: np.ndarray, variance: float) -> np.ndarray:
        """Add Gaussian noise to D, shape (draws, k_a, k_b), from a fixed seed.

        In raw coordinates, the noise has the correlations of the columns.
        """
        count = int(np.clip(VALUES // min(mean.shape), 1, MOST_DRAWS))
        noise = np.random.default_rng(0).standard_normal((count, *mean.shape))
        noise *= np.sqrt(variance / (self.a.size(basis) * self.b.size(basis)))
        if basis == "raw":
            noise = self.a.root @ noise @ self.b.root.T
        return mean + noise

    def _ranks(self, basis: str) -> tuple[int, int]:
        return int(self.a.size(basis)), int(self.b.size(basis))

    def _moments_in(self, basis: str) -> tuple[np.ndarray, float]:
        sides, moments = (self.a, self.b), self.a.moments
        a, b = (side.coordinates(basis, side.moments.map) for side in sides)
        # tr G / n: the variance that remains after subtracting the means at each position.
        left_a, left_b = (
            max(side.size(basis) - np.square(m).sum() / moments.positions, 0.0)
            for side, m in zip(sides, (a, b), strict=True)
        )
        variance = left_a * left_b / max(moments.images - 1, 1)
        overlap = self._overlap(basis) if moments.positions > 1 else 1.0
        return a.T @ b / moments.positions, variance * overlap

    def _overlap(self, basis: str) -> float:
        """tr(G^a G^b) / (tr G^a tr G^b), from folds of a and different folds of b."""
        (a, lengths_a), (b, lengths_b) = (side.folds(basis) for side in (self.a, self.b))
        both = sum(np.square(a[fold - 1].T @ b[fold]).sum() for fold in range(len(a)))
        apart = np.roll(lengths_a, 1) @ lengths_b
        return float(both / apart) if apart else 0.0


def _values(matrices: np.ndarray) -> np.ndarray:
    """Singular values of matrices, descending."""
    if matrices.shape[1] > matrices.shape[2]:
        matrices = matrices.transpose(0, 2, 1)
    values = np.linalg.eigvalsh(matrices @ matrices.transpose(0, 2, 1))
    return np.sqrt(np.clip(values[:, ::-1], 0, None))


def _diagonal(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    matrix = np.zeros(shape)
    np.fill_diagonal(matrix, values)
    return matrix


def correlation(pair, ranks: tuple[int, int]) -> float:
    """Mean canonical correlation of unrelated representations."""
    return float(_correlations(pair, ranks, "units").mean())


def truncated(pair, ranks: tuple[int, int]) -> float:
    """Mean canonical correlation between the principal components of unrelated representations."""
    return float(_correlations(pair, ranks, "components").mean())


def trimmed(pair, ranks: tuple[int, int]) -> float:
    """Mean of the largest correlations that make up 98 % of the sum, of unrelated representations."""
    draws = np.minimum(pair.unrelated.singular("components"), 1)
    longer = np.mean([top(values).mean() for values in draws]) / draws.mean()
    return truncated(pair, ranks) * float(longer)


def weighted(pair, ranks: tuple[int, int]) -> float:
    """PWCCA of unrelated representations; for independent rows, it is the mean correlation."""
    if pair.a.moments.positions == 1:
        return correlation(pair, ranks)
    unrelated = pair.unrelated
    left, values, right = unrelated.directions
    directions = left if unrelated.a is pair.a else right
    weights = np.abs(directions.transpose(0, 2, 1) @ pair.a.loadings).sum(axis=2)
    return float(np.mean((weights * values).sum(axis=1) / weights.sum(axis=1)))


def squared_correlation(pair, ranks: tuple[int, int]) -> float:
    """Mean squared canonical correlation over all permutations of images, (‖D‖_F² + v) / min(r_a, r_b)."""
    mean, variance = pair.unrelated.moments("units")
    return (np.square(mean).sum() + variance) / min(ranks)


def alignment(pair, _ranks: tuple[int, int]) -> float:
    """Mean CKA over all permutations of images, (‖D‖_F² + v) / (‖C_aa‖_F ‖C_bb‖_F)."""
    mean, variance = pair.unrelated.moments("raw")
    own = np.linalg.norm(pair.a.moments.covariance) * np.linalg.norm(pair.b.moments.covariance)
    return (np.square(mean).sum() + variance) / own


def nuclear(pair, _ranks: tuple[int, int]) -> float:
    """Mean normalised Bures similarity of unrelated representations."""
    values = pair.unrelated.singular("raw").sum(axis=1).mean()
    return float(values / np.sqrt(pair.a.variance * pair.b.variance))


def zero(_pair, _ranks: tuple[int, int]) -> float:
    """Chance level of a measure that is unbiased for unrelated representations."""
    return 0.0


def top(values: np.ndarray) -> np.ndarray:
    """Return the first of the descending values, up to 98 % of their sum."""
    total = np.cumsum(values)
    return values[: np.searchsorted(total, 0.98 * total[-1]) + 1]


def _correlations(pair, ranks: tuple[int, int], basis: str) -> np.ndarray:
    """Rows of drawn canonical correlations, descending; for independent rows, quantiles of Wachter's law."""
    if pair.a.moments.positions == 1:
        return wachter(pair.n, *ranks)[None]
    return np.minimum(pair.unrelated.singular(basis), 1)


@lru_cache(maxsize=4096)
def wachter(n: int, rank_a: int, rank_b: int) -> np.ndarray:
    """Canonical correlations between unrelated representations of independent rows, by Wachter's law.

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
    ndarray, shape (min(rank_a, rank_b),)
        Means of the law's equal parts, descending; their mean is that of the law. NaN when p + q > N.

    References
    ----------
    Wachter, "The limiting empirical measure of multiple discriminant ratios", Annals of Statistics 1980.
    """
    count = min(rank_a, rank_b)
    p, q = sorted((rank_a / (n - 1), rank_b / (n - 1)))
    if p + q > 1 or p == 0:
        return np.full(max(count, 1), np.nan)
    lower, upper = ((np.sqrt(p * (1 - q)) + sign * np.sqrt(q * (1 - p))) ** 2 for sign in (-1, 1))
    angles = (np.arange(4096) + 0.5) * np.pi / 4096
    half = (upper - lower) / 2
    x = lower + half * (1 + np.cos(angles))
    density = (half * np.sin(angles)) ** 2 / (2 * np.pi * p * x * (1 - x))
    share = np.concatenate([[0], np.cumsum(density) / density.sum()])
    sums = np.concatenate([[0], np.cumsum(np.sqrt(x) * density) / density.sum()])
    return np.diff(np.interp(np.arange(count + 1) / count, share, sums)) * count
