"""Findings: verdicts follow from the numbers, and there are none with too few seeds."""

import json
import re
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


def conclude(table, retrain=None, controls=None, failed=(), **more):
    """Conclude; `failed` networks, as (seed, round), have the accuracy of a constant answer."""
    seeds, rounds = sorted(table["seed_a"].unique()), table["round_a"].max() + 1
    untrained = more.pop("untrained", None)
    settings = synthetic.VERDICTS | more
    if retrain is not None:
        controls = {slices.RETRAINED: (retrain, accuracy(rounds, seeds))}
    found = verdicts.conclude(
        "made-up",
        table,
        accuracy(rounds, seeds, failed),
        SHAPES,
        synthetic.MEASURES,
        settings,
        controls,
        untrained,
    )
    json.dumps(found, allow_nan=False)
    return found


def accuracy(rounds, seeds, failed=()):
    table = synthetic.accuracy(rounds, seeds)
    for seed, round in failed:
        table.loc[(table["seed"] == seed) & (table["round"] == round), "test_accuracy"] = 0.1
    return table


def about(found, start):
    """Return the sentences that start so, as one text."""
    return " ".join(text for text in found["text"] if text.startswith(start))


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
def test_fewer_than_three_seeds_are_described_without_a_verdict(seeds):
    table = synthetic.across_seeds(matrix(seeds, 0.3), 0.7)
    found = conclude(table, retrain=matrix(seeds, 0.9), untrained=table[table["seed_a"] != table["seed_b"]])
    values, few = found["text"]
    last = table[(table["measure"] == "cca") & (table["round_a"] == 3) & (table["round_b"] == 0)]
    conv2 = last[last["layer_a"] == "conv2"]["value"]
    numbers = f"{conv2.mean():.3f}" + (f" ({conv2.min():.3f} to {conv2.max():.3f})" if seeds > 1 else "")
    assert f", conv2 {numbers}," in values and "The test accuracy in percent is 93." in values
    assert ("Between dense networks of different seeds it is conv1 0.701" in values) == (seeds > 1)
    assert "at least 3 seeds, and 6 are recommended" in few
    assert not any(word in " ".join(found["text"]) for word in (words.HOLDS, words.UNDECIDED))

    words_found = []

    def walk(part):
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            if key == "verdict":
                words_found.append(value)
            assert key not in ("contrasts", "seeds_needed")
            if key in ("interval", "sd", "typical", "above_classes"):
                assert value is None
            if isinstance(value, dict | list):
                walk(value)

    walk(found)
    number = {1: 6 + len(LAYERS), 2: 7 + 2 * len(LAYERS)}[seeds]
    assert len(words_found) == number, "only two seeds have untrained pairs and other seeds"
    assert set(words_found) == {words.TOO_FEW_SEEDS}
    assert found["measures"]["cca"]["layers"][0]["similarity"]["count"] == seeds, "numbers are still there"


def test_a_question_counts_the_seeds_that_have_its_values():
    table = matrix(5, 0.3)
    found = conclude(marked(table, "dead layer", layer_rows(table, ["conv3"], [0, 2, 3]), keep=False))
    claim = found["claims"]["finding"]
    assert claim["verdict"] == words.TOO_FEW_SEEDS and (claim["seeds"], claim["lost"]) == ([1, 4], [0, 2, 3])
    assert "All the values exist in 2 of 5 seeds, dead or rank lost in 3." in about(found, "The first")
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
    assert "(the same in all seeds)" in about(found, "After pruning") and claim["seeds_needed"] is None


