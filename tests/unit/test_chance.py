"""Chance against real permutations of whole images: independent rows, made-up maps, recorded convolutions."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from prunescope import kinds
from prunescope.networks.build import build
from prunescope.similarity import chance, moments
from prunescope.similarity.images import FOLDS, Images
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare
from prunescope.similarity.statuses import CHANCE, FEW, OK
from prunescope.similarity.whitening import represent

# Without those of classes.
MEASURES = [measure for measure in map(load_measure, kinds.known("measure")) if measure.needs != "labels"]


def pair_of(a, b, positions=1, variance=0.99):
    return Group([a, b], lambda _, found: represent(found, variance), positions=positions).pair(0, 1)


def permuted(a, b, positions, count, measures):
    """Values after each of many permutations of the images of b, shape (count, measures)."""
    rng, images = np.random.default_rng(1), b.reshape(-1, positions, b.shape[1])
    found = []
    for _ in range(count):
        pair = pair_of(a, images[rng.permutation(len(images))].reshape(b.shape), positions)
        found.append([measure.value(pair) for measure in measures])
    return np.array(found)


def agree(a, b, positions, count=100, names=None, allowed=0.03):
    """Check chance against permutations: the mean, and how often values exceed the 95 % quantile."""
    measures = [load_measure(name) for name in names] if names else MEASURES
    allowed = allowed if min(a.shape[1], b.shape[1]) >= 10 else max(allowed, 0.05)
    values = permuted(a, b, positions, count, measures)
    for score, found in zip(compare(pair_of(a, b, positions), measures), values.T, strict=True):
        error = 3 * found.std() / np.sqrt(count)
        assert score.chance == pytest.approx(found.mean(), abs=allowed * abs(found.mean()) + error), (
            score.measure
        )
        assert score.chance < score.chance_high
        # Where values hardly vary, a small error of the quantile makes many exceed it.
        above, quantile = np.mean(found > score.chance_high), np.quantile(found, 0.95)
        assert above <= 0.1 + 3 * np.sqrt(0.05 / count) or score.chance_high > 0.97 * quantile, score.measure
        assert score.chance_high < (2.5 if score.chance == 0 else 1.5) * max(quantile, 1.5 * found.std()), (
            score.measure
        )


def related(n, p, q, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, max(p, q) // 2)) * np.geomspace(2, 0.2, max(p, q) // 2)
    return [shared @ rng.standard_normal((shared.shape[1], k)) + rng.standard_normal((n, k)) for k in (p, q)]


def maps(images, side, p, q, seed=0):
    """Rectified smooth random maps of two sets of channels that share features and positions."""
    rng = np.random.default_rng(seed)
    seen = rng.standard_normal((images, side * side, 6))
    seen = seen + 2 * rng.standard_normal((images, 1, 6)) + 2 * rng.standard_normal((1, side * side, 6))
    return [
        np.maximum(
            seen @ rng.standard_normal((6, k)) + rng.standard_normal((images, side * side, k)), 0
        ).reshape(-1, k)
        for k in (p, q)
    ]


@pytest.fixture(scope="module")
def recorded():
    """Outputs of relu1 and relu2 of two networks of digits-lenet on all test images."""
    images = torch.from_numpy(load_digits().images[-360:, None]).float() / 8 - 1
    found = {}
    for seed in (0, 1):
        network = build("lenet_small", {}, (1, 8, 8), 10, seed)
        for name in ("relu1", "relu2"):
            network.get_submodule(name).register_forward_hook(
                lambda _module, _inputs, output, key=(name, seed): found.update({key: output})
            )
        with torch.no_grad():
            network.eval()(images)
    return {
        key: (output.permute(0, 2, 3, 1).flatten(0, 2).double().numpy(), output.shape[2] * output.shape[3])
        for key, output in found.items()
    }


@pytest.mark.parametrize("n, p, q", [(300, 16, 12), (150, 20, 30)])
def test_independent_rows(n, p, q, monkeypatch):
    """Measures of pairs of images see all of 150, and half of 300."""
    monkeypatch.setattr("prunescope.similarity.images.MOST_VECTORS", 150)
    agree(*related(n, p, q), positions=1)


SINGULAR = ("cca", "svcca", "svcca_trim98", "pwcca", "nbs")

MOMENTS = (*SINGULAR, "cka", "cca_r2", "cka_debiased")


def sparse_units(rng, n, p):
    """Rectified units that are active on 0.6 % of the images."""
    return np.maximum(rng.standard_normal((n, p)) - 2.512, 0)


def sparse_images(rng, n, p):
    """All units are active on the same 5 % of the images."""
    return rng.standard_normal((n, p)) * (rng.random((n, 1)) < 0.05)


def heavy_tails(rng, n, p):
    """Rows with Student's t distribution, 2 degrees of freedom."""
    return rng.standard_normal((n, p)) / np.sqrt(rng.chisquare(2, (n, 1)) / 2)


