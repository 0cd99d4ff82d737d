"""Use of the device in training: what affects the bits, deterministic algorithms, memory."""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from prunescope.errors import InputError, out_of_memory


def execution(device: torch.device) -> dict:
    """Return what affects the bits of training on one machine besides settings and seed."""
    return {"device": device.type, "threads": torch.get_num_threads(), "torch": torch.__version__}


def reproducible(device: torch.device) -> None:
    """Make torch use algorithms that give the same bits in every run.

    On the CPU, the algorithms of convolutional networks do so by default, and the setting would import
    torch's compiler.
    """
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Filling new memory takes time and only matters for code that reads uninitialised memory.
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


@contextmanager
def enough_memory(device: torch.device, batch_size: int) -> Iterator[None]:
    """Convert an out-of-memory error to a one-line message that says what to change."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise InputError(
            f"training.batch_size: {batch_size} needs more memory than device {device} has; use a "
            "smaller batch or network, or `precision: bfloat16` (finished rounds and epochs are kept)"
        ) from None


def peak_memory() -> int:
    """Return the most memory this process has used, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
