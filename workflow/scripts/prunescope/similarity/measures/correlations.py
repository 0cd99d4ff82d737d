"""Measures made of canonical correlations."""

import numpy as np

from prunescope.similarity import chance
from prunescope.similarity.measures import measure


@measure(
    label="mean CCA",
    reference="H. Hotelling: Relations Between Two Sets of Variates. Biometrika 28, 1936.",
    url="https://doi.org/10.1093/biomet/28.3-4.321",
    unchanged_by="invertible linear maps",
    chance=chance.correlation,
    spectrum=True,
    basis="units",
    saturates=True,
    rows_per_unit=20,
)
def cca(pair):
    """Mean canonical correlation.

    (ρ₁ + ... + ρ_m) / m with m = min(r_a, r_b). Raghu et al., "SVCCA", NeurIPS 2017, use it for networks.
    """
    return pair.correlations.mean()


@measure(
    label="mean squared CCA",
    reference="S. Kornblith, M. Norouzi, H. Lee, G. Hinton: Similarity of Neural Network Representations "
    "Revisited. ICML 2019.",
    url="https://arxiv.org/abs/1905.00414",
    unchanged_by="invertible linear maps",
    chance=chance.squared_correlation,
    basis="units",
    saturates=True,
    rows_per_unit=20,
)
def cca_r2(pair):
    """Mean squared canonical correlation, ‖M‖_F² / min(r_a, r_b).

    Yanai's generalised coefficient of determination, 1974; "R²_CCA" in the reference.
    """
    return np.square(pair.correlations).mean()


@measure(
    label="cross-validated CCA",
    reference="M. Stone: Cross-Validatory Choice and Assessment of Statistical Predictions. JRSS B 36, 1974.",
    url="https://doi.org/10.1111/j.2517-6161.1974.tb00994.x",
    unchanged_by="invertible linear maps",
    chance=chance.zero,
    basis="units",
    saturates=True,
    fewest_rows=4,
    rows_per_unit=20,
    halves=True,
    intervals=True,
)
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


@measure(
    label="SVCCA",
    reference="M. Raghu, J. Gilmer, J. Yosinski, J. Sohl-Dickstein: SVCCA. NeurIPS 2017.",
    url="https://arxiv.org/abs/1706.05806",
    unchanged_by="orthogonal maps, isotropic scaling",
    chance=chance.truncated,
    basis="components",
    saturates=True,
    rows_per_unit=20,
)
def svcca(pair):
    """Singular vector CCA: mean canonical correlation between leading principal components.

    Each side is first projected on the fewest principal components that keep `similarity.variance` of its
    variance (k_a and k_b of them); the mean is over min(k_a, k_b).
    """
    return pair.truncated.mean()


@measure(
    label="SVCCA (top 98 %)",
    reference="M. Raghu, J. Gilmer, J. Yosinski, J. Sohl-Dickstein: SVCCA. NeurIPS 2017.",
    url="https://arxiv.org/abs/1706.05806",
    unchanged_by="orthogonal maps, isotropic scaling",
    chance=chance.trimmed,
    basis="components",
    saturates=True,
    rows_per_unit=20,
)
def svcca_trim98(pair):
    """SVCCA over only the largest correlations: the first j with ρ₁ + ... + ρ_j ≥ 0.98 Σρ.

    The code behind the ICPRAM 2020 paper calls this mean CCA: it uses google/svcca, whose "mean" is trimmed
    in this way. At least as large as `svcca`; for comparison with published numbers.
    """
    return chance.top(pair.truncated).mean()


@measure(
    label="PWCCA",
    reference="A. Morcos, M. Raghu, S. Bengio: Insights on Representational Similarity in Neural Networks "
    "with Canonical Correlation. NeurIPS 2018.",
    url="https://arxiv.org/abs/1806.05759",
    unchanged_by="invertible linear maps of b; permutations, signs and isotropic scaling of a",
    chance=chance.weighted,
    symmetric=False,
    directions=True,
    basis="units",
    saturates=True,
    rows_per_unit=20,
    rotation_suffices=False,
)
def pwcca(pair):
    """Projection-weighted CCA, Σ α_l ρ_l / Σ α_l, weighted by a: not symmetric.

    α_l = Σ_j |⟨h_l, x_j⟩|: how much of the units x_j of a lies along its canonical variate h_l = X_aW_au_l
    (u_l the left singular vectors of M), so α is |UᵀW_aᵀC_aa| summed over units.
    """
    left, correlations, _ = pair.canonical
    weights = np.abs(left.T @ pair.a.loadings).sum(axis=1)
    return weights @ correlations / weights.sum()
