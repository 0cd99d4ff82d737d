"""Figures for papers: the page's charts at a fixed width, in readable text, the same bytes twice."""

import itertools
import json
import re
import resource
import struct
import subprocess
import sys
from pathlib import Path

import altair as alt
import numpy as np
import pytest

import synthetic
from prunescope import tables as made_tables
from prunescope.errors import InputError
from prunescope.findings import slices
from prunescope.report import (
    figures,
    latex,
    names,
    network_charts,
    page_tables,
    paper,
    representations,
    weights,
)
from prunescope.report.base import ALL
from prunescope.report.experiment import Experiment
from prunescope.report.page import Menu, Page, Section
from prunescope.report.representations import PANELS, blocks
from prunescope.report.rounds import Rounds
from prunescope.settings.experiment import Figures

LAYERS = ["conv1", "conv2", "output"]
SEEDS = [0, 1, 2]


def page(layers=LAYERS, seeds=SEEDS, measures=("cca", "cka"), rounds=4, change=None, pairs=True) -> Page:
    """The charts and tables of an experiment, with a control, as its report has them."""
    table = synthetic.similarity(rounds, layers, list(seeds), list(measures))
    table = synthetic.across_seeds(table, 0.7) if len(seeds) > 1 else table
    table = synthetic.all_layers(table) if pairs else table
    table = change(table) if change else table
    accuracy = synthetic.accuracy(rounds, list(seeds))
    places, dots = Rounds.of(accuracy), 1 < len(seeds) <= 5
    control = {slices.RETRAINED: table.assign(value=(1 + table["value"]) / 2)}
    densities = made_tables.layer_densities(synthetic.networks(rounds, layers, list(seeds)))
    data = page_tables.similarity_tables(table, control) | {
        "accuracy": page_tables.accuracy_table(accuracy, {slices.RETRAINED: accuracy}),
        "density": weights.density_table(densities),
    }
    series = list(data["profile"]["series"].unique())
    charts = [
        representations.profile(layers, series, "", {}, dots, ("chance level",)),
        representations.while_pruning(layers, places, dots),
        representations.to_dense(layers, places, "viridis"),
        *([representations.layer_pairs(layers, "viridis")] if "pairs" in data else []),
        representations.between_rounds(places, "viridis"),
        network_charts.accuracy([slices.PRUNED, slices.RETRAINED], data["accuracy"], places, dots),
    ]
    menus = [
        Menu("measure", "Measure", {name: synthetic.MEASURES[name]["label"] for name in measures}),
        Menu("seed", "Seed", {ALL: f"mean of {len(seeds)} seeds"} if len(seeds) > 1 else {"7": "7"}),
    ]
    own = (Menu("layer", "Layer", {layer: layer for layer in layers}),)
    slider = Menu("round", "Weights left", {str(round): text for round, text in places.texts.items()})
    return Page(
        "made-up", "", menus, [Section("all", "All", menus=own, charts=tuple(charts))], data, slider=slider
    )


def draw(content, width=5.5, measures=("cca",), layers=LAYERS):
    return figures.draw_all(content, width, {"measure": list(measures), "layer": list(layers)})


@pytest.fixture(scope="module")
def drawn():
    return draw(page(), measures=("cca", "cka"))


def size(svg):
    return [float(number) for number in re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg).groups()]


# Widths of letters in thousandths of the text's size, of Liberation Sans, which has those of Arial.
NARROW = dict.fromkeys(" .,:;!/|'ijlftI[]()r-", 0.278) | {
    "m": 0.833,
    "w": 0.722,
    "W": 0.944,
    "M": 0.833,
}