@pytest.mark.parametrize("draw", [sparse_units, sparse_images, heavy_tails])
def test_few_images_that_carry_the_variance(draw):
    """Formulas for Gaussian rows are wrong here by up to a factor of three."""
    rng = np.random.default_rng(0)
    a, b = draw(rng, 600, 20), draw(rng, 600, 20)
    assert pair_of(a, b).unrelated.leveraged
    agree(a, b, 1, names=(*SINGULAR, "regression_r2", "soft_match"))
    cca = next(iter(compare(pair_of(a, b), [load_measure("cca")])))
    assert abs(cca.chance / chance.wachter(600, 20, 20).mean() - 1) > 0.04, "the formula would do"


@pytest.mark.parametrize("active", [1.0, 0.03])
def test_maps_of_unequally_smooth_channels(active):
    """Half of the channels are the same at all positions, the others differ from position to position."""
    rng = np.random.default_rng(0)
    a, b = (
        np.concatenate(
            [np.repeat(rng.standard_normal((300, 1, 8)), 16, axis=1), rng.standard_normal((300, 16, 8))],
            axis=2,
        )
        * (rng.random((300, 1, 16)) < active)
        for _ in range(2)
    )
    agree(a.reshape(-1, 16), b.reshape(-1, 16), 16, names=MOMENTS)


