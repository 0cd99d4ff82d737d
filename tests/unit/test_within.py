"""CKA within classes: its definition by loops over images, its law under permutations within classes."""

import numpy as np
import pytest

from prunescope import InputError, compare
from prunescope.similarity.images import Images
from prunescope.similarity.measures import described
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare as score_pair
from prunescope.similarity.statuses import OK, UNDEFINED
from prunescope.similarity.whitening import represent

WITHIN = load_measure("cka_within")
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def score(a, b, labels, positions=1, name="cka_within"):
    own = Group([a, b], lambda _, found: represent(found, None), positions=positions, labels=labels)
    return score_pair(own.pair(0, 1), [load_measure(name)])[0]


def networks(labels, positions=1, p=8, q=6, seed=0, shared=1.0):
    """Two networks that share classes, positions and, by `shared`, single images."""
    rng = np.random.default_rng(seed)
    maps = [np.random.default_rng(99 + k).standard_normal((6, k)) for k in (p, q)]
    image = shared * rng.standard_normal((labels.size, 1, 6))
    both = 3 * np.random.default_rng(5).standard_normal((labels.max() + 1, 1, 6))[labels] + image
    both = both + np.random.default_rng(6).standard_normal((1, positions, 6)) * (positions > 1)
    return [
        (both @ one + rng.standard_normal((labels.size, positions, one.shape[1]))).reshape(-1, one.shape[1])
        for one in maps
    ]


def of_classes(count, each, seed=1):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(count), each))


def by_loops(a, b, labels, positions):
    """Cosine of the kernels between the images of both halves, each image minus the mean of its class."""
    fold = Images.of(labels.size).fold
    half = fold >= (fold.max() + 1) // 2
    cubes = [x.reshape(labels.size, positions, -1).copy() for x in (a, b)]
    counted = {name for name in labels.tolist() if name >= 0 and np.sum(labels == name) > 1}
    for name in counted:
        for part in (False, True):
            here = (labels == name) & (half == part)
            for cube in cubes:
                cube[here] -= cube[here].mean(axis=0) if here.any() else 0
    images = [i for i in range(labels.size) if labels[i] in counted]
    products = np.zeros(3)
    for i in (i for i in images if not half[i]):
        for j in (j for j in images if half[j]):
            one, other = (cube[i] @ cube[j].T for cube in cubes)
            products += np.sum(one * other), np.sum(one * one), np.sum(other * other)
    return products[0] / np.sqrt(products[1] * products[2])


@pytest.mark.parametrize("positions", [1, 4])
def test_its_definition_without_images_that_have_no_class(positions):
    labels = of_classes(6, 12)
    labels[:9], labels[9] = -1, 77  # the last class has one image
    a, b = networks(np.clip(labels, 0, 5), positions)
    expected = by_loops(a, b, labels, positions)
    assert 0.1 < expected < 0.95
    assert score(a, b, labels, positions).value == pytest.approx(expected, abs=1e-12)
    left_out = np.repeat((labels < 0) | (labels == 77), positions)
    a[left_out] *= 1.5
    assert score(a, b, labels, positions).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("positions", [1, 4])
def test_maps_that_leave_it_unchanged(positions):
    labels = of_classes(5, 20)
    a, b = networks(labels, positions)
    rng = np.random.default_rng(0)
    expected = score(a, b, labels, positions)
    assert expected.status == OK and expected.reverse_value == expected.value
    assert score(b, a, labels, positions).value == pytest.approx(expected.value, abs=1e-12)
    turned = 1e-3 * a @ np.linalg.qr(rng.standard_normal((8, 8)))[0] + 5
    assert score(turned, b, labels, positions).value == pytest.approx(expected.value, abs=1e-10)
    # Also those that differ between classes and positions.
    moved = a.reshape(100, positions, 8) + 4 * rng.standard_normal((5, positions, 8))[labels]
    assert score(moved.reshape(a.shape), b, labels, positions).value == pytest.approx(
        expected.value, abs=1e-10
    )
    assert score(a, turned, labels, positions).value == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("positions, shared", [(1, 1.0), (4, 1.0), (4, 0.0)])
