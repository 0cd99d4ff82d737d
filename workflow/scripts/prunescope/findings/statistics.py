"""Statistics over a few seeds, on a scale that respects the bounds of a similarity.

The unit is the seed. docs/statistics.md explains the choices, with the simulations behind them
(``make calibrate``). Similarities are averaged on Fisher's scale, z = atanh(v), where their distribution is
nearly symmetric even near 1. The back-transformed mean is called the *typical* value. When networks of
different seeds are compared, pairs share seeds; a delete-one-seed jackknife converts them to one pseudovalue
per seed.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from scipy.special import stdtr, stdtrit

# The chance of a wrong verdict on one question.
LEVEL = 0.05
FEWEST_SEEDS = 3
# Largest number of seeds for which all sign flips are enumerated: 65,536.
MOST_FLIPPED = 16
# Differences that vary less than this are tied: they differ by rounding, or not at all.
TIED = 1e-9
# A distance from 1 below this is float64's rounding of 1.
ROUNDING = 1e-15


def fisher(values: np.ndarray) -> np.ndarray:
    """Transform values between -1 and 1 by atanh, column by column.

    A value of exactly 1 or -1 is first moved halfway towards the nearest other value of its column.

    Parameters
    ----------
    values : array of float, shape (n, k)

    Returns
    -------
    array of float, shape (n, k)
    """
    room = 1 - np.abs(values)
    inside = room > ROUNDING
    least = np.where(inside, room, np.inf).min(axis=0, initial=np.inf) / 2
    return np.sign(values) * np.arctanh(1 - np.where(inside, room, np.where(least < 1, least, ROUNDING)))


def of_seeds(values: np.ndarray) -> np.ndarray:
    """Make columns for a `Contrast` from values of single seeds.

    Parameters
    ----------
    values : array of float, shape (n, k)
        n seeds, k quantities.

    Returns
    -------
    array of float, shape (2, n, k)
        The values, and the same on Fisher's scale.
    """
    return np.stack([values, fisher(values)])


def of_pairs(matrices: np.ndarray) -> np.ndarray:
    """Make columns for a `Contrast` from comparisons of different seeds.

    Parameters
    ----------
    matrices : array of float, shape (k, n, n)
        k symmetric matrices; the diagonals are ignored. n ≥ 3.

    Returns
    -------
    array of float, shape (2, n, k)
        Jackknife pseudovalues of the mean over pairs, and the same on Fisher's scale.
    """
    count, n, _ = matrices.shape
    above, below = np.triu_indices(n, 1)
    pairs = matrices[:, above, below].T
    transformed = np.zeros((count, n, n))
    transformed[:, above, below] = transformed[:, below, above] = fisher(pairs).T
    return np.stack([_pseudovalues(matrices), _pseudovalues(transformed)])


def _pseudovalues(matrices: np.ndarray) -> np.ndarray:
    """Return n·U - (n - 1)·U(without seed s), U being the mean over pairs: shape (n, k)."""
    n = matrices.shape[1]
    of_seed = np.where(np.eye(n, dtype=bool), 0, matrices).sum(axis=2) / (n - 1)
    mean = of_seed.mean(axis=1, keepdims=True)
    return (mean + 2 * (n - 1) / (n - 2) * (of_seed - mean)).T


@dataclass(frozen=True, eq=False)
class Contrast:
    """A weighted sum of typical values, with its tests and confidence limits.

    Attributes
    ----------
    columns : array of float, shape (2, n, k)
        From `of_seeds`, `of_pairs` or both side by side (`numpy.concatenate` along the last axis).
    weights : array of float, shape (k,)
    flips : bool, default True
        Whether signs may be flipped: not for pseudovalues, which depend on each other.
    """

    columns: np.ndarray
    weights: np.ndarray
    flips: bool = True

    @property
    def count(self) -> int:
        """The number of seeds."""
        return self.columns.shape[1]

    @property
    def differences(self) -> np.ndarray:
        """The weighted sum of each seed's own values."""
        return self.columns[0] @ self.weights

    @property
    def negated(self) -> "Contrast":
        """The same with all signs changed."""
        return Contrast(self.columns, -self.weights, self.flips)

    @property
    def tied(self) -> bool:
        """Whether all seeds have the same weighted sum; their spread is then uninformative."""
        return bool(np.ptp(self.differences) <= TIED)

    @property
    def estimate(self) -> float:
        """The weighted sum of the typical values."""
        return float(np.tanh(self.columns[1].mean(axis=0)) @ self.weights)

    def limit(self, level: float, upper: bool = False) -> float:
        """Return a one-sided confidence limit of the estimate.

        The limits of the single typical values, which respect -1 and 1, are combined by the method of
        variance estimates recovery (Zou & Donner, Statistics in Medicine 27, 2008), with the correlations of
        the columns. For values far from the bounds it is the paired t interval.

        Parameters
        ----------
        level : float
            The chance that the limit is on the wrong side.
        upper : bool, default False
        """
        weights, z, n = self.weights, self.columns[1], self.count
        mean, centred = z.mean(axis=0), z - z.mean(axis=0)
        deviation = np.sqrt((centred**2).sum(axis=0) / (n - 1))
        half = stdtrit(n - 1, 1 - level) * deviation / math.sqrt(n)
        # A term with a positive weight lowers the sum when it is lower itself.
        sign = np.sign(weights) if upper else -np.sign(weights)
        away = weights * np.abs(np.tanh(mean + sign * half) - np.tanh(mean))
        scaled = centred / np.where(deviation > 0, deviation, 1)
        together = ((scaled @ away) ** 2).sum() / (n - 1)
        return self.estimate + (1 if upper else -1) * math.sqrt(together)

    def p_t(self, margin: float = 0.0) -> float:
        """Return the one-sided p-value of Student's t for the hypothesis that the sum is at most `margin`."""
        differences = self.differences - margin
        error = differences.std(ddof=1) / math.sqrt(self.count)
        return float(stdtr(self.count - 1, -differences.mean() / error))

    def p_flips(self, margin: float = 0.0) -> float | None:
        """Return the same p-value from all sign flips; None without `flips` or with more than 16 seeds."""
        if not self.flips or self.count > MOST_FLIPPED:
            return None
        differences = self.differences - margin
        sums = _signs(self.count) @ differences
        return float((sums >= differences.sum() - TIED).mean())

    def above(self, margin: float, level: float = LEVEL) -> bool:
        """Whether the seeds show that the sum is more than `margin`.

        Student's t, the confidence limit and, if 2⁻ⁿ is at most `level`, the exact sign-flip test must all
        show it. Always False with fewer than three seeds or with tied seeds.
        """
        if self.count < FEWEST_SEEDS or self.tied:
            return False
        if self.p_t(margin) > level or self.limit(level) <= margin:
            return False
        return 2.0**-self.count > level or (self.p_flips(margin) or 0.0) <= level

    def below(self, margin: float, level: float = LEVEL) -> bool:
        """Whether the seeds show that the sum is less than `margin`."""
        return self.negated.above(-margin, level)

    def within(self, margin: float, level: float = LEVEL) -> bool:
        """Whether the seeds show that the sum is between -`margin` and `margin`: two one-sided tests."""
        return self.above(-margin, level) and self.below(margin, level)

    def summary(self, margin: float | None = None) -> dict:
        """Return ``estimate``, ``interval``, ``p``, ``p_flips`` and ``count``, JSON-ready.

        Parameters
        ----------
        margin : float, optional
            With a margin, ``p`` (Student's t) and ``p_flips`` (None if n is too small for a value below
            `LEVEL`) are one-sided, for the hypothesis that the sum is at most the margin; ``interval`` is the
            90 % interval, whose ends are one-sided 95 % limits. Without a margin, they are two-sided, for the
            hypothesis that the sum is 0, and the interval is the 95 % interval.

        Returns
        -------
        dict
            Interval and p are None if seeds are tied or too few.
        """
        sides = 2 if margin is None else 1
        known = self.count >= FEWEST_SEEDS and not self.tied
        one = self if sides == 1 or self.differences.mean() >= 0 else self.negated
        flips = one.p_flips(margin or 0.0) if known and sides * 2.0**-self.count <= LEVEL else None
        limits = [self.limit(LEVEL / sides, upper) for upper in (False, True)] if known else None
        return {
            "estimate": self.estimate,
            "interval": limits,
            "p": min(1.0, sides * one.p_t(margin or 0.0)) if known else None,
            "p_flips": None if flips is None else min(1.0, sides * flips),
            "count": self.count,
        }


