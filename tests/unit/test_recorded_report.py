"""Pages of comparisons that were made outside the workflow."""

import re

import numpy as np
import pandas as pd
import pytest

import prunescope as ps
from prunescope.errors import InputError
from prunescope.report import recorded
from prunescope.report.page import shown

RNG = np.random.default_rng(0)


@pytest.fixture
def folders(tmp_path):
    """Two layers of three networks; the second layer of the last one is dead."""
    first, noise = RNG.normal(size=(60, 3)), RNG.normal(size=(2, 60, 3))
    for place, name in enumerate(("dense", "pruned", "<other>")):
        folder = tmp_path / name
        folder.mkdir()
        np.save(folder / "a.npy", first + place * noise[0])
        np.save(folder / "b.npy", (first + place * noise[1]) * (place < 2))
        np.save(folder / "ids.npy", np.arange(60))
    return [tmp_path / name for name in ("dense", "pruned", "<other>")]


def rows_of(page, **selected):
    (chart,) = page.sections[0].charts
    return shown(chart, page.tables[chart.table], page.selected | selected)


def test_each_pair_of_networks_is_a_column_with_the_values_of_the_frame(folders):
    frame = ps.compare_folders(folders, ["cka", "cca"])
    page = recorded.contents(frame, "x", ["dense", "pruned", "other"])
    found = rows_of(page, measure="cca").set_index(["networks", "layer"])
    expected = frame[(frame["measure"] == "cca") & (frame["round_a"] > frame["round_b"])]
    names = {(1, 0): "pruned – dense", (2, 0): "other – dense", (2, 1): "other – pruned"}
    assert len(found) == len(expected) == 6
    for _, row in expected.iterrows():
        shown_row = found.loc[(names[row["round_a"], row["round_b"]], row["layer_a"])]
        np.testing.assert_equal(shown_row["mean"], row["value"])
        np.testing.assert_equal(shown_row["chance"], row["chance"])
        assert shown_row["status"] == row["status"]
    assert found.loc[("other – dense", "b"), "status"] == "dead layer"
    assert found.loc[("other – dense", "b"), "warned"] == "missing"


def test_all_layers_have_a_menu_of_pairs_of_networks(folders):
    page = recorded.contents(ps.compare_folders(folders, ["cka"], pairs="all-layers"), "x")
    assert [menu.name for menu in page.menus] == ["measure", "networks"]
    found = rows_of(page, networks="2 – 0")
    assert set(zip(found["layer"], found["layer_b"], strict=True)) == {(a, b) for a in "ab" for b in "ab"}


def test_the_page_names_what_it_shows_and_escapes_names(folders, tmp_path):
    frame = ps.compare_folders(folders, ["cka"])
    ps.write_report(frame, tmp_path / "page.html", "Mine", [folder.name for folder in folders])
    page = (tmp_path / "page.html").read_text()
    assert "<h1>Mine</h1>" in page and "60 images" in page and "Kornblith" in page
    assert "<other> – dense" not in page and "&lt;other&gt; – dense" in page
    assert "dead layer" in page
    # Without seeds there is no verdict.
    text = re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    assert not re.search(r"undecided|too few seeds|beyond retrain", text)


def test_two_models(tmp_path):
    frame = pd.DataFrame(
        {"layer_a": ["0", "1"], "layer_b": ["0", "1"], "measure": "cca", "value": [0.9, np.nan]}
        | {"chance": 0.1, "chance_high": 0.2, "n": 50, "images": [50, 0], "width_a": 3, "width_b": 3}
        | {"rank_a": 3, "rank_b": 3, "status": ["ok", "other positions"]}
    )
    page = recorded.contents(frame, "x")
    assert rows_of(page)["mean"].tolist()[0] == 0.9 and page.facts == ["a – b", "50 images"]
    assert [menu.name for menu in page.menus] == ["measure"]


def test_a_frame_that_does_not_fit_is_refused_in_one_line(folders):
    table = ps.compare(RNG.normal(size=(50, 2)), RNG.normal(size=(50, 2)), measures=["cka"])
    with pytest.raises(InputError, match="no column layer_a; give one from compare_models"):
        recorded.contents(table, "x")
    frame = ps.compare_folders(folders, ["cka"])
    with pytest.raises(InputError, match="2 names for 3 networks"):
        recorded.contents(frame, "x", ["a", "b"])
    with pytest.raises(InputError, match="no pair of two networks"):
        recorded.contents(ps.compare_folders(folders[:1], ["cka"]), "x")
    with pytest.raises(InputError, match="'a' names two networks"):
        recorded.contents(frame, "x", ["a", "b", "a"])
