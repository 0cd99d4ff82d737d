"""Similarity matrices between images: RSA and CKA with a Gaussian kernel; soft matches and regression."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from prunescope.notebook.arrays import compare
from prunescope.similarity.images import sampled
from prunescope.similarity.statuses import LEVERAGE, OK, UNDEFINED

OF_IMAGES = ["rsa", "cka_rbf"]


def related(n=200, p=12, q=9, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 6))
    return [shared @ rng.standard_normal((6, k)) + rng.standard_normal((n, k)) for k in (p, q)]


def score(a, b, measures, images=None):
    return compare(a, b, measures, images).set_index("measure")


def test_an_image_of_a_map_is_the_mean_of_its_rows():
    a, b = related()
    rng = np.random.default_rng(1)
    maps = [np.repeat(x, 3, axis=0) + rng.standard_normal((600, x.shape[1])) for x in (a, b)]
    means = [x.reshape(200, 3, -1).mean(axis=1) for x in maps]
    found, expected = score(*maps, OF_IMAGES, 200), score(*means, OF_IMAGES)
    np.testing.assert_allclose(found["value"], expected["value"], atol=1e-10)


def test_a_sample_of_many_images():
    a, b = related(1500)
    expected = spearmanr(*(pdist((x - x.mean(axis=0))[sampled(1500)], "correlation") for x in (a, b)))
    assert score(a, b, ["rsa"])["value"].item() == pytest.approx(expected.statistic, abs=1e-10)


def test_what_is_not_defined():
    a, b = related()
    assert score(a, b[:, :1], ["rsa"])["status"].item() == UNDEFINED, "one unit has no correlations"
    same = np.tile([[1.0, -1.0], [-1.0, 1.0]], (50, 1))
    assert set(score(same, same, OF_IMAGES, 50)["status"]) == {UNDEFINED}, "all images have the same mean"


def test_rsa_leaves_out_units_that_do_not_vary_and_changes_with_the_basis():
    a, b = related()
    before = score(a, b, ["rsa"])["value"].item()
    dead = np.column_stack([a, np.zeros(200), np.full(200, 3.0)])
    assert score(dead, b, ["rsa"])["value"].item() == pytest.approx(before, abs=1e-12)
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((9, 9)))[0]
    assert abs(score(a, b @ rotation, ["rsa"])["value"].item() - before) > 1e-3


def test_one_image_far_away():
    """It hardly changes a Gaussian kernel."""
    a, b = related(400)
    before = score(a, b, OF_IMAGES)["value"]
    a[3], b[3] = 1e3, 1e3
    after = score(a, b, OF_IMAGES)
    assert after["status"]["cka_rbf"] == OK and after["status"]["rsa"] == LEVERAGE
    assert after["value"]["cka_rbf"] == pytest.approx(before["cka_rbf"], abs=0.02)


def test_lost_units_lower_one_direction_only():
    a, _ = related()
    pruned = a * (np.arange(12) < 6)
    names = ["soft_match", "regression_r2"]
    there, back = score(pruned, a, names)["value"], score(a, pruned, names)["value"]
    np.testing.assert_allclose(there, 1, atol=1e-12)
    assert (back < 0.95).all()
    mixed = pruned[:, :6] @ np.random.default_rng(0).standard_normal((6, 6))
    found = score(a, mixed, names)["value"]
    assert found["regression_r2"] == pytest.approx(back["regression_r2"], abs=1e-10), "any basis of b"
    assert abs(found["soft_match"] - back["soft_match"]) > 0.01


def test_chance_of_few_matched_units_is_known():
    a, b = np.random.default_rng(0).standard_normal((2, 300, 4))
    found = score(a, b, ["units", "soft_match"])
    assert set(found["status"]) == {OK}
    order = np.random.default_rng(1)
    drawn = [score(a, b[order.permutation(300)], ["units"])["value"].item() for _ in range(40)]
    error = 3 * np.std(drawn) / np.sqrt(40)
    assert found["chance"]["units"] == pytest.approx(np.mean(drawn), abs=error + 0.05 * np.mean(drawn))
