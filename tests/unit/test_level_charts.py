"""Charts of the levels: tables hold the values of the files, and marks stand where the values say."""

import numpy as np
import pandas as pd
import pytest

import synthetic
from prunescope.findings import levels as found_levels
from prunescope.findings import levels_over_seeds
from prunescope.findings.levels import ALL_LAYERS, Tables
from prunescope.findings.slices import OTHER_SEEDS, PRUNED, RETRAINED, SIBLINGS
from prunescope.report import (
    agreement,
    cards,
    differences,
    figures,
    landscape,
    network_map,
    page_tables,
    palette,
    predictions,
    weights,
)
from prunescope.report.base import ALL, ANY
from prunescope.report.rounds import Rounds
from scenes import drawn, texts

LAYERS, WEIGHTED, SEEDS, ROUNDS = ["relu1", "relu2", "output"], ["conv1", "conv2", "fc"], [0, 1, 2], 3
ALPHAS = [0.0, 0.5, 1.0]


def pairs(name: str, seeds: list[int]) -> list[tuple]:
    """All ordered pairs of networks that the levels compare: rounds of a seed, and seeds of a round."""
    networks = [(seed, round) for seed in seeds for round in range(ROUNDS)]
    return [
        (name, *a, name, *b) for a in networks for b in networks if a != b and (a[0] == b[0] or a[1] == b[1])
    ]


def apart(rows: pd.DataFrame) -> pd.Series:
    """A made-up distance: a tenth for each round, nine tenths between seeds, and some noise of each seed."""
    rounds = (rows["round_a"] - rows["round_b"]).abs() / 10
    return rounds.where(rows["seed_a"] == rows["seed_b"], 0.9) * (1 + 0.1 * rows["seed_a"])


def files(name: str, factor: float = 1.0, seeds: list[int] | None = None) -> Tables:
    """The files of an experiment whose networks move `factor` times as far as `apart` says."""
    seeds = seeds or SEEDS
    rows = pd.DataFrame(pairs(name, seeds), columns=found_levels.SIDES)
    distance = factor * apart(rows)
    distances = [
        rows.assign(layer=layer, measure="weight_cosine", value=1 - distance * (1 + place))
        for place, layer in enumerate([*WEIGHTED, ALL_LAYERS])
    ]
    labels = [
        rows.assign(measure=measure, value=1 - distance / (1 + place), chance=0.1)
        for place, measure in enumerate(predictions.PREDICTIONS)
    ]
    lines = rows[(rows["seed_a"] == rows["seed_b"]) & (rows["round_a"] != rows["round_b"])]
    # The error rises by the distance in the middle of the line, and falls evenly from the dense end.
    barriers = [
        lines.assign(
            batch_norm="none",
            metric="error",
            alpha=alpha,
            value=0.1 + 0.01 * lines["round_a"] * alpha + (distance[lines.index] if alpha == 0.5 else 0),
        )
        for alpha in ALPHAS
    ]
    similarity = synthetic.across_seeds(synthetic.similarity(ROUNDS, LAYERS, seeds, ["cka"]), 0.7)
    similarity["value"] = 1 - factor * (1 - similarity["value"])
    return Tables(
        name,
        synthetic.accuracy(ROUNDS, seeds),
        similarity,
        pd.concat(distances, ignore_index=True),
        pd.concat(labels, ignore_index=True),
        pd.concat(barriers, ignore_index=True),
    )


@pytest.fixture(scope="module")
def tables():
    return {PRUNED: files("parent"), RETRAINED: files("control", 0.1)}


@pytest.fixture(scope="module")
def layers(tables):
    distances = found_levels.distances(tables, "cka", LAYERS)
    return distances[distances["layer"] != ""]


@pytest.fixture(scope="module")
def levels(tables):
    distances = found_levels.distances(tables, "cka", LAYERS)
    return levels_over_seeds.summary(distances, tables, "CKA")


@pytest.fixture(scope="module")
def rounds(tables):
    return Rounds.of(tables[PRUNED].accuracy)


def symbols(marks, color: str, at_least: float = 0):
    """Marks of a colour, by size."""
    return [
        one
        for kind, one in marks
        if kind == "symbol" and one.get("fill") == color and one["size"] >= at_least
    ]


