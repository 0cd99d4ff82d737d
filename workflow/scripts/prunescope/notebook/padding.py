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
    chosen : ndarray of int
        The numbers of these rows, ascending.
    """

    data: Any
    chosen: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.chosen), self.data.shape[1]

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        chosen = self.chosen[rows]
        if not len(chosen):
            return self.data[:0]
        first = chosen[0]
        return self.data[first : chosen[-1] + 1][chosen - first]


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
    of_mask, of_layer = kept.shape[1:], rows.places[0]
    if of_mask != of_layer:
        raise InputError(
            f"mask: has {' × '.join(map(str, of_mask))} positions for each input, but layer {rows.name} has "
            f"{' × '.join(map(str, of_layer))}; choose layers with the positions of the mask"
        )
    flat = kept.reshape(len(kept), -1)
    if pooled:
        return replace(rows, data=_means(rows.data, flat), rows_per_image=1, places=())
    counts = flat.sum(axis=1)
    ragged = bool((counts != counts[0]).any())
    chosen = Chosen(rows.data, np.flatnonzero(flat))
    return replace(rows, data=chosen, rows_per_image=1 if ragged else int(counts[0]), ragged=ragged)


def _means(data: Any, kept: np.ndarray) -> np.ndarray:
    examples, positions = kept.shape
    means = np.empty((examples, data.shape[1]), np.float32)
    for start in range(0, examples, EXAMPLES):
        weights = kept[start : start + EXAMPLES] / kept[start : start + EXAMPLES].sum(axis=1, keepdims=True)
        rows = data[start * positions : (start + len(weights)) * positions]
        maps = np.asarray(rows, np.float64).reshape(*weights.shape, -1)
        means[start : start + EXAMPLES] = np.einsum("nt,ntp->np", weights, maps)
    return means