@cache
def _signs(count: int) -> np.ndarray:
    return np.array(list(product((1.0, -1.0), repeat=count)))


def holm(items: Iterable[str], shown: Callable[[str, float], bool]) -> set[str]:
    """Select the items that are shown; the chance that any is wrong is at most `LEVEL` (Holm 1979).

    Parameters
    ----------
    items : iterable of str
        All items that are tested.
    shown : callable
        Takes an item and a level and returns whether a test at this level shows it.

    Returns
    -------
    set of str
    """
    left = set(items)
    chosen: set[str] = set()
    while left and (more := {item for item in left if shown(item, LEVEL / len(left))}):
        chosen, left = chosen | more, left - more
    return chosen


def spread(values) -> dict | None:
    """Summarise the values of several seeds.

    Parameters
    ----------
    values : sequence of float
        One value for each seed, between -1 and 1. NaN is left out.

    Returns
    -------
    dict or None
        ``mean``, ``min``, ``max``, ``sd`` (standard deviation, n - 1), ``typical`` (the mean on Fisher's
        scale, transformed back), its 95 % ``interval`` (a list of two) and ``count``. With fewer than three
        values, ``sd``, ``typical`` and ``interval`` are None; with tied values, ``interval`` is None. The
        interval does not extend below 0 unless a value is negative. None without any value.
    """
    values = np.asarray(list(values), dtype=float)
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    found = {
        "mean": float(values.mean()),
        "min": float(values.min()),
        "max": float(values.max()),
        "sd": None,
        "typical": None,
        "interval": None,
        "count": len(values),
    }
    if len(values) < FEWEST_SEEDS:
        return found
    one = Contrast(of_seeds(values[:, None]), np.ones(1))
    if not one.tied:
        limits = [one.limit(LEVEL / 2), one.limit(LEVEL / 2, upper=True)]
        found["interval"] = [max(limits[0], 0.0) if values.min() >= 0 else limits[0], limits[1]]
    return found | {"sd": float(values.std(ddof=1)), "typical": one.estimate}
