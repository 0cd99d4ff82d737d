"""Findings: verdicts follow from the numbers, and there are none with too few seeds."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import synthetic
from prunescope import kinds
from prunescope.errors import InputError
from prunescope.findings import claims, labels, slices, verdicts, words

LAYERS = ["conv1", "conv2", "conv3", "fc", "output"]
SHAPES = {"conv1": [8, 8, 8], "conv2": [16, 4, 4], "conv3": [16, 2, 2], "fc": [32], "output": [10]}
MIDDLE = ["conv2", "conv3", "fc"]


def spread_out(table, sd=0.01, seed=1):
    """Make seeds and layers differ, more in later rounds."""
    group = table.groupby(["seed_a", "layer_a"]).ngroup().to_numpy()
    amount = np.random.default_rng(seed).normal(size=group.max() + 1)[group] * sd
    apart = (table["round_a"] - table["round_b"]).abs() + (table["seed_a"] != table["seed_b"])
    return table.assign(value=table["value"] + amount * (apart > 0) * (1 + apart / 3))


def matrix(seeds=5, middle=0.6, rounds=4, seed=1):
    """A matrix of two measures in which seeds differ."""
    return spread_out(
        synthetic.similarity(rounds, LAYERS, list(range(seeds)), ["cca", "cka"], middle), seed=seed
    )


def conclude(table, **more):
    seeds, rounds = sorted(table["seed_a"].unique()), table["round_a"].max() + 1
    given = {"primary": "cca", "margin": 0.05} | more
    found = verdicts.conclude(
        "made-up", table, synthetic.accuracy(rounds, seeds), SHAPES, synthetic.MEASURES, **given
    )
    json.dumps(found, allow_nan=False)
    return found


def marked(table, status, rows, keep=True):
    """Give some rows a status, and remove their values unless `keep` is true."""
    value = table["value"] if keep else table["value"].mask(rows)
    return table.assign(status=table["status"].mask(rows, status), value=value)


def layer_rows(table, layers, seeds=None):
    rows = table["layer_a"].isin(layers) & (table["round_a"] != table["round_b"])
    return rows if seeds is None else rows & table["seed_a"].isin(seeds)


def test_without_a_measure_of_the_verdicts_there_are_numbers_and_advice():
    found, usual = conclude(matrix(), primary=None), conclude(matrix())
    assert found["measures"] == usual["measures"] and found["accuracy"] == usual["accuracy"]
    assert found["primary"] is found["label"] is None and not {"claims", "layers"} & found.keys()
    (text,) = found["text"]
    assert text.endswith("set findings.measure to one of cca, cka.")


# --- too few seeds


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_get_one_sentence_and_no_verdict(seeds):
    table = synthetic.across_seeds(matrix(seeds, 0.3), 0.7)
    found = conclude(table, retrain=matrix(seeds, 0.9), untrained=table[table["seed_a"] != table["seed_b"]])
    assert found["text"] == [
        f"Verdicts need at least 3 seeds, and this experiment has {seeds}; docs/statistics.md lists how many "
        "seeds each size of difference needs."
    ]

    words_found = []

    def walk(part):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            if key in ("verdict", "stays_similar") and isinstance(value, str):
                words_found.append(value)
            assert key not in ("p", "p_flips", "contrasts", "contrast")
            if key in ("interval", "sd", "typical"):
                assert value is None
            if isinstance(value, dict | list):
                walk(value)

    walk(found)
    assert len(words_found) == 6 + len(LAYERS) * seeds, "only two seeds have a ceiling"
    assert set(words_found) == {words.TOO_FEW_SEEDS}
    assert found["measures"]["cca"]["layers"][0]["similarity"]["count"] == seeds, "numbers are still there"


def test_a_question_counts_the_seeds_that_have_its_values():
    table = matrix(5, 0.3)
    found = conclude(marked(table, "dead layer", layer_rows(table, ["conv3"], [0, 2, 3]), keep=False))
    assert found["claims"]["finding"]["verdict"] == words.TOO_FEW_SEEDS
    assert any("Fewer than 3 seeds have all the values" in sentence for sentence in found["text"])
    assert found["text"][-1] == (
        "Values with a warning in the last round: conv3: dead layer in 3 seeds (0, 2, 3)."
    )


def test_only_dense_networks():
    found = conclude(synthetic.similarity(1, LAYERS, [0, 1, 2], ["cca"]))
    assert found["measures"] == {} and "claims" not in found
    assert found["text"] == ["There are only dense networks, so there is nothing to compare."]
    table = matrix()
    found = conclude(table[table["round_a"] == table["round_b"]])
    assert found["measures"] == {} and found["text"] == [
        "The pruned networks have no layer in common with the dense network, so there is no verdict."
    ]


# --- the paper's finding


def test_finding_holds_where_the_middle_is_low_in_every_seed():
    claim = conclude(matrix(middle=0.3))["claims"]["finding"]
    assert claim["verdict"] == words.HOLDS
    assert claim["groups"] == {"first": ["conv1"], "middle": MIDDLE, "output": ["output"]}
    assert claim["contrasts"]["first"]["estimate"] == pytest.approx(0.47, abs=0.02)


def test_finding_does_not_hold_where_one_contrast_is_below_the_margin():
    claim = conclude(matrix(middle=0.99))["claims"]["finding"]
    assert claim["verdict"] == words.FAILS
    table = matrix(middle=0.3)
    claim = conclude(table.assign(value=table["value"] - 0.5 * layer_rows(table, ["output"])))["claims"]
    assert claim["finding"]["verdict"] == words.FAILS
    assert claim["finding"]["contrasts"]["first"]["estimate"] > 0.4


def test_margin_decides_what_counts():
    table = matrix(middle=0.8)  # contrasts of about .1
    assert conclude(table, margin=0.03)["claims"]["finding"]["verdict"] == words.HOLDS
    assert conclude(table, margin=0.2)["claims"]["finding"]["verdict"] == words.FAILS


def test_seeds_that_disagree_are_undecided():
    table = matrix(middle=0.3)
    wrong = layer_rows(table, ["conv1"], [1])
    assert conclude(table.assign(value=table["value"].mask(wrong, 0.1)))["claims"]["finding"]["verdict"] == (
        words.UNDECIDED
    )


def test_equal_seeds_show_no_spread_and_get_no_verdict():
    table = matrix(1, 0.3)
    found = conclude(pd.concat([table.assign(seed_a=seed, seed_b=seed) for seed in range(5)]))
    claim = found["claims"]["finding"]
    assert claim["verdict"] == words.UNDECIDED
    assert claim["contrasts"]["first"]["interval"] is None
    assert "(the same in all seeds)" in found["text"][0]


def test_the_finding_does_not_hold_if_retraining_gives_the_same_shape():
    table = matrix(middle=0.3)
    beyond = conclude(table, retrain=matrix(middle=0.9, seed=2))["claims"]["beyond_retrain"]
    assert beyond["verdict"] == words.HOLDS
    assert beyond["contrasts"]["first"]["estimate"] == pytest.approx(0.4, abs=0.02)
    found = conclude(table, retrain=matrix(middle=0.31, seed=2))
    assert found["claims"]["finding"]["verdict"] == words.HOLDS
    assert found["claims"]["beyond_retrain"]["verdict"] == words.FAILS
    assert "Does not hold: the same, beyond the effect of retraining without pruning." in found["text"][1]


def test_without_a_control_the_text_says_what_is_not_separated():
    found = conclude(matrix(middle=0.3))
    assert found["claims"]["beyond_retrain"] is None and found["claims"]["untrained"] is None
    assert "may be an effect of longer training" in found["text"][1]
    assert not any("relative to retrained networks" in sentence for sentence in found["text"])
    assert not any("warning" in sentence for sentence in found["text"])
    others = matrix(middle=0.3).query("measure == 'cka'")
    assert conclude(matrix(middle=0.3), retrain=others, untrained=others) == found, "of another measure"


@pytest.mark.parametrize(("middle", "verdict"), [(0.3, words.HOLDS), (0.68, words.FAILS)])
def test_untrained_networks_may_show_the_shape_anyway(middle, verdict):
    table = spread_out(synthetic.across_seeds(matrix(), 0.7))
    pairs = table[table["seed_a"] != table["seed_b"]]
    low = pairs["layer_a"].isin(MIDDLE)
    found = conclude(matrix(middle=0.3), untrained=pairs.assign(value=pairs["value"] - (0.7 - middle) * low))
    assert found["claims"]["untrained"]["verdict"] == verdict
    assert any(sentence.startswith("Untrained networks of different seeds") for sentence in found["text"])


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"fc": [32], "output": [10]}, "no convolutional layer"),
        ({"conv1": [8, 8, 8], "conv2": [16, 4, 4]}, "not fully connected"),
        ({"conv1": [8, 8, 8], "output": [10]}, "between the first and the last"),
    ],
)
def test_networks_without_such_layers_say_why(shapes, reason):
    with pytest.raises(ValueError, match=reason):
        claims.groups(shapes)


# --- values with a warning


def test_few_rows_are_not_compared_between_layers_but_with_the_same_layer_of_other_seeds():
    table = synthetic.across_seeds(matrix(middle=0.3), 0.6)
    table = table.assign(
        value=table["value"] + 0.001 * table["seed_a"] * table["seed_b"] * (table["round_a"] == 0)
    )
    plain = conclude(table)
    few, earlier = table["layer_a"].isin(MIDDLE), table["round_a"].isin([1, 2])
    found = conclude(marked(marked(table, "few rows", few), "rank lost", few & earlier))
    assert found["claims"]["finding"]["verdict"] == words.NOT_APPLICABLE
    assert found["claims"]["finding"]["reason"] == (
        "middle layers have no value in the last round that can be compared between layers (few rows): "
        "conv2, conv3, fc"
    )
    assert "Not applicable" in found["text"][0] and "Not applicable" not in "".join(found["text"][1:])
    for layer in LAYERS:
        assert found["layers"][layer]["ceiling"] == plain["layers"][layer]["ceiling"]
    assert found["layers"]["conv2"]["ceiling"]["verdict"] != words.TOO_FEW_SEEDS
    assert found["layers"]["conv2"]["stays_similar"] == words.TOO_FEW_SEEDS
    assert found["measures"]["cca"]["layers"][1]["warnings"] == {"few rows": [0, 1, 2, 3, 4]}


@pytest.mark.parametrize("status", ["rank lost", "ill-conditioned", "some later warning"])
def test_any_other_warning_takes_a_value_out_of_all_verdicts(status):
    table = synthetic.across_seeds(matrix(middle=0.3), 0.6)
    found = conclude(marked(table, status, layer_rows(table, ["conv3"])))
    assert found["claims"]["finding"]["groups"]["middle"] == ["conv2", "fc"]
    assert found["layers"]["conv3"] == {
        "ceiling": {"verdict": words.TOO_FEW_SEEDS, "seeds": []},
        "stays_similar": words.TOO_FEW_SEEDS,
    }
    assert f"conv3: {status} in 5 seeds (0, 1, 2, 3, 4)" in found["text"][-1]
    assert found["measures"]["cca"]["lowest"]["layer"] != "conv3"


@pytest.mark.parametrize("status", ["few rows", "rank lost"])
def test_values_of_a_control_with_a_warning_are_used_by_no_verdict(status):
    table, retrain = matrix(middle=0.3), matrix(middle=0.9, seed=2)
    between = spread_out(synthetic.across_seeds(matrix(), 0.7))
    between = between[between["seed_a"] != between["seed_b"]]
    bad = (between["layer_a"] == "conv3") & between[["seed_a", "seed_b"]].isin([0, 1, 2]).any(axis=1)
    plain = conclude(table, retrain=retrain, untrained=between)
    found = conclude(
        table,
        retrain=marked(retrain, status, layer_rows(retrain, ["conv3"], [0, 1, 2])),
        untrained=marked(between, status, bad),
    )
    for question in ("beyond_retrain", "untrained", "grows_apart", "stays_similar"):
        assert plain["claims"][question]["verdict"] != words.TOO_FEW_SEEDS
        assert found["claims"][question]["verdict"] == words.TOO_FEW_SEEDS, question
    few = {layer for layer in LAYERS if found["layers"][layer]["stays_similar"] == words.TOO_FEW_SEEDS}
    assert few == {"conv3"}
    assert found["claims"]["finding"] == plain["claims"]["finding"]


def test_values_between_seeds_with_a_warning_are_not_used_for_the_ceiling():
    table = ceiling(5)
    between = (table["seed_a"] != table["seed_b"]) & (table["layer_a"] == "conv3")
    plain, found = (
        conclude(one)["layers"]
        for one in (table, marked(table, "rank lost", between & (table["seed_a"] * table["seed_b"] == 12)))
    )
    assert plain["conv3"]["ceiling"]["seeds"] == [0, 1, 2, 3, 4]
    assert found["conv3"]["ceiling"]["seeds"] in ([0, 1, 2, 3], [0, 1, 2, 4])
    assert {**found, "conv3": None} == {**plain, "conv3": None}


def test_unequal_rows_for_each_unit_are_mentioned_unless_the_measure_has_no_such_bias():
    table = matrix(middle=0.3)
    table = table.assign(width_a=table["layer_a"].map({"output": 10}).fillna(64).astype(int), width_b=10)
    assert "between 78 and 500 rows per unit" in conclude(table)["text"][0]
    assert "rows per unit" not in conclude(table.assign(chance=0.0))["text"][0]


# --- the ceiling


def ceiling(seeds=10):
    table = spread_out(synthetic.across_seeds(matrix(seeds, 0.3), 0.7))
    return table


def test_layers_are_judged_against_networks_of_other_seeds():
    found = conclude(ceiling())
    judged = {layer: one["ceiling"]["verdict"] for layer, one in found["layers"].items()}
    assert judged == {"conv1": "above", "conv2": "below", "conv3": "below", "fc": "below", "output": "above"}
    assert any(
        "dense networks of different seeds are to each other: conv1, output." in text
        for text in found["text"]
    )
    assert found["measures"]["cca"]["layers"][0]["ceiling"]["count"] == 45


def test_three_seeds_are_enough_to_judge_layers():
    found = conclude(ceiling(3))["layers"]["conv2"]
    assert found["ceiling"]["verdict"] != words.TOO_FEW_SEEDS
    assert found["stays_similar"] != words.TOO_FEW_SEEDS


def test_a_layer_like_other_seeds_shows_no_detectable_difference():
    table = ceiling()
    last = layer_rows(table, ["conv2"]) & (table["round_a"] == 3) & (table["round_b"] == 0)
    rng = np.random.default_rng(0)
    table = table.assign(value=table["value"].mask(last, 0.709 + 0.01 * rng.normal(size=len(table))))
    assert conclude(table)["layers"]["conv2"]["ceiling"]["verdict"] == words.NO_DIFFERENCE


def test_without_other_seeds_no_layer_is_judged():
    found = conclude(matrix())
    assert {one["ceiling"] for one in found["layers"].values()} == {None}
    assert any("across_seeds" in sentence for sentence in found["text"])


def test_a_seed_whose_layer_is_dead_is_left_out_of_its_layer_only():
    table = ceiling()
    dead = (table["layer_a"] == "conv2") & ((table["seed_a"] == 3) | (table["seed_b"] == 3))
    found = conclude(marked(table, "dead layer", dead, keep=False))
    assert found["layers"]["conv2"]["ceiling"]["seeds"] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert found["layers"]["conv2"]["ceiling"]["verdict"] == "below"
    assert found["layers"]["fc"]["ceiling"]["seeds"] == list(range(10))
    assert found["claims"]["finding"]["contrasts"]["first"]["count"] == 9


def test_other_measures_have_numbers_and_no_verdicts():
    found = conclude(ceiling())
    assert set(found["measures"]) == {"cca", "cka"}
    assert set(found["measures"]["cka"]) == {"layers", "lowest"}
    assert not any("linear CKA" in sentence for sentence in found["text"])
    assert any("linear CKA" in sentence for sentence in conclude(ceiling(), primary="cka")["text"])


# --- over the rounds


def test_the_middle_grows_apart_and_other_layers_stay():
    found = conclude(matrix(10, middle=0.3))
    assert found["claims"]["grows_apart"]["verdict"] == words.HOLDS
    assert found["claims"]["stays_similar"]["verdict"] == words.FAILS
    stays = {layer: one["stays_similar"] for layer, one in found["layers"].items()}
    assert stays["conv1"] == stays["output"] == words.HOLDS and stays["conv3"] == words.UNDECIDED
    # The synthetic similarity falls by a third of 1 - middle each round, averaged over the middle layers.
    assert found["claims"]["grows_apart"]["contrasts"]["fall"]["estimate"] == pytest.approx(0.34, abs=0.04)


def test_equivalence_is_shown_and_not_the_absence_of_significance():
    similar = conclude(matrix(10, middle=0.99), margin=0.08)["claims"]
    assert similar["stays_similar"]["verdict"] == words.HOLDS
    assert similar["grows_apart"]["verdict"] == words.FAILS
    table = matrix(3, middle=0.8)
    fall = layer_rows(table, MIDDLE) * table["seed_a"].map({0: -0.1, 1: 0.0, 2: 0.1}) * table["round_a"] / 3
    unsure = conclude(table.assign(value=table["value"] - fall))["claims"]
    assert unsure["stays_similar"]["verdict"] == unsure["grows_apart"]["verdict"] == words.UNDECIDED


def test_a_fall_that_retraining_shares_is_no_growing_apart():
    found = conclude(matrix(middle=0.3), retrain=matrix(middle=0.31, seed=2))
    assert found["claims"]["grows_apart"]["verdict"] == words.FAILS
    assert found["claims"]["stays_similar"]["verdict"] == words.HOLDS
    (sentence,) = (text for text in found["text"] if "while weights are removed" in text)
    assert "falls by more than the margin relative to retrained networks: by" in sentence


def test_where_no_layer_stays_the_text_names_none():
    for margin, named in ((0.05, True), (1e-6, False)):
        text = " ".join(conclude(matrix(10, middle=0.3), margin=margin)["text"])
        assert ("Layers that stay similar" in text) == named


def test_two_pruned_rounds_are_enough_for_a_slope():
    assert conclude(matrix(rounds=3, middle=0.3))["claims"]["grows_apart"]["verdict"] == words.HOLDS


def test_a_single_round_has_no_slope():
    found = conclude(matrix(rounds=2))
    assert found["claims"]["grows_apart"]["verdict"] == words.NOT_APPLICABLE
    assert {one["stays_similar"] for one in found["layers"].values()} == {None}


# --- accuracy and other numbers


def test_accuracy_falls_in_every_seed():
    whole = conclude(matrix())
    found = whole["accuracy"]
    assert found["verdict"] == words.BELOW
    # Seeds 0 to 4 lose 1.5, 1.8, ... 2.7 points of 95 % in three rounds.
    assert (
        "Test accuracy is lower with 51.2 % of the prunable weights: 92.90 % after round 3, 95.00 % before."
        in whole["text"]
    )
    assert found["change"]["estimate"] == pytest.approx(-0.001 * 3 * 7, rel=0.01)


def test_one_image_less_in_every_seed_is_no_verdict():
    table = synthetic.accuracy(2, [0, 1, 2]).assign(test_accuracy=[0.95, 0.95 - 1 / 360] * 3)
    assert claims.accuracy(table, 1)["verdict"] == words.NO_DIFFERENCE


def test_lowest_is_the_smallest_mean_of_the_matrix():
    table = matrix()
    lowest = conclude(table)["measures"]["cka"]["lowest"]
    part = table[(table["measure"] == "cka") & (table["round_b"] == 0)]
    means = part.groupby(["layer_a", "round_a"])["value"].mean()
    assert (lowest["layer"], lowest["round"]) == means.idxmin()
    assert lowest["similarity"]["mean"] == pytest.approx(means.min())


def test_all_layers_and_across_seeds_change_no_finding_but_the_ceiling():
    plain = matrix()
    one, other = (
        conclude(table) for table in (plain, synthetic.across_seeds(synthetic.all_layers(plain), 0.7))
    )
    assert one["claims"] == other["claims"]
    for measure in ("cca", "cka"):
        one_measure, other_measure = one["measures"][measure], other["measures"][measure]
        assert one_measure["lowest"] == other_measure["lowest"]
        for row, with_ceiling in zip(one_measure["layers"], other_measure["layers"], strict=True):
            assert row["similarity"] == with_ceiling["similarity"]
            assert row["ceiling"] is None and with_ceiling["ceiling"]["count"] == 10


def test_every_word_of_a_verdict_is_explained():
    constants = {value for name, value in vars(words).items() if name.isupper() and isinstance(value, str)}
    assert set(words.MEANINGS) == constants


def test_a_measure_that_depends_on_the_order_is_averaged_over_both():
    rows = pd.DataFrame(
        {"layer_a": "x", "seed_a": [0, 1, 0, 2], "seed_b": [1, 0, 2, 0], "value": [0.2, 0.4, 0.5, np.nan]}
    )
    table = slices.by_pair(rows, "x")
    assert table.loc[0, 1] == table.loc[1, 0] == pytest.approx(0.3)
    assert table.loc[0, 2] == 0.5 and np.isnan(table.loc[1, 2])


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


def test_labels_are_those_of_the_table_in_alphabetical_order():
    got = labels.shown(["nbs", "cca", "nbs"])
    assert list(got) == ["cca", "nbs"]
    assert got["nbs"]["label"] == "NBS" and got["nbs"]["reference"].startswith("S. Tang")
    assert got["cca"]["url"] == kinds.known("measure")["cca"].url
    with pytest.raises(InputError, match=r"similarity\.measures = 'ccca'.*did you mean 'cca'"):
        labels.shown(["ccca"])


def test_labels_need_no_heavy_import():
    heavy = "{'torch', 'scipy', 'numpy', 'pandas', 'altair', 'matplotlib'}"
    code = f"import sys, prunescope.findings.labels; sys.exit(bool({heavy} & set(sys.modules)))"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
