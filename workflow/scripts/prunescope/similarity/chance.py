"""Chance levels: what measures give when the images of one side are permuted; mean and 95 % quantile.

There are two ways to know them:

- One row per image, and many images carry the variance: C_ab is like a Gaussian matrix, and each measure has
  a formula, its `chance`.
- Maps, or few images that carry the variance (leverage): images are really permuted, see `Unrelated`, and the
  measures computed, more often if they vary more. The mean of ‖C_ab‖_F² is known, which reduces the error.
  With leverage, values depend mostly on which images with long rows meet: Σ_i |x_i| |y_π(i)| and
  Σ_i |x_i|² |y_π(i)|² are known for as many permutations as there are images.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import gammaincinv, stdtrit

from prunescope.similarity.unrelated import Unrelated

# Permutations: more are drawn until the standard error of each mean is at most `ENOUGH` of it. With more than
# `MOST_ERROR` after the last stage, no chance is given. Leverage needs the second stage at once.
STAGES, ENOUGH, MOST_ERROR = (8, 16, 64), 0.025, 0.05
# Values of few units vary much, but are computed fast. With one row per image and up to `SOME_PRODUCTS`, the
# quantile is from all stages; with up to `FEW_PRODUCTS`, there are more stages before chance is unknown.
SOME_PRODUCTS, FEW_PRODUCTS, MORE_STAGES = 4096, 256, (256, 1024)
# The quantile that is given, and that of the standard normal distribution.
QUANTILE, NORMAL = 0.95, 1.6448536269514722
# Numbers of singular values and of draws: the more values, the fewer draws are needed.
VALUES, MOST_DRAWS = 256, 32
# Correlation of the two estimates that cross-validation averages, for unrelated representations: each half
# of the images gives directions for the other. It is the square of the mean of the quarter-circle law.
SHARED = (8 / (3 * np.pi)) ** 2


def levels(pair, measures: Sequence) -> dict[str, list[tuple[float, float]]]:
    """Return the mean and the 95 % quantile of measures when images are permuted.

    Parameters
    ----------
    pair : Pair
    measures : sequence of Measure

    Returns
    -------
    dict of str to list of tuple
        By measure: (mean, quantile) for (a, b), and if it is not symmetric for (b, a). NaN where they are not
        known.
    """
    by_formula, permuted = {}, []
    for measure in measures:
        if not measure.chance:
            continue
        ranks = pair.ranks(measure.basis)
        sides = [(pair, ranks)] + [(pair.swapped(), ranks[::-1])] * (not measure.symmetric)
        formula = measure.any_images or not pair.unrelated.drawn
        levels = [measure.chance(*side) for side in sides] if formula else [None]
        if None in levels:
            permuted.append(measure)
        else:
            by_formula[measure.name] = [_both(level) for level in levels]
    every = by_formula | (_from_permutations(pair, permuted) if permuted else {})
    # With very few images, the tails of formulas leave the range of the measures.
    return {name: [(mean, float(np.minimum(high, 1))) for mean, high in both] for name, both in every.items()}


def _both(level: float | tuple[float, float]) -> tuple[float, float]:
    return level if isinstance(level, tuple) else (float(level), np.nan)


def _from_permutations(pair, measures: Sequence) -> dict[str, list[tuple[float, float]]]:
    unrelated = pair.unrelated
    columns = [(measure, back) for measure in measures for back in range(2 - measure.symmetric)]
    values, sizes = {column: [] for column in columns}, {_bases(*column): [] for column in columns}
    summaries: dict[tuple, tuple[float, float, float]] = {}
    stops = _stops(pair)
    for start, stop in zip((0, *stops), stops, strict=False):
        # Only measures whose mean is not yet known well.
        error = ENOUGH if start < STAGES[-1] else MOST_ERROR
        unsure = [column for column in columns if column not in summaries or summaries[column][2] > error]
        for cross in unrelated.permuted(start, stop) if unsure else ():
            drawn = pair.with_cross(cross)
            for bases, known in sizes.items():
                known.append(unrelated.size(cross.covariance, bases))
            for measure, back in unsure:
                values[measure, back].append(measure.value(drawn, back))
        for column in unsure:
            bases = _bases(*column)
            summaries[column] = _summary(
                unrelated, column[0], bases, np.array(values[column]), np.array(sizes[bases])
            )
    levels: dict = {measure.name: [] for measure in measures}
    for (measure, _), (mean, high, error) in summaries.items():
        levels[measure.name].append((mean, high) if error <= MOST_ERROR else (np.nan, np.nan))
    return levels


def _stops(pair) -> tuple[int, ...]:
    """Return the numbers of permutations after which the error is looked at."""
    unrelated = pair.unrelated
    products = pair.cross.covariance.size if unrelated.positions == 1 else np.inf
    stops = STAGES + MORE_STAGES * (products <= FEW_PRODUCTS)
    return stops[1 if unrelated.leveraged else 2 * (products <= SOME_PRODUCTS) :]


def _bases(measure, back: bool) -> tuple[str, str]:
    return measure.bases[::-1] if back else measure.bases


def _summary(
    unrelated: Unrelated, measure, bases: tuple[str, str], values: np.ndarray, sizes: np.ndarray
) -> tuple[float, float, float]:
    """Return mean, 95 % quantile and the relative standard error of the mean, infinite if unknown.

    `sizes` are ‖C_ab‖_F² after the same permutations.
    """
    if values.size < 3 or (unrelated.leveraged and not unrelated.a.sample.complete):
        return (0.0, np.nan, 0.0) if measure.centred else (np.nan, np.nan, np.inf)
    summary = _with_leverage if unrelated.leveraged else _without_leverage
    return summary(unrelated, measure, bases, values, sizes)


def _with_leverage(
    unrelated: Unrelated, measure, bases: tuple[str, str], values: np.ndarray, sizes: np.ndarray
) -> tuple[float, float, float]:
    """Values depend mostly on which images with long rows meet, or on ‖C_ab‖_F²."""
    spread, every = min(
        (_follow(unrelated, bases, values, power) for power in (1, 2)), key=lambda follow: follow[0]
    )
    mean, high = every.mean(), np.quantile(every, QUANTILE)
    if measure.centred:
        return 0.0, float(max(_limit(values), high - mean)), 0.0
    ratio = high / mean
    if unrelated.sized:
        slope, residuals = _fit(values, sizes)
        if _spread(residuals) < spread:
            mean = values.mean() + slope * (unrelated.expected(bases) - sizes.mean())
            spread = _spread(residuals)
    return _with_error(mean, ratio, spread, values.size)


def _without_leverage(
    unrelated: Unrelated, measure, bases: tuple[str, str], values: np.ndarray, sizes: np.ndarray
) -> tuple[float, float, float]:
    """Values are nearly proportional to ‖C_ab‖_F, or to its square."""
    count = values.size
    if measure.centred:
        return 0.0, float(_limit(values)), 0.0
    mean, spread = values.mean(), values.std(ddof=1)
    # A limit for one more value, because mean and spread are known from few.
    wider = spread * stdtrit(count - 1, QUANTILE) / NORMAL * np.sqrt(1 + 1 / count)
    high = mean * stretch((mean / wider) ** 2) if wider > 1e-9 * mean else mean
    ratio = high / mean
    if sizes.min() > 0:
        known = unrelated.expected(bases)
        for power in (0.5, 1):
            scaled = values * (known / sizes) ** power
            if scaled.std(ddof=1) < spread:
                mean, spread = scaled.mean(), scaled.std(ddof=1)
    return _with_error(mean, ratio, spread, count)


def _limit(values: np.ndarray) -> float:
    """95 % quantile of a measure with mean 0."""
    return stdtrit(values.size, QUANTILE) * np.sqrt(np.mean(values**2))


def _with_error(mean: float, ratio: float, spread: float, count: int) -> tuple[float, float, float]:
    return float(mean), float(ratio * mean), float(spread / np.sqrt(count) / mean) if mean > 0 else np.inf


def _fit(values: np.ndarray, known: np.ndarray) -> tuple[float, np.ndarray]:
    """Slope and residuals of a line through values."""
    centred = known - known.mean()
    square = centred @ centred
    slope = float(centred @ values / square) if square else 0.0
    return slope, values - values.mean() - slope * centred


def _spread(residuals: np.ndarray) -> float:
    return float(np.sqrt(residuals @ residuals / max(residuals.size - 2, 1)))


def _follow(
    unrelated: Unrelated, bases: tuple[str, str], values: np.ndarray, power: int
) -> tuple[float, np.ndarray]:
    """Return the spread of residuals, and likely values after every permutation, from known products."""
    drawn, every = unrelated.products(bases, power)
    drawn = drawn[: values.size]
    slope, residuals = _fit(values, drawn)
    noise = np.random.default_rng(2).choice(residuals, every.size)
    return _spread(residuals), values.mean() + slope * (every - drawn.mean()) + noise - noise.mean()


# --- formulas for one row per image ----------------------------------------------------------------------


def stretch(shape: float) -> float:
    """95 % quantile of a Gamma distribution with this shape, divided by its mean."""
    return float(gammaincinv(shape, QUANTILE) / shape)


def _shape(pair, ranks: tuple[int, int] | None = None) -> float:
    """Shape of the Gamma distribution that ‖C_ab‖_F² has, raw or of whitened columns: mean² / variance."""
    return float(np.prod(ranks)) / 2 if ranks else pair.a.spread * pair.b.spread / 2


def correlation(pair, ranks: tuple[int, int]) -> tuple[float, float]:
    """Mean canonical correlation: Wachter's law."""
    mean = float(wachter(pair.n, *ranks).mean())
    return mean, mean * np.sqrt(stretch(_shape(pair, ranks)))


