"""The report's tables and page: nothing lost, nothing fetched, the same bytes twice."""

import base64
import gzip
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps

import synthetic
from prunescope.files import write_parquet
from prunescope.findings import verdicts
from prunescope.report import base
from prunescope.report.experiment import Experiment, experiment_page
from prunescope.report.overview import overview_page

LAYERS = ["conv1", "conv2", "output"]
SHAPES = {"conv1": [8, 8, 8], "conv2": [16, 4, 4], "output": [10]}
SEEDS = [0, 1]


def matrix(pairs: bool = True) -> pd.DataFrame:
    table = synthetic.across_seeds(synthetic.similarity(3, LAYERS, SEEDS, ["cca", "pwcca"]), 0.7)
    return synthetic.all_layers(table) if pairs else table


MEASURES = {name: synthetic.MEASURES[name] for name in ("cca", "pwcca")}


def experiment(name: str, settings: dict, pairs: bool = True) -> Experiment:
    table, accuracy = matrix(pairs), synthetic.accuracy(3, SEEDS)
    found = verdicts.conclude(name, table, accuracy, SHAPES, MEASURES, primary="cca", margin=0.05)
    return Experiment(name, synthetic.SETTINGS | settings, LAYERS, table, accuracy, found)


def page(name="made-up", description="A made-up experiment", pairs=True):
    return experiment_page(
        experiment(name, {"description": description}, pairs),
        synthetic.networks(3, ["a", "b"], SEEDS),
        synthetic.training(3, SEEDS, 4),
        MEASURES,
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
    keys = ["seed", "round", "round_b", "layer", "measure"]
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


def test_colours_have_the_contrast_that_wcag_asks_for(html):
    def contrast_to_white(color):
        return 1.05 / (luminance(color) + 0.05)

    low, high = base.DEPTH.to_dict()["extent"]
    assert min(contrast_to_white(colormaps["inferno"](part)) for part in np.linspace(low, high, 20)) >= 3
    style = re.search("<style>(.*?)</style>", html, re.S)[1]
    for color in re.findall(r"(?<![-\w])color: #(\w+)", style):
        digits = color if len(color) == 6 else "".join(2 * digit for digit in color)
        assert contrast_to_white([int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]) >= 4.5, (
            color
        )


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
    assert re.findall(r"<td>(.*?)</td>", differences) == ["pruning.criterion", "magnitude", "random"]
    assert {"parent/report.html", "control/report.html"} <= {tag["href"] for tag in Elements(html).of("a")}
    assert set(unpack(html, "accuracy")["experiment"]) == {"parent", "control"}


def test_table_of_training_holds_the_curves_as_recorded(html):
    want = synthetic.training(3, SEEDS, 4).drop(columns="validation_accuracy")
    pd.testing.assert_frame_equal(unpack(html, "training")[list(want)], want, check_exact=False, rtol=1e-5)


def test_measures_and_their_papers_are_shown_as_given(html):
    (options,) = re.findall(r'<select id="measure".*?</select>', html, re.S)
    assert re.findall(r'value="(\w+)">(.*?)<', options) == [("cca", "mean CCA"), ("pwcca", "PWCCA")]
    assert html.count("A made-up paper on CCA.") == 1


def test_a_single_seed_is_not_called_a_mean():
    table, accuracy = matrix(False).query("seed_a == 0 and seed_b == 0"), synthetic.accuracy(3, [0])
    found = verdicts.conclude("one", table, accuracy, SHAPES, MEASURES, primary="cca", margin=0.05)
    one = Experiment("one", synthetic.SETTINGS, LAYERS, table, accuracy, found)
    networks, training = synthetic.networks(3, ["a"], [0]), synthetic.training(3, [0], 2)
    html = experiment_page(one, networks, training, MEASURES, {})
    assert "mean CCA to the dense network</summary>" in html and "mean over seeds</summary>" not in html
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
    assert (got[0] == 1).all() and list(got.index) == LAYERS
    for round in got:
        for layer in got.index:
            rows = plain.query("layer_a == @layer and round_a == @round")
            assert len(rows) == len(SEEDS) and got.loc[layer, round] == pytest.approx(rows["value"].mean())
