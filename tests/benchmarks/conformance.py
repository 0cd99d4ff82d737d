"""Our measures and other published implementations on the same inputs; prints the table of the docs.

    python tests/benchmarks/conformance.py

The other implementations are reproduced here from their descriptions, in NumPy float64.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow/scripts"))

from prunescope import kinds
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare
from prunescope.similarity.whitening import represent

N, P = 2000, 64


def inputs():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((N, 24))
    scales = np.geomspace(1, 0.1, P)
    a, b = (
        np.maximum(shared @ rng.standard_normal((24, P)) + 3 * rng.standard_normal((N, P)), 0) * scales
        for _ in range(2)
    )

    def pruned(matrix):
        matrix = matrix.copy()
        matrix[:, 40:56] = 0
        matrix[:, 56:60] = 0.7
        matrix[:, 60:] = matrix[:, :4]
        return matrix

    return {"well-conditioned": (a, b), "offset of 100": (a + 100, b + 100), "pruned": (pruned(a), pruned(b))}


def spectrum(a, b):
    """All canonical correlations with null directions counted as 0, as a pseudo-inverse does."""
    bases = []
    for matrix in (a, b):
        left, sizes, _ = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
        bases.append(left * (sizes > 1e-10 * sizes[0]))
    return np.linalg.svd(bases[0].T @ bases[1])


def trimmed(a, b):
    rho = spectrum(a, b)[1]
    return rho[: 1 + np.argmax(np.cumsum(rho) >= 0.98 * rho.sum())].mean()


def unwhitened_pwcca(a, b):
    """Weights from directions that were never whitened, on activations that were never centred."""
    roots = []
    for matrix in (a, b):
        values, vectors = np.linalg.eigh(np.cov(matrix.T))
        roots.append((vectors * np.where(values > 1e-12 * values[-1], values, np.inf) ** -0.5) @ vectors.T)
    cross = (a - a.mean(axis=0)).T @ (b - b.mean(axis=0)) / (len(a) - 1)
    left, rho, _ = np.linalg.svd(roots[0] @ cross @ roots[1])
    directions = (a - a.mean(axis=0)) @ left + a.mean(axis=0)
    weights = np.abs(np.linalg.qr(directions)[0].T @ a).sum(axis=1)
    return weights @ np.clip(rho, 0, 1) / weights.sum()


def svcca_by_singular_values(a, b):
    """99 % of the sum of uncentred singular values instead of the variance."""
    bases = []
    for matrix in (a, b):
        left, sizes, _ = np.linalg.svd(matrix, full_matrices=False)
        kept = 1 + np.argmax(np.cumsum(sizes) >= 0.99 * sizes.sum())
        projected = (left * sizes)[:, :kept]
        bases.append(np.linalg.qr(projected - projected.mean(axis=0))[0])
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False).mean()


def cka_centred_once(a, b):
    """Row means subtracted along the wrong axis (no keepdim)."""
    kernels = []
    for matrix in (a, b):
        kernel = matrix @ matrix.T
        kernels.append(kernel - kernel.mean(axis=0) - kernel.mean(axis=1) + kernel.mean())
    return np.trace(kernels[0] @ kernels[1]) / np.linalg.norm(kernels[0]) / np.linalg.norm(kernels[1])


RULES = {
    "mean CCA, null directions count as 0 (netrep, sim_metric)": lambda a, b: spectrum(a, b)[1].mean(),
    'trimmed "mean" CCA (google/svcca)': trimmed,
    "PWCCA neither whitened nor centred (google/svcca)": unwhitened_pwcca,
    "SVCCA cut at 99 % of uncentred singular values (anatome)": svcca_by_singular_values,
    "CKA centred without keepdim (the papers' code)": cka_centred_once,
    "the same, of a with itself": lambda a, b: cka_centred_once(a, a),
}


def main():
    cases = inputs()
    print(f"| | {' | '.join(cases)} |\n|---|{'---:|' * len(cases)}")
    rows = {}
    for a, b in cases.values():
        pair = Group([a, b], lambda _, found: represent(found)).pair(0, 1)
        measures = map(load_measure, kinds.known("measure"))
        for score in compare(pair, [measure for measure in measures if measure.needs != "labels"]):
            rows.setdefault(f"**`{score.measure}`**", []).append(score.value)
        for name, rule in RULES.items():
            rows.setdefault(name, []).append(rule(a, b))
    for name, found in rows.items():
        print(f"| {name} | {' | '.join(f'{value:.4f}' for value in found)} |")


if __name__ == "__main__":
    main()
