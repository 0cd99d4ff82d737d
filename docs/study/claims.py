"""Compute every number of docs/study.md, and those of README.md, from the tables in docs/study.

A number on these pages is followed by a comment with its name: ``.93<!-- mnist.1a.first.estimate -->``. With
``100*`` before the name it is in percent or percentage points. A verdict is in bold type:
``**holds**<!-- mnist.1a.verdict -->``. `make study` fills in both; tests check them.
"""

import re
import sys
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit
from scipy.stats import rankdata

from prunescope.findings import claims
from prunescope.findings.statistics import Contrast, holm, of_pairs, of_seeds

HERE = Path(__file__).parent
# Texts with numbers of the study.
PAGES = (HERE.parent / "study.md", HERE.parents[1] / "README.md")
STUDIES = ("mnist", "cifar10")
PRIMARY, MARGIN, LEAST_ACCURACY = "cka_debiased", 0.05, 0.28
LEVELS = ["weights", "predictions", "landscape", "representations"]
# How many points of accuracy count as a loss (claim 6), and the halvings of density within which it must be.
LOSS, HALVINGS = 0.005, 1.0
FIRST = {"mnist": ["relu1"], "cifar10": ["relu1", "relu2"]}
# A number on the page: an optional sign, digits, an optional decimal point.
NUMBER = re.compile(r"([−+]?)(\d[\d,]*(?:\.\d+)?|\.\d+)<!-- ((?:100\*)?[\w.-]+) -->")
VERDICT = re.compile(r"\*\*([a-z ,]+)\*\*<!-- ([\w.-]+) -->")


class Study:
    """The tables of a study, without the seeds that have a network that does not classify.

    Parameters
    ----------
    name : str
    folder : path, optional
        Of the tables.
    with_failed : bool, default False
        Keep those seeds.
    """

    def __init__(self, name: str, folder: Path = HERE, with_failed: bool = False):
        self.name = name
        tables = {
            path.stem.removeprefix(f"{name}-"): pd.read_csv(path) for path in folder.glob(f"{name}-*.csv")
        }
        self.networks = tables["networks"]
        failed = self.networks[self.networks["test_accuracy"] < LEAST_ACCURACY]
        self.failed = sorted({*failed.loc[failed["series"] == "pruned", "seed"]})
        self.failed_controls = failed.loc[failed["series"] != "pruned", ["series", "seed", "round"]]
        out = set() if with_failed else set(self.failed)
        self.similarity = _without(tables["similarity"], out)
        self.warnings = _without(tables["warnings"], out)
        self.chance = tables["chance"][~tables["chance"]["seed"].isin(out)]
        self.distances = _without(tables["distances"], out)
        self.views = tables["views"][~tables["views"]["seed"].isin(out)]
        self.authors = tables.get("authors")
        own = self.networks[self.networks["series"] == "pruned"]
        self.own = own[~own["seed"].isin(out)]
        pruned = self.distances[self.distances["series"] == "pruned"]
        self.levels = [level for level in LEVELS if pruned[level].notna().any()]
        self.last = int(own["round"].max())
        self.rounds = list(range(1, self.last + 1))
        self.density = own.groupby("round")["density"].mean()
        self.layers = list(self.similarity.loc[self.similarity["series"] == "pruned", "layer"].unique())
        self.measures = [
            name for name in self.similarity if name not in ("series", "seed", "seed_b", "round", "layer")
        ]
        self.first = FIRST[name]
        self.middle = [layer for layer in self.layers[:-1] if layer not in self.first]

    @cached_property
    def trusted(self) -> pd.DataFrame:
        """The similarities in long form, missing where a value needs a warning."""
        keys = ["series", "seed", "seed_b", "round", "layer"]
        long = self.similarity.melt(keys, self.measures, "measure", "value")
        bad = pd.MultiIndex.from_frame(self.warnings[[*keys, "measure"]])
        flagged = pd.MultiIndex.from_frame(long[[*keys, "measure"]]).isin(bad)
        return long.assign(value=long["value"].mask(flagged))

    def values(self, series: str, round: int, measure: str = PRIMARY) -> pd.DataFrame:
        """Return a table seeds × layers of one round."""
        rows = self.trusted[self.trusted["round"] == round]
        rows = rows[(rows["series"] == series) & (rows["measure"] == measure)]
        return rows.pivot(index="seed", columns="layer", values="value").reindex(columns=self.layers)

    def groups(self, table: pd.DataFrame) -> pd.DataFrame:
        """Average the layers of each group. Seeds with a missing value are left out."""
        groups = {"first": self.first, "middle": self.middle, "output": self.layers[-1:]}
        means = {name: table[layers].mean(axis=1, skipna=False) for name, layers in groups.items()}
        return pd.DataFrame(means).dropna()

    def pairs(self, series: str, measure: str = PRIMARY) -> dict[str, np.ndarray]:
        """Return the symmetric matrix seeds × seeds of each layer between dense or untrained networks."""
        rows = self.trusted
        rows = rows[(rows["series"] == series) & (rows["measure"] == measure)]
        seeds = sorted({*rows["seed"], *rows["seed_b"]})
        matrices = {}
        for layer, part in rows.groupby("layer"):
            table = part.pivot(index="seed", columns="seed_b", values="value").reindex(
                index=seeds, columns=seeds
            )
            matrices[layer] = table.fillna(table.T).to_numpy()
        return matrices

    def chances(self, column: str) -> pd.DataFrame:
        """Return chance levels of the last round, seeds × layers."""
        rows = self.chance[self.chance["round"] == self.last]
        return rows.pivot(index="seed", columns="layer", values=column).reindex(columns=self.layers)


