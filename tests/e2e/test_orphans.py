"""A script that outlives its Snakemake never replaces a result of its successor."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.slow

CHECKPOINT = "results/tiny/seed0/round0/checkpoint.pt"


def start(project, **environment) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--resources", "gpu=0", "--", CHECKPOINT],
        cwd=project.folder,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.fixture
def orphan(project):
    """A project where only Snakemake was killed, while training had many epochs left."""

    def make(**environment):
        project.add_keys("training: {epochs: 2000}")
        snakemake = start(project, **environment)
        state = (project.folder / CHECKPOINT).with_name(".training-state.pt")
        wait_for(state.exists)
        (script,) = [
            child
            for child in psutil.Process(snakemake.pid).children(recursive=True)
            if child.name().startswith("python") and ".snakemake/scripts/" in " ".join(child.cmdline())
        ]
        snakemake.send_signal(signal.SIGKILL)
        snakemake.wait()
        return script

    return make


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux can watch another process")
def test_a_script_ends_when_its_snakemake_is_killed(project, orphan):
    script = orphan()
    wait_for(lambda: not alive(script), seconds=15)
    folder = (project.folder / CHECKPOINT).parent
    assert [path.name for path in folder.glob(".*")] == [".training-state.pt"], (
        "no temporary files, no claims"
    )
    assert not (project.folder / CHECKPOINT).exists()
    log = project.folder / "results/logs/tiny/seed0/round0/train_dense.attempt1.log"
    assert "Snakemake has ended" in log.read_text()


def test_a_script_that_goes_on_cannot_replace_the_results_of_the_next_run(project, orphan, tmp_path):
    """If a process cannot be watched, the claim protects the results."""
    (tmp_path / "sitecustomize.py").write_text("import os\ndel os.pidfd_open\n")
    script = orphan(PYTHONPATH=str(tmp_path))
    try:
        project.add_keys("training: {epochs: 2}")
        project.snakemake("--unlock")
        assert alive(script), "it is still training"
        log = project.folder / "results/logs/tiny/seed0/round0/train_dense.attempt1.log"
        project.snakemake("--resources", "gpu=0", "--", CHECKPOINT)
        files = {path: path.read_bytes() for path in (project.folder / CHECKPOINT).parent.iterdir()}
        wait_for(lambda: not alive(script), seconds=60)
    finally:
        if alive(script):
            script.kill()
    assert "another job is writing this file; this job stops without changing it" in log.read_text()
    assert {path: path.read_bytes() for path in (project.folder / CHECKPOINT).parent.iterdir()} == files
    assert not [path.name for path in files if path.name.startswith(".")]
