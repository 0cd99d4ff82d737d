"""The images behind the rows of a matrix: their folds, whether few carry the variance, samples of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

# Enough for intervals (19 degrees of freedom) and for the variance of chance.
FOLDS = 20
# The longest images, as one in so many; and how many times their share of the squared lengths they may hold.
ONE_IN, MOST_LEVERAGE = 100, 15.0
# Numbers of a sample; it has all images if their rows are not more.
MOST_NUMBERS = 2**22
# Most images that are kept as vectors, and rows to read at a time.
MOST_VECTORS, READ_ROWS = 1000, 1024


def smaller_half(images: int) -> int:
    """Return the number of images in the smaller half of `Images.halves`."""
    each, more = divmod(images, FOLDS)
    return FOLDS // 2 * each + max(more - FOLDS // 2, 0) if each else images // 2


@dataclass(frozen=True)
class Images:
    """The images behind the rows of a matrix. Each has the same number of consecutive rows.

    Attributes
    ----------
    fold : ndarray of uint8, shape (images,)
        Fold of each image.
    sizes : ndarray of int, shape (folds,)
        Number of images of each fold.
    positions : int
        Number of rows of an image.
    """

    fold: np.ndarray
    sizes: np.ndarray
    positions: int

    @classmethod
    def of(cls, images: int, positions: int = 1) -> "Images":
        """Assign images to random folds, because their order can depend on the class; always the same."""
        folds = min(FOLDS, images)
        fold = (np.random.default_rng(0).permutation(images) % folds).astype(np.uint8)
        return cls(fold, np.bincount(fold, minlength=folds), positions)

    @property
    def folds(self) -> int:
        """Number of folds."""
        return self.sizes.size

    def halves(self) -> list[range]:
        """Return the folds of each half of the images."""
        return [range(self.folds // 2), range(self.folds // 2, self.folds)]

    def folds_one_by_one(self) -> list[range]:
        """Return each fold as a range."""
        return [range(fold, fold + 1) for fold in range(self.folds)]

    def among(self, folds: np.ndarray) -> int:
        """Return the number of images in some folds."""
        return int(self.sizes[folds].sum())

    def chunks(self, rows: int) -> Iterator[tuple[int, int]]:
        """Split all rows into runs of at most `rows` rows: whole images, or parts of one image."""
        n = self.fold.size * self.positions
        if rows >= self.positions:
            step = rows // self.positions * self.positions
            yield from ((start, min(start + step, n)) for start in range(0, n, step))
        else:
            for image in range(0, n, self.positions):
                end = image + self.positions
                yield from ((start, min(start + rows, end)) for start in range(image, end, rows))

    def by_fold(self, start: int, rows: int) -> tuple[np.ndarray | None, np.ndarray]:
        """Sort a run of `chunks` by fold.

        Returns
        -------
        order : ndarray of int or None
            The run's images in ascending order of their folds; None for a part of one image.
        bounds : ndarray of int, shape (folds + 1,)
            Rows before each fold after sorting.
        """
        first = start // self.positions
        if rows % self.positions:
            here, order, each = self.fold[first : first + 1], None, rows
        else:
            here, each = self.fold[first : first + rows // self.positions], self.positions
            order = np.argsort(here, kind="stable")
        counts = np.bincount(here, minlength=self.folds)
        return order, each * np.concatenate([[0], np.cumsum(counts)])


class Longest:
    """Squared lengths of the images of several matrices: their sum, and the largest 1 %.

    Parameters
    ----------
    matrices, images : int
        Their numbers.
    positions : int
        Rows of an image.
    """

    def __init__(self, matrices: int, images: int, positions: int):
        self._images, self._positions = images, positions
        self._count = -(-images // ONE_IN)
        self._total, self._part = np.zeros((2, matrices))
        self._longest = np.zeros((self._count, matrices))

    def add(self, rows: np.ndarray, start: int) -> None:
        """Add squared lengths of rows, shape (m, matrices): rows of whole images, or of one image."""
        if len(rows) % self._positions:
            self._part += rows.sum(axis=0)
            if (start + len(rows)) % self._positions:
                return
            images, self._part = self._part[None], np.zeros_like(self._part)
        else:
            images = rows.reshape(-1, self._positions, rows.shape[1]).sum(axis=1)
        self._total += images.sum(axis=0)
        both = np.concatenate([self._longest, images])
        self._longest = np.partition(both, -self._count, axis=0)[-self._count :]

    def leverage(self, i: int) -> float:
        """Return how many times their share of the squared lengths the longest 1 % of matrix i hold."""
        total = self._total[i] * self._count / self._images
        return float(self._longest[:, i].sum() / total) if 0 < total < np.inf else 1.0


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
        The half that each image of `order` belongs to, 0 or 1; see `Images.halves`.
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
        for read, part, values in _read(matrix, images, kept):
            np.subtract(values, centre[part], out=rows[read, part])
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
            products = rows @ rows.T
            self._agreement[basis] = products / (np.trace(products) or 1.0)
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
    for read, _, values in _read(matrix, images, chosen):
        sums[read] += (values - mean).sum(axis=1)
    return sums / (matrix.shape[0] // images)


def _read(matrix: Any, images: int, chosen: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Read images, ascending: yield their places in `chosen`, positions, and rows (images, positions, p).

    Files are read in large parts, because each part has a checksum. A part can be smaller than an image.
    """
    positions = matrix.shape[0] // images
    for start, stop in Images.of(images, positions).chunks(READ_ROWS):
        image, first = divmod(start, positions)
        wanted = slice(*np.searchsorted(chosen, (image, -(-stop // positions))))
        if wanted.start < wanted.stop:
            rows = matrix[start:stop]
            rows = rows.reshape(-1, min(positions, len(rows)), rows.shape[1])
            yield wanted, slice(first, first + rows.shape[1]), rows[chosen[wanted] - image]
