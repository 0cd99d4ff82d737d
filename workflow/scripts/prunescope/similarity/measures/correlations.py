"""Measures made of canonical correlations."""

import numpy as np

from prunescope.similarity import chance

# Correlations in one half of the images that are closer to each other than this are equal.
EQUAL = 1e-8


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
    mean: a lower bound. Rows are centred at each position. Directions that do not vary in both halves are not
    compared; NaN if there are no others. The reference introduced cross-validation.
    """
    correlations = np.concatenate([_in_other_half(pair, half, 1 - half) for half in (0, 1)])
    return correlations.mean() if correlations.size else np.nan


def _in_other_half(pair, half: int, other: int) -> np.ndarray:
    """Correlations in one half of the images along the canonical directions of another.

    Directions of equal correlations can be rotated among themselves. They get one correlation together, from
    the sums of their covariances and variances, which do not depend on the rotation. Directions without any
    correlation are arbitrary and get 0.
    """
    left, correlations, right = pair.half_directions[half]
    together = np.einsum("il,il->l", pair.halves[other] @ right, left)
    variances = [
        np.einsum("il,il->l", side.halves[other] @ maps, maps)
        for side, maps in ((pair.a, left), (pair.b, right))
    ]
    starts = np.flatnonzero(np.diff(correlations, prepend=np.inf) < -EQUAL)
    counts = np.diff(starts, append=correlations.size)
    together, of_a, of_b = (np.add.reduceat(sums, starts) for sums in (together, *variances))
    # Without a fold of images, a direction can be silent; rounding remains.
    size = np.sqrt(np.maximum(of_a, 0)) * np.sqrt(np.maximum(of_b, 0))
    compared = (size > 0) & (correlations[starts] > EQUAL)
    cosines = np.divide(together, size, out=np.zeros_like(size), where=compared)
    return np.repeat(np.clip(cosines, -1, 1), counts)


def regression_r2(pair):
    """Fraction of the variance of a that a linear regression on b explains: not symmetric.

    tr(C_ab C_bb⁻¹ C_ba) / tr C_aa = ‖C_abW_b‖_F² / tr C_aa: the mean of the units' R², weighted by variance.
    """
    explained = pair.b.coordinates("units", pair.cross.covariance)
    return np.square(explained).sum() / pair.a.variance


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
