"""The code of docs/extending.md, copied from the page: kinds of a user's own project, and of the library."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import wheels
from projects import REPOSITORY, Project, copy_from_repository
from prunescope.kinds import FAMILIES, known
from prunescope.pruning.table import OFFERED
from prunescope.settings.reading import merge
from prunescope.similarity.measures import Measure

PAGE = (REPOSITORY / "docs/extending.md").read_text()
LIBRARY = "workflow/scripts/prunescope"
# Files of the user's project and of the library → code, as the page gives them.
BLOCKS = dict(
    re.findall(r"`([\w/]+\.py)`[^`]*(?:\[details\]\(#[\w-]+\)\))?:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
)
MINE = {file: code for file, code in BLOCKS.items() if file.startswith("mine/")}
EXPERIMENT = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
# Table of the library and its name → entry.
ENTRIES = {
    (file, table): code
    for file, table, code in re.findall(
        r"entry in `([\w/]+\.py)`[^`]*`([A-Z]+)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL
    )
}
ADDED = {
    "similarity/measures/regression.py": "regression",
    "pruning/lamp.py": "lamp",
    "networks/all_conv.py": "all_conv",
}
LABEL = re.search('label="(.*?)"', MINE["mine/measures.py"])[1]
TINY = {
    "seeds": [0],
    "rounds": 1,
    "training": {"epochs": 3},
    "activations": {"examples": 200},
}


def add_to_library(project) -> None:
    """Write each of the page's blocks to its file or table."""
    for file in ADDED:
        path = project.folder / LIBRARY / file
        assert not path.exists(), f"{file} is not a new file"
        path.write_text(BLOCKS[file])
    assert len(ENTRIES) == len(ADDED)
    for (file, table), entry in ENTRIES.items():
        project.edit(f"{LIBRARY}/{file}", f"{table} = {{\n", f"{table} = {{\n{entry}")


def python(project, *arguments: str) -> str:
    """Run Python with the project's own library."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(project.folder / "workflow/scripts")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_files_of_the_page(folder) -> Project:
    """A project with the page's four files and an experiment that uses them."""
    project = Project.create(folder)
    for file, code in MINE.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(code)
    (folder / "config/experiments/mine.yaml").write_text(yaml.safe_dump(merge(EXPERIMENT, TINY)))
    project.edit("config/config.yaml", "[tiny]", "[mine]")
    return project


@pytest.fixture(scope="module")
def extended(once):
    """Such a project, completely run."""
    return Project(
        once("extended", lambda folder: with_files_of_the_page(folder).snakemake("--resources", "gpu=0"))
    )


def rows(text: str) -> set[str]:
    """Return the names in the first column of a page's tables."""
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


# --- the page --------------------------------------------------------------------------------------------


def test_a_kind_takes_few_lines():
    lines = {file: sum(bool(line.strip()) for line in code.splitlines()) for file, code in BLOCKS.items()}
    assert lines["mine/criteria.py"] <= 3 and max(lines[file] for file in MINE) <= 15
    assert max(lines.values()) <= 15 and len(MINE) == 4


def test_the_page_has_a_section_for_each_family():
    for family in FAMILIES:
        module = next(iter(known(family).values())).definition.partition(":")[0]
        assert f"Folder `{module.rpartition('.')[0].replace('.', '/')}`" in PAGE


def test_the_page_lists_every_fact_of_a_measure_and_all_that_a_criterion_may_ask_for():
    section = PAGE.partition("## Measures")[2].partition("\n## ")[0]
    arguments = {"name", "function", "label", "reference", "url", "chance", "unique"}
    assert {field.name for field in fields(Measure)} - arguments <= rows(section)
    section = PAGE.partition("## Pruning criteria")[2].partition("\n## ")[0]
    assert rows(section) == set(OFFERED)


# --- kinds of the user's own project ---------------------------------------------------------------------


def test_the_matrix_has_the_measure_by_the_name_of_its_function(extended):
    matrix = pd.read_parquet(extended.folder / "results/mine/similarity.parquet")
    values = matrix.query("measure == 'regression'").set_index(["layer_a", "round_a", "round_b"])
    layers = ("relu1", "relu2", "relu3", "relu4", "output")
    assert set(values.index) == {(layer, a, b) for layer in layers for a in (0, 1) for b in (0, 1)}
    assert (values["status"] == "ok").all()
    assert (abs(values.loc[(slice(None), 0, 0), "value"] - 1) < 1e-9).all()
    assert values["value"].between(0, 1 + 1e-9).all()
    forth, back = (values.loc[(slice(None), *pair), "value"].to_numpy() for pair in ((0, 1), (1, 0)))
    assert (forth != back).all(), "it is not symmetric"


def test_the_criterion_removes_what_it_scores_lowest(extended):
    dense, pruned = (
        torch.load(extended.folder / f"results/mine/seed0/round{round}/checkpoint.pt", weights_only=True)
        for round in (0, 1)
    )
    kept = torch.cat([dense["weights"][name][mask].abs() for name, mask in pruned["masks"].items()])
    removed = torch.cat([dense["weights"][name][~mask].abs() for name, mask in pruned["masks"].items()])
    assert len(removed) and removed.max() <= kept.min()


def test_the_optimiser_and_the_schedule_determine_the_steps(extended):
    log = pd.read_csv(extended.folder / "results/mine/seed0/round0/training.csv", comment="#")
    # Three epochs with the peak at 0.3 of the training; `lr` is that of the epoch's last step, at its middle.
    steps = log["step"].to_numpy()
    done = (steps - 0.5) / steps[-1]
    expected = np.where(done < 0.3, done / 0.3, (1 - done) / 0.7) * 0.001
    assert log["lr"].to_numpy() == pytest.approx(expected, rel=1e-9)


