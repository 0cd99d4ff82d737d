"""Simulations of error rates of verdicts, coverage of intervals, and power.

``make calibrate`` runs it (a quarter of an hour on a quiet core) and writes the tables of docs/statistics.md.
``make test-slow`` checks a part of them. The code that judges real experiments judges the simulated ones.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "workflow/scripts"))

from prunescope.findings import claims  # noqa: E402
from prunescope.findings.statistics import LEVEL, Contrast, of_seeds, spread  # noqa: E402
from prunescope.findings.words import ABOVE, FAILS, HOLDS, NO_DIFFERENCE  # noqa: E402

PAGE = REPOSITORY / "docs/statistics.md"
MARGIN = 0.05
SEEDS = (3, 5, 10)
LAYERS = [f"layer{place}" for place in range(7)]
GROUPS = ["first", "middle", "output"]


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
    """

    meaning: str
    typical: float
    sd: float
    common: float = 0.0
    heavy: bool = False
    skewed: bool = False
    pair: float = 0.5

    def draw(self, rng: np.random.Generator, *shape: int) -> np.ndarray:
        """Draw noise with mean 0 and variance 1."""
        if self.heavy:
            return rng.standard_t(3, shape) / np.sqrt(3)
        return 1 - rng.exponential(size=shape) if self.skewed else rng.normal(size=shape)

    def of_seeds(self, rng: np.random.Generator, n: int, typical: list[float]) -> np.ndarray:
        """Draw values of n seeds with the given typical values: shape (n, k)."""
        own, common = self.draw(rng, n, len(typical)), self.draw(rng, n, 1)
        noise = np.sqrt(1 - self.common) * own + np.sqrt(self.common) * common
        return np.tanh(np.arctanh(typical) + self.sd * noise)

    def of_pairs(self, rng: np.random.Generator, n: int, typical: list[float]) -> list[pd.DataFrame]:
        """Draw comparisons of n seeds with each other: k symmetric tables."""
        common, tables = self.draw(rng, n), []
        for value in typical:
            seeds = np.sqrt(1 - self.common) * self.draw(rng, n) + np.sqrt(self.common) * common
            pairs = np.triu(self.draw(rng, n, n), 1)
            noise = np.sqrt((1 - self.pair) / 2) * np.add.outer(seeds, seeds)
            noise += np.sqrt(self.pair) * (pairs + pairs.T)
            tables.append(pd.DataFrame(np.tanh(np.arctanh(value) + self.sd * noise)))
        return tables


STRUCTURES = {
    "plain": Structure("values around .85, standard deviation .03; layers independent", 0.85, 0.1),
    "shared": Structure(
        "a seed that is low is low in all layers; pairs share their seeds", 0.85, 0.1, 0.7, pair=0.1
    ),
    "pairs": Structure("pairs of seeds vary by themselves, seeds do not", 0.85, 0.1, pair=1.0),
    "near 1": Structure("values around .99, spread from .97 to .997", 0.99, 0.5, 0.3),
    "heavy tails": Structure("Student's t with 3 degrees of freedom", 0.85, 0.1, 0.3, heavy=True),
    "near 1, heavy": Structure("both", 0.99, 0.5, 0.3, heavy=True),
}
# Structures that violate the assumptions, to show the limits.
BEYOND = {
    "skewed": Structure("an exponential tail of bad seeds, on Fisher's scale", 0.85, 0.1, 0.3, skewed=True),
}


# --- each draws one experiment in which a verdict would be wrong, and returns whether it is given


def finding_holds(rng, n, how) -> bool:
    """The first layers are above the middle by no more than the margin; the output is, clearly."""
    typical = [how.typical, how.typical - MARGIN, how.typical + (1 - how.typical) / 2]
    return _finding(rng, n, how, typical) == HOLDS


def finding_fails(rng, n, how) -> bool:
    """Both contrasts equal the margin, so either can cause a wrong verdict."""
    return _finding(rng, n, how, [how.typical, how.typical - MARGIN, how.typical]) == FAILS


def _finding(rng, n, how, typical) -> str:
    values = pd.DataFrame(how.of_seeds(rng, n, typical), columns=GROUPS)
    return claims.finding(values, MARGIN)["verdict"]


def beyond_retrain_holds(rng, n, how) -> bool:
    """The control shows the shape as well; the difference is the margin."""
    typical = [how.typical, how.typical - 2 * MARGIN, how.typical + (1 - how.typical) / 2]
    control = [how.typical, how.typical - MARGIN, how.typical - MARGIN]
    both = how.of_seeds(rng, n, typical + control)
    parts = (pd.DataFrame(part, columns=GROUPS) for part in (both[:, :3], both[:, 3:]))
    shape, retrain = parts
    return claims.finding(shape, MARGIN, retrain)["verdict"] == HOLDS


