"""Figures show the measured values on one scale, in readable sizes and colours."""

import re

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import PolyCollection

import synthetic
from prunescope import tables as made_tables
from prunescope.report import drawing, figures, names, palette
from prunescope.report.panels import PANELS, blocks
from prunescope.report.rounds import Rounds

LAYERS = ["conv1", "conv2", "output"]


@pytest.fixture(scope="module")
def tables():
    table = synthetic.similarity(4, LAYERS, [0, 1, 2], ["cca", "cka"])
    hidden = (table["layer_a"] == "conv2") & (table["round_a"] == 3) & (table["measure"] == "cca")
    table["value"] = table["value"].mask(hidden)
    return (
        synthetic.across_seeds(table, 0.7),
        synthetic.accuracy(4, [0, 1, 2]),
        made_tables.layer_densities(synthetic.networks(4, ["a", "b"], [0, 1, 2])),
    )


@pytest.fixture(scope="module")
def drawn(tables):
    return figures.draw_all(*tables, LAYERS, synthetic.MEASURES, "viridis")


def luminance(color):
    channels = np.array(mpl.colors.to_rgb(color))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def image(figure):
    return figure.axes[0].images[0]


def test_names(drawn):
    wanted = {"accuracy", "density"}
    for measure in ("cca", "cka"):
        wanted |= {
            f"dense_{measure}",
            f"layers_{measure}",
            f"profile_{measure}",
            *(f"rounds_{measure}_{layer}" for layer in LAYERS),
        }
    assert set(drawn) == wanted


def test_every_figure_has_labels_for_snakemakes_report(drawn):
    found = {name: names.labels(name, synthetic.MEASURES, LAYERS) for name in drawn}
    assert found["rounds_cca_conv2"] == {
        "figure": "Similarity between rounds",
        "measure": "mean CCA",
        "layer": "conv2",
    }
    assert found["accuracy"] == {"figure": "Test accuracy", "measure": "", "layer": ""}
    assert len({tuple(labels.values()) for labels in found.values()}) == len(drawn)
    # Snakemake would take {x} for a wildcard, and has no escape.
    label = names.labels("rounds_cca__x_", synthetic.MEASURES, ["{x}"])["layer"]
    assert not re.search(r"{\s*\w", label) and label.replace("\u2060", "") == "{x}"


@pytest.mark.parametrize("width", [3.25, 5.5, 6.75])
def test_every_figure_fits_its_width_without_a_title_and_with_text_of_at_least_7_points(tables, width):
    drawn = figures.draw_all(*tables, LAYERS, synthetic.MEASURES, "viridis", width)
    for name, figure in drawn.items():
        assert figure.get_size_inches()[0] == (min(width, 3.25) if name.startswith("rounds") else width), name
        assert not figure.get_suptitle()
        titles = [axes.get_title(place) for axes in figure.axes for place in ("left", "center", "right")]
        assert {*titles} <= {"", *LAYERS}, name
        figure.draw_without_rendering()
        box = figure.get_tightbbox()
        assert box.x0 >= -0.01 and box.x1 <= figure.get_size_inches()[0] + 0.01, name
        assert box.y0 >= -0.01 and box.y1 <= figure.get_size_inches()[1] + 0.01, name
        sizes = [text.get_fontsize() for text in figure.findobj(mpl.text.Text) if text.get_text()]
        assert sizes and min(sizes) >= 7, name


def test_heatmaps_share_the_scale_from_0_to_1(drawn):
    heatmaps = [name for name in drawn if name.startswith(("dense", "rounds"))]
    assert len(heatmaps) == 2 * (1 + len(LAYERS))
    for name in heatmaps:
        assert image(drawn[name]).get_clim() == (0, 1), name


def test_heatmaps_show_the_mean_over_seeds(tables, drawn):
    table = tables[0]
    own = table[
        (table["seed_a"] == table["seed_b"]) & (table["measure"] == "cka") & (table["layer_a"] == "conv2")
    ]
    want = own.groupby(["round_a", "round_b"])["value"].mean().unstack().to_numpy()
    np.testing.assert_allclose(image(drawn["rounds_cka_conv2"]).get_array(), want, rtol=1e-12)
    np.testing.assert_allclose(image(drawn["dense_cka"]).get_array()[1], want[:, 0], rtol=1e-12)


