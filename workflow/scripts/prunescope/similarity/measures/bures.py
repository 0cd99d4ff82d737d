"""The Bures similarity."""

import numpy as np

from prunescope.similarity import chance
from prunescope.similarity.measures import measure


@measure(
    label="NBS",
    reference="S. Tang, W. J. Maddox, C. Dickens, T. Diethe, A. Damianou: Similarity of Neural Networks with "
    "Gradients. 2020.",
    url="https://arxiv.org/abs/2003.11498",
    unchanged_by="orthogonal maps, isotropic scaling",
    chance=chance.nuclear,
    rows_per_unit=20,
)
def nbs(pair):
    """Normalised Bures similarity, ‖C_ab‖_* / √(tr C_aa · tr C_bb).

    One minus half the squared Procrustes distance of the matrices scaled to norm 1.
    """
    # Unlike correlations, these singular values span many orders of magnitude, so the small ones would be
    # lost in the eigenvalues of a squared matrix.
    nuclear = np.linalg.svd(pair.cross.covariance, compute_uv=False).sum()
    return nuclear / np.sqrt(pair.a.variance * pair.b.variance)