def test_no_chance_that_is_not_known():
    """One image carries nearly everything, so 64 permutations do not tell the mean."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 400, 5))
    a[7], b[9] = 1e4, 1e4
    a[8:], b[8:] = a[8:] * (rng.random((392, 5)) < 0.01), b[8:] * (rng.random((392, 5)) < 0.01)
    found = {score.measure: score for score in compare(pair_of(a, b), MEASURES)}
    for score in found.values():
        known = np.isfinite(score.chance)
        assert (score.status == CHANCE) <= (not known) and known == np.isfinite(score.chance_high), (
            score.measure
        )


@pytest.mark.parametrize("n", [4, 5, 8])
def test_no_level_is_above_the_largest_value_of_a_measure(n):
    a, b = np.random.default_rng(0).standard_normal((2, n, 3))
    for score in compare(pair_of(a, b), MEASURES):
        assert np.isnan(score.chance_high) or score.chance_high <= 1, score.measure


def test_levels_do_not_depend_on_the_order_of_pairs_and_units():
    """Permutations are the same for every pair, for (b, a), and for any basis."""
    rng = np.random.default_rng(0)
    a, b = sparse_images(rng, 400, 6), sparse_images(rng, 400, 9)
    first = compare(pair_of(a, b), MEASURES)
    for other in (compare(pair_of(a, b), MEASURES[::-1])[::-1], compare(pair_of(a[:, ::-1], b), MEASURES)):
        for one, same in zip(first, other, strict=True):
            if one.measure == "cca_cv":
                continue  # units that are silent in a half
            assert (one.chance, one.chance_high) == pytest.approx(
                (same.chance, same.chance_high), rel=1e-3, nan_ok=True
            )
    for one, back in zip(first, compare(pair_of(b, a), MEASURES), strict=True):
        if one.measure == "cca_cv":
            continue
        assert (one.chance, one.chance_high) == pytest.approx(
            (back.reverse_chance, back.reverse_chance_high), rel=0.05, nan_ok=True
        ), one.measure


def test_laws_of_independent_rows():
    """Exact means over permutations, and the same law of correlations for all measures that average them."""
    a, b = related(200, 9, 6)
    pair = pair_of(a, b, variance=0.95)
    found = {score.measure: score.chance for score in compare(pair, MEASURES)}
    components = [side.components.shape[1] for side in (pair.a, pair.b)]
    assert found["cca_r2"] == pytest.approx(9 / 199)
    sizes = [np.trace(x) / np.linalg.norm(x) for x in (np.cov(a.T), np.cov(b.T))]
    assert found["cka"] == pytest.approx(np.prod(sizes) / 199)
    assert found["cca"] == pytest.approx(chance.wachter(200, 9, 6).mean())
    assert found["pwcca"] == pytest.approx(found["cca"], rel=1e-12)
    assert found["svcca"] == pytest.approx(chance.wachter(200, *components).mean()) != found["cca"]
    assert max(components) < 9, components
    assert found["svcca_trim98"] > found["svcca"]


def test_rows_of_two_positions_are_not_independent():
    """Both rows of an image are the same, so there are half as many."""
    a, b = related(200, 9, 6)
    twice = pair_of(np.repeat(a, 2, axis=0), np.repeat(b, 2, axis=0), positions=2)
    for score, single in zip(compare(twice, MEASURES), compare(pair_of(a, b), MEASURES), strict=True):
        assert score.chance == pytest.approx(single.chance, rel=0.1), score.measure


@pytest.mark.parametrize("n, p, q", [(80, 20, 12), (80, 12, 20), (60, 25, 25), (60, 10, 49)])
def test_wachters_law_is_that_of_large_gaussian_matrices(n, p, q):
    """Quantiles against the canonical correlations of drawn matrices that are ten times as large."""
    rng = np.random.default_rng(0)
    frames = [np.linalg.qr(rng.standard_normal((10 * (n - 1), 10 * k)))[0] for k in (p, q)]
    drawn = np.linalg.svd(frames[0].T @ frames[1], compute_uv=False)
    law = chance.wachter(n, p, q)
    assert len(law) == min(p, q) and (np.diff(law) <= 1e-12).all()
    np.testing.assert_allclose(law, drawn.reshape(-1, 10).mean(axis=1), atol=0.01)
    assert np.isnan(chance.wachter(n, p, n - p)).all() and np.isfinite(chance.wachter(n, p, n - 1 - p)).all()


def test_made_up_maps():
    agree(*maps(100, 4, 14, 10), positions=16)


@pytest.mark.parametrize("layer", ["relu1", "relu2"])
def test_recorded_convolutions(recorded, layer):
    """Measures of pairs of images see a sample of the rows; that is slow, so only of the smaller maps."""
    (a, positions), (b, _) = recorded[layer, 0], recorded[layer, 1]
    agree(a, b, positions, names=MOMENTS if layer == "relu1" else None)


def test_permuting_rows_as_if_they_were_images_is_far_too_low(recorded):
    """Chance of a recorded convolution by the law of independent rows, and by permuting images."""
    (a, positions), (b, _) = recorded["relu1", 0], recorded["relu1", 1]
    rows, images = (
        {score.measure: score.chance for score in compare(pair_of(a, b, count), MEASURES)}
        for count in (1, positions)
    )
    assert images["cca"] > 5 * rows["cca"] and images["cka"] > 100 * rows["cka"]


def test_maps_that_are_the_same_for_all_images_are_chance():
    """Both networks share only positions, as any two networks do."""
    rng = np.random.default_rng(0)
    place = rng.standard_normal((1, 9, 5))
    a, b = ((place + 0.1 * rng.standard_normal((300, 9, 5))).reshape(-1, 5) for _ in range(2))
    found = {score.measure: score for score in compare(pair_of(a, b, 9), MEASURES)}
    for name in ("cca", "cca_r2", "svcca", "pwcca", "cka", "nbs"):
        assert found[name].value > 0.9 and found[name].chance == pytest.approx(found[name].value, rel=0.01)
    for name in ("cka_debiased", "cca_cv"):
        assert found[name].value == pytest.approx(0, abs=0.05) and found[name].chance == 0


def test_chance_of_both_orders():
    """It is the same, except for a measure that is not symmetric."""
    a, b = maps(200, 3, 8, 5)
    there, back = compare(pair_of(a, b, 9), MEASURES), compare(pair_of(b, a, 9), MEASURES)
    for one, other in zip(there, back, strict=True):
        assert one.chance == pytest.approx(other.reverse_chance, rel=0.03), one.measure
        assert (one.chance == one.reverse_chance) == load_measure(one.measure).symmetric


def test_chance_depends_on_what_units_span_and_not_on_their_order():
    """Draws come from one seed, so the order of whitened units must not matter; nor do all components."""
    a, b = maps(200, 3, 8, 5)
    found, reordered = (
        {score.measure: score.chance for score in compare(pair_of(x, b, 9, variance=1.0), MEASURES)}
        for x in (a, a[:, ::-1])
    )
    for measure in ("cca", "cca_r2", "svcca"):
        assert reordered[measure] == pytest.approx(found[measure], rel=1e-9), measure
    assert found["svcca"] == pytest.approx(found["cca"], rel=1e-9)


def test_few_rows_counts_what_varies():
    """Repeated rows add nothing; independent rows within an image count fully."""
    rng, p = np.random.default_rng(0), 10
    a, b = rng.standard_normal((150, p)), rng.standard_normal((150, p))
    repeated = pair_of(np.repeat(a, 4, axis=0), np.repeat(b, 4, axis=0), 4)
    independent = pair_of(rng.standard_normal((600, p)), rng.standard_normal((600, p)), 4)
    assert repeated.unrelated.rows("units") == pytest.approx(150, rel=0.05)
    assert independent.unrelated.rows("units") == pytest.approx(600, rel=0.1)
    cca = [load_measure("cca")]
    assert compare(repeated, cca)[0].status == FEW and compare(independent, cca)[0].status == OK


@pytest.mark.parametrize("images, positions", [(47, 9), (300, 1), (30, 50), (3, 4)])
@pytest.mark.parametrize("rows", [7, 64, 1000])
def test_folds_do_not_depend_on_chunks(images, positions, rows):
    """Sums of each fold and position against NumPy; a chunk can be smaller than an image."""
    x = np.random.default_rng(0).standard_normal((images * positions, 3)) + 5
    gram = moments.all_pairs([x], rows=rows, positions=positions)
    found, fold = gram.moments(0), Images.of(images).fold
    cube = x.reshape(images, positions, 3)
    assert found.images == images and found.positions == positions
    assert fold.max() + 1 == min(FOLDS, images) and np.ptp(np.bincount(fold)) <= 1
    np.testing.assert_allclose(found.covariance, np.cov(x.T, bias=True), atol=1e-12)
    for half, in_half in enumerate((fold < (fold.max() + 1) // 2, fold >= (fold.max() + 1) // 2)):
        centred = (cube[in_half] - cube[in_half].mean(axis=0)).reshape(-1, 3)
        np.testing.assert_allclose(found.halves[half], centred.T @ centred / len(centred), atol=1e-12)
    if positions > 1:
        np.testing.assert_allclose(found.map, cube.mean(axis=0) - x.mean(axis=0), atol=1e-12)
