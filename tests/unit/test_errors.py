"""Behaviour when there is not enough memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from prunescope.errors import InputError, out_of_memory, shrinking


@pytest.mark.parametrize("allocate", [torch.empty, np.empty])
def test_out_of_memory_halves_the_size_until_it_fits(allocate):
    """The library's own allocator fails."""
    tried = []

    def run(size, fits=3):
        tried.append(size)
        return len(allocate(10**17 if size > fits else 1))

    assert shrinking(run, 20, "image", "record fewer layers") == 1
    assert tried == [20, 10, 5, 2]
    with pytest.raises(InputError, match="not enough memory for even one image; record fewer layers"):
        shrinking(lambda size: run(size, fits=0), 4, "image", "record fewer layers")


def test_other_errors_are_raised_unchanged():
    with pytest.raises(RuntimeError, match="shape"):
        shrinking(lambda size: torch.ones(2) @ torch.ones(3, 3), 4, "image", "")


LIBRARY = Path(__file__).parents[2] / "workflow/scripts"
# Each needs more memory than the address space of its process allows.
GREEDY = {
    "numpy": "import numpy; limit(); numpy.ones(10**9)",
    "torch": "import torch; limit(); torch.ones(10**9)",
    "arrow": "import pyarrow; limit(); pyarrow.allocate_buffer(10**10)",
    "a library": "limit(); import torch",
    "a thread": "import threading; threading.stack_size(2**30); limit(); "
    "[threading.Thread(target=threading.Event().wait, daemon=True).start() for _ in range(9)]",
}


@pytest.mark.parametrize("what", GREEDY)
def test_the_lack_of_memory_is_recognised_whoever_reports_it(what):
    program = (
        "import os, resource, sys\n"
        "from prunescope.errors import out_of_memory\n"
        "def limit():\n"
        "    size = 4096 * int(open('/proc/self/statm').read().split()[0]) + 2**28\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (size, size))\n"
        "try:\n"
        f"    {GREEDY[what]}\n"
        "except BaseException as error:\n"
        "    print(out_of_memory(error), repr(error))\n"
        "    sys.stdout.flush(); os._exit(0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(LIBRARY)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("True"), (done.stdout, done.stderr[-500:])


def test_other_errors_are_not_mistaken_for_a_lack_of_memory():
    for error in (
        RuntimeError("shapes differ"),
        OSError(28, "No space left on device"),
        ValueError("memory"),
    ):
        assert not out_of_memory(error)
