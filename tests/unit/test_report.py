"""The report's tables and page: nothing lost, nothing fetched, the same bytes twice."""

import base64
import gzip
import json
import re
import resource
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import vl_convert

import synthetic
from prunescope.errors import InputError
from prunescope.files import write_parquet
from prunescope.findings.slices import OTHER_SEEDS, PRUNED, RETRAINED
from prunescope.findings.words import BEYOND, LESS, NOT_APART
from prunescope.report import cards, page_tables, palette, representations
from prunescope.report.base import ALL
from prunescope.report.experiment import Experiment
from prunescope.report.overview import overview_page
from prunescope.report.page import render, shown
from prunescope.report.rounds import Rounds
from prunescope.report.sections import contents

LAYERS = ["conv1", "conv2", "output"]
SHAPES = {"conv1": [8, 8, 8], "conv2": [16, 4, 4], "output": [10]}
SEEDS = [0, 1]


def matrix(pairs: bool = True) -> pd.DataFrame:
    table = synthetic.across_seeds(synthetic.similarity(3, LAYERS, SEEDS, ["cca", "pwcca"]), 0.7)
    return synthetic.all_layers(table) if pairs else table


MEASURES = {name: synthetic.MEASURES[name] for name in ("cca", "pwcca")}


def experiment(name: str, settings: dict, pairs: bool = True, primary: str | None = "cca") -> Experiment:
    table, accuracy = matrix(pairs), synthetic.accuracy(3, SEEDS)
    found = synthetic.findings(
        name, table, accuracy, SHAPES, MEASURES, synthetic.VERDICTS | {"primary": primary}
    )
    tables = {PRUNED: synthetic.level_tables(name, table, accuracy)}
    return Experiment(
        name,
        synthetic.SETTINGS | settings,
        LAYERS,
        table,
        accuracy,
        found,
        tables=tables,
        networks=synthetic.networks(3, ["a", "b"], SEEDS),
        training=synthetic.training(3, SEEDS, 4),
    )


def page(name="made-up", description="A made-up experiment", pairs=True, primary="cca"):
    one = experiment(name, {"description": description}, pairs, primary)
    return render(contents(one, MEASURES, {"commit": "0123abc"}))


@pytest.fixture(scope="module")
def html():
    return page()


