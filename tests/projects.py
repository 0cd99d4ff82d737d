"""A copy of the workflow in a folder of its own, and Snakemake to run there."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import yaml

from forked import SECONDS, Forks, Scripts
from prunescope.settings.reading import merge

REPOSITORY = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow", "config", "envs", "profiles")
TINY = """\
description: Tiny experiment of the tests
extends: digits-lenet
seeds: [0, 1]
rounds: 2
pruning: {rate: 0.4}
similarity: {across_seeds: false}
training: {epochs: 2, schedule: {name: constant}}
"""

forks, scripts = cache(Forks), cache(Scripts)


def new_scripts() -> None:
    """Let scripts run in forks of a new process, which has other hashes of texts and thus orders of sets."""
    scripts().close()
    scripts.cache_clear()


def snakemake(
    folder: Path, *arguments: str, check: bool = True, fork: bool = True, **environment: str
) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder: with its scripts in forks, or in processes of their own where Python's start
    matters."""
    arguments = ("--cores", "2", *arguments)
    environment = {**os.environ, **environment}
    if not fork:
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
    else:
        done = forks().snakemake(arguments, folder, environment, scripts().python)
    assert not check or done.returncode == 0, "\n".join(done.stdout.splitlines()[-25:])
    return done


def copy_from_repository(part: str, target: Path) -> None:
    """Copy a file or folder of the repository, which may be read-only.

    Modification times are kept, so compiled files remain valid.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    source = REPOSITORY / part
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)
    for path in [target, *target.rglob("*")]:
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


class Project:
    """A copy of the workflow in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> "Project":
        for part in PARTS:
            copy_from_repository(part, folder / part)
        (folder / "config/experiments/tiny.yaml").write_text(TINY)
        project = cls(folder)
        project.edit("config/config.yaml", "[digits-lenet, digits-lenet-retrain]", "[tiny]")
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

    def snakemake(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        return snakemake(self.folder, *arguments, **options)

    @contextmanager
    def running(self, *arguments: str, cores: int = 2, **options) -> Iterator[subprocess.Popen]:
        """Start Snakemake in a process group of its own; kill what is left of it at the end of the block.

        It adds what it prints to the file snakemake.out.
        """
        with open(self.folder / "snakemake.out", "a") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "snakemake",
                    "--cores",
                    str(cores),
                    "--resources",
                    "gpu=0",
                    "--",
                    *arguments,
                ],
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def printed(self) -> str:
        """What `running` printed."""
        return (self.folder / "snakemake.out").read_text()

    def jobs(self, *arguments: str, **environment: str) -> set[str]:
        """Return the jobs that would run, see `jobs_in`."""
        return self.jobs_in(self.snakemake("--dry-run", *arguments, **environment).stdout)

    @staticmethod
    def jobs_in(text: str) -> set[str]:
        """Return the jobs of a printed plan, as ``rule experiment seed round`` without missing parts."""
        found = set()
        for block in re.split(r"\n(?=(?:local)?rule )", text)[1:]:
            rule = re.match(r"(?:local)?rule (\w+):", block)[1]
            wildcards = re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)
            values = [part.split("=", 1)[1] for part in wildcards[1].split(", ")] if wildcards else []
            if rule != "all":
                found.add(" ".join([rule, *values]))
        return found
