"""Figures: what is drawn is what was measured, on one scale, in a size and colours that people can read."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import PolyCollection

import synthetic
from prunescope import tables as made_tables
from prunescope.report import drawing, figures

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
            *(f"rounds_{measure}_{layer}" for layer in LAYERS),
        }
    assert set(drawn) == wanted


def test_every_figure_is_one_or_two_columns_wide_and_has_a_title(drawn):
    for name, figure in drawn.items():
        assert figure.get_size_inches()[0] in (drawing.COLUMN, drawing.PAGE), name
        assert figure.axes[0].get_title("left"), name


def test_heatmaps_share_the_scale_from_0_to_1(drawn):
    for name, figure in drawn.items():
        if name.startswith(("dense", "rounds")):
            assert image(figure).get_clim() == (0, 1), name


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
    for text in drawn["dense_cka"].axes[0].texts:
        column, row = text.get_position()
        assert contrast(cells.cmap(cells.norm(cells.get_array()[row, column])), text.get_color()) >= 4.5


def test_lines_differ_from_the_paper_and_from_each_other(drawn):
    lines = drawn["layers_cca"].axes[0].lines
    assert len(lines) == len(LAYERS)
    assert all(contrast(line.get_color(), "white") >= 3 for line in lines)
    assert len({line.get_marker() for line in lines}) == len(LAYERS)


def test_bands_reach_from_the_lowest_to_the_highest_seed(tables, drawn):
    (band,) = [part for part in drawn["accuracy"].axes[0].collections if isinstance(part, PolyCollection)]
    percent = 100 * tables[1]["test_accuracy"]
    corners = band.get_paths()[0].vertices[:, 1]
    assert (corners.min(), corners.max()) == pytest.approx((percent.min(), percent.max()))


def test_sparsity_axis_is_logarithmic_with_dense_on_the_left(drawn):
    for name in ("accuracy", "density", "layers_cca"):
        axes = drawn[name].axes[0]
        left, right = axes.get_xlim()
        assert axes.get_xscale() == "log" and left > 100 > right
        assert axes.get_xlabel() == "weights remaining (%)"


def test_profile_shows_networks_of_other_seeds_only_where_compared(tables, drawn):
    assert len(drawn["layers_cca"].axes[1].lines) == 2
    table = tables[0][tables[0]["seed_a"] == tables[0]["seed_b"]]
    alone = figures.draw_all(table, *tables[1:], LAYERS, synthetic.MEASURES, "viridis")
    assert len(alone["layers_cca"].axes[1].lines) == 1


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
    assert "seed 7" in drawn["accuracy"].axes[0].get_title("left")
