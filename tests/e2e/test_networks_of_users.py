"""The code of docs/networks.md, copied from the page, runs in a user's own folder."""

import json
import os
import re
from pathlib import Path

import h5py
import pandas as pd
import pytest
import torch
import yaml

from prunescope import tables
from prunescope.settings.reading import merge

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/networks.md").read_text()
CODE = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
LINES = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1]
TINY = {
    "seeds": [0],
    "rounds": 1,
    "training": {"epochs": 2, "schedule": {"name": "constant"}},
    "activations": {"examples": 100},
}
REPORT = "results/mine/report.html"
NETWORK = "file:nets/mine.py:Transformer"


def write(project, code=CODE, **keys):
    (project.folder / "nets").mkdir(exist_ok=True)
    (project.folder / "nets/mine.py").write_text(code)
    text = yaml.safe_dump(merge(merge(yaml.safe_load(LINES), TINY), keys))
    (project.folder / "config/experiments/mine.yaml").write_text(text)


@pytest.fixture(scope="module")
def run(create, tmp_path_factory):
    """The page's experiment, run up to its report."""
    project = create(tmp_path_factory.mktemp("nets") / "project")
    write(project)
    project.edit("config/config.yaml", "[tiny]", "[mine]")
    project.snakemake(REPORT, "--resources", "gpu=0")
    return project


@pytest.fixture
def copy(run, tmp_path):
    return run.copy(tmp_path / "project")


def test_the_page_starts_with_five_lines():
    assert len(LINES.splitlines()) == 5 and PAGE.index("```yaml") < 200


def test_tokens_are_recorded_and_compared(run):
    results = run.folder / "results/mine"
    with h5py.File(results / "seed0/round1/activations.h5") as file:
        shapes = {name: data.shape for name, data in file["layers"].items()}
    layers = ("stem", "blocks.0", "blocks.0.attend", "blocks.1", "blocks.1.attend")
    assert shapes == dict.fromkeys(layers, (100 * 17, 16))
    matrix = pd.read_parquet(results / "similarity.parquet")
    assert set(matrix["layer_a"]) >= {"stem", "blocks.1"} and (matrix["status"] == "ok").all()
    assert matrix["value"].between(0, 1 + 1e-9).all()


def test_attention_is_pruned_and_what_is_not_is_listed(run):
    folder = run.folder / "results/mine/seed0/round1"
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    masks, weights = checkpoint["masks"], checkpoint["weights"]
    pruned = "blocks.0.attention.in_proj_weight"
    assert pruned in masks and "blocks.0.attention.out_proj.weight" in masks
    assert not masks[pruned].all()
    for name, mask in masks.items():
        assert torch.equal(weights[name] == 0, ~mask), "exact zeros, and no others"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert "Transformer.position" in metrics["unpruned"]
    share = sum(part["share"] for part in metrics["unpruned"].values())
    assert share == pytest.approx(1 - metrics["prunable"] / metrics["parameters"])
    log = (run.folder / "results/logs/mine/seed0/round1/prune_round.log").read_text()
    assert "not pruned, of all parameters: Transformer.position" in log
    report = (run.folder / "results/mine/report.html").read_text()
    assert f"Not pruned: {100 * share:.3g}" in report and "LayerNorm.weight" in report
    assert len(checkpoint["network"]["more"]["code"]) == 16


def test_edits_of_the_code_rerun_what_uses_it(copy):
    path = copy.folder / "nets/mine.py"
    path.write_text(CODE.replace('"""Attention', '"""Self-attention') + "\n# the end\n")
    (copy.folder / "nets/other.py").write_text("def unused():\n    return 1\n")
    assert copy.jobs(REPORT) == set()
    path.write_text(CODE.replace("nn.GELU(), nn.Linear", "nn.ReLU(), nn.Linear"))
    found = copy.jobs(REPORT)
    assert {"train_dense mine 0", "prune_round mine 0 1", "extract_activations mine 0 1"} <= found
    assert not any(job.startswith("prepare_dataset") for job in found)


