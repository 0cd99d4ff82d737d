"""The measures against float64 SVDs written from the definitions, second opinions, invariances and chance."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import pairwise, permutations
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh, subspace_angles
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist
from scipy.stats import spearmanr
from sklearn.cross_decomposition import CCA
from sklearn.datasets import load_linnerud

from prunescope import kinds
from prunescope.similarity import chance, moments
from prunescope.similarity.images import Images
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.moments_gpu import DeviceGram
from prunescope.similarity.pairs import Pair
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare as score_pair
from prunescope.similarity.statuses import DEAD, FEW, OK, SILENT, TOO_FEW, UNDEFINED
from prunescope.similarity.whitening import represent

LIBRARY = Path(__file__).parents[2] / "workflow/scripts"
MEASURES = {name: load_measure(name) for name in kinds.known("measure")}
# Without those of classes.
ALL = [name for name, measure in MEASURES.items() if measure.needs != "labels"]
# These change when units are rotated.
OF_UNITS = ("units", "soft_match", "rsa")
quick = settings(max_examples=25, deadline=None, derandomize=True)


def compare(a, b, variance=0.99, measures=ALL, rows=None, gram=moments.Gram, levels=True):
    """Scores of two matrices by measure."""
    with mock.patch.object(moments, "chunk_rows", lambda _: rows) if rows else nullcontext():
        own = Group([a, b], lambda _, found: represent(found, variance), gram=gram)
    return scores(own.pair(0, 1), measures, levels)


def scores(pair, measures, levels=True):
    measures = [MEASURES[name] if levels else replace(MEASURES[name], chance=None) for name in measures]
    return {score.measure: score for score in score_pair(pair, measures)}


def values(*arguments, **keywords):
    return {measure: score.value for measure, score in compare(*arguments, **keywords, levels=False).items()}


# References: each from its definition, on the centred matrices, never from moments.


def centred(matrix):
    return np.asarray(matrix, dtype=np.float64) - np.mean(matrix, axis=0, dtype=np.float64)


def bases(matrix, variance=0.99, tolerance=1e-9):
    """Orthonormal bases of the column space and of the leading principal components."""
    x = centred(matrix)
    varying = x[:, x.std(axis=0) > tolerance * np.abs(matrix).max()]
    left, sizes, _ = np.linalg.svd(varying / varying.std(axis=0), full_matrices=False)
    whole = left[:, sizes > tolerance * sizes[0]]
    left, sizes, _ = np.linalg.svd(x, full_matrices=False)
    kept = 1 + np.argmax(np.cumsum(sizes**2) >= variance * np.sum(sizes**2))
    return whole, left[:, :kept]


def unbiased_hsic(k, m):
    n, ones = len(k), np.ones(len(k))
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    return (
        np.trace(k @ m)
        + (ones @ k @ ones) * (ones @ m @ ones) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (ones @ k @ m @ ones)
    ) / (n * (n - 3))


def reference(a, b, variance=0.99):
    (whole_a, leading_a), (whole_b, leading_b) = bases(a, variance), bases(b, variance)
    left, rho, _ = np.linalg.svd(whole_a.T @ whole_b, full_matrices=False)
    truncated = np.linalg.svd(leading_a.T @ leading_b, compute_uv=False)
    x, y = centred(a), centred(b)
    weights = np.abs((whole_a @ left).T @ x).sum(axis=1)
    kernel_a, kernel_b = x @ x.T, y @ y.T
    trimmed = next(j for j in range(1, len(truncated) + 1) if sum(truncated[:j]) >= 0.98 * sum(truncated))
    own = unbiased_hsic(kernel_a, kernel_a) * unbiased_hsic(kernel_b, kernel_b)
    return {
        "cca": rho.mean(),
        "cca_r2": (rho**2).mean(),
        "svcca": truncated.mean(),
        "svcca_trim98": truncated[:trimmed].mean(),
        "pwcca": weights @ rho / weights.sum(),
        "cka": np.sum(kernel_a * kernel_b) / np.linalg.norm(kernel_a) / np.linalg.norm(kernel_b),
        "cka_debiased": unbiased_hsic(kernel_a, kernel_b) / np.sqrt(own),
        "cca_cv": cross_validated(a, b),
        "nbs": np.linalg.svd(x.T @ y, compute_uv=False).sum() / np.linalg.norm(x) / np.linalg.norm(y),
        "units": matched(a, b),
        "knn_jaccard": overlap(x, y),
        "rsa": spearmanr(*(pdist(varying(one), "correlation") for one in (a, b))).statistic,
        "cka_rbf": unbiased_hsic(*map(gaussian, (x, y)))
        / np.sqrt(unbiased_hsic(*[gaussian(x)] * 2) * unbiased_hsic(*[gaussian(y)] * 2)),
        "soft_match": (1 - cdist(varying(a).T, varying(b).T, "correlation")).max(axis=1).mean(),
        "regression_r2": explained(x, whole_b),
    }


def explained(x, basis):
    """R² of regressions on an orthonormal basis, all units together."""
    return 1 - np.sum((x - basis @ (basis.T @ x)) ** 2) / np.sum(x**2)


def gaussian(x):
    distances = cdist(x, x)
    return np.exp(-(distances**2) / (2 * (0.4 * np.median(pdist(x))) ** 2))


def varying(x, tolerance=1e-9):
    """Centred units that vary."""
    return centred(x[:, x.std(axis=0) > tolerance * np.abs(x).max()])


def overlap(x, y, k=10):
    """Mean Jaccard index of the k nearest rows by cosine."""
    nearest = [np.argsort(cdist(one, one, "cosine"), axis=1)[:, 1 : k + 1].tolist() for one in (x, y)]
    pairs = [(set(one), set(other)) for one, other in zip(*nearest, strict=True)]
    return np.mean([len(one & other) / len(one | other) for one, other in pairs])


def matched(a, b, tolerance=1e-9):
    """Mean correlation of the units, matched so that it is largest; constant units of both are left out."""
    found = cdist(varying(a, tolerance).T, varying(b, tolerance).T, "correlation")
    both = min(a.shape[1], b.shape[1], max(found.shape))
    # A unit need not have a partner.
    return np.sum(1 - found[linear_sum_assignment(np.minimum(found, 1))].clip(max=1)) / both


def cross_validated(a, b):
    """Directions from one half of the images, correlations in the other; both ways."""
    in_first = Images.of(len(a)).fold < Images.of(len(a)).folds // 2
    found = []
    for half in (in_first, ~in_first):
        (frame_a, maps_a), (frame_b, maps_b) = (whole(x, half) for x in (a, b))
        left, _, right = np.linalg.svd(frame_a.T @ frame_b, full_matrices=False)
        variates = (a @ maps_a @ left, b @ maps_b @ right.T)
        held_out = [centred(x[~half]) for x in variates]
        found.append(
            np.sum(held_out[0] * held_out[1], axis=0)
            / np.prod([np.linalg.norm(x, axis=0) for x in held_out], axis=0)
        )
    return np.mean(found)


def whole(matrix, rows, tolerance=1e-9):
    """Orthonormal basis of some rows' column space, and the map of columns that makes it."""
    x = centred(matrix)
    scale = np.where(
        x.std(axis=0) > tolerance * np.abs(matrix).max(), 1 / np.maximum(x.std(axis=0), 1e-300), 0
    )
    left, sizes, right = np.linalg.svd(x * scale, full_matrices=False)
    kept = sizes > tolerance * sizes[0]
    basis = scale[:, None] * right[kept].T / sizes[kept]
    left, sizes, right = np.linalg.svd(centred(x[rows] @ basis), full_matrices=False)
    return left, basis @ right.T / sizes


