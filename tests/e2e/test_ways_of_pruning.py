"""Ways of pruning, run to the report."""

import json

import pandas as pd
import pytest
import torch

import prunescope as ps

CHANNELS = """\
extends: tiny
rounds: 1
pruning: {retraining: lr-rewind, unit: channel, scope: layer, prunable: [Conv2d, linear3, linear4], rate: 0.5}
"""


@pytest.fixture(scope="module")
def results(create, tmp_path_factory):
    project = create(tmp_path_factory.mktemp("methods") / "project")
    project.add_keys("seeds: [0]\npruning: {from: dense, retraining: none}")
    (project.folder / "config/experiments/whole.yaml").write_text(CHANNELS)
    project.edit("config/config.yaml", "[tiny]", "[tiny, whole]")
    wanted = ("tiny/report.html", "tiny/figures", "whole/report.html")
    project.snakemake(*(f"results/{name}" for name in wanted), "--resources", "gpu=0")
    return project.folder / "results/tiny"


def test_rounds_without_retraining_have_a_report_and_no_training_curves(results):
    dense, *pruned = (json.loads((results / f"seed0/round{n}/metrics.json").read_text()) for n in range(3))
    assert dense["train_accuracy"] > 0 and all(one["train_accuracy"] is None for one in pruned)
    lines = [len((results / f"seed0/round{n}/training.csv").read_text().splitlines()) for n in range(3)]
    assert lines == [3, 1, 1]
    accuracy = pd.read_parquet(results / "accuracy.parquet")
    assert accuracy["train_accuracy"].isna().tolist() == [False, True, True]
    assert accuracy["test_accuracy"].notna().all()
    assert "nan" not in (results / "findings.txt").read_text().lower()
    assert "</html>" in (results / "report.html").read_text()


def test_a_notebook_reads_rounds_without_retraining(results):
    run = ps.load(results)
    weights = [run.network(seed=0, round=round).state_dict()["conv1.weight"] for round in range(3)]
    for weight in weights[1:]:
        assert torch.equal(weight, weights[0] * (weight != 0)) and not weight.all()
    assert run.accuracy["round"].tolist() == [0, 1, 2]
    assert run.to_dense("cka_debiased").notna().all(axis=None)


def test_pruned_channels_stay_zero_and_count_less(results):
    folder = results.parent / "whole/seed0/round1"
    metrics = json.loads((folder / "metrics.json").read_text())
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert metrics["dead_channels"] == 4 + 8 + 32 + 16
    # 4 and 8 maps of 8×8 and 4×4, 32 of 32 inputs, 16 of 32 inputs, 10 of 16 inputs
    assert metrics["macs_alive"] == 64 * 4 * 9 + 16 * 8 * 4 * 9 + 32 * 32 + 16 * 32 + 10 * 16
    assert metrics["parameters_alive"] == 4 * 10 + 8 * 37 + 32 * 33 + 16 * 33 + 10 * 17
    for name, mask in saved["masks"].items():
        assert not saved["weights"][name][~mask].any()
    assert {"conv1.bias", "linear4.bias"} <= saved["masks"].keys()
    assert "</html>" in (results.parent / "whole/report.html").read_text()
