"""Statistics over a few seeds, on a scale that respects the bounds of a similarity.

The unit is the seed. docs/statistics.md explains the choices, with the simulations behind them
(``make calibrate``). Similarities are averaged on Fisher's scale, z = atanh(v), where their distribution is
nearly symmetric even near 1. The back-transformed mean is called the *typical* value. Arrays may have leading
dimensions, one experiment for each index, so that simulations run the code that judges real experiments.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import bdtr, betaincinv, stdtr, stdtrit

# The chance of a wrong verdict on one question.
LEVEL = 0.05
FEWEST_SEEDS = 3
# The chance of a verdict with the recommended number of seeds, and the largest number that is recommended.
POWER, MOST_SEEDS = 0.8, 100
# Differences that vary less than this are tied: they differ by rounding, or not at all.
TIED = 1e-9
# A distance from 1 below this is float64's rounding of 1.
ROUNDING = 1e-15


def fisher(values: np.ndarray) -> np.ndarray:
    """Transform values between -1 and 1, (..., n, k), by atanh.

    A value of exactly 1 or -1 is first moved halfway towards the nearest other value of its column.
    """
    room = 1 - np.abs(values)
    inside = room > ROUNDING
    least = np.where(inside, room, np.inf).min(axis=-2, keepdims=True, initial=np.inf) / 2
    return np.sign(values) * np.arctanh(1 - np.where(inside, room, np.where(least < 1, least, ROUNDING)))


@dataclass(frozen=True, eq=False)
class Contrast:
    """A weighted sum of typical values, with its tests and limits; made by `of_seeds` and `of_pairs`."""

    # Over seeds, on Fisher's scale: (..., k).
    means: np.ndarray
    # Estimates of the covariance of the means, (..., k, k). The one with the wider limit is used.
    covariances: tuple[np.ndarray, ...]
    # The weighted sum of each seed's own values: (..., n).
    differences: np.ndarray
    # (k,)
    weights: np.ndarray

    @property
    def count(self) -> int:
        """The number of seeds."""
        return self.differences.shape[-1]

    @property
    def negated(self) -> "Contrast":
        """The same with all signs changed."""
        return replace(self, differences=-self.differences, weights=-self.weights)

    @property
    def tied(self) -> np.ndarray:
        """Whether all seeds have the same weighted sum; their spread is then uninformative."""
        return np.ptp(self.differences, axis=-1) <= TIED

    @property
    def estimate(self) -> np.ndarray:
        """The weighted sum of the typical values."""
        return np.tanh(self.means) @ self.weights

    def limit(self, level: float, upper: bool = False) -> np.ndarray:
        """Return a one-sided confidence limit of the estimate, which is wrong with the chance `level`.

        Student's limits of the single typical values on Fisher's scale, which respect -1 and 1, are combined
        by the method of variance estimates recovery (Zou & Donner, Statistics in Medicine 27, 2008), with the
        correlations of the columns. For values far from the bounds it is the paired t interval.
        """
        # A term with a positive weight lowers the sum when it is lower itself.
        sign = np.sign(self.weights) * (1 if upper else -1) * stdtrit(self.count - 1, 1 - level)
        widest = 0.0
        for covariance in self.covariances:
            error = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
            away = self.weights * np.abs(np.tanh(self.means + sign * error) - np.tanh(self.means))
            scaled = away / np.where(error > 0, error, 1)
            variance = np.einsum("...i,...ij,...j->...", scaled, covariance, scaled)
            widest = np.maximum(widest, np.sqrt(np.maximum(variance, 0)))
        return self.estimate + (widest if upper else -widest)

    def p_t(self, margin: float = 0.0) -> np.ndarray:
        """Return the one-sided p-value of Student's t for the hypothesis that the sum is at most `margin`."""
        error = self.differences.std(axis=-1, ddof=1) / math.sqrt(self.count)
        distance = self.differences.mean(axis=-1) - margin
        return stdtr(self.count - 1, -distance / np.where(error > 0, error, np.inf))

    def above(self, margin: float, level: float = LEVEL) -> np.ndarray:
        """Whether the seeds show that the sum is more than `margin`.

        Three tests must agree: the confidence limit; Student's t of the seeds' own sums; and at most one
        seed, or a quarter of them, may be on the other side of the margin. Always False with fewer than three
        seeds or with tied seeds.
        """
        if self.count < FEWEST_SEEDS:
            return np.zeros(self.differences.shape[:-1], bool)
        agree = (self.differences <= margin).sum(axis=-1) <= max(1, self.count // 4)
        return agree & ~self.tied & (self.p_t(margin) <= level) & (self.limit(level) > margin)

    def below(self, margin: float, level: float = LEVEL) -> np.ndarray:
        """Whether the seeds show that the sum is less than `margin`."""
        return self.negated.above(-margin, level)

    def within(self, margin: float, level: float = LEVEL) -> np.ndarray:
        """Whether the seeds show that the sum is between -`margin` and `margin`: two one-sided tests."""
        return self.above(-margin, level) & self.below(margin, level)

    def summary(self, margin: float | None = None) -> dict:
        """Return ``estimate``, ``interval``, ``count`` and ``above`` of one experiment, JSON-ready.

        With a margin, ``interval`` is the 90 % interval, whose ends are one-sided 95 % limits, and ``above``
        is the number of seeds above the margin; without one, the 95 % interval, and the seeds above 0. The
        interval is None if seeds are tied or too few, the estimate is None without a seed.
        """
        level = LEVEL / 2 if margin is None else LEVEL
        known = self.count >= FEWEST_SEEDS and not self.tied
        return {
            "estimate": float(self.estimate) if self.count else None,
            "interval": [float(self.limit(level, upper)) for upper in (False, True)] if known else None,
            "count": self.count,
            "above": int((self.differences > (margin or 0.0)).sum()),
        }

    def seeds_needed(self, margin: float, level: float = LEVEL) -> int | None:
        """Return about how many seeds show in four of five experiments on which side of `margin` the sum is.

        The estimate and the spread of this experiment are taken as true, and only the confidence limit is
        considered. More than there are. None if they are not known, or if more than `MOST_SEEDS` are needed.
        """
        if not FEWEST_SEEDS <= self.count < MOST_SEEDS or self.tied:
            return None
        one = self if self.estimate > margin else self.negated
        half = float(one.estimate - one.limit(LEVEL))
        deviation = half * math.sqrt(self.count) / stdtrit(self.count - 1, 1 - LEVEL)
        counts = np.arange(self.count + 1, MOST_SEEDS + 1)
        quantiles = stdtrit(counts - 1, 1 - level) + stdtrit(counts - 1, POWER)
        enough = np.sqrt(counts) * abs(float(self.estimate) - margin) >= deviation * quantiles
        return int(counts[enough.argmax()]) if enough.any() else None


def of_seeds(values: np.ndarray, weights: Sequence[float]) -> Contrast:
    """Make a contrast of values of single seeds, (..., n, k), with a weight for each of k quantities."""
    weights, columns = np.asarray(weights, float), fisher(values)
    return Contrast(_mean(columns), (_covariance(columns),), values @ weights, weights)


def of_pairs(pairs: np.ndarray, weights: Sequence[float], values: np.ndarray | None = None) -> Contrast:
    """Make a contrast of `values` of single seeds (..., n, j), then means over pairs of seeds (..., k, n, n).

    Pairs share seeds. The covariance is that of the delete-one-seed jackknife, or the largest that seeds can
    cause if they vary so that pairs vary as they do: twice the covariance of the pairs, divided by n, and no
    correlation with the seeds' own values. There are at least three seeds; the diagonals are ignored.
    """
    weights, n = np.asarray(weights, float), pairs.shape[-1]
    values = np.zeros((*pairs.shape[:-3], n, 0)) if values is None else values
    above, below = np.triu_indices(n, 1)
    columns = fisher(pairs[..., above, below].swapaxes(-1, -2))
    transformed = np.zeros(pairs.shape)
    transformed[..., above, below] = transformed[..., below, above] = columns.swapaxes(-1, -2)
    of_seed = _without_diagonal(transformed).swapaxes(-1, -2)
    mean = of_seed.mean(axis=-2, keepdims=True)
    pseudovalues = mean + 2 * (n - 1) / (n - 2) * (of_seed - mean)
    both = np.concatenate([fisher(values), pseudovalues], axis=-1)
    jackknife, largest = _covariance(both), np.zeros((*both.shape[:-2], both.shape[-1], both.shape[-1]))
    j = values.shape[-1]
    largest[..., :j, :j] = jackknife[..., :j, :j]
    largest[..., j:, j:] = 2 * _covariance(columns) * len(above) / n
    with_others = np.concatenate([values, _without_diagonal(pairs).swapaxes(-1, -2)], axis=-1)
    return Contrast(_mean(both), (jackknife, largest), with_others @ weights, weights)


def _without_diagonal(matrices: np.ndarray) -> np.ndarray:
    """Return the mean of each seed's pairs: (..., n) of (..., n, n)."""
    n = matrices.shape[-1]
    return np.where(np.eye(n, dtype=bool), 0, matrices).sum(axis=-1) / (n - 1)


def _mean(columns: np.ndarray) -> np.ndarray:
    return columns.mean(axis=-2) if columns.shape[-2] else columns.sum(axis=-2)


def _covariance(columns: np.ndarray) -> np.ndarray:
    """Return the covariance matrix of the mean of rows: (..., k, k) of (..., n, k)."""
    n = max(columns.shape[-2], 2)
    centred = columns - _mean(columns)[..., None, :]
    return centred.swapaxes(-1, -2) @ centred / (n * (n - 1))


def holm(count: int, shown: Callable[[int, float], np.ndarray]) -> np.ndarray:
    """Select the items, (..., count), that are shown at a level by `shown(item, level)`.

    The chance that any is wrong is at most `LEVEL` (Holm 1979).
    """
    if not count:
        return np.zeros(0, bool)
    steps = [np.stack([shown(i, LEVEL / tests) for i in range(count)], -1) for tests in range(count, 0, -1)]
    chosen = np.zeros_like(steps[0])
    for _ in range(count):
        done = np.minimum(chosen.sum(axis=-1, keepdims=True), count - 1)
        chosen = np.select([done == step for step in range(count)], steps, False)
    return chosen


def largest_share(cases: int, count: int) -> float:
    """Return the largest share of all seeds that is compatible with `cases` of `count` seeds, at 95 %.

    The one-sided limit of Clopper & Pearson (Biometrika 26, 1934).
    """
    return 1.0 if cases >= count else float(betaincinv(cases + 1, count - cases, 1 - LEVEL))


def spread(values: Sequence[float]) -> dict | None:
    """Summarise the values of several seeds, between -1 and 1; NaN is left out. None without any value.

    ``typical`` is the mean on Fisher's scale, transformed back, with its 95 % ``interval``. With fewer than
    three values, ``sd``, ``typical`` and ``interval`` are None; with tied values, ``interval`` is None. The
    interval does not extend below 0 unless a value is negative.
    """
    values = np.asarray(list(values), dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    extremes = {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}
    if len(values) < FEWEST_SEEDS:
        return extremes | {"sd": None, "typical": None, "interval": None, "count": len(values)}
    one = of_seeds(values[:, None], [1.0]).summary()
    interval = one["interval"]
    if interval and values.min() >= 0:
        interval = [max(interval[0], 0.0), interval[1]]
    return extremes | {
        "sd": float(values.std(ddof=1)),
        "typical": one["estimate"],
        "interval": interval,
        "count": len(values),
    }


# --- distances --------------------------------------------------------------------------------------------
# Means and medians of plain values: distances are often 0, where Fisher's scale has its end.

# With fewer seeds, no pair of them bounds the median at 95 %.
FEWEST_FOR_INTERVALS = 6


def mean_limits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of Student's 95 % interval of the mean: (...,) each, of (..., n)."""
    n = values.shape[-1]
    half = stdtrit(n - 1, 1 - LEVEL / 2) * values.std(axis=-1, ddof=1) / math.sqrt(n)
    return values.mean(axis=-1) - half, values.mean(axis=-1) + half


def mean_p(values: np.ndarray) -> np.ndarray:
    """Return the two-sided p-value of Student's t for a mean of 0: (...,) of (..., n); 1 if all are tied."""
    n = values.shape[-1]
    error = values.std(axis=-1, ddof=1) / math.sqrt(n)
    tied = np.ptp(values, axis=-1) <= TIED
    return np.where(tied, 1.0, 2 * stdtr(n - 1, -np.abs(values.mean(axis=-1)) / np.where(tied, 1, error)))


def median_limits(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return limits of the median of any distribution, (..., n), at 95 % or more: two sorted values.

    These are the lowest and the highest of up to eight values, then the second lowest and highest, and so
    on: the interval of the sign test. It needs at least `FEWEST_FOR_INTERVALS` values.
    """
    n, ordered = values.shape[-1], np.sort(values, axis=-1)
    outside = int((2 * bdtr(np.arange(n // 2), n, 0.5) <= LEVEL).sum())
    return ordered[..., outside - 1], ordered[..., n - outside]


def jackknife_limits(estimate: np.ndarray, without: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits of a 95 % interval from estimates without each of n seeds and its pairs, (..., n)."""
    n = without.shape[-1]
    half = stdtrit(n - 1, 1 - LEVEL / 2) * without.std(axis=-1) * math.sqrt(n - 1)
    return estimate - half, estimate + half


def mean_of_pairs(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over pairs of seeds, and those without one seed: (...,) and (..., n) of (..., n, n).

    The matrices are symmetric, and their diagonals are ignored.
    """
    n = pairs.shape[-1]
    of_seed = _without_diagonal(pairs) * (n - 1)
    total = of_seed.sum(axis=-1, keepdims=True) / 2
    count = n * (n - 1) / 2
    return total[..., 0] / count, (total - of_seed) / (count - (n - 1))


def log_share(values: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithm of mean(values) / mean(pairs), and those without one seed, for `jackknife_limits`.

    The values (..., n) and pairs (..., n, n) are of the same seeds.
    """
    n = values.shape[-1]
    between, between_without = mean_of_pairs(pairs)
    without = (values.sum(axis=-1, keepdims=True) - values) / (n - 1)
    # Identical networks have the distance 0, so a share can be infinite.
    with np.errstate(divide="ignore"):
        return np.log(values.mean(axis=-1) / between), np.log(without / between_without)
