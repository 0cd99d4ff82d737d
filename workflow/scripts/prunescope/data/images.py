"""Images that are read when they are indexed, so that a data set need not fit into memory."""

from collections.abc import Iterator, Sequence

import numpy as np

# Bytes of images to process at a time.
BLOCK = 2**23
# Largest data set, in bytes of images, that training on the CPU keeps in memory.
IN_MEMORY = 2**29


class Images:
    """Images that behave like an array of uint8, shape (N, C, H, W), in its first axis.

    Indexing with slices or index arrays returns arrays. A subclass defines `take`.

    Parameters
    ----------
    shape : sequence of int
        (N, C, H, W).
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, shape: Sequence[int]):
        self.shape = tuple(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.take(np.arange(len(self))[rows])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Return the images at these indices, uint8, shape (n, C, H, W)."""
        raise NotImplementedError


def blocks(images: np.ndarray | Images) -> Iterator[tuple[int, np.ndarray]]:
    """Yield images a few megabytes at a time: the index of the first, and the images.

    Parameters
    ----------
    images : ndarray or Images, shape (N, C, H, W)
    """
    count = max(1, BLOCK // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(images), count):
        yield start, np.ascontiguousarray(images[start : start + count], dtype=np.uint8)


def channel_axes(shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the axes of channels, height and width of an image.

    The channels are the shorter one of the first and the last axis.

    Parameters
    ----------
    shape : sequence of int
        (C, H, W) or (H, W, C).

    Raises
    ------
    ValueError
        When the first and the last axis are equally long.
    """
    if shape[0] == shape[2]:
        raise ValueError(f"images of shape {tuple(shape)}: the channel axis is ambiguous")
    return (0, 1, 2) if shape[0] < shape[2] else (2, 0, 1)
