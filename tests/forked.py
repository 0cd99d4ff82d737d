"""Snakemake without its start-up: a process has imported it and forks for each invocation.

Importing Snakemake costs more than most plans. `Forks` starts this file as a helper process, which imports
Snakemake and the packages that our Snakefile imports, but nothing of ours: each fork reads the library of its
own project.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path

# What Snakemake and our Snakefile import later than `snakemake.cli`; one that is missing only costs time.
LATER = (
    "docutils.core",
    "h5py",
    "jinja2",
    "pydantic",
    "nbformat",
    "numpy",
    "requests",
    "scipy.linalg",
    "smart_open",
    "snakemake.executors.local",
    "snakemake.linting.rules",
    "snakemake.report.html_reporter",
    "unittest.mock",
)
# No invocation takes that long; one that hangs must not stop the suite for good.
SECONDS = 1800


class Forks:
    """The helper process. It ends when its standard input does."""

    def __init__(self):
        self.helper = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def snakemake(
        self, arguments: tuple[str, ...], folder: Path, environment: dict[str, str]
    ) -> subprocess.CompletedProcess:
        """Run Snakemake in a folder; return its exit status and what it printed."""
        with tempfile.NamedTemporaryFile("r") as printed:
            request = [arguments, str(folder), environment, printed.name]
            print(json.dumps(request), file=self.helper.stdin, flush=True)
            status = json.loads(self.helper.stdout.readline())
            return subprocess.CompletedProcess(["snakemake", *arguments], status, printed.read())

    def close(self) -> None:
        self.helper.communicate()


def serve() -> None:
    """Fork for each line of standard input; answer with the exit status."""
    import snakemake.cli

    snakemake.cli.get_argument_parser()  # imports all plugins
    for package in LATER:
        import_module(package)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        arguments, folder, environment, output = json.loads(line)
        child = os.fork()
        if not child:
            answers.close()
            become_snakemake(arguments, folder, environment, output)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # whatever it has left running
        print(status, file=answers, flush=True)


def become_snakemake(arguments: list[str], folder: str, environment: dict[str, str], output: str):
    """Do what ``python -m snakemake`` does in a new process of its own process group."""
    status = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.alarm(SECONDS)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), 1)
        os.dup2(1, 2)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        # `check_targets` and Snakemake's own records read these.
        sys.argv[:] = ["snakemake", *arguments]
        sys.path[:1] = filter(None, [folder, *environment.get("PYTHONPATH", "").split(os.pathsep)])
        sys.modules["snakemake.cli"].main(sys.argv[1:])
    except SystemExit as end:
        status = end.code or 0
        if isinstance(status, str):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve()
