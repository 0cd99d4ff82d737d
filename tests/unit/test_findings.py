"""Findings: verdicts follow from numbers, and stay silent where seeds are too few."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import synthetic
from prunescope import findings

LAYERS = ["conv1", "conv2", "conv3", "fc", "output"]
SHAPES = {"conv1": [8, 8, 8], "conv2": [16, 4, 4], "conv3": [16, 2, 2], "fc": [32], "output": [10]}


def conclude(seeds=(0, 1, 2), middle=0.6, ceiling=None, change=lambda table: table):
    table = change(synthetic.similarity(4, LAYERS, list(seeds), ["cca", "cka"], middle))
    if ceiling is not None:
        table = synthetic.across_seeds(table, ceiling)
    return findings.conclude("made-up", table, synthetic.accuracy(4, list(seeds)), SHAPES)


def test_spread_is_students_interval():
    values = [0.2, 0.5, 0.4, 0.7]
    got = findings.spread(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert got["interval"] == pytest.approx([low, high])
    assert (got["min"], got["max"], got["count"]) == (0.2, 0.7, 4)
    assert got["sd"] == pytest.approx(np.std(values, ddof=1))


def test_spread_of_one_or_no_value():
    assert findings.spread([0.5]) == {
        "mean": 0.5,
        "min": 0.5,
        "max": 0.5,
        "sd": None,
        "interval": None,
        "count": 1,
    }
    assert findings.spread([np.nan]) is None


def test_claim_holds_where_the_middle_is_low_in_every_seed():
    claim = conclude(middle=0.3)["metrics"]["cca"]["claim"]
    assert claim["verdict"] == "holds"
    assert claim["first_layers"] == ["conv1"] and claim["output_layer"] == "output"
    assert claim["middle_layers"] == ["conv2", "conv3", "fc"]


def test_claim_does_not_hold_where_the_middle_is_high():
    def swap(table):
        ends = table["layer_a"].isin(["conv1", "output"])
        return table.assign(
            value=np.where(
                ends, table["value"] - 0.5 * (table["round_a"] != table["round_b"]), table["value"]
            )
        )

    assert conclude(middle=0.9, change=swap)["metrics"]["cca"]["claim"]["verdict"] == "does not hold"


def test_one_seed_is_not_enough():
    found = conclude(seeds=[0], middle=0.3)
    assert found["metrics"]["cca"]["claim"]["verdict"] == findings.UNDECIDED
    assert found["accuracy"]["verdict"] == findings.UNDECIDED
    assert any(findings.UNDECIDED in sentence for sentence in found["text"])


def test_seeds_that_disagree_are_not_enough():
    def flip(table):
        wrong = (
            (table["seed_a"] == 1) & table["layer_a"].isin(["conv1"]) & (table["round_a"] != table["round_b"])
        )
        return table.assign(value=np.where(wrong, 0.1, table["value"]))

    assert conclude(middle=0.3, change=flip)["metrics"]["cca"]["claim"]["verdict"] == findings.UNDECIDED


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"fc": [32], "output": [10]}, "no convolutional layer"),
        ({"conv1": [8, 8, 8], "conv2": [16, 4, 4]}, "not fully connected"),
        ({"conv1": [8, 8, 8], "output": [10]}, "between the first and the last"),
    ],
)
def test_claim_says_why_it_does_not_apply(shapes, reason):
    values = pd.DataFrame({name: [0.5, 0.6] for name in shapes})
    claim = findings.claim(values, shapes)
    assert claim["verdict"] == "not applicable" and reason in claim["reason"]


def test_layers_are_judged_against_networks_of_other_seeds():
    found = conclude(middle=0.3, ceiling=0.7)
    rows = {row["layer"]: row for row in found["metrics"]["cca"]["layers"]}
    assert rows["conv1"]["verdict"] == "stays similar"
    assert rows["conv3"]["verdict"] == "less similar than seeds"
    assert rows["conv1"]["ceiling"]["count"] == 3
    assert any("dense networks of different seeds" in sentence for sentence in found["text"])


def test_without_other_seeds_no_layer_is_judged():
    found = conclude()
    assert {row["verdict"] for row in found["metrics"]["cca"]["layers"]} == {None}
    assert any("across_seeds" in sentence for sentence in found["text"])


def test_lowest_is_the_smallest_mean_of_the_matrix():
    table = synthetic.similarity(4, LAYERS, [0, 1, 2], ["cca", "cka"], 0.6)
    lowest = conclude()["metrics"]["cka"]["lowest"]
    part = table[(table["metric"] == "cka") & (table["round_b"] == 0)]
    means = part.groupby(["layer_a", "round_a"])["value"].mean()
    assert (lowest["layer"], lowest["round"]) == means.idxmin()
    assert lowest["similarity"]["mean"] == pytest.approx(means.min())


def test_a_dead_layer_is_left_out_and_said():
    def kill(table):
        return table.assign(value=table["value"].where(table["layer_a"] != "conv2"))

    found = conclude(change=kill)
    rows = {row["layer"]: row for row in found["metrics"]["cca"]["layers"]}
    assert rows["conv2"]["similarity"] is None
    json.dumps(found, allow_nan=False)


def test_a_seed_without_all_layers_is_left_out_of_the_claim():
    def kill(table):
        return table.assign(value=table["value"].mask((table["layer_a"] == "conv2") & (table["seed_a"] == 1)))

    claim = conclude(middle=0.3, change=kill)["metrics"]["cca"]["claim"]
    assert claim["middle_layers"] == ["conv2", "conv3", "fc"]
    assert claim["margin"]["count"] == claim["first"]["count"] == 2


def test_only_dense_networks():
    table = synthetic.similarity(1, LAYERS, [0, 1], ["cca"])
    found = findings.conclude("made-up", table, synthetic.accuracy(1, [0, 1]), SHAPES)
    assert found["metrics"] == {} and "nothing to compare" in found["text"][0]


def test_accuracy_falls_in_every_seed():
    found = conclude()["accuracy"]
    assert found["verdict"] == "lower"
    assert found["change"]["mean"] == pytest.approx(-0.001 * 3 * 6)
