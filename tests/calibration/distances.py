"""Simulations of the levels: how often "beyond retraining" is wrong, and how often intervals hold the truth.

`calibrate` writes the tables into docs/statistics.md. An array has the shape (experiments, seeds); the limits
are those that judge real experiments.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prunescope.findings.levels_over_seeds import MEAN, MEDIAN, Middle
from prunescope.findings.statistics import LEVEL, jackknife_limits, log_share, mean_of_pairs, mean_p

SEEDS = (6, 8, 10)
LAYERS = 7
# Draws from which the true mean or median is computed.
MANY = 2**21

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(mean: float, sd: float) -> Draw:
    """Draw distances with a normal distribution."""
    return lambda rng, shape: np.maximum(rng.normal(mean, sd, shape), 0)


def skewed(mean: float, spread: float) -> Draw:
    """Draw distances with a log-normal distribution."""
    return lambda rng, shape: mean * np.exp(spread * rng.normal(size=shape) - spread**2 / 2)


def images(mean: float, spread: float, count: int) -> Draw:
    """Shares of `count` test images; the seeds' true shares are log-normal."""
    share = skewed(mean, spread)
    return lambda rng, shape: rng.binomial(count, np.minimum(share(rng, shape), 1)) / count


def barriers(share: float, low: float, high: float) -> Draw:
    """Some seeds have a barrier between `low` and `high`, half of the others a tiny one, and half none."""

    def draw(rng, shape):
        tiny = np.abs(rng.normal(0, 0.003, shape)) * (rng.random(shape) < 0.5)
        return np.where(rng.random(shape) < share, rng.uniform(low, high, shape), tiny)

    return draw


@dataclass(frozen=True)
class Kind:
    """Distances of pruned and of retrained networks, and how they are summarised over seeds."""

    meaning: str
    pruned: Draw
    retrained: Draw
    middle: Middle = MEAN


KINDS = {
    "weights": Kind("cosine distances around .40, retrained .02", normal(0.4, 0.03), normal(0.02, 0.005)),
    "predictions": Kind(
        "3.4 % of 360 images, retrained .5 %", images(0.034, 0.5, 360), images(0.005, 0.6, 360)
    ),
    "many images": Kind(
        "1.0 % of 10,000 images, retrained .8 %", images(0.01, 0.3, 10_000), images(0.008, 0.3, 10_000)
    ),
    "representations": Kind(
        "around .23, standard deviation .06, retrained .03", skewed(0.23, 0.25), skewed(0.03, 0.4)
    ),
    "skewed": Kind(
        "around .05, standard deviation half of it, retrained .04", skewed(0.05, 0.5), skewed(0.04, 0.5)
    ),
    "barriers": Kind(
        "30 % of the seeds have a barrier of .02 to .6, retrained 5 %",
        barriers(0.3, 0.02, 0.6),
        barriers(0.05, 0.02, 0.6),
        MEDIAN,
    ),
    "high barriers": Kind(
        "90 % of the seeds have a barrier of .2 to .6, retrained 5 %",
        barriers(0.9, 0.2, 0.6),
        barriers(0.05, 0.2, 0.6),
        MEDIAN,
    ),
}


# --- how often a verdict is wrong


