"""How fast the similarity engine is, as ratios to two other algorithms in the same run, on all cores.

    python tests/benchmarks/bench_similarity.py [--quick] [--cases ABC] [--repeat 3] [--stride 5]

Each case is one layer over 21 rounds. The other algorithms, both in NumPy float64: *pairwise*, as published
(covariances, inverse square roots and one SVD for each pair), and *cached QR* (an orthonormal basis once per
matrix, one product and the singular values for each pair). Algorithms take turns; the least time of each
counts. Of the pairs of the other algorithms only every `stride`-th is timed.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
from scipy.linalg import blas
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow/scripts"))

from prunescope import comparison, moments, similarity

ROUNDS = 21
CASES = {"A": (10_000, 512), "B": (80_000, 256), "C": (320_000, 64)}
QUICK = {"A": (1_000, 96), "B": (4_000, 48), "C": (16_000, 16)}
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def layer_over_rounds(n, p):
    """Rectified features that drift from round to round and lose units on the way."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((n, p)).astype(np.float32)
    weights = rng.standard_normal((p, p)).astype(np.float32) * np.geomspace(1, 0.02, p, dtype=np.float32)
    matrices = []
    for number in range(ROUNDS):
        matrix = np.maximum(latent @ weights.T, 0)
        matrix[:, rng.permutation(p)[: number * p // 100]] = 0
        matrices.append(matrix)
        weights += 0.1 * rng.standard_normal((p, p)).astype(np.float32) * np.abs(weights)
    return matrices


def pairwise(matrices, pairs):
    total = []
    for i, j in pairs:
        both = np.hstack([matrices[i], matrices[j]], dtype=np.float64)
        both = both[:, both.any(axis=0)]
        p = int(matrices[i].any(axis=0).sum())
        both -= both.mean(axis=0)
        covariance = both.T @ both / (len(both) - 1)
        roots = []
        for block in (covariance[:p, :p], covariance[p:, p:]):
            values, vectors = np.linalg.eigh(block)
            roots.append((vectors / np.sqrt(values)) @ vectors.T)
        _, correlations, _ = np.linalg.svd(roots[0] @ covariance[:p, p:] @ roots[1])
        total.append(correlations.mean())
    return total


def orthonormal(matrix):
    matrix = matrix[:, matrix.any(axis=0)].astype(np.float64)
    matrix -= matrix.mean(axis=0)
    return np.linalg.qr(matrix)[0]


def by_bases(bases, pairs):
    return [np.linalg.svd(bases[i].T @ bases[j], compute_uv=False).mean() for i, j in pairs]


def engine(matrices, metrics, spent):
    with threadpool_limits(1), ThreadPoolExecutor(THREADS) as pool:
        start = time.perf_counter()
        gram = moments.all_pairs(matrices, run=pool.map)
        spent["moments"] = min(time.perf_counter() - start, spent.get("moments", np.inf))
        variance = None if similarity.TRUNCATED.isdisjoint(metrics) else 0.99
        sides = list(
            pool.map(lambda i: similarity.represent(gram.moments(i), variance), range(len(matrices)))
        )

        def score(pair):
            i, j = pair
            return similarity.compare(sides[i], sides[j], gram.cross(i, j), metrics)

        return list(pool.map(score, combinations(range(len(matrices)), 2)))


def one_row(matrices, last, metrics):
    """What one job does for a layer: round `last` against all up to itself."""
    with threadpool_limits(1), ThreadPoolExecutor(THREADS) as pool:
        own = moments.all_pairs([matrices[last]], run=pool.map)
        side = similarity.represent(own.moments(0), None)
        similarity.compare(side, side, own.cross(0, 0), metrics)
        if not last:
            return
        gram = moments.row([matrices[last]], [side.moments.mean], matrices[:last], run=pool.map)

        def score(j):
            other = similarity.represent(gram.moments(j + 1), None)
            return similarity.compare(side, other, gram.cross(0, j + 1), metrics)

        list(pool.map(score, range(last)))


def timed(function, *arguments):
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def machine_rates():
    """The machine's own float64 GEMM and SYRK rates in GFLOP/s."""
    x = np.random.default_rng(0).standard_normal((2048, 2048))
    c = np.zeros((2048, 2048), order="F")
    gemm = min(timed(np.matmul, x, x)[0] for _ in range(4))
    syrk = min(
        timed(lambda: blas.dsyrk(1.0, x.T, beta=1.0, c=c, lower=1, overwrite_c=1))[0] for _ in range(4)
    )
    return 2 * 2048**3 / gemm / 1e9, 2048**3 / syrk / 1e9


def bench(name, n, p, repeat, stride):
    matrices = layer_over_rounds(n, p)
    pairs = list(combinations(range(ROUNDS), 2))
    sample = pairs[::stride]
    scale = len(pairs) / len(sample)
    best, spent, rates = {}, {}, (0.0, 0.0)

    def keep(key, seconds):
        best[key] = min(seconds, best.get(key, np.inf))

    for _ in range(repeat):
        rates = tuple(map(max, rates, machine_rates()))
        seconds, ours = timed(engine, matrices, ["cca"], spent)
        keep("cca", seconds)
        keep("pairwise", timed(pairwise, matrices, sample)[0] * scale)
        seconds, bases = timed(lambda: [orthonormal(matrix) for matrix in matrices])
        more, theirs = timed(by_bases, bases, sample)
        keep("qr", seconds + more * scale)
        del bases
        keep("all eight", timed(engine, matrices, list(similarity.MEASURES), spent)[0])
    found = [ours[pairs.index(pair)][0].value for pair in sample]
    assert np.allclose(found, theirs, atol=1e-6), "the algorithms disagree"
    width = sum(matrix.shape[1] for matrix in matrices)
    rate = n * width**2 / spent["moments"] / 1e9
    print(f"{name}: {ROUNDS} matrices of {n} x {p} float32, {len(pairs)} pairs, {THREADS} threads")
    print(f"   mean CCA / pairwise algorithm      {best['cca'] / best['pairwise']:.3f}")
    print(f"   mean CCA / cached QR               {best['cca'] / best['qr']:.3f}")
    print(f"   all eight / cached QR's mean CCA   {best['all eight'] / best['qr']:.3f}")
    print(f"   accumulation / GEMM rate           {rate / rates[0]:.3f}")
    print(f"   accumulation / SYRK rate           {rate / rates[1]:.3f}")
    print("   seconds: " + ", ".join(f"{key} {value:.2f}" for key, value in (best | spent).items()))
    rows = [min(timed(one_row, matrices, last, ["cca"])[0] for _ in range(2)) for last in range(ROUNDS)]
    print(f"   last row / all rows                {rows[-1] / sum(rows):.4f}  (2/R = {2 / ROUNDS:.4f})")
    print(f"   last row / all pairs in one pass   {rows[-1] / best['cca']:.4f}", flush=True)


def peak_of_a_row_job(n, folder):
    """Peak resident memory, in bytes, of a job that compares three rounds of one 64-unit layer."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(3):
        paths.append(str(folder / f"{n}-{number}.h5"))
        with h5py.File(paths[-1], "w") as file:
            file.attrs.update(schema=1, seed=0, round=number, density=1.0, dataset="", view="", positions="")
            file["examples"] = np.arange(n)
            data = file.create_dataset("layers/x", (n, 64), "f4")
            data.attrs.update(order=0, width=64, shape=[64], positions=[0])
            for start in range(0, n, 10_000):
                data[start : start + 10_000] = rng.standard_normal((10_000, 64))
    return int(subprocess.check_output([sys.executable, __file__, "--peak", *paths]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="small matrices: shows that it runs, not how fast"
    )
    parser.add_argument("--cases", default="ABC")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--stride", type=int, default=5)
    parser.add_argument("--peak", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        comparison.compare_round(arguments.peak, comparison.SimilaritySettings())
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return
    for name in arguments.cases:
        bench(name, *(QUICK if arguments.quick else CASES)[name], arguments.repeat, arguments.stride)
    n = 40_000 if arguments.quick else 200_000
    with tempfile.TemporaryDirectory() as folder:
        small, large = (peak_of_a_row_job(rows, Path(folder)) for rows in (n, 4 * n))
    print(f"memory: peak with {4 * n} rows / peak with {n} rows   {large / small:.3f}")


if __name__ == "__main__":
    main()
