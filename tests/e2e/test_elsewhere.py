"""The workflow as a module and from other folders; digests cover the code that its scripts actually run."""

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
from prunescope import closure, digests
from prunescope.networks.build import build
from prunescope.plan import stages
from prunescope.settings.load import Catalogue, load_experiment

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
      measures: MEASURES
      pairs: all-layers
      across_seeds: true
      untrained: true
      spectrum: true
    landscape: {points: 3}
"""
# Every measure has figures of its own, which take most of the time.
FEW, MANY = "[cca, cka_debiased]", "[cca, cca_r2, svcca, svcca_trim98, pwcca, cka, cka_debiased, nbs]"
# Not selected, so that only the requested targets run.
THEIRS = """\
extends: digits-lenet
models: [{weights: theirs.pt}]
"""


def experiment(measures: str) -> str:
    return EXPERIMENT.replace("MEASURES", measures)


def run_host(base: Path, seeds: str, measures: str, **environment: str) -> None:
    """Run a workflow that uses ours as a module, in a folder with spaces and umlauts."""
    folder = base / "ein Ordner"
    (folder / "config/experiments").mkdir(parents=True)
    (folder / "Snakefile").write_text(HOST.format(repository=REPOSITORY))
    (folder / "host.yaml").write_text(
        experiment(measures).replace("rounds: 1", f"rounds: 1\n    seeds: {seeds}")
    )
    snakemake(folder, "--resources", "gpu=0", fork=not environment, **environment)
    (folder / "config/experiments/theirs.yaml").write_text(THEIRS)
    torch.save(build("lenet_small", {}, (1, 8, 8), 10, 0).state_dict(), folder / "theirs.pt")
    target = "results/theirs/seed0/round0/checkpoint.pt"
    snakemake(folder, target, "--resources", "gpu=0", fork=not environment, **environment)


@pytest.fixture(scope="module")
def host(once):
    return once("Über uns", lambda base: run_host(base, "[0]", FEW)) / "ein Ordner"


def test_another_workflow_runs_ours_as_a_module(host):
    assert (host / "all done.txt").exists()
    matrix = pd.read_parquet(host / "results/mine/similarity.parquet")
    assert matrix["measure"].nunique() == 2 and set(matrix["layer_a"]) == {"relu1", "relu3", "output"}
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
    (tmp_path / "host.yaml").write_text(experiment(FEW).replace(old, new))
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
    assert "results/digits-lenet/seed1/round2/checkpoint.pt" in plan.stdout
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


def run_profiled(base: Path) -> None:
    """Run the host so that each script notes what it runs; another package of our name does not interfere."""
    other = base / "other/prunescope"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise RuntimeError('another package named prunescope')")
    (base / "profile").mkdir()
    path = os.pathsep.join([str(other.parent), str(REPOSITORY / "tests/e2e/profiled")])
    run_host(base, "[0, 1]", MANY, PYTHONPATH=path, PRUNESCOPE_PROFILE=str(base / "profile"))


@pytest.mark.slow
def test_digests_cover_every_file_that_a_script_runs(once):
    written = yaml.safe_load(experiment(MANY))["experiments"]
    loaded = load_experiment("mine", Catalogue((REPOSITORY / "config/experiments",), written))
    ran: dict[str, set[Path]] = {}
    for path in (once("profiled", run_profiled) / "profile").glob("*.json"):
        script, calls = json.loads(path.read_text())
        name = re.search(r"([a-z]+(?:_[a-z]+)?)\.py$", script)[1]
        # Code of templates is compiled under the name of the template.
        ran.setdefault(name, set()).update(Path(file) for file, _ in calls if file.endswith(".py"))
    scripts = {path.stem for path in closure.LIBRARY.parent.glob("*.py")}
    assert set(ran) == scripts - {"write_overview"}
    assert sum(map(len, ran.values())) > 100
    for name, files in ran.items():
        named = stages.kinds_of(name, loaded)
        if name == "prepare_dataset":
            named = (("source", "sklearn:digits"),)
        covered = digests.files(closure.LIBRARY.parent / f"{name}.py", named)
        # The public names, and the tables of kinds, of which the named entries are covered.
        missed = files - covered - {closure.LIBRARY / "__init__.py"}
        assert not {path for path in missed if path.name != "table.py"}, name
        assert len(covered & files) > 0.5 * len(covered), f"{name} covers much that is never run"


def test_another_package_of_the_same_name_is_not_used(create, tmp_path):
    """Neither in the folder where Snakemake runs nor in PYTHONPATH, by Snakemake or by scripts."""
    project = create(tmp_path / "project")
    for folder in (project.folder, tmp_path / "elsewhere"):
        (folder / "prunescope").mkdir(parents=True)
        (folder / "prunescope/__init__.py").write_text("raise SystemExit('another package of this name')")
    project.snakemake("results/data/digits.h5", fork=False, PYTHONPATH=str(tmp_path / "elsewhere"))
