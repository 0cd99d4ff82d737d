"""Lines between networks, run end to end: what they are measured to be, and what reruns after a change."""

import json

import pytest

from prunescope.notebook.run import load

ROWS = {(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)}


@pytest.fixture(scope="module")
def measured(built, tmp_path_factory):
    """The tiny experiment with three points of lines within and across its two seeds."""
    project = built.copy(tmp_path_factory.mktemp("landscape") / "project")
    project.add_keys("landscape: {points: 3, pairs: [dense, successive, seeds]}")
    project.snakemake("--resources", "gpu=0", "--", "results/tiny/barriers.parquet")
    return project


def measuring(rows: set[tuple[int, int]]) -> set[str]:
    return {f"measure_barriers tiny {seed} {round}" for seed, round in rows} | {"assemble_barriers tiny"}


def test_lines_end_at_the_loss_and_accuracy_of_the_networks(measured):
    table = load(measured.folder / "results/tiny").barriers
    # Three pairs of rounds for each seed, two seeds in three rounds; 2 directions, 2 metrics, 3 points.
    assert len(table) == (2 * 3 + 3) * 2 * 2 * (3 + 1) and {*table["status"]} == {"ok"}
    assert {*table["experiment_a"], *table["experiment_b"]} == {"tiny"} and {*table["n"]} == {360}
    for (seed, round), own in table.groupby(["seed_a", "round_a"]):
        path = measured.folder / f"results/tiny/seed{seed}/round{round}/metrics.json"
        metrics = json.loads(path.read_text())
        ends = own[own["alpha"] == 1].groupby("metric")["value"].agg(set)
        assert ends["loss"] == {metrics["test_loss"]} and ends["error"] == {1 - metrics["test_accuracy"]}
    barriers = table[table["alpha"].isna() & (table["metric"] == "error")]
    across = barriers["seed_a"] != barriers["seed_b"]
    assert barriers[across]["value"].min() > barriers[~across]["value"].max()


def test_what_reruns(measured, tmp_path):
    rest = measured.jobs()
    assert rest == {"write_report tiny", "draw_figures tiny"}, "the report shows all settings"
    for keys, expected in (
        ("landscape: {points: 5}", measuring(ROWS)),
        ("landscape: {pairs: [dense, successive]}", measuring({(1, 1), (1, 2)})),
    ):
        changed = measured.copy(tmp_path / str(len(expected)))
        changed.add_keys(keys)
        assert changed.jobs() == expected | rest
    off = measured.copy(tmp_path / "off")
    off.add_keys("landscape: null")
    assert off.jobs() == set()
    longer = measured.copy(tmp_path / "longer")
    longer.add_keys("rounds: 3")
    found = {job for job in longer.jobs() if "barriers" in job}
    assert found == measuring({(0, 3), (1, 3)}), "a new round costs its own lines"


def test_lines_of_siblings_lead_to_the_networks_of_the_experiment(measured, tmp_path):
    project = measured.copy(tmp_path / "project")
    text = "extends: tiny\ncontrol: siblings\nseeds: [1]\nrounds: 1\nlandscape: {pairs: [dense, control]}\n"
    (project.folder / "config/experiments/again.yaml").write_text(text)
    assert project.jobs("results/again/barriers.parquet") == {
        "train_dense again 1",
        "prune_round again 1 1",
        "measure_barriers again 1 0",
        "measure_barriers again 1 1",
        "assemble_barriers again",
    }
    plan = project.snakemake("--dry-run", "results/again/seed1/round1/barriers.parquet").stdout
    (inputs,) = [line for line in plan.splitlines() if "input:" in line and "again/seed1/round1" in line]
    assert "tiny/seed1/round1/checkpoint.pt" in inputs and "round0" not in inputs


@pytest.mark.parametrize("file", ["barriers.parquet", "seed0/round1/barriers.parquet"])
def test_without_a_landscape_there_is_one_line(built, file):
    done = built.snakemake("--dry-run", f"results/tiny/{file}", check=False)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    expected = (
        f"prunescope: results/tiny/{file}: no lines are asked for; add landscape, or more of landscape.pairs"
    )
    assert done.stdout.splitlines()[-1] == expected