def alike(rng, kind: Kind, draws: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Judge retrained networks against others of the same kind: is it "beyond", is it "less"?"""
    low, high = kind.middle.limits(kind.retrained(rng, (draws, n)) - kind.retrained(rng, (draws, n)))
    return low > 0, high < 0


def any_verdict(rng, kind, draws, n):
    return np.logical_or(*alike(rng, kind, draws, n))


def beyond(rng, kind, draws, n):
    return alike(rng, kind, draws, n)[0]


def beyond_with_equal_middle(rng, kind, draws, n):
    """Pruned networks are distributed in another way, but with the same mean (or median)."""
    pruned, retrained = kind.pruned(rng, (draws, n)), kind.retrained(rng, (draws, n))
    same = (pruned - truth(kind.pruned, kind.middle)) - (retrained - truth(kind.retrained, kind.middle))
    return kind.middle.limits(same)[0] > 0


def any_of_layers(rng, kind, draws, n):
    """One of seven layers, with Holm's correction: the smallest p-value decides whether any is shown."""
    differences = kind.retrained(rng, (LAYERS, draws, n)) - kind.retrained(rng, (LAYERS, draws, n))
    return (mean_p(differences) <= LEVEL / LAYERS).any(axis=0)


def power(rng, kind, draws, n):
    return kind.middle.limits(kind.pruned(rng, (draws, n)) - kind.retrained(rng, (draws, n)))[0] > 0


WRONG = {
    "beyond or less, though both are alike": any_verdict,
    "beyond, though both are alike": beyond,
    "beyond, though only the spread differs": beyond_with_equal_middle,
    "any of 7 layers (Holm), though both are alike": any_of_layers,
}


# --- how often the interval holds the truth


def truth(draw: Draw, middle: Middle) -> float:
    return float(middle.of(draw(np.random.default_rng(1), (MANY,))))


def value_covered(rng, kind, draws, n):
    low, high = kind.middle.limits(kind.pruned(rng, (draws, n)))
    return inside(truth(kind.pruned, kind.middle), np.maximum(low, 0), high)


def retrained_covered(rng, kind, draws, n):
    low, high = kind.middle.limits(kind.retrained(rng, (draws, n)))
    return inside(truth(kind.retrained, kind.middle), np.maximum(low, 0), high)


def difference_covered(rng, kind, draws, n):
    def difference(rng, shape):
        return kind.pruned(rng, shape) - kind.retrained(rng, shape)

    low, high = kind.middle.limits(difference(rng, (draws, n)))
    return inside(truth(difference, kind.middle), low, high)


def mean_difference_covered(rng, kind, draws, n):
    """The same with Student's interval of the mean, also for barriers."""
    return difference_covered(rng, Kind("", kind.pruned, kind.retrained), draws, n)


COVERED = {
    "pruned": value_covered,
    "retrained": retrained_covered,
    "pruned minus retrained": difference_covered,
    "pruned minus retrained, if it were the mean": mean_difference_covered,
}


def inside(value: float, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (low <= value) & (value <= high)


# --- other seeds: pairs share seeds


@dataclass(frozen=True)
class Pairs:
    """How the distances of pairs of seeds vary, on a logarithmic scale.

    Attributes
    ----------
    meaning : str
    spread : float
        Standard deviation of a pair.
    seeds : float
        Part of its variance that comes from the two seeds, which other pairs share.
    own : float
        Standard deviation of the seeds' own distances, half of whose variance comes from the same seeds.
    """

    meaning: str
    spread: float
    seeds: float
    own: float

    def draw(self, rng, draws: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw the seeds' own distances and those of pairs, both with the mean 1."""
        of_seed, alone = rng.normal(size=(2, draws, n))
        of_pair = np.triu(rng.normal(size=(draws, n, n)), 1)
        noise = np.sqrt(self.seeds / 2) * (of_seed[:, :, None] + of_seed[:, None, :])
        noise += np.sqrt(1 - self.seeds) * (of_pair + of_pair.swapaxes(1, 2))
        own = self.own * (of_seed + alone) / np.sqrt(2)
        return np.exp(own - self.own**2 / 2), np.exp(self.spread * noise - self.spread**2 / 2)


PAIRS = {
    "pairs vary": Pairs("pairs of seeds vary by themselves", 0.1, 0.0, 0.2),
    "seeds vary": Pairs("pairs vary because their seeds do", 0.1, 0.9, 0.2),
    "wide": Pairs("half and half, with a standard deviation of 30 %, own 50 %", 0.3, 0.5, 0.5),
}


def share_covered(rng, how: Pairs, draws: int, n: int) -> np.ndarray:
    """The distance as a share of that between other seeds: 1."""
    share, without = log_share(*how.draw(rng, draws, n))
    return inside(0.0, *jackknife_limits(share, without))


def pairs_covered(rng, how: Pairs, draws: int, n: int) -> np.ndarray:
    return inside(1.0, *jackknife_limits(*mean_of_pairs(how.draw(rng, draws, n)[1])))


OF_PAIRS = {"share of the distance to another seed": share_covered, "other seeds": pairs_covered}


def rates(questions: dict[str, Callable], columns: dict, draws: int) -> list[list[str]]:
    """Return rows of a table: in percent, how often questions are answered with true, by seeds."""
    return [
        [
            name,
            *(
                " / ".join(f"{100 * rate(question, how, n, draws):.1f}" for n in SEEDS)
                for how in columns.values()
            ),
        ]
        for name, question in questions.items()
    ]


def rate(question: Callable, how, n: int, draws: int) -> float:
    """Return how often a question is answered with true in simulated experiments."""
    return float(np.mean(question(np.random.default_rng([2, n]), how, draws, n)))


def tables(draws: int) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return the tables of docs/statistics.md: corner, columns, rows."""
    return [
        (
            "distances",
            ["pruned and retrained networks"],
            [[name, kind.meaning] for name, kind in KINDS.items()],
        ),
        ("wrong verdict", list(KINDS), rates(WRONG, KINDS, draws)),
        ("95 % interval of", list(KINDS), rates(COVERED, KINDS, draws)),
        ("verdict given", list(KINDS), rates({"beyond retraining": power}, KINDS, draws)),
        ("pairs", ["how the distances of pairs vary"], [[name, how.meaning] for name, how in PAIRS.items()]),
        ("95 % interval of", list(PAIRS), rates(OF_PAIRS, PAIRS, draws)),
    ]
