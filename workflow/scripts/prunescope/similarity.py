"""Similarity of two representations of the same examples: from second moments to measures.

Nothing here knows about networks or files. In all equations the columns of X_a (n × p_a) and X_b (n × p_b)
are centred, C_ab = X_aᵀX_b / n, and W_a (p_a × r_a) whitens a: W_aᵀC_aaW_a is the identity. The canonical
correlations ρ₁ ≥ ρ₂ ≥ ... are the singular values of M = W_aᵀC_abW_b. Every measure is a similarity: 1 is
identical, and higher is more alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy.linalg import blas, lapack

from prunescope.moments import Cross, Moments

# A unit is constant when its variance is at most this fraction of its squared mean plus the largest variance.
CONSTANT = 1e-13
# A unit depends on others when they leave at most this fraction of its variance unexplained. For very wide
# matrices rounding leaves more: p times the machine's precision.
DEPENDENT = 1e-13
# Moments square the condition number, so whitening by them loses digits where some direction leaves less than
# this fraction of its units' variance; `refine` brings them back.
ILL = 1e-6
# Columns whose correlations are all below this are principal components already; float32 storage of such a
# matrix leaves about 1e-8.
UNCORRELATED = 1e-7

OK = "ok"
FEW = "few rows"
TOO_FEW = "too few rows"
DEAD = "dead layer"
UNDEFINED = "undefined"


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

    Units that do not vary leave first (`CONSTANT`), then all are scaled to variance 1, and a Cholesky
    factorisation with complete pivoting takes one unit after the other, always the one least explained by
    those already taken, until the rest is explained (`DEPENDENT`). The inverse factor whitens the units
    taken. They span what all units span, so nothing is lost.

    Parameters
    ----------
    moments : Moments
    variance : float, optional
        Fraction of the variance that the principal components keep, in (0, 1]; None finds no components,
        which saves an eigendecomposition.
    rotated : bool, optional
        Whether the columns are a rotation of the units instead of the units themselves.
    """
    components = None if variance is None else _components(moments, variance)
    return Representation(moments, *_whitening(moments), components, rotated)


