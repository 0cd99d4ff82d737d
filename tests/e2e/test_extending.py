"""The code of docs/extending.md, copied from the page, defines a measure, a criterion and a network."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
import yaml

from projects import Project
from prunescope.config.files import merge
from prunescope.kinds import FAMILIES
from prunescope.pruning.criteria import OFFERS
from prunescope.similarity.measures import Measure

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/extending.md").read_text()
LIBRARY = "workflow/scripts/prunescope"
# File below the library → code, as the page gives them.
FILES = dict(re.findall(r"`([\w/]+\.py)`:\n\n```python\n(.*?)```", PAGE, re.DOTALL))
MEASURE, CRITERION, NETWORK = (
    "similarity/measures/regression.py",
    "pruning/criteria/lamp.py",
    "networks/all_conv.py",
)
EXPERIMENT = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
LABEL = re.search('label="(.*?)"', FILES[MEASURE])[1]
TINY = {
    "seeds": [0],
    "rounds": 1,
    "training": {"epochs": 2, "schedule": {"name": "constant"}},
    "activations": {"examples": 200},
}


def add_kinds(project) -> None:
    """Write each of the page's blocks to its file."""
    for file, code in FILES.items():
        path = project.folder / LIBRARY / file
        assert not path.exists(), f"{file} is not a new file"
        path.write_text(code)


def python(project, *arguments: str) -> str:
    """Run Python with the project's own library."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(project.folder / "workflow/scripts")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def extended(once):
    """A project with the page's three kinds, and an experiment that uses them, completely run."""

    def run(folder):
        project = Project.create(folder)
        add_kinds(project)
        text = yaml.safe_dump(merge(EXPERIMENT, TINY))
        (project.folder / "config/experiments/mine.yaml").write_text(text)
        project.edit("config/config.yaml", "[tiny]", "[mine]")
        project.snakemake("--resources", "gpu=0")

    return Project(once("extended", run))


def rows(text: str) -> set[str]:
    """Return the names in the first column of a page's tables."""
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


# --- the page --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("file", "most"), [(MEASURE, 15), (CRITERION, 10), (NETWORK, 15)])
def test_a_kind_takes_few_lines(file, most):
    assert sum(bool(line.strip()) for line in FILES[file].splitlines()) <= most


def test_the_page_has_a_section_for_each_family():
    for family in FAMILIES.values():
        assert f"Folder `{family.folder}`" in PAGE


def test_the_page_lists_every_fact_of_a_measure_and_all_that_a_criterion_may_ask_for():
    section = PAGE.partition("## Measures")[2].partition("\n## ")[0]
    # `needs` has only one value, so there is no choice.
    facts = {field.name for field in fields(Measure)} - {"name", "function", "needs"}
    assert facts <= rows(section)
    for fact in FAMILIES["measure"].required:
        assert re.search(rf"^\| `{fact}` .*\| required \|$", section, re.MULTILINE)
    section = PAGE.partition("## Pruning criteria")[2].partition("\n## ")[0]
    assert rows(section) == set(OFFERS)


# --- the kinds -------------------------------------------------------------------------------------------


def test_the_command_lists_them_and_the_reference_names_them(extended):
    listed = python(extended, "-c", "from prunescope import cli; cli.main(['kinds'])")
    for page in ("docs/similarity.md", "results/README.md"):
        (extended.folder / page).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / page, extended.folder / page)
    python(extended, "-m", "prunescope.config.documentation")
    reference = (extended.folder / "config/README.md").read_text()
    for file in FILES:
        name = Path(file).stem
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)
        assert re.search(rf"^\| `{name}` \|", reference, re.MULTILINE), "in the table of its family"
    allowed = {
        key: next(line for line in reference.splitlines() if line.startswith(f"| `{key}` |"))
        for key in ("network.name", "pruning.criterion", "similarity.measures")
    }
    assert "`all_conv`" in allowed["network.name"]
    assert "`lamp`" in allowed["pruning.criterion"]
    assert "`regression`" in allowed["similarity.measures"]
    assert f"| `regression` | {LABEL} |" in (extended.folder / "docs/similarity.md").read_text()


def test_the_matrix_has_the_measure(extended):
    matrix = pd.read_parquet(extended.folder / "results/mine/similarity.parquet")
    values = matrix.query("measure == 'regression'").set_index(["layer_a", "round_a", "round_b"])
    assert set(values.index) == {
        (layer, a, b) for layer in ("relu1", "relu2", "output") for a in (0, 1) for b in (0, 1)
    }
    assert (values["status"] == "ok").all()
    assert (abs(values.loc[(slice(None), 0, 0), "value"] - 1) < 1e-9).all()
    assert values["value"].between(0, 1 + 1e-9).all()
    forth, back = (values.loc[(slice(None), *pair), "value"].to_numpy() for pair in ((0, 1), (1, 0)))
    assert (forth != back).all(), "it is not symmetric"


def test_figures_and_report_show_the_measure_by_its_label(extended):
    results = extended.folder / "results/mine"
    assert (results / "figures/dense_regression.svg").stat().st_size > 1000
    report = (results / "report.html").read_text()
    assert LABEL in report and "Similarity of Neural Network Representations Revisited" in report


def test_a_second_run_has_nothing_to_do(extended):
    assert extended.jobs() == set()


def test_new_kinds_rerun_nothing(project):
    add_kinds(project)
    assert project.jobs() == set()


def test_a_measure_without_a_label_stops_the_plan_with_one_line(create, tmp_path):
    project = create(tmp_path / "project")
    add_kinds(project)
    project.edit(f"{LIBRARY}/{MEASURE}", f'    label="{LABEL}",\n', "")
    done = project.snakemake("--dry-run", check=False)
    assert done.returncode != 0 and "Traceback" not in done.stdout and "train_dense" not in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "prunescope:" in line)
    assert MEASURE in line and "has no label" in line
    # The page quotes it.
    quoted = re.search(
        r"^    \.\.\./similarity/measures/regression\.py, line .*?\n\n", PAGE, re.DOTALL | re.MULTILINE
    )[0]
    line = line.replace(str(project.folder / "workflow/scripts/prunescope"), "...")
    assert line == " ".join(["prunescope:", *quoted.split()])