def test_the_finding_does_not_hold_if_retraining_gives_the_same_shape():
    table = matrix(middle=0.3)
    beyond = conclude(table, retrain=matrix(middle=0.9, seed=2))["claims"]["beyond_retrain"]
    assert beyond["verdict"] == words.HOLDS
    assert beyond["contrasts"]["first"]["estimate"] == pytest.approx(0.4, abs=0.02)
    found = conclude(table, retrain=matrix(middle=0.31, seed=2))
    assert found["claims"]["finding"]["verdict"] == words.HOLDS
    assert found["claims"]["beyond_retrain"]["verdict"] == words.FAILS
    text = about(found, "Relative to retrained networks")
    assert text.endswith("The finding beyond the effect of retraining without pruning: does not hold.")


def test_without_a_control_the_text_says_what_is_not_separated():
    found = conclude(matrix(middle=0.3))
    assert found["claims"]["beyond_retrain"] is None and found["claims"]["untrained"] is None
    assert "may be an effect of longer training" in found["text"][0]
    assert not any("retrained" in sentence for sentence in found["text"])
    assert not any("warning" in sentence for sentence in found["text"])
    others = matrix(middle=0.3).query("measure == 'cka'")
    assert conclude(matrix(middle=0.3), retrain=others, untrained=others) == found, "of another measure"
    assert "longer training" not in conclude(matrix(middle=0.3), retrain=matrix(middle=0.9))["text"][0]


@pytest.mark.parametrize(("middle", "verdict"), [(0.3, words.HOLDS), (0.68, words.FAILS)])
def test_untrained_networks_may_show_the_shape_anyway(middle, verdict):
    table = spread_out(synthetic.across_seeds(matrix(), 0.7))
    pairs = table[table["seed_a"] != table["seed_b"]]
    low = pairs["layer_a"].isin(MIDDLE)
    found = conclude(matrix(middle=0.3), untrained=pairs.assign(value=pairs["value"] - (0.7 - middle) * low))
    assert found["claims"]["untrained"]["verdict"] == verdict
    assert f"The finding in these networks: {verdict}." in about(
        found, "Untrained networks of different seeds"
    )


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        ({"fc": [32], "output": [10]}, "no convolutional layer"),
        ({"conv1": [8, 8, 8], "conv2": [16, 4, 4]}, "not fully connected"),
        ({"conv1": [8, 8, 8], "conv2": [16, 4, 4], "block": [17, 32]}, "not fully connected"),
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
    found = conclude(marked(marked(table, "few rows", few), "ill-conditioned", few & earlier))
    assert found["claims"]["finding"]["verdict"] == words.NOT_APPLICABLE
    assert found["claims"]["finding"]["reason"] == (
        "middle layers have no value in the last round that can be compared between layers (few rows): "
        "conv2, conv3, fc"
    )
    assert sum("not applicable" in text for text in found["text"]) == 1
    for layer in LAYERS:
        assert found["layers"][layer]["other_seeds"] == plain["layers"][layer]["other_seeds"]
    assert found["layers"]["conv2"]["other_seeds"]["verdict"] != words.TOO_FEW_SEEDS
    assert found["layers"]["conv2"]["change"]["verdict"] == words.TOO_FEW_SEEDS
    assert found["measures"]["cca"]["layers"][1]["warnings"] == {"few rows": [0, 1, 2, 3, 4]}


@pytest.mark.parametrize("status", ["undefined", "ill-conditioned", "some later warning"])
def test_any_other_warning_takes_a_value_out_of_all_verdicts(status):
    table = synthetic.across_seeds(matrix(middle=0.3), 0.6)
    found = conclude(marked(table, status, layer_rows(table, ["conv3"])))
    assert found["claims"]["finding"]["groups"]["middle"] == ["conv2", "fc"]
    assert found["claims"]["finding"]["left_out"] == {"conv3": status}
    assert f"Excluded: conv3 ({status})." in about(found, "After pruning")
    few = {"verdict": words.TOO_FEW_SEEDS, "seeds": [], "lost": []}
    assert found["layers"]["conv3"] == {"other_seeds": few, "change": few}
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
    few = [layer for layer in LAYERS if found["layers"][layer]["change"]["verdict"] == words.TOO_FEW_SEEDS]
    assert few == ["conv3"] and found["layers"]["conv3"]["change"]["lost"] == [], "it is the control's"
    assert found["claims"]["finding"] == plain["claims"]["finding"]