def sparse_pair(seed, n):
    """Rectified units that are active in few rows, some in one half of the images only."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 40))
    return [
        np.maximum(shared @ rng.standard_normal((40, p)) / np.sqrt(40) - threshold, 0)
        for p, threshold in ((30, 2.8), (20, 2.3))
    ]


def related(n=400, p=12, q=9, seed=0, noise=1.0):
    """Two matrices that share half of their content."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, max(p, q) // 2))
    a = shared @ rng.standard_normal((shared.shape[1], p)) + noise * rng.standard_normal((n, p))
    b = shared @ rng.standard_normal((shared.shape[1], q)) + noise * rng.standard_normal((n, q))
    return a, b


def conditioned(matrix, condition, seed=1):
    """The matrix mixed so that its columns are nearly dependent: scaling them does not help."""
    rng = np.random.default_rng(seed)
    p = matrix.shape[1]
    left, right = (np.linalg.qr(rng.standard_normal((p, p)))[0] for _ in range(2))
    return matrix @ (left * np.geomspace(1, 1 / condition, p)) @ right


def with_dead_units(matrix):
    """Append a zero column, two constant columns, a duplicate and a sum of two columns."""
    n = len(matrix)
    extra = [np.zeros(n), np.full(n, 3.7), np.full(n, -1e4), matrix[:, 0], matrix[:, 0] - 2 * matrix[:, 1]]
    return np.column_stack([matrix, *extra])


