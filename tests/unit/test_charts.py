"""Charts of similarity and accuracy: what is drawn for seeds, controls, warnings, and networks that fail."""

from itertools import pairwise

import pandas as pd
import pytest

import synthetic
from prunescope.findings.slices import OTHER_SEEDS, PRUNED, RETRAINED, SIBLINGS
from prunescope.report import heatmaps, network_charts, page_tables, palette, representations, weights
from prunescope.report.base import ALL
from prunescope.report.rounds import Rounds
from scenes import drawn, texts

LAYERS, ROUNDS = ["conv1", "conv2", "output"], Rounds({0: 100.0, 1: 80.0, 2: 64.0}, {}, (64.0, 100.0))
SELECTED = {"measure": "cca", "round": "2", "layer": "conv1"}


def matrix(seeds: list[int]) -> pd.DataFrame:
    return synthetic.across_seeds(synthetic.similarity(3, LAYERS, seeds, ["cca"]), 0.7)


def profile(seeds: list[int], dots: bool, beside=None, warned: str = ""):
    """The main chart's marks."""
    table = matrix(seeds)
    if warned:
        table.loc[table["layer_a"] == warned, "status"] = "few rows"
    data = page_tables.similarity_tables(table, beside)["profile"]
    series = list(data["series"].unique())
    chart = representations.profile(LAYERS, series, "x", {}, dots)
    return drawn(chart, data, SELECTED)


def points(marks, series: str) -> list[dict]:
    color = palette.color(series)
    return [one for kind, one in marks if kind == "symbol" and color in (one.get("fill"), one.get("stroke"))]


@pytest.mark.parametrize(("seeds", "dots"), [([0, 1], True), ([*range(6)], False)])
def test_a_control_with_one_seed_is_drawn_beside_several(seeds, dots):
    marks = profile(seeds, dots, {RETRAINED: matrix([0])})
    means = [one for one in points(marks, RETRAINED) if one["size"] > 50]
    assert len(means) == len(LAYERS)
    lines = [one for kind, one in marks if kind == "line" and one.get("stroke") == palette.color(RETRAINED)]
    assert len(lines) == len(LAYERS)
    table = page_tables.accuracy_table(synthetic.accuracy(3, seeds), {RETRAINED: synthetic.accuracy(3, [0])})
    chart = network_charts.accuracy([PRUNED, RETRAINED], table, ROUNDS, dots)
    means = [one for one in points(drawn(chart, table), RETRAINED) if one["size"] > 50]
    assert len(means) == 3


def test_a_single_seed_that_is_selected_is_drawn_once():
    table = page_tables.accuracy_table(synthetic.accuracy(3, [0]))
    chart = network_charts.accuracy([PRUNED], table, ROUNDS, False)
    assert len(points(drawn(chart, table, {"seed": "0"}), PRUNED)) == 3


@pytest.mark.parametrize("dots", [True, False])
def test_the_axis_of_accuracies_spans_the_accuracies(dots):
    table = page_tables.accuracy_table(synthetic.accuracy(3, [*range(6)]))
    chart = network_charts.accuracy([PRUNED], table, ROUNDS, dots)
    labels = [one["text"] for one in texts(chart, table)]
    numbers = [float(text) for text in labels if text.replace(".", "").isdigit() and 85 < float(text) < 100]
    assert 92 < min(numbers) < 95
    (top, *_), (bottom, *_) = (
        sorted((one["y"] for one in points(drawn(chart, table), PRUNED)), reverse=order)
        for order in (False, True)
    )
    assert bottom - top > 100


def test_seeds_are_solid_and_only_warnings_are_hollow():
    marks = points(profile([0, 1], True, warned="conv2"), PRUNED)
    means = [one for one in marks if one["size"] > 50]
    seeds = [one for one in marks if one["size"] < 30]
    hollow = [one for one in marks if one.get("fill") in ("var(--paper)", "transparent", None)]
    assert len(means) == 3 and len(seeds) == 6
    assert len(hollow) == 1 and hollow[0] in means


