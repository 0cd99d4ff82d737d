"""Overhead of `prunescope.compare` over the engine, for two arrays of 10,000 × 512.

    python tests/benchmarks/bench_notebook.py [--quick] [--repeat 5]

The engine sums moments, whitens, and computes the same measures of the same arrays, with as many threads.
Both run in turns; the shortest time of each is used. The goal is a ratio of at most 1.05.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow/scripts"))

import prunescope as ps
from prunescope.notebook.arrays import cores
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.moments import Gram
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare
from prunescope.similarity.whitening import represent

MEASURES = ["cca", "cka", "svcca"]


def engine(x, y) -> list[float]:
    """Compute only the measures."""
    measures = [load_measure(name) for name in MEASURES]
    with threadpool_limits(1), ThreadPoolExecutor(cores()) as pool:
        gram = partial(Gram, run=pool.map)
        own = Group([x, y], lambda _, moments: represent(moments), run=pool.map, gram=gram)
        return [score.value for score in compare(own.pair(0, 1), measures)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2,000 × 128")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    n, p = (2_000, 128) if options.quick else (10_000, 512)
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((n, p))
    x, y = (np.maximum(latent @ rng.standard_normal((p, p)), 0).astype(np.float32) for _ in "xy")
    assert np.array_equal(engine(x, y), ps.compare(x, y, MEASURES)["value"])  # also imports what is needed
    times = {"engine": [], "compare": []}
    for _ in range(options.repeat):
        for name, run in (("engine", engine), ("compare", lambda x, y: ps.compare(x, y, MEASURES))):
            start = time.perf_counter()
            run(x, y)
            times[name].append(time.perf_counter() - start)
    least = {name: min(values) for name, values in times.items()}
    print(
        f"{n:,} × {p}, {', '.join(MEASURES)}, {cores()} threads: engine {least['engine']:.3f} s, "
        f"compare {least['compare']:.3f} s = {least['compare'] / least['engine']:.3f} × engine (goal: 1.05)"
    )


if __name__ == "__main__":
    main()
