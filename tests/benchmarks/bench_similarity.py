"""Speed of the similarity engine, as ratios to two other algorithms in the same run.

    python tests/benchmarks/bench_similarity.py [--quick] [--cases RABC] [--repeat 3] [--threads 2] \
        [--rounds 21]

Each case is one layer over several rounds. The other algorithms, both in NumPy float64: *pairwise*, as
published (covariances, inverse square roots and one SVD for each pair), and *cached QR* (an orthonormal
basis once per matrix, one product and the singular values for each pair). Algorithms run in turns; the
shortest time of each is used. Only every `stride`-th pair of the other algorithms is timed. All cores are
used unless `threads` is given; with one thread, processor time is measured, because a busy machine disturbs
it less.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
from scipy.linalg import blas
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow/scripts"))

from prunescope import hdf5, kinds
from prunescope.settings.similarity import Similarity
from prunescope.similarity import moments
from prunescope.similarity.matrix import compare_round
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.pairs import Pair
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare
from prunescope.similarity.whitening import represent

CASES = {"R": (5_000, 320), "A": (10_000, 512), "B": (80_000, 256), "C": (320_000, 64)}
QUICK = {"R": (1_000, 64), "A": (1_000, 96), "B": (4_000, 48), "C": (16_000, 16)}


def layer_over_rounds(n, p, rounds):
    """Rectified features that drift from round to round; no unit is dead, as the other algorithms require."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((n, p)).astype(np.float32)
    weights = rng.standard_normal((p, p)).astype(np.float32) * np.geomspace(1, 0.02, p, dtype=np.float32)
    matrices = []
    for _ in range(rounds):
        matrices.append(np.maximum(latent @ weights.T, 0))
        weights += 0.1 * rng.standard_normal((p, p)).astype(np.float32) * np.abs(weights)
    return matrices


def pairwise(matrices, pairs):
    means = []
    for i, j in pairs:
        p = matrices[i].shape[1]
        covariance = np.cov(matrices[i].T, matrices[j].T)
        roots = []
        for block in (covariance[:p, :p], covariance[p:, p:]):
            values, vectors = np.linalg.eigh(block)
            roots.append((vectors / np.sqrt(values)) @ vectors.T)
        _, correlations, _ = np.linalg.svd(roots[0] @ covariance[:p, p:] @ roots[1])
        means.append(correlations.mean())
    return means


def orthonormal(matrix):
    matrix = matrix.astype(np.float64)
    matrix -= matrix.mean(axis=0)
    return np.linalg.qr(matrix)[0]


def by_bases(bases, pairs):
    return [np.linalg.svd(bases[i].T @ bases[j], compute_uv=False).mean() for i, j in pairs]


class Machine:
    """A number of threads, and the appropriate clock."""

    def __init__(self, threads):
        self.threads = threads
        self.now = time.process_time if threads == 1 else time.perf_counter

    def seconds(self, function, *arguments):
        """Time a call whose linear algebra may use all threads; returns the result as well."""
        with threadpool_limits(self.threads):
            start = self.now()
            result = function(*arguments)
            return self.now() - start, result

    def workers(self):
        return ThreadPoolExecutor(self.threads)


def chosen(names):
    return [load_measure(name) for name in names]


def engine(matrices, measures, machine):
    with threadpool_limits(1), machine.workers() as pool:
        gram = moments.all_pairs(matrices, gram=partial(moments.Gram, run=pool.map))
        variance = 0.99 if any(measure.basis == "components" for measure in measures) else None

        def side(i):
            return replace(represent(gram.moments(i), variance), rows=matrices[i])

        sides = list(pool.map(side, range(len(matrices))))

        def score(pair):
            i, j = pair
            return compare(Pair(sides[i], sides[j], gram.cross(i, j)), measures)

        return list(pool.map(score, combinations(range(len(matrices)), 2)))


