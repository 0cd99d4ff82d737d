"""What every script of the workflow does first: its log, its threads, its device, its errors."""

import gc
import itertools
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from threadpoolctl import threadpool_limits

from prunescope import devices, files, identity, provenance, user_code
from prunescope.errors import InputError, counted, out_of_memory

# Importing torch creates hundreds of thousands of permanent objects. Searching them for garbage after every
# 700 new ones, and once more at the end, takes a quarter of the time. `job` also excludes them from the
# search.
gc.set_threshold(100_000)

# Environment variable with the process id of the Snakemake that runs a script.
SNAKEMAKE = "PRUNESCOPE_SNAKEMAKE"

log = logging.getLogger("prunescope")
_leases = []  # device, start time and lock: a lock without references is released


@contextmanager
def job(snakemake, hidden: Iterable[str | Path] = ()) -> Iterator[logging.Logger]:
    """Run a script's body with its log file open and the linear algebra limited to its declared threads.

    The job claims its outputs: if Snakemake is killed and the job is started again, only the new job can
    write them. On Linux the job also ends when Snakemake has ended. It verifies its inputs, and when it
    succeeds it leaves a receipt, see `prunescope.identity`.

    An `InputError` ends the process with its one-line message, in the log and on standard error; so does a
    lack of memory, with the memory bound of the job's rule. SIGTERM and Ctrl-C interrupt the body, so that it
    removes its temporary files, and end the process with one line in the log. Any other exception is logged
    with its traceback and raised. A job that succeeds on a GPU records how long it held the GPU and how much
    GPU memory it used. `hidden` are further files that only this job may write.
    """
    gc.freeze()
    user_code.use(snakemake.config.get("code_folder", "."))
    gpu_benchmark(snakemake.log[0]).unlink(missing_ok=True)  # of an earlier run, perhaps on a GPU
    name, start = " ".join([snakemake.rule, *map(str, snakemake.wildcards)]), time.monotonic()
    with (
        _logging_to(Path(snakemake.log[0])),
        _ended_by_signals(),
        _one_line_errors(name, snakemake.resources),
    ):
        log.info("%s: started on %s", name, counted(snakemake.threads, "thread"))
        provenance.check_sources()
        end_with_snakemake()
        with threadpool_limits(snakemake.threads), files.claimed([*snakemake.output, *hidden]):
            _check_user_code(snakemake)
            inputs = _verified(snakemake)
            yield log
            _check_user_code(snakemake)
            _leave_receipt(snakemake, inputs, time.monotonic() - start)
        log.info("%s: done in %.1f s", name, time.monotonic() - start)
        _measure_gpu(gpu_benchmark(snakemake.log[0]))


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Write the log to a new file; a second name keeps the log of an attempt that fails."""
    kept = _open_log(path)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
        kept.unlink(missing_ok=True)
    finally:
        log.removeHandler(handler)
        handler.close()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM and Ctrl-C.

    workflow/rules/process.smk turns Ctrl-C into SIGTERM, and so do clusters when they cancel a job.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, _interrupt)
    if before[signal.SIGINT] is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def _one_line_errors(name: str, resources) -> Iterator[None]:
    """Log how a job ended, and end the process with one line for what the user can correct."""
    start = time.monotonic()
    try:
        yield
    except InputError as error:
        log.error("%s", error)
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        log.info("%s: interrupted after %.1f s", name, time.monotonic() - start)
        sys.exit(128 + signal.SIGINT)
    except BaseException as error:
        if out_of_memory(error):
            line = _lack_of_memory(error, resources)
            log.error("%s", line)
            sys.exit(f"{name}: {line}")
        log.exception("%s: failed", name)
        if problem := user_code.problem(error):
            sys.exit(f"{name}: {problem}")
        raise


def _interrupt(*_) -> None:
    """Raise KeyboardInterrupt once: Ctrl-C reaches a job from the terminal and from Snakemake."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _check_user_code(snakemake) -> None:
    """Refuse to run the user's code if it was edited after planning, or while this job ran."""
    for path, (planned, _) in snakemake.params.get("user_code", {}).items():
        if identity.content(user_code.root() / path) != planned:
            raise InputError(f"{path}: edited after this run was planned; run the same command again")


def _verified(snakemake) -> list[dict]:
    receipts = set(snakemake.input.get("receipts", []))
    inputs = [path for path in snakemake.input if path not in receipts]
    return identity.verified(inputs, receipts or filter(None, map(identity.receipt_beside, inputs)))