def _without(table: pd.DataFrame, seeds: set[int]) -> pd.DataFrame:
    return table[~(table["seed"].isin(seeds) | table["seed_b"].isin(seeds))]


def compute(study: Study) -> dict[str, float | str]:
    """Return all numbers and verdicts of a study by name, see docs/study.md for the claims."""
    found = {"seeds": float(len(study.own["seed"].unique())), "failed": float(len(study.failed))}
    found |= {f"density.{round}": value for round, value in study.density.items()}
    parts = [
        _accuracy,
        _typical,
        _pattern,
        _retrained,
        _above_classes,
        _above_chance,
        _apart,
        _siblings,
        _others,
    ]
    parts += [_untrained, _measures, _distances, _order, _agreement, _collapse, _sensitivity, _authors]
    for part in parts:
        found |= part(study)
    return found


def _summary(name: str, contrast: Contrast, margin: float | None = None) -> dict[str, float]:
    """Return an estimate and its interval: 90 % where it is compared with a margin, otherwise 95 %."""
    one = contrast.summary(margin)
    low, high = one["interval"] or (np.nan, np.nan)
    numbers = {
        "estimate": one["estimate"],
        "low": low,
        "high": high,
        "seeds": one["count"],
        "above": one["above"],
    }
    return {f"{name}.{key}": np.nan if value is None else float(value) for key, value in numbers.items()}


def _summaries(name: str, contrasts: dict[str, Contrast], margin: float | None = None) -> dict[str, float]:
    """Return the estimates and intervals of several contrasts."""
    found = {}
    for key, one in contrasts.items():
        found |= _summary(f"{name}.{key}", one, margin)
    return found


