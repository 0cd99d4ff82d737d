"""The workflow as a module and from other folders; digests cover the code that its scripts actually run."""

import ast
import json
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from projects import REPOSITORY, snakemake
from prunescope import digests, kinds
from prunescope.config import stages
from prunescope.config.files import Catalogue, load_experiment
from prunescope.networks.build import build

HOST = """\
configfile: "host.yaml"

module prunescope:
    snakefile: "{repository}/workflow/Snakefile"
    config: config

use rule * from prunescope as similarity_*

rule everything:
    default_target: True
    input: rules.similarity_all.input
    output: "all done.txt"
    shell: "wc -c {{input[0]:q}} > {{output:q}}"
"""
# As many parts of the library as one small experiment can use.
EXPERIMENT = """\
samples: a key of the host's own
data: {download: false}
experiments:
  mine:
    extends: digits-lenet
    rounds: 1
    training:
      epochs: 2
      validation: 20
      optimizer: {name: adam, lr: 0.001}
      schedule: {name: cosine, warmup_epochs: 1}
      clip_norm: 1.0
      augmentation: {crop: 1, flip: true, cutout: 2, rotate: 5.0}
    pruning: {criterion: saliency, scope: layer, rates: {output: 0.1}, retraining: rewind, rewind_epoch: 1}
    activations: {layers: [relu1, relu3, output], view: pooled, compression: lzf}
    similarity:
      measures: [cca, cca_r2, svcca, svcca_trim98, pwcca, cka, cka_debiased, nbs]
      pairs: all-layers
      across_seeds: true
      untrained: true
      spectrum: true
"""
# Not selected, so that only the requested targets run.
THEIRS = """\
extends: digits-lenet
models: [{weights: theirs.pt}]
"""


def run_host(base: Path, seeds: str, **environment: str) -> None:
    """Run a workflow that uses ours as a module, in a folder with spaces and umlauts."""
    folder = base / "ein Ordner"
    (folder / "config/experiments").mkdir(parents=True)
    (folder / "Snakefile").write_text(HOST.format(repository=REPOSITORY))
    (folder / "host.yaml").write_text(EXPERIMENT.replace("rounds: 1", f"rounds: 1\n    seeds: {seeds}"))
    snakemake(folder, "--resources", "gpu=0", fork=not environment, **environment)
    (folder / "config/experiments/theirs.yaml").write_text(THEIRS)
    torch.save(build("lenet_small", {}, (1, 8, 8), 10, 0).state_dict(), folder / "theirs.pt")
    target = "results/theirs/seed0/round0/checkpoint.pt"
    snakemake(folder, target, "--resources", "gpu=0", fork=not environment, **environment)


@pytest.fixture(scope="module")
def host(once):
    return once("Über uns", lambda base: run_host(base, "[0]")) / "ein Ordner"


def test_another_workflow_runs_ours_as_a_module(host):
    assert (host / "all done.txt").exists()
    matrix = pd.read_parquet(host / "results/mine/similarity.parquet")
    assert matrix["measure"].nunique() == 8 and set(matrix["layer_a"]) == {"relu1", "relu3", "output"}
    assert (host / "results/mine/report.html").exists()
    assert "Nothing to be done" in snakemake(host, "--dry-run").stdout


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("epochs: 2", "epocs: 2", ["experiments.mine: training.epocs: unknown key", "did you mean 'epochs'"]),
        ("extends: digits-lenet", "extends: digits-lent", ["no experiment 'digits-lent'"]),
        (
            "data: {download",
            "data: {downlod",
            ["config: data.downlod: unknown key", "did you mean 'download'"],
        ),
    ],
)
def test_a_mistake_is_an_error_of_the_host_in_one_line(host, tmp_path, old, new, words):
    shutil.copy(host / "Snakefile", tmp_path / "Snakefile")
    (tmp_path / "host.yaml").write_text(EXPERIMENT.replace(old, new))
    done = snakemake(tmp_path, "--dry-run", check=False)
    assert done.returncode == 1 and "WorkflowError" in done.stdout and "Traceback" not in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("prunescope: ")]
    assert all(word in line for word in words), line


def test_another_folder_has_its_own_and_the_shipped_experiments(tmp_path):
    folder = tmp_path / "a folder/größer"
    (folder / "config/experiments").mkdir(parents=True)
    (folder / "config/experiments/mine.yaml").write_text(
        "extends: digits-lenet\nseeds: [0]\nrounds: 0\ntraining: {epochs: 1, schedule: {name: constant}}\n"
    )
    arguments = ("-s", str(REPOSITORY / "Snakefile"), "--directory", str(folder))
    target = "results/mine/similarity.parquet"
    snakemake(tmp_path, *arguments, target, "--resources", "gpu=0", "--config", "experiments=[mine]")
    assert set(pd.read_parquet(folder / target)["round_a"]) == {0}
    # Without its own configuration, the shipped one is used, and with it the default experiment.
    plan = snakemake(tmp_path, *arguments, "--dry-run")
    assert "results/digits-lenet/seed1/round6/checkpoint.pt" in plan.stdout
    (folder / "config/config.yaml").write_text("experiments: [mine]\n")
    plan = snakemake(tmp_path, *arguments, "--dry-run")
    assert "digits-lenet/" not in plan.stdout
    wrong = snakemake(tmp_path, *arguments, "--dry-run", "--config", "experiments=[mime]", check=False)
    assert "no experiment 'mime' in config/experiments or " in wrong.stdout and "'mine'" in wrong.stdout


