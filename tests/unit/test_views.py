"""Views: sizes computed without torch agree with torch and with the file format."""

import numpy as np
import pytest
import torch

from prunescope import kinds

VIEWS = list(kinds.known("view"))


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("shape", [(7,), (3, 4, 4), (5, 1, 1), (2, 6, 3), (6, 5), (1, 4)])
@pytest.mark.parametrize("wanted", ["all", 1, 5, 100, [0]])
def test_sizes_are_those_of_the_rows(name, shape, wanted):
    view = kinds.load("view", name)
    if not view.accepts(shape):
        assert (name, len(shape)) in {("tokens", 3), ("channels", 2)}
        return
    positions = view.positions(shape, wanted)
    assert len(positions) == view.rows(shape, wanted)
    assert list(positions) == sorted(set(positions))
    output = torch.from_numpy(np.random.default_rng(0).standard_normal((6, *shape)))
    rows = view.to_rows(output, torch.from_numpy(positions))
    assert rows.shape == (6 * view.rows(shape, wanted), view.units(shape))
    assert view.stored(shape, 10**6) == view.units(shape)


def test_stored_columns_are_at_most_the_images_where_a_view_rotates():
    flatten = kinds.load("view", "flatten")
    assert flatten.stored((3, 4, 4), 20) == 20 and flatten.stored((3, 4, 4), 48) == 48
    assert kinds.load("view", "pooled").stored((300, 4, 4), 20) == 300


def test_positions_of_channels_are_drawn_once_for_a_map():
    channels = kinds.load("view", "channels")
    drawn = channels.positions((8, 5, 5), 6)
    assert np.array_equal(drawn, channels.positions((99, 5, 5), 6))
    assert not np.array_equal(drawn, channels.positions((8, 1, 25), 6))


def test_facts():
    aligned = {name: kind.facts["aligned"] for name, kind in kinds.known("view").items()}
    assert aligned == {"channels": False, "flatten": True, "pooled": True, "tokens": False}


def test_rows_of_tokens_are_the_tokens():
    tokens, pooled = kinds.load("view", "tokens"), kinds.load("view", "pooled")
    output = torch.arange(2 * 4 * 3).reshape(2, 4, 3).float()
    assert torch.equal(tokens.to_rows(output), output.reshape(8, 3))
    class_token = torch.from_numpy(tokens.positions((4, 3), [0]))
    assert torch.equal(tokens.to_rows(output, class_token), output[:, 0])
    assert torch.equal(pooled.to_rows(output), output.mean(1))
    drawn = tokens.positions((9, 5), 4)
    assert np.array_equal(drawn, tokens.positions((9, 99), 4)), "the same tokens in every layer"
    # The logits of a classifier have no tokens.
    assert tokens.rows((4, 3), [1, 3]) == 2 and tokens.positions((4, 3), [1, 3]).tolist() == [1, 3]
    assert tokens.rows((10,), [1, 3]) == 1
    assert tokens.rows((10,), [3]) == 1 and tokens.positions((10,), [3]).tolist() == [0]