def test_values_between_seeds_with_a_warning_are_not_used_for_other_seeds():
    table = others(5)
    between = (table["seed_a"] != table["seed_b"]) & (table["layer_a"] == "conv3")
    plain, found = (
        conclude(one)["layers"]
        for one in (table, marked(table, "rank lost", between & (table["seed_a"] * table["seed_b"] == 12)))
    )
    assert plain["conv3"]["other_seeds"]["seeds"] == [0, 1, 2, 3, 4]
    assert found["conv3"]["other_seeds"]["seeds"] in ([0, 1, 2, 3], [0, 1, 2, 4])
    assert {**found, "conv3": None} == {**plain, "conv3": None}


def test_unequal_rows_for_each_unit_are_mentioned_unless_the_measure_has_no_such_bias():
    table = matrix(middle=0.3)
    table = table.assign(width_a=table["layer_a"].map({"output": 10}).fillna(64).astype(int), width_b=10)
    assert "between 78 and 500 rows per unit" in about(conclude(table), "After pruning")
    assert "rows per unit" not in about(conclude(table.assign(chance=0.0)), "After pruning")


# --- layers that pruning destroys


def test_a_layer_that_dies_in_some_seeds_did_not_stay_similar():
    """Four of eight seeds stay similar; what the others did is not known to be similar."""
    table = matrix(8, middle=0.99)
    plain = conclude(table, margin=0.1)
    assert plain["layers"]["conv3"]["change"]["verdict"] == words.STAYS
    assert plain["claims"]["change"]["verdict"] == words.FAILS
    for status, keep in (("dead layer", False), ("rank lost", True)):
        found = conclude(marked(table, status, layer_rows(table, ["conv3"], [0, 2, 3, 5]), keep), margin=0.1)
        one, claims_found = found["layers"]["conv3"]["change"], found["claims"]
        assert one["verdict"] == words.UNDECIDED and one["contrasts"]["fall"]["count"] == 4
        assert (one["seeds"], one["lost"]) == ([1, 4, 6, 7], [0, 2, 3, 5])
        assert found["layers"]["fc"]["change"] == plain["layers"]["fc"]["change"] | {"seeds_needed": None}
        for question in ("change", "stays_similar", "grows_apart"):
            assert claims_found[question]["verdict"] == words.UNDECIDED, question
        assert plain["claims"]["stays_similar"]["verdict"] == words.HOLDS
        assert plain["claims"]["grows_apart"]["verdict"] == words.FAILS
        assert "conv3 4 of 8 seeds, dead or rank lost in 4" in found["text"][0]


def test_a_layer_that_dies_in_one_seed_only_still_falls():
    table = matrix(8, middle=0.3)
    found = conclude(marked(table, "dead layer", layer_rows(table, ["conv3"], [5]), keep=False))
    assert found["layers"]["conv3"]["change"]["verdict"] == words.FALLS
    assert found["claims"]["grows_apart"]["verdict"] == words.HOLDS
    assert found["claims"]["finding"]["verdict"] == words.HOLDS, "a dead middle layer agrees with the finding"


def test_a_layer_that_dies_in_every_seed_stays_in_its_group():
    table = matrix(8, middle=0.3)
    found = conclude(marked(table, "dead layer", layer_rows(table, ["conv3"]), keep=False))
    for question in ("finding", "grows_apart", "stays_similar"):
        claim = found["claims"][question]
        assert claim["verdict"] == words.TOO_FEW_SEEDS, question
        assert (claim["seeds"], claim["lost"]) == ([], list(range(8)))
    assert found["claims"]["finding"]["groups"]["middle"] == MIDDLE
    assert "too few seeds. All the values exist in 0 of 8 seeds, dead or rank lost in 8." in about(
        found, "The similarity of the middle layers"
    )