def test_a_class_token_costs_recording_and_comparison_only(copy):
    write(copy, activations={"token": 0})
    rules = {job.split()[0] for job in copy.jobs(REPORT)}
    tables = {"compare_weights", "assemble_matrix"}
    assert rules == {"extract_activations", "compare_round", *tables, "write_report"}


def test_maps_tokens_and_vectors_in_one_experiment(copy):
    """Layers whose positions correspond are compared; other pairs say that they do not."""
    positions = {"patches.0": [4, 4], "blocks.0": [17], "blocks.1": [17], "output": []}
    write(copy, activations={"layers": ["output", "Block", "patches.0"]}, similarity={"pairs": "all-layers"})
    copy.snakemake(REPORT, "results/mine/figures", "--resources", "gpu=0")
    results = copy.folder / "results/mine"
    with h5py.File(results / "seed0/round1/activations.h5") as file:
        found = {name: (data.attrs["grid"].tolist(), data.shape[1]) for name, data in file["layers"].items()}
    assert found == {name: (grid, 10 if name == "output" else 16) for name, grid in positions.items()}
    matrix = pd.read_parquet(results / "similarity.parquet")
    assert len(matrix) == 2 * (3 * 4**2 + 4**2)
    grids = [matrix[f"layer_{side}"].map(lambda name: tuple(positions[name])) for side in "ab"]
    assert (matrix["status"] == "other positions").equals(grids[0] != grids[1])
    assert matrix["value"].isna().equals(grids[0] != grids[1])
    assert list(tables.layers(results / "similarity.parquet")) == list(positions), "the network's order"
    findings = json.loads((results / "findings.json").read_text())
    assert [one["layer"] for one in findings["measures"]["cca"]["layers"]] == list(positions)


def test_weights_of_a_file_are_what_training_depends_on(copy):
    """A pruned network of this workflow, saved elsewhere, is the start of another experiment."""
    results = copy.folder / "results/mine"
    start = torch.load(results / "seed0/round1/checkpoint.pt", weights_only=True)
    torch.save(start["weights"], copy.folder / "sparse.pt")
    write(copy, network={"weights": "sparse.pt"})
    target = "results/mine/seed0/round0/checkpoint.pt"
    copy.snakemake(target, "--resources", "gpu=0")
    again = torch.load(results / "seed0/round0/checkpoint.pt", weights_only=True)
    for name, mask in start["masks"].items():
        assert torch.equal(again["weights"][name] == 0, ~mask)
    os.utime(copy.folder / "sparse.pt")
    assert copy.jobs(target) == set(), "the content counts, not the time"
    torch.save({**start["weights"], "token": start["weights"]["token"] + 1}, copy.folder / "sparse.pt")
    assert copy.jobs(target) == {"train_dense mine 0"}


def test_in_a_module_and_another_directory_with_a_configured_folder(run, tmp_path):
    host = tmp_path / "host"
    (host / "models/nets").mkdir(parents=True)
    (host / "models/nets/mine.py").write_text(CODE)
    experiment = merge(yaml.safe_load(LINES), TINY)
    settings = {"experiments": {"mine": experiment}, "code_folder": "models"}
    (host / "host.yaml").write_text(yaml.safe_dump(settings))
    (host / "Snakefile").write_text(
        'configfile: "host.yaml"\n\nmodule prunescope:\n'
        f'    snakefile: "{run.folder}/workflow/Snakefile"\n    config: config\n\n'
        "use rule * from prunescope as prunescope_*\n"
    )
    text = run.snakemake(
        *("--snakefile", str(host / "Snakefile"), "--directory", str(host)),
        *("results/mine/seed0/round0/checkpoint.pt", "--resources", "gpu=0"),
    ).stdout
    assert "train_dense" in text
    checkpoint = torch.load(host / "results/mine/seed0/round0/checkpoint.pt", weights_only=True)
    assert checkpoint["network"]["name"] == NETWORK
