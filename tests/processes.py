"""The processes of a running workflow, for tests that kill them."""

from contextlib import suppress

import psutil


def scripts_of(pid: int, stage: str = "") -> list[psutil.Process]:
    """Return the scripts that a snakemake is running; with `stage`, only those of one rule."""
    found = []
    # Any process may end while they are listed.
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                command = " ".join(child.cmdline())
                if ".snakemake/scripts/" in command and stage in command:
                    found.append(child)
    return found


def kill(process: psutil.Process) -> None:
    """Send SIGKILL to a process, which may have ended already."""
    with suppress(psutil.NoSuchProcess):
        process.kill()