def mean(name: str, values: np.ndarray, level: float = 0.05) -> dict[str, float]:
    """Return the mean of one number for each seed, with Student's interval."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    n = len(values)
    half = stdtrit(n - 1, 1 - level / 2) * values.std(ddof=1) / np.sqrt(n) if n > 2 else np.nan
    middle = values.mean() if n else np.nan
    return {
        f"{name}.mean": middle,
        f"{name}.low": middle - half,
        f"{name}.high": middle + half,
        f"{name}.seeds": float(n),
    }


def _accuracy(study: Study) -> dict:
    found = {}
    for series, part in study.networks.groupby("series"):
        for round, rows in part.groupby("round"):
            values, name = rows["test_accuracy"], f"accuracy.{series.replace(' ', '-')}.{round}"
            found |= {f"{name}.mean": values.mean(), f"{name}.min": values.min(), f"{name}.max": values.max()}
    table = study.own.pivot(index="seed", columns="round", values="test_accuracy")
    found |= mean("accuracy.change", table[study.last] - table[0])
    return found | {"accuracy.lost": -found["accuracy.change.mean"]}


def _typical(study: Study) -> dict:
    """The typical similarity of each layer in the last round, by series."""
    found = {}
    for series in study.similarity["series"].unique():
        name = f"typical.{series.replace(' ', '-')}"
        if series in ("other seeds", "untrained"):
            for layer, matrix in study.pairs(series).items():
                found |= _summary(f"{name}.{layer}", of_pairs(matrix[None], [1.0]))
            continue
        for round in study.rounds:
            table = study.values(series, round)
            for layer in study.layers:
                values = table[[layer]].dropna().to_numpy()
                if len(values):
                    found |= _summary(f"{name}.{round}.{layer}", of_seeds(values, [1.0]))
    return found


def _of_same_seeds(tables: list[pd.DataFrame | pd.Series]) -> list[np.ndarray]:
    """Return the values of two tables for the seeds that both have, without those with a missing value."""
    return np.split(pd.concat(tables, axis=1, join="inner").dropna().to_numpy(), 2, axis=1)


def _pattern(study: Study, name: str = "1a", measure: str = PRIMARY) -> dict:
    contrasts = claims.shape(study.groups(study.values("pruned", study.last, measure)).to_numpy())
    return {f"{name}.verdict": str(claims.has_shape(contrasts, MARGIN))} | _summaries(name, contrasts, MARGIN)


def _retrained(study: Study) -> dict:
    """The contrasts of 1a in networks retrained without pruning, and those of pruned networks beyond them."""
    tables = [study.groups(study.values(series, study.last)) for series in ("pruned", "retrained")]
    own, retrained = _of_same_seeds(tables)
    if len(own) < 3:
        return {}
    found = _summaries("1a.retrained", claims.shape(retrained), MARGIN)
    return found | _summaries("1a.beyond", claims.shape(own, retrained), MARGIN)


def _above_classes(study: Study) -> dict:
    values, classes = study.values("pruned", study.last), study.chances("chance_classes")
    found = {f"classes.{layer}": value for layer, value in classes.mean().items()}
    found |= {"classes.room": 1 - found[f"classes.{study.layers[-1]}"]}
    shares = claims.shape(study.groups((values - classes) / (1 - classes)).to_numpy())
    contrasts = claims.shape(study.groups(values - classes).to_numpy())
    found |= _summaries("1b.share", shares, MARGIN) | _summaries("1b", contrasts, MARGIN)
    shown = all(found[f"1b.{key}.low"] > 0 for key in contrasts)
    return found | {"1b.verdict": "holds" if shown else "does not hold"}


def _above_chance(study: Study) -> dict:
    found, values = {}, study.values("pruned", study.last)
    for column in ("chance_high", "chance_classes"):
        name = f"1c.{column.removeprefix('chance_')}"
        both = [np.stack([values[layer], study.chances(column)[layer]], 1) for layer in study.layers]
        tests = [of_seeds(pair[~np.isnan(pair).any(axis=1)], [1.0, -1.0]) for pair in both]
        shown = holm(len(tests), lambda i, level, tests=tests: tests[i].above(0.0, level))
        found |= {f"{name}.layers": float(shown.sum())}
        for layer, one in zip(study.layers, tests, strict=True):
            found |= _summary(f"{name}.{layer}", one)
    return found


def _falls(study: Study, series: str, layers: list[str]) -> pd.DataFrame:
    """Return the mean over some layers, seeds × rounds."""
    tables = {round: study.values(series, round)[layers].mean(axis=1, skipna=False) for round in study.rounds}
    return pd.DataFrame(tables)


def _apart(study: Study) -> dict:
    log_density, found = np.log(study.density[study.rounds]).to_numpy(), {}

    def fall(layers: list[str]) -> tuple[Contrast, Contrast]:
        """The fall beyond that of retrained networks, and the fall itself."""
        tables = [_falls(study, series, layers) for series in ("pruned", "retrained")]
        own, retrain = _of_same_seeds(tables)
        return claims.fall(own, log_density, retrain), claims.fall(own, log_density)

    tests = {layer: fall([layer])[0] for layer in study.layers}
    words = claims.layers_change(list(tests.values()), MARGIN)
    for (layer, one), word in zip(tests.items(), words, strict=True):
        found |= _summary(f"2a.{layer}", one, MARGIN) | {f"2a.{layer}.verdict": str(word)}
    beyond, alone = fall(study.middle)
    found |= _summary("2a.middle", beyond, MARGIN) | _summary("2a.alone", alone, MARGIN)
    return found | {"2a.verdict": str(claims.grows_apart(beyond, MARGIN))}


def _siblings(study: Study) -> dict:
    found = {}
    for round in study.rounds:
        tables = [study.values(series, round).mean(axis=1, skipna=False) for series in ("siblings", "pruned")]
        both = np.hstack(_of_same_seeds(tables))
        if len(both) < 3:
            continue
        one = of_seeds(both, [1.0, -1.0])
        found |= _summary(f"2b.{round}", one, MARGIN)
        if round == study.last:
            word = "holds" if one.above(MARGIN) else "does not hold" if one.below(MARGIN) else "undecided"
            found |= {"2b.verdict": word}
    return found


def _others(study: Study) -> dict:
    found, pairs = {}, study.pairs("other seeds")
    for round in study.rounds:
        values = study.values("pruned", round)
        tests = [claims.against_others(values[layer].to_numpy(), pairs[layer]) for layer in study.layers]
        words = claims.differ(tests)
        for layer, one, word in zip(study.layers, tests, words, strict=True):
            found |= _summary(f"2c.{round}.{layer}", one) | {f"2c.{round}.{layer}.verdict": str(word)}
        found |= {
            f"2c.{round}.below": float((words == "below").sum()),
            f"2c.{round}.above": float((words == "above").sum()),
        }
    holds, fails = found[f"2c.{study.last}.below"] > 0, found[f"2c.{study.last}.above"] == len(study.layers)
    return found | {"2c.verdict": "holds" if holds else "does not hold" if fails else "undecided"}


def _untrained(study: Study) -> dict:
    groups, found = [study.first, study.middle, study.layers[-1:]], {}
    for name, series in (("3.other-seeds", "other seeds"), ("3", "untrained")):
        pairs = study.pairs(series)
        contrasts = claims.shape_of_pairs(
            np.stack([sum(pairs[layer] for layer in part) / len(part) for part in groups])
        )
        found |= _summaries(name, contrasts, MARGIN)
    return found | {"3.verdict": str(claims.has_shape(contrasts, MARGIN))}


def _measures(study: Study) -> dict:
    signs, found = {}, {}
    for measure in study.measures:
        table = study.groups(study.values("pruned", study.last, measure))
        if len(table) < 3:
            found |= {f"4.{measure}.seeds": float(len(table))}
            continue
        signs[measure] = []
        for key, one in claims.shape(table.to_numpy()).items():
            found |= _summary(f"4.{measure}.{key}", one)
            low, high = found[f"4.{measure}.{key}.low"], found[f"4.{measure}.{key}.high"]
            signs[measure].append(int(low > 0) - int(high < 0))
    agree = {name: 0 not in own and own == signs[PRIMARY] for name, own in signs.items()}
    found |= {f"4.{name}.agrees": str(value) for name, value in agree.items()}
    found |= {"4.agree": float(sum(agree.values()) - agree[PRIMARY]), "4.others": float(len(agree) - 1)}
    return found | {"4.verdict": "holds" if all(agree.values()) else "does not hold"}


def _reached(halvings: np.ndarray, values: np.ndarray, limit: float) -> float:
    """Return where a curve first reaches a limit, interpolated; missing if it does not."""
    above = np.flatnonzero(values >= limit)
    if not len(above):
        return np.nan
    at = above[0]
    if at == 0:
        return halvings[0]
    share = (limit - values[at - 1]) / (values[at] - values[at - 1])
    return halvings[at - 1] + share * (halvings[at] - halvings[at - 1])


def curves(study: Study, column: str, series: str = "pruned") -> pd.DataFrame:
    """Return the distances of networks to the dense ones at one level: seeds × rounds."""
    rows = study.distances[study.distances["series"] == series]
    return rows.pivot(index="seed", columns="round", values=column)


def _distances(study: Study) -> dict:
    """The distances to the dense network at each level: by series, and beyond those of retrained networks."""
    found = {}
    for (series, round), rows in study.distances.groupby(["series", "round"]):
        for level in study.levels:
            values = rows[level].dropna()
            if len(values):
                name = f"distance.{level}.{series.replace(' ', '-')}.{round}"
                found |= {f"{name}.{key}": value for key, value in values.agg(["mean", "min", "max"]).items()}
    for level in study.levels:
        beyond = curves(study, level) - curves(study, level, "retrained")
        for round in study.rounds:
            found |= mean(f"beyond.{level}.{round}", beyond[round])
    for round in study.rounds:
        beyond = study.values("retrained", round) - study.values("pruned", round)
        for layer in study.layers:
            found |= mean(f"beyond.{layer}.{round}", beyond[layer])
    return found


def _order(study: Study) -> dict:
    halvings = -np.log2(study.density.to_numpy())
    tables = {level: curves(study, level).dropna() for level in study.levels}
    half = pd.DataFrame(
        {
            level: [
                _reached(halvings, row, row.max() / 2) if row.max() > 0 else np.nan
                for row in table.to_numpy()
            ]
            for level, table in tables.items()
        },
        index=tables["weights"].index,
    )
    found = {}
    for level in study.levels:
        found |= mean(f"5a.{level}", half[level])
        found |= {f"5a.{level}.density": 2.0 ** -found[f"5a.{level}.mean"]}
    pairs = list(combinations(study.levels, 2))
    tests = [(half[a] - half[b]).dropna().to_numpy() for a, b in pairs]
    shown = holm(len(pairs), lambda i, level: np.array(_p(tests[i]) <= level))
    for (a, b), values, one in zip(pairs, tests, shown, strict=True):
        found |= mean(f"5a.{a}-{b}", values) | {f"5a.{a}-{b}.differ": str(bool(one))}
    verdict = "holds" if shown.all() else "undecided"
    return found | {"5a.verdict": verdict, "5a.order": ", ".join(half.mean().sort_values().index)}


def _p(values: np.ndarray) -> float:
    """Student's two-sided p-value for a mean of 0."""
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(values, 0).pvalue) if len(values) > 2 and np.ptp(values) > 0 else 1.0