def one_row(matrices, last, measures, machine):
    """The work of one job for a layer: compare round `last` with all rounds up to `last`."""
    with threadpool_limits(1), machine.workers() as pool:
        own = moments.all_pairs([matrices[last]], gram=partial(moments.Gram, run=pool.map))
        side = represent(own.moments(0), None)
        compare(Pair(side, side, own.cross(0, 0)), measures)
        if not last:
            return
        gram = moments.row(
            [matrices[last]], [side.moments.mean], matrices[:last], gram=partial(moments.Gram, run=pool.map)
        )

        def score(j):
            other = represent(gram.moments(j + 1), None)
            return compare(Pair(side, other, gram.cross(0, j + 1)), measures)

        list(pool.map(score, range(last)))


def accumulation(matrices, machine):
    """Rates of accumulation over the machine's float64 GEMM and SYRK rates, in turns; products per second.

    The last is what GEMM does: it gives the least time in which all products of all columns can be summed.
    """
    x = np.random.default_rng(0).standard_normal((2048, 2048))
    c = np.zeros((2048, 2048), order="F")
    width = sum(matrix.shape[1] for matrix in matrices)
    rows = min(moments.chunk_rows(width), len(matrices[0]))
    times = []
    with machine.workers() as pool:
        gram = moments.all_pairs(
            [matrix[:rows] for matrix in matrices], gram=partial(moments.Gram, run=pool.map)
        )
        for start in range(0, min(8 * rows, len(matrices[0]) - rows + 1), rows):
            with threadpool_limits(1):
                begin = machine.now()
                gram.add([matrix[start : start + rows] for matrix in matrices], 0)
                ours = machine.now() - begin
            gemm = machine.seconds(np.matmul, x, x)[0]
            syrk = machine.seconds(lambda: blas.dsyrk(1.0, x.T, beta=1.0, c=c, lower=1, overwrite_c=1))[0]
            times.append((ours, gemm, syrk))
    ours, gemm, syrk = np.median(times, axis=0)
    rate = rows * width**2 / ours
    return rate * gemm / (2 * 2048**3), rate * syrk / 2048**3, 2 * 2048**3 / gemm


def bench(name, n, p, rounds, repeat, stride, machine):
    matrices = layer_over_rounds(n, p, rounds)
    pairs = list(combinations(range(rounds), 2))
    sample = pairs[::stride]
    scale = len(pairs) / len(sample)
    best = {}

    def keep(key, seconds):
        best[key] = min(seconds, best.get(key, np.inf))

    print(
        f"{name}: {rounds} matrices of {n} x {p} float32, {len(pairs)} pairs, {machine.threads} threads",
        flush=True,
    )
    for _ in range(repeat):
        seconds, ours = machine.seconds(engine, matrices, chosen(["cca"]), machine)
        keep("cca", seconds)
        keep("pairwise", machine.seconds(pairwise, matrices, sample)[0] * scale)
        seconds, bases = machine.seconds(lambda: [orthonormal(matrix) for matrix in matrices])
        more, theirs = machine.seconds(by_bases, bases, sample)
        keep("qr", seconds + more * scale)
        del bases
        for key, names in (
            ("cca_cv", ["cca_cv"]),
            ("defaults", Similarity().measures),
            ("all", kinds.known("measure")),
        ):
            keep(key, machine.seconds(engine, matrices, chosen(names), machine)[0])
        found = [ours[pairs.index(pair)][0].value for pair in sample]
        assert np.allclose(found, theirs, atol=1e-6), "the algorithms disagree"
    print(f"   mean CCA / pairwise algorithm      {best['cca'] / best['pairwise']:.3f}")
    print(f"   mean CCA / cached QR               {best['cca'] / best['qr']:.3f}")
    print(f"   cca_cv / mean CCA                  {best['cca_cv'] / best['cca']:.3f}")
    print(f"   defaults / cached QR's mean CCA    {best['defaults'] / best['qr']:.3f}")
    print(f"   all measures / cached QR's         {best['all'] / best['qr']:.3f}")
    print(f"   all measures / defaults            {best['all'] / best['defaults']:.3f}")
    print("   seconds: " + ", ".join(f"{key} {value:.2f}" for key, value in best.items()))
    to_gemm, to_syrk, rate = accumulation(matrices, machine)
    floor = n * sum(matrix.shape[1] for matrix in matrices) ** 2 / rate
    print(f"   defaults / products alone          {best['defaults'] / floor:.3f}")
    print(
        f"   products alone / pairwise          {floor / best['pairwise']:.3f}  (at the GEMM rate: the floor)"
    )
    print(f"   accumulation / GEMM rate           {to_gemm:.3f}")
    print(f"   accumulation / SYRK rate           {to_syrk:.3f}", flush=True)
    rows = [
        min(machine.seconds(one_row, matrices, last, chosen(["cca"]), machine)[0] for _ in range(repeat))
        for last in range(rounds)
    ]
    print(f"   last row / all rows                {rows[-1] / sum(rows):.4f}  (2/R = {2 / rounds:.4f})")
    print(f"   last row / all pairs in one pass   {rows[-1] / best['cca']:.4f}", flush=True)


