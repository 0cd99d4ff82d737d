"""The views."""

from math import prod

from prunescope.activations.views import View


class Channels(View):
    """Every sampled position, a pixel of a map or a token of a sequence, is a row."""

    @classmethod
    def grid(cls, shape):
        return tuple(shape[1:])

    @classmethod
    def to_rows(cls, output, axis, positions=None):
        places = output.movedim(axis, -1).reshape(len(output), -1, output.shape[axis])
        if positions is not None:
            places = places.index_select(1, positions)
        return places.flatten(0, 1)


class Flatten(View):
    """Images are rows; the rotation U·S is stored if that has more columns than rows."""

    needs_axis = False

    @classmethod
    def units(cls, shape):
        return prod(shape)

    @classmethod
    def stored(cls, shape, images):
        return min(cls.units(shape), images)

    @classmethod
    def to_rows(cls, output, axis, positions=None):
        return output.flatten(1)


class Pooled(View):
    """Images are rows: means over positions."""

    @classmethod
    def to_rows(cls, output, axis, positions=None):
        others = [other for other in range(1, output.ndim) if other != axis]
        return output.mean(dim=others) if others else output
