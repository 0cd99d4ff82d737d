"""The numbers of docs/study.md: filled in from the tables, and computed again here by other means."""

import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "docs/study"
sys.path.insert(0, str(FOLDER))

import claims  # noqa: E402

PAGE = (REPOSITORY / "docs/study.md").read_text(encoding="utf-8")
STUDIES = [name for name in claims.STUDIES if (FOLDER / f"{name}-networks.csv").exists()]
LAYERS = ["relu1", "relu2", "output"]


def made(folder, seeds=4, collapsed=()):
    """Write the tables of a small study: two rounds, three layers, the last networks of some seeds fail."""
    rng, rows, distances, networks = np.random.default_rng(0), [], [], []
    densities = {0: 1.0, 1: 0.5, 2: 0.25}
    for series, fall in (("pruned", 0.2), ("retrained", 0.02)):
        for seed, round in itertools.product(range(seeds), densities):
            accuracy = (
                0.1 if (seed in collapsed and round == 2 and series == "pruned") else 0.99 - 0.01 * round
            )
            density = densities[round] if series == "pruned" else 1.0
            networks.append([series, seed, round, density, accuracy, accuracy, 0.1])
            moved = fall * round / 2 * (1 + rng.normal(0, 0.1))
            distances.append([series, seed, seed, round, density, moved, moved / 2, moved / 3, moved])
            for layer, more in zip(LAYERS, (0.0, 0.3, 0.1), strict=True):
                value = 0.98 - moved - more * round / 2 + rng.normal(0, 0.005)
                rows += [[series, seed, seed, round, layer, value, value - 0.05]] if round else []
    for seed, round, layer in itertools.product(range(seeds), (1, 2), LAYERS):
        rows.append(["siblings", seed, seed, round, layer, 0.97 + rng.normal(0, 0.003), 0.9])
    for seed, round in itertools.product(range(seeds), (1, 2)):
        distances.append(["siblings", seed, seed, round, densities[round], 0.01, 0.01, None, 0.03])
    for series, value in (("other seeds", 0.7), ("untrained", 0.4)):
        for (a, b), layer in itertools.product(itertools.combinations(range(seeds), 2), LAYERS):
            lower = 0.2 * (series == "untrained") * (layer == "output")
            rows.append([series, a, b, 0, layer, value - lower + rng.normal(0, 0.02), 0.5])
        distances += [
            [series, a, b, 0, 1.0, None, 0.02, None, 1 - value]
            for a, b in itertools.combinations(range(seeds), 2)
        ]
    chance = [[seed, 2, layer, 0.01, 0.1] for seed in range(seeds) for layer in LAYERS]
    views = [
        [seed, 2, view, 500, layer, value, "ok"]
        for seed in range(seeds)
        for view in ("channels", "pooled")
        for layer, value in zip(LAYERS, 0.01 * seed + np.array([0.9, 0.5, 0.8]), strict=True)
    ]
    keys = ["series", "seed", "seed_b", "round"]
    tables = {
        "networks": (
            ["series", "seed", "round", "density", "test_accuracy", "train_accuracy", "test_loss"],
            networks,
        ),
        "similarity": ([*keys, "layer", "cka_debiased", "cca"], rows),
        "warnings": (
            [*keys, "layer", "measure", "status"],
            [["pruned", 0, 0, 1, "relu1", "cca", "few rows"]],
        ),
        "chance": (["seed", "round", "layer", "chance_high", "chance_classes"], chance),
        "distances": ([*keys, "density", *claims.LEVELS], distances),
        "views": (["seed", "round", "view", "images", "layer", "value", "status"], views),
    }
    for name, (columns, values) in tables.items():
        pd.DataFrame(values, columns=columns).to_csv(folder / f"mnist-{name}.csv", index=False)
    return claims.Study("mnist", folder)


def typical(values):
    return np.tanh(np.arctanh(np.asarray(values, float)).mean())


@pytest.fixture(scope="module")
def numbers():
    return claims.all_numbers()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return made(tmp_path_factory.mktemp("study"))


@pytest.mark.parametrize("page", claims.PAGES, ids=lambda page: page.name)
def test_every_number_of_the_pages_follows_from_the_tables(page, numbers):
    text = page.read_text(encoding="utf-8")
    assert claims.NUMBER.search(text)
    assert claims.fill(text, numbers) == text


def test_every_number_of_the_results_has_a_name():
    """Other numbers there are those of the plan: densities, margins, layers, counts below ten."""
    results = [part for part in PAGE.split("\n## ") if part.startswith("Results")]
    assert len(results) == len(STUDIES)
    left = claims.NUMBER.sub("", "\n".join(results))
    left = re.sub(r"<!--.*?-->|\]\([^)]*\)|`[^`]*`", "", left, flags=re.DOTALL)
    assert re.findall(r"(?<![\w.])[−+]?\d*\.\d+(?! halving)", left) == []


