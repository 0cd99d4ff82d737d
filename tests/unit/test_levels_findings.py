"""How far networks moved from the dense one: distances at four levels, over seeds and in words."""

import json
import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import synthetic
from prunescope.findings import levels, levels_in_words, levels_over_seeds, words
from prunescope.findings.slices import OTHER_SEEDS, PRUNED, RETRAINED, SIBLINGS, UNTRAINED

LAYERS = ["conv1", "conv2", "fc"]
ROUNDS = 3
# The distance of pruned networks in each round; retrained ones move a tenth of it.
MOVED = {0: 0.0, 1: 0.1, 2: 0.3}


def wobble(seed: int) -> float:
    return 1 + 0.1 * np.sin(seed)


def networks(name, seeds, far=1.0, rounds=ROUNDS):
    """Pairs of networks as the levels compare them, in both orders, with the distance of each."""
    rows = [
        (name, seed, a, name, seed, b, far * wobble(seed) * abs(MOVED[a] - MOVED[b]))
        for seed in seeds
        for a in range(rounds)
        for b in range(rounds)
        if a != b
    ]
    rows += [
        (name, seed, round, name, other, round, 0.5 + 0.001 * (seed + other))
        for seed in seeds
        for other in seeds
        for round in range(rounds)
        if seed != other
    ]
    return pd.DataFrame(rows, columns=[*levels.SIDES, "distance"])


def tables(name="x", seeds=range(3), far=1.0, barriers=True, accuracy=None, again=False):
    """The tables of an experiment whose networks move by `MOVED`, multiplied by `far`."""
    pairs = networks(name, seeds, far)
    if again:  # the sibling of each network
        rows = [
            ("x", seed, round, name, seed, round, far * 0.02) for seed in seeds for round in range(ROUNDS)
        ]
        pairs = pd.DataFrame(rows, columns=[*levels.SIDES, "distance"])
        order = [*levels.SIDES[3:], *levels.SIDES[:3], "distance"]
        pairs = pd.concat([pairs, pairs[order].set_axis(pairs.columns, axis=1)], ignore_index=True)
    units = pairs["seed_a"] == pairs["seed_b"]
    value = 1 - pairs["distance"]
    weights = [
        pairs.assign(layer=layer, measure=measure, value=value.where(units), status="ok")
        for layer in ("conv1", "fc", levels.ALL_LAYERS)
        for measure in ("mask_iou", "weight_cosine")
    ]
    predictions = [pairs.assign(measure=measure, value=value) for measure in ("jsd", "agreement")]
    layers = [
        pairs.assign(layer_a=layer, layer_b=layer, measure=measure, value=value, status="ok")
        for layer in LAYERS
        for measure in ("cca", "cka")
    ]
    matrix = pd.concat(layers, ignore_index=True)
    if not again:
        same = pd.DataFrame([(seed, round) for seed in seeds for round in range(ROUNDS)], columns=["s", "r"])
        own = same.assign(seed_a=same["s"], seed_b=same["s"], round_a=same["r"], round_b=same["r"], value=1.0)
        own = [own.assign(layer_a=one, layer_b=one, measure="cca", status="ok") for one in LAYERS]
        matrix = pd.concat([matrix, *own]).drop(columns=["experiment_a", "experiment_b", "s", "r"])
    lines = pd.concat(
        # From an error of .1 at b (alpha 0) to .2 at a, with a hill in the middle.
        [
            pairs.assign(
                metric=metric, batch_norm=norm, alpha=alpha, value=scale * (line + hill * pairs["distance"])
            )
            for metric, scale in (("error", 1), ("loss", 7))
            for norm, scale in (("interpolated", 3 * scale), ("re-estimated", scale))
            for alpha, line, hill in ((0, 0.1, 0), (0.5, 0.15, 1), (1, 0.2, 0), (np.nan, 0.5, 9))
        ]
    )
    return levels.Tables(
        name,
        synthetic.accuracy(ROUNDS, list(seeds)) if accuracy is None else accuracy,
        matrix,
        pd.concat(weights),
        pd.concat(predictions),
        lines if barriers else None,
    )


def both(seeds=range(3), **more):
    return {PRUNED: tables(seeds=seeds, **more), RETRAINED: tables("r", seeds, far=0.1, **more)}


def far(found, level, series=PRUNED, round=2, **more):
    rows = found[(found["level"] == level) & (found["series"] == series) & (found["round"] == round)]
    for column, value in ({"layer": ""} | more).items():
        rows = rows[rows[column] == value]
    return rows.set_index("seed")["distance"]


