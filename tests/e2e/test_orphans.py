"""A script that outlives its Snakemake never replaces a result of its successor."""

import os
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from processes import kill, scripts_of

pytestmark = pytest.mark.slow

CHECKPOINT = "results/tiny/seed0/round0/checkpoint.pt"


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait_for_end(process: psutil.Process) -> None:
    """Fail if a training would go on to its last epoch: 2,000 take minutes even on a fast machine."""
    epochs = time.monotonic() + 120
    while alive(process):
        assert time.monotonic() < epochs, "it goes on"
        time.sleep(0.02)


@contextmanager
def orphan(project, **environment):
    """A training with many epochs left, of which only Snakemake has been killed."""
    project.add_keys("training: {epochs: 2000}")
    state = (project.folder / CHECKPOINT).with_name(".training-state.pt")
    with project.running(CHECKPOINT, cores=1, env={**os.environ, **environment}) as snakemake:
        while not state.exists():
            assert snakemake.poll() is None, project.printed
            time.sleep(0.02)
        (script,) = (script for script in scripts_of(snakemake.pid) if script.name().startswith("python"))
        kill(snakemake)
        snakemake.wait()
        yield script


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux can watch another process")
def test_a_script_ends_when_its_snakemake_is_killed(project):
    with orphan(project) as script:
        wait_for_end(script)
    folder = (project.folder / CHECKPOINT).parent
    assert [path.name for path in folder.glob(".*")] == [".training-state.pt"], (
        "no temporary files, no claims"
    )
    assert not (project.folder / CHECKPOINT).exists()
    log = project.folder / "results/logs/tiny/seed0/round0/train_dense.attempt1.log"
    assert "Snakemake has ended" in log.read_text()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_script_that_goes_on_cannot_replace_the_results_of_the_next_run(project, tmp_path):
    """If a process cannot be watched, the claim protects the results."""
    (tmp_path / "sitecustomize.py").write_text("import os\ndel os.pidfd_open\n")
    with orphan(project, PYTHONPATH=str(tmp_path)) as script:
        project.add_keys("training: {epochs: 2}")
        project.snakemake("--unlock")
        assert alive(script), "it is still training"
        log = project.folder / "results/logs/tiny/seed0/round0/train_dense.attempt1.log"
        project.snakemake("--resources", "gpu=0", "--", CHECKPOINT)
        files = contents((project.folder / CHECKPOINT).parent)
        wait_for_end(script)
    assert "another job is writing this file; this job stops without changing it" in log.read_text()
    assert contents((project.folder / CHECKPOINT).parent) == files
    assert not [path.name for path in files if path.name.startswith(".")]
