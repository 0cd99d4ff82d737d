"""Activation files → rows of the similarity matrix: checks that rows correspond, streams, computes."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from prunescope import moments, similarity
from prunescope.errors import InputError
from prunescope.files import atomic_path
from prunescope.moments import Gram
from prunescope.similarity import Representation, Score

log = logging.getLogger("prunescope")

SCHEMA = 1
# Sums of products kept at a time, in numbers of 8 bytes; a single wider matrix may exceed it.
BATCH_NUMBERS = 2**26
COLUMNS = pa.schema(
    [
        ("seed_a", pa.int64()),
        ("round_a", pa.int64()),
        ("layer_a", pa.string()),
        ("seed_b", pa.int64()),
        ("round_b", pa.int64()),
        ("layer_b", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("chance", pa.float64()),
        ("density_a", pa.float64()),
        ("density_b", pa.float64()),
        ("n", pa.int64()),
        ("width_a", pa.int64()),
        ("width_b", pa.int64()),
        ("rank_a", pa.int64()),
        ("rank_b", pa.int64()),
        ("status", pa.string()),
        ("spectrum", pa.list_(pa.float64())),
    ]
)


@dataclass(frozen=True)
class SimilaritySettings:
    """How representations are compared: the keys of `similarity` in an experiment file that computing needs.

    Attributes
    ----------
    metrics : list of str
        Of `similarity.MEASURES`.
    variance : float
        Fraction of the variance that the principal components of SVCCA keep, in (0, 1].
    pairs : str
        ``same-layer`` or ``all-layers``.
    gpu : bool
        Whether to sum products on a GPU when one is granted; it differs by rounding.
    threads : int
        Threads to compute with; the result does not depend on it.
    """

    metrics: list[str] = field(default_factory=lambda: ["cca", "svcca"])
    variance: float = 0.99
    pairs: str = "same-layer"
    gpu: bool = False
    threads: int = 1

    def __post_init__(self):
        if not self.metrics or not set(self.metrics) <= set(similarity.MEASURES):
            allowed = ", ".join(similarity.MEASURES)
            raise InputError(f"similarity.metrics = {self.metrics}: must be one or more of {allowed}")
        if not 0 < self.variance <= 1:
            raise InputError(f"similarity.variance = {self.variance}: must be above 0 and at most 1")
        if self.pairs not in ("same-layer", "all-layers"):
            raise InputError(f"similarity.pairs = {self.pairs!r}: must be same-layer or all-layers")


@dataclass(frozen=True)
class Matrix:
    """One layer's matrix in an open activation file; slices into arrays.

    Attributes
    ----------
    path : str
        Of the file, for messages.
    seed, round : int
    layer : str
    density : float
        Of the network.
    width : int
        Number of units.
    positions : ndarray
        Sampled positions of the module's output.
    data : h5py.Dataset
    """

    path: str
    seed: int
    round: int
    layer: str
    density: float
    width: int
    positions: np.ndarray
    data: h5py.Dataset

    @property
    def shape(self) -> tuple[int, int]:
        return self.data.shape

    @property
    def rotated(self) -> bool:
        """Whether the columns are a rotation of the units."""
        return self.width != self.shape[1]

    def __getitem__(self, rows: slice) -> np.ndarray:
        try:
            return self.data[rows]
        except OSError as error:
            raise InputError(
                f"{self.path}: layer {self.layer} cannot be read ({error}); delete the file and run again"
            ) from None


@dataclass(frozen=True)
class Whitened:
    """A matrix whose rows are whitened as they are read; slices into arrays.

    Attributes
    ----------
    matrix : Matrix
    side : Representation
        Of the matrix.
    """

    matrix: Matrix
    side: Representation

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape[0], self.side.rank

    def __getitem__(self, rows: slice) -> np.ndarray:
        return similarity.whiten(self.side, self.matrix[rows])


@dataclass(frozen=True)
class Recording:
    """An open activation file.

    Attributes
    ----------
    path : str
    file : h5py.File
    matrices : dict of str to Matrix
        By layer, in the network's order.
    """

    path: str
    file: h5py.File
    matrices: dict[str, Matrix]


def compare_round(paths: Sequence[str | Path], settings: SimilaritySettings, device: str = "cpu") -> pa.Table:
    """Compare the last round of one seed with every round up to itself: one row of the similarity matrix.

    Parameters
    ----------
    paths : sequence of path
        Activation files of one seed, rounds 0 to r in order.
    settings : SimilaritySettings
    device : torch.device or str, optional
        Where to sum products; the rest is computed on the processor.

    Returns
    -------
    pyarrow.Table
        Columns `COLUMNS`; both orders of every pair, and each layer of round r with itself.

    Raises
    ------
    InputError
        When a file is missing or damaged, its rows do not correspond to those of the others, or activations
        are not finite.
    """
    with _recordings(paths) as files, _workers(settings.threads, device) as workers:
        check_correspondence(files, settings.pairs)
        return _table(_compare(files[-1], files[:-1], settings, workers, itself=True))


def compare_seeds(paths: Sequence[str | Path], settings: SimilaritySettings, device: str = "cpu") -> pa.Table:
    """Compare the same round of different seeds, each with each other.

    Parameters, result and errors are those of `compare_round`, with one file for each seed.
    """
    with _recordings(paths) as files, _workers(settings.threads, device) as workers:
        check_correspondence(files, settings.pairs)
        rows = []
        for i in range(1, len(files)):
            rows += _compare(files[i], files[:i], settings, workers, itself=False)
        return _table(rows)


def write(path: str | Path, table: pa.Table) -> None:
    """Write rows as Parquet, atomically; the same rows give the same bytes."""
    with atomic_path(path) as part:
        pq.write_table(table, part)


@dataclass(frozen=True)
class _Workers:
    """What computes: `run` is like `map`, side by side; `gram` makes the sums of products."""

    run: Callable
    gram: Callable[..., Gram]


@contextmanager
def _workers(threads: int, device: str) -> Iterator[_Workers]:
    """Compute side by side, with one thread inside each LAPACK call.

    Matrices of a few hundred columns are too small for LAPACK to use two threads well.
    """
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        run = map if threads == 1 else pool.map
        if str(device) == "cpu":
            yield _Workers(run, partial(Gram, run=run))
        else:
            from prunescope.moments_gpu import DeviceGram

            yield _Workers(run, partial(DeviceGram, device=device))


@contextmanager
def _recordings(paths: Sequence[str | Path]) -> Iterator[list[Recording]]:
    with ExitStack() as stack:
        files = []
        for path in map(str, paths):
            try:
                file = stack.enter_context(h5py.File(path))
                if file.attrs["schema"] != SCHEMA:
                    raise InputError(
                        f"{path}: activations of schema {file.attrs['schema']}, this version reads {SCHEMA}; "
                        "delete the file and run again"
                    )
                files.append(Recording(path, file, _matrices(path, file)))
            except (OSError, KeyError) as error:
                raise InputError(
                    f"{path}: not a readable activation file ({error}); delete it and run again"
                ) from None
        yield files


def _matrices(path: str, file: h5py.File) -> dict[str, Matrix]:
    seed, number, density = (file.attrs[key].item() for key in ("seed", "round", "density"))
    layers = sorted(file["layers"].items(), key=lambda item: item[1].attrs["order"])
    return {
        name: Matrix(
            path, seed, number, name, density, int(data.attrs["width"]), data.attrs["positions"], data
        )
        for name, data in layers
    }


def check_correspondence(files: Sequence[Recording], pairs: str) -> None:
    """Make sure that row i of every matrix is the same position of the same example.

    Raises
    ------
    InputError
        Names both files and what differs.
    """
    first = files[0]
    for other in files[1:]:
        both, remedy = f"{first.path} and {other.path}", "extract both with the same settings"
        for key in ("dataset", "view", "positions"):
            mine, theirs = first.file.attrs[key], other.file.attrs[key]
            if mine != theirs:
                raise InputError(f"{both}: {key} is {mine} in one and {theirs} in the other; {remedy}")
        if not np.array_equal(first.file["examples"], other.file["examples"]):
            raise InputError(f"{both}: the indices of the examples differ; {remedy}")
        for name in sorted({*first.matrices} ^ {*other.matrices}):
            lacking = other if name in first.matrices else first
            raise InputError(f"{both}: {lacking.path} has no layer {name}; {remedy}")
        for name, matrix in first.matrices.items():
            partner = other.matrices[name]
            rows = matrix.shape[0], partner.shape[0]
            if rows[0] != rows[1]:
                raise InputError(f"{both}: layer {name} has {rows[0]} and {rows[1]} rows; {remedy}")
            if not np.array_equal(matrix.positions, partner.positions):
                raise InputError(f"{both}: layer {name} was recorded at different positions; {remedy}")
    if pairs == "all-layers" and first.file.attrs["view"] == "channels":
        raise InputError(
            f"{first.path} and {files[-1].path}: similarity.pairs = all-layers needs rows that correspond "
            "between layers, and with activations.view = channels they do not; use the view pooled or flatten"
        )


def _compare(
    left: Recording,
    others: Sequence[Recording],
    settings: SimilaritySettings,
    workers: _Workers,
    itself: bool,
) -> list[dict]:
    if settings.pairs == "same-layer":
        tasks = [([name], [name]) for name in left.matrices]
    else:
        tasks = [(list(left.matrices), list(left.matrices))]
    rows = []
    for names, partners in tasks:
        own = [left.matrices[name] for name in names]
        theirs = [other.matrices[name] for other in others for name in partners]
        found = list(_pairs(own, theirs, settings, workers, itself))
        few = Counter(row["status"] for row in found if row["status"] != similarity.OK)
        log.info(
            "%s of round %d (seed %d), %d rows: compared with %d recordings%s",
            ", ".join(names),
            own[0].round,
            own[0].seed,
            own[0].shape[0],
            len(others) + itself,
            "".join(f"; {status}: {count} values" for status, count in few.items()),
        )
        rows += found
    return rows


def _pairs(
    own: Sequence[Matrix],
    theirs: Sequence[Matrix],
    settings: SimilaritySettings,
    workers: _Workers,
    itself: bool,
) -> Iterator[dict]:
    gram = moments.all_pairs(own, gram=workers.gram)
    sides = list(workers.run(lambda i: _represent(own[i], gram, i, settings), range(len(own))))
    precise = None
    if any(side.ill for side in sides):
        precise = moments.all_pairs(list(map(Whitened, own, sides)), gram=workers.gram)
        mended = [similarity.refine(side, precise.moments(i)) for i, side in enumerate(sides)]
        sides, mends = zip(*mended, strict=True)
    if itself:

        def within(pair: tuple[int, int]) -> list[dict]:
            i, j = pair
            whitened = mends[i] @ precise.cross(i, j).covariance @ mends[j].T if precise else None
            scores = similarity.compare(sides[i], sides[j], gram.cross(i, j), settings.metrics, whitened)
            return _rows(own[i], sides[i], own[j], sides[j], scores)

        for rows in workers.run(within, [(i, j) for i in range(len(own)) for j in range(i + 1)]):
            yield from rows
    means = [side.moments.mean for side in sides]
    for batch in _batches(own, theirs, BATCH_NUMBERS):
        gram = moments.row(own, means, batch, gram=workers.gram)
        yield from _against(own, sides, gram, batch, settings, workers)


def _against(
    own: Sequence[Matrix],
    sides: Sequence[Representation],
    gram: Gram,
    theirs: Sequence[Matrix],
    settings: SimilaritySettings,
    workers: _Workers,
) -> Iterator[dict]:
    first, ill = len(own), any(side.ill for side in sides)

    def represent(j: int) -> Representation:
        return _represent(theirs[j], gram, first + j, settings)

    def score(j: int, other: Representation, whitened: Sequence[np.ndarray | None]) -> list[dict]:
        rows = []
        for i, (matrix, side) in enumerate(zip(own, sides, strict=True)):
            cross = gram.cross(i, first + j)
            scores = similarity.compare(side, other, cross, settings.metrics, whitened[i])
            rows += _rows(matrix, side, theirs[j], other, scores)
        return rows

    def between(j: int) -> list[dict] | None:
        if ill:
            return None
        other = represent(j)
        return None if other.ill else score(j, other, [None] * first)

    found = list(workers.run(between, range(len(theirs))))
    left = [j for j, rows in enumerate(found) if rows is None]
    # Their whitened rows in a second pass; in smaller batches, because the sums of the first are still there.
    for batch in _batches(own, [theirs[j] for j in left], BATCH_NUMBERS // 4):
        these, left = left[: len(batch)], left[len(batch) :]
        others = list(workers.run(represent, these))
        precise = moments.row(
            list(map(Whitened, own, sides)),
            [np.zeros(side.rank) for side in sides],
            list(map(Whitened, batch, others)),
            gram=workers.gram,
        )

        def again(k: int, these=these, others=others, precise=precise) -> list[dict]:
            other, mend = similarity.refine(others[k], precise.moments(first + k))
            whitened = [precise.cross(i, first + k).covariance @ mend.T for i in range(first)]
            return score(these[k], other, whitened)

        for j, rows in zip(these, workers.run(again, range(len(these))), strict=True):
            found[j] = rows
    for rows in found:
        yield from rows


def _batches(own: Sequence[Matrix], theirs: Sequence[Matrix], numbers: int) -> Iterator[list[Matrix]]:
    height, batch, total = sum(matrix.shape[1] for matrix in own), [], 0
    for matrix in theirs:
        needed = (height + matrix.shape[1]) * matrix.shape[1]
        if batch and total + needed > numbers:
            yield batch
            batch, total = [], 0
        batch.append(matrix)
        total += needed
    if batch:
        yield batch


def _represent(matrix: Matrix, gram: Gram, i: int, settings: SimilaritySettings) -> Representation:
    own = gram.moments(i)
    if not np.isfinite(own.lengths):
        rows = moments.chunk_rows(matrix.shape[1])
        starts = range(0, matrix.shape[0], rows)
        count = sum(int(np.sum(~np.isfinite(matrix[start : start + rows]))) for start in starts)
        raise InputError(
            f"{matrix.path}: layer {matrix.layer} of round {matrix.round}: {count} of "
            f"{np.prod(matrix.shape)} activations are NaN or infinite; look at this round's training"
        )
    truncates = not similarity.TRUNCATED.isdisjoint(settings.metrics)
    return similarity.represent(own, settings.variance if truncates else None, matrix.rotated)


def _rows(
    a: Matrix, side_a: Representation, b: Matrix, side_b: Representation, scores: list[Score]
) -> list[dict]:
    rows = []
    for score in scores:
        common = {
            "metric": score.metric,
            "chance": score.chance,
            "n": side_a.moments.n,
            "status": score.status,
            "spectrum": score.spectrum,
        }
        first, second = (_side(a, score.rank_a), _side(b, score.rank_b))
        rows.append(common | _named(first, "a") | _named(second, "b") | {"value": score.value})
        if a is not b:
            rows.append(common | _named(second, "a") | _named(first, "b") | {"value": score.reverse})
    return rows


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


def _table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=COLUMNS)
