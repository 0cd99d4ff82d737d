"""Whether a few images carry most of a matrix's variance."""

import numpy as np

# The longest images, as one in so many; and how many times their share of the squared lengths they may hold.
ONE_IN, MOST = 100, 15.0


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
