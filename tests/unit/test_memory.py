"""The bound on a comparison's memory against the actual use."""

import os
import subprocess
import sys
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from prunescope import hdf5, kinds
from prunescope.settings.similarity import Similarity
from prunescope.similarity.matrix import compare_round
from prunescope.similarity.memory import peak_bytes

LIBRARY = Path(__file__).parents[2] / "workflow/scripts"
ALL = list(kinds.known("measure"))


def record(path, round, widths, n, ill, positions=1):
    """Write rows that are correlated between rounds; with `ill`, of condition number 1e6."""
    shared = np.random.default_rng(0).standard_normal((n, 8), np.float32)
    rng = np.random.default_rng(round + 1)
    with h5py.File(path, "w") as file:
        file.attrs.update(
            schema=3, seed=0, round=round, view="pooled", positions="all", dataset="", density=1.0
        )
        file["examples"] = np.arange(n // positions)
        file["labels"] = np.arange(n // positions) % 10
        for order, width in enumerate(widths):
            rows = shared @ rng.standard_normal((8, width), np.float32)
            rows *= 10 if ill else 1
            rows = rows + rng.standard_normal((n, width), np.float32) * np.float32(1e-3 if ill else 1)
            data = file.create_dataset(f"layers/{order}", data=rows)
            data.attrs.update(
                order=order, width=width, shape=[width], grid=[positions], positions=range(positions)
            )
    hdf5.seal(path)
    return path


@pytest.mark.parametrize(
    "widths, recordings, n, pairs, threads, ill, positions, intervals",
    [
        ([10], 2, 50_000, "same-layer", 1, False, 500, True),
        ([24], 4, 40_000, "same-layer", 2, False, 1000, False),
        ([200], 3, 3_000, "same-layer", 2, False, 30, True),
        ([64, 96], 4, 30_000, "same-layer", 2, True, 1, False),
        ([600], 2, 3_000, "same-layer", 2, True, 1, False),
        ([32, 128, 10], 3, 3_000, "all-layers", 2, True, 1, False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [
                ([600], 3, 3_000, "same-layer", 1, False, 1, False),
                ([32, 64, 64, 128, 10], 5, 5_000, "all-layers", 2, True, 1, False),
                ([1600], 2, 4_000, "same-layer", 1, False, 1, False),
                ([32, 64, 64, 128, 10], 5, 5_000, "all-layers", 1, False, 1, False),
                ([100] * 8, 6, 3_000, "all-layers", 2, False, 1, False),
                ([100] * 8, 6, 3_000, "all-layers", 2, True, 1, False),
            ]
        ),
    ],
)
def test_the_bound_holds_and_is_not_far_off(
    tmp_path, widths, recordings, n, pairs, threads, ill, positions, intervals
):
    paths = [
        record(tmp_path / f"{round}.h5", round, widths, n, ill, positions) for round in range(recordings)
    ]
    compare_round(paths[:1], Similarity(measures=["cca"]))  # imports
    tracemalloc.start()
    compare_round(paths, Similarity(measures=ALL, pairs=pairs, intervals=intervals), threads)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    sizes, images = [positions] * len(widths), n // positions
    without, bound = (
        peak_bytes(widths, recordings, threads, pairs, sizes, intervals, sample, images)
        for sample in (False, True)
    )
    print(f"bound / peak {bound / peak:.2f}")
    # A sample has room for 1,000 images, even if there are fewer.
    assert peak <= bound and without <= 6 * peak


@dataclass
class Sizes:
    """The letters of the bound in docs/similarity.md, by hand. A matrix has two columns besides its own."""

    p: list[int]
    m: int
    P: int
    S: int
    S2: int
    Q: int
    rows: int
    tile: int
    h: int = 2
    M: int = 0
    t: int = 1
    intervals: bool = False

    def bound(self):
        L, p, t, M = sum(self.p), max(self.p), self.t, self.M
        work = (20 if self.intervals else 8) * p**2 + self.tile**2
        sums = self.S + self.S2 + 2 * (self.h * L + M) * L
        kept = 8 * (sum(one**2 for one in self.p) + self.Q) + M // 4 * (L + (t + 1) * p) + M * t * p
        return 8 * (self.rows + self.m * (2 * self.P + (3 + t) * p) + sums + kept + t * work)


ONE = 2 * 12_000 * 6_000 + 40 * 6_000  # sums of one matrix of 6,000 columns in 2 positions


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        pytest.param(
            {"widths": [98], "recordings": 3},
            Sizes([100], 16384, 400, 120_000, 120_000, 30_000, 2 * 3 * 1298, tile=400),
            id="everything in one pass",
        ),
        pytest.param(
            {
                "widths": [98, 98, 198],
                "recordings": 2,
                "threads": 2,
                "pairs": "all-layers",
                "intervals": True,
            },
            Sizes(
                *([100, 100, 200], 16384, 400, 8_800_000, 8_800_000, 120_000, 2 * 2 * 9 * 1398),
                **{"tile": 1200, "h": 20, "t": 2, "intervals": True},
            ),
            id="all layers, with intervals",
        ),
        pytest.param(
            {"widths": [98, 1998], "recordings": 21, "threads": 2},
            Sizes([2000], 1024, 35554, 2**26, 2**24, 2**24, 2 * 21 * 2 * 3198, tile=2000, t=2),
            id="several passes",
        ),
        pytest.param(
            {"widths": [5998], "recordings": 20, "positions": [2]},
            Sizes([6000], 1024, 17184, ONE, ONE, 6000**2, 2 * 20 * 7198, tile=6000, M=40),
            id="one matrix in a pass",
        ),
        pytest.param(
            {"widths": [98], "recordings": 400},
            Sizes([100], 1024, 40_100, 16_000_000, 16_000_000, 4_000_000, 2 * 400 * 1298, tile=1536),
            id="many narrow matrices",
        ),
    ],
)
def test_the_bound_is_the_documented_one(arguments, sizes):
    assert peak_bytes(**arguments) == sizes.bound()


