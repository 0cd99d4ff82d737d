"""Simulations behind docs/similarity.md: bias with few rows, coverage of intervals, chance levels.

    python tests/benchmarks/statistics_similarity.py [bias] [coverage] [leverage] [chance] [--repeat 200]

Two synthetic representations have known canonical correlations ρ, and units whose standard deviations fall
from 1 to 0.1. `bias` prints the mean value for several numbers of images per unit and, as the truth, that of
very many images. `coverage` prints how often the 95 % interval contains the mean value of all samples of that
size, and how often it contains the truth. `leverage` prints the first of these for images of unequal length,
and how often there is an interval. `chance` prints a table: chance divided by the mean of `--repeat`
permutations, and in parentheses the percentage of them above `chance_high`. Everything is drawn from fixed
seeds.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow/scripts"))

from prunescope import kinds
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.moments import Gram
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare
from prunescope.similarity.whitening import represent

PROFILES = {"unrelated": (0.0, 0.0), "half alike": (0.0, 1.0), "alike": (0.8, 1.0)}
RATIOS = (5, 10, 20, 50)


def sample(rng, images: int, p: int, profile: str, positions: int = 1, within: float = 0.0):
    """Draw two matrices (images · positions) × p with ρ spread evenly over the profile's range.

    `within` is the correlation of the rows of one image.
    """

    def noise():
        shared = np.repeat(rng.standard_normal((images, p)), positions, axis=0)
        own = rng.standard_normal((images * positions, p))
        return np.sqrt(within) * shared + np.sqrt(1 - within) * own

    rho, scale = np.linspace(*PROFILES[profile], p), np.geomspace(1, 0.1, p)
    a, other = noise(), noise()
    order = np.random.default_rng(p).permutation(p)
    return a[:, order] * scale, (a * rho + other * np.sqrt(1 - rho**2))[:, order] * scale


def scores(a, b, measures, positions: int = 1, intervals: bool = False):
    gram = partial(Gram, by_fold=intervals)
    own = Group([a, b], lambda _, found: represent(found), gram=gram, positions=positions, replicas=intervals)
    return compare(own.pair(0, 1), [load_measure(name) for name in measures])


def truths(p: int, profile: str, measures) -> dict[str, float]:
    """Return the values for very many images."""
    found = scores(*sample(np.random.default_rng(0), 4000 * p, p, profile), measures)
    return {score.measure: score.value for score in found}


def bias(repeat: int) -> None:
    measures = [name for name, kind in kinds.known("measure").items() if kind.facts.get("needs") != "labels"]
    print("mean value by images per unit, and with very many")
    for p in (16, 64):
        for profile in PROFILES:
            expected, means = truths(p, profile, measures), {}
            for ratio in RATIOS:
                rng = np.random.default_rng(ratio)
                found = [
                    [score.value for score in scores(*sample(rng, ratio * p, p, profile), measures)]
                    for _ in range(max(5, repeat * 4 // p))
                ]
                means[ratio] = np.mean(found, axis=0)
            print(f"{p} units, {profile}")
            for place, name in enumerate(measures):
                line = "  ".join(f"{ratio}: {means[ratio][place]:.3f}" for ratio in RATIOS)
                print(f"   {name:13} {line}  truth: {expected[name]:.3f}", flush=True)


def coverage(repeat: int) -> None:
    measures = [name for name, kind in kinds.known("measure").items() if kind.facts.get("intervals")]
    print(f"coverage of 95 % intervals in {repeat} samples: of the mean value, and of the truth")
    for p, ratio, positions, within in (
        (8, 10, 1, 0.0),
        (16, 10, 1, 0.0),
        (16, 20, 1, 0.0),
        (16, 50, 1, 0.0),
        (48, 10, 1, 0.0),
        (16, 10, 9, 0.5),
    ):
        for profile in PROFILES:
            expected, rng = truths(p, profile, measures), np.random.default_rng(1)
            found = [
                scores(*sample(rng, ratio * p, p, profile, positions, within), measures, positions, True)
                for _ in range(repeat)
            ]
            text = []
            for place, name in enumerate(measures):
                values, low, high = (
                    np.array([getattr(one[place], key) for one in found]) for key in ("value", "low", "high")
                )
                shares = [
                    np.mean((low <= truth) & (truth <= high)) for truth in (values.mean(), expected[name])
                ]
                errors = f"(sd {values.std():.4f}, width / 3.92 {np.mean(high - low) / 3.92:.4f})"
                text.append(f"{name} {shares[0]:.3f} {shares[1]:.3f} {errors}")
            print(
                f"{p} units, {ratio} images each, {positions} positions, {profile}: {'; '.join(text)}",
                flush=True,
            )


# Draws of the factor that makes images unequally long, by structure.
LENGTHS = {
    "equal": lambda rng, n: np.ones(n),
    "3 % of the images twice as long": lambda rng, n: np.where(rng.random(n) < 0.03, 2, 1),
    "3 % of the images 3 times as long": lambda rng, n: np.where(rng.random(n) < 0.03, 3, 1),
    "Student t with 8 degrees of freedom": lambda rng, n: np.sqrt(8 / rng.chisquare(8, n)),
    "Student t with 4 degrees of freedom": lambda rng, n: np.sqrt(4 / rng.chisquare(4, n)),
}


def leverage(repeat: int) -> None:
    measures = [name for name, kind in kinds.known("measure").items() if kind.facts.get("intervals")]
    print(f"500 images, 20 units: coverage of the mean value in {repeat} samples, where there is an interval")
    for structure, lengths in LENGTHS.items():
        rng, found = np.random.default_rng(2), []
        for _ in range(repeat):
            factor = lengths(rng, 500)[:, None]
            found.append(
                scores(*(factor * x for x in sample(rng, 500, 20, "half alike")), measures, intervals=True)
            )
        text = []
        for place, name in enumerate(measures):
            value, low, high = (
                np.array([getattr(one[place], key) for one in found]) for key in ("value", "low", "high")
            )
            given = np.isfinite(low)
            inside = (low <= value.mean()) & (value.mean() <= high)
            text.append(f"{name} {inside.sum() / given.sum():.3f} (given: {given.mean():.2f})")
        print(f"   {structure}: {'; '.join(text)}", flush=True)


def _student(rng, images, p, freedom):
    return rng.standard_normal((images, p)) / np.sqrt(rng.chisquare(freedom, (images, 1)) / freedom)


def _maps(rng, images, side, p, active):
    """Half of the channels are the same at all positions of an image, the others differ between positions."""
    rows = rng.standard_normal((images, side * side, p))
    rows[..., : p // 2] = rows[:, :1, : p // 2]
    return (rows * (rng.random((images, 1, p)) < active)).reshape(-1, p)


LAYERS = {
    "Gaussian, 600 × 20": (1, lambda rng: rng.standard_normal((600, 20)) * np.geomspace(1, 0.1, 20)),
    "ReLU active on .6 %, 600 × 20": (1, lambda rng: np.maximum(rng.standard_normal((600, 20)) - 2.512, 0)),
    "5 % of images active, 600 × 20": (
        1,
        lambda rng: rng.standard_normal((600, 20)) * (rng.random((600, 1)) < 0.05),
    ),
    "Student t2, 600 × 20": (1, lambda rng: _student(rng, 600, 20, 2)),
    "ReLU active on .6 %, 2000 × 64": (1, lambda rng: np.maximum(rng.standard_normal((2000, 64)) - 2.512, 0)),
    "5 % of images active, 2000 × 64": (
        1,
        lambda rng: rng.standard_normal((2000, 64)) * (rng.random((2000, 1)) < 0.05),
    ),
    "Student t2.2, 2000 × 64": (1, lambda rng: _student(rng, 2000, 64, 2.2)),
    "maps 500 × 49 × 32, unequally smooth": (49, lambda rng: _maps(rng, 500, 7, 32, 1.0)),
    "the same, channels active on 3 %": (49, lambda rng: _maps(rng, 500, 7, 32, 0.03)),
}


def chance(repeat: int) -> None:
    measures = [load_measure(name) for name in kinds.known("measure")]
    measures = [measure for measure in measures if measure.chance and not measure.centred]
    print(f"| {repeat} permutations | " + " | ".join(f"`{measure.name}`" for measure in measures) + " |")
    print("|---|" + "---:|" * len(measures))
    for name, (positions, draw) in LAYERS.items():
        rng = np.random.default_rng(0)
        a, b = draw(rng), draw(rng)
        own = Group([a, b], lambda _, found: represent(found), positions=positions)
        found, images = compare(own.pair(0, 1), measures), b.reshape(-1, positions, b.shape[1])
        values = []
        for _ in range(repeat):
            shuffled = images[rng.permutation(len(images))].reshape(b.shape)
            pair = Group([a, shuffled], lambda _, found: represent(found), positions=positions).pair(0, 1)
            values.append([measure.value(pair) for measure in measures])
        cells = [
            f"{score.chance / column.mean():.2f} ({100 * np.mean(column > score.chance_high):.0f})"
            for score, column in zip(found, np.array(values).T, strict=True)
        ]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["bias", "coverage", "leverage"])
    parser.add_argument("--repeat", type=int, default=200)
    arguments = parser.parse_args()
    for name in arguments.what:
        {"bias": bias, "coverage": coverage, "leverage": leverage, "chance": chance}[name](arguments.repeat)


if __name__ == "__main__":
    main()
