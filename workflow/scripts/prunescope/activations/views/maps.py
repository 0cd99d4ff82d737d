"""Views of feature maps and of tokens."""

from math import prod

import numpy as np

from prunescope.activations.views import View, every
from prunescope.provenance import derive_seed


class Places(View):
    """Base class of views in which every sampled position of an image is a row."""

    @classmethod
    def positions(cls, shape, wanted):
        """Draw positions (row × width + column, or tokens); they depend only on the number of positions."""
        places = every(shape)
        if isinstance(wanted, list):
            return np.array(wanted) if len(shape) > 1 else np.arange(1)
        if cls.rows(shape, wanted) == places:
            return np.arange(places)
        extent = shape[:1] if len(shape) == 2 else shape[1:]
        generator = np.random.default_rng(derive_seed(0, "positions", *extent))
        return np.sort(generator.choice(places, wanted, replace=False))

    @classmethod
    def rows(cls, shape, positions):
        if isinstance(positions, list):
            return len(positions) if len(shape) > 1 else 1
        return every(shape) if positions == "all" else min(positions, every(shape))


class Channels(Places):
    """Sampled positions of (n, c, h, w) are rows, (n·s) × c."""

    @classmethod
    def accepts(cls, shape):
        return len(shape) in (1, 3)

    @classmethod
    def to_rows(cls, output, positions=None):
        if output.ndim == 2:
            return output
        places = output.permute(0, 2, 3, 1).flatten(1, 2)
        if positions is not None:
            places = places.index_select(1, positions)
        return places.flatten(0, 1)


class Tokens(Places):
    """Sampled tokens of (n, t, d) are rows, (n·s) × d; `activations.token` names a single one."""

    @classmethod
    def accepts(cls, shape):
        return len(shape) in (1, 2)

    @classmethod
    def to_rows(cls, output, positions=None):
        if output.ndim == 2:
            return output
        if positions is not None:
            output = output.index_select(1, positions)
        return output.flatten(0, 1)


class Flatten(View):
    """Images are rows, n × chw or n × td; the rotation U·S is stored if that has more columns than rows."""

    @classmethod
    def units(cls, shape):
        return prod(shape)

    @classmethod
    def stored(cls, shape, images):
        return min(cls.units(shape), images)

    @classmethod
    def to_rows(cls, output, positions=None):
        return output.flatten(1)


class Pooled(View):
    """Images are rows, n × c or n × d: means over positions or tokens."""

    @classmethod
    def to_rows(cls, output, positions=None):
        if output.ndim == 3:
            return output.mean(dim=1)
        return output if output.ndim == 2 else output.mean(dim=(2, 3))