@pytest.mark.parametrize("study", STUDIES)
def test_estimates_computed_again(study, numbers):
    """Plain formulas, from the tables alone."""
    table = pd.read_csv(FOLDER / f"{study}-similarity.csv")
    bad = pd.read_csv(FOLDER / f"{study}-warnings.csv")
    networks = pd.read_csv(FOLDER / f"{study}-networks.csv")
    failed = set(networks.loc[(networks["test_accuracy"] < 0.28) & (networks["series"] == "pruned"), "seed"])
    last = networks["round"].max()

    def rows(series, round):
        bad_rows = bad[
            (bad["measure"] == "cka_debiased") & (bad["series"] == series) & (bad["round"] == round)
        ]
        assert bad_rows.empty
        part = table[(table["series"] == series) & (table["round"] == round)]
        return part[~part["seed"].isin(failed) & ~part["seed_b"].isin(failed)]

    layers, first = list(table["layer"].unique()), claims.FIRST[study]
    middle = [layer for layer in layers[:-1] if layer not in first]

    def last_round(series):
        return rows(series, last).pivot(index="seed", columns="layer", values="cka_debiased")

    def above_middle(values, part):
        return typical(values[part].mean(axis=1)) - typical(values[middle].mean(axis=1))

    own, retrained = (last_round(series) for series in ("pruned", "retrained"))
    for name, part in (("first", first), ("output", layers[-1:])):
        of_own, of_retrained = (above_middle(values, part) for values in (own, retrained))
        assert numbers[f"{study}.1a.{name}.estimate"] == pytest.approx(of_own)
        assert numbers[f"{study}.1a.retrained.{name}.estimate"] == pytest.approx(of_retrained)
        assert numbers[f"{study}.1a.beyond.{name}.estimate"] == pytest.approx(of_own - of_retrained)
    siblings = last_round("siblings")
    difference = typical(siblings.mean(axis=1)) - typical(own.loc[siblings.index].mean(axis=1))
    assert numbers[f"{study}.2b.{last}.estimate"] == pytest.approx(difference)
    others = rows("other seeds", 0)
    for layer in layers:
        pairs = others.loc[others["layer"] == layer, "cka_debiased"]
        assert numbers[f"{study}.2c.{last}.{layer}.estimate"] == pytest.approx(
            typical(own[layer]) - typical(pairs)
        )
    density = networks[networks["series"] == "pruned"].groupby("round")["density"].mean()
    logs, falls = np.log(density[1:]), {}
    for series in ("pruned", "retrained"):
        tables = [rows(series, round) for round in density.index[1:]]
        of_seeds = [one[one["layer"].isin(middle)].groupby("seed")["cka_debiased"].mean() for one in tables]
        curve = [typical(values) for values in of_seeds]
        falls[series] = np.polyfit(logs, curve, 1)[0] * (logs.iloc[0] - logs.iloc[-1])
    assert numbers[f"{study}.2a.middle.estimate"] == pytest.approx(falls["pruned"] - falls["retrained"])


@pytest.mark.parametrize("study", STUDIES)
def test_figures_show_the_tables(study):
    import figures

    for file, text in figures.draw(study).items():
        assert (FOLDER / file).read_text(encoding="utf-8") == text


def test_tables_are_small():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.csv")) < 2e6


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        (".93", 0.8841, ".88"),
        ("98.1", 97.04, "97.0"),
        ("−.10", 0.2, ".20"),
        (".10", -0.123, "−.12"),
        ("3", 10.2, "10"),
    ],
)
def test_a_number_keeps_its_decimals(text, value, expected):
    assert claims.shown(text, value) == expected


def test_a_wrong_number_is_corrected():
    page = "similarity is .50<!-- a.b --> in 12.3<!-- 100*c -->&nbsp;% of 1,000 images"
    assert claims.fill(page, {"a.b": 0.61, "c": 0.2}) == page.replace(".50", ".61").replace("12.3", "20.0")
    page = "this **holds**<!-- a.verdict -->, that **holds**"
    assert claims.fill(page, {"a.verdict": "does not hold"}) == page.replace("holds", "does not hold", 1)


def test_seeds_with_a_network_that_fails_are_left_out(tmp_path):
    study = made(tmp_path, collapsed=[1])
    assert study.failed == [1]
    assert list(study.values("pruned", 2).index) == [0, 2, 3]
    assert len(study.pairs("other seeds")["relu1"]) == 3
    whole = claims.Study("mnist", tmp_path, with_failed=True)
    assert list(whole.values("pruned", 2).index) == [0, 1, 2, 3]
    assert "mnist.with_failed.1a.first.estimate" in claims.all_numbers(tmp_path)


