"""Activation files → rows of the similarity matrix."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from prunescope import kinds
from prunescope.activations import store
from prunescope.activations.store import Matrix, Recording
from prunescope.errors import InputError
from prunescope.settings.similarity import Similarity
from prunescope.similarity.measures import OK, Measure, load
from prunescope.similarity.moments import Gram, Moments
from prunescope.similarity.pairs import LEVELS, Pair, compare
from prunescope.similarity.passes import Own
from prunescope.similarity.whitening import Representation, represent

log = logging.getLogger("prunescope")

COLUMNS = pa.schema(
    [
        ("seed_a", pa.int64()),
        ("round_a", pa.int64()),
        ("layer_a", pa.string()),
        ("seed_b", pa.int64()),
        ("round_b", pa.int64()),
        ("layer_b", pa.string()),
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("chance", pa.float64()),
        ("chance_high", pa.float64()),
        ("chance_classes", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("density_a", pa.float64()),
        ("density_b", pa.float64()),
        ("n", pa.int64()),
        ("images", pa.int64()),
        ("width_a", pa.int64()),
        ("width_b", pa.int64()),
        ("rank_a", pa.int64()),
        ("rank_b", pa.int64()),
        ("status", pa.string()),
        ("spectrum", pa.list_(pa.float64())),
    ]
)


def compare_round(
    paths: Sequence[str | Path], settings: Similarity, threads: int = 1, device: str = "cpu"
) -> pa.Table:
    """Compare the last round of one seed with every round up to itself: one row of the similarity matrix.

    Parameters
    ----------
    paths : sequence of path
        Activation files of one seed, rounds 0 to r in order.
    settings : Similarity
    threads : int, default 1
        The result does not depend on it.
    device : torch.device or str, optional
        Where to sum products; everything else is computed on the CPU.

    Returns
    -------
    pyarrow.Table
        Columns `COLUMNS`; both orders of every pair, and each layer of round r with itself. The measures of a
        pair are in alphabetical order. The metadata ``dataset`` is the data set's checksum.

    Raises
    ------
    InputError
        When a measure is unknown, a file is missing or damaged, its rows do not correspond to those of the
        others, or activations are not finite.
    """
    with store.recordings(paths) as recordings, _comparison(settings, threads, device) as this:
        check_correspondence(recordings, settings.pairs)
        return _table(this.rows(recordings[-1], recordings[:-1], itself=True), recordings[0].dataset)


def compare_seeds(
    paths: Sequence[str | Path], settings: Similarity, threads: int = 1, device: str = "cpu"
) -> pa.Table:
    """Compare the same round of different seeds, all pairs of them.

    Parameters, result and errors are those of `compare_round`, with one file for each seed.
    """
    with store.recordings(paths) as recordings, _comparison(settings, threads, device) as this:
        check_correspondence(recordings, settings.pairs)
        rows = []
        for i in range(1, len(recordings)):
            rows += this.rows(recordings[i], recordings[:i], itself=False)
        return _table(rows, recordings[0].dataset)


def check_correspondence(recordings: Sequence[Recording], pairs: str) -> None:
    """Check that row i of every matrix is the same position of the same example.

    Raises
    ------
    InputError
        With both files and the difference.
    """
    first = recordings[0]
    for other in recordings[1:]:
        both = f"{first.path} and {other.path}"
        remedy = "extract both with the same settings"
        for key in ("dataset", "view", "positions"):
            mine, theirs = getattr(first, key), getattr(other, key)
            if mine != theirs:
                raise InputError(f"{both}: {key} is {mine} in one and {theirs} in the other; {remedy}")
        if not np.array_equal(first.examples, other.examples):
            raise InputError(f"{both}: the indices of the examples differ; {remedy}")
        for name in sorted({*first.matrices} ^ {*other.matrices}) if pairs == "same-layer" else ():
            lacking = other if name in first.matrices else first
            raise InputError(f"{both}: {lacking.path} has no layer {name}; {remedy}")
        for name, matrix in first.matrices.items():
            # Networks that were trained elsewhere need not have a layer in common.
            partner = other.matrices.get(name, next(iter(other.matrices.values())))
            rows = matrix.shape[0], partner.shape[0]
            if rows[0] != rows[1]:
                raise InputError(f"{both}: layer {name} has {rows[0]} and {rows[1]} rows; {remedy}")
            if not np.array_equal(matrix.positions, partner.positions):
                raise InputError(f"{both}: layer {name} was recorded at different positions; {remedy}")
    if pairs == "all-layers":
        views = {name: kind.facts["aligned"] for name, kind in kinds.known("view").items()}
        if not views.get(first.view, True):
            aligned = " or ".join(name for name, fits in views.items() if fits)
            raise InputError(
                f"{first.path} and {recordings[-1].path}: similarity.pairs = all-layers needs rows that "
                f"correspond between layers; with activations.view = {first.view} they do not; "
                f"use the view {aligned}"
            )


@dataclass(frozen=True)
class _Comparison:
    """A way to compare: `run` is a `map` that may use several threads; `gram` makes the sums of products."""

    measures: list[Measure]
    variance: float | None
    pairs: str
    intervals: bool
    run: Callable
    gram: Callable[..., Gram]

    def rows(self, recording: Recording, others: Sequence[Recording], itself: bool) -> list[dict]:
        """Compare one recording with others, and with itself."""
        names = list(recording.matrices)
        groups = [names] if self.pairs == "all-layers" else [[name] for name in names]
        rows = []
        for group in groups:
            own = [recording.matrices[name] for name in group]
            theirs = [
                matrix
                for other in others
                for name, matrix in other.matrices.items()
                if self.pairs == "all-layers" or name in group
            ]
            found = list(self._of_group(own, theirs, itself, recording.labels))
            few = Counter(row["status"] for row in found if row["status"] != OK)
            log.info(
                "%s of round %d (seed %d), %d rows: recordings compared: %d%s",
                ", ".join(group),
                recording.round,
                recording.seed,
                own[0].shape[0],
                len(others) + itself,
                "".join(f"; {status}: {count} values" for status, count in few.items()),
            )
            rows += found
        return rows

    def _of_group(
        self, matrices: list[Matrix], others: list[Matrix], itself: bool, labels: np.ndarray | None
    ) -> Iterator[dict]:
        positions = matrices[0].rows_per_image
        own = Own(matrices, self._represent, self.run, self.gram, positions, self.intervals, labels)

        def within(places: tuple[int, int]) -> list[dict]:
            i, j = places
            return self._rows(matrices[i], matrices[j], own.pair(i, j))

        def between(other: Matrix, pairs: Iterator[Pair]) -> list[dict]:
            found = []
            for matrix, pair in zip(matrices, pairs, strict=True):
                found += self._rows(matrix, other, pair)
            return found

        if itself:
            for rows in self.run(within, [(i, j) for i in range(len(matrices)) for j in range(i + 1)]):
                yield from rows
        for rows in own.against(others, between):
            yield from rows

    def _represent(self, matrix: Matrix, moments: Moments) -> Representation:
        if not np.isfinite(moments.lengths):
            broken, total = matrix.count_not_finite()
            raise InputError(
                f"{matrix.path}: layer {matrix.layer} of round {matrix.round}: {broken} of {total} "
                "activations are NaN or infinite; check this round's training"
            )
        return represent(moments, self.variance, matrix.rotated)

    def _rows(self, a: Matrix, b: Matrix, pair: Pair) -> list[dict]:
        rows = []
        for score in compare(pair, self.measures):
            common = {
                "measure": score.measure,
                "low": score.low,
                "high": score.high,
                "n": pair.n,
                "images": pair.a.moments.images,
                "status": score.status,
                "spectrum": score.spectrum,
            }
            first, second = _side(a, score.rank_a), _side(b, score.rank_b)
            numbers = {key: getattr(score, key) for key in ("value", *LEVELS)}
            rows.append(common | _named(first, "a") | _named(second, "b") | numbers)
            if a is not b:
                numbers = {key: getattr(score, f"reverse_{key}") for key in LEVELS} | {"value": score.reverse}
                rows.append(common | _named(second, "a") | _named(first, "b") | numbers)
        return rows


@contextmanager
def _comparison(settings: Similarity, threads: int, device: str) -> Iterator[_Comparison]:
    """Compute matrices in parallel, with one thread per LAPACK call.

    Matrices of a few hundred columns are too small for LAPACK to use two threads well.
    """
    measures = [load(name) for name in sorted(settings.measures)]
    truncates = any(measure.basis == "components" for measure in measures)
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        run = map if threads == 1 else pool.map
        if str(device) == "cpu":
            gram = partial(Gram, run=run, by_fold=settings.intervals)
        else:
            from prunescope.similarity.moments_gpu import DeviceGram

            gram = partial(DeviceGram, device=device, by_fold=settings.intervals)
        variance = settings.variance if truncates else None
        yield _Comparison(measures, variance, settings.pairs, settings.intervals, run, gram)


def _side(matrix: Matrix, rank: int) -> dict:
    return {
        "seed": matrix.seed,
        "round": matrix.round,
        "layer": matrix.layer,
        "density": matrix.density,
        "width": matrix.width,
        "rank": rank,
    }


def _named(side: dict, which: str) -> dict:
    return {f"{key}_{which}": value for key, value in side.items()}


def _table(rows: list[dict], dataset: str) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=COLUMNS.with_metadata({"dataset": dataset}))
