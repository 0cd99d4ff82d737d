"""A result stands only if its receipt describes what would be made now, whatever Snakemake's records say."""

import base64
import os
import shutil

import numpy as np
import pytest
from test_dag import EXTRACTION, TABLES, TRAINED, TRAINING, jobs

from projects import Project

PRODUCTS = ("similarity.parquet", "accuracy.parquet", "findings.json", "report.html", "figures")


def remove_records(project):
    shutil.rmtree(project.folder / ".snakemake")


def clean_records(project):
    products = [f"results/tiny/{name}" for name in PRODUCTS]
    files = (project.folder / "results/tiny").glob("seed*/**/*.*")
    others = [str(path.relative_to(project.folder)) for path in files]
    project.snakemake("--cleanup-metadata", "results/data/digits.h5", *products, *others)


def ignore_records(project):
    return ["--rerun-triggers", "mtime"]


def shuffle_times(project):
    for number, path in enumerate(sorted((project.folder / "results").rglob("*.*"), reverse=True)):
        os.utime(path, (1e9 + number, 1e9 + number))


def touch(project):
    """With --touch, results that are out of date are refused."""
    done = project.snakemake("--touch", check=False)
    (line,) = [line for line in done.stdout.splitlines() if "--touch would keep" in line]
    assert done.returncode == 1 and line.startswith("prunescope: ") and "Traceback" not in done.stdout


LOST = [remove_records, clean_records, ignore_records, shuffle_times, touch]


@pytest.mark.parametrize("lose", LOST)
def test_a_changed_setting_is_noticed_without_snakemakes_records(project, lose):
    project.add_keys("training: {optimizer: {lr: 0.02}}")
    assert project.jobs(*(lose(project) or [])) == TRAINING


def touch_all(project):
    project.snakemake("--touch")


@pytest.mark.parametrize("lose", [*LOST[:-1], touch_all])
def test_results_that_match_are_accepted_without_snakemakes_records(project, lose):
    assert project.jobs(*(lose(project) or [])) == set()


def test_results_in_a_new_clone_are_accepted_or_recomputed(create, built, tmp_path):
    clone = create(tmp_path / "clone")
    shutil.copytree(built.folder / "results", clone.folder / "results", copy_function=shutil.copy)
    assert clone.jobs() == set()
    clone.add_keys("similarity: {variance: 0.9}")
    assert clone.jobs() == jobs("compare_round", "assemble_matrix", "draw_figures", "write_report")


@pytest.mark.parametrize("product", PRODUCTS)
def test_no_target_is_taken_for_current_after_a_change(project, product):
    project.add_keys("training: {optimizer: {lr: 0.02}}")
    remove_records(project)
    planned = project.jobs(f"results/tiny/{product}")
    assert {"train_dense tiny 0", "prune_round tiny 1 2"} <= planned
    assert planned & jobs(*TABLES) == planned - jobs(*(set(TRAINED) - set(TABLES)))


def copied(source, target):
    shutil.copy(source, target)


def copied_with_times(source, target):
    shutil.copy2(source, target)


def linked(source, target):
    target.unlink()
    target.symlink_to(source)


SHOWN = ("draw_figures", "write_report")
FOREIGN = {
    "accuracy.parquet": ("similarity.parquet", ("assemble_matrix", *SHOWN)),
    "similarity.parquet": ("accuracy.parquet", ("assemble_accuracy", *SHOWN)),
    "report.html": ("findings.json", SHOWN),
    "seed0/round0/metrics.json": ("findings.json", SHOWN),
    "seed1/round2/similarity.parquet": ("similarity.parquet", ("assemble_matrix", *SHOWN)),
}


# Each product, and each way for the first of them.
@pytest.mark.parametrize(
    ("other", "put"),
    [
        *((other, copied) for other in FOREIGN),
        *((next(iter(FOREIGN)), put) for put in (copied_with_times, linked)),
    ],
)
def test_another_file_in_the_place_of_a_product_is_replaced(project, other, put):
    place, rules = FOREIGN[other]
    results = project.folder / "results/tiny"
    put(results / other, results / place)
    printed = project.snakemake("--dry-run").stdout
    assert project.jobs_in(printed) == jobs(*rules)
    assert f"runs again: results/tiny/{place} is not the file that the job wrote" in printed