def test_chance_is_that_of_permutations_within_classes(positions, shared):
    """0 on average; with one row per image, 5 % exceed the quantile; with several, at most 5 %."""
    labels = of_classes(8, 15)
    a, b = networks(labels, positions, shared=shared)
    cube, rng, found, high = b.reshape(labels.size, positions, -1), np.random.default_rng(2), [], []
    for _ in range(250):
        order = np.arange(labels.size)
        for name in range(8):
            order[labels == name] = rng.permutation(np.flatnonzero(labels == name))
        this = score(a, cube[order].reshape(b.shape), labels, positions)
        found.append(this.value)
        high.append(this.chance_high)
        assert this.chance == this.chance_classes == 0
    assert np.mean(found) == pytest.approx(0, abs=3 * np.std(found) / np.sqrt(250))
    above = np.mean(np.array(found) > high)
    assert above < 0.05 + 3 * np.sqrt(0.05 / 250)
    if positions == 1:
        assert np.std(found) * 1.645 == pytest.approx(np.mean(high), rel=0.15)


def test_shuffles_of_all_images_give_no_more():
    labels = of_classes(8, 15)
    a, b = networks(labels)
    rng = np.random.default_rng(0)
    found = [score(a, b[rng.permutation(120)], labels).value for _ in range(100)]
    assert np.mean(found) == pytest.approx(0, abs=3 * np.std(found) / 10)
    assert score(a, b, labels).value > 0.3


@pytest.mark.parametrize("positions", [1, 4])
def test_it_hardly_depends_on_the_number_of_images(positions):
    many = of_classes(10, 500)
    expected = score(*networks(many, positions), many, positions).value
    few = of_classes(10, 20)
    found = [score(*networks(few, positions, seed=seed), few, positions).value for seed in range(30)]
    assert np.mean(found) == pytest.approx(expected, abs=3 * np.std(found) / np.sqrt(30) + 0.01)
    some = of_classes(10, 200)
    assert score(*networks(some, positions), some, positions).value == pytest.approx(expected, abs=0.04)


def test_networks_that_share_only_classes():
    labels = of_classes(10, 60)
    a, b = networks(labels, shared=0.0)
    assert score(a, b, labels, name="cka_debiased").value > 0.4
    found = score(a, b, labels)
    assert abs(found.value) < 2 * found.chance_high < 0.01 + 2 * 1.645 * 2 / (600 - 20)


@pytest.mark.parametrize("case", ["no labels", "none", "classes of one image", "one small class"])
def test_without_classes_it_is_undefined(case):
    small = np.repeat([0, -1], [2, 198])
    labels = {"no labels": None, "none": np.full(200, -1), "classes of one image": np.arange(200)}
    found = score(*networks(np.zeros(200, dtype=int)), labels.get(case, small))
    assert np.isnan([found.value, found.chance, found.chance_high, found.chance_classes]).all()
    assert found.status == UNDEFINED


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layers_that_are_constant_within_classes_are_undefined(dtype):
    labels = of_classes(10, 20)
    a, b = networks(labels)
    means = (np.random.default_rng(0).standard_normal((10, 8)) * 10 + 3)[labels].astype(dtype)
    assert score(means, b, labels).status == UNDEFINED == score(b, means, labels).status
    silent = a * (Images.of(200).fold < 10)[:, None]
    assert score(silent, b, labels).status == UNDEFINED


def test_a_layer_that_is_silent_in_one_class_has_the_chance_of_the_others():
    """Classes of unequal variance vary more: fewer images count."""
    labels = of_classes(8, 40)
    a, b = (x * np.where(labels < 2, 1, 0.01)[:, None] for x in networks(labels, shared=0.0))
    two = labels < 2
    found, of_two = score(a, b, labels), score(a[two], b[two], labels[two])
    assert found.chance_high == pytest.approx(of_two.chance_high, rel=0.1)
    assert found.chance_high > 3 * score(*networks(labels), labels).chance_high


def test_it_is_no_default_and_arrays_have_no_classes():
    from prunescope.settings.similarity import Similarity

    assert "cka_within" not in Similarity().measures and described("cka_within").needs == "labels"
    x = np.random.default_rng(0).standard_normal((50, 3))
    with pytest.raises(InputError, match=r"^measures = 'cka_within': needs the classes of the images, which"):
        compare(x, x, measures=["cka", "cka_within"])


def test_a_sample_of_the_images(monkeypatch):
    """With more numbers than a sample holds, both layers use the images of the wider one."""
    labels = of_classes(10, 100)
    a, b = networks(labels, 4, 8, 6)
    whole = score(a, b, labels, 4).value
    monkeypatch.setattr("prunescope.similarity.images.MOST_NUMBERS", 500 * 4 * 8)
    found = score(a, b, labels, 4).value
    chosen = np.random.default_rng(0).permutation(1000)[:500]
    alone = np.where(np.isin(np.arange(1000), chosen), labels, -1)
    monkeypatch.undo()
    assert found != whole == pytest.approx(found, abs=0.05)
    assert found == pytest.approx(score(a, b, alone, 4).value, abs=1e-9)