def texts(svg):
    """The texts of a figure as (text, left, top, right, bottom, upright) in its own units.

    Vega places text by translations and, where it is not level, a rotation.
    """
    found, places = [], [(0.0, 0.0)]
    for element in re.finditer(r"<(/?)(g|text)([^>]*?)(/?)>([^<]*)", svg):
        end, tag, attributes, closed, content = element.groups()
        moved = re.search(r'transform="translate\(([^,)]*),?([^)]*)\)(?:\s*rotate\(([^)]*)\))?', attributes)
        shift = (float(moved[1]), float(moved[2] or 0)) if moved else (0.0, 0.0)
        place = (places[-1][0] + shift[0], places[-1][1] + shift[1])
        if tag == "g" and not end and not closed:
            places.append(place)
        elif tag == "g" and end:
            places.pop()
        elif tag == "text" and not end and content.strip():
            angle = float(moved[3] or 0) if moved else 0
            high = float(re.search(r'font-size="([\d.]+)px"', attributes)[1])
            long = high * sum(NARROW.get(letter, 0.556) for letter in content)
            anchor = re.search(r'text-anchor="(\w+)"', attributes)
            start = {"end": -long, "middle": -long / 2}.get(anchor[1] if anchor else "", 0.0)
            corners = np.array(list(itertools.product((start, start + long), (-0.75 * high, 0.1 * high))))
            turned = np.deg2rad(angle)
            turn = np.array([[np.cos(turned), np.sin(turned)], [-np.sin(turned), np.cos(turned)]])
            found.append((content, high, angle, corners, corners @ turn + place))
    return found


def overlap(one, other):
    """Whether two rotated boxes overlap by more than a pixel (separating axes)."""
    for angle in (one[2], other[2]):
        for axis in (np.deg2rad(angle), np.deg2rad(angle + 90)):
            direction = np.array([np.cos(axis), np.sin(axis)])
            a, b = one[4] @ direction, other[4] @ direction
            if a.max() - 1 < b.min() or b.max() - 1 < a.min():
                return False
    return True


def test_a_figure_for_each_chart_measure_and_layer(drawn):
    wanted = {"accuracy"}
    for measure in ("cca", "cka"):
        wanted |= {f"{chart}_{measure}" for chart in ("dense", "layers", "pairs", "profile")}
        wanted |= {f"rounds_{measure}_{layer}" for layer in LAYERS}
    assert set(drawn) == wanted
    few = draw(page(pairs=False), layers=["conv2"])
    assert set(few) == {"accuracy", "dense_cca", "layers_cca", "profile_cca", "rounds_cca_conv2"}


def test_layers_with_figures_are_chosen_by_patterns():
    assert figures.matching(LAYERS, None) == LAYERS
    assert figures.matching(LAYERS, ["conv*"]) == ["conv1", "conv2"]


def test_every_figure_has_labels_for_snakemakes_report(drawn):
    found = {name: names.labels(name, synthetic.MEASURES, LAYERS) for name in drawn}
    title = next(figure.title for figure in names.FIGURES if figure.chart == "rounds")
    assert found["rounds_cca_conv2"] == {"figure": title, "measure": "mean CCA", "layer": "conv2"}
    assert found["accuracy"] == {"figure": "Test accuracy", "measure": "", "layer": ""}
    assert len({tuple(labels.values()) for labels in found.values()}) == len(drawn)
    # Snakemake would take {x} for a wildcard, and has no escape.
    label = names.labels("rounds_cca__x_", synthetic.MEASURES, ["{x}"])["layer"]
    assert not re.search(r"{\s*\w", label) and label.replace("\u2060", "") == "{x}"


SIZES = {(count, width) for count in (5, 17, 30) for width in (3.25, 5.5, 6.75)}
FAST = {(5, 3.25), (17, 3.25), (17, 5.5), (30, 3.25), (30, 6.75)}


@pytest.mark.parametrize(
    ("count", "width"),
    [
        *sorted(FAST),
        *(pytest.param(*size, marks=pytest.mark.slow) for size in sorted(SIZES - FAST)),
    ],
)
def test_text_is_in_the_figure_of_exact_width_at_7_points_without_overlap(width, count):
    layers = [f"features.{place}.relu" for place in range(count)]
    content = page(layers, measures=["cca"], rounds=11 if count == 17 else 6, pairs=count < 30)
    for name, figure in draw(content, width, layers=layers[:1]).items():
        columns = min(width, 3.25) if name.startswith(("rounds", "pairs")) else width
        across, up = size(figure.svg)
        assert across == pytest.approx(72 * columns, abs=0.01) and up < 9 * 72, name
        pixels = [
            float(number) for number in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', figure.svg).groups()
        ]
        shown = texts(figure.svg)
        assert shown, name
        for text, high, _, _, corners in shown:
            assert high * across / pixels[0] >= 6.99, (name, text)
            assert corners.min() > -3 and (corners.max(axis=0) < np.add(pixels, 3)).all(), (name, text)
        for one, other in itertools.combinations(shown, 2):
            assert not overlap(one, other), (name, one[0], other[0])


