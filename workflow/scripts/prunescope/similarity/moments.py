"""Second moments of matrices with corresponding rows, accumulated in float64 while streaming over row chunks.

A row of a matrix is *augmented*: the shifted columns x - shift, their squared length, and a one. The products
of augmented rows hold everything that similarity measures need (means, covariances, and products of row
lengths for the debiased CKA), so one pass over the data is enough. The shift does not change the result;
without it a small variance would lose digits to a large mean.

The work is cut into tiles of the product matrix. Each tile is summed in row order by one thread at a time, so
the result does not depend on the number of threads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from prunescope.errors import shrinking

# Wide tiles multiply faster; there must be enough of them to share between threads.
LEAST_TILE, MOST_TILE, TILES = 512, 1536, 8
BUFFER_NUMBERS = 2**23
LEAST_ROWS, MOST_ROWS = 1024, 16384


@dataclass(frozen=True)
class Moments:
    """Second moments of one matrix.

    Attributes
    ----------
    n : int
        Number of rows.
    mean : ndarray, shape (p,)
        Of each column.
    covariance : ndarray, shape (p, p)
        Of the centred columns, divided by n.
    lengths : float
        Mean over the rows of |x|⁴, with x the centred row.
    """

    n: int
    mean: np.ndarray
    covariance: np.ndarray
    lengths: float


@dataclass(frozen=True)
class Cross:
    """Second moments between two matrices a and b of corresponding rows.

    Attributes
    ----------
    covariance : ndarray, shape (p_a, p_b)
        Of the centred columns, divided by n.
    lengths : float
        Mean over the rows of |x|² |y|², with x and y the centred rows.
    """

    covariance: np.ndarray
    lengths: float

    def swapped(self) -> "Cross":
        """Return the same between b and a."""
        return Cross(self.covariance.T, self.lengths)


class Gram:
    """Sums of products of augmented rows: add rows with `add`, read moments at any time.

    Parameters
    ----------
    shifts : sequence of ndarray, shapes (p_i,)
        Subtracted from the columns of each matrix before anything is squared; best a rough mean.
    blocks : sequence of (range, range)
        Which products to sum: all matrices of the first range with all of the second.
    run : callable, optional
        Like `map`, which is the default; the `map` of a thread pool computes tiles side by side.
    """

    def __init__(
        self,
        shifts: Sequence[np.ndarray],
        blocks: Sequence[tuple[range, range]],
        run: Callable = map,
    ):
        self.n = 0
        self._run = run
        self._shifts = [np.asarray(shift, dtype=np.float64) for shift in shifts]
        self._starts = np.cumsum([0, *(shift.size + 2 for shift in self._shifts)]).tolist()
        self._buffer = self._numbers(0, self._starts[-1])
        self._tiles = []
        self._tile_of = {}
        for rows, columns in blocks:
            tile = (self._columns(rows), self._columns(columns))
            self._tile_of |= {(i, j): len(self._tiles) for i in rows for j in columns}
            total = self._numbers(*(part.stop - part.start for part in tile))
            total[...] = 0
            self._tiles.append((*tile, total))

    def _numbers(self, rows: int, columns: int) -> np.ndarray:
        """Room for float64 numbers."""
        return np.empty((rows, columns))

    def _columns(self, matrices: range) -> slice:
        return slice(self._starts[matrices[0]], self._starts[matrices[-1] + 1])

    def add(self, chunks: Sequence[np.ndarray]) -> None:
        """Add rows.

        Parameters
        ----------
        chunks : sequence of ndarray, shapes (m, p_i)
            The same rows of every matrix, in any floating-point format.
        """
        m = len(chunks[0])
        if len(self._buffer) < m:
            self._buffer = self._numbers(m, self._starts[-1])
        augmented = self._buffer[:m]

        def augment(i: int) -> None:
            start, stop = self._starts[i], self._starts[i + 1]
            self._augment(chunks[i], self._shifts[i], augmented[:, start:stop])

        def multiply(tile: tuple[slice, slice, np.ndarray]) -> None:
            self._multiply(augmented[:, tile[0]], augmented[:, tile[1]], tile[2])

        list(self._run(augment, range(len(chunks))))
        list(self._run(multiply, self._tiles))
        self.n += m

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

    def moments(self, i: int) -> Moments:
        """Second moments of matrix i."""
        cross, mean = self._centred(i, i)
        return Moments(self.n, self._shifts[i] + mean, cross.covariance, cross.lengths)

    def cross(self, i: int, j: int) -> Cross:
        """Second moments between matrices i and j."""
        return self._centred(i, j)[0] if (i, j) in self._tile_of else self._centred(j, i)[0].swapped()

    def _centred(self, i: int, j: int) -> tuple[Cross, np.ndarray]:
        rows, columns, total = self._tiles[self._tile_of[i, j]]
        block = total[
            self._starts[i] - rows.start : self._starts[i + 1] - rows.start,
            self._starts[j] - columns.start : self._starts[j + 1] - columns.start,
        ]
        with np.errstate(invalid="ignore", over="ignore"):
            block = block / self.n
            mean_i, mean_j = block[:-2, -1], block[-1, :-2]
            covariance = block[:-2, :-2] - np.outer(mean_i, mean_j)
            # |x - m|² = |x|² - 2 m·x + |m|² is linear in the augmented row (x, |x|², 1).
            length_i = np.concatenate([-2 * mean_i, [1.0, mean_i @ mean_i]])
            length_j = np.concatenate([-2 * mean_j, [1.0, mean_j @ mean_j]])
            return Cross(covariance, float(length_i @ block @ length_j)), mean_i


def all_pairs(matrices: Sequence, rows: int | None = None, gram: Callable[..., Gram] = Gram) -> Gram:
    """Accumulate the moments of several matrices and of all their pairs, in one pass.

    Parameters
    ----------
    matrices : sequence of array-like, shapes (n, p_i)
        Anything that slices into arrays, e.g. an HDF5 data set.
    rows : int, optional
        Rows per chunk; by default the float64 buffer has about 2²³ numbers. Changes the result by rounding
        only. The pass restarts with half the rows each time memory is not enough.
    gram : callable, optional
        Makes the sums from shifts and blocks: `Gram`, with threads if wanted, or one that computes on a GPU.

    Raises
    ------
    InputError
        When memory is not enough for a chunk of one row.
    """
    groups = _groups([matrix.shape[1] for matrix in matrices])
    blocks = [(a, b) for i, a in enumerate(groups) for b in groups[i:]]
    return _stream(matrices, [_rough_mean(matrix) for matrix in matrices], blocks, rows, gram)


def row(
    left: Sequence,
    means: Sequence[np.ndarray],
    right: Sequence,
    rows: int | None = None,
    gram: Callable[..., Gram] = Gram,
) -> Gram:
    """Accumulate the moments of each right matrix and its products with each left one, in one pass.

    Parameters
    ----------
    left, right : sequence of array-like, shapes (n, p_i)
        In the result the left ones come first.
    means : sequence of ndarray
        Column means of the left matrices.
    rows, gram : optional
        See `all_pairs`, also for errors.
    """
    first, widths = len(left), [matrix.shape[1] for matrix in [*left, *right]]
    rights = [range(group[0] + first, group[-1] + 1 + first) for group in _groups(widths[first:])]
    blocks = [(a, b) for a in _groups(widths[:first]) for b in rights]
    blocks += [(range(i, i + 1), range(i, i + 1)) for i in range(first, len(widths))]
    return _stream([*left, *right], [*means, *(_rough_mean(matrix) for matrix in right)], blocks, rows, gram)


def chunk_rows(columns: int) -> int:
    """Rows per chunk for matrices with this total number of columns."""
    return min(max(BUFFER_NUMBERS // max(columns, 1), LEAST_ROWS), MOST_ROWS)


def _groups(widths: Sequence[int]) -> list[range]:
    """Cut matrices 0, 1, ... into runs of columns that make good tiles."""
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


def _stream(matrices: Sequence, shifts: Sequence, blocks: Sequence, rows: int | None, make: Callable) -> Gram:
    def stream(rows: int) -> Gram:
        gram = make(shifts, blocks)
        for start in range(0, n, rows):
            gram.add([matrix[start : start + rows] for matrix in matrices])
        gram.finish()
        return gram

    n = matrices[0].shape[0]
    rows = rows or chunk_rows(sum(matrix.shape[1] for matrix in matrices))
    return shrinking(stream, min(rows, n), "row", remedy="compare fewer or narrower layers")