def test_cards_hold_each_level_and_each_layer(levels, layers):
    table = cards.distances(levels, layers)
    whole = table[table["layer"] == ""].set_index(["level", "series", "round"])
    assert whole.loc[("weights", PRUNED, 2), "mean"] == pytest.approx(4 * 0.2 * 1.1)
    assert whole.loc[("weights", PRUNED, 2), "low"] == pytest.approx(0.8)
    assert whole.loc[("predictions", RETRAINED, 1), "high"] == pytest.approx(0.012)
    assert (whole.loc[(slice(None), slice(None), 0), "mean"] == 0).all()
    own = table[(table["layer"] == "conv2") & (table["series"] == PRUNED)].set_index("round")["mean"]
    assert own.to_dict() == pytest.approx({0: 0, 1: 0.22, 2: 0.44})
    assert set(table["layer"]) == {"", *WEIGHTED, *LAYERS}


def test_a_control_is_drawn_at_the_weights_of_the_experiment(levels, layers):
    levels = levels | {"weights": levels["weights"]}
    table = cards.distances(levels, layers).dropna(subset="weights")
    assert table.groupby("round")["weights"].nunique().eq(1).all()
    assert table[table["round"] == 2]["weights"].iloc[0] == pytest.approx(64)


def test_a_card_has_dense_at_the_top_and_the_selected_round_marked(levels, layers, rounds):
    table = cards.distances(levels, layers)
    card = cards.card("weights", [PRUNED, RETRAINED], rounds)
    blue = palette.color(PRUNED)
    places = {}
    for round in range(ROUNDS):
        marks = drawn(card, table, width=258, round=round)
        (mark,) = symbols(marks, blue, 50)
        places[round] = (mark["x"], mark["y"])
        (rule,) = [one for kind, one in marks if kind == "rule" and one.get("y2") is not None]
        assert rule["x"] == pytest.approx(mark["x"])
    assert places[0][1] == 0 < places[1][1] < places[2][1]
    assert places[0][0] < places[1][0] < places[2][0]


def test_a_card_fits_its_place_and_its_text_can_be_read(levels, layers, rounds):
    table = cards.distances(levels, layers)
    for level in found_levels.LEVELS:
        card = cards.card(level, [PRUNED, RETRAINED, OTHER_SEEDS], rounds)
        assert card.spec["height"] <= 110
        assert "identical to dense" in {one["text"] for one in texts(card, table, width=258)}
        # There is one legend for all cards.
        assert "legend" not in {kind for kind, _ in drawn(card, table, width=258)}


def test_a_card_names_other_seeds_that_are_too_far_away_to_be_drawn(levels, layers, rounds):
    table = cards.distances(levels, layers)
    far = table[table["series"] == OTHER_SEEDS].set_index("level")["far"]
    assert far["predictions"] and not far["representations"]
    for level, shown in (("predictions", "↓ other seeds 93 %"), ("representations", None)):
        marks = drawn(cards.card(level, [PRUNED, OTHER_SEEDS], rounds), table, width=258)
        words = [one["text"] for kind, one in marks if kind == "text"]
        dashed = [
            one for kind, one in marks if kind == "rule" and one.get("stroke") == palette.color(OTHER_SEEDS)
        ]
        assert words == (["identical to dense", shown] if shown else ["identical to dense"])
        assert len(dashed) == (0 if shown else 1)


def test_the_text_of_a_figure_names_means_and_medians(levels, layers):
    table = cards.distances(levels, layers)
    for level, word in (("weights", "Means"), ("landscape", "Medians")):
        text = figures._range(table[table["level"] == level])
        assert text.startswith(f"{word}: {PRUNED}: 0 (round 0) to ")
    text = figures._range(agreement.progress(levels))
    assert text.startswith("Means (loss landscape: medians): weights: 0 (round 0) to ")


def test_a_layer_that_is_pointed_at_has_its_own_line_in_its_card_only(levels, layers, rounds):
    table = cards.distances(levels, layers)
    counts = {}
    for level in ("weights", "representations"):
        card = cards.card(level, [PRUNED, RETRAINED], rounds)
        for lit in ("", "conv1"):
            marks = drawn(card, table, width=258, lit=lit)
            counts[level, lit] = len(symbols(marks, palette.color(PRUNED), 60))
    assert counts == {
        ("weights", ""): 1,
        ("weights", "conv1"): 2,
        ("representations", ""): 1,
        ("representations", "conv1"): 1,
    }


