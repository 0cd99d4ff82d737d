# How Snakemake's own process ends: one line for what the user can correct, for Ctrl-C, and for failed jobs.
import atexit
import gc
import os
import re
import signal
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# The jobs and files of a graph are kept to the end. Repeatedly searching them for garbage takes a fifth of the time
# of a large `snakemake -n`; a search after every million new objects is enough.
gc.set_threshold(1_000_000)

MODULE = not workflow.modifier.is_main_snakefile()
# If this folder does not exist, an installed library is used.
LIBRARY = str(REPOSITORY / "workflow/scripts")
sys.path.insert(0, LIBRARY)
# Scripts also use this library instead of an installed one, because digests describe this code. They end when this
# process does.
os.environ.update(
    PYTHONPATH=os.pathsep.join(filter(None, [LIBRARY, os.environ.get("PYTHONPATH")])),
    PRUNESCOPE_SNAKEMAKE=str(os.getpid()),
)


def interrupt(*_):
    """On Ctrl-C, let Snakemake end its jobs; then print one line."""
    global interrupted
    interrupted = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Interrupted code (closing an event loop, an import) would only print unhelpful errors.
    logger.disabled = True
    sys.excepthook = sys.unraisablehook = threading.excepthook = lambda *_: None
    advice = "finished jobs are kept; run the same command again to resume training from its last epoch"
    atexit.register(print, f"prunescope: interrupted; {advice}", file=sys.stderr)
    sys.exit(128 + signal.SIGINT)


interrupted = False
# In a module, the host workflow handles Ctrl-C. If Ctrl-C is ignored from the start (nohup), it stays ignored.
if not MODULE and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, interrupt)
    # A terminal sends Ctrl-C to all processes at once, including a Python process that is still importing and would
    # print a traceback. A script in the background ignores it; its shell sends SIGTERM, which jobs.job handles.
    shell.prefix("set -euo pipefail; trap 'kill $! && wait $!' INT; ")
    shell.suffix("<&0 & wait $!")


def refuse(error):
    """Stop with one line; inside another workflow, raise Snakemake's own error, which it may handle."""
    if MODULE:
        raise WorkflowError(f"prunescope: {error}")
    sys.exit(f"prunescope: {error}")


# Plans inspect data sets and networks. Environments of --sdm are only for jobs.
MISSING = [name for name in ("h5py", "numpy", "pydantic", "torch") if not find_spec(name)]
if MISSING:
    advice = "run make env && source .venv/bin/activate"
    refuse(f"{', '.join(MISSING)}: not installed in the environment that Snakemake runs in; {advice}")


def print_failures(paths):
    """Print the log files of failed jobs, each once, and the signals that ended some of them."""
    if interrupted:
        return
    text = "".join(Path(path).read_text() for path in ([paths] if isinstance(paths, str) else paths))
    logs = dict.fromkeys(re.findall(r"^ +log: (\S+) \(check log file", text, re.MULTILINE))
    codes = {int(code) for code in re.findall(r"returned non-zero exit status (\d+)\.$", text, re.MULTILINE)}
    signals = {signal.Signals(code - 128).name for code in codes if code - 128 in set(signal.Signals)}
    signals |= set(re.findall(r"died with <Signals\.(\w+)", text))
    if logs:
        print("prunescope: these jobs failed; see their logs:", *logs, sep="\n  ", file=sys.stderr)
    if logs and signals:
        advice = "often because memory ran out (it may need the mem_mb above); run fewer at a time"
        print(f"prunescope: a job was killed by {' and '.join(sorted(signals))}, {advice}", file=sys.stderr)


def drop_default_job_rate():
    """Lift Snakemake's default limit of 100 jobs per second, but not one that the user has set.

    With a limit, every job that ends makes Snakemake reconsider all waiting jobs once more per second, until none
    is left. After 200 jobs this takes half a processor core.
    """
    limit = workflow.scheduler.job_rate_limiter
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None