def test_a_missing_value_is_a_cross(drawn):
    crosses = [text for text in drawn["dense_cca"].axes[0].texts if text.get_text() == "×"]
    assert [text.get_position() for text in crosses] == [(3, 1)]


def test_numbers_on_cells_can_be_read(drawn):
    cells = image(drawn["dense_cka"])
    texts = drawn["dense_cka"].axes[0].texts
    assert len(texts) == cells.get_array().size
    for text in texts:
        column, row = text.get_position()
        assert contrast(cells.cmap(cells.norm(cells.get_array()[row, column])), text.get_color()) >= 4.5


def test_lines_differ_from_the_paper(drawn):
    for name in ("accuracy", "density", "profile_cca", "layers_cca"):
        lines = [line for axes in drawn[name].axes for line in axes.lines]
        assert lines and all(contrast(line.get_color(), "white") >= 2.9 for line in lines), name


def test_each_of_a_few_seeds_is_a_dot_and_more_are_a_band(tables, drawn):
    percent = 100 * tables[1].pivot(index="seed", columns="round", values="test_accuracy")
    *dots, line = drawn["accuracy"].axes[0].lines
    np.testing.assert_allclose([one.get_ydata() for one in dots], percent)
    np.testing.assert_allclose(line.get_ydata(), percent.mean())
    many = synthetic.accuracy(4, range(6))
    style = figures.Style(LAYERS, Rounds.of(many), "viridis", 5.5)
    axes = figures.draw_accuracy(many, style).axes[0]
    (band,) = [part for part in axes.collections if isinstance(part, PolyCollection)]
    corners, percent = band.get_paths()[0].vertices[:, 1], 100 * many["test_accuracy"]
    assert (corners.min(), corners.max()) == pytest.approx((percent.min(), percent.max()))


def test_sparsity_axis_is_logarithmic_with_dense_on_the_left(drawn):
    for name in ("accuracy", "density", "layers_cca"):
        axes = drawn[name].axes[0]
        left, right = axes.get_xlim()
        assert axes.get_xscale() == "log" and left > 100 > right