A, B = related()
SCALES = np.geomspace(1e-3, 1e3, 12)
CASES = {
    "well-conditioned": (A, B),
    "wide against narrow": related(p=60, q=3),
    "condition 1e3": (conditioned(A, 1e3), conditioned(B, 1e3)),
    "condition 1e3, just good enough": (conditioned(A, 7e2), conditioned(B, 7e2)),
    "condition 1e4": (conditioned(A, 1e4), conditioned(B, 1e4)),
    "condition 1e6": (conditioned(A, 1e6), conditioned(B, 1e6)),
    "rank-deficient": (with_dead_units(A), with_dead_units(B)),
    "tiny variance": (1e-9 * A, B),
    "scales from 1e-3 to 1e3": (A * SCALES, B),
    "large offset": (A + 1e5, B - 3e4 * np.arange(9)),
    "rectified": (np.maximum(A, 0), np.maximum(B, 0)),
    "float32": (A.astype(np.float32), B.astype(np.float32)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("variance", [0.8, 0.99])
@pytest.mark.parametrize("gram", [moments.Gram, partial(DeviceGram, device="cpu")], ids=["numpy", "torch"])
def test_measures_agree_with_their_definitions(case, variance, gram):
    a, b = CASES[case]
    expected = reference(a, b, variance)
    for measure, value in values(a, b, variance, gram=gram).items():
        assert value == pytest.approx(expected[measure], abs=1e-9), measure


def test_well_conditioned_measures_are_precise_to_rounding():
    expected = reference(A, B)
    assert values(A, B) == pytest.approx(expected, abs=1e-11)


def on_common_directions(matrix, first):
    """The combinations of units that vary in both halves of the rows, from the two covariances."""
    halves = [centred(matrix[rows]) for rows in (first, ~first)]
    own = [rows.T @ rows / len(rows) for rows in halves]
    varying = np.diagonal(own[0] + own[1]) > 0
    own = [block[np.ix_(varying, varying)] for block in own]
    shares, vectors = eigh(own[0], own[0] + own[1])
    return matrix[:, varying] @ vectors[:, (shares > 1e-9) & (shares < 1 - 1e-9)]


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_cross_validated_cca_of_units_that_are_active_in_one_half_only(seed):
    """It compares what varies in both halves; directions without any correlation in a half predict none."""
    a, b = sparse_pair(seed, n=400)
    a = a[:, a.any(axis=0)]
    b = b[:, b.any(axis=0)]
    rng = np.random.default_rng(seed)
    first = Images.of(400).fold < 10
    common = [on_common_directions(x, first) for x in (a, b)]
    expected = 0.0
    for half in (first, ~first):
        frames = [np.linalg.svd(centred(x[half]), full_matrices=False) for x in common]
        left, rho, right = np.linalg.svd(frames[0][0].T @ frames[1][0], full_matrices=False)
        for place in np.flatnonzero(rho > 1e-8):
            maps = [frames[0][2].T @ (left[:, place] / frames[0][1])]
            maps.append(frames[1][2].T @ (right[place] / frames[1][1]))
            tested = [x[~half] @ one for x, one in zip(common, maps, strict=True)]
            expected += np.corrcoef(*tested)[0, 1] / rho.size / 2
    found, back = (compare(*pair, measures=["cca_cv"])["cca_cv"] for pair in ((a, b), (b, a)))
    assert found.value == pytest.approx(expected, abs=1e-9) and found.status == SILENT
    assert back.value == pytest.approx(found.value, abs=1e-12)
    for same in (a.copy(), a @ rng.standard_normal((a.shape[1],) * 2)):
        assert compare(a, same, measures=["cca_cv"])["cca_cv"].value == pytest.approx(1, abs=1e-11)


@pytest.mark.parametrize("n", [37, 69, 71, 90, 95])
def test_cross_validated_cca_is_symmetric_for_halves_of_unequal_size(n):
    """The smaller half must be larger than both ranks together; all correlations would be 1 otherwise."""
    sizes = np.bincount(Images.of(n).fold < 10)
    for p in (2, sizes.min() // 2, sizes.min() // 2 + 1):
        a, b = related(n, p, p - 1)
        found, back = (compare(*pair, measures=["cca_cv"])["cca_cv"] for pair in ((a, b), (b, a)))
        assert (found.status == TOO_FEW) == (sizes.min() <= 2 * p - 1)
        assert back.value == pytest.approx(found.value, abs=1e-11, nan_ok=True)


def test_layers_that_are_never_active_in_the_same_half_have_no_cross_validated_cca():
    first = Images.of(400).fold < 10
    score = compare(A * first[:, None], B * ~first[:, None], measures=["cca_cv"])["cca_cv"]
    assert score.status == UNDEFINED and np.isnan(score.value)


def test_direction_of_pwcca():
    score = compare(A, B)["pwcca"]
    assert score.value == pytest.approx(reference(A, B)["pwcca"], abs=1e-9)
    assert score.reverse_value == pytest.approx(reference(B, A)["pwcca"], abs=1e-9)
    assert abs(score.value - score.reverse_value) > 1e-3


def test_linnerud():
    exercise, body = load_linnerud(return_X_y=True)
    spectrum = compare(exercise, body, measures=["cca"])["cca"].spectrum
    np.testing.assert_allclose(spectrum, [0.795608, 0.200556, 0.072570], atol=5e-7)


def test_prescribed_canonical_correlations():
    rng = np.random.default_rng(3)
    frame = np.linalg.qr(centred(rng.standard_normal((500, 14))))[0]
    cosines = np.array([1.0, 0.99, 0.8, 0.5, 0.1, 1e-3, 0.0])
    left, other = frame[:, :7], frame[:, 7:]
    right = left * cosines + other * np.sqrt(1 - cosines**2)
    a, b = left @ rng.standard_normal((7, 7)), right @ rng.standard_normal((7, 7))
    for measures in (["cca", "cca_r2"], ALL):
        score = compare(a, b, measures=measures)
        # The correlations come from eigenvalues, which give up to 1e-8 instead of 0.
        np.testing.assert_allclose(score["cca"].spectrum, cosines, atol=1e-7)
        np.testing.assert_allclose(score["cca"].spectrum[:-2], cosines[:-2], atol=1e-11)
        assert score["cca"].value == pytest.approx(cosines.mean(), abs=2e-8)
        assert score["cca_r2"].value == pytest.approx((cosines**2).mean(), abs=1e-12)


def test_second_opinions():
    a, b = related(p=4, q=3)
    spectrum = compare(a, b)["cca"].spectrum
    np.testing.assert_allclose(spectrum, np.cos(subspace_angles(centred(a), centred(b)))[::-1], atol=1e-10)
    variates = CCA(3, max_iter=10000, tol=1e-14).fit_transform(a, b)
    found = [np.corrcoef(u, v)[0, 1] for u, v in zip(variates[0].T, variates[1].T, strict=True)]
    np.testing.assert_allclose(spectrum, found, atol=1e-6)


sizes = st.tuples(st.integers(60, 200), st.integers(2, 8), st.integers(2, 8), st.integers(0, 10**6))


@quick
@given(sizes)
def test_symmetry_self_similarity_and_range(size):
    a, b = related(*size)
    there, back, self_ = (compare(*both, levels=False) for both in ((a, b), (b, a), (a, a.copy())))
    for measure in ALL:
        assert there[measure].value == pytest.approx(back[measure].reverse_value, abs=1e-10)
        assert self_[measure].value == pytest.approx(1, abs=1e-9)
        negative = MEASURES[measure].centred or measure in ("units", "soft_match")
        assert (-1 if negative else 0) <= there[measure].value <= 1 + 1e-12
        if MEASURES[measure].symmetric:
            assert there[measure].value == there[measure].reverse_value


@quick
@given(sizes, st.floats(1e-6, 1e6))
def test_orthogonal_maps_and_isotropic_scaling_change_nothing(size, factor):
    a, b = related(*size)
    rng = np.random.default_rng(size[3])
    map_a, map_b = (np.linalg.qr(rng.standard_normal((m.shape[1],) * 2))[0] for m in (a, b))
    measures = [measure for measure in ALL if measure not in OF_UNITS]
    before = values(a, b, measures=measures)
    after = values(a, factor * b @ map_b, measures=measures)
    assert after == pytest.approx(before, abs=1e-8)
    # PWCCA depends on the units of a, which a rotation of a changes.
    before.pop("pwcca")
    assert values(factor * a @ map_a, b, measures=list(before)) == pytest.approx(before, abs=1e-8)
    order = rng.permutation(a.shape[1])
    before = values(a, b)
    assert values(factor * a[:, order] + 3, b) == pytest.approx(before, abs=1e-8)
    for measure in ("units", "soft_match"):
        before.pop(measure)
    assert values(-factor * a[:, order], b, measures=list(before)) == pytest.approx(before, abs=1e-8)


@quick
@given(sizes)
def test_invertible_maps_change_nothing_in_cca(size):
    a, b = related(*size)
    rng = np.random.default_rng(size[3])
    mixed = a @ (rng.standard_normal((a.shape[1],) * 2) + 3 * np.eye(a.shape[1])) + rng.standard_normal(
        a.shape[1]
    )
    measures = ["cca", "cca_r2"]
    assert values(mixed, b, measures=measures) == pytest.approx(values(a, b, measures=measures), abs=1e-7)


@quick
@given(sizes)
def test_row_order_and_chunk_size_change_rounding_only(size):
    a, b = related(*size)
    order = np.random.default_rng(size[3]).permutation(len(a))
    expected = values(a, b)
    reordered = values(a[order], b[order])
    reordered["cca_cv"] = expected["cca_cv"]  # its halves consist of other images
    assert reordered == pytest.approx(expected, abs=1e-9)
    assert values(a, b, rows=7) == pytest.approx(expected, abs=1e-9)


@quick
@given(sizes)
def test_dead_constant_and_dependent_units_change_nothing_in_cca(size):
    a, b = related(*size)
    measures = ["cca", "cca_r2"]
    plain, padded = compare(a, b, measures=measures), compare(with_dead_units(a), b, measures=measures)
    for measure in measures:
        assert padded[measure].value == pytest.approx(plain[measure].value, abs=1e-9)
        assert (padded[measure].rank_a, padded[measure].rank_b) == (a.shape[1], b.shape[1])


def test_dependent_units_are_found_after_float32_rounding():
    a, b = related(n=5000, p=40, q=30)
    padded = with_dead_units(a).astype(np.float32)
    assert compare(padded, b, measures=["cca"])["cca"].rank_a == 40


def test_condition_1e6_loses_no_direction():
    assert compare(conditioned(A, 1e6), B, measures=["cca"])["cca"].rank_a == A.shape[1]


def test_principal_components_of_svcca():
    rng = np.random.default_rng(0)
    frame = np.linalg.qr(centred(rng.standard_normal((300, 4))))[0]
    matrix = frame * np.sqrt([90, 9, 0.9, 0.1])
    mixed = matrix @ np.linalg.qr(rng.standard_normal((4, 4)))[0]
    for variance, kept in ((0.5, 1), (0.9, 1), (0.95, 2), (0.99, 2), (0.995, 3), (1.0, 4)):
        assert compare(matrix, mixed, variance, ["svcca"])["svcca"].rank_a == kept
        assert compare(matrix, mixed, variance, ["svcca"])["svcca"].rank_b == kept
    whole = compare(with_dead_units(A), B, 1.0, ["svcca", "cca"])
    assert whole["svcca"].rank_a == A.shape[1] and whole["svcca"].value == whole["cca"].value


def test_dead_layer():
    dead = np.full((400, 5), 0.25)
    for a, b in ((dead, B), (B, dead), (dead, dead)):
        for score in compare(a, b).values():
            assert np.isnan(score.value) and np.isnan(score.chance)
            assert score.status == DEAD


def test_too_few_rows():
    a, b = related(n=21)
    score = compare(a, b, variance=0.7)
    for measure in ("cca", "cca_r2", "pwcca"):
        assert score[measure].status == TOO_FEW and np.isnan(score[measure].value)
    assert score["cca"].spectrum is None
    assert score["svcca"].status == FEW and 0 < score["svcca"].value < 1
    assert score["cka_debiased"].status == OK
    assert compare(*related(n=22))["cca"].status == FEW
    assert compare(*related(n=239))["cca"].status == FEW
    assert compare(*related(n=240))["cca"].status == OK


def test_more_units_than_rows():
    a, b = related(n=40, p=100, q=70)
    score = compare(a, b)
    assert score["cca"].rank_a == score["cca"].rank_b == 39
    for measure in ("cka", "cka_debiased", "nbs"):
        assert score[measure].value == pytest.approx(reference(a, b)[measure], abs=1e-9)


def test_pwcca_of_a_rotation_is_not_given():
    gram = moments.all_pairs([A, B])
    sides = [represent(gram.moments(i), rotated=i == 1) for i in (0, 1)]
    score = scores(Pair(*sides, gram.cross(0, 1)), ["pwcca", "cca"])
    assert [s.status for s in score.values()] == [UNDEFINED, OK]


def test_chance_is_exact_over_all_permutations():
    a, b = related(n=6, p=2, q=2)
    found = [compare(a, b[list(order)], measures=["cka", "cca_r2"]) for order in permutations(range(6))]
    for measure in ("cka", "cca_r2"):
        mean = np.mean([score[measure].value for score in found])
        assert mean == pytest.approx(found[0][measure].chance, abs=1e-12)


@pytest.mark.parametrize("n, p, q", [(2000, 40, 60), (600, 200, 80), (401, 200, 200)])
def test_chance_of_permuted_rows(n, p, q):
    a, b = related(n, p, q)
    rng = np.random.default_rng(0)
    measures = ["cca", "cca_r2", "svcca", "cka", "cka_debiased"]
    found = [compare(a, b[rng.permutation(n)], measures=measures) for _ in range(8)]
    for measure in measures:
        mean, expected = np.mean([score[measure].value for score in found]), found[0][measure].chance
        assert mean == pytest.approx(expected, rel=0.02, abs=0.003), measure


def test_chance_known_cases():
    assert chance.wachter(4097, 256, 256).mean() == pytest.approx(0.21, abs=0.005)
    # 6 + 4 directions do not fit into the 9 dimensions of 10 centred rows.
    assert np.isnan(chance.wachter(10, 6, 4)).tolist() == 4 * [True]
    assert np.isnan(chance.wachter(11, 6, 4)).tolist() == 4 * [False]
    assert np.isnan(chance.wachter(11, 0, 4)).tolist() == [True]
    # p = q in many dimensions: correlations follow a quarter circle of radius 2 sqrt(p / N).
    assert chance.wachter(10**6 + 1, 100, 100).mean() == pytest.approx(8 / (3 * np.pi) * 2e-2 / 2, rel=1e-3)


def test_moments_of_a_row_are_those_of_all_pairs():
    matrices = [*related(seed=0), *related(seed=1, p=300, q=290)]
    whole = moments.all_pairs(matrices, rows=100)
    means = [whole.moments(i).mean for i in (0, 1)]
    strip = moments.row(matrices[:2], means, matrices[2:], rows=64)
    for j in (2, 3):
        np.testing.assert_allclose(strip.moments(j).covariance, np.cov(matrices[j].T, bias=True), atol=1e-10)
        for i in (0, 1):
            one, other = whole.cross(i, j), strip.cross(i, j)
            np.testing.assert_allclose(one.covariance, other.covariance, atol=1e-11)
            np.testing.assert_allclose(whole.cross(j, i).covariance.T, one.covariance)
            assert one.lengths == pytest.approx(other.lengths)


@pytest.mark.parametrize("by_fold", [False, True])
def test_moments_in_several_tiles_of_several_matrices(by_fold):
    rng = np.random.default_rng(0)
    matrices = [rng.standard_normal((100, p)) + p for p in (300, 250, 40, 30, 260, 20)]
    gram = moments.all_pairs(matrices, rows=30, gram=partial(moments.Gram, by_fold=by_fold))
    kept = Images.of(100).fold != 7
    for i, a in enumerate(matrices):
        for j, b in enumerate(matrices):
            expected = centred(a).T @ centred(b) / 100
            np.testing.assert_allclose(gram.cross(i, j).covariance, expected, atol=1e-11)
            if by_fold:
                expected = centred(a[kept]).T @ centred(b[kept]) / kept.sum()
                np.testing.assert_allclose(gram.cross(i, j, 7).covariance, expected, atol=1e-11)


@pytest.mark.parametrize("widths", [[100] * 60, [300, 250, 40, 30, 260, 20], [1, 3000, 1, 1], [10] * 3])
def test_tiles_have_enough_columns_but_not_too_many(widths):
    """Every product is summed once; a tile has 512 to 1,536 columns unless a single matrix is wider."""
    matrices, made = [np.ones((4, width)) for width in widths], []

    def note(shifts, blocks, images):
        made.extend(blocks)
        return moments.Gram(shifts, blocks, images)

    moments.all_pairs(matrices, gram=note)
    sides = {side for block in made for side in block}
    most = min(max(sum(widths) // 8, 512), 1536)
    assert sorted(i for side in sides for i in side) == list(range(len(widths)))
    assert all(len(side) == 1 or sum(widths[i] for i in side) <= most for side in sides)
    # No two neighbours could be one.
    ordered = sorted(sides, key=min)
    for one, other in pairwise(ordered):
        assert sum(widths[i] for i in one) + widths[other[0]] > most
    pairs = [(i, j) for rows, columns in made for i in rows for j in columns]
    assert {frozenset(pair) for pair in pairs} == {
        frozenset((i, j)) for i in range(len(widths)) for j in range(i + 1)
    }


def test_threads_do_not_change_a_bit():
    a, b = related(n=3000, p=300, q=400)
    with ThreadPoolExecutor(3) as pool:
        side_by_side = moments.all_pairs([a, b, a], rows=500, gram=partial(moments.Gram, run=pool.map))
    serial = moments.all_pairs([a, b, a], rows=500)
    for i in range(3):
        for j in range(3):
            assert np.array_equal(side_by_side.cross(i, j).covariance, serial.cross(i, j).covariance)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory cannot be limited here")
def test_too_little_memory_for_a_chunk_halves_it():
    """In a separate process that may use 300 MB more; the requested chunk needs 400 MB."""
    program = """
import resource, sys
import numpy as np
from prunescope.similarity import moments
from prunescope.similarity.measures import load as load_measure
x = np.random.default_rng(0).standard_normal((500_000, 98)).astype(np.float32)
small = moments.all_pairs([x], rows=1000).moments(0).covariance  # BLAS has its own memory from here on
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)
np.testing.assert_allclose(moments.all_pairs([x], rows=500_000).moments(0).covariance, small, atol=1e-12)
try:
    np.empty((500_000, 100))
except MemoryError:
    print("was too much")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(LIBRARY), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.stdout == "was too much\n", done.stderr


def test_a_pair_can_be_swapped():
    forth = Group([A, B], lambda _, found: represent(found)).pair(0, 1)
    back = forth.swapped()
    assert back.n == forth.n and back.ranks("units") == forth.ranks("units")[::-1]
    assert np.array_equal(back.correlations, forth.correlations)
    assert np.array_equal(back.truncated, forth.truncated)
    assert np.array_equal(back.canonical[0], forth.canonical[2])
    assert back.a is forth.b and np.array_equal(back.cross.covariance, forth.cross.covariance.T)
