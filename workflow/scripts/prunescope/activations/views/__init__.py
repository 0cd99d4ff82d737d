"""Views: how a layer's output becomes a matrix. Each is a class in a file of this folder.

A view is used as a class, without an instance. It does not import torch, so the workflow's graph can query
sizes.
"""

from math import prod

import numpy as np

from prunescope import kinds


class View:
    """Base class of views: every image is a row, and a matrix (n, p) is left unchanged.

    Outputs are matrices (n, p), tokens (n, t, d) or maps (n, c, h, w).

    The fact ``aligned`` in `prunescope.activations.table` states whether row i of one layer corresponds to
    row i of another, whatever their shapes.
    """

    @classmethod
    def accepts(cls, shape) -> bool:
        """Return whether outputs of this shape, for one image, can be turned into rows."""
        return len(shape) in (1, 2, 3)

    @classmethod
    def positions(cls, shape, wanted: int | str) -> np.ndarray:
        """Return the positions of an output that become rows, ascending, shape (rows per image,).

        Parameters
        ----------
        shape : sequence of int
            Shape of the output for one image: (units,), (tokens, units) or (channels, height, width).
        wanted : int, str or list of int
            Their number, ``all``, or a list.
        """
        return np.arange(cls.rows(shape, wanted))

    @classmethod
    def rows(cls, shape, positions: int | str | list[int]) -> int:
        """Return the number of rows for each image if `positions` are requested."""
        return 1

    @classmethod
    def units(cls, shape) -> int:
        """Return the number of columns."""
        return shape[-1] if len(shape) == 2 else shape[0]

    @classmethod
    def stored(cls, shape, images: int) -> int:
        """Return the number of columns stored: `units`, or fewer when a rotation of them is stored."""
        return cls.units(shape)

    @classmethod
    def to_rows(cls, output, positions=None):
        """Turn a layer's output into matrix rows.

        Parameters
        ----------
        output : Tensor, shape (n, p), (n, t, d) or (n, c, h, w)
        positions : Tensor of int, shape (s,), optional
            Positions of the output; None means all.

        Returns
        -------
        Tensor, shape (n · rows per image, units)
        """
        raise NotImplementedError


def every(shape) -> int:
    """Return the number of positions in an output: 1 of (units,), t of (t, d), h·w of (c, h, w)."""
    return shape[0] if len(shape) == 2 else prod(shape[1:])


def views_for(shape) -> str:
    """Return what to do about an output that a view does not accept: the views that do, or other layers."""
    views = [name for name in kinds.known("view") if kinds.load("view", name).accepts(shape)]
    return (
        f"choose activations.view = {' or '.join(views)}, or other layers" if views else "choose other layers"
    )