def refine(side: Representation, moments: Moments) -> tuple[Representation, np.ndarray]:
    """Correct a whitening by what it left to do: the second step of CholeskyQR2.

    Whitened rows are nearly uncorrelated, so their own moments lose no digits, however ill-conditioned the
    matrix was.

    Parameters
    ----------
    side : Representation
    moments : Moments
        Of its whitened rows (`whiten`), accumulated in a pass of their own.

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


@dataclass(frozen=True)
class Pair:
    """Two representations and what is between them.

    Attributes
    ----------
    a, b : Representation
    cross : Cross
    directions : bool
        Whether canonical directions will be asked for (PWCCA): they cost twice the correlations.
    whitened : ndarray, shape (rank_a, rank_b), or None
        M, when it is known from whitened rows; otherwise it follows from `cross`.
    """

    a: Representation
    b: Representation
    cross: Cross
    directions: bool = True
    whitened: np.ndarray | None = None

    @cached_property
    def canonical(self) -> tuple[np.ndarray | None, np.ndarray, np.ndarray | None]:
        """Left singular vectors (columns), canonical correlations, right singular vectors (columns) of M."""
        matrix = self.whitened
        if matrix is None:
            matrix = _whitened(self.a, self.cross.covariance, self.b)
        if not self.directions:
            return None, _correlations(matrix), None
        if matrix.shape[0] < matrix.shape[1]:
            right, values, left = _directions(matrix.T)
        else:
            left, values, right = _directions(matrix)
        return left, values, right

    @cached_property
    def truncated(self) -> np.ndarray:
        """Canonical correlations between the leading principal components."""
        if all(side.components.shape[1] == side.rank for side in (self.a, self.b)):
            return self.canonical[1]  # they span the same, and these are precise whatever the condition
        return _correlations(self.a.components.T @ self.cross.covariance @ self.b.components)

    def swapped(self) -> "Pair":
        """Return (b, a)."""
        whitened = None if self.whitened is None else self.whitened.T
        pair = Pair(self.b, self.a, self.cross.swapped(), self.directions, whitened)
        if "canonical" in self.__dict__:
            pair.__dict__["canonical"] = self.canonical[::-1]
        return pair


def _whitened(a: Representation, covariance: np.ndarray, b: Representation) -> np.ndarray:
    """M = W_aᵀ C_ab W_b, with half the arithmetic of full matrices because both factors are triangular."""
    # BLAS wants its columns contiguous, so it gets Cᵀ, which these rows already are.
    block = covariance[np.ix_(a.units, b.units)].T
    block = blas.dtrmm(1.0, b.whitening, block, lower=1, overwrite_b=1)
    return blas.dtrmm(1.0, a.whitening, block, side=1, lower=1, trans_a=1, overwrite_b=1).T


def _correlations(matrix: np.ndarray) -> np.ndarray:
    """Singular values, descending and within [0, 1], from the eigenvalues of the smaller Gram matrix.

    Twice as fast as from an SVD. Values near 0 have an absolute error of 1e-8 instead of 1e-16.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    gram = blas.dsyrk(1.0, matrix.T, trans=int(wide), lower=1)
    values, *_, failed = lapack.dsyevr(gram, compute_v=0, lower=1, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("eigenvalues of a matrix of correlations did not converge")
    return np.sqrt(np.clip(values[::-1], 0, 1))


def _directions(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left vectors, values and right vectors of a matrix that is not wide, in the same way."""
    values, right = np.linalg.eigh(matrix.T @ matrix)
    right = right[:, ::-1]
    left = matrix @ right
    lengths = np.linalg.norm(left, axis=0)
    return left / np.where(lengths > 0, lengths, 1), np.sqrt(np.clip(values[::-1], 0, 1)), right


def cca(pair: Pair) -> float:
    """Mean canonical correlation.

    (ρ₁ + ... + ρ_m) / m with m = min(r_a, r_b). Invariant to invertible linear maps of either side.
    Raghu et al., "SVCCA", NeurIPS 2017; Hotelling, "Relations between two sets of variates", 1936.
    """
    return pair.canonical[1].mean()


def cca_r2(pair: Pair) -> float:
    """Mean squared canonical correlation, ‖M‖_F² / min(r_a, r_b).

    Invariant to invertible linear maps of either side. Yanai's generalised coefficient of determination,
    1974; "R²_CCA" in Kornblith et al., "Similarity of neural network representations revisited", ICML 2019.
    """
    return np.square(pair.canonical[1]).mean()


def svcca(pair: Pair) -> float:
    """Singular vector CCA: mean canonical correlation between leading principal components.

    Each side is first projected on the fewest principal components that keep `variance` of its variance (k_a
    and k_b of them); the mean is over min(k_a, k_b). Invariant to orthogonal maps and isotropic scaling.
    Raghu et al., "SVCCA", NeurIPS 2017.
    """
    return pair.truncated.mean()


def svcca_trim98(pair: Pair) -> float:
    """SVCCA over only the largest correlations: the first j with ρ₁ + ... + ρ_j ≥ 0.98 Σρ.

    What the code behind the ICPRAM 2020 paper calls mean CCA: it uses google/svcca, whose "mean" is trimmed
    so. At least as large as `svcca`; for comparison with published numbers.
    """
    total = np.cumsum(pair.truncated)
    return pair.truncated[: np.searchsorted(total, 0.98 * total[-1]) + 1].mean()


def pwcca(pair: Pair) -> float:
    """Projection-weighted CCA, Σ α_l ρ_l / Σ α_l, weighted by a: not symmetric.

    α_l = Σ_j |⟨h_l, x_j⟩|: how much of the units x_j of a lies along its canonical variate h_l = X_aW_au_l
    (u_l the left singular vectors of M), so α is |UᵀW_aᵀC_aa| summed over units. Invariant to invertible maps
    of b; of a, being weighted by units, only to permutations, signs and isotropic scaling.
    Morcos, Raghu & Bengio, "Insights on representational similarity", NeurIPS 2018.
    """
    left, correlations, _ = pair.canonical
    weights = np.abs(left.T @ pair.a.loadings).sum(axis=1)
    return weights @ correlations / weights.sum()


def cka(pair: Pair) -> float:
    """Linear centred kernel alignment, ‖C_ab‖_F² / (‖C_aa‖_F ‖C_bb‖_F).

    Invariant to orthogonal maps and isotropic scaling. Biased upwards when there are few rows.
    Kornblith et al., "Similarity of neural network representations revisited", ICML 2019.
    """
    own = np.linalg.norm(pair.a.moments.covariance) * np.linalg.norm(pair.b.moments.covariance)
    return np.sum(np.square(pair.cross.covariance)) / own


def cka_debiased(pair: Pair) -> float:
    """Linear CKA with unbiased estimates of HSIC; 0 is expected of unrelated representations.

    H(a,b) / √(H(a,a) H(b,b)), where, with centred rows x_i and y_i,
    n(n-3) H = Σ_ij (x_i·x_j)(y_i·y_j) [i≠j] + Σ|x|² Σ|y|² / ((n-1)(n-2)) - 2/(n-2) Σ |x_i|²|y_i|².
    Can be slightly negative. NaN when H(a,a) or H(b,b) is not positive.
    Song et al., "Feature selection via dependence maximization", JMLR 2012, applied to CKA.
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


def nbs(pair: Pair) -> float:
    """Normalised Bures similarity, ‖C_ab‖_* / √(tr C_aa · tr C_bb).

    One minus half the squared Procrustes distance of the matrices scaled to norm 1. Invariant to orthogonal
    maps and isotropic scaling. Tang, Maddox, Dickens, Diethe & Damianou, 2020 (arXiv 2003.11370).
    """
    # Unlike correlations these span many orders of magnitude, which eigenvalues of a square would lose.
    nuclear = np.linalg.svd(pair.cross.covariance, compute_uv=False).sum()
    return nuclear / np.sqrt(pair.a.variance * pair.b.variance)


@lru_cache(maxsize=4096)
def chance_cca(n: int, rank_a: int, rank_b: int) -> float:
    """Mean canonical correlation between unrelated representations, by Wachter's law.

    The squared correlations of independent Gaussian matrices of ranks p ≤ q in N = n - 1 dimensions have, for
    large sizes, the density √((x - l)(u - x)) / (2π (p/N) x (1 - x)) between l, u = (√(p/N (1 - q/N)) ∓
    √(q/N (1 - p/N)))². NaN when p + q > N. Wachter, "The limiting empirical measure of multiple discriminant
    ratios", Annals of Statistics 1980.
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


def chance_cca_r2(n: int, rank_a: int, rank_b: int) -> float:
    """Mean squared canonical correlation of unrelated representations, max(r_a, r_b) / (n - 1): exact."""
    return max(rank_a, rank_b) / (n - 1)


def chance_cka(pair: Pair) -> float:
    """Mean CKA over all permutations of b's rows, tr C_aa tr C_bb / ((n - 1) ‖C_aa‖_F ‖C_bb‖_F): exact."""
    own = np.linalg.norm(pair.a.moments.covariance) * np.linalg.norm(pair.b.moments.covariance)
    return pair.a.variance * pair.b.variance / (own * (pair.a.moments.n - 1))


MEASURES = {
    "cca": cca,
    "cca_r2": cca_r2,
    "svcca": svcca,
    "pwcca": pwcca,
    "cka": cka,
    "cka_debiased": cka_debiased,
    "nbs": nbs,
    "svcca_trim98": svcca_trim98,
}
WHOLE = {"cca", "cca_r2", "pwcca"}
TRUNCATED = {"svcca", "svcca_trim98"}


@dataclass(frozen=True)
class Score:
    """One measure of one pair (a, b).

    Attributes
    ----------
    metric : str
    value, reverse : float
        Of (a, b) and of (b, a), which differ for ``pwcca`` only. NaN when a number would mislead.
    chance : float
        Expected between unrelated representations of these sizes; NaN where not known.
    rank_a, rank_b : int
        Directions used: independent units, or principal components for the SVCCA measures.
    status : str
        ``ok``; ``few rows`` (n < 5 × width: correlations are high by chance alone, see `chance`); and with
        the value NaN ``too few rows`` (n ≤ rank_a + rank_b: correlations of 1 by construction; n < 4 for
        ``cka_debiased``), ``dead layer`` (no unit varies) or ``undefined`` (``cka_debiased``: an estimate
        that must be positive is not; ``pwcca``: only a rotation of the units is there).
    spectrum : ndarray or None
        The canonical correlations, descending, for ``cca``.
    """

    metric: str
    value: float
    reverse: float
    chance: float
    rank_a: int
    rank_b: int
    status: str
    spectrum: np.ndarray | None = field(default=None, repr=False)


def compare(
    a: Representation,
    b: Representation,
    cross: Cross,
    metrics: Sequence[str],
    whitened: np.ndarray | None = None,
) -> list[Score]:
    """Compute measures of one pair.

    Parameters
    ----------
    a, b : Representation
        With principal components when a measure of `TRUNCATED` is asked for.
    cross : Cross
        Between a and b.
    metrics : sequence of str
        Of `MEASURES`.
    whitened : ndarray, shape (rank_a, rank_b), optional
        Covariance between the whitened rows of a and b, where that between the units is not precise enough:
        when one of them is `ill`.

    Returns
    -------
    list of Score
        In the order of `metrics`.
    """
    pair = Pair(a, b, cross, "pwcca" in metrics, whitened)
    return [_score(pair, metric) for metric in metrics]


def _score(pair: Pair, metric: str) -> Score:
    a, b, n = pair.a, pair.b, pair.a.moments.n
    ranks = (a.components.shape[1], b.components.shape[1]) if metric in TRUNCATED else (a.rank, b.rank)
    width = max(a.moments.mean.size, b.moments.mean.size)
    status = _status(metric, n, ranks, width, a.rotated or b.rotated)
    if status not in (OK, FEW):
        return Score(metric, np.nan, np.nan, np.nan, *ranks, status)
    value = float(MEASURES[metric](pair))
    if np.isnan(value):
        return Score(metric, np.nan, np.nan, np.nan, *ranks, UNDEFINED)
    reverse = float(pwcca(pair.swapped())) if metric == "pwcca" else value
    chance = np.nan
    if metric in ("cca", "svcca"):
        chance = chance_cca(n, *ranks)
    elif metric == "cca_r2":
        chance = chance_cca_r2(n, *ranks)
    elif metric == "cka":
        chance = float(chance_cka(pair))
    elif metric == "cka_debiased":
        chance = 0.0
    return Score(
        metric, value, reverse, chance, *ranks, status, pair.canonical[1] if metric == "cca" else None
    )


def _status(metric: str, n: int, ranks: tuple[int, int], width: int, rotated: bool) -> str:
    if min(ranks) == 0:
        return DEAD
    if metric in WHOLE | TRUNCATED:
        if n <= sum(ranks):
            return TOO_FEW
        if metric == "pwcca" and rotated:
            return UNDEFINED
        if n < 5 * width:
            return FEW
    return TOO_FEW if metric == "cka_debiased" and n < 4 else OK
