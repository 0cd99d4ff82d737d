"""Second moments of matrices with corresponding rows, accumulated in float64 while streaming over row chunks.

A row of a matrix is *augmented*: the shifted columns x - shift, their squared length, and a one. The products
of augmented rows hold everything that similarity measures need (means, covariances, and products of row
lengths for the debiased CKA), so one pass over the data is enough. The shift does not change the result;
without it, a small variance next to a large mean would lose digits.

Samples differ in their images, and rows of one image are not independent. Therefore sums are kept separately
for two random halves of the images, or for each random fold. If an image has several rows (one for each
position of a map), the sums of the rows at each position are kept as well.

The work is split into tiles of the product matrix. Each tile is summed in a fixed order, by one thread at a
time, so the result does not depend on the number of threads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from prunescope.errors import shrinking
from prunescope.similarity.images import FOLDS, Images, Longest

# Wide tiles multiply faster, but there must be enough tiles for all threads.
LEAST_TILE, MOST_TILE, TILES = 512, 1536, 8
BUFFER_NUMBERS = 2**23
LEAST_ROWS, MOST_ROWS = 1024, 16384
# Sums of products kept at a time, in numbers of 8 bytes; a single wider matrix may exceed it.
BATCH_NUMBERS = 2**26
# The same for a second pass: fewer, because the sums of the first pass are still in memory.
SECOND_BATCH_NUMBERS = BATCH_NUMBERS // 4


@dataclass(frozen=True)
class Moments:
    """Second moments of one matrix.

    Attributes
    ----------
    n : int
        Number of rows.
    images : int
        Number of images; the rows of an image are consecutive, one for each position.
    mean : ndarray, shape (p,)
        Of each column.
    covariance : ndarray, shape (p, p)
        Of the centred columns, divided by n.
    lengths : float
        Mean over the rows of |x|⁴, with x the centred row.
    halves : ndarray, shape (2, p, p)
        Covariance within each half of the images, centred over these images at each position.
    map : ndarray, shape (positions, p)
        Mean over the images at each position, minus `mean`. Zero if there is one position.
    leverage : float
        How many times their share of Σ|x|² the longest 1 % of the images hold, measured from a rough mean.
    """

    n: int
    images: int
    mean: np.ndarray
    covariance: np.ndarray
    lengths: float
    halves: np.ndarray
    map: np.ndarray
    leverage: float = 1.0

    @property
    def positions(self) -> int:
        """Number of rows of an image."""
        return self.n // self.images


@dataclass(frozen=True)
class Cross:
    """Second moments between two matrices a and b of corresponding rows.

    Attributes
    ----------
    covariance : ndarray, shape (p_a, p_b)
        Of the centred columns, divided by n.
    lengths : float
        Mean over the rows of |x|² |y|², with x and y the centred rows.
    halves : ndarray, shape (2, p_a, p_b)
        Covariance within each half of the images, centred over these images at each position.
    """

    covariance: np.ndarray
    lengths: float
    halves: np.ndarray

    def swapped(self) -> "Cross":
        """Return the same between b and a."""
        return Cross(self.covariance.T, self.lengths, self.halves.transpose(0, 2, 1))


class Gram:
    """Sums of products of augmented rows: add rows with `add`, read moments at any time.

    Parameters
    ----------
    shifts : sequence of ndarray, shapes (p_i,)
        Subtracted from the columns of each matrix before squaring; ideally a rough mean.
    blocks : sequence of (range, range)
        Products to sum: all matrices of the first range with all matrices of the second.
    images : Images
        The images that rows belong to.
    run : callable, optional
        Like `map`, which is the default; the `map` of a thread pool computes tiles in parallel.
    by_fold : bool, optional
        Whether to keep the sums of each fold of images, which `without` needs, instead of each half.
    """

    def __init__(
        self,
        shifts: Sequence[np.ndarray],
        blocks: Sequence[tuple[range, range]],
        images: Images,
        run: Callable = map,
        by_fold: bool = False,
    ):
        self._run, self._images = run, images
        self._shifts = [np.asarray(shift, dtype=np.float64) for shift in shifts]
        self._starts = np.cumsum([0, *(shift.size + 2 for shift in self._shifts)]).tolist()
        self._buffer = self._numbers(0, self._starts[-1])
        # The folds whose products are summed together.
        self._parts = images.folds_one_by_one() if by_fold else images.halves()
        self._tiles = []
        self._tile_of = {}
        for rows, columns in blocks:
            tile = (self._columns(rows), self._columns(columns))
            self._tile_of |= {(i, j): len(self._tiles) for i in rows for j in columns}
            total = self._numbers(len(self._parts), *(part.stop - part.start for part in tile))
            total[...] = 0
            self._tiles.append((*tile, total))
        self._longest = Longest(len(self._shifts), images.fold.size, images.positions)
        maps = images.positions if images.positions > 1 else 0
        self._maps = self._numbers(images.folds, maps, self._starts[-1])
        self._maps[...] = 0

    def _numbers(self, *shape: int) -> np.ndarray:
        """Room for float64 numbers."""
        return np.empty(shape)

    def _host(self, numbers: np.ndarray) -> np.ndarray:
        """Copy numbers to the processor's memory."""
        return numbers

    def _columns(self, matrices: range) -> slice:
        return slice(self._starts[matrices[0]], self._starts[matrices[-1] + 1])

    def add(self, chunks: Sequence[np.ndarray], start: int) -> None:
        """Add rows.

        Parameters
        ----------
        chunks : sequence of ndarray, shapes (m, p_i)
            The same rows of every matrix, in any floating-point format: rows of whole images, or of one
            image.
        start : int
            Index of the first row.
        """
        m = len(chunks[0])
        if len(self._buffer) < m:
            self._buffer = self._numbers(m, self._starts[-1])
        augmented = self._buffer[:m]
        order, bounds = self._images.by_fold(start, m)
        first = start % self._images.positions
        places = slice(first, first + m) if order is None else slice(None)

        def augment(i: int) -> None:
            begin, end = self._starts[i], self._starts[i + 1]
            rows = chunks[i]
            if order is not None:
                shape = (len(order), self._images.positions, rows.shape[1])
                rows = rows.reshape(shape)[order].reshape(rows.shape)
            self._augment(rows, self._shifts[i], augmented[:, begin:end])

        def multiply(task: tuple[tuple[slice, slice, np.ndarray], int]) -> None:
            (left, right, total), part = task
            folds = self._parts[part]
            rows = augmented[bounds[folds.start] : bounds[folds.stop]]
            if len(rows):
                self._multiply(rows[:, left], rows[:, right], total[part])

        def add_maps(fold: int) -> None:
            rows = augmented[bounds[fold] : bounds[fold + 1]]
            if len(rows):
                room = self._maps[fold, places]
                room += rows.reshape(-1, room.shape[0], room.shape[1]).sum(0)

        list(self._run(augment, range(len(chunks))))
        self._longest.add(self._host(augmented[:, [end - 2 for end in self._starts[1:]]]), start)
        list(self._run(multiply, [(tile, part) for tile in self._tiles for part in range(len(self._parts))]))
        if self._images.positions > 1:
            list(self._run(add_maps, range(self._images.folds)))

    def _augment(self, chunk: np.ndarray, shift: np.ndarray, out: np.ndarray) -> None:
        columns = out[:, :-2]
        np.subtract(chunk, shift, out=columns)
        np.einsum("ij,ij->i", columns, columns, out=out[:, -2])
        out[:, -1] = 1.0

    def _multiply(self, left: np.ndarray, right: np.ndarray, total: np.ndarray) -> None:
        # Non-finite activations are reported when the moments are read.
        with np.errstate(invalid="ignore", over="ignore"):
            total += left.T @ right

    def finish(self) -> None:
        """Free the memory that only adding rows needs."""
        self._buffer = self._numbers(0, self._starts[-1])

    def moments(self, i: int, without: int | None = None) -> Moments:
        """Second moments of matrix i.

        Parameters
        ----------
        i : int
        without : int, optional
            Fold to leave out; requires the sums of each fold.
        """
        cross, mean = self._centred(i, i, without)
        kept = self._kept(without)
        images, map_ = self._images.among(kept), np.zeros((1, mean.size))
        if self._images.positions > 1:
            map_ = self._sums(i, kept).sum(axis=0) / images - mean
        shift = self._shifts[i]
        return Moments(
            images * self._images.positions,
            images,
            shift + mean,
            cross.covariance,
            cross.lengths,
            cross.halves,
            map_,
            self._longest.leverage(i),
        )

    def cross(self, i: int, j: int, without: int | None = None) -> Cross:
        """Second moments between matrices i and j; `without` as for `moments`."""
        if (i, j) in self._tile_of:
            return self._centred(i, j, without)[0]
        return self._centred(j, i, without)[0].swapped()

    def _kept(self, without: int | None) -> np.ndarray:
        return np.delete(np.arange(self._images.folds), [] if without is None else without)

    def _sums(self, i: int, folds: np.ndarray) -> np.ndarray:
        """Sums of the shifted rows of matrix i at each position, shape (len(folds), positions, p_i)."""
        return self._maps[folds, :, self._starts[i] : self._starts[i + 1] - 2]

    def _centred(self, i: int, j: int, without: int | None) -> tuple[Cross, np.ndarray]:
        rows, columns, total = self._tiles[self._tile_of[i, j]]
        parts = total[
            :,
            self._starts[i] - rows.start : self._starts[i + 1] - rows.start,
            self._starts[j] - columns.start : self._starts[j + 1] - columns.start,
        ]
        halves = []
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            for half in self._images.halves():
                kept = [k for k, part in enumerate(self._parts) if part.start in half and k != without]
                folds = np.array([fold for fold in half if fold != without], dtype=int)
                halves.append((parts[kept].sum(axis=0), folds))
            n = self._images.among(self._kept(without)) * self._images.positions
            block = (halves[0][0] + halves[1][0]) / n
            within = np.array([self._within(i, j, *half) for half in halves])
            mean_i, mean_j = block[:-2, -1], block[-1, :-2]
            covariance = block[:-2, :-2] - np.outer(mean_i, mean_j)
            # |x - m|² = |x|² - 2 m·x + |m|² is linear in the augmented row (x, |x|², 1).
            length_i = np.concatenate([-2 * mean_i, [1.0, mean_i @ mean_i]])
            length_j = np.concatenate([-2 * mean_j, [1.0, mean_j @ mean_j]])
            return Cross(covariance, float(length_i @ block @ length_j), within), mean_i

    def _within(self, i: int, j: int, sums: np.ndarray, folds: np.ndarray) -> np.ndarray:
        """Covariance within a half of the images, centred at each position."""
        images, positions = self._images.among(folds), self._images.positions
        if positions == 1:
            centre_i, centre_j = sums[None, :-2, -1] / images, sums[None, -1, :-2] / images
        else:
            centre_i, centre_j = (self._sums(k, folds).sum(axis=0) / images for k in (i, j))
        return (sums[:-2, :-2] / images - centre_i.T @ centre_j) / positions