def summarised(given, least_accuracy=0.0, label="CCA", measure="cca", names=None, untrained=None):
    left_out = levels.compared_layers(given, measure, LAYERS)[1]
    distances = levels.distances(given, measure, LAYERS, least_accuracy, untrained)
    return levels_over_seeds.summary(distances, given, label, left_out, names)


def text(found, round=2):
    return "".join(part for part, _ in levels_in_words.sentence(found, round))


# --- distances


@pytest.mark.parametrize("level", levels.LEVELS)
def test_every_level_measures_the_same_distance_to_the_dense_network(level):
    found = levels.distances(both(), "cca", LAYERS)
    for round in range(ROUNDS):
        expected = [wobble(seed) * MOVED[round] for seed in range(3)]
        np.testing.assert_allclose(far(found, level, round=round), expected, atol=1e-12)
        np.testing.assert_allclose(far(found, level, RETRAINED, round), 0.1 * np.array(expected), atol=1e-12)
    assert list(found) == levels.COLUMNS
    assert (found["distance"] >= 0).all() and not found["failed"].any()
    own = found[found["series"] == PRUNED]
    np.testing.assert_allclose(own["density"], 0.8 ** own["round"])


def test_other_seeds_are_pairs_of_dense_networks_each_once():
    found = levels.distances(both(), "cca", LAYERS)
    pairs = found[(found["series"] == OTHER_SEEDS) & (found["layer"] == "")]
    assert set(pairs["level"]) == {"predictions", "landscape", "representations"}, "units do not correspond"
    for _, rows in pairs.groupby("level"):
        assert rows[["seed", "seed_b"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 2]]
        np.testing.assert_allclose(rows["distance"], [0.501, 0.502, 0.503])
    assert set(pairs["round"]) == {0} and set(pairs["density"]) == {1.0}


def test_siblings_are_compared_with_the_same_round_and_untrained_networks_with_each_other():
    given = both() | {SIBLINGS: tables("s", again=True)}
    matrix = synthetic.across_seeds(synthetic.similarity(1, LAYERS, [0, 1], ["cca"]), 0.3)
    found = levels.distances(given, "cca", LAYERS, untrained=matrix)
    for level in levels.LEVELS:
        for round in range(ROUNDS):
            np.testing.assert_allclose(far(found, level, SIBLINGS, round), 0.02)
    assert far(found, "representations", UNTRAINED, 0).tolist() == pytest.approx([0.699])


def test_layers_have_distances_of_their_own():
    given = both()
    for name in ("weights", "similarity"):
        table = getattr(given[PRUNED], name)
        layer = table["layer" if name == "weights" else "layer_a"]
        table["value"] -= (layer == "fc") * (table["round_a"] == 2) * 0.1
    found = levels.distances(given, "cca", LAYERS)
    layers = found[found["layer"] != ""]
    assert layers.groupby("level", sort=False)["layer"].unique().map(list).to_dict() == {
        "weights": ["conv1", "fc"],
        "representations": LAYERS,
    }
    for level in ("weights", "representations"):
        apart = far(found, level, layer="fc") - far(found, level, layer="conv1")
        np.testing.assert_allclose(apart, 0.1)
    np.testing.assert_allclose(
        far(found, "representations"), far(found, "representations", layer="conv1") + 0.1 / 3
    )


@pytest.mark.parametrize("series", [PRUNED, RETRAINED])
def test_the_mean_has_the_same_layers_in_all_networks(series):
    given = both()
    matrix = given[series].similarity
    bad = (matrix["layer_a"] == "conv2") & (matrix["seed_a"] == 1) & (matrix["round_a"] == 2)
    matrix.loc[bad, ["value", "status"]] = [0.999, "few rows"]
    assert levels.compared_layers(given, "cca", LAYERS) == (["conv1", "fc"], {"conv2": "few rows"})
    found = levels.distances(given, "cca", LAYERS)
    np.testing.assert_allclose(far(found, "representations"), [0.3 * wobble(seed) for seed in range(3)])
    assert far(found, "representations", series, layer="conv2").index.tolist() == [0, 2]


def test_a_level_without_values_is_missing():
    given = {PRUNED: tables(barriers=False)}
    given[PRUNED].predictions["value"] = np.nan
    found = levels.distances(given, None, LAYERS)
    assert set(found["level"]) == {"weights"}
    found = summarised(given, measure=None, label=None)
    assert not any(found[level]["available"] for level in ("predictions", "landscape", "representations"))
    assert (
        found["landscape"]["needs"] == "landscape: {}"
        and "findings: {measure" in found["representations"]["missing"]
    )
    assert (
        text(found)
        == "At 64 % of the weights, test accuracy fell 1.2 points (1.0 to 1.4), and the weights moved "
        ".32 from the dense network in cosine distance."
    )


