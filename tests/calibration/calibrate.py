"""Simulations of error rates of verdicts, coverage of intervals, and power.

``make calibrate`` runs it and writes the tables of docs/statistics.md; ``make test-slow`` checks a part of
them. The code that judges real experiments judges many simulated ones at once: an array has the shape
(experiments, seeds, quantities).
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY / "workflow/scripts"), str(REPOSITORY / "tests/calibration")]

import distances  # noqa: E402

from prunescope.findings import claims  # noqa: E402
from prunescope.findings.statistics import FEWEST_SEEDS, LEVEL, Contrast, of_seeds  # noqa: E402
from prunescope.findings.words import ABOVE, FAILS, FALLS, HOLDS, STAYS, UNDECIDED  # noqa: E402

PAGE = REPOSITORY / "docs/statistics.md"
MARGIN = 0.05
SEEDS = (3, 4, 6, 10)
LAYERS = 7
ROUNDS = 5
# Experiments that are judged at once, so that the arrays fit into memory.
BATCH = 1000
# Similarity of a network that does not classify, and the accuracy of one answer for ten classes.
FAILED, CONSTANT = 0.2, 0.1


@dataclass(frozen=True)
class Structure:
    """How the values of seeds vary and depend on each other, on Fisher's scale.

    Attributes
    ----------
    meaning : str
    typical : float
        The value of the similar layers.
    sd : float
        Standard deviation of a value.
    common : float, default 0
        Part of the variance that all layers of a seed share.
    heavy, skewed : bool, default False
        Student's t with 3 degrees of freedom, or an exponential tail towards low values, in place of a normal
        distribution.
    pair : float, default 0.5
        Part of the variance of a comparison of two seeds that belongs to the pair; the rest comes from the
        two seeds, which other pairs share.
    basins : float, default 0
        Each seed is in one of two basins. Pairs in the same basin are higher by so many standard deviations,
        others are lower.
    failing : float, default 0
        Fraction of seeds that do not classify.
    missed : bool, default False
        Whether they are used, because their accuracy is not below the limit.
    """

    meaning: str
    typical: float = 0.85
    sd: float = 0.1
    common: float = 0.0
    heavy: bool = False
    skewed: bool = False
    pair: float = 0.5
    basins: float = 0.0
    failing: float = 0.0
    missed: bool = False

    def draw(self, rng: np.random.Generator, *shape: int) -> np.ndarray:
        """Draw noise with mean 0 and variance 1."""
        if self.heavy:
            return rng.standard_t(3, shape) / np.sqrt(3)
        return 1 - rng.exponential(size=shape) if self.skewed else rng.normal(size=shape)

    def fail(self, rng: np.random.Generator, draws: int, n: int) -> np.ndarray:
        """Draw which seeds fail without being detected: (draws, n)."""
        return rng.random((draws, n)) < (self.failing if self.missed else 0)

    def of_seeds(self, rng, draws: int, n: int, typical: list[float], failed=None) -> np.ndarray:
        """Draw values of n seeds with the given typical values: (draws, n, k)."""
        own, common = self.draw(rng, draws, n, len(typical)), self.draw(rng, draws, n, 1)
        noise = np.sqrt(1 - self.common) * own + np.sqrt(self.common) * common
        failed = self.fail(rng, draws, n) if failed is None else failed
        center = np.where(failed[..., None], FAILED, typical)
        return np.tanh(np.arctanh(center) + self.sd * noise)

    def of_pairs(self, rng, draws: int, n: int, typical: list[float], failed=None) -> np.ndarray:
        """Draw comparisons of n seeds with each other: (draws, k, n, n)."""
        k = len(typical)
        common, own = self.draw(rng, draws, 1, n), self.draw(rng, draws, k, n)
        seeds = np.sqrt(1 - self.common) * own + np.sqrt(self.common) * common
        pairs = np.triu(self.draw(rng, draws, k, n, n), 1)
        noise = np.sqrt((1 - self.pair) / 2) * (seeds[..., None] + seeds[..., None, :])
        noise += np.sqrt(self.pair) * (pairs + pairs.swapaxes(-1, -2))
        basin = rng.choice([-1.0, 1.0], (draws, 1, n))
        noise += self.basins * basin[..., None] * basin[..., None, :]
        failed = self.fail(rng, draws, n) if failed is None else failed
        either = (failed[:, :, None] | failed[:, None, :])[:, None]
        center = np.where(either, FAILED, np.array(typical)[:, None, None])
        return np.tanh(np.arctanh(center) + self.sd * noise)


TWO = {"common": 0.3, "basins": 2.0}
STRUCTURES = {
    "plain": Structure("values around .85, standard deviation .03; layers independent"),
    "shared": Structure(
        "a seed that is low is low in all layers; pairs share their seeds", common=0.7, pair=0.1
    ),
    "pairs": Structure("pairs of seeds vary by themselves, seeds do not", pair=1.0),
    "two basins": Structure("pairs in the same of two basins are high, others low", **TWO),
    "near 1": Structure("values around .99, spread from .97 to .997", 0.99, 0.5, 0.3),
    "heavy tails": Structure("Student's t with 3 degrees of freedom", common=0.3, heavy=True),
    "near 1, heavy": Structure("both", 0.99, 0.5, 0.3, heavy=True),
}
# Structures that violate the assumptions, to show the limits.
BEYOND = {
    "skewed": Structure("an exponential tail of bad seeds, on Fisher's scale", common=0.3, skewed=True),
    "failing": Structure("10 % of the seeds do not classify and are left out", failing=0.1),
    "failing, missed": Structure("the same, but their accuracy does not show it", failing=0.1, missed=True),
    "basins, failing": Structure("two basins; 10 % of the seeds do not classify", failing=0.1, **TWO),
    "basins, missed": Structure(
        "the same, but their accuracy does not show it", failing=0.1, missed=True, **TWO
    ),
}


# --- each draws experiments in which a verdict would be wrong, and returns whether it is given


def finding_holds(rng, draws, n, how):
    """The first layers are above the middle by no more than the margin; the output is, clearly."""
    typical = [how.typical, how.typical - MARGIN, how.typical + (1 - how.typical) / 2]
    return _finding(rng, draws, n, how, typical) == HOLDS


def finding_fails(rng, draws, n, how):
    """Both contrasts equal the margin, so either can cause a wrong verdict."""
    return _finding(rng, draws, n, how, [how.typical, how.typical - MARGIN, how.typical]) == FAILS


def _finding(rng, draws, n, how, typical):
    return claims.has_shape(claims.shape(how.of_seeds(rng, draws, n, typical)), MARGIN)


def beyond_retrain_holds(rng, draws, n, how):
    """The control shows the shape as well; the difference is the margin."""
    typical = [how.typical, how.typical - 2 * MARGIN, how.typical + (1 - how.typical) / 2]
    control = [how.typical, how.typical - MARGIN, how.typical - MARGIN]
    both = how.of_seeds(rng, draws, n, typical + control)
    return claims.has_shape(claims.shape(both[..., :3], both[..., 3:]), MARGIN) == HOLDS


def untrained_holds(rng, draws, n, how):
    """Untrained networks: pairs of seeds, with the first contrast at the margin."""
    typical = [how.typical, how.typical - MARGIN, how.typical + (1 - how.typical) / 2]
    pairs = how.of_pairs(rng, draws, n, typical, np.zeros((draws, n), bool))
    return claims.has_shape(claims.shape_of_pairs(pairs), MARGIN) == HOLDS


def any_layer_differs(rng, draws, n, how):
    """No layer of seven differs from other seeds' networks."""
    return (_against_others(rng, draws, n, how, [how.typical] * LAYERS) != UNDECIDED).any(axis=-1)


