"""Exactly what changed is recomputed: the job list after every kind of change."""

import os
import shutil
import time

import pytest

SEEDS, ROUNDS = (0, 1), (0, 1, 2)
LIBRARY = "workflow/scripts/prunescope"


def jobs(*rules: str, rounds=ROUNDS, seeds=SEEDS) -> set[str]:
    """Spell out the jobs of some rules for the tiny experiment."""
    found = set()
    for rule in rules:
        if rule == "prepare_dataset":
            found.add("prepare_dataset digits")
        elif rule == "train_dense":
            found |= {f"train_dense tiny {seed}" for seed in seeds}
        elif rule in ("prune_round", "extract_activations", "compare_round"):
            first = 1 if rule == "prune_round" else 0
            found |= {f"{rule} tiny {seed} {round}" for seed in seeds for round in rounds if round >= first}
        else:
            found.add(f"{rule} tiny")
    return found


TABLES = ("assemble_matrix", "assemble_accuracy", "draw_figures", "write_report")
COMPARISON = ("compare_round", "assemble_matrix", "draw_figures", "write_report")
EXTRACTION = ("extract_activations", *COMPARISON)
PRUNING = jobs("prune_round", *EXTRACTION, *TABLES, rounds=(1, 2))
TRAINING = jobs("train_dense", "prune_round", *EXTRACTION, *TABLES)


def test_an_empty_folder_needs_every_job(tmp_path, create):
    project = create(tmp_path / "project")
    assert project.jobs() == TRAINING | jobs("prepare_dataset")


def test_every_shipped_experiment_can_be_planned(tmp_path, create):
    project = create(tmp_path / "project")
    names = sorted(path.stem for path in (project.folder / "config/experiments").glob("*.yaml"))
    project.edit("config/config.yaml", "[tiny]", f"[{', '.join(names)}]")
    planned = project.jobs()
    assert len(names) >= 16
    assert all(f"write_report {name}" in planned for name in names)
    assert "compare_round svhn-vgg 0 20" in planned, "twenty rounds, as in the paper"


def test_nothing_changed_nothing_runs(built):
    assert built.jobs() == set()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        # A new round costs its own chain link and its own row.
        ("rounds: 3", jobs("prune_round", "extract_activations", "compare_round", *TABLES, rounds=(3,))),
        ("seeds: [0, 1, 2]", jobs("train_dense", "prune_round", *EXTRACTION, *TABLES, seeds=(2,))),
        # The dense network does not know how it will be pruned.
        ("pruning: {rate: 0.3}", PRUNING),
        ("pruning: {scope: layer}", PRUNING),
        # Rewinding to an epoch needs round 0 to keep that epoch's weights.
        ("pruning: {retraining: rewind, rewind_epoch: 1}", TRAINING),
        # Read by nothing but the report, which shows all settings.
        ("pruning: {rewind_epoch: 1}", jobs("write_report")),
        ("similarity: {metrics: [cka]}", jobs(*COMPARISON)),
        ("similarity: {variance: 0.9}", jobs(*COMPARISON)),
        ("activations: {layers: [ReLU]}", jobs(*EXTRACTION)),
        ("activations: {view: pooled}", jobs(*EXTRACTION)),
        ("similarity: {across_seeds: true}", {f"compare_seeds tiny {round}" for round in ROUNDS}
         | jobs("assemble_matrix", "draw_figures", "write_report")),
        # The canonical correlations are in the rows already.
        ("similarity: {spectrum: true}", jobs("assemble_spectrum", "write_report")),
        ("figures: {dpi: 100}", jobs("draw_figures", "write_report")),
        ("dataset: digits", set()),
    ],
)  # fmt: skip
def test_a_changed_setting(project, keys, expected):
    project.add_keys(keys)
    assert project.jobs() == expected


@pytest.mark.parametrize("gpu", [False, True])
def test_a_comparison_asks_for_a_gpu_only_when_told_to_use_one(project, gpu):
    project.add_keys(f"similarity: {{variance: 0.9, gpu: {str(gpu).lower()}}}")
    target = "results/tiny/seed0/round0/similarity.parquet"
    plan = project.snakemake("--dry-run", target, "--resources", "gpu=1").stdout
    asked = [line for line in plan.splitlines() if "resources:" in line]
    assert len(asked) == 1 and f"gpu={int(gpu)}," in asked[0]


def test_more_epochs(project):
    project.edit("config/experiments/tiny.yaml", "epochs: 2", "epochs: 3")
    assert project.jobs() == TRAINING


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("figures", jobs("draw_figures")),
        ("similarity", jobs(*COMPARISON)),
        ("moments_gpu", jobs(*COMPARISON)),  # imported within a function
        ("activations", jobs(*EXTRACTION)),
        ("pruning", PRUNING),
        ("training", TRAINING),
        ("sources", TRAINING | jobs("prepare_dataset")),
        ("settings", set()),
    ],
)
def test_an_edited_module(project, module, expected):
    with open(project.folder / LIBRARY / f"{module}.py", "a") as file:
        file.write("\n\ndef added():\n    return 1\n")
    assert project.jobs() == expected


def test_an_edited_comment_and_a_touched_file_rerun_nothing(project):
    for path in (project.folder / "workflow/scripts").rglob("*.py"):
        path.write_text(path.read_text() + "\n# a comment\n")
        os.utime(path, (time.time() + 5, time.time() + 5))
    assert project.jobs() == set()


def test_moving_the_data_folder_reruns_nothing(project):
    project.edit("config/config.yaml", "root: data", "root: elsewhere")
    project.edit("config/config.yaml", "download: true", "download: false")
    assert project.jobs() == set()


def test_a_deleted_checkpoint_in_the_middle_of_a_chain(project):
    (project.folder / "results/tiny/seed0/round1/checkpoint.pt").unlink()
    # All that was made from it is there and valid, so nothing is owed. Who wants the file itself asks for it.
    assert project.jobs() == set()
    assert project.jobs("results/tiny/seed0/round1/checkpoint.pt") == {"prune_round tiny 0 1"}


def test_another_experiment_beside_it(project):
    shutil.copy(
        project.folder / "config/experiments/tiny.yaml", project.folder / "config/experiments/other.yaml"
    )
    project.edit("config/config.yaml", "[tiny]", "[tiny, other]")
    expected = {job.replace(" tiny", " other") for job in TRAINING}
    assert project.jobs() == expected | {"write_overview"}, "the data set is shared, tiny is untouched"


def test_an_experiment_that_is_not_listed_is_built_by_naming_its_target(project):
    found = project.jobs("results/digits-lenet/similarity.parquet")
    assert "compare_round digits-lenet 1 6" in found and not any(" tiny" in job for job in found)


def test_a_fresh_clone_with_results_carried_over_reruns_nothing(create, built, tmp_path):
    project = create(tmp_path / "clone")
    shutil.copytree(built.folder / "results", project.folder / "results")
    shutil.copytree(built.folder / ".snakemake", project.folder / ".snakemake")
    assert project.jobs() == set()