def test_a_line_with_an_unknown_point_has_no_height():
    given = both()
    lines = given[PRUNED].barriers
    lines.loc[(lines["seed_a"] == 0) & (lines["round_a"] == 2) & (lines["alpha"] == 0.5), "value"] = np.nan
    assert far(levels.distances(given, "cca", LAYERS), "landscape").index.tolist() == [1, 2]


# --- over the seeds


@pytest.mark.parametrize(("seeds", "verdict"), [(5, None), (6, words.BEYOND), (10, words.BEYOND)])
@pytest.mark.parametrize("level", levels.LEVELS)
def test_six_seeds_give_an_interval_and_a_verdict_fewer_the_range(level, seeds, verdict):
    found = summarised(both(range(seeds)))[level]["rounds"]["2"]
    own = found["series"][PRUNED]
    assert own["interval"] == found["beyond"]["interval"] == bool(verdict)
    assert own["low"] < own["estimate"] < own["high"] and own["seeds"] == len(own["values"]) == seeds
    if not verdict:
        assert (own["low"], own["high"]) == (min(own["values"].values()), max(own["values"].values()))
    assert found["beyond"]["verdict"] == verdict
    assert found["beyond"]["higher_in"] == found["beyond"]["of"] == seeds
    values = found["beyond"]["values"]
    assert values["1"] == pytest.approx(0.9 * 0.3 * wobble(1))


def test_a_verdict_follows_the_interval():
    seeds = range(8)
    same = summarised({PRUNED: tables(seeds=seeds), RETRAINED: tables("r", seeds, far=0.1)})
    less = summarised({PRUNED: tables(seeds=seeds), RETRAINED: tables("r", seeds, far=1.5)})
    given = both(seeds)
    for one, sign in zip(seeds, [1, -1] * 4, strict=True):
        for table in (given[RETRAINED].weights, given[RETRAINED].predictions, given[RETRAINED].similarity):
            rows = (
                (table["seed_a"] == one)
                & (table["round_a"] == 2)
                & (table["round_b"] == 0)
                & (table["seed_b"] == one)
            )
            table.loc[rows, "value"] = 1 - 0.3 * wobble(one) - 0.01 * sign
    open_ = summarised(given)
    for level in ("weights", "predictions", "representations"):
        for found, word in ((same, words.BEYOND), (less, words.LESS), (open_, words.NOT_APART)):
            beyond = found[level]["rounds"]["2"]["beyond"]
            assert beyond["verdict"] == word
            outside = beyond["low"] > 0 or beyond["high"] < 0
            assert outside == (word != words.NOT_APART)
    # All distances of round 0 are 0: seeds without any spread show nothing.
    assert same["weights"]["rounds"]["0"]["beyond"]["verdict"] == words.NOT_APART


def test_verdicts_of_layers_are_corrected_for_their_number():
    seeds = range(6)
    given = both(seeds)
    differences = np.array(
        [0.004, -0.001, 0.006, 0.002, 0.007, 0.003]
    )  # p = .027: shown alone, not among three
    for one in seeds:
        table = given[PRUNED].similarity
        rows = (table["seed_a"] == one) & (table["round_a"] == 2) & (table["round_b"] == 0)
        table.loc[rows, "value"] = 1 - 0.03 * wobble(one) - differences[one]
    found = summarised(given)["representations"]
    assert found["rounds"]["2"]["beyond"]["verdict"] == words.BEYOND
    assert {one["verdict"] for one in found["layers"]["2"].values()} == {words.NOT_APART}
    assert all(one["low"] > 0 for one in found["layers"]["2"].values()), "intervals are not corrected"
    assert list(found["layers"]["2"]) == LAYERS and "0" not in found["layers"]


def test_the_landscape_is_summarised_by_the_median():
    given = both(range(7))
    lines = given[PRUNED].barriers
    high = (
        (lines["seed_a"] == 3) & (lines["round_a"] == 2) & (lines["round_b"] == 0) & (lines["alpha"] == 0.5)
    )
    lines.loc[high & (lines["seed_b"] == 3), "value"] += 100
    own = summarised(given)["landscape"]["rounds"]["2"]["series"][PRUNED]
    assert own["estimate"] == pytest.approx(np.median([0.3 * wobble(seed) for seed in range(7)]), abs=0.02)
    assert own["high"] > 50 and own["interval"], (
        "the interval of seven seeds reaches from the lowest to the highest"
    )