def _against_others(rng, draws, n, how, typical):
    failed = how.fail(rng, draws, n)
    own = how.of_seeds(rng, draws, n, typical, failed)
    pairs = how.of_pairs(rng, draws, n, [how.typical] * LAYERS, failed)
    return claims.differ([claims.against_others(own[..., i], pairs[:, i]) for i in range(LAYERS)])


def grows_apart_holds(rng, draws, n, how):
    """The middle's similarity falls by the margin, in five rounds."""
    return claims.grows_apart(_fall(rng, draws, n, how, MARGIN), MARGIN) == HOLDS


def stays_similar_holds(rng, draws, n, how):
    """The same fall: it equals the margin, so the similarity is not equivalent to constant."""
    return claims.stays_similar(_fall(rng, draws, n, how, MARGIN), MARGIN) == HOLDS


def stays_similar_fails(rng, draws, n, how):
    """The same fall: it is not larger than the margin either."""
    return claims.stays_similar(_fall(rng, draws, n, how, MARGIN), MARGIN) == FAILS


def any_layer_stays(rng, draws, n, how):
    """Seven layers that all fall by the margin."""
    return (_layers(rng, draws, n, how) == STAYS).any(axis=-1)


def any_layer_falls(rng, draws, n, how):
    """The same seven layers: none falls by more."""
    return (_layers(rng, draws, n, how) == FALLS).any(axis=-1)


def _layers(rng, draws, n, how):
    failed = how.fail(rng, draws, n)
    return claims.layers_change([_fall(rng, draws, n, how, MARGIN, failed) for _ in range(LAYERS)], MARGIN)