def test_panels_are_a_grid_with_labels_only_outside():
    layers = [f"layer{place}" for place in range(7)]
    svg = draw(page(layers, measures=["cca"]), 3.25, layers=[])["layers_cca"].svg
    shown = [text for text, *_ in texts(svg)]
    assert set(layers) <= set(shown)
    # Two columns of four and three panels: four are on the left, two above no other.
    assert shown.count("similarity") == 4 and shown.count("weights remaining (%)") == 2
    assert shown.count("100") == 2 and shown.count("1.0") == 4


def test_nothing_is_transparent_patterned_or_bound_to_the_theme():
    many = draw(page(seeds=range(6)))
    for name, figure in {**draw(page()), **{f"{name} (bands)": one for name, one in many.items()}}.items():
        for word in ("opacity", "<pattern", "var(", " aria-", "rgba", "#hatch"):
            assert word not in figure.svg, (name, word)
        ids = re.findall(r' id="([^"]+)"', figure.svg)
        assert set(re.findall(r"url\(#([^)]+)\)", figure.svg)) <= set(ids)
        assert all(one.startswith(name.split(" ")[0]) for one in ids)


def test_a_tint_is_blended_with_the_paper():
    path = '<path fill="#000000" stroke="rgb(255, 0, 0)" fill-opacity="0.5" opacity="0.5"/>'
    assert paper._opaque(path) == '<path fill="#bfbfbf" stroke="#ff8080"/>'
    assert (
        paper._opaque('<path fill="none" stroke="#08f" stroke-opacity="0"/>')
        == '<path fill="none" stroke="none"/>'
    )


DRAW = """
import sys, hashlib
sys.path[:0] = {paths!r}
import test_figures
from prunescope.report import figures, paper
for name, one in sorted(test_figures.draw(test_figures.page(seeds=range(6)), layers=["conv1"]).items()):
    files = one.svg.encode(), one.text.encode(), paper.pdf(one.svg), paper.png(one.svg, 100)
    sys.stdout.write(name + " " + " ".join(hashlib.sha256(file).hexdigest() for file in files) + "\\n")
"""


def test_two_processes_write_the_same_bytes():
    here = Path(__file__)
    paths = [str(here.parent), str(here.parents[1]), str(here.parents[2] / "workflow/scripts")]
    command = [sys.executable, "-c", DRAW.format(paths=paths)]
    one, other = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in "ab")
    assert one == other and len(one.splitlines()) == 6


def test_files(drawn, tmp_path):
    few = {name: drawn[name] for name in ("accuracy", "profile_cca")}
    figures.save(few, {"accuracy": "table"}, tmp_path / "all", ["svg", "pdf", "png"], 144)
    written = {path.name for path in (tmp_path / "all").iterdir()}
    assert written == {f"{name}.{kind}" for name in few for kind in ("svg", "pdf", "png", "txt")} | {
        "accuracy.tex"
    }
    pdf = (tmp_path / "all/accuracy.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"LiberationSans" in pdf and b"/Type3" not in pdf
    across, up = size(few["accuracy"].svg)
    box = [float(number) for number in re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf).groups()]
    assert box == pytest.approx([across, up], abs=0.01)
    png = (tmp_path / "all/accuracy.png").read_bytes()
    assert struct.unpack(">II", png[16:24])[0] == round(across * 144 / 72)
    figures.save(few, {}, tmp_path / "few", ["pdf"], 100)
    assert {path.suffix for path in (tmp_path / "few").iterdir()} == {".pdf", ".txt"}


def test_caption_and_text_alternative_name_what_is_shown(drawn):
    caption, alternative = drawn["profile_cca"].text.split("\n\n")
    for part in ("mean CCA", "mean of 3 seeds", "made-up"):
        assert part in caption
    assert "pruned: 0.551 (conv2) to 0.949 (output)" in alternative
    assert "retrained: 0.776 (conv2) to" in alternative and "other seeds: 0.702." in alternative
    assert "conv2" in drawn["rounds_cca_conv2"].text.split("\n\n")[0]
    assert "conv1, conv2" in drawn["pairs_cca"].text or "conv2, conv1" in drawn["pairs_cca"].text


def test_controls_and_other_seeds_are_in_the_figures(drawn):
    for name, series in (
        ("profile_cca", ["retrained", "other seeds", "chance level"]),
        ("accuracy", ["retrained"]),
    ):
        shown = {text for text, *_ in texts(drawn[name].svg)}
        assert {"pruned", *series} <= shown, name


