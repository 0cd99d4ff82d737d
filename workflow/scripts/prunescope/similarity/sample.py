"""Samples of the images behind a matrix: their rows, kept in memory, or one vector for each."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from prunescope.similarity.folds import Images

# Numbers of a sample; it has all images if their rows are not more.
MOST_NUMBERS = 2**22
# Most images that are kept as vectors, and rows to read at a time.
MOST_VECTORS, READ_ROWS = 1000, 1024


@dataclass(frozen=True)
class Sample:
    """Rows of images in random order, the same images in the same order for every matrix.

    Attributes
    ----------
    rows : ndarray, shape (images, positions, p)
        Centred over all images at each position.
    order : ndarray of int, shape (images,)
        Places of the images in `rows`, in random order.
    images : ndarray of int, shape (images,)
        These images among all.
    half : ndarray of int, shape (images,)
        The half that each image of `order` belongs to, 0 or 1; see `folds.Images`.
    complete : bool
        Whether it has all images.
    """

    rows: np.ndarray
    order: np.ndarray
    images: np.ndarray
    half: np.ndarray
    complete: bool

    @staticmethod
    def size(images: int, numbers: int) -> int:
        """Return the number of images of a sample, with this many numbers in each."""
        return min(images, max(MOST_NUMBERS // max(numbers, 1), 2))

    def first(self, count: int) -> "Sample":
        """Return a sample of the first images in random order."""
        rows = self.rows[self.order[:count]]
        return Sample(rows, np.arange(count), self.images[:count], self.half[:count], False)

    @classmethod
    def of(cls, matrix: Any, images: int, centre: np.ndarray) -> "Sample":
        """Read a sample of a matrix whose mean image is `centre`, shape (positions, p)."""
        positions, p = centre.shape
        count = cls.size(images, centre.size)
        known = Images.of(images, positions)
        second = known.fold >= known.halves()[1].start
        order = in_random_order(images)[:count]
        kept = np.sort(order)
        rows = np.empty((count, positions, p))
        for places, part, found in _read(matrix, images, kept):
            np.subtract(found, centre[part], out=rows[places, part])
        return cls(rows, np.searchsorted(kept, order), order, second[order].astype(int), count == images)

    def lengths(self, side, basis: str, count: int | None = None) -> np.ndarray:
        """Norms of the first images in random order, in a basis of the matrix' representation."""
        if (basis, count) not in self._lengths:
            rows = self.rows if count is None else self.rows[self.order[:count]]
            flat = rows.reshape(-1, rows.shape[2])
            if basis != "raw":
                flat = flat @ side.coordinates(basis, np.eye(rows.shape[2]))
            squares = np.einsum("ij,ij->i", flat, flat).reshape(len(rows), -1).sum(axis=1)
            self._lengths[basis, count] = np.sqrt(squares if count is not None else squares[self.order])
        return self._lengths[basis, count]

    def agreement(self, side, basis: str) -> np.ndarray:
        """G / tr G, shape (positions, positions): G_tu = Σ_i ⟨x_it, x_iu⟩ in a basis."""
        if basis not in self._agreement:
            rows = side.coordinates(basis, self.rows).transpose(1, 0, 2).reshape(self.rows.shape[1], -1)
            found = rows @ rows.T
            self._agreement[basis] = found / (np.trace(found) or 1.0)
        return self._agreement[basis]

    @cached_property
    def _agreement(self) -> dict:
        return {}

    @cached_property
    def _lengths(self) -> dict:
        return {}


def in_random_order(images: int) -> np.ndarray:
    """Return all images in an order that depends on nothing but their number."""
    return np.random.default_rng(0).permutation(images)


def sampled(images: int) -> np.ndarray:
    """Return the images that are kept as vectors, ascending."""
    return np.sort(in_random_order(images)[:MOST_VECTORS])


def image_vectors(matrix: Any, images: int, mean: np.ndarray) -> np.ndarray:
    """Return one vector for each image of `sampled`: the mean of its rows, minus the mean of all rows.

    Parameters
    ----------
    matrix : array-like, shape (n, p)
        Anything whose slices are arrays; each image has the same number of consecutive rows.
    images : int
    mean : ndarray, shape (p,)

    Returns
    -------
    ndarray, shape (min(images, MOST_VECTORS), p)
    """
    chosen = sampled(images)
    sums = np.zeros((chosen.size, mean.size))
    for places, _, found in _read(matrix, images, chosen):
        sums[places] += (found - mean).sum(axis=1)
    return sums / (matrix.shape[0] // images)


def _read(matrix: Any, images: int, chosen: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Read images, ascending: yield their places in `chosen`, positions, and rows (images, positions, p).

    Files are read in large parts, because each part has a checksum. A part can be smaller than an image.
    """
    positions = matrix.shape[0] // images
    for start, stop in Images.of(images, positions).chunks(READ_ROWS):
        image, first = divmod(start, positions)
        places = slice(*np.searchsorted(chosen, (image, -(-stop // positions))))
        if places.start < places.stop:
            rows = matrix[start:stop]
            rows = rows.reshape(-1, min(positions, len(rows)), rows.shape[1])
            yield places, slice(first, first + rows.shape[1]), rows[chosen[places] - image]
