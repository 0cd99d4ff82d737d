"""Levels within classes against real permutations: every image meets another image of its class."""

import numpy as np
import pytest

from prunescope import kinds
from prunescope.similarity import classes
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare
from prunescope.similarity.whitening import represent

# The others have no such level, or are 0 there.
MEASURES = [measure for measure in map(load_measure, kinds.known("measure")) if measure.needs == "moments"]


def pair_of(a, b, positions=1, labels=None):
    return Group([a, b], lambda _, found: represent(found, 0.99), positions=positions, labels=labels).pair(
        0, 1
    )


def other_images(labels, rng):
    """A permutation within classes without fixed points."""
    order = np.arange(labels.size)
    for name in np.unique(labels):
        here = rng.permutation(np.flatnonzero(labels == name))
        order[here] = np.roll(here, 1 + rng.integers(max(here.size - 1, 1)))
    return order


def networks(labels, positions, p, q, seed=0):
    """Two networks that share classes, positions and also single images."""
    rng = np.random.default_rng(seed)
    shape = (labels.size, positions)
    shared = rng.standard_normal((*shape, 6)) + 1.5 * rng.standard_normal((labels.max() + 1, 1, 6))[labels]
    shared = shared + rng.standard_normal((1, positions, 6)) * (positions > 1)
    return [
        (shared @ rng.standard_normal((6, k)) + rng.standard_normal((*shape, k))).reshape(-1, k)
        for k in (p, q)
    ]


@pytest.mark.parametrize("count, each, positions", [(10, 40, 1), (60, 5, 1), (10, 20, 9)])
def test_other_images_of_the_same_classes(count, each, positions):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(count), each))
    a, b = networks(labels, positions, 14, 10)
    rng, images = np.random.default_rng(2), b.reshape(labels.size, positions, -1)
    found = []
    for _ in range(40):
        pair = pair_of(a, images[other_images(labels, rng)].reshape(b.shape), positions)
        found.append([measure.value(pair) for measure in MEASURES])
    expected, error = np.mean(found, axis=0), 3 * np.std(found, axis=0) / np.sqrt(len(found))
    for score, mean, room in zip(
        compare(pair_of(a, b, positions, labels), MEASURES), expected, error, strict=True
    ):
        assert score.chance_classes == pytest.approx(
            mean, abs=(0.1 if score.measure == "cca_cv" else 0.05) * abs(mean) + room
        ), score.measure
        assert score.chance < score.chance_classes, score.measure


def test_images_without_a_label_and_classes_of_one_image_are_left_out():
    assert classes.members(np.array([5, -1, 2, 5, 2, 7, -1])).tolist() == [1, -1, 0, 1, 0, -1, -1]
    labels = np.repeat(np.arange(10), 40)
    a, b = networks(labels, 1, 8, 6)
    some = np.where(np.random.default_rng(0).random(labels.size) < 0.05, -1, labels)
    some[0] = 77
    for one, other in zip(
        *(compare(pair_of(a, b, labels=these), MEASURES) for these in (labels, some)), strict=True
    ):
        assert other.chance_classes == pytest.approx(one.chance_classes, rel=0.1), one.measure
        assert other.chance == one.chance and other.value == one.value


@pytest.mark.parametrize("labels", [None, np.full(200, -1), np.arange(200)])
def test_without_classes_there_is_no_level(labels):
    a, b = networks(np.zeros(200, dtype=int), 1, 5, 4)
    assert all(np.isnan(score.chance_classes) for score in compare(pair_of(a, b, labels=labels), MEASURES))


@pytest.mark.parametrize("positions", [1, 4])
def test_layers_of_unequal_width_are_sampled_alike(monkeypatch, positions):
    """A sample has fewer images of a wider layer, so a pair uses those that both have."""
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 40))
    a, b = networks(labels, positions, 14, 10)
    whole = compare(pair_of(a, b, positions, labels), MEASURES)
    monkeypatch.setattr("prunescope.similarity.images.MOST_NUMBERS", 300 * positions * 14)
    assert pair_of(a, b, positions).a.sample_size == 300 < pair_of(a, b, positions).b.sample_size
    names = [measure.name for measure in MEASURES]
    for one, other in ((a, b), (b, a)):
        scores = compare(pair_of(one, other, positions, labels), MEASURES)
        for name, score, expected in zip(names, scores, whole, strict=True):
            back = "reverse_" if one is b else ""
            assert score.value == expected.value or one is b, name
            for level in ("chance_classes", "chance"):
                found = getattr(score, level)
                assert found == pytest.approx(getattr(expected, back + level), rel=0.15), name