def test_the_configuration_of_the_catalogue_plans(tmp_path):
    shutil.copytree(REPOSITORY / ".test/config", tmp_path / "config")
    plan = snakemake(tmp_path, "-s", str(REPOSITORY / "workflow/Snakefile"), "--dry-run")
    assert "rule write_report" in plan.stdout, plan.stdout


# What the scripts ran, and what their digests cover ---------------------------------------------------------


def top_level(path: Path) -> list[tuple[range, str]]:
    """Lines and name of every function and class at the top of a module."""
    return [
        (range(min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.end_lineno + 1), node.name)
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def run_profiled(base: Path) -> None:
    """Run the host so that each script notes what it runs; another package of our name does not interfere."""
    other = base / "other/prunescope"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise RuntimeError('another package named prunescope')")
    (base / "profile").mkdir()
    path = os.pathsep.join([str(other.parent), str(REPOSITORY / "tests/e2e/profiled")])
    run_host(base, "[0, 1]", PYTHONPATH=path, PRUNESCOPE_PROFILE=str(base / "profile"))


@pytest.fixture(scope="module")
def ran(once) -> dict[str, set[tuple[str, int]]]:
    """By script, the functions that it ran: file in the library and first line."""
    found: dict[str, set[tuple[str, int]]] = {}
    for path in (once("profiled", run_profiled) / "profile").glob("*.json"):
        script, calls = json.loads(path.read_text())
        name = re.search(r"([a-z]+_[a-z]+)\.py$", script)[1]
        library = f"{digests.LIBRARY}/"
        found.setdefault(name, set()).update(
            (file.removeprefix(library), line) for file, line in calls if file.startswith(library)
        )
    return found


@pytest.fixture(scope="module")
def named() -> dict[str, tuple]:
    inline = yaml.safe_load(EXPERIMENT)["experiments"]
    experiment = load_experiment("mine", Catalogue((REPOSITORY / "config/experiments",), inline))
    scripts = {path.stem for path in digests.LIBRARY.parent.glob("*.py")}
    kinds_of = {script: stages.kinds_of(script, experiment) for script in scripts}
    return kinds_of | {"prepare_dataset": (("source", "sklearn:digits"),)}


@pytest.mark.slow
def test_every_script_ran(ran):
    scripts = {path.stem for path in digests.LIBRARY.parent.glob("*.py")}
    assert set(ran) == scripts - {"write_overview"}
    assert sum(map(len, ran.values())) > 500


@pytest.mark.slow
def test_an_edit_of_any_function_changes_the_digest_of_every_script_that_ran_it(
    ran, named, tmp_path, monkeypatch
):
    """Each function of the library is edited in turn, in a copy."""
    copy = tmp_path / "scripts"
    shutil.copytree(digests.LIBRARY.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for module in (digests, kinds):
        monkeypatch.setattr(module, "LIBRARY", copy / "prunescope")
    kinds.known.cache_clear()
    before = {script: digests.code(copy / f"{script}.py", named[script]) for script in ran}
    missed, edited, used = [], 0, set()
    for path in sorted((copy / "prunescope").rglob("*.py")):
        file, text = str(path.relative_to(copy / "prunescope")), path.read_text()
        if (
            file == "__init__.py"
        ):  # provides names for notebooks; Python also calls it when scripts import packages
            continue
        tree = ast.parse(text)
        for function in functions(tree):
            lines = {function.lineno, *(decorator.lineno for decorator in function.decorator_list)}
            users = {script for script, calls in ran.items() if any((file, line) in calls for line in lines)}
            edited += 1
            if not users:
                continue
            used.add((file, function.name))
            kept = function.body
            first = kept[0]
            docstring = isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str)
            place = 1 if docstring else 0
            function.body = [*kept[:place], ast.parse("edited = 1").body[0], *kept[place:]]
            path.write_text(ast.unparse(ast.fix_missing_locations(tree)))
            missed += [
                f"{file}: {function.name}, run by {script}"
                for script in users
                if digests.code(copy / f"{script}.py", named[script]) == before[script]
            ]
            function.body = kept
        path.write_text(text)
    kinds.known.cache_clear()
    assert missed == []
    assert edited > 400 and len(used) > 250


@pytest.mark.slow
def test_a_digest_covers_little_that_is_never_run(ran, named):
    """It may cover too much, but not everything: this experiment ran most of the covered code."""
    for script, calls in ran.items():
        reached = digests.reach(digests.LIBRARY.parent / f"{script}.py", named[script])
        names = {
            (file, name)
            for file, _ in reached
            if (digests.LIBRARY / file).is_file()
            for lines, name in top_level(digests.LIBRARY / file)
            if (file, name) in reached and any((file, line) in calls for line in lines)
        }
        defined = {
            (file, name)
            for file, name in reached
            if (digests.LIBRARY / file).is_file()
            and name in {other for _, other in top_level(digests.LIBRARY / file)}
        }
        assert len(names) > 0.5 * len(defined), (script, sorted(defined - names))


def test_another_package_of_the_same_name_is_not_used(create, tmp_path):
    """Neither in the folder where Snakemake runs nor in PYTHONPATH, by Snakemake or by scripts."""
    project = create(tmp_path / "project")
    for folder in (project.folder, tmp_path / "elsewhere"):
        (folder / "prunescope").mkdir(parents=True)
        (folder / "prunescope/__init__.py").write_text("raise SystemExit('another package of this name')")
    project.snakemake("results/data/digits.h5", fork=False, PYTHONPATH=str(tmp_path / "elsewhere"))