# Images, positions, units.
MAPS = {"D": (500, 576, 6), "E": (1000, 64, 64), "F": (1000, 16, 256), "G": (5000, 1, 256)}


def share_of_chance(images, positions, p, measures, repeat):
    """Processor time of chance over that of the rest, for one matrix against three others."""
    rng = np.random.default_rng(0)
    shape, place = (images, positions, p), rng.standard_normal((1, positions, p))
    shared = rng.standard_normal(shape)
    matrices = [
        np.maximum(shared + place + rng.standard_normal(shape), 0).reshape(-1, p).astype(np.float32)
        for _ in range(4)
    ]
    best = {}
    for _ in range(repeat):
        for given in (True, False):
            these = measures if given else [replace(measure, chance=None) for measure in measures]
            start = time.process_time()
            with threadpool_limits(1):
                own = Group(matrices[:1], lambda _, found: represent(found), positions=positions)
                list(
                    own.against(matrices[1:], lambda _, pairs, m=these: [compare(pair, m) for pair in pairs])
                )
            best[given] = min(time.process_time() - start, best.get(given, np.inf))
    return best[True] / best[False] - 1


def peak_of_a_row_job(n, folder):
    """Peak resident memory, in bytes, of a job that compares three rounds of one 64-unit layer."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(3):
        paths.append(str(folder / f"{n}-{number}.h5"))
        with h5py.File(paths[-1], "w") as file:
            file.attrs.update(schema=3, seed=0, round=number, density=1.0, dataset="", view="", positions="")
            file["examples"] = np.arange(n)
            data = file.create_dataset("layers/x", (n, 64), "f4")
            data.attrs.update(order=0, width=64, shape=[64], grid=[], positions=[0])
            for start in range(0, n, 10_000):
                data[start : start + 10_000] = rng.standard_normal((10_000, 64))
        hdf5.seal(paths[-1])
    return int(subprocess.check_output([sys.executable, __file__, "--peak", *paths]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="small matrices: shows that it runs, not how fast"
    )
    parser.add_argument("--cases", default="RABC")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--stride", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--peak", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        compare_round(arguments.peak, Similarity())
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        return
    for name in arguments.cases:
        sizes = (QUICK if arguments.quick else CASES)[name]
        machine = Machine(arguments.threads)
        bench(name, *sizes, arguments.rounds, arguments.repeat, arguments.stride, machine)
    for name, sizes in MAPS.items():
        sizes = (sizes[0] // 5, *sizes[1:]) if arguments.quick else sizes
        shares = [
            share_of_chance(*sizes, chosen(names), max(3, arguments.repeat))
            for names in (Similarity().measures, kinds.known("measure"))
        ]
        print(f"{name}: {' x '.join(map(str, sizes))} (images x positions x units)")
        print(f"   chance / rest, default measures    {shares[0]:.3f}")
        print(f"   chance / rest, all measures        {shares[1]:.3f}", flush=True)
    n = 40_000 if arguments.quick else 200_000
    with tempfile.TemporaryDirectory() as folder:
        small, large = (peak_of_a_row_job(rows, Path(folder)) for rows in (n, 4 * n))
    print(f"memory: peak with {4 * n} rows / peak with {n} rows   {large / small:.3f}")


if __name__ == "__main__":
    main()