def test_a_dead_output_layer_is_not_similar_and_a_dead_middle_layer_does_not_contradict_the_finding():
    for middle, layer, verdict in ((0.3, "output", words.HOLDS), (0.99, "conv3", words.FAILS)):
        table = matrix(8, middle)
        found = conclude(marked(table, "dead layer", layer_rows(table, [layer], [5]), keep=False))
        assert conclude(table)["claims"]["finding"]["verdict"] == verdict
        assert found["claims"]["finding"]["verdict"] == words.UNDECIDED
    for layer in ("output", "conv3"):
        for middle in (0.3, 0.99):
            table = matrix(8, middle)
            found = conclude(marked(table, "dead layer", layer_rows(table, [layer], [5]), keep=False))
            assert found["claims"]["finding"]["lost"] == [5], "whatever the verdict"


def test_a_layer_that_dies_is_not_more_similar_than_other_seeds():
    table = others()
    last = (table["round_a"] == 3) & (table["round_b"] == 0) & (table["seed_a"] == 5)
    found = conclude(marked(table, "dead layer", last & table["layer_a"].isin(["conv1", "fc"]), keep=False))
    assert found["layers"]["conv1"]["other_seeds"]["verdict"] == words.UNDECIDED, "above in the other seeds"
    assert found["layers"]["fc"]["other_seeds"]["verdict"] == words.BELOW
    assert found["layers"]["conv1"]["other_seeds"]["lost"] == [5]


# --- networks that do not classify


def test_a_seed_that_does_not_classify_is_named_and_left_out_and_shown_beside():
    table = matrix(8, middle=0.3)
    collapsed = layer_rows(table, LAYERS, [3])
    table = table.assign(value=table["value"].mask(collapsed, 0.05))
    found, without = conclude(table, failed=[(3, 2), (3, 3)]), conclude(table.query("seed_a != 3"))
    assert found["failed"] == [[3, 2], [3, 3]] and without["failed"] == []
    for key in ("claims", "layers", "accuracy"):
        assert found[key] == without[key], key
        assert found["with_failed"][key] == conclude(table, least_accuracy=0.0, failed=[(3, 2), (3, 3)])[key]
    assert found["with_failed"]["accuracy"]["last"]["min"] == 0.1
    assert found["text"][0] == (
        "These networks do not classify (test accuracy below 28 %): seed 3 round 2, 3 (verdicts exclude "
        "these seeds)."
    )
    assert "7 of 8 seeds" in found["text"][1]
    beside = [text for text in found["text"] if text.startswith("With the excluded seeds: ")]
    assert any("8 of 8 seeds" in text for text in beside) and "with_failed" not in without


def test_a_control_that_does_not_classify_is_named_and_its_seed_left_out_of_the_comparison():
    table, retrain = matrix(8, middle=0.3), matrix(8, 0.9, seed=2)
    failing = accuracy(4, list(range(8)), [(5, 3)])
    others = (retrain, accuracy(4, list(range(8)), [(0, 0), (0, 1)]))
    found = conclude(table, controls={slices.RETRAINED: (retrain, failing), "new weights": others})
    assert found["failed_controls"] == {slices.RETRAINED: [[5, 3]], "new weights": [[0, 0], [0, 1]]}
    assert found["claims"]["beyond_retrain"]["seeds"] == [0, 1, 2, 3, 4, 6, 7]
    assert found["claims"]["finding"]["seeds"] == list(range(8))
    assert found["with_failed"]["claims"]["beyond_retrain"]["seeds"] == list(range(8))
    assert "seed 0 round 0, 1 (new weights)" in found["text"][0]
    assert "with_failed" not in conclude(table, controls={"new weights": others})


