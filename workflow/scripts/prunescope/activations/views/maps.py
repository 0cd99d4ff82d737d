"""Views of feature maps."""

from math import prod

import numpy as np

from prunescope import kinds
from prunescope.activations.views import View, every
from prunescope.provenance import derive_seed


@kinds.view(name="channels", aligned=False)
class Channels(View):
    """Sampled positions of (n, c, h, w) are rows, (n·s) × c."""

    @classmethod
    def positions(cls, shape, wanted):
        """Draw positions (row × width + column) as a function of the shape alone."""
        places = every(shape)
        if cls.rows(shape, wanted) == places:
            return np.arange(places)
        generator = np.random.default_rng(derive_seed(0, "positions", *shape[1:]))
        return np.sort(generator.choice(places, wanted, replace=False))

    @classmethod
    def rows(cls, shape, positions):
        return every(shape) if positions == "all" else min(positions, every(shape))

    @classmethod
    def to_rows(cls, output, positions=None):
        if output.ndim == 2:
            return output
        places = output.permute(0, 2, 3, 1).flatten(1, 2)
        if positions is not None:
            places = places.index_select(1, positions)
        return places.flatten(0, 1)


@kinds.view(name="flatten", aligned=True)
class Flatten(View):
    """Images are rows, n × chw; the rotation U·S is stored where that has more columns than rows."""

    @classmethod
    def units(cls, shape):
        return prod(shape)

    @classmethod
    def stored(cls, shape, images):
        return min(cls.units(shape), images)

    @classmethod
    def to_rows(cls, output, positions=None):
        return output.flatten(1)


@kinds.view(name="pooled", aligned=True)
class Pooled(View):
    """Images are rows, n × c: means over positions."""

    @classmethod
    def to_rows(cls, output, positions=None):
        return output if output.ndim == 2 else output.mean(dim=(2, 3))