def test_a_sample_of_images_needs_memory():
    """1,000 vectors of L + t · p columns, and matrices of 1,000 × 1,000; p and L as in the network."""
    sizes = {"widths": [64, 512], "recordings": 5, "pairs": "all-layers"}
    for threads in (1, 4):
        without, with_sample = (
            peak_bytes(**sizes, threads=threads, sample=sample) for sample in (False, True)
        )
        vectors = 1000 * (576 + threads * 512) + threads * (2 * 1024 + 1000) * 512
        pairs = 10**6 * (6 * threads + 9 * (2 + threads) // 8 + 1)
        assert with_sample - without == 8 * (vectors + pairs)


def test_the_bound_grows_with_what_needs_memory():
    small = peak_bytes([64, 512], 5)
    assert peak_bytes([64, 512], 5, 1, "same-layer", [1, 1], intervals=False) == small, "the defaults"
    assert peak_bytes([64, 512], 21) > small
    assert peak_bytes([64, 1024], 5) > small
    assert peak_bytes([64, 512], 5, threads=4) > small
    assert peak_bytes([64, 512], 5, positions=[1024, 16]) > small
    assert small < peak_bytes([64, 512], 5, images=100) < peak_bytes([64, 512], 5, images=10**4)
    assert peak_bytes([64, 512], 5, images=10**4) == peak_bytes([64, 512], 5, images=10**6), (
        "at most 2²² numbers"
    )
    assert peak_bytes([64, 512], 5, intervals=True) > 1.5 * small
    assert peak_bytes([512] * 9, 5, pairs="all-layers") > peak_bytes([512] * 9, 5)


def test_sizes_and_status_are_known_without_torch_or_scipy():
    """They are needed to build the workflow's graph."""
    program = """
import sys
from prunescope import kinds
from prunescope.similarity import measures, memory
memory.peak_bytes([64], 2)
measures.described("cca").foreseen(100, 64)
kinds.load("view", "flatten").stored((16, 5, 5), 100)
print([name for name in ("torch", "scipy", "pyarrow", "h5py", "pandas") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(LIBRARY)},
    )
    assert done.stdout == "[]\n", done.stderr