def all_pairs(
    matrices: Sequence, rows: int | None = None, gram: Callable[..., Gram] = Gram, positions: int = 1
) -> Gram:
    """Accumulate the moments of several matrices and of all their pairs, in one pass.

    Parameters
    ----------
    matrices : sequence of array-like, shapes (n, p_i)
        Anything that slices into arrays, e.g. an HDF5 data set.
    rows : int, optional
        Rows per chunk; by default the float64 buffer has about 2²³ numbers. Changes the result by rounding
        only. After each out-of-memory error, the pass restarts with half the rows.
    gram : callable, optional
        Makes the sums from shifts, blocks and images: `Gram`, optionally with threads, or a class that
        computes on a GPU.
    positions : int, optional
        Consecutive rows that belong to one image.

    Raises
    ------
    InputError
        When there is not enough memory for a chunk of one row.
    """
    groups = _groups([matrix.shape[1] for matrix in matrices])
    blocks = [(a, b) for i, a in enumerate(groups) for b in groups[i:]]
    return _stream(matrices, [_rough_mean(matrix) for matrix in matrices], blocks, rows, gram, positions)


def row(
    left: Sequence,
    means: Sequence[np.ndarray],
    right: Sequence,
    rows: int | None = None,
    gram: Callable[..., Gram] = Gram,
    positions: int = 1,
) -> Gram:
    """Accumulate the moments of each right matrix and its products with each left one, in one pass.

    Parameters
    ----------
    left, right : sequence of array-like, shapes (n, p_i)
        In the result, the left matrices come first.
    means : sequence of ndarray
        Column means of the left matrices.
    rows, gram, positions : optional
        See `all_pairs`, also for errors.
    """
    first, widths = len(left), [matrix.shape[1] for matrix in [*left, *right]]
    rights = [range(group[0] + first, group[-1] + 1 + first) for group in _groups(widths[first:])]
    blocks = [(a, b) for a in _groups(widths[:first]) for b in rights]
    blocks += [(range(i, i + 1), range(i, i + 1)) for i in range(first, len(widths))]
    shifts = [*means, *(_rough_mean(matrix) for matrix in right)]
    return _stream([*left, *right], shifts, blocks, rows, gram, positions)