class Elements(HTMLParser):
    """All elements of a page as (tag, attributes)."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def unpack(html, name):
    packed = re.search(rf'id="table-{re.escape(name)}"[^>]*>([^<]*)<', html)[1]
    return pd.DataFrame(json.loads(gzip.decompress(base64.b64decode(packed))))


def test_table_of_rounds_holds_the_mean_of_every_pair(html):
    got = unpack(html, "rounds").set_index(["measure", "layer", "round", "round_b"])["mean"]
    table = matrix().rename(columns={"layer_a": "layer", "round_a": "round"})
    own = table[(table["seed_a"] == table["seed_b"]) & (table["layer"] == table["layer_b"])]
    want = own.groupby(["measure", "layer", "round", "round_b"])["value"].mean()
    assert len(got) == len(want)
    np.testing.assert_allclose(got.reindex(want.index), want, atol=1e-5)


def test_profile_holds_each_seed_their_mean_and_other_seeds(html):
    profile, table = unpack(html, "profile"), matrix()
    own = profile[profile["series"] == PRUNED]
    want = table[(table["seed_a"] == table["seed_b"]) & (table["layer_a"] == table["layer_b"])]
    want = want[want["round_b"] == 0].groupby(["measure", "round_a", "layer_a"])["value"]
    every = own[own["seed"] == ALL].set_index(["measure", "round", "layer"])
    for column, numbers in (("mean", want.mean()), ("seed_low", want.min()), ("seed_high", want.max())):
        np.testing.assert_allclose(every[column].reindex(numbers.index), numbers, atol=1e-5)
    assert set(own["seed"]) == {ALL, *SEEDS}
    others = profile[profile["series"] == OTHER_SEEDS]
    assert set(others["round"]) == {"*"} and set(others["seed"]) == {ALL, *SEEDS}
    pair = table[(table["seed_a"] == 0) & (table["seed_b"] == 1) & (table["layer_a"] == table["layer_b"])]
    pair = pair.groupby(["measure", "layer_a"])["value"].mean()
    means = others[others["seed"] == ALL].set_index(["measure", "layer"])["mean"]
    np.testing.assert_allclose(means.reindex(pair.index), pair, atol=1e-5)


def test_a_cell_over_seeds_counts_every_status():
    table = matrix(False)
    here = (table["layer_a"] == "conv1") & (table["measure"] == "cca")
    table.loc[here & (table["seed_a"] == 0), "status"] = "few rows"
    table.loc[here & (table["seed_a"] == 1) & (table["round_a"] == 2), ["value", "status"]] = [
        None,
        "dead layer",
    ]
    profile = page_tables.similarity_tables(table)["profile"]
    rows = profile[
        (profile["layer"] == "conv1") & (profile["measure"] == "cca") & (profile["series"] == PRUNED)
    ]
    rows = rows[rows["seed"] == ALL].set_index("round")
    assert rows["status"].to_dict() == {
        0: "few rows (1 of 2)",
        1: "few rows (1 of 2)",
        2: "dead layer (1 of 2), few rows (1 of 2)",
    }
    assert set(rows["warned"]) == {"warned"} and rows.loc[2, "seeds"] == 1
    both = table.assign(value=np.nan, status="dead layer")
    assert set(page_tables.similarity_tables(both)["profile"]["warned"]) == {"missing"}


def test_layer_pairs_are_shown_only_where_they_were_computed(html):
    assert set(unpack(html, "pairs")["layer_b"]) == set(LAYERS)
    assert 'id="chart-pairs"' in html
    assert 'id="chart-pairs"' not in page(pairs=False)


def specs(html):
    """The specification of each chart by its name."""
    figures = re.findall(
        r'<figure id="chart-([^"]+)".*?<script type="application/json">(.*?)</script>', html, re.S
    )
    return {name: json.loads(text)["spec"] for name, text in figures}


def test_chance_is_drawn_wherever_a_line_shows_a_measure(html):
    for name, columns in (("profile", ["chance", "chance_classes"]), ("layers", ["chance"])):
        marks = [
            mark["encode"]["update"].get("y", {}) for mark in specs(html)[name]["marks"] if "encode" in mark
        ]
        marks += [
            mark["marks"][0]["encode"]["update"].get("y", {})
            for mark in specs(html)[name]["marks"]
            if "marks" in mark
        ]
        for column in columns:
            assert {"field": column, "scale": "y"} in marks, name


def test_heatmaps_show_the_highest_chance_of_each_row_and_ring_what_is_not_above_chance():
    table = matrix()
    last = (table["layer_a"] == "conv1") & (table["layer_b"] == "conv1") & (table["round_a"] == 2)
    here = last & (table["round_b"] == 0)
    table.loc[here, "chance"], table.loc[here, "chance_high"] = 0.99, 0.995
    # Above chance, but not above its quantile.
    table.loc[here, "value"] = 0.992
    data = page_tables.similarity_tables(table)
    rounds = Rounds({0: 100.0, 1: 80.0, 2: 64.0}, {}, (64.0, 100.0))
    first = {"measure": "cca", "seed": "all", "round": "2", "layer": "conv1"}
    for chart, levels in (
        (representations.to_dense(LAYERS, rounds, "viridis"), ["0.99", "0.01", "0.01"]),
        (representations.layer_pairs(LAYERS, "viridis"), ["0.99", "0.01", "0.01"]),
        (representations.between_rounds(rounds, "viridis"), ["0.01", "0.01", "0.99"]),
    ):
        rows = shown(chart, data[chart.table], first).to_json(orient="records")
        image = vl_convert.vegalite_to_svg(
            {**chart.spec, "width": 500, "datasets": {"rows": json.loads(rows)}, "data": {"name": "rows"}}
        )
        image = re.sub(r"<g [^>]*/>", "", image)
        groups = re.findall(r'class="(mark-\w+) [^"]*"[^>]*>(.*?)</g>', image, re.S)
        texts = [re.findall(r">([^<]+)</text>", inside) for name, inside in groups if name == "mark-text"]
        assert texts[:2] == [levels, ["chance"]], chart.name
        (rings,) = [inside for name, inside in groups if name == "mark-symbol" and "<path" in inside]
        assert rings.count("<path") == 1, chart.name
        assert "highest chance level of the row. ○: not above the 95 % quantile of chance" in chart.beware


def words(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).strip()


def test_first_screen_gives_the_answer_then_the_slider_the_legend_and_the_levels(html):
    found = experiment("made-up", {}).findings["sentences_by_round"]
    parts = ['class="sentence"', 'class="sentence-note"', 'type="range"', 'class="legend"', 'class="cards"']
    places = [html.index(part) for part in parts]
    assert places == sorted(places) and places[-1] < html.index('id="chart-profile"')
    shown = re.findall(r'<div data-round="(\d)"( hidden)?><p class="sentence">(.*?)</p>', html, re.S)
    assert [(round, bool(hidden)) for round, hidden, _ in shown] == [("0", True), ("1", True), ("2", False)]
    for round, _, text in shown:
        plain = re.sub(r"<[^>]+>", "", text).replace("\u00a0", " ")
        assert plain.strip() == "".join(part for part, _ in found[round]["sentence"])
    slider = next(tag for tag in Elements(html).of("input") if tag["type"] == "range")
    assert json.loads(slider["data-options"])[-1] == ["2", "64 % · round 2 of 2"]
    assert (slider["max"], slider["value"], slider["aria-valuetext"]) == ("2", "2", "64 % · round 2 of 2")
    legend = re.search(r'<ul class="legend".*?</ul>', html, re.S)[0]
    names = [words(one).replace(" :", ":") for one in re.findall(r"<li>.*?</li>", legend)]
    assert names == ["pruned", "other seeds: two dense networks"]


def test_the_chip_of_a_card_fits_into_one_line_and_shows_the_verdict():
    chips = {verdict: cards._chip({"verdict": verdict}) for verdict in (BEYOND, LESS, NOT_APART)}
    assert chips == {BEYOND: BEYOND, LESS: LESS, NOT_APART: "no difference detected"}
    few = cards._chip({"verdict": None, "higher_in": 2, "of": 3})
    assert few == "2 of 3 seeds beyond retraining" and cards._chip(None) == ""
    assert max(map(len, (few, *chips.values()))) <= 30


def test_each_level_has_a_card_with_its_number_or_what_would_add_it(html):
    cards = dict(re.findall(r'<article class="card" id="card-(\w+)">(.*?)</article>', html, re.S))
    assert list(cards) == ["weights", "predictions", "landscape", "representations"]
    levels = experiment("made-up", {}).findings["levels"]
    for level, card in cards.items():
        assert levels[level]["question"] in card
        assert card.count('class="value"') == (3 if levels[level]["available"] else 0)
    assert words(cards["weights"]).count(".32 .30 to .33 cosine distance to the dense network") == 1
    assert "<code>landscape: {}</code>" in cards["landscape"]


def test_the_title_of_the_main_chart_follows_measure_seed_and_round(html):
    (text,) = re.findall(
        r'<figure id="chart-profile".*?<script type="application/json">(.*?)</script>', html, re.S
    )
    titles = json.loads(text)["titles"]
    profile = unpack(html, "profile")
    rows = profile[(profile["series"] == PRUNED) & (profile["round"].astype(str) != "0")]
    for (measure, seed, round), part in rows.groupby(["measure", "seed", "round"]):
        low = part.loc[part["mean"].idxmin()]
        title = titles[f"{measure}|{seed}|{round}"]
        assert f"{low['layer']} is least similar" in title and f"({low['mean']:.3f})" in title
    assert titles["cca|all|2"] in html[: html.index('id="chart-layers"')]


def test_every_chart_is_an_image_without_javascript(html):
    figures = re.findall(r"<figure.*?</figure>", html, re.S)
    assert len(figures) == len(Elements(html).of("figure")) >= 5
    for figure in figures:
        boxes = re.findall(
            r'<div class="chart" role="img" aria-label="([^"]+)"[^>]*>(.*?)</svg>', figure, re.S
        )
        assert boxes
        for label, image in boxes:
            assert len(label) > 20 and len(re.findall("<path|<circle", image)) > 3
    ids = re.findall(r'\bid="([^"]+)"', re.sub("<script.*?</script>", "", html, flags=re.S))
    assert len(ids) == len(set(ids))


def drawn(chart, values):
    """Draw rows as SVG; a chart with panels shows the layers of its parameter `members`."""
    spec = {**chart.spec, "width": 500, "datasets": {"rows": values}, "data": {"name": "rows"}}
    if "params" in spec:
        spec["params"] = [one for one in spec["params"] if one["name"] != "members"]
        spec["params"].append({"name": "members", "value": LAYERS})
    return vl_convert.vegalite_to_svg(spec)


def test_networks_that_do_not_classify_are_marked_in_every_chart_of_their_similarity():
    table, failed = matrix(), [[1, 2]]
    data = page_tables.similarity_tables(
        table, {"control": table}, None, {PRUNED: failed, "control": [[0, 0]]}
    )
    for name, rows in data.items():
        own = rows[(rows["series"] == PRUNED)] if "series" in rows else rows
        here = own["round"].astype(str).eq("2") | own.get("round_b", pd.Series("", own.index)).eq(2)
        if "seed" in own:
            here &= own["seed"].isin([ALL, 1])
        assert list(own["failed"]) == list(here), name
        text = own[own["failed"]]["status"]
        assert text.str.startswith("ok, does not classify").all(), name
    control = data["profile"][data["profile"]["series"] == "control"]
    assert control["failed"].eq(control["seed"].isin([ALL, 0])).all(), "all rounds are compared with round 0"
    rounds = Rounds({0: 100.0, 1: 80.0, 2: 64.0}, {}, (64.0, 100.0))
    first = {"measure": "cca", "seed": ALL, "round": "2", "layer": "conv1"}
    for chart in (
        representations.profile(LAYERS, [PRUNED], "x", {}, True),
        representations.while_pruning(LAYERS, rounds, True),
        representations.to_dense(LAYERS, rounds, "viridis"),
        representations.layer_pairs(LAYERS, "viridis"),
        representations.between_rounds(rounds, "viridis"),
    ):
        assert chart.beware.count("◇") == 1
        images = []
        for marked in (True, False):
            rows = shown(chart, data[chart.table].assign(failed=marked & data[chart.table]["failed"]), first)
            values = json.loads(rows.to_json(orient="records"))
            images.append(drawn(chart, values))
        assert images[0].count("<path") > images[1].count("<path"), chart.name


def test_intervals_of_the_matrix_are_drawn_where_they_were_computed():
    plain = matrix(False)
    given = plain.assign(low=plain["value"] - 0.05, high=plain["value"] + 0.02)
    rounds = Rounds({0: 100.0, 1: 80.0, 2: 64.0}, {}, (64.0, 100.0))
    first = {"measure": "cca", "seed": ALL, "round": "2"}
    rows = page_tables.similarity_tables(given)["profile"].query(f"series == '{PRUNED}'")
    np.testing.assert_allclose(rows["mean"] - rows["low"], 0.05)
    np.testing.assert_allclose(rows["high"] - rows["mean"], 0.02)
    for chart in (
        representations.profile(LAYERS, [PRUNED], "x", {}, True),
        representations.while_pruning(LAYERS, rounds, True),
    ):
        counts = []
        for table in (plain, given):
            part = shown(chart, page_tables.similarity_tables(table)["profile"], first)
            values = json.loads(part.to_json(orient="records"))
            image = drawn(chart, values)
            counts.append(
                sum(len(part) for part in re.findall(r"mark-rule role-mark[^>]*>(<line.*?)</g>", image))
            )
        assert counts[0] == 0 < counts[1], chart.name


def test_pages_without_a_measure_of_the_verdicts_give_numbers_and_advice(html):
    without = page(primary=None)
    assert "set findings.measure to one of cca, pwcca." in without and "too few seeds" not in without
    assert unpack(without, "profile").equals(unpack(html, "profile"))
    overview = overview_page([experiment("a", {}, primary=None), experiment("b", {})], MEASURES)
    assert re.search(r"<td[^>]*>–<", overview)


def test_page_loads_nothing(html):
    elements = Elements(html)
    assert not elements.of("link") and not elements.of("img") and not elements.of("iframe")
    assert elements.of("script") and all("src" not in attributes for attributes in elements.of("script"))
    (policy,) = [tag["content"] for tag in elements.of("meta") if tag.get("http-equiv")]
    assert "default-src 'none'" in policy and "connect-src" not in policy and "eval" not in policy


def test_page_is_the_same_twice(html):
    assert page() == html


def test_a_limit_on_address_space_is_one_line(monkeypatch):
    """Without it, the JavaScript engine would end the process."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (67 * 10**9, -1))
    with pytest.raises(InputError, match=r"allows 67 GB of address space, but .* reserves 68 GB"):
        overview_page([experiment("a", {})], MEASURES)


