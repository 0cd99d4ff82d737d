"""Controls, run end to end: their masks and weights, what they share, and what reruns after a change."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from prunescope.networks.build import build
from prunescope.provenance import derive_seed

pytestmark = pytest.mark.slow

CONTROLS = {
    "retrain": "control: retrain\nrounds: 1\n",
    "shuffled": "control: shuffled-masks\n",
    "fresh": "control: new-weights\nrounds: 1\ntraining: {epochs: 2}\n",
}
LEVELS = ("compare_predictions", "compare_weights")
TABLES = ("assemble_matrix", "assemble_accuracy", *LEVELS, "draw_figures", "write_report")


def jobs(name: str, rounds: tuple[int, ...]) -> set[str]:
    """The jobs of a control of one seed."""
    rules = ("prune_round", "extract_activations", "compare_round")
    return {f"{rule} {name} 0 {round}" for rule in rules for round in rounds} | {
        f"{rule} {name}" for rule in TABLES
    }


NEW = jobs("retrain", (1,)) | jobs("shuffled", (1, 2)) | jobs("fresh", (1,))


@pytest.fixture(scope="module")
def controlled(built, tmp_path_factory):
    """The tiny experiment with three controls of its first seed, completely run."""
    project = built.copy(tmp_path_factory.mktemp("controlled") / "project")
    for name, text in CONTROLS.items():
        path = project.folder / f"config/experiments/{name}.yaml"
        path.write_text(f"extends: tiny\nseeds: [0]\n{text}")
    project.edit("config/config.yaml", "[tiny]", "[tiny, retrain, shuffled, fresh]")
    project.planned = project.jobs()
    project.snakemake("--resources", "gpu=0")
    return project


def load(project, name: str, round: int) -> dict:
    return torch.load(project.folder / f"results/{name}/seed0/round{round}/checkpoint.pt", weights_only=True)


def test_a_control_trains_no_round_0_and_reruns_nothing_of_its_experiment(controlled):
    # The report compares the experiment with its controls.
    assert controlled.planned == NEW | {"write_report tiny", "draw_figures tiny", "write_overview"}
    assert controlled.jobs() == set()
    for name in CONTROLS:
        assert not (controlled.folder / f"results/{name}/seed0/round0").exists()


def test_each_control_has_the_masks_that_it_promises(controlled):
    pruned = {round: load(controlled, "tiny", round) for round in (1, 2)}
    retrained = load(controlled, "retrain", 1)
    assert (retrained["masks"], retrained["density"]) == ({}, 1)
    assert all(weight.all() for name, weight in retrained["weights"].items() if name.endswith("weight"))
    fresh = load(controlled, "fresh", 1)
    before = None
    for round, original in pruned.items():
        shuffled = load(controlled, "shuffled", round)
        assert shuffled["density"] == original["density"]
        for name, mask in shuffled["masks"].items():
            assert mask.sum() == original["masks"][name].sum(), "as many weights of each layer"
            assert not torch.equal(mask, original["masks"][name])
            assert not shuffled["weights"][name][~mask].any()
            assert before is None or not (mask & ~before[name]).any(), "nested"
        before = shuffled["masks"]
    assert all(torch.equal(mask, pruned[1]["masks"][name]) for name, mask in fresh["masks"].items())


def test_new_weights_are_new(controlled):
    """After a short training, a network is closer to its own initial weights than to any others."""
    fresh, original = load(controlled, "fresh", 1), load(controlled, "tiny", 1)

    def distance(purpose: tuple) -> float:
        start = build(**fresh["network"], seed=derive_seed(0, *purpose)).state_dict()
        return sum(
            float(((fresh["weights"][name] - start[name]) * mask).square().sum())
            for name, mask in fresh["masks"].items()
        )

    assert distance(("new weights", 1)) < 0.8 * distance(("initialisation",))
    assert not torch.allclose(
        fresh["weights"]["conv1.weight"], original["weights"]["conv1.weight"], atol=0.01
    )


def test_the_tables_of_a_control_begin_with_the_round_0_that_it_shares(controlled):
    results = controlled.folder / "results"
    accuracy = {name: pd.read_parquet(results / name / "accuracy.parquet") for name in ("tiny", *CONTROLS)}
    for name in CONTROLS:
        assert accuracy[name].iloc[0].equals(accuracy["tiny"].iloc[0])
        matrix = pd.read_parquet(results / name / "similarity.parquet")
        own = matrix[(matrix["round_a"] == 0) & (matrix["round_b"] == 0)]
        assert len(own) and set(own["status"]) <= {"ok", "few rows"}
        assert {0, 1} <= set(matrix["round_a"])
        # Every job, also of round 0, has its files in one place.
        assert f"{name}/report.html" in (results / "overview.html").read_text()


def test_a_control_run_again_gives_the_same_bytes(controlled, tmp_path):
    project = controlled.copy(tmp_path / "project")
    for name in CONTROLS:
        (project.folder / f"results/{name}/seed0/round1/checkpoint.pt").unlink()
    targets = [f"results/{name}/seed0/round1/checkpoint.pt" for name in CONTROLS]
    project.snakemake(*targets, "--resources", "gpu=0")
    for target in targets:
        assert (project.folder / target).read_bytes() == (controlled.folder / target).read_bytes()


def of_tiny(jobs: set[str]) -> set[str]:
    return {job for job in jobs if " tiny" in job}


@pytest.mark.parametrize("edit", ["a setting", "the code"])
def test_other_masks_rerun_the_controls_that_use_them(controlled, tmp_path, edit):
    project = controlled.copy(tmp_path / "project")
    if edit == "a setting":
        project.add_keys("pruning: {rate: 0.3}")
    else:
        project.edit(
            "workflow/scripts/prunescope/pruning/selection.py",
            "ranked.kthvalue(count)",
            "ranked.kthvalue(count + 1)",
        )
    planned = project.jobs()
    assert {f"prune_round tiny {seed} {round}" for seed in (0, 1) for round in (1, 2)} <= planned
    others = planned - of_tiny(planned) - {"write_overview"}
    # All rounds run the code that chooses weights to remove, or could.
    rules = ("write_report", "draw_figures", *LEVELS)
    shown = {f"{rule} {name}" for rule in rules for name in CONTROLS}
    shown |= set() if edit == "a setting" else jobs("retrain", (1,))
    assert others == jobs("shuffled", (1, 2)) | jobs("fresh", (1,)) | shown


def test_an_edit_of_the_controls_reruns_no_other_experiment(controlled, tmp_path):
    project = controlled.copy(tmp_path / "project")
    file = "workflow/scripts/prunescope/pruning/controls.py"
    project.edit(file, "torch.randperm", "torch.arange")
    planned = project.jobs()
    # All controls are in one file.
    assert planned == NEW | {"write_report tiny", "draw_figures tiny", "write_overview"}


def test_siblings_are_trained_again_from_the_same_start(built, tmp_path):
    project = built.copy(tmp_path / "project")
    path = project.folder / "config/experiments/again.yaml"
    path.write_text("extends: tiny\nseeds: [0]\ncontrol: siblings\nrounds: 1\n")
    project.edit("config/config.yaml", "[tiny]", "[tiny, again]")
    expected = {
        f"{rule} again 0 {round}" for rule in ("extract_activations", "compare_siblings") for round in (0, 1)
    }
    expected |= {"train_dense again 0", "prune_round again 0 1"}
    once = ("assemble_siblings", "assemble_accuracy", *LEVELS)
    expected |= {f"{rule} again" for rule in once}
    assert project.jobs() == expected | {"write_report tiny", "draw_figures tiny"}, "it shows siblings"
    project.snakemake("--resources", "gpu=0")
    assert project.jobs() == set()
    ours, sibling = (load(project, name, 1) for name in ("tiny", "again"))
    for name, mask in ours["masks"].items():
        assert torch.equal(mask, sibling["masks"][name])
    assert not torch.equal(ours["weights"]["conv1.weight"], sibling["weights"]["conv1.weight"])
    table = pd.read_parquet(project.folder / "results/again/siblings.parquet")
    matrix = pd.read_parquet(project.folder / "results/tiny/similarity.parquet")
    assert list(table.columns) == ["experiment_a", "experiment_b", *matrix.columns]
    assert set(table["round_a"]) == {0, 1} and (table["layer_a"] == table["layer_b"]).all()
    assert set(zip(table["experiment_a"], table["experiment_b"], strict=True)) == {
        ("tiny", "again"),
        ("again", "tiny"),
    }


def test_untrained_networks_are_those_that_training_starts_from(project):
    """The experiment stores the weights of step 0; they reproduce the recorded activations."""
    results = project.folder / "results/tiny"
    project.snakemake("results/tiny/untrained/similarity.parquet", "--resources", "gpu=0")
    table = pd.read_parquet(results / "untrained/similarity.parquet")
    matrix = pd.read_parquet(results / "similarity.parquet")
    assert list(table.columns) == list(matrix.columns)
    assert set(zip(table["seed_a"], table["seed_b"], strict=True)) == {(0, 1), (1, 0)}
    assert (table["layer_a"] == table["layer_b"]).all() and not table[["round_a", "round_b"]].any(axis=None)
    assert set(table["layer_a"]) == set(matrix["layer_a"])
    first = torch.load(results / "seed1/round0/rewind.pt", weights_only=True)
    trained = torch.load(results / "seed1/round0/checkpoint.pt", weights_only=True)
    network = build(**trained["network"], seed=0)
    assert first["step"] == 0
    network.load_state_dict(first["weights"])
    with (
        h5py.File(results / "untrained/seed1/activations.h5") as file,
        h5py.File(project.folder / "results/data/digits.h5") as data,
    ):
        images = torch.from_numpy(data["test/images"][...][file["examples"][...]]) / 255
        recorded = file["layers/output"][...]
    mean, std = (torch.tensor(trained[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        outputs = network.eval()((images - mean) / std)
    np.testing.assert_allclose(recorded, outputs, atol=1e-5)
