"""Findings: verdicts follow from numbers, and stay silent where seeds are too few."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import synthetic
from prunescope import kinds
from prunescope.errors import InputError
from prunescope.findings import labels, slices, verdicts
from prunescope.findings.statistics import UNDECIDED, spread

LAYERS = ["conv1", "conv2", "conv3", "fc", "output"]
SHAPES = {"conv1": [8, 8, 8], "conv2": [16, 4, 4], "conv3": [16, 2, 2], "fc": [32], "output": [10]}


def conclude(seeds=(0, 1, 2), middle=0.6, ceiling=None, change=lambda table: table):
    table = change(synthetic.similarity(4, LAYERS, list(seeds), ["cca", "cka"], middle))
    if ceiling is not None:
        table = synthetic.across_seeds(table, ceiling)
    return verdicts.conclude("made-up", table, synthetic.accuracy(4, list(seeds)), SHAPES, synthetic.MEASURES)


def test_spread_is_students_interval():
    values = [0.2, 0.5, 0.4, 0.7]
    got = spread(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert got["interval"] == pytest.approx([low, high])
    assert (got["min"], got["max"], got["count"]) == (0.2, 0.7, 4)
    assert got["sd"] == pytest.approx(np.std(values, ddof=1))


def test_spread_of_one_or_no_value():
    assert spread([0.5]) == {
        "mean": 0.5,
        "min": 0.5,
        "max": 0.5,
        "sd": None,
        "interval": None,
        "count": 1,
    }
    assert spread([np.nan]) is None


def test_claim_holds_where_the_middle_is_low_in_every_seed():
    claim = conclude(middle=0.3)["measures"]["cca"]["claim"]
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

    assert conclude(middle=0.9, change=swap)["measures"]["cca"]["claim"]["verdict"] == "does not hold"


def test_one_seed_is_not_enough():
    found = conclude(seeds=[0], middle=0.3)
    assert found["measures"]["cca"]["claim"]["verdict"] == UNDECIDED
    assert found["accuracy"]["verdict"] == UNDECIDED
    assert any("too few seeds to tell" in sentence for sentence in found["text"])
    assert any("inconclusive" in sentence for sentence in found["text"])


def test_seeds_that_disagree_are_not_enough():
    def flip(table):
        wrong = (
            (table["seed_a"] == 1) & table["layer_a"].isin(["conv1"]) & (table["round_a"] != table["round_b"])
        )
        return table.assign(value=np.where(wrong, 0.1, table["value"]))

    assert conclude(middle=0.3, change=flip)["measures"]["cca"]["claim"]["verdict"] == UNDECIDED


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
    claim = verdicts.claim(values, shapes)
    assert claim["verdict"] == "not applicable" and reason in claim["reason"]


def test_layers_are_judged_against_networks_of_other_seeds():
    found = conclude(middle=0.3, ceiling=0.7)
    rows = {row["layer"]: row for row in found["measures"]["cca"]["layers"]}
    assert rows["conv1"]["verdict"] == "stays similar"
    assert rows["conv3"]["verdict"] == "less similar than seeds"
    assert rows["conv1"]["ceiling"]["count"] == 3
    assert any("Higher than the across-seed baseline: conv1 (" in sentence for sentence in found["text"])


def test_without_other_seeds_no_layer_is_judged():
    found = conclude()
    assert {row["verdict"] for row in found["measures"]["cca"]["layers"]} == {None}
    assert any("across_seeds" in sentence for sentence in found["text"])


def test_lowest_is_the_smallest_mean_of_the_matrix():
    table = synthetic.similarity(4, LAYERS, [0, 1, 2], ["cca", "cka"], 0.6)
    lowest = conclude()["measures"]["cka"]["lowest"]
    part = table[(table["measure"] == "cka") & (table["round_b"] == 0)]
    means = part.groupby(["layer_a", "round_a"])["value"].mean()
    assert (lowest["layer"], lowest["round"]) == means.idxmin()
    assert lowest["similarity"]["mean"] == pytest.approx(means.min())


def test_a_dead_layer_is_left_out_and_said():
    def kill(table):
        return table.assign(value=table["value"].where(table["layer_a"] != "conv2"))

    found = conclude(change=kill)
    rows = {row["layer"]: row for row in found["measures"]["cca"]["layers"]}
    assert rows["conv2"]["similarity"] is None
    json.dumps(found, allow_nan=False)


def test_a_seed_without_all_layers_is_left_out_of_the_claim():
    def kill(table):
        return table.assign(value=table["value"].mask((table["layer_a"] == "conv2") & (table["seed_a"] == 1)))

    claim = conclude(middle=0.3, change=kill)["measures"]["cca"]["claim"]
    assert claim["middle_layers"] == ["conv2", "conv3", "fc"]
    assert claim["margin"]["count"] == claim["first"]["count"] == 2


def test_only_dense_networks():
    table = synthetic.similarity(1, LAYERS, [0, 1], ["cca"])
    found = verdicts.conclude("made-up", table, synthetic.accuracy(1, [0, 1]), SHAPES, synthetic.MEASURES)
    assert found["measures"] == {} and "nothing to compare" in found["text"][0]


def test_accuracy_falls_in_every_seed():
    found = conclude()["accuracy"]
    assert found["verdict"] == "lower"
    assert found["change"]["mean"] == pytest.approx(-0.001 * 3 * 6)


def test_all_layers_and_across_seeds_change_no_finding_but_the_ceiling():
    plain = synthetic.similarity(3, LAYERS, [0, 1, 2], ["cca", "cka"])
    full = synthetic.across_seeds(synthetic.all_layers(plain), 0.7)
    accuracy = synthetic.accuracy(3, [0, 1, 2])
    one, other = (
        verdicts.conclude("made-up", table, accuracy, SHAPES, synthetic.MEASURES) for table in (plain, full)
    )
    for measure in ("cca", "cka"):
        one_measure, other_measure = one["measures"][measure], other["measures"][measure]
        assert one_measure["claim"] == other_measure["claim"]
        assert one_measure["lowest"] == other_measure["lowest"]
        for row, with_ceiling in zip(one_measure["layers"], other_measure["layers"], strict=True):
            assert row["similarity"] == with_ceiling["similarity"]
            assert row["ceiling"] is None and with_ceiling["ceiling"]["count"] == 3


def test_slices_of_a_full_matrix():
    table = synthetic.across_seeds(
        synthetic.all_layers(synthetic.similarity(3, ["a", "b"], [0, 1], ["cca", "cka"])), 0.7
    )
    assert slices.measures(table.iloc[::-1]) == ["cca", "cka"]
    one = slices.of_measure(table, "cca")
    sizes = {
        slices.to_dense: 2 * 3 * 2,  # seeds × rounds × layers
        slices.between_rounds: 2 * 9 * 2,
        slices.all_layers_to_dense: 2 * 3 * 4,
        slices.ceiling: 2 * 2,  # ordered pairs of seeds × layers
        slices.within_seeds: 2 * 9 * 4,
    }
    assert {part: len(part(one)) for part in sizes} == sizes
    assert len(slices.between_rounds(one, "a")) == 2 * 9
    assert len(slices.pruned(slices.to_dense(one))) == 2 * 2 * 2
    assert len(slices.each_pair_once(slices.ceiling(one))) == 2
    dense = slices.to_dense(one)
    assert (dense.loc[dense["round_a"] == 0, "value"] == 1).all()


def test_a_group_without_values_is_named_with_the_reason():
    def hide(table):
        hidden = table["layer_a"].isin(["conv2", "conv3", "fc"])
        status = table["status"].mask(hidden, "too few rows")
        return table.assign(value=table["value"].mask(hidden), status=status)

    found = conclude(change=hide)["measures"]["cca"]["claim"]
    assert found["verdict"] == "not applicable"
    assert found["reason"] == "middle layers have no value in the last round (too few rows): conv2, conv3, fc"


def test_the_first_measure_is_described_and_the_others_are_summarised():
    text = conclude(middle=0.3)["text"]
    assert any("By mean CCA: yes. First (conv1) " in sentence for sentence in text)
    assert text[-1] == "By linear CKA: yes."


def test_one_round_is_not_a_plural():
    table = synthetic.similarity(2, LAYERS, [0], ["cca"])
    found = verdicts.conclude("made-up", table, synthetic.accuracy(2, [0]), SHAPES, synthetic.MEASURES)
    assert found["text"][0].startswith("After 1 round, 80 % of the prunable weights are left (one seed, 0).")


@pytest.fixture
def measures(tmp_path, monkeypatch):
    """A folder of measures in place of the library's."""
    (tmp_path / "made.py").write_text(
        """
@measure(label="Second", reference="A paper.", url="https://example.org", unchanged_by="rotations")
def second(): ...

@measure(label="First", reference="A book.", unchanged_by="rotations")
def first(): ...
"""
    )
    family = replace(kinds.FAMILIES["measure"], folder=str(tmp_path))
    monkeypatch.setitem(kinds.FAMILIES, "measure", family)
    kinds.known.cache_clear()
    yield
    kinds.known.cache_clear()


def test_labels_come_from_the_measures_source_in_alphabetical_order(measures):
    got = labels.shown(["second", "first", "second"])
    assert list(got) == ["first", "second"]
    assert got["first"] == {"label": "First", "reference": "A book."}
    assert got["second"] == {"label": "Second", "reference": "A paper.", "url": "https://example.org"}
    with pytest.raises(InputError, match=r"similarity\.measures = 'fist'.*did you mean 'first'"):
        labels.shown(["fist"])


def test_labels_need_no_heavy_import():
    heavy = "{'torch', 'scipy', 'numpy', 'pandas', 'altair', 'matplotlib'}"
    code = f"import sys, prunescope.findings.labels; sys.exit(bool({heavy} & set(sys.modules)))"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
