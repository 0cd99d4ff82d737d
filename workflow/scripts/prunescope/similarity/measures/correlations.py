"""Measures made of canonical correlations."""

import numpy as np

from prunescope.similarity import chance


def cca(pair):
    """Mean canonical correlation.

    (ρ₁ + ... + ρ_m) / m with m = min(r_a, r_b). Raghu et al., "SVCCA", NeurIPS 2017, use it for networks.
    """
    return pair.correlations.mean()


def cca_r2(pair):
    """Mean squared canonical correlation, ‖M‖_F² / min(r_a, r_b).

    Yanai's generalised coefficient of determination, 1974; "R²_CCA" in the reference.
    """
    return np.square(pair.correlations).mean()


def cca_cv(pair):
    """Cross-validated mean CCA: directions from one half of the images, correlations in the other.

    Averaged over both ways. 0 is expected of unrelated representations, and with few rows less than the true
    mean: a lower bound. Rows are centred at each position. The reference introduced cross-validation.
    """
    found = [_in_other_half(pair, given, other) for given, other in ((0, 1), (1, 0))]
    return np.mean(found) / min(pair.ranks("units"))


def _in_other_half(pair, given: int, other: int) -> float:
    """Sum of the correlations in one half of the images along the canonical directions of another."""
    left, right = pair.half_directions[given]
    together = np.einsum("il,il->l", pair.halves[other] @ right, left)
    size = 1.0
    for side, maps in ((pair.a, left), (pair.b, right)):
        size = size * np.sqrt(np.einsum("il,il->l", side.halves[other] @ maps, maps))
    return float(np.divide(together, size, out=np.zeros_like(size), where=size > 0).sum())


def svcca(pair):
    """Singular vector CCA: mean canonical correlation between leading principal components.

    Each side is first projected on the fewest principal components that keep `similarity.variance` of its
    variance (k_a and k_b of them); the mean is over min(k_a, k_b).
    """
    return pair.truncated.mean()


def svcca_trim98(pair):
    """SVCCA over only the largest correlations: the first j with ρ₁ + ... + ρ_j ≥ 0.98 Σρ.

    The code behind the ICPRAM 2020 paper calls this mean CCA: it uses google/svcca, whose "mean" is trimmed
    in this way. At least as large as `svcca`; for comparison with published numbers.
    """
    return chance.top(pair.truncated).mean()


def pwcca(pair):
    """Projection-weighted CCA, Σ α_l ρ_l / Σ α_l, weighted by a: not symmetric.

    α_l = Σ_j |⟨h_l, x_j⟩|: how much of the units x_j of a lies along its canonical variate h_l = X_aW_au_l
    (u_l the left singular vectors of M), so α is |UᵀW_aᵀC_aa| summed over units.
    """
    left, correlations, _ = pair.canonical
    weights = np.abs(left.T @ pair.a.loadings).sum(axis=1)
    return weights @ correlations / weights.sum()