def test_figures_show_the_measured_values(drawn):
    numbers = [text for text, *_ in texts(drawn["dense_cca"].svg) if re.fullmatch(r"[01]\.\d\d", text)]
    table = synthetic.similarity(4, LAYERS, SEEDS, ["cca", "cka"])
    own = slices.to_dense(slices.of_measure(table, "cca"))
    means = own.groupby(["layer_a", "round_a"])["value"].mean()
    wanted = sorted([*means, *[0.01] * len(LAYERS)])
    np.testing.assert_allclose(sorted(map(float, numbers)), wanted, atol=0.0051)


def numbers(text):
    """The cells of a LaTeX table by row and column, without its signs."""
    lines = [line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if line.endswith(r"\\")]
    return {line[0]: dict(zip(lines[0], line, strict=True)) for line in lines[1:]}


def test_latex_tables_hold_mean_and_standard_deviation_over_the_seeds():
    table = synthetic.across_seeds(synthetic.similarity(3, ["conv_1", "output"], SEEDS, ["cca"]), 0.7)
    accuracy = synthetic.accuracy(3, SEEDS)
    better = accuracy.assign(test_accuracy=accuracy["test_accuracy"] + 0.01)
    tables = {
        slices.PRUNED: synthetic.level_tables("one", table, accuracy),
        slices.RETRAINED: synthetic.level_tables("retrained", table.assign(value=1.0), better),
    }
    one = Experiment("one", synthetic.SETTINGS, ["conv_1", "output"], table, accuracy, {}, tables=tables)
    text = latex.accuracy(one)
    last = 100 * accuracy[accuracy["round"] == 2]["test_accuracy"]
    row = numbers(text)["2"]
    assert row["pruned"] == rf"${last.mean():.2f} \pm {last.std():.2f}$"
    assert row["retrained"] == rf"${last.mean() + 1:.2f} \pm {last.std():.2f}$"
    text = latex.similarity(one, ["cca"], {"cca": "mean CCA"})
    own = slices.to_dense(table).query("round_a == 2 and layer_a == 'conv_1'")["value"]
    row = numbers(text)[r"conv\_1"]
    assert row["pruned"] == rf"${own.mean():.3f} \pm {own.std():.3f}$"
    assert row["retrained"] == r"$1.000 \pm 0.000$" and row["other seeds"].startswith("$0.7")
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1
    both = numbers(latex.similarity(one, ["cca", "cka"], {"cca": "CCA", "cka": "CKA"}))
    assert set(both) == {"CCA", "CKA"} and both["CKA"]["pruned"] == "--"
    single = accuracy[accuracy["seed"] == 0]
    alone = Experiment("one", synthetic.SETTINGS, ["conv_1", "output"], table, single, {})
    assert r"\pm" not in latex.accuracy(alone)


def test_a_missing_value_is_a_cross():
    def hide(table):
        here = (table["layer_a"] == "conv2") & (table["round_a"] == 3)
        return table.assign(value=table["value"].mask(here), status=table["status"].mask(here, "dead layer"))

    shown = [text for text, *_ in texts(draw(page(change=hide))["dense_cca"].svg)]
    assert shown.count("×") == 1


def test_one_seed_and_only_the_dense_network():
    found = draw(page(seeds=[7], rounds=1, measures=["cca"]))
    assert {"accuracy", "dense_cca", "profile_cca"} <= set(found)


def test_a_limit_on_address_space_is_one_line(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (67 * 10**9, -1))
    with pytest.raises(InputError, match=r"allows 67 GB of address space, but .* reserves 68 GB"):
        draw(page())


def test_colour_schemes_that_are_offered_are_vegas():
    schema = json.dumps(alt.load_schema())
    (offered,) = (field.annotation for name, field in Figures.model_fields.items() if name == "colormap")
    for name in offered.__args__:
        assert f'"{name.lower()}"' in schema


@pytest.mark.parametrize("count", [1, 12, 13, 30, 100])
def test_blocks_hold_every_layer_once_in_at_most_twelve_panels(count):
    for layers in (
        [f"layer{i // 8}.{i}" for i in range(count)],
        [f"relu{i}" for i in range(count)],
        [f"features.{i}" for i in range(count)],
    ):
        panels = blocks(layers)
        assert [layer for panel in panels for layer in panel.members] == layers
        assert len(panels) <= PANELS and (count == 1 or len(panels) > 1)
