"""Ctrl-C: no traceback, one line on how to continue; the same command then gives the same bytes."""

import os
import signal
import time

import psutil
import pytest

from forked import SECONDS

pytestmark = pytest.mark.slow

LAST = "results/tiny/seed0/round0/activations.h5"
LINE = (
    "prunescope: interrupted; finished jobs are kept; run the same command again to resume training "
    "from its last epoch"
)
LOGS = "results/logs/tiny/seed0/round0"


def interrupted(project, moment, pause) -> str:
    """Press Ctrl-C once `moment` is true, and again after a pause; return everything that was printed."""
    (project.folder / "snakemake.out").unlink(missing_ok=True)
    with project.running(LAST, preexec_fn=heed_interrupts) as process:
        while not moment(project, process):
            assert process.poll() is None, project.printed[-3000:]
            time.sleep(0.01)
        # A terminal sends it to all processes of the group at once; impatient users press it twice.
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(pause)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=SECONDS)
    return project.printed


def heed_interrupts():
    """A suite that runs in the background of a shell ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def planning(project, process) -> bool:
    return "of disk space" in project.printed


def importing(project, process) -> bool:
    """The training's Python has started, but has not opened its log yet."""
    children = psutil.Process(process.pid).children(recursive=True)
    commands = [child.cmdline() for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return any(len(command) == 2 and command[1].endswith(".train_dense.py") for command in commands)


def training(project, process) -> bool:
    """The first of two epochs is over."""
    return (project.folder / "results/tiny/seed0/round0/.training-state.pt").exists()


def extracting(project, process) -> bool:
    log = project.folder / LOGS / "extract_activations.log"
    return log.exists() and "started" in log.read_text()


def test_ctrl_c_at_any_moment_prints_one_line_and_the_same_command_continues(create, tmp_path):
    project = create(tmp_path / "project")
    project.add_keys("{seeds: [0], rounds: 1, training: {epochs: 2, batch_size: 2}}")
    project.snakemake("results/data/digits.h5")
    undisturbed = project.copy(tmp_path / "undisturbed")
    for moment, pause in ((planning, 0.2), (importing, 0), (training, 0.2), (extracting, 0)):
        printed = interrupted(project, moment, pause)
        assert "Traceback" not in printed and "Exception ignored" not in printed, printed
        assert [line for line in printed.splitlines() if line.startswith("prunescope: inter")] == [LINE]
        assert "these jobs failed" not in printed
        assert not list(project.folder.glob("results/**/.*.part*")), f"{moment.__name__} left temporary files"
        assert not (project.folder / LAST).exists()
    logs = {path.name: path.read_text() for path in (project.folder / LOGS).glob("*.log")}
    assert "train_dense tiny 0: interrupted after" in logs["train_dense.attempt1.log"]
    assert "resuming after step 719" in logs["train_dense.log"]
    for each in (project, undisturbed):
        each.snakemake("--resources", "gpu=0", "--", LAST)
    for name in (LAST, LAST.replace("activations.h5", "checkpoint.pt")):
        assert (project.folder / name).read_bytes() == (undisturbed.folder / name).read_bytes()
