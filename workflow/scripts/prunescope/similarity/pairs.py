"""Pairs of representations: the input of measures.

In all equations the columns of X_a (n × p_a) and X_b (n × p_b) are centred, C_ab = X_aᵀX_b / n, and W_a
(p_a × r_a) whitens a: W_aᵀC_aaW_a is the identity. The canonical correlations ρ₁ ≥ ρ₂ ≥ ... are the singular
values of M = W_aᵀC_abW_b.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Optional

import numpy as np
from scipy.linalg import blas, lapack

from prunescope.similarity.images import MOST_LEVERAGE
from prunescope.similarity.moments import Cross
from prunescope.similarity.unrelated import Unrelated
from prunescope.similarity.whitening import Representation

# The directions of correlations below this value require an SVD. With an eigendecomposition of MᵀM, the left
# vectors are orthogonal only to about 1e-16 divided by the square of this value.
SMALL = 1e-4


@dataclass(frozen=True)
class Pair:
    """Two representations and their cross-moments; the input of a measure.

    Attributes
    ----------
    a, b : Representation
        They have principal components if `truncated` is used.
    cross : Cross
    whitened : Cross, optional
        Cross-moments of the whitened columns, if known from whitened rows: the covariance is M. By default,
        they are computed from `cross`.
    directions : bool, optional
        Whether the correlations are computed together with the canonical directions.
    aligned : bool, optional
        Whether unit j of a and unit j of b are the same unit of a network.
    mirror : Pair, optional
        The same pair in the other order, so that nothing is computed twice.
    replica : callable, optional
        Takes a fold of images and returns the pair without this fold, for intervals.
    whole : Pair, optional
        For a replica, the pair with all images.
    """

    a: Representation
    b: Representation
    cross: Cross
    whitened: Cross | None = None
    directions: bool = True
    aligned: bool = False
    mirror: Optional["Pair"] = field(default=None, repr=False)
    replica: Callable[[int], "Pair"] | None = field(default=None, repr=False)
    whole: Optional["Pair"] = field(default=None, repr=False)

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.a.moments.n

    def ranks(self, basis: str) -> tuple[int, int]:
        """Numbers of components, or of independent units; see `Measure.basis`."""
        sides = (self.a, self.b)
        if basis == "components":
            return tuple(side.components.shape[1] for side in sides)
        return tuple(side.rank for side in sides)

    @property
    def ill(self) -> bool:
        """Whether whitening needed a second pass."""
        return self.a.ill or self.b.ill

    @property
    def leveraged(self) -> bool:
        """Whether a few images carry the variance of a or b."""
        return any(side.moments.leverage > MOST_LEVERAGE for side in (self.a, self.b))

    @cached_property
    def correlations(self) -> np.ndarray:
        """Canonical correlations, descending, shape (min(rank_a, rank_b),)."""
        if self.mirror is not None:
            return self.mirror.correlations
        if self.directions:
            return self.canonical[1]
        return _correlations(self._matrix)

    @cached_property
    def canonical(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Left singular vectors (columns), canonical correlations, right singular vectors (columns) of M."""
        if self.mirror is not None:
            return self.mirror.canonical[::-1]
        return _singular(self._matrix)

    @cached_property
    def truncated(self) -> np.ndarray:
        """Canonical correlations between the leading principal components."""
        if self.mirror is not None:
            return self.mirror.truncated
        if all(side.components.shape[1] == side.rank for side in (self.a, self.b)):
            # Both span the same space, and these are precise for any condition number.
            return self.correlations
        return _correlations(self.a.components.T @ self.cross.covariance @ self.b.components)

    @cached_property
    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """M within each half of the images, centred at each position, with the whitening of all images."""
        if self.whitened is not None:
            return tuple(self.whitened.halves)
        return tuple(_whitened(self.a, half, self.b) for half in self.cross.halves)

    @cached_property
    def half_directions(self) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Directions of a (columns), correlations, and directions of b in each half, for whitened columns.

        A replica uses the directions of all images. Their change when a fold is omitted would only add noise:
        at the optimal directions, a small change has no effect on the correlations.
        """
        if self.whole is not None:
            return self.whole.half_directions
        directions = []
        for half, root_a, root_b in zip(
            self.halves, self.a.half_whitenings, self.b.half_whitenings, strict=True
        ):
            left, correlations, right = _singular(root_a.T @ half @ root_b)
            directions.append((root_a @ left, correlations, root_b @ right))
        return directions

    @cached_property
    def unrelated(self) -> Unrelated:
        """Moments between a and b when their images are permuted; for a mirror, between b and a."""
        return Unrelated(self.a, self.b) if self.mirror is None else self.mirror.unrelated

    def with_cross(self, cross: Cross) -> "Pair":
        """Return a pair with other cross-moments, for example after permuting the images of b."""
        return replace(self, cross=cross, whitened=None, mirror=None, replica=None, whole=None)

    def swapped(self) -> "Pair":
        """Return (b, a)."""
        whitened = None if self.whitened is None else self.whitened.swapped()
        return Pair(self.b, self.a, self.cross.swapped(), whitened, self.directions, self.aligned, self)

    @property
    def _matrix(self) -> np.ndarray:
        """M."""
        if self.whitened is not None:
            return self.whitened.covariance
        return _whitened(self.a, self.cross.covariance, self.b)


def _whitened(a: Representation, covariance: np.ndarray, b: Representation) -> np.ndarray:
    """M = W_aᵀ C_ab W_b, with half the arithmetic of full matrices because both factors are triangular."""
    # BLAS requires contiguous columns, so it is given Cᵀ.
    block = covariance[np.ix_(a.units, b.units)].T
    block = blas.dtrmm(1.0, b.whitening, block, lower=1, overwrite_b=1)
    return blas.dtrmm(1.0, a.whitening, block, side=1, lower=1, trans_a=1, overwrite_b=1).T


def _correlations(matrix: np.ndarray) -> np.ndarray:
    """Singular values, descending and within [0, 1], from the eigenvalues of the smaller Gram matrix.

    This is twice as fast as an SVD. Values near 0 have an absolute error of 1e-8 instead of 1e-16.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    gram = blas.dsyrk(1.0, matrix.T, trans=int(wide), lower=1)
    values, *_, failed = lapack.dsyevr(gram, compute_v=0, lower=1, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("eigenvalues of a matrix of correlations did not converge")
    return np.sqrt(np.clip(values[::-1], 0, 1))


def _singular(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left vectors (columns), values and right vectors (columns) of a matrix, computed in the same way."""
    if matrix.shape[0] < matrix.shape[1]:
        return _singular(matrix.T)[::-1]
    values, right = np.linalg.eigh(matrix.T @ matrix)
    if values.min(initial=1.0) < SMALL**2:
        # The left vectors of correlations near 0 would not be orthogonal.
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        return left, np.clip(values, 0, 1), right.T
    right = right[:, ::-1]
    left = matrix @ right
    return left / np.linalg.norm(left, axis=0), np.sqrt(np.clip(values[::-1], 0, 1)), right
