"""Names of rounds, and axes when weights are not removed in every round."""

import re

import pandas as pd
import pytest

import synthetic
from prunescope.findings.slices import PRUNED
from prunescope.report import base, figures, page_tables
from prunescope.report.experiment import Experiment
from prunescope.report.overview import overview_page
from prunescope.report.page import render
from prunescope.report.rounds import Rounds
from prunescope.report.sections import contents

LAYERS = ["conv1", "conv2", "output"]
SHAPES = {"conv1": [8, 8, 8], "conv2": [16, 4, 4], "output": [10]}
MEASURES = {"cca": synthetic.MEASURES["cca"]}
SEEDS = [0, 1]
MODELS = [
    {"lineage": 0, "label": "dense"},
    {"lineage": 0, "label": "$half$ <b>"},
    {"lineage": 0, "label": "last"},
    {"lineage": 1, "label": "dense"},
    {"lineage": 1, "label": "second"},
]


def accuracy(pruned: bool = True, measured: bool = True):
    table = synthetic.accuracy(3, SEEDS)
    # The second lineage has one model fewer.
    table = table[~((table["seed"] == 1) & (table["round"] == 2))].reset_index(drop=True)
    table = table if pruned else table.assign(density=1.0)
    return table if measured else table.assign(test_accuracy=float("nan"), test_loss=float("nan"))


def experiment(measured: bool = True, **changes) -> Experiment:
    table = synthetic.similarity(3, LAYERS, SEEDS, ["cca"])
    table = table[~((table["seed_a"] == 1) & ((table["round_a"] == 2) | (table["round_b"] == 2)))]
    return with_findings(table, accuracy(measured=measured, **changes), networks(measured))


def with_findings(table: pd.DataFrame, own: pd.DataFrame, each: list[dict]) -> Experiment:
    names = Rounds.of(own, MODELS).labels
    found = synthetic.findings("mine", table, own, SHAPES, MEASURES, synthetic.VERDICTS, names=names)
    tables = {PRUNED: synthetic.level_tables("mine", table, own)}
    settings = synthetic.SETTINGS | {"models": MODELS}
    return Experiment("mine", settings, LAYERS, table, own, found, tables=tables, networks=each)


def networks(measured: bool = True) -> list[dict]:
    found = [one for one in synthetic.networks(3, ["a", "b"], SEEDS) if (one["seed"], one["round"]) != (1, 2)]
    return found if measured else [one | {"test_accuracy": None, "test_loss": None} for one in found]


def page(measured: bool = True, **changes) -> str:
    return render(contents(experiment(measured, **changes), MEASURES, {}))


def test_names_are_labels_or_numbers():
    rounds = Rounds.of(accuracy(), MODELS)
    assert [rounds.name(round) for round in range(3)] == ["dense", "$half$ <b> / second", "last"]
    assert rounds.after == "in “last”" and rounds.texts == {0: "100", 1: "80", 2: "64"}
    plain = Rounds.of(accuracy(), [model | {"label": ""} for model in MODELS])
    assert [plain.name(round) for round in range(3)] == ["0", "1", "2"] and plain.after == "after 2 rounds"
    assert Rounds({0: 100.0, 1: 50.0}, {}, (50.0, 100.0)).after == "after 1 round"


def test_the_change_of_accuracy_is_that_of_lineages_with_a_last_network():
    """The dense network of a shorter lineage would make a fall look like a rise."""
    own = experiment()
    table = own.accuracy.assign(test_accuracy=[0.9, 0.85, 0.8, 0.5, 0.5])
    one = with_findings(own.similarity, table, networks())
    assert [one.findings["accuracy"][which]["mean"] for which in ("dense", "last")] == [0.9, 0.8]
    html = render(contents(one, MEASURES, {}))
    (last,) = re.findall(r'<div data-round="2"><p class="sentence">(.*?)</p>', html, re.S)
    assert "test accuracy fell 10.0 points" in re.sub("<[^>]*>", "", last)


def test_the_table_of_networks_has_their_labels():
    caption, table = page_tables.about_networks(networks(), MODELS)
    assert table["label"].tolist() == ["dense", "$half$ <b>", "last", "dense", "second"]
    assert caption.startswith("Networks (made_up; ")
    several = [networks()[0], networks()[1] | {"network": "other"}]
    assert page_tables.about_networks(several)[0] == "Networks (made_up, other)"
    assert "label" not in page_tables.about_networks(several)[1]


def test_weights_are_an_axis_only_where_they_are_removed_in_every_round():
    assert Rounds({0: 100.0, 1: 80.0, 2: 64.0}, {}, (64.0, 100.0)).by_weights
    for percents in ((100.0, 100.0), (100.0, 50.0, 50.0), (50.0, 80.0)):
        rounds = Rounds(dict(enumerate(percents)), {}, (min(percents), max(percents)))
        assert not rounds.by_weights and rounds.positions == {round: round for round in range(len(percents))}
        axis = base.sparsity(f"{rounds.field}:Q", rounds).to_dict()
        assert axis["field"] == "round" and axis["scale"].get("type") != "log"


def figures_of(own: Experiment) -> dict[str, str]:
    """The text of each figure."""
    content = contents(own, MEASURES, {})
    drawn = figures.draw_all(content, 5.5, {"measure": ["cca"], "layer": LAYERS[:1]})
    return {name: " ".join(re.findall(r">([^<]+)</text>", one.svg)) for name, one in drawn.items()}


@pytest.mark.parametrize("pruned", [True, False])
def test_figures_place_models_by_weights_or_in_order(pruned):
    texts = figures_of(experiment(pruned=pruned))
    for name in ("layers_cca", "accuracy"):
        assert ("weights remaining (%)" in texts[name]) == pruned, name
        assert ("$half$ &lt;b&gt; / second" in texts[name]) != pruned, name


def test_a_figure_of_accuracy_needs_measured_accuracies():
    texts = figures_of(experiment(measured=False))
    assert "accuracy" not in texts and "density" in texts


@pytest.mark.parametrize("pruned", [True, False])
@pytest.mark.parametrize("measured", [True, False])
def test_pages_show_labels_as_text(pruned, measured):
    html = page(pruned=pruned, measured=measured)
    assert "in “last”" in html and "% · last" in html
    assert "$half$ <b>" not in html.replace("\\u003cb>", ""), "labels are shown, not run"
    assert ('id="chart-accuracy"' in html) == measured and 'id="training-section"' not in html
    assert ("test accuracy" in html[: html.index("<main")]) == measured
    assert ("Similarity to the dense network against weights remaining" in html) == pruned
    assert ("Similarity to the dense network by model" in html) != pruned


def test_the_overview_shows_experiments_without_accuracies():
    html = overview_page([experiment(), experiment(measured=False)], MEASURES)
    assert "not measured" in html and 'id="chart-accuracy"' in html
    assert 'id="chart-accuracy"' not in overview_page([experiment(measured=False)], MEASURES)


def test_lineages_with_different_densities_are_all_inside_the_chart():
    table = pd.concat([accuracy(), accuracy().assign(seed=9, density=lambda rows: rows["density"] / 4)])
    rounds = Rounds.of(table)
    assert rounds.percents[2] == pytest.approx(40) and rounds.ends == pytest.approx((16, 100))
    scale = base.sparsity("weights:Q", rounds).to_dict()["scale"]
    assert scale["domain"] == list(rounds.ends)
