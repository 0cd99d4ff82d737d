"""Two jobs never share a device unless `share` allows it; a killed job releases its device."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from prunescope import devices

# Holds a lease for some time and prints when, and on which device.
HOLD = """
import sys, time
from prunescope import devices
folder, share, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
index, lock = devices.lease(["a", "b", "c"], share, folder)
start = time.monotonic()
print("leased", index, start, flush=True)
time.sleep(seconds)
print("ended", index, time.monotonic(), flush=True)
"""


@pytest.fixture
def hold(tmp_path):
    """Start a process that holds a lease; kill it at the end of the test."""
    started = []

    def hold(share: int, seconds: float) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), str(share), str(seconds)],
            env={**os.environ, "PYTHONPATH": str(Path(devices.__file__).parents[1])},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("share", [1, 2])
def test_no_device_has_more_jobs_than_its_share(hold, share):
    jobs = [hold(share, 0.3) for _ in range(9)]
    events = []
    for job in jobs:
        for line in job.communicate()[0].splitlines():
            kind, index, moment = line.split()
            events.append((float(moment), kind, index))
    held: Counter = Counter()
    for _, kind, index in sorted(events):
        held[index] += 1 if kind == "leased" else -1
        assert held[index] <= share
    assert len(events) == 18 and len({index for _, _, index in events}) == 3


def test_kill_9_gives_the_device_back(tmp_path, hold):
    holders = [hold(1, 600) for _ in range(3)]
    assert {job.stdout.readline().split()[1] for job in holders} == {"0", "1", "2"}
    with pytest.raises(TimeoutError):
        devices.lease(["a", "b", "c"], 1, tmp_path, wait=0.2)
    victim = holders[1]
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    _, lock = devices.lease(["a", "b", "c"], 1, tmp_path, wait=5)
    lock.release()


def test_every_device_gets_a_job_before_any_gets_two(tmp_path):
    leases = [devices.lease(["a", "b"], 2, tmp_path, wait=1) for _ in range(4)]
    assert [index for index, _ in leases] == [0, 1, 0, 1]
    with pytest.raises(TimeoutError):
        devices.lease(["a", "b"], 2, tmp_path, wait=0.1)
    for _, lock in leases:
        lock.release()


def test_a_waiting_job_gets_the_device_as_soon_as_it_is_free(tmp_path, hold):
    holder = hold(1, 0.5)
    index = int(holder.stdout.readline().split()[1])
    leased, lock = devices.lease(["abc"[index]], 1, tmp_path, wait=30)
    assert leased == 0
    lock.release()
