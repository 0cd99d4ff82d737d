"""Passes over the rows of many matrices, which make representations and pairs.

Moments square the condition number. If that loses digits, the layer is read a second time and whitened; the
moments of the whitened rows correct those of the first pass. Nothing outside this module depends on which
layers need this.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from prunescope.similarity import moments
from prunescope.similarity.moments import (
    BATCH_NUMBERS,
    SECOND_BATCH_NUMBERS,
    Cross,
    Gram,
    Moments,
    batch_numbers,
)
from prunescope.similarity.pairs import Pair
from prunescope.similarity.whitening import Representation, refine, whiten

T = TypeVar("T")


@dataclass(frozen=True)
class Whitened:
    """A matrix whose rows are whitened as they are read; slicing it returns arrays.

    Attributes
    ----------
    matrix : array-like, shape (n, p)
    side : Representation
        Representation of the matrix.
    """

    matrix: Any
    side: Representation

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape[0], self.side.rank

    def __getitem__(self, rows: slice) -> np.ndarray:
        return whiten(self.side, self.matrix[rows])


class Group:
    """Matrices that are compared with each other and with other matrices; each is whitened once.

    Parameters
    ----------
    matrices : sequence of array-like, shapes (n, p_i)
        Any objects with a shape whose slices are arrays.
    represent : callable
        Takes a matrix and its moments and returns its representation.
    run : callable, optional
        Like `map`, which is the default; the `map` of a thread pool computes in parallel.
    gram : callable, optional
        Makes the sums, see `moments.all_pairs`.
    positions : int, optional
        Consecutive rows that belong to one image.
    replicas : bool, optional
        Whether pairs that leave out a fold of images can be made; requires a `gram` that sums by fold.
    labels : ndarray of int, shape (images,), optional
        Classes of the images, -1 where there is none.
    """

    def __init__(
        self,
        matrices: Sequence,
        represent: Callable[[Any, Moments], Representation],
        run: Callable = map,
        gram: Callable[..., Gram] = Gram,
        positions: int = 1,
        replicas: bool = False,
        labels: np.ndarray | None = None,
    ):
        self.matrices, self._labels = list(matrices), labels
        self._represent, self._run, self._replicas = represent, run, replicas
        self._sums = {"gram": gram, "positions": positions}
        self._gram = moments.all_pairs(self.matrices, **self._sums)
        self.sides = list(
            run(lambda i: self._side(self.matrices[i], self._gram, i), range(len(self.matrices)))
        )
        self._precise, self._corrections = None, None
        if self._ill:
            self._precise = moments.all_pairs(list(map(Whitened, self.matrices, self.sides)), **self._sums)
            refined = [refine(side, self._precise.moments(i)) for i, side in enumerate(self.sides)]
            self.sides, self._corrections = zip(*refined, strict=True)

    @property
    def _ill(self) -> bool:
        return any(side.ill for side in self.sides)

    def _side(self, matrix, gram: Gram, i: int) -> Representation:
        return replace(self._represent(matrix, gram.moments(i)), rows=matrix, labels=self._labels)

    def pair(self, i: int, j: int) -> Pair:
        """Return matrices i and j as a pair."""
        whitened = None
        if self._precise is not None:
            whitened = _corrected(self._corrections[i], self._precise.cross(i, j), self._corrections[j])
        sides, cross = (self.sides[i], self.sides[j]), self._gram.cross(i, j)
        return Pair(*sides, cross, whitened, replica=self._replica(sides, self._gram, i, j))

    def _replica(self, sides: tuple, gram: Gram, i: int, j: int) -> Callable[[int], Pair] | None:
        """Return a function that makes a pair without a fold; `gram` has the second matrix and products."""
        if not self._replicas:
            return None

        def without(fold: int) -> Pair:
            a = replace(sides[0], moments=self._gram.moments(i, fold), precise=None)
            b = replace(sides[1], moments=gram.moments(j, fold), precise=None)
            return Pair(a, b, gram.cross(i, j, fold))

        return without

    def against(self, others: Sequence, use: Callable[[Any, Iterator[Pair]], T]) -> Iterator[T]:
        """Compare other matrices with these, as many per pass as memory allows.

        Parameters
        ----------
        others : sequence of array-like, shapes (n, p_j)
        use : callable
            Takes one of `others` and an iterator over its pairs (matrix i of the group, this one); must not
            return None. It is called once for each matrix, in parallel, and should not keep pairs, because
            they are large.

        Yields
        ------
        What `use` returned, in the order of `others`.
        """
        for batch in self._batches(others, BATCH_NUMBERS):
            yield from self._one_pass(batch, use)

    def _one_pass(self, batch: list, use: Callable) -> list:
        means = [side.moments.mean for side in self.sides]
        gram = moments.row(self.matrices, means, batch, **self._sums)
        first, ill = len(self.matrices), self._ill

        def result(j: int):
            if ill:
                return None
            other = self._side(batch[j], gram, first + j)
            return None if other.ill else use(batch[j], self._pairs(other, gram, first + j))

        results = list(self._run(result, range(len(batch))))
        missing = [j for j, one in enumerate(results) if one is None]
        for few in self._batches([batch[j] for j in missing], SECOND_BATCH_NUMBERS):
            numbers, missing = missing[: len(few)], missing[len(few) :]
            for j, one in zip(numbers, self._second_pass(few, numbers, gram, use), strict=True):
                results[j] = one
        return results

    def _second_pass(self, batch: list, numbers: list[int], gram: Gram, use: Callable) -> list:
        """Compare part of a pass with full precision; `numbers` are those of its matrices in the pass."""
        first = len(self.matrices)

        def represented(k: int) -> Representation:
            return self._side(batch[k], gram, first + numbers[k])

        others = list(self._run(represented, range(len(batch))))
        precise = moments.row(
            list(map(Whitened, self.matrices, self.sides)),
            [np.zeros(side.rank) for side in self.sides],
            list(map(Whitened, batch, others)),
            **self._sums,
        )

        def result(k: int):
            other, correction = refine(others[k], precise.moments(first + k))
            whitened = (_corrected(None, precise.cross(i, first + k), correction) for i in range(first))
            return use(batch[k], self._pairs(other, gram, first + numbers[k], whitened))

        return list(self._run(result, range(len(batch))))

    def _pairs(
        self, other: Representation, gram: Gram, j: int, whitened: Iterator[Cross] | None = None
    ) -> Iterator[Pair]:
        for i, side in enumerate(self.sides):
            precise = None if whitened is None else next(whitened)
            replica = self._replica((side, other), gram, i, j)
            yield Pair(side, other, gram.cross(i, j), precise, replica=replica)

    def _batches(self, others: Sequence, numbers: int) -> Iterator[list]:
        """Split `others` into batches of at most about `numbers` sums."""
        height, batch, total = sum(matrix.shape[1] for matrix in self.matrices), [], 0
        for matrix in others:
            needed = batch_numbers(height, matrix.shape[1], self._sums["positions"], self._replicas)
            if batch and total + needed > numbers:
                yield batch
                batch, total = [], 0
            batch.append(matrix)
            total += needed
        if batch:
            yield batch


def _corrected(left: np.ndarray | None, cross: Cross, right: np.ndarray) -> Cross:
    """Correct moments between whitened rows; a left side of None is already corrected."""
    covariance, halves = cross.covariance @ right.T, cross.halves @ right.T
    if left is not None:
        covariance, halves = left @ covariance, left @ halves
    return Cross(covariance, cross.lengths, halves)