def named(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_profile_shows_chance_and_the_networks_of_other_seeds_where_compared(tables, drawn):
    lines = named(drawn["profile_cca"].axes[0])
    assert {"other seeds", "chance level", "chance within classes"} < set(lines)
    np.testing.assert_allclose(lines["chance level"].get_ydata(), 0.01)
    np.testing.assert_allclose(lines["chance within classes"].get_ydata(), 0.015)
    table = tables[0][tables[0]["seed_a"] == tables[0]["seed_b"]]
    alone = figures.draw_all(table, *tables[1:], LAYERS, synthetic.MEASURES, "viridis")
    assert "other seeds" not in named(alone["profile_cca"].axes[0])


def test_values_that_need_a_warning_are_hatched_and_hollow(tables):
    table = tables[0].copy()
    table.loc[(table["layer_a"] == "conv1") & (table["seed_a"] == 1), "status"] = "few rows"
    drawn = figures.draw_all(table, *tables[1:], LAYERS, synthetic.MEASURES, "viridis")
    hatched = drawn["dense_cka"].axes[0].patches
    assert {(part.get_y() + 0.5, part.get_x() + 0.5) for part in hatched} == {
        (0, round) for round in range(4)
    }
    assert list(named(drawn["profile_cka"].axes[0])["needs a warning"].get_xdata()) == [0]


def test_networks_that_do_not_classify_are_marked_wherever_their_similarity_is_drawn(tables, drawn):
    accuracy = tables[1].copy()
    accuracy.loc[(accuracy["seed"] == 1) & (accuracy["round"] == 3), "test_accuracy"] = 0.1
    given = (tables[0], accuracy, tables[2], LAYERS, synthetic.MEASURES, "viridis")
    found = figures.draw_all(*given, least_accuracy=0.28)

    def diamonds(figure):
        lines = [line for axes in figure.axes for line in axes.lines if line.get_marker() == "D"]
        marks = [part for part in figure.axes[0].collections if len(part.get_paths()[0].vertices) < 8]
        places = [tuple(place) for part in marks for place in part.get_offsets().round()]
        return [list(line.get_xdata()) for line in lines] + places

    assert diamonds(found["profile_cka"]) == [[0, 1, 2]]
    assert "does not classify" in named(found["profile_cka"].axes[0])
    assert [len(xs) for xs in diamonds(found["layers_cka"])] == [1, 1, 1]
    assert sorted(diamonds(found["dense_cka"])) == [(3, row) for row in range(3)]
    either = sorted({(3, other) for other in range(4)} | {(other, 3) for other in range(4)})
    assert sorted(diamonds(found["rounds_cka_conv1"])) == either
    assert not any(diamonds(figure) for figure in drawn.values())


def test_heatmaps_show_the_highest_chance_of_each_row_and_ring_what_is_not_above_chance(tables):
    table = tables[0].copy()
    last = (table["layer_a"] == "conv1") & (table["round_a"] == 3)
    here = last & (table["round_b"] == 0)
    # Above chance, but not above its quantile.
    table.loc[here, ["chance", "chance_high", "value"]] = 0.99, 0.995, 0.992
    drawn = figures.draw_all(table, *tables[1:], LAYERS, synthetic.MEASURES, "viridis")
    for name, levels, ring in (
        ("dense_cka", [0.99, 0.01, 0.01], (3, 0)),
        ("rounds_cka_conv1", [0.01, 0.01, 0.01, 0.99], (0, 3)),
    ):
        cells, _, beside = drawn[name].axes
        (column,) = beside.images
        np.testing.assert_allclose(column.get_array()[:, 0], levels)
        assert column.get_clim() == (0, 1) and column.get_cmap().name == "viridis"
        assert [text.get_text() for text in beside.get_xticklabels()] == ["chance"]
        assert [text.get_text() for text in beside.texts] == [f"{level:.2f}"[1:] for level in levels]
        (rings,) = cells.collections
        assert [tuple(place) for place in rings.get_offsets().round()] == [ring], name
    unknown = figures.draw_all(
        table.assign(chance=np.nan, chance_high=np.nan), *tables[1:], LAYERS, synthetic.MEASURES, "viridis"
    )
    assert len(unknown["dense_cka"].axes) == 2 and not unknown["dense_cka"].axes[0].collections


def test_panels_show_their_layers_before_all_others(tables, drawn):
    for axes, layer in zip(drawn["layers_cka"].axes, LAYERS, strict=True):
        assert axes.get_title("left") == layer
        strong = [line for line in axes.lines if line.get_color() == palette.EXPERIMENT]
        rows = tables[0].query("measure == 'cka' and seed_a == seed_b and layer_a == @layer and round_b == 0")
        np.testing.assert_allclose(strong[-1].get_ydata(), rows.groupby("round_a")["value"].mean())


@pytest.mark.parametrize("count", [1, 12, 13, 30, 100])
def test_blocks_hold_every_layer_once_in_at_most_twelve_panels(count):
    for layers in ([f"layer{i // 8}.{i}" for i in range(count)], [f"relu{i}" for i in range(count)]):
        panels = blocks(layers)
        assert [layer for panel in panels for layer in panel.members] == layers
        assert len(panels) <= PANELS


def test_files_are_the_same_bytes_twice(tables, drawn, tmp_path):
    few = {name: drawn[name] for name in ("density", "layers_cca")}
    drawing.save(few, tmp_path / "one", 80)
    again = figures.draw_all(*tables, LAYERS, synthetic.MEASURES, "viridis")
    drawing.save({name: again[name] for name in few}, tmp_path / "two", 80)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(f"{name}.{suffix}" for name in few for suffix in ("svg", "pdf", "png"))
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_pdf_embeds_fonts_that_publishers_take(drawn, tmp_path):
    drawing.save({"accuracy": drawn["accuracy"]}, tmp_path / "out", 80)
    text = (tmp_path / "out/accuracy.pdf").read_bytes()
    assert b"/FontFile2" in text and b"/Type3" not in text


def test_one_seed_and_only_the_dense_network():
    table = synthetic.similarity(1, LAYERS, [7], ["cca"])
    densities = made_tables.layer_densities(synthetic.networks(1, ["a"], [7]))
    drawn = figures.draw_all(
        table, synthetic.accuracy(1, [7]), densities, LAYERS, synthetic.MEASURES, "Greys"
    )
    assert len(drawn["accuracy"].axes[0].lines) == 1