def _spearman(tables: list[pd.DataFrame], rounds: list[int]) -> float:
    """Return the rank correlation over seeds of two tables seeds × rounds, mean over rounds."""
    found = []
    for round in rounds:
        a, b = (rankdata(table[round]) for table in tables)
        if np.ptp(a) and np.ptp(b):
            found.append(np.corrcoef(a, b)[0, 1])
    return float(np.mean(found)) if found else np.nan


def _jackknife(name: str, tables: list[pd.DataFrame], rounds: list[int]) -> dict:
    whole, n = _spearman(tables, rounds), len(tables[0])
    without = [_spearman([table.drop(seed) for table in tables], rounds) for seed in tables[0].index]
    error = np.sqrt((n - 1) / n * np.sum((np.array(without) - np.mean(without)) ** 2))
    half = stdtrit(n - 1, 0.975) * error
    return {f"{name}.mean": whole, f"{name}.low": whole - half, f"{name}.high": whole + half}


def _agreement(study: Study) -> dict:
    tables, found = {level: curves(study, level) for level in study.levels}, {}
    for a, b in combinations(study.levels, 2):
        found |= _jackknife(f"5b.{a}-{b}", [tables[a], tables[b]], study.rounds)
    accuracy = study.own.pivot(index="seed", columns="round", values="test_accuracy")
    loss = accuracy[[0]].to_numpy() - accuracy
    for level in study.levels:
        found |= _jackknife(f"6b.{level}", [tables[level], loss], study.rounds)
    shown = [
        key.removesuffix(".low")
        for key, value in found.items()
        if key.startswith("5b") and key.endswith("low") and value > 0
    ]
    return found | {"5b.shown": float(len(shown))}


