"""A grid, actually run: shared dense training, no reruns for a new value, all in one overview."""

import json
import re

import pandas as pd
import pytest

import prunescope as ps

pytestmark = pytest.mark.slow

SWEEP = """\
extends: tiny
seeds: [0]
rounds: 1
grid: {pruning.rate: [0.3, 0.6]}
"""


@pytest.fixture(scope="module")
def swept(built, tmp_path_factory):
    project = built.copy(tmp_path_factory.mktemp("swept") / "project")
    (project.folder / "config/experiments/sweep.yaml").write_text(SWEEP)
    project.edit("config/config.yaml", "[tiny]", "[sweep]")
    project.snakemake("--resources", "gpu=0")
    return project


def test_a_new_value_reruns_nothing_that_exists(swept):
    assert swept.jobs() == set()
    swept.edit("config/experiments/sweep.yaml", "[0.3, 0.6]", "[0.1, 0.3, 0.6]")
    new = {f"{rule} sweep-rate=0.1 0 1" for rule in ("prune_round", "extract_activations", "compare_round")}
    new |= {
        f"{rule} sweep-rate=0.1"
        for rule in (
            "assemble_matrix",
            "assemble_accuracy",
            "compare_predictions",
            "compare_weights",
            "draw_figures",
            "write_report",
        )
    }
    try:
        assert swept.jobs() == new | {"write_overview"}
    finally:
        swept.edit("config/experiments/sweep.yaml", "[0.1, 0.3, 0.6]", "[0.3, 0.6]")


def test_the_overview_puts_them_side_by_side_with_what_differs(swept):
    table = pd.read_parquet(swept.folder / "results/overview.parquet")
    assert dict(zip(table["experiment"], table["pruning.rate"], strict=True)) == {
        "sweep-rate=0.3": 0.3,
        "sweep-rate=0.6": 0.6,
    }
    for name, part in table.groupby("experiment"):
        run = ps.load(swept.folder / f"results/{name}")
        keys = ["seed", "round", "layer"]
        cca = part[part["measure"] == "cca"].set_index(keys)["value"].sort_index()
        assert cca.equals(run.to_dense("cca").stack().reorder_levels(keys).sort_index())
        density = part.drop_duplicates("round").set_index("round")["density"]
        assert density[1] == pytest.approx(1 - part["pruning.rate"].iloc[0], abs=1e-3)
    page = (swept.folder / "results/overview.html").read_text()
    differ = re.search(r"Settings that differ</caption>.*?</table>", page, re.S)[0]
    assert re.findall(r"<t[dh]\b[^>]*>(.*?)</t", differ) == [
        "setting", "sweep-rate=0.3", "sweep-rate=0.6", "pruning.rate", "0.3", "0.6",
    ]  # fmt: skip


def test_the_shared_network_is_found_in_a_notebook(swept, monkeypatch):
    """Round 0 is in the folder of tiny, which the sweep extends."""
    assert not (swept.folder / "results/sweep-rate=0.3/seed0/round0").exists()
    monkeypatch.chdir(swept.folder)
    run, tiny = ps.load("results/sweep-rate=0.3"), ps.load("results/tiny")
    same = zip(run.network(0, 0).parameters(), tiny.network(0, 0).parameters(), strict=True)
    assert all(bool((a == b).all()) for a, b in same)
    assert (run.activations(0, 0, "relu1") == tiny.activations(0, 0, "relu1")).all()
    pruned = sum(int((parameter == 0).sum()) for parameter in run.network(0, 1).parameters())
    metrics = json.loads((run.folder / "seed0/round1/metrics.json").read_text())
    assert pruned >= metrics["prunable"] - metrics["prunable_kept"] > 0