def test_figures_and_report_show_the_measure_by_its_label(extended):
    results = extended.folder / "results/mine"
    assert (results / "figures/dense_regression.svg").stat().st_size > 1000
    report = (results / "report.html").read_text()
    assert LABEL in report and "Similarity of Neural Network Representations Revisited" in report


def test_an_edit_of_a_file_reruns_what_uses_it(extended, tmp_path):
    project = extended.copy(tmp_path / "project")
    assert project.jobs() == set(), "a second run has nothing to do"
    comparison = {"compare_round mine 0 0", "compare_round mine 0 1"}
    later = {"assemble_matrix mine", "draw_figures mine", "write_report mine"}
    project.edit("mine/measures.py", 'label="linear', 'label="Linear')
    assert project.jobs() == comparison | later
    project.edit("mine/measures.py", 'label="Linear', 'label="linear')
    project.edit("mine/criteria.py", "weight.square()", "weight.abs()")
    pruning = {f"{rule} mine 0 1" for rule in ("prune_round", "extract_activations", "compare_round")}
    assert project.jobs() == pruning | later | {
        "assemble_accuracy mine",
        "compare_predictions mine",
        "compare_weights mine",
    }
    project.edit("mine/criteria.py", "weight.abs()", "weight.square()")
    project.edit("mine/criteria.py", '"""w²."""', '"""The square."""')
    assert project.jobs() == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("measures", 'label="linear regression",', "", ["mine/measures.py:regression", "has no label"]),
        (
            "measures",
            "saturates=True",
            "saturate=True",
            ["regression", "unknown fact saturate (did you mean 'saturates'"],
        ),
        ("measures", "(pair)", "(pair, other)", ["regression must take one argument, a pair"]),
        ("measures", "rows_per_unit=5", 'rows_per_unit="5"', ["the fact rows_per_unit", "'5'"]),
        ("optimizers", "(Optimizer)", "", ["SignSGD must be a class that extends prunescope.training"]),
        ("schedules", "peak", "misfit", ["triangle has a parameter misfit"]),
        ("schedules", "def", "raise SystemExit(0)\n\ndef", ["mine/schedules.py, line 1: SystemExit"]),
        (
            "schedules",
            "def",
            "import os; os._exit(0)\n\ndef",
            ["schedules.py ends Python when it is imported"],
        ),
        ("criteria", "(weights)", "(weight)", ["smallest_square", "unknown parameter 'weight'", "'weights'"]),
        ("criteria", "return", "retrun", ["mine/criteria.py, line 3: invalid syntax"]),
        ("schedules", "def triangle", "def triangl", ["does not define triangle", "did you mean 'triangl'"]),
        ("optimizers", "import Optimizer", "import Optimiser", ["mine/optimizers.py, line 1: ImportError"]),
    ],
)
def test_a_mistake_in_a_file_stops_the_plan_with_one_line(extended, tmp_path, file, old, new, words):
    project = extended.copy(tmp_path / "project")
    project.edit(f"mine/{file}.py", old, new)
    done = project.snakemake("--dry-run", check=False)
    assert done.returncode != 0 and "Traceback" not in done.stdout and "train_dense" not in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("prunescope: "))
    assert all(word in line for word in words), line


@pytest.mark.slow
def test_the_blocks_run_with_an_installed_library(extended, tmp_path):
    project = with_files_of_the_page(tmp_path / "project")
    shutil.rmtree(project.folder / LIBRARY)
    python = wheels.install(wheels.build(tmp_path / "dist"), tmp_path / "environment") / "python"
    where = wheels.run(python, "-c", "import prunescope; print(prunescope.__file__)", cwd=project.folder)
    assert where.startswith(str(tmp_path / "environment"))
    wheels.run(python, "-m", "snakemake", "--cores", 2, "--resources", "gpu=0", cwd=project.folder)
    table = "results/mine/similarity.parquet"
    pd.testing.assert_frame_equal(
        pd.read_parquet(project.folder / table), pd.read_parquet(extended.folder / table)
    )


# --- kinds of the library --------------------------------------------------------------------------------


def test_new_kinds_of_the_library_rerun_nothing_and_can_be_planned(project):
    add_to_library(project)
    assert project.jobs() == set()
    keys = "{network: {name: all_conv, arguments: {width: 8}}, pruning: {criterion: lamp}}"
    project.add_keys(keys)
    project.add_keys("{similarity: {measures: [cca, regression]}, findings: {measure: regression}}")
    assert "prune_round tiny 1 2" in project.jobs()
    listed = python(project, "-c", "from prunescope import cli; cli.main(['kinds'])")
    for page in ("docs/methods.md", "docs/similarity.md", "results/README.md"):
        copy_from_repository(page, project.folder / page)
    python(project, "-m", "prunescope.plan.reference")
    reference = (project.folder / "config/README.md").read_text()
    for name in ADDED.values():
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)
        assert re.search(rf"^\| \[`{name}`\]\(", reference, re.MULTILINE), "in the table of its family"
    allowed = {
        key: next(line for line in reference.splitlines() if line.startswith(f"| `{key}` |"))
        for key in ("network.name", "pruning.criterion", "similarity.measures")
    }
    assert "`all_conv`" in allowed["network.name"]
    assert "`lamp`" in allowed["pruning.criterion"]
    assert "`regression`" in allowed["similarity.measures"]
    link = "[`regression`](../workflow/scripts/prunescope/similarity/measures/regression.py)"
    assert f"| {link} | {LABEL} |" in (project.folder / "docs/similarity.md").read_text()
