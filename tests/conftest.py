"""A small real project, built once for all tests that need results: two seeds, two pruning rounds."""

import gc
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from prunescope.config.files import merge

REPOSITORY = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow", "config", "envs", "profiles")
TINY = """\
description: Tiny experiment of the tests
extends: digits-lenet
rounds: 2
training: {epochs: 2, schedule: {name: constant}}
"""


class Project:
    """A copy of the workflow in a folder of its own, with the snakemake of this Python."""

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> "Project":
        ignore = shutil.ignore_patterns("__pycache__")
        for part in PARTS:
            source = REPOSITORY / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=ignore)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, folder / part)
        (folder / "config/experiments/tiny.yaml").write_text(TINY)
        project = cls(folder)
        project.edit("config/config.yaml", "[digits-lenet]", "[tiny]")
        return project

    def copy(self, folder: Path) -> "Project":
        """Copy everything, including modification times, results and Snakemake's records."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new, 1))

    def add_keys(self, text: str) -> None:
        """Add keys to the tiny experiment, or change them."""
        path = self.folder / "config/experiments/tiny.yaml"
        path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), yaml.safe_load(text))))

    def snakemake(
        self, *arguments: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=400,
        )
        assert not check or done.returncode == 0, "\n".join(done.stdout.splitlines()[-25:])
        return done

    def jobs(self, *arguments: str, **environment: str) -> set[str]:
        """Return the jobs that would run, as ``rule experiment seed round`` without missing parts."""
        found = set()
        text = self.snakemake("--dry-run", *arguments, **environment).stdout
        for block in re.split(r"\n(?=(?:local)?rule )", text)[1:]:
            rule = re.match(r"(?:local)?rule (\w+):", block)[1]
            wildcards = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
            values = [part.split("=", 1)[1] for part in wildcards[1].split(", ")] if wildcards else []
            if rule != "all":
                found.add(" ".join([rule, *values]))
        return found


@pytest.fixture(scope="session", autouse=True)
def search_for_garbage_again():
    """Undo the garbage-collector settings that `jobs.job` makes for a short-lived process."""
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def create():
    """Make an unbuilt project in a folder."""
    return Project.create


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Project:
    """The tiny experiment, run to its end. Copy it before changing anything."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # one build for all workers
    project, done = Project(folder / "built"), folder / "built.done"
    with FileLock(folder / "built.lock"):
        if not done.exists():
            shutil.rmtree(project.folder, ignore_errors=True)
            Project.create(project.folder).snakemake("--resources", "gpu=0")
            done.touch()
    return project


@pytest.fixture
def project(built, tmp_path) -> Project:
    """A copy of the built project that a test may change."""
    return built.copy(tmp_path / "project")
