"""Images, their rows in a matrix, and their random folds."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Enough for intervals (19 degrees of freedom) and for the variance of chance.
FOLDS = 20


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