def test_a_warning_is_a_corner_that_leaves_the_number_legible():
    table = matrix([0, 1])
    here = (table["layer_a"] == "conv2") & (table["round_a"] == 2)
    table.loc[here, "status"] = "few rows"
    data = page_tables.similarity_tables(table)["profile"]
    chart = representations.to_dense(LAYERS, ROUNDS, "viridis")
    marks = drawn(chart, data, SELECTED)
    cells = [one for kind, one in marks if kind == "rect" and one["width"] > 50]
    corners = [one for kind, one in marks if kind == "symbol" and one["shape"] == heatmaps.CORNER]
    (corner,) = corners
    # Of the second row and the last column.
    cell = sorted(cells, key=lambda one: (one["y"], one["x"]))[5]
    assert (corner["x"], corner["y"]) == pytest.approx((cell["x"] + cell["width"], cell["y"]), abs=1)
    # The legs of the triangle are half the square root of its size.
    assert corner["size"] ** 0.5 / 2 < cell["height"] / 2
    # Six similarities below 1, and three chance levels.
    numbers = [one for kind, one in marks if kind == "text" and one.get("text", "").startswith("0.")]
    assert len(numbers) == 9 and all(one.get("opacity", 1) == 1 for one in numbers)
    assert "url(#hatch)" not in str(chart.spec)


def test_siblings_are_drawn_in_each_round():
    own = matrix([0, 1])
    same = own[(own["seed_a"] == own["seed_b"]) & (own["round_a"] == own["round_b"])].assign(value=0.9)
    again = pd.concat(
        [
            same.assign(experiment_a="again", experiment_b="parent"),
            same.assign(experiment_a="parent", experiment_b="again", value=0.9),
        ]
    )
    marks = profile([0, 1], True, {SIBLINGS: again})
    assert len([one for one in points(marks, SIBLINGS) if one["size"] > 50]) == len(LAYERS)
    data = page_tables.similarity_tables(own, {SIBLINGS: again})["profile"]
    mine = data[(data["series"] == SIBLINGS) & (data["seed"] == ALL)]
    assert set(mine["round"]) == {0, 1, 2} and mine["mean"].eq(0.9).all() and mine["seeds"].eq(2).all()


def test_each_series_of_the_main_chart_has_its_own_dash_and_mark():
    marks = profile([0, 1], True, {RETRAINED: matrix([0, 1])})
    for name in (PRUNED, RETRAINED, OTHER_SEEDS):
        style, color = palette.SERIES[name], palette.color(name)
        shapes = {one["shape"] for one in points(marks, name)}
        dashes = {
            tuple(one.get("strokeDash", (1, 0)))
            for kind, one in marks
            if kind == "line" and one.get("stroke") == color
        }
        assert shapes == {style.mark} and dashes == {style.dash or (1, 0)}


def test_text_of_charts_of_similarity_has_12_pixels_and_30_names_do_not_collide():
    names = [f"layer{number}" for number in range(30)]
    table = synthetic.all_layers(synthetic.similarity(3, names, [0, 1], ["cca"]))
    data = page_tables.similarity_tables(table)
    for chart in (
        representations.profile(names, [PRUNED], "x", {}, True),
        representations.to_dense(names, ROUNDS, "viridis"),
        representations.layer_pairs(names, "viridis"),
        representations.between_rounds(ROUNDS, "viridis"),
        weights.density(
            page_tables.over_seeds(
                pd.DataFrame({"layer": names, "round": 1, "seed": 0, "density": 50.0}),
                ["layer", "round"],
                "density",
            ).assign(kept=1, total=2, weights=50),
            ROUNDS,
            "viridis",
        ),
    ):
        rows = data.get(chart.table)
        if rows is None:
            continue
        found = texts(chart, rows, SELECTED | {"layer": "layer1"}, 700)
        assert all(one["fontSize"] >= 12 for one in found), chart.name
        shown = [one for one in found if one["text"] in names]
        for axis, upright in (("x", True), ("y", False)):
            places = sorted(round(one[axis], 1) for one in shown if bool(one.get("angle")) == upright)
            if len(places) > 2:
                assert min(b - a for a, b in pairwise(places)) >= 12, (chart.name, axis)
