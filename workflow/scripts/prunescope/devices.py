"""One free GPU for each job: Snakemake counts GPUs but assigns no ids, so each job leases one.

A lease is a lock on a file named after the device. The kernel releases it when the process ends for any
reason, so a killed job never keeps a device.
"""

import os
import tempfile
import time
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

FOLDER = Path(tempfile.gettempdir()) / f"prunescope-{os.getuid()}"


def lease(
    devices: list[str], share: int = 1, folder: str | Path = FOLDER, wait: float | None = None
) -> tuple[int, BaseFileLock]:
    """Lease a slot on one of the devices, and return the position of the device and the lock.

    Slots are assigned in turn: every device gets its first job before any gets its second. `devices` has a
    name for each device that is the same for all processes of the host, e.g. its UUID; `share` is how many
    jobs may hold one at a time. After `wait` seconds without a free device, a TimeoutError is raised.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    until = None if wait is None else time.monotonic() + wait
    while True:
        for slot in range(share):
            for index, device in enumerate(devices):
                lock = FileLock(folder / f"{device}.{slot}.lock")
                try:
                    lock.acquire(blocking=False)
                except Timeout:
                    continue
                return index, lock
        if until is not None and time.monotonic() > until:
            raise TimeoutError(f"none of {len(devices)} devices became free in {wait} s")
        time.sleep(0.05)