def _collapse(study: Study) -> dict:
    halvings = -np.log2(study.density.to_numpy())
    accuracy = study.own.pivot(index="seed", columns="round", values="test_accuracy")
    loss = (accuracy[[0]].to_numpy() - accuracy).to_numpy()
    moved = curves(study, "representations")
    others = study.distances[study.distances["series"] == "other seeds"]
    limits = {
        seed: others.loc[(others["seed"] == seed) | (others["seed_b"] == seed), "representations"].mean()
        for seed in moved.index
    }
    lost = np.array([_reached(halvings, row, LOSS) for row in loss])
    apart = np.array([_reached(halvings, moved.loc[seed].to_numpy(), limits[seed]) for seed in moved.index])
    found = {
        "6.lost.reached": float((~np.isnan(lost)).sum()),
        "6.apart.reached": float((~np.isnan(apart)).sum()),
    }
    filled = [np.where(np.isnan(one), halvings[-1], one) for one in (lost, apart)]
    found |= (
        mean("6.lost", filled[0])
        | mean("6.apart", filled[1])
        | mean("6.difference", filled[0] - filled[1], 0.1)
    )
    found |= {f"6.{name}.density": 2.0 ** -found[f"6.{name}.mean"] for name in ("lost", "apart")}
    low, high = found["6.difference.low"], found["6.difference.high"]
    few = min(found["6.lost.reached"], found["6.apart.reached"]) < len(lost) / 2
    within, outside = low > -HALVINGS and high < HALVINGS, low > HALVINGS or high < -HALVINGS
    word = "no verdict" if few else "holds" if within else "does not hold" if outside else "undecided"
    return found | {"6.verdict": word}