def test_if_no_seed_classifies_there_are_too_few():
    found = conclude(matrix(3, 0.3), failed=[(seed, 3) for seed in range(3)])
    assert {claim["verdict"] for claim in found["claims"].values() if claim} == {words.TOO_FEW_SEEDS}
    assert found["with_failed"]["claims"]["finding"]["verdict"] == words.HOLDS
    assert found["accuracy"]["dense"] is None


# --- chance within classes


def test_what_labels_explain_is_subtracted_from_the_finding():
    """The output layer is as far above the middle as images of the same classes are."""
    table = matrix(8, middle=0.3)
    chance = table["layer_a"].map({"output": 0.5}).fillna(0.1)
    found = conclude(table.assign(chance_classes=chance))["claims"]["finding"]
    plain, above = found["contrasts"], found["above_classes"]
    assert above["output"]["estimate"] == pytest.approx(plain["output"]["estimate"] - 0.4, abs=0.03)
    assert above["first"]["estimate"] == pytest.approx(plain["first"]["estimate"], abs=0.03)
    assert found["verdict"] == words.HOLDS
    assert conclude(table.assign(chance_classes=np.nan))["claims"]["finding"]["above_classes"] is None


# --- what the sentences say


def test_no_sentence_gives_a_verdict_before_its_statement_or_denies_its_numbers():
    for middle in (0.3, 0.6, 0.9, 0.99):
        for seeds in (3, 6):
            table = spread_out(synthetic.across_seeds(matrix(seeds, middle), 0.7), sd=0.03)
            found = conclude(table, retrain=matrix(seeds, 0.9, seed=2))
            for text in found["text"]:
                assert not text.lower().startswith((words.HOLDS, words.FAILS, words.UNDECIDED)), text
                assert not re.search(r"falls by −|rises by −|: by −", text)
            text = about(found, "While weights")
            assert text.index("changes by") < text.index("It falls by more than the margin")


def test_an_interval_that_is_not_symmetric_is_marked():
    table = matrix(3, middle=0.3)
    values = table["value"].mask(layer_rows(table, ["output"]), 1 - 10.0 ** (-1.5 * table["seed_a"]) / 2)
    found = conclude(table.assign(value=values))
    interval = found["claims"]["finding"]["contrasts"]["output"]
    low, high = interval["interval"]
    assert abs(interval["estimate"] - (low + high) / 2) > (high - low) / 4
    assert re.search(r"output − middle [^)]*\*\)", about(found, "After pruning"))
    assert found["text"][-1].startswith("* The interval is not symmetric")
    assert "*" not in " ".join(conclude(table.assign(value=table["value"] * 0.5 + 0.1))["text"])


def test_undecided_questions_say_how_many_seeds_would_decide():
    found = conclude(spread_out(matrix(4, middle=0.9), sd=0.03, seed=2))
    needed = found["claims"]["finding"]["seeds_needed"]
    assert found["claims"]["finding"]["verdict"] == words.UNDECIDED and (needed is None or needed > 4)
    number = f"about {needed}" if needed else "about more than 100"
    assert f"undecided (a verdict needs {number} seeds)." in about(found, "After pruning")


# --- other seeds


def others(seeds=10):
    table = spread_out(synthetic.across_seeds(matrix(seeds, 0.3), 0.7))
    return table


def test_layers_are_judged_against_networks_of_other_seeds():
    found = conclude(others())
    judged = {layer: one["other_seeds"]["verdict"] for layer, one in found["layers"].items()}
    assert judged == {"conv1": "above", "conv2": "below", "conv3": "below", "fc": "below", "output": "above"}
    text = about(found, "The similarity to the dense network")
    above, below = text.split("; less similar")
    assert "More similar than dense networks of different seeds are to each other: conv1 +0.2" in above
    assert "output +0.2" in above and "conv2" not in above and "conv2" in below
    assert found["measures"]["cca"]["layers"][0]["other_seeds"]["count"] == 45


