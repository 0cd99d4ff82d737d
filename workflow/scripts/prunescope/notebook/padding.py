"""Rows of layers without those of padding."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prunescope.errors import InputError
from prunescope.notebook.arrays import Rows

# Examples to read at a time.
EXAMPLES = 64


@dataclass(frozen=True)
class Chosen:
    """Some rows of a matrix, in their order; slicing it returns arrays.

    Attributes
    ----------
    data : array-like, shape (n, p)
    places : ndarray of int
        The chosen rows, ascending.
    """

    data: Any
    places: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.places), self.data.shape[1]

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        places = self.places[rows]
        if not len(places):
            return self.data[:0]
        first = places[0]
        return self.data[first : places[-1] + 1][places - first]


def unpadded(rows: Rows, kept: np.ndarray, pooled: bool) -> Rows:
    """Return the rows of a layer at kept positions, or their mean for each example.

    A layer with one row for each example has no padding.

    Parameters
    ----------
    rows : Rows
        At all positions.
    kept : ndarray of bool, shape (n, ...)
    pooled : bool

    Raises
    ------
    InputError
        When the layer has other positions than the mask.
    """
    if not rows.places:
        return rows
    grid, own = kept.shape[1:], rows.places[0]
    if grid != own:
        raise InputError(
            f"mask: has {' × '.join(map(str, grid))} positions for each input, but layer {rows.name} has "
            f"{' × '.join(map(str, own))}; choose layers with the positions of the mask"
        )
    flat = kept.reshape(len(kept), -1)
    if pooled:
        return replace(rows, data=_means(rows.data, flat), places=())
    counts = flat.sum(axis=1)
    return replace(
        rows, data=Chosen(rows.data, np.flatnonzero(flat)), ragged=bool((counts != counts[0]).any())
    )


def _means(data: Any, kept: np.ndarray) -> np.ndarray:
    examples, positions = kept.shape
    means = np.empty((examples, data.shape[1]), np.float32)
    for start in range(0, examples, EXAMPLES):
        weights = kept[start : start + EXAMPLES] / kept[start : start + EXAMPLES].sum(axis=1, keepdims=True)
        found = data[start * positions : (start + len(weights)) * positions]
        maps = np.asarray(found, np.float64).reshape(*weights.shape, -1)
        means[start : start + EXAMPLES] = np.einsum("nt,ntp->np", weights, maps)
    return means
