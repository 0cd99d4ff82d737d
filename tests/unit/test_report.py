"""The report's tables and page: nothing lost, nothing fetched, the same bytes twice."""

import base64
import gzip
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps

import synthetic
from prunescope import charts, findings, records, report

LAYERS = ["conv1", "conv2", "output"]
SHAPES = {"conv1": [8, 8, 8], "conv2": [16, 4, 4], "output": [10]}
SEEDS = [0, 1]


def matrix(pairs: bool = True) -> pd.DataFrame:
    table = synthetic.across_seeds(synthetic.similarity(3, LAYERS, SEEDS, ["cca", "pwcca"]), 0.7)
    if pairs:
        other = table[(table["layer_a"] == "conv1") & (table["seed_a"] == table["seed_b"])]
        table = pd.concat([table, other.assign(layer_b="conv2", value=other["value"] / 2)], ignore_index=True)
    return table


def page(name="made-up", description="A made-up experiment", pairs=True):
    table, accuracy = matrix(pairs), synthetic.accuracy(3, SEEDS)
    networks = synthetic.records(3, ["a", "b"], SEEDS)
    return report.experiment_page(
        name,
        synthetic.SETTINGS | {"description": description},
        LAYERS,
        table,
        accuracy,
        networks,
        records.layers(networks),
        synthetic.training(3, SEEDS, 4),
        findings.conclude(name, table, accuracy, SHAPES),
        {"commit": "0123abc"},
    )


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
    return pd.read_csv(io.BytesIO(gzip.decompress(base64.b64decode(packed))))


def test_table_of_rounds_holds_every_value_of_the_matrix(html):
    got = unpack(html, "rounds")
    table = matrix()
    want = table[(table["seed_a"] == table["seed_b"]) & (table["layer_a"] == table["layer_b"])]
    keys = ["seed", "round", "round_b", "layer", "metric"]
    want = want.rename(columns={"seed_a": "seed", "round_a": "round", "layer_a": "layer"})
    merged = got.merge(want, on=keys, suffixes=("", "_want"), validate="one_to_one")
    assert len(got) == len(want) == len(merged)
    np.testing.assert_allclose(merged["value"], merged["value_want"], rtol=1e-5)
    assert (merged["rank_a"] == merged["rank_a_want"]).all()


def test_table_of_the_dense_network_is_a_part_of_it(html):
    dense, rounds = unpack(html, "dense"), unpack(html, "rounds")
    assert len(dense) == len(rounds[rounds["round_b"] == 0])
    assert set(dense["layer"]) == set(LAYERS)


def test_profile_adds_dense_networks_of_different_seeds(html):
    profile = unpack(html, "profile")
    others = profile[profile["kind"] == "seeds"]
    assert set(others["round"]) == {0} and len(others) == len(LAYERS) * 2 * 2


def test_layer_pairs_are_shown_only_where_they_were_computed(html):
    assert set(unpack(html, "pairs")["layer_b"]) == set(LAYERS)
    assert 'id="chart-pairs"' in html
    assert 'id="chart-pairs"' not in page(pairs=False)


def test_page_loads_nothing(html):
    elements = Elements(html)
    assert not elements.of("link") and not elements.of("img") and not elements.of("iframe")
    assert all("src" not in attributes for attributes in elements.of("script"))
    (policy,) = [tag["content"] for tag in elements.of("meta") if tag.get("http-equiv")]
    assert "default-src 'none'" in policy and "connect-src" not in policy


def test_page_is_the_same_twice(html):
    assert page() == html


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
    for text in re.findall(r'<script type="application/json">(.*?)</script>', html):
        assert len(json.loads(text)["description"]) > 40


def test_every_parameter_has_its_menu(html):
    menus = {attributes["id"] for attributes in Elements(html).of("select")}
    bound = set()
    for text in re.findall(r'<script type="application/json">(.*?)</script>', html):
        bound |= {
            p["bind"]["element"][1:]
            for p in json.loads(text).get("params", [])
            if "element" in p.get("bind", {})
        }
    assert bound == menus == {"metric", "seed", "round", "layer", "measure"}


def test_curves_without_values_are_not_offered(html):
    options = re.search(r'<select id="measure".*?</select>', html, re.S)[0]
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


def test_colours_have_the_contrast_that_wcag_asks_for(html):
    def contrast_to_white(color):
        return 1.05 / (luminance(color) + 0.05)

    low, high = charts.DEPTH.to_dict()["extent"]
    assert min(contrast_to_white(colormaps["inferno"](part)) for part in np.linspace(low, high, 20)) >= 3
    style = re.search("<style>(.*?)</style>", html, re.S)[1]
    for color in re.findall(r"(?<![-\w])color: #(\w+)", style):
        digits = color if len(color) == 6 else "".join(2 * digit for digit in color)
        assert contrast_to_white([int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]) >= 4.5, (
            color
        )


def test_overview_puts_experiments_and_their_differences_side_by_side():
    table, accuracy = matrix(), synthetic.accuracy(3, SEEDS)
    experiments = {
        name: {
            "settings": synthetic.SETTINGS | {"pruning": {"criterion": criterion}},
            "layers": LAYERS,
            "similarity": table,
            "accuracy": accuracy,
            "findings": findings.conclude(name, table, accuracy, SHAPES),
        }
        for name, criterion in (("parent", "magnitude"), ("control", "random"))
    }
    html = report.overview_page(experiments)
    assert {"chart-accuracy", "chart-dense-parent", "chart-dense-control"} <= {
        attributes.get("id") for attributes in Elements(html).of("figure")
    }
    differences = re.search(r"Settings in which they differ</caption>.*?</table>", html, re.S)[0]
    assert re.findall(r"<td>(.*?)</td>", differences) == ["pruning.criterion", "magnitude", "random"]
    assert {"parent/report.html", "control/report.html"} <= {tag["href"] for tag in Elements(html).of("a")}
    assert set(unpack(html, "accuracy")["experiment"]) == {"parent", "control"}
