"""What every script of the workflow does first: its log, its threads, its device, its errors."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from prunescope.errors import InputError

log = logging.getLogger("prunescope")


@contextmanager
def job(snakemake) -> Iterator[logging.Logger]:
    """Run a script's body with its log file open and the linear algebra held to its declared threads.

    An `InputError` ends the process with that one line, in the log and on standard error; any other
    exception is logged with its traceback and raised.

    Parameters
    ----------
    snakemake : object
        What Snakemake gives to a script: `log`, `rule`, `wildcards` and `threads` are used.
    """
    handler = logging.FileHandler(snakemake.log[0], mode="w")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    name = " ".join([snakemake.rule, *(str(value) for value in snakemake.wildcards)])
    start = time.monotonic()
    log.info("%s: started, %d threads", name, snakemake.threads)
    try:
        with threadpool_limits(snakemake.threads):
            yield log
    except InputError as error:
        log.error("%s", error)
        sys.exit(f"{name}: {error}")
    except BaseException:
        log.exception("%s: failed", name)
        raise
    log.info("%s: done in %.1f s", name, time.monotonic() - start)


def device(snakemake):
    """Return the device to compute on: CUDA when the job was granted a GPU and one is there, else the CPU.

    ``--resources gpu=0`` grants none, so it runs everything on the CPU.

    Returns
    -------
    torch.device
    """
    import torch

    granted = int(getattr(snakemake.resources, "gpu", 0) or 0)
    torch.set_num_threads(snakemake.threads)
    return torch.device("cuda" if granted and torch.cuda.is_available() else "cpu")
