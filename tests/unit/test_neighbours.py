"""Overlap of nearest images, and the sample of images that measures of rows get."""

from itertools import combinations
from unittest import mock

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from prunescope.similarity.images import Sample, image_vectors, sampled
from prunescope.similarity.measures import load
from prunescope.similarity.measures.neighbours import K, chance
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare
from prunescope.similarity.statuses import NOT_UNIQUE, OK, TOO_FEW, UNDEFINED
from prunescope.similarity.whitening import represent

KNN = load("knn_jaccard")


def score(a, b, positions=1):
    own = Group([a, b], lambda _, found: represent(found, None), positions=positions)
    return compare(own.pair(0, 1), [KNN])[0]


def related(n=200, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 6))
    return [shared @ rng.standard_normal((6, p)) + rng.standard_normal((n, p)) for p in (12, 9)]


def overlap(a, b):
    """Image by image, with scikit-learn's neighbours and Python's sets."""
    found = []
    for x in (a, b):
        nearest = NearestNeighbors(n_neighbors=11, metric="cosine").fit(x - x.mean(axis=0))
        indices = nearest.kneighbors(x - x.mean(axis=0), return_distance=False)
        found.append([set(row) - {i} for i, row in enumerate(indices.tolist())])
    return np.mean([len(one & other) / len(one | other) for one, other in zip(*found, strict=True)])


@pytest.mark.parametrize("seed", range(3))
def test_overlap_of_the_nearest_images(seed):
    a, b = related(seed=seed)
    found, back = score(a, b), score(b, a)
    assert found.value == pytest.approx(overlap(a, b), abs=1e-12) and found.status == OK
    assert back.value == found.value == found.reverse_value and 0.1 < found.value < 0.9


def test_orthogonal_maps_scales_and_shifts_change_nothing():
    a, b = related()
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((9, 9)))[0]
    assert score(a, a.copy()).value == 1 == score(b, 3 * b @ rotation + 7).value
    assert score(a + 5, b @ rotation).value == pytest.approx(score(a, b).value, abs=1e-12)


def test_an_image_of_a_map_is_the_mean_of_its_rows():
    a, b = related()
    rng = np.random.default_rng(1)
    maps = [np.repeat(x, 3, axis=0) + 0.5 * rng.standard_normal((600, x.shape[1])) for x in (a, b)]
    means = [x.reshape(200, 3, -1).mean(axis=1) for x in maps]
    assert score(*maps, positions=3).value == pytest.approx(overlap(*means), abs=1e-12)


def test_one_image_far_away_changes_little():
    """Unlike CKA, it has no status `leverage`."""
    a, b = related(400)
    before = score(a, b).value
    a[3], b[3] = 1e3, 1e3
    after = score(a, b)
    assert after.status == OK and after.value == pytest.approx(before, abs=0.1)


def test_images_at_the_same_place_are_taken_in_their_order():
    """Twelve images that activate nothing: equal cosines must not depend on rounding."""
    a, b = related(60)
    a[:30] = b[:30] = 0
    found = score(a, b).value
    assert found == score(b, a).value == score(1.7 * a, b * 0.3).value
    assert score(a, a.copy()).value == 1


def test_neighbours_chosen_among_equal_images_are_not_unique():
    """With one unit, all cosines are 1 or -1: unrelated layers have the same first images."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 200, 1))
    found = score(a, b)
    assert found.status == NOT_UNIQUE and found.value > 10 * found.chance
    own = Group([a], lambda _, found: represent(found, None))
    assert compare(own.pair(0, 0), [KNN])[0].status == OK
    a, b = related(1000)
    for silent, expected in ((100, NOT_UNIQUE), (5, OK)):
        x = a.copy()
        x[:silent] = 0
        assert score(x, b).status == score(b, x).status == expected


def test_chance_is_exact():
    """The mean over all pairs of sets of 10 among 12 others; and over permutations."""
    sets = [set(one) for one in combinations(range(12), K)]
    expected = np.mean([len(one & other) / len(one | other) for one in sets for other in sets])
    pair = mock.Mock()
    pair.a.vectors = np.empty((13, 1))
    mean, high = chance(pair, (1, 1))
    assert mean == pytest.approx(expected, abs=1e-14) and high > mean
    a, b = related(60)
    rng = np.random.default_rng(0)
    found = [score(a, b[rng.permutation(60)]).value for _ in range(100)]
    assert score(a, b).chance == pytest.approx(np.mean(found), abs=4 * np.std(found) / 10)


def test_too_few_images_have_no_overlap():
    a, b = related(2 * K)
    assert score(a, b).status == TOO_FEW and np.isnan(score(a, b).value)
    maps = [np.repeat(x, 3, axis=0) for x in (a, b)]
    assert score(*maps, positions=3).status == UNDEFINED
    assert score(*related(2 * K + 1)).value > 0


@pytest.mark.parametrize("images", [30, 1000, 1001, 2500])
def test_the_sample_depends_on_the_number_of_images_only(images):
    chosen = sampled(images)
    assert chosen.size == np.unique(chosen).size == min(images, 1000) and chosen.max() < images
    assert np.array_equal(chosen, sampled(images))
    x = np.random.default_rng(0).standard_normal((images, 3))
    expected = x[chosen] - x.mean(axis=0)
    np.testing.assert_allclose(image_vectors(x, images, x.mean(axis=0)), expected, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
@pytest.mark.parametrize("most", [4, 1000])
def test_images_can_be_read_in_parts(rows, most, monkeypatch):
    monkeypatch.setattr("prunescope.similarity.images.READ_ROWS", rows)
    monkeypatch.setattr("prunescope.similarity.images.MOST_VECTORS", most)
    x = np.random.default_rng(0).standard_normal((40, 5, 3))
    expected = x.mean(axis=1)[sampled(40)] - x.mean(axis=(0, 1))
    found = image_vectors(x.reshape(200, 3), 40, x.mean(axis=(0, 1)))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    monkeypatch.setattr("prunescope.similarity.images.MOST_NUMBERS", most * 15)
    found = Sample.of(x.reshape(200, 3), 40, x.mean(axis=0))
    assert found.complete == (most > 40) and len(found.images) == min(most, 40)
    np.testing.assert_allclose(found.rows[found.order], (x - x.mean(axis=0))[found.images], atol=1e-12)