def _fall(rng, draws, n, how, size: float, failed=None) -> Contrast:
    """Draw a fall over five rounds; seeds that fail do so from some round after the first on."""
    failed = how.fail(rng, draws, n) if failed is None else failed
    typical = list(how.typical - size * np.linspace(0, 1, ROUNDS))
    classify = how.of_seeds(rng, draws, n, typical, np.zeros_like(failed))
    start = rng.integers(1, ROUNDS, failed.shape)[..., None]
    values = np.where(failed[..., None] & (np.arange(ROUNDS) >= start), FAILED, classify)
    return claims.fall(values, np.arange(ROUNDS) * np.log(0.8))


def accuracy_differs(rng, draws, n, how):
    """The same probability of classifying each of 360 images correctly: accuracies with ties."""
    failed = how.fail(rng, draws, n)
    chances = [np.clip(how.of_seeds(rng, draws, n, [0.97], failed & False)[..., 0], 0, 1) for _ in range(2)]
    chances[0] = np.where(failed, CONSTANT, chances[0])
    right = np.stack([rng.binomial(360, chance) for chance in chances], axis=-1)
    return claims.differ([of_seeds(right / 360, [1.0, -1.0])])[..., 0] != UNDECIDED


WRONG = {
    "finding: holds": finding_holds,
    "finding: does not hold": finding_fails,
    "beyond retraining: holds": beyond_retrain_holds,
    "untrained: holds": untrained_holds,
    "other seeds: any of 7 layers": any_layer_differs,
    "grows apart: holds": grows_apart_holds,
    "stays similar: holds": stays_similar_holds,
    "stays similar: does not hold": stays_similar_fails,
    "falls: any of 7 layers": any_layer_falls,
    "stays similar: any of 7 layers": any_layer_stays,
    "accuracy: above or below": accuracy_differs,
}


# --- the tests that a contrast has to pass, each alone


def _at_margin(rng, draws, n, how, above: float, below: float) -> Contrast:
    """Draw contrasts that equal the margin; standard deviations are multiples of the structure's."""
    noise = np.arctanh(how.of_seeds(rng, draws, n, [0.0, 0.0])) * [above, below]
    return of_seeds(np.tanh(np.arctanh([how.typical, how.typical - MARGIN]) + noise), [1.0, -1.0])


ALONE = {
    "t test": lambda one, margin: one.p_t(margin) <= LEVEL,
    "limit": lambda one, margin: one.limit(LEVEL) > margin,
    "all": lambda one, margin: one.above(margin),
}
# Standard deviations of the two layers, and whether the contrast is judged larger than the margin.
CASES = {
    ", larger": (1.0, 1.0, True),
    ", larger, upper layer varies 8 times as much": (1.6, 0.2, True),
    ", smaller, upper layer varies 8 times as much": (1.6, 0.2, False),
}


def alone(test, above: float, below: float, larger: bool):
    """Return the question how often one test is wrong."""

    def question(rng, draws, n, how):
        one = _at_margin(rng, draws, n, how, above, below)
        return test(one, MARGIN) if larger else test(one.negated, -MARGIN)

    return question


# --- coverage: each returns whether the interval holds the true value


def _covered(rng, draws, n, how, typical: list[float], weights: list[float]):
    one = of_seeds(how.of_seeds(rng, draws, n, typical), weights)
    truth = np.dot(typical, weights)
    return (one.limit(LEVEL / 2) <= truth) & (truth <= one.limit(LEVEL / 2, upper=True))


COVERED = {
    "a layer's value": lambda rng, draws, n, how: _covered(rng, draws, n, how, [how.typical], [1.0]),
    "a difference of layers": lambda rng, draws, n, how: _covered(
        rng, draws, n, how, [how.typical, how.typical - MARGIN], [1.0, -1.0]
    ),
}


# --- power


def finding_power(rng, draws, n, how, size: float):
    """Both contrasts exceed the margin by `size` standard deviations of a difference."""
    deviation = np.sqrt(2) * how.sd * (1 - how.typical**2)
    middle = how.typical - MARGIN - size * deviation
    return _finding(rng, draws, n, how, [how.typical, middle, how.typical]) == HOLDS


def other_seeds_power(rng, draws, n, how, size: float):
    """The first of seven layers is above other seeds by `size` standard deviations of a value."""
    above = float(np.tanh(np.arctanh(how.typical) + size * how.sd))
    return _against_others(rng, draws, n, how, [above] + [how.typical] * (LAYERS - 1))[..., 0] == ABOVE


def stays_power(rng, draws, n, how, size: float):
    """The similarity does not change; its fall has a standard deviation of the margin divided by `size`."""
    weights = np.linalg.norm(_fall(rng, 1, 3, how, 0.0).weights)
    still = Structure("", how.typical, MARGIN / size / weights / (1 - how.typical**2), how.common)
    return claims.stays_similar(_fall(rng, draws, n, still, 0.0), MARGIN) == HOLDS