def _sensitivity(study: Study) -> dict:
    found, signs = {}, set()

    def add(name: str, table: pd.DataFrame) -> None:
        means = study.groups(table)
        if len(means) < 3:
            return
        for layer in study.layers:
            found.update(_summary(f"7.{name}.{layer}", of_seeds(table[[layer]].dropna().to_numpy(), [1.0])))
        found.update(_summaries(f"7.{name}", claims.shape(means.to_numpy())))
        signs.add(tuple(np.sign(found[f"7.{name}.{key}.estimate"]) for key in claims.SHAPE))

    own = study.values("pruned", study.last)
    half = len(own) // 2
    add("seeds-a", own.iloc[:half])
    add("seeds-b", own.iloc[half:])
    for (view, images), part in study.views.groupby(["view", "images"]):
        part = part.assign(value=part["value"].where(part["status"] == "ok"))
        table = part.pivot(index="seed", columns="layer", values="value").reindex(columns=study.layers)
        add(f"{view}-{images}", table)
    return found | {"7.verdict": "holds" if len(signs) == 1 else "does not hold"}


def _authors(study: Study) -> dict:
    if study.authors is None:
        return {}
    groups = study.authors.groupby(["networks", "measure", "layer"])["value"]
    table = groups.agg(["mean", "min", "max"])
    found = {
        f"authors.{'.'.join(index)}.{column}": float(value)
        for index, row in table.iterrows()
        for column, value in row.items()
    }
    means = table["mean"].unstack("networks")
    gaps = means.drop(columns="published").sub(means["published"], axis=0).abs().max(axis=1)
    return found | {f"authors.gap.{measure}": gap for measure, gap in gaps.groupby("measure").max().items()}


def all_numbers(folder: Path = HERE) -> dict[str, float | str]:
    """Return all numbers of the studies that have tables, by name."""
    found = {}
    for name in STUDIES:
        if (folder / f"{name}-networks.csv").exists():
            found |= {f"{name}.{key}": value for key, value in compute(Study(name, folder)).items()}
            if Study(name, folder).failed:
                more = compute(Study(name, folder, with_failed=True))
                found |= {f"{name}.with_failed.{key}": value for key, value in more.items()}
    return found


def shown(text: str, value: float) -> str:
    """Write a value like a number on the page: as many decimals, and no zero before the point."""
    decimals = len(text.partition(".")[2])
    written = f"{abs(value):,.{decimals}f}"
    sign = "−" if value < 0 and float(written.replace(",", "")) else "+" if text.startswith("+") else ""
    return sign + (written.removeprefix("0") if written.startswith("0.") else written)


def fill(page: str, numbers: dict[str, float | str]) -> str:
    """Replace every number and verdict of the page that has a name."""

    def replaced(match: re.Match) -> str:
        name = match[3].removeprefix("100*")
        value = float(numbers[name]) * (100 if match[3].startswith("100*") else 1)
        return f"{shown(match[1] + match[2], value)}<!-- {match[3]} -->"

    page = VERDICT.sub(lambda match: f"**{numbers[match[2]]}**<!-- {match[2]} -->", page)
    return NUMBER.sub(replaced, page)


def main():
    """Fill in the numbers of the page; with --list, print all of them."""
    numbers = all_numbers()
    if "--list" in sys.argv:
        for name, value in numbers.items():
            print(name, value if isinstance(value, str) else f"{value:.5g}")
        return
    for page in PAGES:
        page.write_text(fill(page.read_text(encoding="utf-8"), numbers), encoding="utf-8")


if __name__ == "__main__":
    main()