def untrained_holds(rng, n, how) -> bool:
    """Untrained networks: pairs of seeds, with the first contrast at the margin."""
    typical = [how.typical, how.typical - MARGIN, how.typical + (1 - how.typical) / 2]
    pairs = dict(zip(GROUPS, how.of_pairs(rng, n, typical), strict=True))
    return claims.untrained(pairs, {name: [name] for name in GROUPS}, MARGIN)["verdict"] == HOLDS


def any_layer_differs(rng, n, how) -> bool:
    """No layer of seven differs from the ceiling."""
    found = _ceiling(rng, n, how, [how.typical] * len(LAYERS))
    return any(one != NO_DIFFERENCE for one in found.values())


def _ceiling(rng, n, how, typical: list[float]) -> dict[str, str]:
    values = pd.DataFrame(how.of_seeds(rng, n, typical), columns=LAYERS)
    pairs = dict(zip(LAYERS, how.of_pairs(rng, n, [how.typical] * len(LAYERS)), strict=True))
    return {layer: one["verdict"] for layer, one in claims.against_ceiling(values, pairs).items()}


def grows_apart_holds(rng, n, how) -> bool:
    """The middle's similarity falls by the margin, in five rounds."""
    return claims.grows_apart(_fall(rng, n, how, MARGIN), MARGIN)["verdict"] == HOLDS


def stays_similar_holds(rng, n, how) -> bool:
    """The same fall: it equals the margin, so the similarity is not equivalent to constant."""
    return claims.stays_similar(_fall(rng, n, how, MARGIN), MARGIN)["verdict"] == HOLDS


def stays_similar_fails(rng, n, how) -> bool:
    """The same fall: it is not larger than the margin either."""
    return claims.stays_similar(_fall(rng, n, how, MARGIN), MARGIN)["verdict"] == FAILS


def any_layer_stays(rng, n, how) -> bool:
    """Seven layers that all fall by the margin."""
    falls = {layer: _fall(rng, n, how, MARGIN) for layer in LAYERS}
    return HOLDS in claims.layers_that_stay(falls, MARGIN).values()


def _fall(rng, n, how, size: float, rounds: int = 5) -> Contrast:
    typical = list(how.typical - size * np.linspace(0, 1, rounds))
    values = pd.DataFrame(how.of_seeds(rng, n, typical), columns=range(1, rounds + 1))
    return claims.fall(values, pd.Series(np.arange(rounds) * np.log(0.8), index=values.columns))


def accuracy_differs(rng, n, how) -> bool:
    """The same probability of classifying each of 360 images correctly: accuracies with ties."""
    images = 360
    chances = [np.clip(how.of_seeds(rng, n, [0.97])[:, 0], 0, 1) for _ in range(2)]
    right = [rng.binomial(images, chance) for chance in chances]
    table = pd.DataFrame(
        [(seed, round, right[round][seed] / images) for seed in range(n) for round in range(2)],
        columns=["seed", "round", "test_accuracy"],
    )
    return claims.accuracy(table, 1)["verdict"] != NO_DIFFERENCE


WRONG = {
    "finding: holds": finding_holds,
    "finding: does not hold": finding_fails,
    "beyond retraining: holds": beyond_retrain_holds,
    "untrained: holds": untrained_holds,
    "ceiling: any of 7 layers": any_layer_differs,
    "grows apart: holds": grows_apart_holds,
    "stays similar: holds": stays_similar_holds,
    "stays similar: does not hold": stays_similar_fails,
    "stays similar: any of 7 layers": any_layer_stays,
    "accuracy: above or below": accuracy_differs,
}


# --- the three tests that a contrast has to pass, each alone


def _at_margin(rng, n, how, above: float = 1.0, below: float = 1.0) -> Contrast:
    """Draw a contrast that equals the margin; standard deviations are multiples of the structure's."""
    noise = np.arctanh(how.of_seeds(rng, n, [0.0, 0.0])) * [above, below]
    values = np.tanh(np.arctanh([how.typical, how.typical - MARGIN]) + noise)
    return Contrast(of_seeds(values), np.array([1.0, -1.0]))


ALONE = {
    "t test": lambda one: one.p_t(MARGIN) <= LEVEL,
    "limit": lambda one: one.limit(LEVEL) > MARGIN,
    "sign flips": lambda one: 2.0**-one.count <= LEVEL and one.p_flips(MARGIN) <= LEVEL,
    "all three": lambda one: one.above(MARGIN),
}
UNEQUAL = {"": (1.0, 1.0), ", upper layer varies 8 times as much": (1.6, 0.2)}


# --- coverage: each returns whether the interval holds the true value


