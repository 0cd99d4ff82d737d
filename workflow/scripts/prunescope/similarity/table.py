"""Table of measures. Their facts are attributes of `prunescope.similarity.measures.Measure`."""

from prunescope.kinds import Kind

MEASURES = {
    "cca": Kind(
        "similarity.measures.correlations:cca",
        "Mean canonical correlation",
        label="mean CCA",
        reference="H. Hotelling: Relations Between Two Sets of Variates. Biometrika 28, 1936.",
        url="https://doi.org/10.1093/biomet/28.3-4.321",
        facts={
            "unchanged_by": "invertible linear maps",
            "spectrum": True,
            "basis": "units",
            "saturates": True,
            "rows_per_unit": 20,
        },
        functions={"chance": "similarity.chance:correlation"},
    ),
    "cca_cv": Kind(
        "similarity.measures.correlations:cca_cv",
        "Cross-validated mean CCA: directions from one half of the images, correlations in the other",
        label="cross-validated CCA",
        reference="M. Stone: Cross-Validatory Choice and Assessment of Statistical Predictions. JRSS B 36, "
        "1974.",
        url="https://doi.org/10.1111/j.2517-6161.1974.tb00994.x",
        facts={
            "unchanged_by": "invertible linear maps",
            "basis": "units",
            "saturates": True,
            "fewest_rows": 4,
            "rows_per_unit": 20,
            "halves": True,
            "intervals": True,
            "centred": True,
        },
        functions={"chance": "similarity.chance:cross_validated"},
    ),
    "cca_r2": Kind(
        "similarity.measures.correlations:cca_r2",
        "Mean squared canonical correlation, ‖M‖_F² / min(r_a, r_b)",
        label="mean squared CCA",
        reference="S. Kornblith, M. Norouzi, H. Lee, G. Hinton: Similarity of Neural Network "
        "Representations Revisited. ICML 2019.",
        url="https://arxiv.org/abs/1905.00414",
        facts={
            "unchanged_by": "invertible linear maps",
            "basis": "units",
            "saturates": True,
            "rows_per_unit": 20,
        },
        functions={"chance": "similarity.chance:squared_correlation"},
    ),
    "cka": Kind(
        "similarity.measures.alignment:cka",
        "Linear centred kernel alignment, ‖C_ab‖_F² / (‖C_aa‖_F ‖C_bb‖_F)",
        label="linear CKA",
        reference="S. Kornblith, M. Norouzi, H. Lee, G. Hinton: Similarity of Neural Network "
        "Representations Revisited. ICML 2019.",
        url="https://arxiv.org/abs/1905.00414",
        facts={
            "unchanged_by": "orthogonal maps, isotropic scaling",
            "rows_per_unit": 20,
            "intervals": True,
            "least": 0.0,
        },
        functions={"chance": "similarity.chance:alignment"},
    ),
    "cka_debiased": Kind(
        "similarity.measures.alignment:cka_debiased",
        "Linear CKA with unbiased estimates of HSIC; 0 is expected of unrelated representations",
        label="debiased CKA",
        reference="L. Song, A. Smola, A. Gretton, J. Bedo, K. Borgwardt: Feature Selection via Dependence "
        "Maximization. JMLR 13, 2012.",
        url="https://jmlr.org/papers/v13/song12a.html",
        facts={
            "unchanged_by": "orthogonal maps, isotropic scaling",
            "fewest_rows": 4,
            "intervals": True,
            "centred": True,
        },
        functions={"chance": "similarity.chance:debiased"},
    ),
    "cka_within": Kind(
        "similarity.measures.within:cka_within",
        "Debiased CKA of what is left when the mean of each class is subtracted; 0 is expected by chance",
        label="CKA within classes",
        reference="L. Song, A. Smola, A. Gretton, J. Bedo, K. Borgwardt: Feature Selection via Dependence "
        "Maximization. JMLR 13, 2012.",
        url="https://jmlr.org/papers/v13/song12a.html",
        facts={
            "unchanged_by": "orthogonal maps, isotropic scaling; shifts of whole classes",
            "needs": "labels",
            "fewest_rows": 4,
            "centred": True,
            "any_images": True,
        },
        functions={"chance": "similarity.measures.within:chance"},
    ),
    "knn_jaccard": Kind(
        "similarity.measures.neighbours:knn_jaccard",
        "Mean Jaccard index of the 10 nearest images of each image, in a sample of at most 1,000 images",
        label="neighbour overlap",
        reference="M. Klabunde, T. Schumacher, M. Strohmaier, F. Lemmerich: Similarity of Neural Network "
        "Models: A Survey of Functional and Representational Measures. ACM Computing Surveys 57, 2025.",
        url="https://arxiv.org/abs/2305.06329",
        facts={
            "unchanged_by": "orthogonal maps, isotropic scaling",
            "needs": "rows",
            "robust": True,
            "fewest_rows": 21,
            "least": 0.0,
            "any_images": True,
        },
        functions={
            "chance": "similarity.measures.neighbours:chance",
            "unique": "similarity.measures.neighbours:unique",
        },
    ),
    "nbs": Kind(
        "similarity.measures.bures:nbs",
        "Normalised Bures similarity, ‖C_ab‖_* / √(tr C_aa · tr C_bb)",
        label="NBS",
        reference="S. Tang, W. J. Maddox, C. Dickens, T. Diethe, A. Damianou: Similarity of Neural "
        "Networks with Gradients. 2020.",
        url="https://arxiv.org/abs/2003.11498",
        facts={"unchanged_by": "orthogonal maps, isotropic scaling", "rows_per_unit": 20},
        functions={"chance": "similarity.chance:nuclear"},
    ),
    "pwcca": Kind(
        "similarity.measures.correlations:pwcca",
        "Projection-weighted CCA, Σ α_l ρ_l / Σ α_l, weighted by a: not symmetric",
        label="PWCCA",
        reference="A. Morcos, M. Raghu, S. Bengio: Insights on Representational Similarity in Neural "
        "Networks with Canonical Correlation. NeurIPS 2018.",
        url="https://arxiv.org/abs/1806.05759",
        facts={
            "unchanged_by": "invertible linear maps of b; permutations, signs and isotropic scaling of a",
            "symmetric": False,
            "directions": True,
            "basis": "units",
            "saturates": True,
            "rows_per_unit": 20,
            "rotation_suffices": False,
        },
        functions={"chance": "similarity.chance:correlation"},
    ),
    "svcca": Kind(
        "similarity.measures.correlations:svcca",
        "Singular vector CCA: mean canonical correlation between leading principal components",
        label="SVCCA",
        reference="M. Raghu, J. Gilmer, J. Yosinski, J. Sohl-Dickstein: SVCCA. NeurIPS 2017.",
        url="https://arxiv.org/abs/1706.05806",
        facts={
            "unchanged_by": "orthogonal maps, isotropic scaling",
            "basis": "components",
            "saturates": True,
            "rows_per_unit": 20,
        },
        functions={"chance": "similarity.chance:correlation"},
    ),
    "svcca_trim98": Kind(
        "similarity.measures.correlations:svcca_trim98",
        "SVCCA over only the largest correlations: the first j with ρ₁ + ... + ρ_j ≥ 0.98 Σρ",
        label="SVCCA (top 98 %)",
        reference="M. Raghu, J. Gilmer, J. Yosinski, J. Sohl-Dickstein: SVCCA. NeurIPS 2017.",
        url="https://arxiv.org/abs/1706.05806",
        facts={
            "unchanged_by": "orthogonal maps, isotropic scaling",
            "basis": "components",
            "saturates": True,
            "rows_per_unit": 20,
        },
        functions={"chance": "similarity.chance:trimmed"},
    ),
    "units": Kind(
        "similarity.measures.units:units",
        "Mean correlation of corresponding units: the same units within a seed, otherwise the best match",
        label="unit correlation",
        reference="Y. Li, J. Yosinski, J. Clune, H. Lipson, J. Hopcroft: Convergent Learning: Do Different "
        "Neural Networks Learn the Same Representations? ICLR 2016.",
        url="https://arxiv.org/abs/1511.07543",
        facts={
            "unchanged_by": "positive scaling and shifts of units; permutations of matched units",
            "fewest_rows": 3,
            "rows_per_unit": 20,
            "rotation_suffices": False,
            "any_images": True,
        },
        functions={"chance": "similarity.measures.units:chance"},
    ),
}