def trimmed(pair, ranks: tuple[int, int]) -> tuple[float, float]:
    """Mean of the largest correlations that make up 98 % of the sum."""
    mean, high = correlation(pair, ranks)
    longer = _longer(*sorted(ranks))
    return mean * longer, high * longer


def squared_correlation(pair, ranks: tuple[int, int]) -> tuple[float, float]:
    """Mean squared canonical correlation, max(r_a, r_b) / (N - 1)."""
    mean = max(ranks) / (pair.n - 1)
    return mean, mean * stretch(_shape(pair, ranks))


def regression(pair, ranks: tuple[int, int]) -> tuple[float, float]:
    """R² of a linear regression on b, r_b / (N - 1)."""
    mean = ranks[1] / (pair.n - 1)
    return mean, mean * stretch(pair.a.spread * ranks[1] / 2)


def alignment(pair, _ranks: tuple[int, int]) -> tuple[float, float]:
    """Linear CKA, tr C_aa tr C_bb / ((N - 1) ‖C_aa‖_F ‖C_bb‖_F)."""
    mean = float(np.sqrt(pair.a.spread * pair.b.spread)) / (pair.n - 1)
    return mean, mean * stretch(_shape(pair))


def nuclear(pair, _ranks: tuple[int, int]) -> tuple[float, float]:
    """Normalised Bures similarity: draws of a Gaussian matrix with the correlations of the columns."""
    a, b = pair.a.root, pair.b.root
    count = int(np.clip(VALUES // min(len(a), len(b)), 1, MOST_DRAWS))
    noise = np.random.default_rng(0).standard_normal((count, len(a), len(b)))
    values = _values(a @ noise @ b.T).sum(axis=1).mean()
    mean = float(values / np.sqrt(pair.a.variance * pair.b.variance * (pair.n - 1)))
    return mean, mean * np.sqrt(stretch(_shape(pair)))


def debiased(pair, _ranks: tuple[int, int]) -> tuple[float, float]:
    """Debiased CKA: the variance over all permutations is exactly 2 / (N (N - 3))."""
    shape, n = _shape(pair), pair.n
    return 0.0, float(np.sqrt(2 / (n * (n - 3)) * shape) * (stretch(shape) - 1))


def cross_validated(pair, ranks: tuple[int, int]) -> tuple[float, float]:
    """Cross-validated CCA: the mean of min(ranks) correlations of half of the rows, twice."""
    return 0.0, float(NORMAL * np.sqrt((1 + SHARED) / (pair.n * min(ranks))))


@lru_cache(maxsize=4096)
def _longer(smaller: int, larger: int) -> float:
    """Factor by which trimming raises the mean of the singular values of a Gaussian matrix."""
    count = int(np.clip(8 * VALUES // smaller, 1, 8 * MOST_DRAWS))
    draws = _values(np.random.default_rng(0).standard_normal((count, smaller, larger)))
    return float(np.mean([top(values).mean() for values in draws]) / draws.mean())


def _values(matrices: np.ndarray) -> np.ndarray:
    """Singular values of matrices, descending."""
    if matrices.shape[1] > matrices.shape[2]:
        matrices = matrices.transpose(0, 2, 1)
    values = np.linalg.eigvalsh(matrices @ matrices.transpose(0, 2, 1))
    return np.sqrt(np.clip(values[:, ::-1], 0, None))


def top(values: np.ndarray) -> np.ndarray:
    """Return the first of the descending values, up to 98 % of their sum."""
    total = np.cumsum(values)
    return values[: np.searchsorted(total, 0.98 * total[-1]) + 1]


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