def test_the_share_of_the_way_to_another_seed():
    few, many = (summarised(both(range(seeds)))["representations"]["rounds"]["2"] for seeds in (5, 6))
    for found in (few, many):
        share = found["of_other_seed"]["share"]
        assert share == pytest.approx(
            found["series"][PRUNED]["estimate"] / found["series"][OTHER_SEEDS]["estimate"]
        )
    assert few["of_other_seed"]["low"] is None
    assert many["of_other_seed"]["low"] < share < many["of_other_seed"]["high"]
    assert many["series"][OTHER_SEEDS]["interval"] and not few["series"][OTHER_SEEDS]["interval"]
    assert many["series"][OTHER_SEEDS]["seeds"] == 6 and "0-1" in many["series"][OTHER_SEEDS]["values"]
    assert summarised(both(range(6)))["weights"]["rounds"]["2"]["of_other_seed"] is None


def test_seeds_that_do_not_classify_are_left_out_and_named():
    accuracy = synthetic.accuracy(ROUNDS, range(4))
    accuracy.loc[(accuracy["seed"] == 2) & (accuracy["round"] == 1), "test_accuracy"] = 0.1
    given = {PRUNED: tables(seeds=range(4), accuracy=accuracy), RETRAINED: tables("r", range(4))}
    found = summarised(given, least_accuracy=0.28)
    assert found["failed"] == {PRUNED: [2]}
    for level in levels.LEVELS:
        numbers = found[level]["rounds"]["2"]
        assert set(numbers["series"][PRUNED]["values"]) == {"0", "1", "3"}
        assert set(numbers["series"][RETRAINED]["values"]) == {"0", "1", "2", "3"}
        assert numbers["beyond"]["of"] == 3
    assert "it does not classify): pruned seed 2." in levels_in_words.note(found, 2)
    assert found["accuracy"]["rounds"]["2"]["fall"]["of"] == 3


def test_findings_are_plain_json():
    found = summarised(both(range(6)))
    assert json.loads(json.dumps(found)) == found


# --- in words


def test_the_sentence_names_every_level_and_its_series():
    found = summarised(both(range(3)))
    spans = levels_in_words.sentence(found, 2)
    assert text(found) == (
        "At 64 % of the weights, test accuracy fell 1.2 points (1.0 to 1.4; retrained: 1.2), 32 % of "
        "predictions changed (retrained: 3.2 %; other seeds: 50 %), the layers moved .32 from the dense "
        "network in CCA (retrained: .03; other seeds: .50), and the error barrier is 33 points (retrained: "
        "3.3 points; other seeds: 50 points)."
    )
    assert ("32 %", PRUNED) in spans and ("retrained: .03", RETRAINED) in spans
    assert {series for _, series in spans} == {None, PRUNED, RETRAINED, OTHER_SEEDS}
    assert text(found, 0).startswith("The dense networks have 95.0 % test accuracy")
    start = "two dense networks of different seeds label 50 % of the test images differently"
    assert start in text(found, 0)


def test_the_note_explains_numbers_and_what_is_missing():
    def note(given, round=2, **more):
        return levels_in_words.note(summarised(given, **more), round)

    alone = {PRUNED: tables(seeds=[0], barriers=False)}
    assert "One seed illustrates; it proves nothing." in note(alone)
    assert "`extends: x` and `control: retrain`" in note(alone) and "`landscape: {}`" in note(alone)
    assert "(" not in text(summarised(alone)).replace("(other", "")
    few = note(both(range(3)))
    assert "range in parentheses; 6 seeds give 95 % intervals." in few and "extends" not in few
    assert (
        "In 3 of 3 seeds, weights, predictions, loss landscape, representations moved further than in "
        "retrained networks." in few
    )
    assert "further" not in note(both(range(3)), 0)
    many = note(both(range(6)))
    assert "95 % intervals in parentheses" in many
    assert "Moved beyond retraining: weights, predictions, loss landscape, representations." in many
    assert "extends" not in note({PRUNED: tables()}, names={}), "networks from elsewhere have no control"
    assert "extends" not in note({RETRAINED: tables()})