POWER = {
    "finding holds; contrasts exceed the margin by (standard deviations of a seed's contrast)": finding_power,
    "one of 7 layers above other seeds by (standard deviations of a value)": other_seeds_power,
    "stays similar; margin divided by the standard deviation of a seed's fall": stays_power,
}
MORE_SEEDS = (3, 4, 5, 6, 8, 10, 15, 20)
SIZES = (0.5, 1, 2, 3, 4, 6)


def rate(question: Callable, n: int, how: Structure, draws: int, *more, seed: int = 0) -> float:
    """Return how often a question is answered with true in simulated experiments."""
    rng = np.random.default_rng([seed, n])
    # Seeds that are left out are drawn like the others, so only their number matters.
    detected = 0 if how.missed else how.failing
    counts = rng.binomial(n, 1 - detected, draws)
    return (
        sum(
            int(np.sum(question(rng, min(BATCH, many - start), count, how, *more)))
            for count in range(FEWEST_SEEDS, n + 1)
            for many in [int((counts == count).sum())]
            for start in range(0, many, BATCH)
        )
        / draws
    )


def table(head: list[str], rows: list[list[str]]) -> str:
    """Make a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rates(corner: str, questions: dict[str, Callable], structures: dict[str, Structure], draws: int) -> str:
    """Tabulate in percent how often questions are answered with true, for the numbers of seeds in `SEEDS`."""
    rows = [
        [
            name,
            *(
                " / ".join(f"{100 * rate(question, n, how, draws):.1f}" for n in SEEDS)
                for how in structures.values()
            ),
        ]
        for name, question in questions.items()
    ]
    return table([corner, *structures], rows)


def highest(text: str) -> str:
    """Return the highest rate of a table, with what it is of."""
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines())
    cells = [
        (float(percent), row[0], column, n)
        for row in rows
        for column, cell in zip(head[1:], row[1:], strict=True)
        for n, percent in zip(SEEDS, cell.split(" / "), strict=True)
    ]
    percent, question, column, n = max(cells)
    return f"{percent:.1f} % ({question}; {column}; {n} seeds)"


def powers(draws: int) -> str:
    """Tabulate in percent how often a difference of some size is found, by the number of seeds."""
    parts = []
    for name, question in POWER.items():
        rows = [
            [
                f"{size:g}",
                *(f"{100 * rate(question, n, STRUCTURES['plain'], draws, size):.0f}" for n in MORE_SEEDS),
            ]
            for size in SIZES
        ]
        parts.append(table([name, *(f"n = {n}" for n in MORE_SEEDS)], rows))
    return "\n\n".join(parts)


def main(draws: int) -> None:
    """Write the tables into the page, each as soon as it is computed."""
    structures = STRUCTURES | BEYOND
    meanings = [[name, how.meaning] for name, how in structures.items()]
    write("structures", table(["structure", "how seeds vary"], meanings))
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / draws)
    note = f"\n\n{draws:,} simulated experiments for each number; the standard error of 5 % is {error:.2f}."
    usual, beyond = (rates("wrong verdict", WRONG, part, draws) for part in (STRUCTURES, BEYOND))
    write("wrong", usual + note)
    write("beyond", beyond + note)
    tests = {name + case: alone(test, *how) for case, how in CASES.items() for name, test in ALONE.items()}
    single = rates("only", tests, STRUCTURES | {"skewed": BEYOND["skewed"]}, draws)
    write("alone", single + note)
    judged = "\n".join(line for line in single.splitlines() if not line.startswith(("| t test", "| limit")))
    write(
        "highest",
        f"Highest rate of the first table: {highest(usual)}. Of the second: {highest(beyond)}. Of single "
        f"contrasts judged by all tests, in the third: {highest(judged)}.",
    )
    write(
        "covered", rates("95 % interval of", COVERED, STRUCTURES | {"skewed": BEYOND["skewed"]}, draws) + note
    )
    write_distances(draws, note)
    write("power", powers(draws) + f"\n\n{draws:,} simulated experiments for each number.")


def write_distances(draws: int, note: str) -> None:
    parts = [table([corner, *head], rows) for corner, head, rows in distances.tables(draws)]
    write("distances", "\n\n".join(parts) + note)


def write(name: str, text: str) -> None:
    start, end = f"<!-- {name}: made by `make calibrate` -->", f"<!-- end of {name} -->"
    before, found, rest = PAGE.read_text().partition(start)
    _, closed, after = rest.partition(end)
    assert found and closed, name
    PAGE.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}")
    print(f"{text}\n", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 4000)