def test_differences_are_negative_where_pruned_layers_are_less_similar(tables, levels, rounds):
    table = differences.differences(levels)
    every = table[table["seed"] == ALL].set_index(["layer", "round"])
    own = tables[PRUNED].similarity
    rows = own[(own["layer_a"] == "relu2") & (own["round_a"] == 2) & (own["round_b"] == 0)]
    moved = 1 - rows[rows["seed_a"] == rows["seed_b"]]["value"]
    got = every.loc[("relu2", 2)]
    assert got["mean"] == pytest.approx(-0.9 * moved.mean())
    assert got["low"] == pytest.approx(-0.9 * moved.max()) and got["high"] == pytest.approx(
        -0.9 * moved.min()
    )
    assert (got["lower_in"], got["of"]) == (3, 3)
    marks = drawn(differences.difference(LAYERS, 0.05), table, {"round": "2"})
    large = symbols(marks, palette.color(PRUNED), 100)
    small = [one for one in symbols(marks, palette.color(PRUNED)) if one["size"] < 30]
    assert len(large) == 3 and len(small) == 9
    (zero,) = [one["y"] for kind, one in marks if kind == "rule" and one.get("stroke") == "var(--soft)"]
    assert all(one["y"] > zero for one in large)


def test_many_layers_are_rows_with_room_for_every_name(rounds):
    names = [f"layer{number}.0.conv" for number in range(30)]
    table = pd.DataFrame({"layer": names, "mean": -0.1, "low": -0.2, "high": 0.0})
    table = table.assign(round=2, seed=ALL)
    chart = differences.difference(names, 0.05)
    labels = [one for one in texts(chart, table, {"round": "2"}, 360) if one["text"] in names]
    assert [one["text"] for one in sorted(labels, key=lambda one: one["y"])] == names
    assert (np.diff(sorted(one["y"] for one in labels)) >= 13).all()


def test_heatmap_of_density_says_0_where_nothing_is_left(rounds):
    table = pd.DataFrame({"layer": ["a", "a", "b", "b"], "round": [0, 1, 0, 1], "mean": [100, 0, 100, 2.345]})
    table = table.assign(seed=ALL, seed_low=0.0, seed_high=0.0)
    marks = drawn(weights.density(table, rounds, "viridis"), table)
    assert sorted(one["text"] for kind, one in marks if kind == "text") == ["0", "100", "100", "2.3"]
    lit = drawn(weights.density(table, rounds, "viridis"), table, lit="b")
    assert len(lit) == len(marks) + 2


def test_dead_channels_are_counted_by_reason():
    channels = pd.DataFrame(
        {
            "seed": [0, 0, 0, 0, 1, 1],
            "round": 1,
            "layer": ["conv", "conv", "relu", "relu", "conv", "conv"],
            "channel": [0, 1, 0, 1, 0, 1],
            "dead_by_weights": pd.array([True, False, None, None, False, False], dtype="boolean"),
            "unreachable": pd.array([True, True, None, None, False, False], dtype="boolean"),
            "dead_by_activation": pd.array([None, None, True, False, None, None], dtype="boolean"),
        }
    )
    table = weights.dead_channels_table(channels)
    every = table[table["seed"] == ALL].set_index(["dead", "layer"])["mean"].to_dict()
    assert every == {
        ("dead_by_weights", "conv"): 25,
        ("unreachable", "conv"): 50,
        ("dead_by_activation", "relu"): 50,
    }


def test_predictions_compare_each_network_with_its_dense_network(tables, rounds):
    table = predictions.predictions_table(tables)
    every = table[table["seed"].isin([ALL, ANY])].set_index(["prediction", "series", "round"])
    assert every.loc[("agreement", PRUNED, 2), "mean"] == pytest.approx(100 * 0.2 * 1.1)
    assert every.loc[("agreement", PRUNED, 0), "mean"] == 0
    assert every.loc[("agreement_minmax", RETRAINED, 1), "mean"] == pytest.approx(1 - 0.011 / 2)
    assert every.loc[("error_consistency", OTHER_SEEDS, ANY), "mean"] == pytest.approx(
        1 - 0.3 * (1 + 0.1 / 3)
    )
    for dots in (True, False):
        chart = predictions.predictions("agreement", [PRUNED, RETRAINED, OTHER_SEEDS], rounds, dots)
        marks = drawn(chart, table)
        assert len(symbols(marks, palette.color(PRUNED), 50)) == ROUNDS
        small = [one for one in symbols(marks, palette.color(PRUNED)) if one["size"] < 30]
        assert len(small) == (ROUNDS * len(SEEDS) if dots else 0)