def test_values_with_a_warning_are_missing(small):
    assert np.isnan(small.values("pruned", 1, "cca").loc[0, "relu1"])
    assert small.values("pruned", 1, "cca").notna().to_numpy().sum() == 11


def test_the_verdicts_of_clear_cases(small):
    found = claims.compute(small)
    assert {found[f"{claim}.verdict"] for claim in ("1a", "1b", "2a", "2b")} == {"holds"}
    assert found["3.verdict"] == "does not hold"
    assert found["1c.high.layers"] == found["1c.classes.layers"] == 3
    assert (found["2c.1.above"], found["2c.1.below"], found["2c.2.below"]) == (2, 0, 1)


def test_a_study_without_lines_between_networks_has_three_levels(tmp_path):
    import figures

    made(tmp_path)
    path = tmp_path / "mnist-distances.csv"
    pd.read_csv(path).assign(landscape=np.nan).to_csv(path, index=False)
    found = claims.compute(claims.Study("mnist", tmp_path))
    assert not [name for name in found if "landscape" in name]
    assert len([name for name in found if name.startswith("5a.") and name.endswith(".differ")]) == 3
    assert "landscape" not in figures.draw("mnist", tmp_path)["mnist-levels.svg"]


def test_where_a_curve_reaches_a_limit():
    halvings = np.array([0.0, 1.0, 2.0, 3.0])
    assert claims._reached(halvings, np.array([0.0, 0.2, 0.6, 0.1]), 0.4) == pytest.approx(1.5)
    assert claims._reached(halvings, np.array([0.4, 0.2, 0.6, 0.9]), 0.4) == 0
    assert np.isnan(claims._reached(halvings, np.zeros(4), 0.4))


def test_the_rank_correlation_of_seeds_at_equal_density():
    rng = np.random.default_rng(0)
    a, b = (pd.DataFrame(rng.normal(size=(8, 2)), columns=[1, 2]) for _ in "ab")
    both = [stats.spearmanr(a[round], b[round])[0] for round in (1, 2)]
    assert claims._spearman([a, b], [1, 2]) == pytest.approx(np.mean(both))
    found = claims._jackknife("x", [a, a + rng.normal(0, 0.01, a.shape)], [1, 2])
    assert found["x.low"] > 0.8


def matrix(rows):
    """Rows of similarity.parquet: seed, round and layer of both sides, value, status."""
    names = ["seed_a", "round_a", "layer_a", "seed_b", "round_b", "layer_b", "value", "status"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(measure="cka_debiased", chance_high=0.1, chance_classes=0.2)


def test_tables_have_each_comparison_once():
    import tables

    from prunescope.findings import levels

    own = matrix(
        [
            [0, 0, "relu1", 0, 0, "relu1", 1.0, "ok"],
            [0, 1, "relu1", 0, 0, "relu1", 0.9, "ok"],
            [0, 0, "relu1", 0, 1, "relu1", 0.9, "ok"],
            [0, 2, "relu1", 0, 0, "relu1", 0.8, "leverage"],
            [0, 2, "relu1", 0, 1, "relu1", 0.7, "ok"],
            [0, 0, "relu1", 1, 0, "relu1", 0.6, "ok"],
            [1, 0, "relu1", 0, 0, "relu1", 0.6, "ok"],
            [1, 2, "relu1", 0, 2, "relu1", 0.5, "ok"],
        ]
    )
    again = matrix([[0, 1, "relu1", 0, 1, "relu1", 0.95, "ok"], [0, 1, "relu1", 0, 1, "relu1", 0.95, "ok"]])
    again = again.assign(experiment_a=["again", "own"], experiment_b=["own", "again"])
    empty = pd.DataFrame()
    given = {
        "pruned": levels.Tables("own", empty, own, empty, empty),
        "siblings": levels.Tables("again", empty, again, empty, empty),
    }
    found = tables.rows(given, own[own["seed_a"] != own["seed_b"]].iloc[:2])
    values = tables.similarity(found).set_index(["series", "seed", "seed_b", "round"])["cka_debiased"]
    assert values.to_dict() == {
        ("pruned", 0, 0, 1): 0.9,
        ("pruned", 0, 0, 2): 0.8,
        ("siblings", 0, 0, 1): 0.95,
        ("other seeds", 0, 1, 0): 0.6,
        ("untrained", 0, 1, 0): 0.6,
    }
    assert tables.warnings(found)[["round", "status"]].to_numpy().tolist() == [[2, "leverage"]]
    assert tables.chance(found)["round"].tolist() == [1, 2]


def test_published_numbers_are_those_of_the_authors(numbers):
    if not STUDIES:
        pytest.skip("the study has not been run")
    assert numbers["mnist.authors.published.svcca_trim98.relu1.mean"] == pytest.approx(0.7036)
    assert numbers["mnist.authors.published.cka.output.mean"] == pytest.approx(0.9330)
