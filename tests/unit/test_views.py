"""Views: sizes computed without torch agree with torch and with the file format."""

import numpy as np
import pytest
import torch

from prunescope import kinds
from prunescope.activations.views import sample, units_first
from prunescope.errors import InputError

VIEWS = list(kinds.known("view"))


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("shape", [(7,), (3, 4, 4), (5, 1, 1), (2, 6, 3), (6, 5), (1, 4)])
@pytest.mark.parametrize("wanted", ["all", 1, 5, 100, [0]])
def test_sizes_are_those_of_the_rows(name, shape, wanted):
    view, output = kinds.load("view", name), torch.arange(6 * np.prod(shape)).reshape(6, *shape).double()
    for axis in range(1, len(shape) + 1):
        units = units_first(name, "x", shape, axis)
        grid, positions = sample(name, units, wanted)
        assert list(positions) == sorted(set(positions))
        rows = view.to_rows(output, axis, torch.from_numpy(positions))
        assert rows.shape == (6 * len(positions), view.units(units))
        assert view.stored(units, 10**6) == view.units(units)
        # A transposed output with its other axis gives the same rows.
        first = output.movedim(axis, 1)
        if name != "flatten":
            assert torch.equal(view.to_rows(first, 1, torch.from_numpy(positions)), rows)
        assert len(positions) == 1 if not grid else len(positions) <= np.prod(grid)


def test_rows_are_positions_and_columns_are_units():
    """(n, c, t) and (n, t, d) with the same numbers."""
    sequence = torch.arange(2 * 4 * 3).reshape(2, 4, 3).double()
    for name, expected in (
        ("channels", sequence.reshape(8, 3)),
        ("tokens", sequence.reshape(8, 3)),
        ("pooled", sequence.mean(1)),
    ):
        to_rows = kinds.load("view", name).to_rows
        assert torch.equal(to_rows(sequence, 2), expected)
        assert torch.equal(to_rows(sequence.transpose(1, 2), 1), expected)
    channels = kinds.load("view", "channels")
    assert torch.equal(channels.to_rows(sequence, 2, torch.tensor([1, 3])), sequence[:, [1, 3]].reshape(4, 3))
    assert kinds.load("view", "tokens") is channels


def test_stored_columns_are_at_most_the_images_where_a_view_rotates():
    flatten = kinds.load("view", "flatten")
    assert flatten.stored((3, 4, 4), 20) == 20 and flatten.stored((3, 4, 4), 48) == 48
    assert kinds.load("view", "pooled").stored((300, 4, 4), 20) == 300


def test_positions_are_drawn_once_for_a_grid():
    _, drawn = sample("channels", (8, 5, 5), 6)
    assert np.array_equal(drawn, sample("tokens", (99, 5, 5), 6)[1])
    assert not np.array_equal(drawn, sample("channels", (8, 25), 6)[1])


def test_grids():
    """Each image has one row in a vector, a mean, a single pixel, and where a position is named."""
    for name, shape, wanted, grid, positions in (
        ("channels", (8, 2, 3), "all", (2, 3), [0, 1, 2, 3, 4, 5]),
        ("channels", (8, 4), "all", (4,), [0, 1, 2, 3]),
        ("channels", (8, 4), [3], (), [3]),
        ("channels", (8,), [3], (), [0]),
        ("channels", (8, 1, 1), "all", (), [0]),
        ("pooled", (8, 2, 3), "all", (), [0]),
        ("flatten", (8, 4), "all", (), [0]),
    ):
        found = sample(name, shape, wanted)
        assert (found[0], found[1].tolist()) == (grid, positions), (name, shape)


def test_an_axis_that_is_not_known():
    for name in ("channels", "tokens", "pooled"):
        with pytest.raises(
            InputError, match=r"module 'block' has shape \(n, 4, 3\).*axes to \{block: first\}"
        ):
            units_first(name, "block", (4, 3), None)
    assert np.prod(units_first("flatten", "block", (4, 3), None)) == 12