def test_siblings_are_compared_with_the_network_of_their_round():
    rows = [("again", seed, round, "parent", seed, round) for seed in SEEDS for round in range(ROUNDS)]
    both = pd.DataFrame(rows, columns=found_levels.SIDES)
    swapped = both.rename(
        columns={name: name[:-1] + {"a": "b", "b": "a"}[name[-1]] for name in found_levels.SIDES}
    )
    both = pd.concat([both, swapped], ignore_index=True)
    own = files("parent")
    agreement = both.assign(measure="agreement", value=0.98, chance=0.1)
    siblings = Tables(
        "again",
        synthetic.accuracy(ROUNDS, SEEDS),
        both.assign(layer_a="relu1", layer_b="relu1", measure="cka", value=0.9, status="ok"),
        own.weights,
        agreement,
    )
    table = predictions.predictions_table({PRUNED: own, SIBLINGS: siblings})
    mine = table[(table["series"] == SIBLINGS) & (table["seed"] == ALL)].set_index("round")["mean"]
    assert mine.to_dict() == pytest.approx(dict.fromkeys(range(ROUNDS), 2))


def test_lines_begin_at_the_dense_network(tables, rounds):
    table = landscape.lines(tables)
    mine = table[(table["series"] == PRUNED) & (table["seed"] == ALL)].set_index(["round", "alpha"])["mean"]
    assert mine[2, 0.0] == pytest.approx(10) and mine[2, 1.0] == pytest.approx(12)
    assert mine[2, 0.5] == pytest.approx(100 * (0.1 + 0.01 + 0.2 * 1.1))
    assert set(table["round"]) == {1, 2}
    assert len(drawn(landscape.landscape([PRUNED, RETRAINED], rounds), table)) > 6


def test_accuracy_by_class_keeps_the_mean_of_all_classes_first(tables):
    classes = pd.DataFrame(
        {"seed": 0, "round": 0, "class": [-1, 0, 10], "images": 5, "accuracy": [0.5, 1, 0]}
    )
    table = predictions.by_class(classes, tables[PRUNED].accuracy)
    assert list(table["class"])[:3] == [ALL, "0", "10"]
    assert list(table["mean"])[:3] == [50, 100, 0]


def test_progress_ends_at_100_percent_for_each_level(levels, rounds):
    table = agreement.progress(levels)
    last = table[table["round"] == 2].set_index("level")["share"]
    assert last.to_dict() == pytest.approx(dict.fromkeys(found_levels.LEVELS, 100))
    chart = agreement.agreement(list(last.index), rounds)
    marks = drawn(chart, table)
    assert len({one["shape"] for kind, one in marks if kind == "symbol"}) == 4


def test_rank_correlations_over_rounds_and_over_layers_in_the_same_order(levels, layers):
    table = agreement.correlations(levels, layers).set_index("levels")
    assert table.loc["weights and predictions", "over rounds"] == "1.00 (n = 3)"
    # Weights: conv1 < conv2 < fc; representations: relu2 moved furthest.
    assert table.loc["weights and representations", "over layers, last round"].endswith("(n = 3)")
    fewer = layers[layers["layer"] != "fc"]
    unequal = agreement.correlations(levels, fewer).set_index("levels")
    assert unequal.loc["weights and representations", "over layers, last round"] == "–"


def test_exemplars_are_counted():
    rows = pd.DataFrame({"seeds": ["same", "other", "other"], "round": [1, 0, 1], "image": [3, 4, 5]})
    counts = predictions.exemplars(rows, [0, 1])
    assert counts.iloc[:, 1].tolist() == ["–", 1] and counts.iloc[:, 2].tolist() == [1, 1]


def on_a_plane(points: dict, known) -> pd.DataFrame:
    """A matrix of one layer whose distances are those of points in a plane, for pairs that are `known`."""
    rows = [
        (*a, *b, "x", "x", "cka", 1 - float(np.hypot(*np.subtract(points[a], points[b]))), "ok")
        for a in points
        for b in points
        if a != b and known(a, b)
    ]
    columns = ["seed_a", "round_a", "seed_b", "round_b", "layer_a", "layer_b", "measure", "value", "status"]
    return pd.DataFrame(rows, columns=columns)