@pytest.mark.parametrize(
    ("other", "place", "rules"),
    [
        ("seed1/round2/checkpoint.pt", "seed0/round2/checkpoint.pt", ["prune_round", *EXTRACTION]),
        ("seed0/round1/activations.h5", "seed0/round2/activations.h5", EXTRACTION),
        ("seed0/round1/similarity.parquet", "seed0/round2/similarity.parquet", ["compare_round"]),
    ],
)
def test_a_file_of_another_seed_or_round_is_replaced(project, other, place, rules):
    results = project.folder / "results/tiny"
    shutil.copy2(results / other, results / place)
    planned = project.jobs()
    assert planned - jobs(*TABLES) == jobs(
        *(rule for rule in rules if rule not in TABLES), rounds=(2,), seeds=(0,)
    )
    assert "assemble_matrix tiny" in planned


def test_results_copied_from_another_experiment_are_not_those_of_this_one(project):
    for name in ("other", "third"):
        shutil.copy(
            project.folder / "config/experiments/tiny.yaml",
            project.folder / f"config/experiments/{name}.yaml",
        )
    shutil.copytree(project.folder / "results/tiny", project.folder / "results/other")
    assert project.jobs("results/other/report.html") == {
        job.replace("tiny", "other") for job in TRAINING - jobs("draw_figures")
    }
    # Jobs of a linked folder would overwrite the files of the other experiment.
    (project.folder / "results/third").symlink_to("tiny")
    done = project.snakemake("--dry-run", "results/third/report.html", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stdout
    assert "which is not its own; remove the link and run again" in done.stdout.splitlines()[-1]


def test_products_that_were_never_made_here_are_made(project):
    project.add_keys("similarity: {spectrum: true}")
    (project.folder / "config/experiments/other.yaml").write_text("extends: tiny\ncontrol: retrain\n")
    project.edit("config/config.yaml", "[tiny]", "[tiny, other]")
    results = project.folder / "results"
    shutil.copy(results / "tiny/similarity.parquet", results / "tiny/spectrum.parquet")
    for name in ("overview.parquet", "overview.html"):
        shutil.copy(results / "tiny/report.html", results / name)
    assert {"assemble_spectrum tiny", "write_overview"} <= project.jobs()


def test_the_plan_says_what_has_changed(project):
    project.add_keys("{training: {optimizer: {lr: 0.02}}, similarity: {variance: 0.9}}")
    lines = [line for line in project.snakemake("--dry-run").stdout.splitlines() if "runs again" in line]
    assert "prunescope: train_dense of tiny runs again: training.optimizer.lr was 0.05, is 0.02" in lines
    assert "prunescope: compare_round of tiny runs again: similarity.variance was 0.99, is 0.9" in lines
    assert len(lines) == 5, lines


def test_a_missing_intermediate_file_is_made_again_only_if_it_is_needed(project):
    results = project.folder / "results/tiny"
    for path in [*results.rglob("*.h5"), *results.rglob("*.pt")]:
        path.unlink()
    assert project.jobs() == set()
    (results / "seed0/round2/similarity.parquet").unlink()
    assert {"train_dense tiny 0", "extract_activations tiny 0 2", "compare_round tiny 0 2"} <= project.jobs(
        "results/tiny/seed0/round2/similarity.parquet"
    )


@pytest.fixture(scope="module")
def with_arrays(once, create):
    """A project with a data set of the user's own, prepared."""

    def build(folder):
        project = create(folder / "project")
        project.edit("config/config.yaml", "  datasets:\n", "  datasets:\n    mine: numpy:mine.npz\n")
        (project.folder / "data").mkdir()
        write_arrays(project, 0)
        project.snakemake(PREPARED)

    return Project(once("arrays", build) / "project")


PREPARED = "results/data/mine.h5"


def write_arrays(project, first: int):
    x, y = np.arange(first, first + 40 * 64, dtype=np.int64) % 251, np.arange(40) % 3
    x = x.astype(np.uint8).reshape(40, 8, 8)
    np.savez(project.folder / "data/mine.npz", x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])