def test_three_seeds_are_enough_to_judge_layers():
    found = conclude(others(3))["layers"]["conv2"]
    assert found["other_seeds"]["verdict"] != words.TOO_FEW_SEEDS
    assert found["change"]["verdict"] != words.TOO_FEW_SEEDS


def test_a_layer_like_other_seeds_is_undecided():
    table = others()
    last = layer_rows(table, ["conv2"]) & (table["round_a"] == 3) & (table["round_b"] == 0)
    rng = np.random.default_rng(0)
    table = table.assign(value=table["value"].mask(last, 0.709 + 0.01 * rng.normal(size=len(table))))
    assert conclude(table)["layers"]["conv2"]["other_seeds"]["verdict"] == words.UNDECIDED


def test_without_other_seeds_no_layer_is_judged():
    found = conclude(matrix())
    assert {one["other_seeds"] for one in found["layers"].values()} == {None}
    assert any("across_seeds" in sentence for sentence in found["text"])


def test_a_seed_whose_layer_is_dead_is_left_out_of_its_layer_only():
    table = others()
    dead = (table["layer_a"] == "conv2") & ((table["seed_a"] == 3) | (table["seed_b"] == 3))
    found = conclude(marked(table, "dead layer", dead, keep=False))
    assert found["layers"]["conv2"]["other_seeds"]["seeds"] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert found["layers"]["conv2"]["other_seeds"]["verdict"] == "below"
    assert found["layers"]["fc"]["other_seeds"]["seeds"] == list(range(10))
    assert found["claims"]["finding"]["contrasts"]["first"]["count"] == 9


def test_other_measures_have_numbers_and_no_verdicts():
    found = conclude(others())
    assert set(found["measures"]) == {"cca", "cka"}
    assert set(found["measures"]["cka"]) == {"layers", "lowest"}
    assert not any("linear CKA" in sentence for sentence in found["text"])
    assert any("linear CKA" in sentence for sentence in conclude(others(), primary="cka")["text"])


# --- over the rounds


def test_the_middle_grows_apart_and_other_layers_stay():
    found = conclude(matrix(10, middle=0.3))
    assert found["claims"]["grows_apart"]["verdict"] == words.HOLDS
    assert found["claims"]["stays_similar"]["verdict"] == words.FAILS
    change = {layer: one["change"]["verdict"] for layer, one in found["layers"].items()}
    assert change == dict.fromkeys(["conv1", "output"], words.STAYS) | dict.fromkeys(MIDDLE, words.FALLS)
    assert found["claims"]["change"]["verdict"] == words.HOLDS
    assert "Fall by more than the margin: conv2 −0." in found["text"][0]
    assert "; stay similar within the margin: conv1 −0.0" in found["text"][0]
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
    text = about(found, "While weights are removed")
    assert "relative to retrained networks, changes by" in text
    assert text.index("changes by") < text.index("falls by more than the margin of 0.05: does not hold")
    assert (
        "in 0 of 5 seeds. With 95 % confidence, this happens in at most 45 % of all possible seeds." in text
    )


def test_two_pruned_rounds_are_enough_for_a_slope():
    assert conclude(matrix(rounds=3, middle=0.3))["claims"]["grows_apart"]["verdict"] == words.HOLDS


def test_a_single_round_has_no_slope():
    found = conclude(matrix(rounds=2))
    assert found["claims"]["grows_apart"]["verdict"] == words.NOT_APPLICABLE
    assert {one["change"] for one in found["layers"].values()} == {None}


# --- accuracy and other numbers