def test_map_keeps_distances_of_a_plane_and_says_so(tables):
    random = np.random.default_rng(0)
    points = {(seed, round): random.uniform(0, 0.5, 2) for seed in SEEDS for round in range(ROUNDS)}
    own = files("parent")
    one = Tables("parent", own.accuracy, on_a_plane(points, lambda *_: True), own.weights, own.predictions)
    table, share = network_map.network_map_table({PRUNED: one}, "cka", ["x"])
    assert share == pytest.approx(1)
    places = table.set_index(["seed", "round"])[["x", "y"]]
    for a in points:
        for b in points:
            got = np.hypot(*(places.loc[a] - places.loc[b]))
            assert got == pytest.approx(np.hypot(*np.subtract(points[a], points[b])), abs=1e-9)
    chart = network_map.network_map(table, share, Rounds.of(own.accuracy), "CKA")
    assert "Two dimensions keep 100 % of the squared distances" in chart.caption
    # A unit is as long on both axes, at every width.
    for width in (300, 900):
        marks = symbols(drawn(chart, table, width=width), palette.color(PRUNED), 40)[: len(table)]
        got = np.array([[one["x"], one["y"]] for one in marks])
        want = table[["x", "y"]].to_numpy()
        scale = np.ptp(got, axis=0) / np.ptp(want, axis=0)
        assert scale[0] == pytest.approx(scale[1], rel=1e-6)


def test_map_completes_pairs_by_paths_and_leaves_out_what_is_not_connected():
    points = {(0, 0): (0, 0), (0, 1): (0.1, 0), (0, 2): (0.3, 0), (7, 0): (5, 5), (7, 1): (5, 6)}
    own = files("parent")
    # Round 2 is known from round 1 only, and seed 7 from no other seed.
    matrix = on_a_plane(points, lambda a, b: a[0] == b[0] and {a[1], b[1]} != {0, 2})
    one = Tables("parent", own.accuracy, matrix, own.weights, own.predictions)
    table, share = network_map.network_map_table({PRUNED: one}, "cka", ["x"])
    assert list(table["seed"]) == [0, 0, 0] and share == pytest.approx(1)
    chart = network_map.network_map(table, share, Rounds.of(own.accuracy), "CKA", seeds=2)
    assert "`similarity.across_seeds: dense` compares them" in chart.beware
    # With dense networks only, and none compared with the first, there is nothing to place.
    dense = on_a_plane({(seed, 0): np.zeros(2) for seed in range(4)}, lambda a, b: a == b)
    one = Tables("parent", own.accuracy, dense, own.weights, own.predictions)
    assert len(network_map.network_map_table({PRUNED: one}, "cka", ["x"])[0]) == 0
    assert table["x"].tolist() == pytest.approx([0 - 0.4 / 3, 0.1 - 0.4 / 3, 0.3 - 0.4 / 3])


def test_map_joins_controls_to_the_dense_networks_that_they_share(tables):
    table, share = network_map.network_map_table(tables, "cka", LAYERS)
    assert 0 < share <= 1
    first = table[table["round"] == 0].set_index(["series", "seed"])[["x", "y"]]
    np.testing.assert_allclose(first.loc[PRUNED], first.loc[RETRAINED])
    assert len(table) == 2 * len(SEEDS) * ROUNDS


def test_no_text_of_a_chart_is_smaller_than_12_pixels(tables, levels, layers, rounds):
    distances, apart = cards.distances(levels, layers), differences.differences(levels)
    density = page_tables.over_seeds(
        pd.DataFrame({"layer": LAYERS, "round": 1, "seed": 0, "density": 50.0}), ["layer", "round"], "density"
    )
    labels, lines = predictions.predictions_table(tables), landscape.lines(tables)
    progress = agreement.progress(levels)
    map, share = network_map.network_map_table(tables, "cka", LAYERS)
    series = [PRUNED, RETRAINED, OTHER_SEEDS]
    for chart, table in (
        (cards.card("weights", series, rounds), distances),
        (differences.difference(LAYERS, 0.05), apart),
        (weights.density(density, rounds, "viridis"), density),
        (predictions.predictions("agreement", series, rounds, True), labels),
        (landscape.landscape(series[:2], rounds), lines),
        (agreement.agreement(list(found_levels.LEVELS), rounds), progress),
        (network_map.network_map(map, share, rounds, "CKA"), map),
    ):
        assert chart.beware and chart.caption and chart.description
        # Figures have no other data set than the rows.
        assert "datasets" not in chart.spec
        found = texts(chart, table, {"round": "1"})
        assert found and all(one["fontSize"] >= 12 for one in found), chart.name