def test_the_sentence_of_other_experiments_reads_well():
    control = summarised({RETRAINED: tables("r", far=0.1)})
    assert text(control).startswith("After 2 rounds of retraining without pruning, test accuracy fell")
    shuffled = summarised({"shuffled masks": tables()})
    assert text(shuffled).startswith("At 64 % of the weights (shuffled masks), ")
    models = summarised({PRUNED: tables()}, names={2: "from elsewhere"})
    assert text(models).startswith("In from elsewhere, with 64 % of the weights, ")
    unlabelled = synthetic.accuracy(ROUNDS, range(3)).assign(test_accuracy=np.nan)
    found = summarised({PRUNED: tables(accuracy=unlabelled)})
    assert text(found).startswith("At 64 % of the weights, 32 % of predictions changed")
    dense = tables(accuracy=unlabelled)
    parts = {name: getattr(dense, name) for name in ("weights", "predictions", "barriers", "similarity")}
    parts = {name: rows[(rows["round_a"] == 0) & (rows["round_b"] == 0)] for name, rows in parts.items()}
    parts = {name: rows[rows["seed_a"] == rows["seed_b"]] for name, rows in parts.items()}
    dense = replace(dense, **parts)
    assert text(summarised({PRUNED: dense}), 0) == "These are the dense networks."


@pytest.mark.parametrize(
    ("last", "words_expected"),
    [
        ([0.9, 0.9, 0.9], "fell 5.0 points (5.0 to 5.0)"),
        ([0.96, 0.97, 0.98], "rose 2.0 points (1.0 to 3.0)"),
        ([0.94, 0.95, 0.97], "rose 0.3 points (−1.0 to 2.0)"),
        ([0.95, 0.95, 0.95], "is unchanged"),
        ([0.94, 0.95, 0.97, 0.94, 0.95, 0.97], "no change detected"),
    ],
)
def test_the_accuracy_says_in_which_direction_it_moved(last, words_expected):
    accuracy = synthetic.accuracy(2, range(len(last)))
    accuracy["test_accuracy"] = [value for one in last for value in (0.95, one)]
    found = summarised({PRUNED: tables(seeds=range(len(last)), accuracy=accuracy)})
    assert words_expected in text(found, 1)


def test_small_and_large_numbers_keep_their_digits():
    digits = levels_in_words._digits
    assert [digits(value) for value in (0, 0.031, 0.5, 9.96, 12.3)] == ["0", "0.03", "0.5", "10.0", "12"]
    assert [levels_in_words.number("weights", value) for value in (0.003, 0.234, 1.0)] == [
        ".003",
        ".23",
        "1.00",
    ]
    assert re.fullmatch(r"1\.0 point", levels_in_words._points(0.01))


def test_one_dense_network_alone_has_a_sentence():
    one = tables(seeds=[0])
    parts = {name: getattr(one, name) for name in ("weights", "predictions")}
    alone = replace(
        one,
        accuracy=synthetic.accuracy(1, [0]),
        similarity=one.similarity.query("round_a == 0 and round_b == 0"),
        barriers=None,
        **{name: rows[:0] for name, rows in parts.items()},
    )
    found = {"primary": "cca", "label": "CCA", "least_accuracy": 0.28, "last_round": 0, "text": ["More."]}
    with_levels = levels_in_words.with_levels(found, {PRUNED: alone}, LAYERS)
    assert with_levels["text"][0] == "The dense network has 95.0 % test accuracy."
    assert with_levels["text"][-1] == "More." and list(with_levels["sentences_by_round"]) == ["0"]
    assert with_levels["levels"]["representations"]["rounds"] == {}


def test_lineages_from_elsewhere_can_differ_in_length():
    one = tables()

    def shorter(rows, *rounds):
        return rows[
            ~np.logical_or.reduce([(rows[f"seed{side}"] > 0) & (rows[f"round{side}"] > 0) for side in rounds])
        ]

    parts = {
        name: shorter(getattr(one, name), "_a", "_b")
        for name in ("weights", "predictions", "similarity", "barriers")
    }
    given = {PRUNED: replace(one, accuracy=shorter(one.accuracy, ""), **parts)}
    found = summarised(given, names={0: "whole", 1: "half", 2: "third"})
    assert text(found).startswith("In third, with 64 % of the weights, test accuracy fell 1.0 point, 30 % of")
    assert levels_in_words.note(found, 2) == "One seed illustrates; it proves nothing."
    assert found["representations"]["rounds"]["2"]["series"][PRUNED]["seeds"] == 1


