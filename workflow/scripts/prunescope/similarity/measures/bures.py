"""The Bures similarity."""

import numpy as np


def nbs(pair):
    """Normalised Bures similarity, ‖C_ab‖_* / √(tr C_aa · tr C_bb).

    One minus half the squared Procrustes distance of the matrices scaled to norm 1.
    """
    # Unlike correlations, these singular values span many orders of magnitude, so the small ones would be
    # lost in the eigenvalues of a squared matrix.
    nuclear = np.linalg.svd(pair.cross.covariance, compute_uv=False).sum()
    return nuclear / np.sqrt(pair.a.variance * pair.b.variance)
