"""Exactly what changed is recomputed: the job list after every kind of change."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from prunescope.plan.notes import GPUS

SEEDS, ROUNDS = (0, 1), (0, 1, 2)
LIBRARY = "workflow/scripts/prunescope"
CLUSTERS = Path(__file__).parents[2] / "docs/clusters.md"


def jobs(*rules: str, rounds=ROUNDS, seeds=SEEDS) -> set[str]:
    """List the jobs of some rules for the tiny experiment."""
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


# What compares networks other than by their representations.
LEVELS = ("compare_predictions", "compare_weights")
TABLES = ("assemble_matrix", "assemble_accuracy", *LEVELS, "draw_figures", "write_report")
COMPARISON = ("compare_round", "assemble_matrix", "draw_figures", "write_report")
EXTRACTION = ("extract_activations", "compare_weights", *COMPARISON)
PRUNING = jobs("prune_round", *EXTRACTION, *TABLES, rounds=(1, 2))
TRAINED = ("train_dense", "prune_round", *EXTRACTION, *TABLES)
TRAINING = jobs(*TRAINED)


def test_an_empty_folder_needs_every_job(tmp_path, create):
    project = create(tmp_path / "project")
    assert project.jobs() == TRAINING | jobs("prepare_dataset")


def test_every_shipped_experiment_can_be_planned(tmp_path, create):
    project = create(tmp_path / "project")
    names = sorted(path.stem for path in (project.folder / "config/experiments").glob("*.yaml"))
    # Of the study, whose thousands of jobs are of the same kinds, one experiment.
    names = [name for name in names if not name.startswith("study-") or name == "study-mnist-sgd"]
    project.edit("config/config.yaml", "[tiny]", f"[{', '.join(names)}]")
    planned = project.jobs()
    assert len(names) >= 23
    again = {name for name in names if name.endswith("-siblings")}
    assert all(f"write_report {name}" in planned for name in {*names} - again)
    assert all(f"assemble_siblings {name}" in planned for name in again) and again
    assert "compare_round svhn-vgg 0 20" in planned, "twenty rounds, as in the paper"


def test_nothing_changed_nothing_runs(built):
    assert built.jobs() == set()


# test_settings_reach_rules.py says which rules each key reaches; here, exactly their jobs run again.
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        # A new round needs only its own training and its own row.
        ("rounds: 3", jobs("prune_round", "extract_activations", "compare_round", *TABLES, rounds=(3,))),
        ("seeds: [0, 1, 2]", jobs("train_dense", "prune_round", *EXTRACTION, *TABLES, seeds=(2,))),
        # The dense network does not depend on how it will be pruned.
        ("pruning: {rate: 0.3}", PRUNING),
        # To rewind to an epoch, round 0 must store that epoch's weights.
        ("pruning: {retraining: rewind, rewind_epoch: 1}", TRAINING),
        (
            "similarity: {across_seeds: true, untrained: true}",
            {"extract_untrained tiny 0", "extract_untrained tiny 1", "compare_untrained tiny"}
            | {f"compare_seeds tiny {round}" for round in ROUNDS}
            | jobs("assemble_matrix", "draw_figures", "write_report"),
        ),
        (
            "similarity: {across_seeds: dense}",
            {"compare_seeds tiny 0"} | jobs("assemble_matrix", "draw_figures", "write_report"),
        ),
        ("figures: {formats: []}", jobs("write_report")),
        ("similarity: {measures: [svcca, cka_debiased, cca], threads: 2}\ndataset: digits", set()),
    ],
)  # fmt: skip
def test_a_changed_setting(project, keys, expected):
    project.add_keys(keys)
    assert project.jobs() == expected


@pytest.mark.parametrize("gpu", [False, True])
def test_a_comparison_requests_a_gpu_only_if_it_is_set_to_use_one(project, gpu):
    project.add_keys(f"similarity: {{variance: 0.9, gpu: {str(gpu).lower()}}}")
    target = "results/tiny/seed0/round0/similarity.parquet"
    plan = project.snakemake("--dry-run", target, "--resources", "gpu=1").stdout
    asked = [line for line in plan.splitlines() if "resources:" in line]
    assert len(asked) == 1 and f"gpu={int(gpu)}," in asked[0]


def test_recording_can_use_a_gpu_while_training_uses_cpus(create, tmp_path):
    """The command of docs/clusters.md."""
    (command,) = re.findall(r"^ +snakemake (.* --set-resources .*)$", CLUSTERS.read_text(), re.MULTILINE)
    plan = create(tmp_path / "project").snakemake("--dry-run", *command.split()).stdout
    asked = {
        (rule, int(gpu))
        for rule, gpu in re.findall(r"^rule (\w+):(?:\n    .*)*?\n    .* gpu=(\d)", plan, re.M)
    }
    cpu = {("train_dense", 0), ("prune_round", 0), ("compare_round", 0)}
    assert asked == {*cpu, ("extract_activations", 1)}


# Edits of the code, all at once, that rerun nothing: comments, docstrings, what the experiment does not use.
FREE = [
    ("similarity/measures/correlations.py", "Mean canonical correlation.", "The mean."),
    ("files.py", "# torch.save raises", "# Here torch.save raises"),
    ("networks/vgg.py", '"M", 64, 64', '"M", 64, 32'),
    ("pruning/controls.py", "torch.randperm", "torch.arange"),
    ("pruning/network_criteria.py", "value.abs()", "value.abs() ** 2"),
    ("pruning/network_criteria.py", ".square()", ".abs()"),
    ("pruning/table.py", '"iterations": 100', '"iterations": 50'),
    ("settings/experiment.py", "would remove", "removes"),
    ("training/table.py", '"Momentum."', '"How much of the last step is added."'),
    ("similarity/measures/neighbours.py", "TIED = 0.01", "TIED = 0.02"),
    ("networks/table.py", "LeNet for 8×8 images", "A LeNet"),
    ("data/sources/torchvision.py", "SILENCE = 60", "SILENCE = 61"),
    ("settings/load.py", "is too long for a folder", "has too many letters"),
]
# Edits that rerun jobs: file, old text, new text, and the jobs that run again.
EDITS = {
    "a measure's label": (
        "similarity/table.py",
        'label="mean CCA"',
        'label="CCA"',
        jobs("draw_figures", "write_report"),
    ),
    "a sentence of the findings": (
        "findings/sentences.py",
        "A verdict needs at least",
        "Verdicts need at least",
        jobs("write_report", "draw_figures"),
    ),
    "the network": ("networks/lenet.py", "pool1=nn.MaxPool2d(2)", "pool1=nn.AvgPool2d(2)", TRAINING),
    "the criterion": ("pruning/criteria.py", "abs()", "square()", PRUNING),
    "the optimiser": ("training/optimizers.py", "dampening=0.0", "dampening=0.1", TRAINING),
    "the schedule": ("training/schedules.py", "return 1.0", "return 0.9", TRAINING),
    "a measure": (
        "similarity/measures/correlations.py",
        "pair.truncated.mean()",
        "pair.truncated.max()",
        jobs(*COMPARISON),
    ),
    "the view": ("activations/views/maps.py", ".flatten(0, 1)", ".flatten(0, 1) * 2", jobs(*EXTRACTION)),
    "the source": (
        "data/sources/sklearn.py",
        "% 5 == 0",
        "% 5 == 1",
        TRAINING | jobs("prepare_dataset"),
    ),
    "a file that only pruning imports": (
        "pruning/selection.py",
        "ranked.kthvalue(count)",
        "ranked.kthvalue(count + 1)",
        PRUNING,
    ),
    "the comparison of weights": (
        "levels/weights.py",
        '"mask_iou"',
        '"iou"',
        jobs("compare_weights", "write_report", "draw_figures"),
    ),
    "the figures": (
        "report/paper.py",
        "POINTS, TEXT = 7, 12",
        "POINTS, TEXT = 8, 12",
        jobs("draw_figures"),
    ),
    # Imported within a function.
    "the GPU side of comparisons": (
        "similarity/moments_gpu.py",
        "total.addmm_",
        "total.add_",
        jobs(*COMPARISON),
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_the_code(project, edit):
    file, old, new, expected = EDITS[edit]
    project.edit(f"{LIBRARY}/{file}", old, new)
    assert project.jobs() == expected


def test_comments_and_code_that_is_not_used_rerun_nothing(project):
    for file, old, new in FREE:
        project.edit(f"{LIBRARY}/{file}", old, new)
    assert project.jobs() == set()


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
    # Everything derived from it exists and is valid, so nothing runs. Requesting the file itself recreates
    # it.
    assert project.jobs() == set()
    assert project.jobs("results/tiny/seed0/round1/checkpoint.pt") == {"prune_round tiny 0 1"}


def test_rounds_that_are_pruned_from_the_dense_network_do_not_need_each_other(project):
    project.add_keys("pruning: {from: dense}")
    assert project.jobs("results/tiny/seed0/round2/checkpoint.pt") == {"prune_round tiny 0 2"}


REMADE = jobs("prune_round", "extract_activations", "compare_round", rounds=(1, 2))
# Another pruning rate does not affect round 0; it is recomputed because its files are missing here.
DENSE = jobs("train_dense") | jobs("extract_activations", "compare_round", rounds=(0,))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("similarity.parquet", REMADE | DENSE | jobs("assemble_matrix")),
        ("accuracy.parquet", jobs("train_dense", "prune_round", "assemble_accuracy", rounds=(1, 2))),
        ("figures", REMADE | DENSE | jobs(*TABLES)),
        ("weights.parquet", {job for job in REMADE | DENSE if "compare_round" not in job}
         | jobs("compare_weights")),
        ("findings.json", (REMADE | DENSE | jobs(*TABLES)) - jobs("draw_figures")),
        ("seed1/round2/similarity.parquet", {job for job in REMADE | DENSE if " tiny 1" in job}
         - {"compare_round tiny 1 0", "compare_round tiny 1 1"}),
    ],
)  # fmt: skip
def test_a_target_is_current_only_if_everything_before_it_is_current(project, target, expected):
    """Snakemake itself says "Nothing to be done" when a killed job has left a gap before the target."""
    results = project.folder / "results/tiny"
    for path in [path for path in results.rglob("*.*") if path.is_file()]:
        if results / target not in (path, *path.parents):
            path.unlink()
    project.add_keys("pruning: {rate: 0.3}")
    assert project.jobs(f"results/tiny/{target}") == expected


def test_another_experiment_beside_it(project):
    shutil.copy(
        project.folder / "config/experiments/tiny.yaml", project.folder / "config/experiments/other.yaml"
    )
    project.edit("config/config.yaml", "[tiny]", "[tiny, other]")
    expected = {job.replace(" tiny", " other") for job in TRAINING}
    assert project.jobs() == expected | {"write_overview"}, "the data set is shared, tiny is untouched"


def of(name: str, found: set[str]) -> set[str]:
    """The same jobs of another experiment."""
    return {job.replace(" tiny", f" {name}") for job in found}


def of_other(*rules: str, rounds=ROUNDS) -> set[str]:
    return of("other", jobs(*rules, rounds=rounds)) | {"write_overview"}


LATER = of_other("prune_round", *EXTRACTION, "assemble_accuracy", *LEVELS, rounds=(1, 2))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("pruning: {rate: 0.3}", LATER),
        # The report of tiny shows its controls.
        ("control: retrain", LATER | jobs("write_report", "draw_figures")),
        # The networks of round 0 are shared; measurements of them are not.
        ("similarity: {measures: [cka]}", LATER | of_other("compare_round")),
        ("activations: {layers: [output]}", LATER | of_other("extract_activations", "compare_round")),
        # Round 0 stores other weights to rewind to.
        ("pruning: {retraining: rewind, rewind_epoch: 1}", of_other(*TRAINED)),
    ],
)
def test_an_experiment_that_extends_another_shares_its_dense_training(project, keys, expected):
    (project.folder / "config/experiments/other.yaml").write_text(f"extends: tiny\n{keys}\n")
    project.edit("config/config.yaml", "[tiny]", "[tiny, other]")
    assert project.jobs() == expected, "tiny is there, so nothing of it is computed"


def test_the_report_reads_the_levels_of_controls_and_siblings(create, tmp_path):
    project = create(tmp_path / "project")
    for control in ("retrain", "siblings"):
        text = f"extends: tiny\ncontrol: {control}\nlandscape: {{pairs: [dense, control]}}\n"
        (project.folder / f"config/experiments/{control}.yaml").write_text(text)
    project.edit("config/config.yaml", "[tiny]", "[tiny, retrain, siblings]")
    plan = project.snakemake("--dry-run").stdout
    lines = [line.split("input: ")[1].split(", ") for line in plan.splitlines() if "input: " in line]
    # All targets need these files, too. Figures are drawn from the report's charts.
    report, figures = [{*line} for line in lines if LEVEL in line and "results/tiny/report.html" not in line]
    read = {f"results/{name}/{file}.parquet" for name in ("retrain", "siblings") for file in READ}
    for inputs in (report, figures):
        assert read | {"results/siblings/siblings.parquet", "results/tiny/weights.parquet"} <= inputs
        assert "results/tiny/barriers.parquet" not in inputs, "it has no landscape"


READ = ("accuracy", "weights", "predictions", "barriers")
LEVEL = "results/siblings/accuracy.parquet"


def test_which_experiments_are_selected_does_not_change_what_they_share(project):
    (project.folder / "config/experiments/other.yaml").write_text("extends: tiny\ncontrol: new-weights\n")
    project.edit("config/config.yaml", "[tiny]", "[other, tiny]")
    assert project.jobs() == LATER | jobs("write_report", "draw_figures")
    project.edit("config/config.yaml", "[other, tiny]", "[other]")
    assert project.jobs() == LATER - {"write_overview"}


ROUNDS_OF_GRID = jobs("prune_round", *EXTRACTION, "assemble_accuracy", *LEVELS, rounds=(1, 2))


def with_grid(project, grid: str) -> None:
    text = f"extends: tiny\ngrid: {grid}\n"
    (project.folder / "config/experiments/sweep.yaml").write_text(text)


def test_a_grid_is_its_combinations_and_shares_the_dense_training(project):
    project.edit("config/config.yaml", "[tiny]", "[sweep]")
    with_grid(project, "{pruning.rate: [0.2, 0.5], pruning.scope: [global, layer]}")
    combinations = [
        f"sweep-rate={rate}-scope={scope}" for rate in (0.2, 0.5) for scope in ("global", "layer")
    ]
    expected = {"write_overview"}.union(*(of(name, ROUNDS_OF_GRID) for name in combinations))
    assert project.jobs() == expected, "round 0 of tiny is there"
    # One combination is an experiment like any other.
    name = combinations[1]
    others = of(name, jobs("draw_figures"))
    assert project.jobs(f"results/{name}/report.html") == of(name, ROUNDS_OF_GRID) - others
    assert project.jobs("--config", f"experiments=[{name}]") == of(name, ROUNDS_OF_GRID)


def test_a_grid_over_the_training_trains_each_dense_network_once(create, tmp_path):
    project = create(tmp_path / "project")
    project.edit("config/config.yaml", "[tiny]", "[sweep]")
    with_grid(project, "{pruning.rate: [0.2, 0.5], training.optimizer.lr: [0.01, 0.02]}")
    found = project.jobs()
    trained = {job for job in found if job.startswith("train_dense")}
    assert trained == {f"train_dense sweep-lr={lr} {seed}" for lr in (0.01, 0.02) for seed in SEEDS}
    for lr in (0.01, 0.02):
        for rate in (0.2, 0.5):
            assert of(f"sweep-lr={lr}-rate={rate}", ROUNDS_OF_GRID) <= found


def test_an_experiment_that_is_not_listed_is_built_by_naming_its_target(project):
    found = project.jobs("results/digits-lenet/similarity.parquet")
    assert "compare_round digits-lenet 1 2" in found and not any(" tiny" in job for job in found)


def test_a_fresh_clone_with_results_carried_over_reruns_nothing(create, built, tmp_path):
    project = create(tmp_path / "clone")
    shutil.copytree(built.folder / "results", project.folder / "results")
    shutil.copytree(built.folder / ".snakemake", project.folder / ".snakemake")
    assert project.jobs() == set()


TARGETS = {
    "results/tini/similarity.parquet": ["no experiment 'tini'", "did you mean 'tiny'"],
    "results/tiny/seed7/round0/checkpoint.pt": ["has seeds 0, 1"],
    "results/tiny/across-seeds/round3/similarity.parquet": ["has rounds 0 to 2"],
    "results/tiny/seed1/round2/activation.h5": ["did you mean 'results/tiny/seed1/round2/activations.h5'"],
    "results/data/digit.h5": ["data set = 'digit'", "did you mean 'digits'"],
    "results/digits-lenet-retrain/seed1/round0/checkpoint.pt": [
        "shares this file with an experiment that it extends",
        "request results/digits-lenet/seed1/round0/checkpoint.pt",
    ],
    "results/tiny/untrained/seed2/activations.h5": ["has seeds 0, 1"],
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_nothing_makes_is_refused_in_one_line(built, target):
    done = built.snakemake("--dry-run", target, check=False)
    (line,) = [line for line in done.stdout.splitlines() if target in line]
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert line.startswith(f"prunescope: target {target}: ")
    assert all(word in line for word in TARGETS[target])


def notes(project, *arguments):
    return [
        line
        for line in project.snakemake("--dry-run", *arguments).stdout.splitlines()
        if "prunescope: " in line
    ]


def test_the_plan_says_what_will_not_work_as_expected(create, tmp_path):
    project = create(tmp_path / "project")
    others = {
        "long": "rounds: 30\npruning: {rate: 0.5}\nactivations: {view: flatten}",
        "pooled": "activations: {view: pooled, examples: 40}",
        "narrow": "activations: {view: pooled, examples: 40, layers: [relu2]}",
    }
    for name, keys in others.items():
        (project.folder / f"config/experiments/{name}.yaml").write_text(f"extends: tiny\n{keys}\n")
    project.edit("config/config.yaml", "[tiny]", "[tiny, long, pooled, narrow]")
    lines = notes(project, "--resources", "gpu=0")
    few = {name: [line for line in lines if f" {name}: " in line and "few rows" in line] for name in others}
    assert [line for line in lines if " tiny: " in line] == [
        "prunescope: tiny: activations, predictions and networks will take 7.9 MB of disk space",
        "prunescope: tiny: cca, svcca: 2 of 5 layers: few rows (relu3, relu4); record narrower layers, "
        "choose a view with fewer columns or add a measure without this bias "
        "(cka_debiased, cka_rbf, cka_within, knn_jaccard, rsa)",
    ]
    # 7,754 prunable weights: after 13 halvings one is left, and half of one weight is none.
    assert any("long: from round 14 on, pruning removes nothing; set rounds to 13" in line for line in lines)
    assert "4 of 5 layers: few rows (relu1, relu2, relu3, relu4); record narrower" in few["long"][0]
    # 8 to 64 units × 20 rows for each; there are 360 test images.
    assert "5 of 5 layers: few rows (relu1, relu2, relu3, relu4, output); record" in few["pooled"][0]
    assert "1 of 1 layers: few rows (relu2); set activations.examples to 320 or" in few["narrow"][0]


@pytest.mark.skipif(any(map(os.path.exists, GPUS)), reason="this machine has a GPU")
def test_a_machine_without_a_gpu_is_told_the_better_command(built):
    few, line = notes(built, "--resources", "gpu=1")
    assert "no GPU was found" in line and "with --resources gpu=0, up to 2 run on the CPU" in line
    assert notes(built, "--resources", "gpu=0") == [few] and "few rows" in few


def test_the_plan_says_what_a_round_took_and_what_its_files_need(built, create, tmp_path):
    """Times are those of the benchmarks, sizes those of the files that were written."""
    project = create(tmp_path / "project")
    shutil.copytree(built.folder / "results/benchmarks", project.folder / "results/benchmarks")
    (project.folder / "results/benchmarks/tiny/seed0/round1/prune_round.tsv").write_text("s\th:m:s\n90\t-\n")
    (project.folder / "results/benchmarks/tiny/seed1/round1/prune_round.tsv").write_text("s\th:m:s\n50\t-\n")
    (project.folder / "results/benchmarks/tiny/seed0/round2/prune_round.tsv").write_text("s\th:m:s\n")
    (project.folder / "results/benchmarks/tiny/seed1/round2/prune_round.tsv").unlink()
    # Damaged, and the only one of its rule.
    (project.folder / "results/benchmarks/tiny/seed0/round1/import_model.tsv").write_text("s\th:m:s\n\n")
    (note,) = [line for line in notes(project) if "last time" in line]
    total, rounds = re.search(
        r"one seed took ([\d.]+) s \(prune_round 70 s, .*\); at that rate, (\d) missing rounds: ", note
    ).groups()
    assert "extract_activations" in note and "compare_round" in note and "train_dense" not in note
    assert 70 < float(total) < 120 and rounds == "4"
    minutes = float(re.search(r"rounds: ([\d.]+) min,", note)[1])
    assert minutes == pytest.approx(4 * float(total) / 60, rel=0.02)
    (disk,) = [line for line in notes(project) if "disk space" in line]
    names = ("activations.h5", "predictions.h5", "checkpoint.pt")
    written = sum(
        path.stat().st_size for path in built.folder.glob("results/tiny/*/*/*") if path.name in names
    )
    assert float(re.search(r"take ([\d.]+) MB", disk)[1]) == pytest.approx(written / 1e6, rel=0.05)


def test_a_configuration_that_would_never_end_is_refused_before_snakemake_reads_it(create, tmp_path):
    project = create(tmp_path / "project")
    laughs = "a0: &a0 [x]\n" + "".join(
        f"a{level}: &a{level} [{', '.join(9 * [f'*a{level - 1}'])}]\n" for level in range(1, 10)
    )
    (project.folder / "laughs.yaml").write_text(laughs)
    for file, arguments in (("config/config.yaml", ()), ("laughs.yaml", ("--configfile", "laughs.yaml"))):
        (project.folder / file).write_text(laughs)
        done = project.snakemake("--dry-run", *arguments, check=False)
        assert done.returncode != 0 and "Traceback" not in done.stdout
        assert f"{file}, line 6: more than 30,000 values" in done.stdout.splitlines()[-1]
        (project.folder / file).write_text("experiments: [tiny]\n")


def test_an_environment_with_snakemake_only_gets_one_line_that_says_what_to_run(create, tmp_path):
    """NumPy, too, would be missing there; here, Snakemake's executor for SLURM imports it."""
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find, hidden = PathFinder.find_spec, {'h5py', 'torch'}\n"
        "PathFinder.find_spec = lambda name, *more: None if name in hidden else find(name, *more)\n"
    )
    project = create(tmp_path / "project")
    done = project.snakemake("--dry-run", check=False, fork=False, PYTHONPATH=str(tmp_path))
    assert done.returncode != 0 and "Traceback" not in done.stdout
    line = done.stdout.splitlines()[-1]
    assert line.startswith("prunescope: h5py, torch: not installed") and "make env" in line


def upgraded(folder, package):
    """An environment in which a package reports another version."""
    about = folder / f"{package}-99.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 99.0\n")
    return {"PYTHONPATH": str(folder)}


def test_another_version_of_torch_is_reported_and_reruns_nothing_unless_told_to(project, tmp_path):
    torch, pandas = (upgraded(tmp_path / name, name) for name in ("torch", "pandas"))
    plan = project.snakemake("--dry-run", **torch).stdout
    (line,) = [line for line in plan.splitlines() if "were trained with" in line]
    assert "tiny: 6 of 6 networks were trained with torch 2." in line and "torch 99.0 is installed" in line
    assert "Nothing to be done" in plan
    project.edit("config/config.yaml", "experiments:", "environment: rerun\nexperiments:")
    assert project.jobs() == set(), "receipts hold the versions"
    assert project.jobs(**pandas) == jobs(*TABLES)
    assert project.jobs(**torch) == TRAINING