def test_the_content_of_a_source_counts_and_not_its_place_or_time(with_arrays, tmp_path):
    project = with_arrays.copy(tmp_path / "project")
    source = project.folder / "data/mine.npz"
    assert project.jobs(PREPARED) == set(), "another folder"
    os.utime(source, (1e9, 1e9))
    assert project.jobs(PREPARED) == set()
    source.parent.rename(project.folder / "elsewhere")
    project.edit("config/config.yaml", "root: data", "root: elsewhere")
    assert project.jobs(PREPARED) == set()
    (project.folder / "data").mkdir()
    write_arrays(project, 1)
    project.edit("config/config.yaml", "root: elsewhere", "root: data")
    assert project.jobs(PREPARED) == {"prepare_dataset mine"}


COMPARED = jobs("compare_round", "assemble_matrix", "draw_figures", "write_report")


@pytest.mark.parametrize(
    ("lost", "arguments"),
    [
        # Snakemake looks no further than the first job that has to run anyway.
        ([], ["--forcerun", "train_dense"]),
        ([], ["--forcerun", "prepare_dataset"]),
        (
            ["seed0/round0/metrics.json"],
            ["results/tiny/seed0/round0/metrics.json", *(f"results/tiny/{name}" for name in PRODUCTS)],
        ),
        (["seed0/round0/rewind.pt"], []),
        (["seed1/round1/activations.h5", "seed0/round1/checkpoint.pt"], []),
    ],
)
def test_no_job_that_has_to_run_hides_another(project, lost, arguments):
    for file in lost:
        (project.folder / "results/tiny" / file).unlink()
    for path in (project.folder / "results").rglob("checkpoint.pt"):
        path.touch()
    remove_records(project)
    project.add_keys("similarity: {variance: 0.9}")
    assert project.jobs(*arguments) >= COMPARED


def test_activations_can_be_deleted_to_save_space(project):
    for path in (project.folder / "results").rglob("activations.h5"):
        path.unlink()
    assert not project.jobs()


def test_what_a_killed_snakemake_calls_incomplete_is_judged_by_its_receipt(project):
    """Snakemake marks the outputs of a running job; the mark stays if it is killed."""
    folder = project.folder / ".snakemake/incomplete"
    folder.mkdir(exist_ok=True)
    for seed in (0, 1):
        file = f"results/tiny/seed{seed}/round0/checkpoint.pt"
        (folder / base64.b64encode(file.encode()).decode()).write_text("")
    assert project.jobs() == set()
    project.add_keys("similarity: {variance: 0.9}")
    assert project.jobs() == COMPARED


def test_a_link_to_another_folder_of_results_is_refused_before_there_are_results(create, tmp_path):
    project = create(tmp_path / "project")
    (project.folder / "config/experiments/third.yaml").write_text(
        "extends: tiny\nsimilarity: {variance: 0.9}\n"
    )
    project.edit("config/config.yaml", "[tiny]", "[tiny, third]")
    (project.folder / "results/tiny").mkdir(parents=True)
    (project.folder / "results/third").symlink_to("tiny")
    done = project.snakemake("--dry-run", check=False)
    assert done.returncode == 1 and "remove the link" in done.stdout.splitlines()[-1]
    # The whole folder may be elsewhere.
    (project.folder / "results/third").unlink()
    (project.folder / "results").rename(tmp_path / "disk")
    (project.folder / "results").symlink_to(tmp_path / "disk")
    assert "write_overview" in project.jobs()


def test_a_rule_of_the_user_in_the_same_workflow_follows_our_files(project):
    with open(project.folder / "Snakefile", "a") as file:
        file.write("""

rule mine:
    input: "results/tiny/findings.json"
    output: "mine.txt"
    shell: "wc -c {input} > {output}"
""")
    project.snakemake("mine.txt")
    assert project.jobs("mine.txt") == set()
    project.add_keys("findings: {margin: 0.1}")
    project.snakemake("results/tiny/findings.json")
    assert project.jobs("mine.txt") == {"mine"}
