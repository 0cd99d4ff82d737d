"""Views: how a layer's output becomes a matrix. Each is a class in a file of this folder.

A view is used as a class, without an instance. It does not import torch, so the workflow's graph can query
sizes. A `shape` is that of an output for one image with its units first: (units,), (units, tokens) or (units,
height, width), whatever the order of the axes in the output.
"""

from collections.abc import Sequence
from math import prod

import numpy as np

from prunescope import kinds
from prunescope.errors import InputError
from prunescope.provenance import derive_seed


class View:
    """Base class of views: every image is a row.

    Attributes
    ----------
    needs_axis : bool
        Whether the axis that holds the units must be known.
    """

    needs_axis = True

    @classmethod
    def grid(cls, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the sizes of the axes whose positions become rows: (tokens,), (height, width) or ()."""
        return ()

    @classmethod
    def units(cls, shape: Sequence[int]) -> int:
        """Return the number of columns."""
        return shape[0]

    @classmethod
    def stored(cls, shape: Sequence[int], images: int) -> int:
        """Return the number of columns stored: `units`, or fewer when a rotation of them is stored."""
        return cls.units(shape)

    @classmethod
    def to_rows(cls, output, axis: int, positions=None):
        """Turn a layer's output into matrix rows.

        Parameters
        ----------
        output : Tensor, shape (n, p), (n, t, d), (n, c, h, w), ...
        axis : int
            The axis of `output` that holds the units.
        positions : Tensor of int, shape (s,), optional
            Positions of the output; None means all.

        Returns
        -------
        Tensor, shape (n · rows per image, units)
        """
        raise NotImplementedError


def units_first(view: str, module: str, shape: Sequence[int], axis: int | None) -> tuple[int, ...]:
    """Return the shape of an output for one image with its units first.

    Parameters
    ----------
    view : str
    module : str
        Its name, for the message.
    shape : sequence of int
    axis : int or None
        The axis of the output (n, ...) that holds the units; None if it is not known.

    Raises
    ------
    InputError
        When the view needs the axis and it is not known.
    """
    if axis is None and kinds.load("view", view, "activations.view").needs_axis:
        sizes = ", ".join(map(str, shape))
        raise InputError(
            f"activations.layers: the output of module {module!r} has shape (n, {sizes}), and neither "
            "its type nor other modules show which axis holds its units; set activations.axes to "
            f"{{{module}: first}} if it is the axis after n, or to {{{module}: last}}"
        )
    before = (axis or 1) - 1
    return (shape[before], *shape[:before], *shape[before + 1 :])


def sample(
    view: str, shape: Sequence[int], wanted: int | str | list[int]
) -> tuple[tuple[int, ...], np.ndarray]:
    """Return the grid of an output and the positions in it that become rows, ascending.

    The grid is () if each image has one row: a vector, a mean, a map with a single pixel, a named position.
    Drawn positions depend only on the grid.

    Parameters
    ----------
    view : str
    shape : sequence of int
        With the units first.
    wanted : int, str or list of int
        The number of positions, ``all``, or a list with one position.
    """
    grid = kinds.load("view", view, "activations.view").grid(shape)
    if (positions := prod(grid)) == 1:
        return (), np.arange(1)
    if isinstance(wanted, list):
        return (), np.array(wanted)
    if wanted == "all" or wanted >= positions:
        return grid, np.arange(positions)
    generator = np.random.default_rng(derive_seed(0, "positions", *grid))
    return grid, np.sort(generator.choice(positions, wanted, replace=False))
