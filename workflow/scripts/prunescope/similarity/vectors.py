"""A sample of images as vectors, for measures that need rows."""

from typing import Any

import numpy as np

from prunescope.similarity.folds import Images

# Most images of a sample, and rows to read at a time.
MOST_IMAGES, READ_ROWS = 1000, 1024


def sampled(images: int) -> np.ndarray:
    """Return the images of the sample, ascending. They depend on nothing but the number of images."""
    return np.sort(np.random.default_rng(0).permutation(images)[:MOST_IMAGES])


def image_vectors(matrix: Any, images: int, mean: np.ndarray) -> np.ndarray:
    """Return one vector for each image of the sample: the mean of its rows, minus the mean of all rows.

    Parameters
    ----------
    matrix : array-like, shape (n, p)
        Anything whose slices are arrays; each image has the same number of consecutive rows.
    images : int
    mean : ndarray, shape (p,)

    Returns
    -------
    ndarray, shape (min(images, MOST_IMAGES), p)
    """
    positions, chosen = matrix.shape[0] // images, sampled(images)
    sums = np.zeros((chosen.size, mean.size))
    for start, stop in Images.of(images, positions).chunks(READ_ROWS):
        image = start // positions
        first, last = np.searchsorted(chosen, (image, -(-stop // positions)))
        if first < last:
            rows = matrix[start:stop] - mean
            # Whole images, or a part of one.
            parts = rows.reshape(-1, min(positions, len(rows)), mean.size)
            sums[first:last] += parts[chosen[first:last] - image].sum(axis=1)
    return sums / positions