def value_covered(rng, n, how) -> bool:
    """The 95 % interval of a layer's typical value."""
    low, high = spread(how.of_seeds(rng, n, [how.typical])[:, 0])["interval"]
    return low <= how.typical <= high


def contrast_covered(rng, n, how) -> bool:
    """The 95 % interval of a difference of two layers."""
    truth = [how.typical, how.typical - MARGIN]
    one = Contrast(of_seeds(how.of_seeds(rng, n, truth)), np.array([1.0, -1.0]))
    low, high = one.limit(0.025), one.limit(0.025, upper=True)
    return low <= MARGIN <= high


COVERED = {"a layer's value": value_covered, "a difference of layers": contrast_covered}


# --- power


def finding_power(rng, n, how, size: float) -> bool:
    """Both contrasts exceed the margin by `size` standard deviations of a difference."""
    deviation = np.sqrt(2) * how.sd * (1 - how.typical**2)
    middle = how.typical - MARGIN - size * deviation
    return _finding(rng, n, how, [how.typical, middle, how.typical]) == HOLDS


def ceiling_power(rng, n, how, size: float) -> bool:
    """The first of seven layers is above the ceiling by `size` standard deviations of a value."""
    above = float(np.tanh(np.arctanh(how.typical) + size * how.sd))
    return _ceiling(rng, n, how, [above] + [how.typical] * 6)["layer0"] == ABOVE


def stays_power(rng, n, how, size: float) -> bool:
    """The similarity does not change; its fall has a standard deviation of the margin divided by `size`."""
    weights = np.linalg.norm(_fall(rng, 3, how, 0.0).weights)
    still = Structure("", how.typical, MARGIN / size / weights / (1 - how.typical**2), how.common)
    return claims.stays_similar(_fall(rng, n, still, 0.0), MARGIN)["verdict"] == HOLDS


POWER = {
    "finding holds; contrasts exceed the margin by (standard deviations of a seed's contrast)": finding_power,
    "one of 7 layers above the ceiling by (standard deviations of a value)": ceiling_power,
    "stays similar; margin divided by the standard deviation of a seed's fall": stays_power,
}
MORE_SEEDS = (3, 4, 5, 7, 10, 15, 20)
SIZES = (0.5, 1, 2, 3, 4, 6)


def rate(question: Callable[..., bool], n: int, how: Structure, draws: int, *more, seed: int = 0) -> float:
    """Return how often a question is answered with true in simulated experiments."""
    rng = np.random.default_rng([seed, n])
    return sum(bool(question(rng, n, how, *more)) for _ in range(draws)) / draws


def table(head: list[str], rows: Iterator[list[str]]) -> str:
    """Make a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def wrong(structures: dict[str, Structure], draws: int) -> str:
    """Tabulate in percent how often verdicts are wrong, for 3 / 5 / 10 seeds."""
    rows = [
        [name, *(_rates(question, how, draws) for how in structures.values())]
        for name, question in WRONG.items()
    ]
    return table(["wrong verdict", *structures], rows)


def alone(structures: dict[str, Structure], draws: int) -> str:
    """Tabulate in percent how often each test alone is wrong."""
    rows = [
        [
            name + more,
            *(
                _rates(lambda rng, n, how, test=test, sd=sd: test(_at_margin(rng, n, how, *sd)), how, draws)
                for how in structures.values()
            ),
        ]
        for more, sd in UNEQUAL.items()
        for name, test in ALONE.items()
    ]
    return table(["only", *structures], rows)


def covered(structures: dict[str, Structure], draws: int) -> str:
    """Tabulate in percent how often intervals hold the true value."""
    rows = [
        [name, *(_rates(question, how, draws) for how in structures.values())]
        for name, question in COVERED.items()
    ]
    return table(["95 % interval of", *structures], rows)


def _rates(question: Callable[..., bool], how: Structure, draws: int) -> str:
    return " / ".join(f"{100 * rate(question, n, how, draws):.1f}" for n in SEEDS)


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
    write("alone", alone(structures, draws), draws)
    write("covered", covered(structures, draws), draws)
    write("wrong", wrong(structures, draws), draws)
    write("power", powers(draws // 2), draws // 2)


def write(name: str, content: str, draws: int = 0) -> None:
    """Replace one table of the page, with the number of experiments behind each number."""
    if draws:
        content += f"\n\n{draws:,} simulated experiments for each number."
    start, end = f"<!-- {name}: made by `make calibrate` -->", f"<!-- end of {name} -->"
    before, found, rest = PAGE.read_text().partition(start)
    _, closed, after = rest.partition(end)
    assert found and closed, name
    PAGE.write_text(f"{before}{start}\n\n{content}\n\n{end}{after}")
    print(content, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