def _leave_receipt(snakemake, inputs: list[dict], seconds: float) -> None:
    receipt = snakemake.output.get("receipt")
    if receipt is None:
        return
    job_of_receipt = {
        "rule": snakemake.rule,
        "wildcards": dict(snakemake.wildcards.items()),
        "settings": identity.settings(dict(snakemake.params.items())),
        "inputs": inputs,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "device": _device_name(),
        "threads": snakemake.threads,
        "environment": provenance.environment(),
    }
    if stamp := snakemake.params.get("stamp"):
        job_of_receipt["source"] = identity.content(stamp[0])
    outputs = [path for path in snakemake.output if path != receipt]
    identity.write(receipt, outputs, job_of_receipt)


def _device_name() -> str:
    if not _leases:
        return "cpu"
    import torch

    return torch.cuda.get_device_name(_leases[0][0])


def _lack_of_memory(error: BaseException, resources) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    return (
        f"not enough memory ({reason}); the job may need {resources.mem_mb:,} MB (mem_mb of its rule); raise "
        "the limit (ulimit -v, ulimit -u, the cluster's --mem), or run fewer jobs at a time (--cores)"
    )


def end_with_snakemake() -> None:
    """End this process, as SIGTERM does, as soon as the Snakemake that started it has ended.

    A shell runs between the two, so the kernel's parent-death signal would come from the wrong process. This
    does nothing outside the workflow or where the system cannot watch a process; there, claims protect the
    outputs.
    """
    pid = os.environ.get(SNAKEMAKE)
    if pid is None or not hasattr(os, "pidfd_open"):
        return
    try:
        watched = os.pidfd_open(int(pid))
    except ProcessLookupError:
        watched = None
    except OSError:  # not permitted here
        return

    def wait() -> None:
        if watched is not None:
            poll = select.poll()
            poll.register(watched, select.POLLIN)
            poll.poll()
        log.info("Snakemake has ended, so this job stops")
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def _open_log(path: Path) -> Path:
    """Create an empty log file with a hard link that survives however the attempt ends.

    Snakemake deletes the log of a failed job before it retries. The link, ``NAME.attempt1.log`` and so on,
    keeps its content.
    """
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    for attempt in itertools.count(1):
        kept = path.with_suffix(f".attempt{attempt}{path.suffix}")
        try:
            os.link(path, kept)
        except FileExistsError:
            continue
        except OSError:  # a file system without hard links keeps only the last log
            pass
        return kept


def gpu_benchmark(log: str | Path) -> Path:
    """Return the file for a job's GPU time and memory: next to Snakemake's benchmark file."""
    return Path(str(log).replace("/logs/", "/benchmarks/", 1)).with_suffix(".gpu.tsv")


def write_gpu_benchmark(path: str | Path, gpu: str, seconds: float, peak_bytes: int) -> None:
    """Write a table of one line, in the style of Snakemake's benchmark files: memory in MiB."""
    with files.atomic_path(path) as part:
        part.write_text(f"gpu\tgpu_seconds\tpeak_gpu_mb\n{gpu}\t{seconds:.4f}\t{peak_bytes / 2**20:.2f}\n")


def _measure_gpu(path: Path) -> None:
    """Write for how long this process has held each GPU, and how much of its memory it used."""
    for gpu, since, _ in _leases:
        import torch

        seconds, peak = time.monotonic() - since, torch.cuda.max_memory_reserved(gpu)
        write_gpu_benchmark(path, torch.cuda.get_device_name(gpu), seconds, peak)


def granted_gpu(resources) -> bool:
    """Whether a job's resources include a GPU: as `gpu`, or as `gres` on clusters that support only that."""
    return bool(getattr(resources, "gpu", 0)) or "gpu" in str(getattr(resources, "gres", ""))


def device(snakemake):
    """Return the device to compute on: CUDA if the job was granted a GPU and one exists, else the CPU.

    With ``--resources gpu=0`` no job is granted one, so everything runs on the CPU. The job leases a GPU that
    no other job uses until its process ends (``gpu_share`` in config/config.yaml lets several jobs share
    one).
    """
    import torch

    torch.set_num_threads(snakemake.threads)
    if not granted_gpu(snakemake.resources) or not torch.cuda.is_available():
        return torch.device("cpu")
    names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
    index, lock = devices.lease(names, snakemake.config.get("gpu_share", 1))
    _leases.append((index, time.monotonic(), lock))
    torch.cuda.set_device(index)
    log.info("GPU %d: %s", index, torch.cuda.get_device_name(index))
    return torch.device("cuda", index)