def test_the_command_that_reproduces_a_report_selects_its_controls():
    one = experiment("a", {})
    tables = one.tables | {RETRAINED: replace(one.tables[PRUNED], name="a-retrain")}
    html = render(contents(replace(one, tables=tables), MEASURES, {}))
    assert "results/a/report.html --config experiments=[a,a-retrain]" in words(html)


def test_names_cannot_break_the_page():
    html = page(name="</script><b>", description="<script>alert(1)</script>")
    elements = Elements(html)
    assert len(elements.of("script")) == len(Elements(page()).of("script"))
    assert not elements.of("b")


def test_structure_for_assistive_technology(html):
    elements = Elements(html)
    assert elements.of("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_key_of_a_chart_is_a_menu(html):
    menus = {attributes["id"] for attributes in Elements(html).of("select")}
    keys = {key for tag in Elements(html).of("figure") for key in tag["data-keys"].split()}
    sliders = {attributes["id"] for attributes in Elements(html).of("input")}
    assert keys == menus | sliders == {"metric", "seed", "round", "layer", "measure"} and sliders == {"round"}


def test_without_javascript_nothing_is_shown_that_needs_it(html):
    elements = Elements(re.sub("<script.*?</script>", "", html, flags=re.S))
    for tag in ("form", "input"):
        assert elements.of(tag) and all("hidden" in one for one in elements.of(tag)), tag
    for part in re.findall(r'<(?:details class="data"|span class="files")[^>]*>', html):
        assert part.endswith(" hidden>"), part
    assert all("hidden" in one for one in elements.of("button") if "data-save" not in one)
    assert html.count('<span class="files"') == len(elements.of("figure"))


def test_curves_without_values_are_not_offered(html):
    options = re.search(r'<select id="metric".*?</select>', html, re.S)[0]
    assert "test_accuracy" in options and "validation" not in options


def test_links_inside_the_page_lead_somewhere(html):
    elements = Elements(html)
    known = {attributes.get("id") for _, attributes in elements.found}
    inner = [tag["href"][1:] for tag in elements.of("a") if tag["href"].startswith("#")]
    assert inner and set(inner) <= known


def luminance(color):
    channels = np.asarray(color[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one, other):
    colors = [[int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)] for color in (one, other)]
    low, high = sorted(map(luminance, colors))
    return (high + 0.05) / (low + 0.05)


def test_colours_have_the_contrast_that_wcag_asks_for_in_both_themes(html):
    style = re.search("<style>(.*?)</style>", html, re.S)[1]
    themes = [dict(re.findall(r"(--[\w-]+): (#\w+)", part)) for part in style.split("@media screen")[:3]]
    assert themes[0] != themes[1] and themes[1] == themes[2], "the button gives the system's dark theme"
    for theme in themes:
        for name in ("ink", "soft", "link"):
            for behind in ("paper", "box", "tint"):
                assert contrast(theme[f"--{name}"], theme[f"--{behind}"]) >= 4.5, name
        for color in (*palette.EXPERIMENTS, palette.CONTEXT):
            assert contrast(color, theme["--paper"]) >= 3, color


def test_overview_puts_experiments_and_their_differences_side_by_side():
    experiments = [
        experiment(name, {"pruning": {"criterion": criterion}})
        for name, criterion in (("parent", "magnitude"), ("control", "random"))
    ]
    html = overview_page(experiments, MEASURES)
    assert {"chart-accuracy", "chart-dense-parent", "chart-dense-control"} <= {
        attributes.get("id") for attributes in Elements(html).of("figure")
    }
    differences = re.search(r"Settings that differ</caption>.*?</table>", html, re.S)[0]
    assert re.findall(r"<td[^>]*>(.*?)</td>", differences) == ["pruning.criterion", "magnitude", "random"]
    assert {"parent/report.html", "control/report.html"} <= {tag["href"] for tag in Elements(html).of("a")}
    assert set(unpack(html, "accuracy")["series"]) == {"parent", "control"}
    assert "… too few seeds" in html


def test_table_of_training_holds_the_curves_over_seeds(html):
    got = unpack(html, "training")
    curves = synthetic.training(3, SEEDS, 4)
    assert set(got["metric"]) == {"test_accuracy", "test_loss", "train_accuracy", "train_loss", "lr"}
    want = curves.groupby(["round", "epoch"])["test_loss"].agg(["mean", "min", "max"])
    rows = got[got["metric"] == "test_loss"].set_index(["round", "epoch"])
    np.testing.assert_allclose(rows[["mean", "seed_low", "seed_high"]].loc[want.index], want, atol=1e-5)


def test_measures_and_their_papers_are_shown_as_given(html):
    (options,) = re.findall(r'<select id="measure".*?</select>', html, re.S)
    assert re.findall(r'value="(\w+)">(.*?)<', options) == [("cca", "mean CCA"), ("pwcca", "PWCCA")]
    assert html.count("A made-up paper on CCA.") == 1


def test_a_single_seed_is_not_called_a_mean():
    table, accuracy = matrix(False).query("seed_a == 0 and seed_b == 0"), synthetic.accuracy(3, [0])
    found = synthetic.findings("one", table, accuracy, SHAPES, MEASURES, synthetic.VERDICTS)
    tables = {PRUNED: synthetic.level_tables("one", table, accuracy)}
    made = {"networks": synthetic.networks(3, ["a"], [0]), "training": synthetic.training(3, [0], 2)}
    one = Experiment("one", synthetic.SETTINGS, LAYERS, table, accuracy, found, tables=tables, **made)
    html = render(contents(one, MEASURES, {}))
    assert (
        "Layers by mean CCA</caption>" in html and "mean of 1" not in html and "mean over seeds" not in html
    )
    assert re.findall(r'value="(\w+)"', re.search(r'<select id="seed".*?</select>', html, re.S)[0]) == ["0"]


def test_the_code_in_the_readme_is_right_with_all_layers_and_several_seeds(tmp_path, monkeypatch):
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    code = re.search(r"## Read the result\n\n```python\n(.*?)```", readme, re.S)[1]
    write_parquet(tmp_path / "results/digits-lenet/similarity.parquet", matrix())
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    got, plain = (
        names["to_dense"],
        matrix(False).query("measure == 'cca' and seed_a == seed_b and round_b == 0"),
    )
    assert (got[0] == 1).all() and list(got.index) == LAYERS and list(got.columns) == [0, 1, 2]
    for round in got:
        for layer in got.index:
            rows = plain.query("layer_a == @layer and round_a == @round")
            assert len(rows) == len(SEEDS) and got.loc[layer, round] == pytest.approx(rows["value"].mean())


def test_a_control_has_its_own_name_and_colour_on_its_own_page():
    table, accuracy = matrix(False), synthetic.accuracy(3, SEEDS)
    found = synthetic.findings("c", table, accuracy, SHAPES, MEASURES, synthetic.VERDICTS, own=RETRAINED)
    tables = {RETRAINED: synthetic.level_tables("c", table, accuracy)}
    settings = synthetic.SETTINGS | {"control": "retrain"}
    made = {"networks": synthetic.networks(3, ["a"], SEEDS), "training": synthetic.training(3, SEEDS, 2)}
    one = Experiment("c", settings, LAYERS, table, accuracy, found, tables=tables, **made)
    html = render(contents(one, MEASURES, {}))
    body = re.sub("<(script|style).*?</(script|style)>", "", html, flags=re.S)
    legend = re.search(r'<ul class="legend".*?</ul>', body, re.S)[0]
    assert "retrained" in legend and "pruned" not in legend.replace("not pruned", "")
    for name in ("profile", "accuracy"):
        assert set(unpack(html, name)["series"]) <= {RETRAINED, OTHER_SEEDS}
    assert "--retrained" in body and "var(--pruned)" not in body