def chunk_rows(columns: int) -> int:
    """Rows per chunk for matrices with this total number of columns.

    A multiple of `LEAST_ROWS`, the number of rows for which activation files keep one checksum.
    """
    rows = BUFFER_NUMBERS // max(columns, 1) // LEAST_ROWS * LEAST_ROWS
    return min(max(rows, LEAST_ROWS), MOST_ROWS)


def batch_numbers(height: int, width: int, positions: int, intervals: bool) -> int:
    """Return how many sums a matrix of some width adds to a pass over others, of `height` columns together.

    They are kept for each half of the images, with `intervals` for each fold; an image has `positions` rows.
    """
    return (FOLDS if intervals else 2) * (height + width) * width + map_numbers(positions) * width


def map_numbers(positions: int) -> int:
    """Return how many sums of rows at each position are kept for one column."""
    return FOLDS * positions if positions > 1 else 0


def _groups(widths: Sequence[int]) -> list[range]:
    """Group matrices 0, 1, ... into runs whose columns make good tiles."""
    most = min(max(sum(widths) // TILES, LEAST_TILE), MOST_TILE)
    groups, start, total = [], 0, 0
    for i, width in enumerate(widths):
        if i > start and total + width > most:
            groups.append(range(start, i))
            start, total = i, 0
        total += width
    return [*groups, range(start, len(widths))]


def _rough_mean(matrix) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        return np.nan_to_num(np.mean(matrix[:LEAST_ROWS], axis=0, dtype=np.float64), posinf=0.0, neginf=0.0)


def _stream(
    matrices: Sequence, shifts: Sequence, blocks: Sequence, rows: int | None, make: Callable, positions: int
) -> Gram:
    n = matrices[0].shape[0]
    images = Images.of(n // positions, positions)

    def stream(rows: int) -> Gram:
        gram = make(shifts, blocks, images)
        for start, stop in images.chunks(rows):
            gram.add([matrix[start:stop] for matrix in matrices], start)
        gram.finish()
        return gram

    rows = rows or chunk_rows(sum(matrix.shape[1] for matrix in matrices))
    return shrinking(stream, min(rows, n), "row", remedy="compare fewer or narrower layers")
