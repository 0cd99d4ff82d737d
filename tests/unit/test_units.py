"""Correlation of corresponding units, against all one-to-one matches of small layers."""

from dataclasses import replace
from itertools import permutations

import h5py
import numpy as np
import pytest

from prunescope import hdf5
from prunescope.activations.store import SCHEMA
from prunescope.notebook.arrays import compare as compare_arrays
from prunescope.settings.similarity import Similarity
from prunescope.similarity.matrix import compare_round, compare_seeds
from prunescope.similarity.measures import load
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare
from prunescope.similarity.statuses import DEAD, OK, UNDEFINED
from prunescope.similarity.whitening import represent

UNITS = load("units")


def score(a, b, aligned=False, positions=1, rotated=False):
    own = Group([a, b], lambda _, found: represent(found, None, rotated), positions=positions)
    return compare(replace(own.pair(0, 1), aligned=aligned), [UNITS])[0]


def write(path, seed, round, **layers):
    with h5py.File(path, "w") as file:
        file.attrs.update(schema=SCHEMA, seed=seed, round=round, view="pooled", positions="all", dataset="")
        file.attrs.update(density=1.0)
        file["examples"] = np.arange(len(next(iter(layers.values()))))
        for order, (name, matrix) in enumerate(layers.items()):
            data = file.create_dataset(f"layers/{name}", data=matrix)
            data.attrs.update(order=order, width=matrix.shape[1], shape=matrix.shape[1:])
            data.attrs.update(grid=np.zeros(0, int), positions=[0])
    hdf5.seal(path)
    return path


def layers(n=200, p=5, q=5, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 4))
    return [np.maximum(shared @ rng.standard_normal((4, k)) + rng.standard_normal((n, k)), 0) for k in (p, q)]


def best_match(a, b):
    """The largest mean over all assignments of the units of the narrower layer to some of the other."""
    if a.shape[1] > b.shape[1]:
        a, b = b, a
    found = np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :]
    places = np.arange(a.shape[1])
    return max(found[places, list(order)].mean() for order in permutations(range(b.shape[1]), a.shape[1]))


@pytest.mark.parametrize(("p", "q"), [(5, 5), (3, 6), (6, 3), (1, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_match_of_units(p, q, seed):
    a, b = layers(p=p, q=q, seed=seed)
    found, back = score(a, b), score(b, a)
    assert found.value == pytest.approx(best_match(a, b), abs=1e-12)
    assert p == 1 or found.status == OK
    assert back.value == pytest.approx(found.value, abs=1e-14)
    order = np.random.default_rng(seed).permutation(q)
    assert score(a, 3 * b[:, order] + 7).value == pytest.approx(found.value, abs=1e-12)


def test_units_of_one_lineage_keep_their_place():
    a, b = layers()
    expected = np.mean([np.corrcoef(a[:, j], b[:, j])[0, 1] for j in range(5)])
    assert score(a, b, aligned=True).value == pytest.approx(expected, abs=1e-12)
    moved = np.roll(a, 1, axis=1)
    assert score(a, moved).value == pytest.approx(1)
    assert score(a, moved, aligned=True).value < 0.9


@pytest.mark.parametrize("aligned", [False, True])
def test_constant_units(aligned):
    """Constant in both they do not count, constant in one they are lost."""
    a, _ = layers()
    a[:, 2] = 3.0
    assert score(a, a.copy(), aligned).value == pytest.approx(1, abs=1e-12)
    b = a.copy()
    b[:, 0] = 0
    assert score(a, b, aligned).value == pytest.approx(3 / 4, abs=0.02 if aligned else 0.12)
    assert score(a, b, True).value == pytest.approx(3 / 4, abs=1e-12)
    assert score(a, 0 * a, aligned).status == DEAD


def test_a_unit_with_the_other_sign_is_another_unit():
    a, _ = layers(p=1)
    assert score(a, -a).value == pytest.approx(-1) and score(a, -a, True).value == pytest.approx(-1)


def test_a_rotation_of_the_units_has_no_units():
    a, b = layers()
    assert score(a, b, rotated=True).status == UNDEFINED


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("least", [-np.inf, 0.0])
@pytest.mark.parametrize(("n", "positions", "p", "q"), [(300, 1, 12, 12), (150, 1, 40, 25), (60, 9, 6, 8)])
def test_chance_is_the_mean_over_permuted_images(aligned, least, n, positions, p, q):
    """Rectified units have skewed correlations, so the best match is up to a tenth higher than in draws."""
    rng = np.random.default_rng(0)
    q = p if aligned else q
    place = rng.standard_normal((1, positions, 3)) * (positions > 1)
    images = [
        np.maximum(place @ rng.standard_normal((3, k)) + rng.standard_normal((n, positions, k)), least)
        for k in (p, q)
    ]
    a, b = (x.reshape(-1, x.shape[2]) for x in images)
    found = [
        score(a, images[1][rng.permutation(n)].reshape(b.shape), aligned, positions).value for _ in range(60)
    ]
    expected, error = np.mean(found), 3 * np.std(found) / np.sqrt(60)
    off = score(a, b, aligned, positions).chance - expected
    skewed = 0.1 * expected if least == 0 and not aligned else 0
    assert -error - 0.02 * expected - skewed < off < error + 0.02 * expected
    if positions == 1 and aligned:
        assert score(a, b, aligned).chance == 0


def test_lineages_and_layers_decide_what_corresponds(tmp_path):
    """Rounds of a seed have the same units; other seeds and other layers are matched."""
    a, b = layers()
    moved = np.roll(a, 1, axis=1)
    paths = [write(tmp_path / f"{i}.h5", 0, i, x=x) for i, x in enumerate((a, b, moved))]
    settings = Similarity(measures=["units"])
    found = compare_round(paths, settings).to_pandas().set_index(["round_a", "round_b"])["value"]
    for one, x in enumerate((a, b)):
        expected = score(x, moved, aligned=True).value
        assert found[2, one] == found[one, 2] == pytest.approx(expected, abs=1e-12)
    assert found[2, 2] == pytest.approx(1)
    drawn = compare_round(paths, settings, same_units=False).to_pandas()
    drawn = drawn.set_index(["round_a", "round_b"])["value"]
    assert drawn[2, 0] == drawn[0, 2] == pytest.approx(1) and drawn[2, 2] == pytest.approx(1)
    paths = [write(tmp_path / f"s{i}.h5", i, 0, x=x) for i, x in enumerate((a, moved))]
    np.testing.assert_allclose(compare_seeds(paths, settings).to_pandas()["value"], 1)
    path = write(tmp_path / "all.h5", 0, 0, x=a, y=moved, narrow=b[:, :3])
    found = compare_round([path], Similarity(measures=["units"], pairs="all-layers")).to_pandas()
    found = found.set_index(["layer_a", "layer_b"])["value"]
    assert found["x", "y"] == pytest.approx(1) and found["x", "x"] == pytest.approx(1)
    assert found["x", "narrow"] == found["narrow", "x"] == pytest.approx(best_match(a, b[:, :3]))


def test_arrays_are_matched():
    a, b = layers(p=4, q=6)
    found = compare_arrays(a, b, ["units"])
    assert found["value"][0] == pytest.approx(best_match(a, b))
