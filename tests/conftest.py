"""A small real project, built once for all tests that need results: two seeds, two pruning rounds."""

import gc
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from projects import Project, forks, scripts

# Read when NumPy and torch are imported. There are as many workers as cores; with more threads, they would
# spend most of their time waiting for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def search_for_garbage_again():
    """Undo the garbage-collector settings that `jobs.job` makes for a short-lived process."""
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def no_test_leaves_a_process():
    """Every process that a test starts inherits this worker's mark and the name of the test."""
    os.environ["PRUNESCOPE_TESTS"] = mark = f"{os.getpid()} {time.time()}"
    yield
    for helper in (forks, scripts):
        if helper.cache_info().currsize:
            helper().close()
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environment = process.environ()
            if environment.get("PRUNESCOPE_TESTS") == mark:
                left.append(f"{environment.get('PYTEST_CURRENT_TEST')}: {' '.join(process.cmdline())}")
                process.kill()
    assert not left, "\n".join(left)


@pytest.fixture(scope="session", autouse=True)
def a_home_that_can_be_written(tmp_path_factory):
    """Snakemake and Matplotlib keep files in the home directory; a user without one names other folders."""
    if not os.access(Path.home(), os.W_OK):
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            os.environ.setdefault(name, str(tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Build a folder once for all workers: the first test that needs it builds it, the others wait."""

    def once(name: str, build: Callable[[Path], object]) -> Path:
        base = tmp_path_factory.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            base = base.parent
        folder, state = base / "shared" / name, base / f"{name}.state"
        folder.parent.mkdir(exist_ok=True)
        with FileLock(base / f"{name}.lock"):
            if not state.exists():
                state.write_text("failed")
                build(folder)
                state.write_text("built")
        assert state.read_text() == "built", f"building {name} failed in another test"
        return folder

    return once


@pytest.fixture(scope="session")
def create():
    """Make an unbuilt project in a folder."""
    return Project.create


@pytest.fixture(scope="session")
def built(once) -> Project:
    """The tiny experiment, run to its end. Copy it before changing anything."""
    return Project(once("built", lambda folder: Project.create(folder).snakemake("--resources", "gpu=0")))


@pytest.fixture
def project(built, tmp_path) -> Project:
    """A copy of the built project that a test may change."""
    return built.copy(tmp_path / "project")
