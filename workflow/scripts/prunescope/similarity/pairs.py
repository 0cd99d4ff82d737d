"""Two representations and what is between them, and the scores of measures.

In all equations the columns of X_a (n × p_a) and X_b (n × p_b) are centred, C_ab = X_aᵀX_b / n, and W_a
(p_a × r_a) whitens a: W_aᵀC_aaW_a is the identity. The canonical correlations ρ₁ ≥ ρ₂ ≥ ... are the singular
values of M = W_aᵀC_abW_b.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Optional

import numpy as np
from scipy.linalg import blas, lapack

from prunescope.similarity.measures import FEW, OK, UNDEFINED, Measure
from prunescope.similarity.moments import Cross
from prunescope.similarity.whitening import Representation


@dataclass(frozen=True)
class Pair:
    """Two representations and what is between them; all that a measure gets.

    Attributes
    ----------
    a, b : Representation
        With principal components if `truncated` is used.
    cross : Cross
    whitened : ndarray, shape (rank_a, rank_b), optional
        M, if it is known from whitened rows; by default it follows from `cross`.
    directions : bool, optional
        Whether the correlations are computed together with the canonical directions.
    mirror : Pair, optional
        The same pair in the other order, so that nothing is computed twice.
    """

    a: Representation
    b: Representation
    cross: Cross
    whitened: np.ndarray | None = None
    directions: bool = True
    mirror: Optional["Pair"] = field(default=None, repr=False)

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.a.moments.n

    def ranks(self, of: str) -> tuple[int, int]:
        """Numbers of ``units`` or ``components``, see `Measure.ranks`."""
        sides = (self.a, self.b)
        if of == "components":
            return tuple(side.components.shape[1] for side in sides)
        return tuple(side.rank for side in sides)

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
        matrix = self._matrix
        if matrix.shape[0] < matrix.shape[1]:
            return _directions(matrix.T)[::-1]
        return _directions(matrix)

    @cached_property
    def truncated(self) -> np.ndarray:
        """Canonical correlations between the leading principal components."""
        if self.mirror is not None:
            return self.mirror.truncated
        if all(side.components.shape[1] == side.rank for side in (self.a, self.b)):
            return self.correlations  # they span the same, and these are precise whatever the condition
        return _correlations(self.a.components.T @ self.cross.covariance @ self.b.components)

    def swapped(self) -> "Pair":
        """Return (b, a)."""
        whitened = None if self.whitened is None else self.whitened.T
        return Pair(self.b, self.a, self.cross.swapped(), whitened, self.directions, self)

    @property
    def _matrix(self) -> np.ndarray:
        """M."""
        return _whitened(self.a, self.cross.covariance, self.b) if self.whitened is None else self.whitened


def _whitened(a: Representation, covariance: np.ndarray, b: Representation) -> np.ndarray:
    """M = W_aᵀ C_ab W_b, with half the arithmetic of full matrices because both factors are triangular."""
    # BLAS requires contiguous columns, so it gets Cᵀ, of which these rows are the columns.
    block = covariance[np.ix_(a.units, b.units)].T
    block = blas.dtrmm(1.0, b.whitening, block, lower=1, overwrite_b=1)
    return blas.dtrmm(1.0, a.whitening, block, side=1, lower=1, trans_a=1, overwrite_b=1).T


def _correlations(matrix: np.ndarray) -> np.ndarray:
    """Singular values, descending and within [0, 1], from the eigenvalues of the smaller Gram matrix.

    Twice as fast as from an SVD. Values near 0 have an absolute error of 1e-8 instead of 1e-16.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    gram = blas.dsyrk(1.0, matrix.T, trans=int(wide), lower=1)
    values, *_, failed = lapack.dsyevr(gram, compute_v=0, lower=1, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("eigenvalues of a matrix of correlations did not converge")
    return np.sqrt(np.clip(values[::-1], 0, 1))


def _directions(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left vectors, values and right vectors of a matrix that is not wide, in the same way."""
    values, right = np.linalg.eigh(matrix.T @ matrix)
    right = right[:, ::-1]
    left = matrix @ right
    lengths = np.linalg.norm(left, axis=0)
    return left / np.where(lengths > 0, lengths, 1), np.sqrt(np.clip(values[::-1], 0, 1)), right


@dataclass(frozen=True)
class Score:
    """One measure of one pair (a, b).

    Attributes
    ----------
    measure : str
        Its name.
    value, reverse : float
        Of (a, b) and of (b, a), which differ only if the measure is not symmetric. NaN when a number would
        mislead.
    chance : float
        Expected between unrelated representations of these sizes; NaN where not known.
    rank_a, rank_b : int
        Directions used: independent units or principal components, see `Measure.ranks`.
    status : str
        See `Measure.status`; also ``undefined`` when the measure returns NaN.
    spectrum : ndarray or None
        The canonical correlations, descending, for measures with `Measure.spectrum`.
    """

    measure: str
    value: float
    reverse: float
    chance: float
    rank_a: int
    rank_b: int
    status: str
    spectrum: np.ndarray | None = field(default=None, repr=False)


def compare(pair: Pair, measures: Sequence[Measure]) -> list[Score]:
    """Compute measures of one pair.

    Parameters
    ----------
    pair : Pair
    measures : sequence of Measure

    Returns
    -------
    list of Score
        In the order of `measures`.
    """
    pair = replace(pair, directions=any(measure.directions for measure in measures))
    return [_score(pair, measure) for measure in measures]


def _score(pair: Pair, measure: Measure) -> Score:
    ranks = pair.ranks(measure.ranks)
    width = max(side.moments.mean.size for side in (pair.a, pair.b))
    status = measure.status(pair.n, width, ranks, pair.a.rotated or pair.b.rotated)
    value = float(measure.function(pair)) if status in (OK, FEW) else np.nan
    if np.isnan(value):
        status = UNDEFINED if status in (OK, FEW) else status
        return Score(measure.name, np.nan, np.nan, np.nan, *ranks, status)
    reverse = value if measure.symmetric else float(measure.function(pair.swapped()))
    chance = float(measure.chance(pair, ranks)) if measure.chance else np.nan
    spectrum = pair.correlations if measure.spectrum else None
    return Score(measure.name, value, reverse, chance, *ranks, status, spectrum)
