"""The engine that compares matrices, for jobs and notebooks alike: matrices → rows of a table.

A matrix has slices that are arrays, and

- ``shape``; ``width``, its number of units; ``rotated``, whether its columns are a rotation of these;
- ``places``, what the rows of an image are: rows correspond if these are equal; ``rows_per_image``;
- ``data``, what it holds; ``not_finite()``, a message if this has NaN or infinite numbers;
- ``table_columns``, a dictionary of what the table has of it, by column.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from prunescope.errors import InputError
from prunescope.similarity.measures import Measure
from prunescope.similarity.moments import Gram, Moments
from prunescope.similarity.pairs import Pair
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare, not_comparable
from prunescope.similarity.whitening import Representation, constant_share, represent


@dataclass(frozen=True)
class Engine:
    """Compares matrices; from `engine`.

    Attributes
    ----------
    measures : sequence of Measure
    run : callable
        A `map` that may use several threads.
    group : callable
        Takes matrices, ``positions`` and ``labels``, and returns a `passes.Group`.
    aligned : callable, optional
        Takes two matrices and returns whether unit j of both is the same unit of a network.
    both_orders : bool, optional
        Whether the table has (b, a) after each row of (a, b).
    """

    measures: Sequence[Measure]
    run: Callable
    group: Callable[..., Group]
    aligned: Callable[[Any, Any], bool] = lambda a, b: False
    both_orders: bool = False

    def rows(
        self, matrices: Sequence, others: Sequence, itself: bool = False, labels: np.ndarray | None = None
    ) -> list[dict]:
        """Compare matrices whose rows correspond with other matrices.

        Parameters
        ----------
        matrices, others : sequence
            Of `others`, those whose rows do not correspond get a status.
        itself : bool, default False
            Whether `matrices` are also compared with each other, and each with itself.
        labels : ndarray of int, shape (images,), optional
            Classes of the images, -1 where there is none.
        """
        places, rows = matrices[0].places, []
        same_places = [other for other in others if other.places == places]
        if itself or same_places:
            group = self.group(matrices, positions=matrices[0].rows_per_image, labels=labels)

            def within(numbers: tuple[int, int]) -> list[dict]:
                i, j = numbers
                return self.rows_of_pair(matrices[i], matrices[j], group.pair(i, j))

            def between(other: Any, pairs: Iterator[Pair]) -> list[dict]:
                both = zip(matrices, pairs, strict=True)
                return [row for matrix, pair in both for row in self.rows_of_pair(matrix, other, pair)]

            pairs = [(i, j) for i in range(len(matrices)) for j in range(i + 1)] if itself else []
            for of_pair in self.run(within, pairs):
                rows += of_pair
            for of_other in group.against(same_places, between):
                rows += of_other
        other_places = [other for other in others if other.places != places]
        return rows + [
            row for matrix in matrices for other in other_places for row in self.rows_of_pair(matrix, other)
        ]

    def rows_of_pair(self, a: Any, b: Any, pair: Pair | None = None) -> list[dict]:
        """Return a row for each measure of a pair; without a pair, the rows of a and b do not correspond."""
        if pair is None:
            scores, sizes = map(not_comparable, self.measures), {"n": 0, "images": 0}
        else:
            scores = compare(replace(pair, aligned=self.aligned(a, b)), self.measures)
            sizes = {"n": pair.n, "images": pair.a.moments.images}
        rows = []
        for score in scores:
            rows.append(_named(a, "a") | _named(b, "b") | sizes | vars(score))
            if self.both_orders and a is not b:
                rows.append(_named(b, "a") | _named(a, "b") | sizes | vars(score.swapped()))
        return rows


def by_places(matrices: Iterable) -> list[list]:
    """Group matrices whose rows correspond."""
    groups: dict[tuple, list] = {}
    for matrix in matrices:
        groups.setdefault(matrix.places, []).append(matrix)
    return list(groups.values())


def _named(matrix: Any, side: str) -> dict:
    columns = matrix.table_columns | {"width": matrix.width}
    return {f"{key}_{side}": value for key, value in columns.items()}


@contextmanager
def engine(
    measures: Sequence[Measure],
    variance: float | None,
    threads: int,
    intervals: bool = False,
    device: Any = "cpu",
    **more: Any,
) -> Iterator[Engine]:
    """Provide an `Engine` until the block ends.

    Matrices of a few hundred columns are too small for LAPACK to use two threads well, so they are processed
    in parallel, with one thread per call. The result does not depend on the number of threads.

    Parameters
    ----------
    measures : sequence of Measure
    variance : float or None
        See `similarity.variance`.
    threads : int
    intervals : bool, default False
        Whether measures get intervals.
    device : torch.device or str, optional
        Where to sum products; everything else is computed on the CPU.
    **more
        See `Engine`.
    """
    kept = variance if any(measure.basis == "components" for measure in measures) else None

    def represented(matrix, moments: Moments) -> Representation:
        if not np.isfinite(moments.lengths):
            raise InputError(matrix.not_finite())
        return represent(moments, kept, matrix.rotated, constant_share(matrix.data))

    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        run = map if threads == 1 else pool.map
        if str(device) == "cpu":
            gram = partial(Gram, run=run, by_fold=intervals)
        else:
            from prunescope.similarity.moments_gpu import DeviceGram

            gram = partial(DeviceGram, device=device, by_fold=intervals)
        group = partial(Group, represent=represented, run=run, gram=gram, replicas=intervals)
        yield Engine(measures, run, group, **more)