def test_accuracy_falls_in_every_seed():
    found = conclude(matrix())
    numbers = found["accuracy"]
    assert numbers["verdict"] == words.BELOW
    # Seeds 0 to 4 lose 1.5, 1.8, ... 2.7 points of 95 % in three rounds.
    text = about(found, "The test accuracy")
    assert text.startswith("The test accuracy of the typical seed is 92.91 % after 3 rounds, with 51.2 % of")
    assert "95.00 % in the dense network. It changes by −2.09 (95 % interval " in text
    assert text.endswith("the seeds have 92.30 to 93.50 % (5 of 5 seeds). Verdict: it falls.")
    change = numbers["contrasts"]["change"]
    assert change["estimate"] == pytest.approx(-0.001 * 3 * 7, rel=0.01) and change["above"] == 0
    assert change["estimate"] == pytest.approx(numbers["last"]["typical"] - numbers["dense"]["typical"])


def test_one_image_less_in_every_seed_is_no_verdict():
    table = synthetic.accuracy(2, [0, 1, 2]).assign(test_accuracy=[0.95, 0.95 - 1 / 360] * 3)
    found = verdicts.conclude("x", matrix(3, rounds=2), table, SHAPES, synthetic.MEASURES, synthetic.VERDICTS)
    assert found["accuracy"]["verdict"] == words.UNDECIDED


def test_lowest_is_the_smallest_mean_of_the_matrix():
    table = matrix()
    lowest = conclude(table)["measures"]["cka"]["lowest"]
    part = table[(table["measure"] == "cka") & (table["round_b"] == 0)]
    means = part.groupby(["layer_a", "round_a"])["value"].mean()
    assert (lowest["layer"], lowest["round"]) == means.idxmin()
    assert lowest["similarity"]["mean"] == pytest.approx(means.min())


def test_all_layers_and_across_seeds_change_no_finding_but_other_seeds():
    plain = matrix()
    one, other = (
        conclude(table) for table in (plain, synthetic.across_seeds(synthetic.all_layers(plain), 0.7))
    )
    assert one["claims"] == other["claims"]
    for measure in ("cca", "cka"):
        one_measure, other_measure = one["measures"][measure], other["measures"][measure]
        assert one_measure["lowest"] == other_measure["lowest"]
        for row, with_others in zip(one_measure["layers"], other_measure["layers"], strict=True):
            assert row["similarity"] == with_others["similarity"]
            assert row["other_seeds"] is None and with_others["other_seeds"]["count"] == 10


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
        slices.other_seeds: 2 * 2,  # ordered pairs of seeds × layers
        slices.within_seeds: 2 * 9 * 4,
    }
    assert {part: len(part(one)) for part in sizes} == sizes
    assert len(slices.pruned(slices.to_dense(one))) == 2 * 2 * 2
    assert len(slices.each_pair_once(slices.other_seeds(one))) == 2
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


def test_without_a_control_nothing_is_relative_to_retrained_networks():
    """Also where the finding does not apply."""
    table = matrix()
    table = marked(table, "few rows", layer_rows(table, MIDDLE))
    found = conclude(table)
    assert found["claims"]["finding"]["verdict"] == words.NOT_APPLICABLE
    assert found["claims"]["beyond_retrain"] is found["claims"]["untrained"] is None
    assert not any("relative to" in text for text in found["text"])
    found = conclude(table, retrain=matrix(middle=0.9, seed=2))
    assert found["claims"]["beyond_retrain"]["verdict"] == words.NOT_APPLICABLE
    assert "relative to networks retrained without pruning" in about(found, "Change of each layer")


def test_no_number_of_seeds_is_given_that_would_not_decide():
    """Where a lost layer prevents the verdict, and where all seeds have the same contrast."""
    table = matrix(6)
    found = conclude(marked(table, "dead layer", layer_rows(table, ["output"], [3]), keep=False))
    claim = found["claims"]["finding"]
    assert claim["verdict"] == words.UNDECIDED and claim["seeds_needed"] is None
    assert "undecided. " in about(found, "After pruning")
    found = conclude(matrix(3), failed=[(seed, 3) for seed in range(3)])
    assert "undecided whether it changes." in about(found, "With the excluded seeds: The test accuracy")
