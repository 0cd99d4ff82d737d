"""Snakemake and its scripts without their start-up: processes have imported the packages and fork.

Importing Snakemake costs more than most plans, and importing torch more than most jobs of a tiny experiment.
`Forks` and `Scripts` start this file as helper processes, which import Snakemake and the packages that our
Snakefile and our scripts import, but nothing of ours: each fork reads the library of its own project.
"""

import atexit
import gc
import json
import os
import runpy
import select
import shlex
import signal
import socket
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
# The same for scripts.
OF_SCRIPTS = (
    "altair",
    "filelock",
    "h5py",
    "jinja2",
    "matplotlib.figure",
    "numpy",
    "pandas",
    "pyarrow.dataset",
    "pydantic.main",
    "scipy.linalg",
    "scipy.special",
    "snakemake.script",
    "threadpoolctl",
    "torch",
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
        self, arguments: tuple[str, ...], folder: Path, environment: dict[str, str], python: str
    ) -> subprocess.CompletedProcess:
        """Run Snakemake in a folder, and its scripts with `python`; return its status and what it printed."""
        with tempfile.NamedTemporaryFile("r") as printed:
            request = [arguments, str(folder), environment, printed.name, python]
            print(json.dumps(request), file=self.helper.stdin, flush=True)
            status = json.loads(self.helper.stdout.readline())
            return subprocess.CompletedProcess(["snakemake", *arguments], status, printed.read())

    def close(self) -> None:
        self.helper.communicate()


class Scripts:
    """The helper process of scripts, and a command `python`, which runs them in forks of it."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        address, command = (Path(self.folder.name) / name for name in ("socket", "python"))
        client = Path(__file__).with_name("forked_script.py")
        words = [sys.executable, "-IS", str(client), str(address), sys.executable]
        command.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        command.chmod(0o755)
        self.python = str(command)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(address))
            listener.listen()
            number = str(listener.fileno())
            self.helper = subprocess.Popen(
                [sys.executable, __file__, number], stdin=subprocess.PIPE, pass_fds=[listener.fileno()]
            )

    def close(self) -> None:
        self.helper.communicate()
        self.folder.cleanup()


def serve() -> None:
    """Fork for each line of standard input; answer with the exit status."""
    import snakemake.cli

    snakemake.cli.get_argument_parser()  # imports all plugins
    for package in LATER:
        import_module(package)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        arguments, folder, environment, output, python = json.loads(line)
        child = os.fork()
        if not child:
            answers.close()
            sys.executable = python
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
        status = status_of(end)
    except BaseException:
        traceback.print_exc()
    finally:
        finish()
        os._exit(status)


def status_of(end: SystemExit) -> int:
    if isinstance(end.code, str):
        print(end.code, file=sys.stderr)
        return 1
    return end.code or 0


def finish() -> None:
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()


def serve_scripts(listener: socket.socket) -> None:
    """Fork for each connection, until standard input ends. The first one imports what scripts import."""
    running: dict[int, socket.socket] = {}

    def answer(*_) -> None:
        """Send the exit status of each fork that has ended, negative for a signal."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                with running.pop(ended[0]) as connection, suppress(BrokenPipeError):
                    connection.sendall(f"{os.waitstatus_to_exitcode(ended[1])}\n".encode())

    def asked() -> bool:
        return listener in select.select([listener, sys.stdin], [], [])[0]

    if asked():
        gc.disable()
        for package in OF_SCRIPTS:
            import_module(package)
    signal.signal(signal.SIGCHLD, answer)  # importing also starts processes
    while asked():
        connection, _ = listener.accept()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        child = os.fork()
        if not child:
            listener.close()
            become_python(connection)
        running[child] = connection
        connection.sendall(f"{child}\n".encode())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


def become_python(connection: socket.socket):
    """Do what Python would do in the process of `forked_script.py` that has connected."""
    status = 1
    try:
        _, streams, _, _ = socket.recv_fds(connection, 1, 3)
        request = json.loads(connection.makefile("r").readline())
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        connection.close()
        os.setpgid(0, request["group"])
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        if request["ignores_interrupts"]:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        arguments = request["arguments"]
        path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        sys.modules["numpy"].random.seed()
        gc.enable()
        if arguments[:2] == ["-P", "-m"]:
            sys.argv[:], sys.path[:1] = arguments[2:], filter(None, path)
            runpy.run_module(arguments[2], run_name="__main__", alter_sys=True)
        else:
            sys.argv[:], sys.path[:1] = arguments, filter(None, [str(Path(arguments[0]).parent), *path])
            runpy.run_path(arguments[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = status_of(end)
    except BaseException:
        traceback.print_exc()
    finally:
        finish()
        os._exit(status)


if __name__ == "__main__":
    if sys.argv[1:]:
        serve_scripts(socket.socket(fileno=int(sys.argv[1])))
    else:
        serve()