def of_accuracy(seeds, *rounds):
    """A table of accuracies: by round, one for each seed."""
    table = synthetic.accuracy(ROUNDS, list(seeds))
    values = {(seed, round): one[seed] for round, one in enumerate(rounds) for seed in seeds}
    keys = zip(table["seed"], table["round"], strict=True)
    return table.assign(test_accuracy=[values[key] for key in keys])


@pytest.mark.parametrize(
    ("pruned", "retrained", "expected"),
    [
        ([0.9] * 3, [0.93] * 3, "fell 5.0 points (5.0 to 5.0; retrained: 2.0)"),
        ([0.9] * 3, [0.96] * 3, "fell 5.0 points (5.0 to 5.0; retrained: rose 1.0)"),
        ([0.97] * 3, [0.94] * 3, "rose 2.0 points (2.0 to 2.0; retrained: fell 1.0)"),
        ([0.95] * 3, [0.96] * 3, "is unchanged (retrained: rose 1.0)"),
        ([0.94, 0.95, 0.96], [0.95] * 3, "changed 0 points (−1.0 to 1.0; retrained: 0)"),
    ],
)
def test_the_change_of_accuracy_stands_beside_that_of_retrained_networks(pruned, retrained, expected):
    seeds, dense = range(3), [0.95] * 3
    given = {
        PRUNED: tables(accuracy=of_accuracy(seeds, dense, dense, pruned)),
        RETRAINED: tables("r", far=0.1, accuracy=of_accuracy(seeds, dense, dense, retrained)),
    }
    assert f"test accuracy {expected}, " in text(summarised(given))


def test_without_retrained_networks_the_accuracy_stands_alone():
    alone = summarised({PRUNED: tables(seeds=range(3))})
    assert alone["accuracy"]["rounds"]["2"]["retrained"] is None and "retrained" not in text(alone)


def test_if_no_seed_trains_the_levels_say_so():
    accuracy = of_accuracy(range(3), [0.95] * 3, [0.9] * 3, [0.1] * 3)
    found = summarised({**both(), PRUNED: tables(accuracy=accuracy)}, least_accuracy=0.2)
    for level in levels.LEVELS:
        assert found[level]["missing"] == "In each seed, a network does not classify."
        assert found[level]["layers"] == {}


def test_a_seed_that_does_not_classify_takes_no_layer_from_the_mean():
    one = tables(accuracy=of_accuracy(range(3), [0.95] * 3, [0.9] * 3, [0.1, 0.9, 0.9]))
    dead = (one.similarity["seed_a"] == 0) & (one.similarity["round_a"] == 2)
    dead &= one.similarity["layer_a"] == "fc"
    one = replace(one, similarity=one.similarity.assign(status=np.where(dead, "dead layer", "ok")))
    assert levels.compared_layers({PRUNED: one}, "cca", LAYERS, 0.2) == (LAYERS, {})
    assert levels.compared_layers({PRUNED: one}, "cca", LAYERS)[1] == {"fc": "dead layer"}


def test_the_original_of_a_sibling_may_be_the_one_that_does_not_classify():
    accuracy = of_accuracy(range(3), [0.95] * 3, [0.9] * 3, [0.1, 0.9, 0.9])
    given = {PRUNED: tables(accuracy=accuracy), SIBLINGS: tables("s", again=True)}
    found = levels.distances(given, "cca", LAYERS, 0.2)
    rows = found[(found["series"] == SIBLINGS) & (found["round"] == 2)]
    assert set(rows.loc[rows["failed"], "seed"]) == {0}


def test_lines_of_training_images_are_not_shown_as_test_error():
    one = tables()
    files = {("x", name): getattr(one, name) for name in ("accuracy", "similarity", "weights", "predictions")}
    files["x", "barriers"] = one.barriers.assign(split="train")
    found = summarised(levels.collected({PRUNED: "x"}, files))
    assert not found["landscape"]["available"] and "training images" in found["landscape"]["missing"]


def test_a_share_without_a_finite_interval_has_none():
    pairs = networks("x", range(6))
    one = tables(seeds=range(6))
    same = (pairs["seed_a"] != pairs["seed_b"]) & (pairs[["seed_a", "seed_b"]] > 0).all(axis=1)
    value = (1 - pairs["distance"]).where(~same, 1.0)
    one = replace(one, predictions=pairs.assign(measure="agreement", value=value))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        share = summarised({PRUNED: one})["predictions"]["rounds"]["2"]["of_other_seed"]
    assert share["share"] > 0 and share["low"] is None and share["high"] is None


def test_a_distance_of_0_is_written():
    assert levels_in_words.number("weights", 0.0) == "0"
