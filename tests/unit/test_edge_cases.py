"""Matrices at the limits of floating-point numbers and of the definitions."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from prunescope import kinds
from prunescope.notebook import arrays as notebook
from prunescope.similarity import moments
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.moments import Moments
from prunescope.similarity.moments_gpu import DeviceGram
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare
from prunescope.similarity.statuses import DEAD, ILL, LEVERAGE, NOT_UNIQUE, OK, RANK_LOST, TOO_FEW, UNDEFINED
from prunescope.similarity.whitening import CONSTANT, PRECISE, constant_share, represent

# Arrays have no labels.
ALL = [name for name, kind in kinds.known("measure").items() if kind.facts.get("needs") != "labels"]
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # of NumPy, which users would see


def score(a, b, measures=ALL, variance=0.99, positions=1):
    def represented(matrix, found):
        return represent(found, variance, constant=constant_share(matrix))

    own = Group([a, b], represented, positions=positions)
    found = compare(own.pair(0, 1), [load_measure(name) for name in measures])
    return {one.measure: one for one in found}


def frame(n, k, seed=0):
    """Centred orthonormal columns."""
    x = np.random.default_rng(seed).standard_normal((n, k))
    return np.linalg.qr(x - x.mean(axis=0))[0]


def angles(cosines, n=600, seed=0):
    """Two orthonormal frames with these canonical correlations."""
    cosines = np.asarray(cosines, dtype=float)
    basis = frame(n, 2 * cosines.size, seed)
    left, other = basis[:, : cosines.size], basis[:, cosines.size :]
    return left, left * cosines + other * np.sqrt(1 - cosines**2)


def pwcca(a, b):
    """The definition, from SVDs of the centred matrices."""
    x = a - a.mean(axis=0)
    (whole_a, _, _), (whole_b, _, _) = (
        np.linalg.svd(m - m.mean(axis=0), full_matrices=False) for m in (a, b)
    )
    left, rho, _ = np.linalg.svd(whole_a.T @ whole_b, full_matrices=False)
    weights = np.abs((whole_a @ left).T @ x).sum(axis=1)
    return weights @ rho / weights.sum()


def related(n=400, p=6, q=5, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 4))
    return [shared @ rng.standard_normal((4, k)) + rng.standard_normal((n, k)) for k in (p, q)]


def test_directions_of_tiny_correlations_are_orthogonal():
    """Eight of twelve correlations are about 1e-9; the left vectors must not come from M's rounding."""
    rng = np.random.default_rng(1)
    left, right = angles([0.95, 0.9, 0.8, 0.7, *(np.arange(1, 9)[::-1] * 1e-9)])
    a, b = left @ rng.standard_normal((12, 12)), right @ rng.standard_normal((12, 12))
    wider = np.column_stack([a, frame(len(a), 3, seed=7)])
    one_tiny = angles([0.95, 0.9, 0.8, 1e-15])
    for x, y in ((a, b), (wider, b), (b, wider), [one @ rng.standard_normal((4, 4)) for one in one_tiny]):
        assert score(x, y, ["pwcca"])["pwcca"].value == pytest.approx(pwcca(x, y), abs=1e-7)


def test_no_correlation_at_all():
    """The cross-moments of columns of a Hadamard matrix are exactly 0."""
    plus = np.array([[1.0]])
    for _ in range(6):
        plus = np.block([[plus, plus], [plus, -plus]])
    found = score(plus[:, 1:3], plus[:, 3:5])
    for name in ("cca", "cca_r2", "svcca", "pwcca", "cka", "nbs"):
        assert found[name].value == found[name].reverse_value == 0, name


def test_a_constant_unit_does_not_hide_small_components():
    a, b = related()
    beside = np.column_stack([1e-5 * a, np.full(len(a), 1e3)])
    plain, found = score(a, b, ["svcca"])["svcca"], score(beside, b, ["svcca"])["svcca"]
    assert found.rank_a == plain.rank_a and found.value == pytest.approx(plain.value, abs=1e-9)


def uneven(n=600):
    """Rectified units whose standard deviations differ by a factor of 20."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((n, 12))
    a = np.maximum(shared @ rng.standard_normal((12, 12)), 0) * np.geomspace(1, 0.05, 12)
    b = np.maximum(shared @ rng.standard_normal((12, 10)) + rng.standard_normal((n, 10)), 0)
    return a, b * np.geomspace(1, 0.05, 10)


@pytest.mark.parametrize(
    ("change", "precision"),
    [
        (lambda x: x + 1e6, 1e-10),
        (lambda x: x - 1e9, 1e-7),
        (lambda x: x * 1e-80, 1e-12),
        (lambda x: x * 1e-100, 1e-12),
        (lambda x: x * 1e-300, 1e-12),
        (lambda x: x * 1e200, 1e-12),
    ],
)
def test_offset_and_scale_of_float64_change_nothing(change, precision):
    a, b = uneven()
    expected, found = (
        notebook.compare(x, y, ALL).set_index("measure") for x, y in ((a, b), (change(a), change(b)))
    )
    np.testing.assert_allclose(found["value"], expected["value"], atol=precision)
    pd.testing.assert_frame_equal(
        found[["rank_a", "rank_b", "status"]], expected[["rank_a", "rank_b", "status"]]
    )


def test_the_rounding_error_of_a_constant_depends_on_the_numbers():
    """Numbers that float32 can hold were probably computed in float32."""
    a, _ = uneven()
    assert constant_share(a) == PRECISE
    assert (
        constant_share(a.astype(np.float32)) == constant_share(a.astype(np.float32).astype(float)) == CONSTANT
    )
    side = represent(moments.all_pairs([a + 1e6]).moments(0), variance=1.0)
    alive = a.var(axis=0) > 1e-13 * 1e12
    assert 0 < side.rank == alive.sum() < 12
    assert np.array_equal(np.any(side.components != 0, axis=1), alive), "components of the units that vary"
    assert side.components.shape[1] == side.rank


def test_there_are_no_more_components_than_directions():
    """Beside a large offset, a sum of units rounded to float32 leaves more than 1e-13 of the variance."""
    a, _ = related(n=2000, p=4)
    a = (100 * (a + 50)).astype(np.float32)
    padded = np.column_stack([a, a[:, 0] - 2 * a[:, 1] + a[:, 2]])
    assert represent(moments.all_pairs([padded]).moments(0), variance=1.0).components.shape == (5, 4)


@pytest.mark.parametrize("factor", [6e37, 1e-37, 1e-43])
@pytest.mark.parametrize("positions", [1, 4])
def test_numbers_at_the_ends_of_float32(factor, positions):
    a, b = (np.clip(m, -5, 5) for m in related())
    extreme = [(m * factor).astype(np.float32) for m in (a, b)]
    same = [m.astype(np.float64) / factor for m in extreme]
    expected, found = (score(*pair, positions=positions) for pair in (same, extreme))
    for name in ALL:
        assert found[name].value == pytest.approx(expected[name].value, abs=1e-9), name
        assert found[name].status == expected[name].status
        # PWCCA's chance level depends on the order in which units of equal variance were taken.
        assert found[name].chance == pytest.approx(
            expected[name].chance, abs=1e-6, rel=0.05 if name == "pwcca" else 1e-6
        ), name


@pytest.mark.parametrize("positions", [1, 3])
def test_units_that_fire_on_at_most_one_image(positions):
    """No two images have anything in common, so the unbiased estimate is 0 / 0."""
    images = np.zeros((120, 8))
    images[np.arange(8) * 7, np.arange(8)] = np.arange(1, 9)
    a = np.repeat(images, positions, axis=0)
    b = np.repeat(related(120)[0], positions, axis=0)
    for x, y in ((a, b), (b, a), (a, a.copy())):
        found = score(x, y, ["cka_debiased"], positions=positions)["cka_debiased"]
        assert found.status == UNDEFINED and np.isnan(found.value)


def test_a_unit_that_makes_all_others_look_constant():
    a, b = related()
    a[:, 0] *= 1e8
    found = score(a, b)
    assert found["cca"].rank_a == 1
    for name in ("cca", "cca_r2", "cca_cv", "pwcca"):
        assert found[name].status == ILL, name
    for name in ("cka", "cka_debiased", "nbs"):
        assert found[name].status == OK, name
    a[:, 1:] = 3.0  # these are constant
    assert score(a, b)["cca"].status == RANK_LOST


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("condition", 10.0 ** np.arange(4, 12))
def test_an_error_of_the_rank_is_never_ok(condition, seed):
    rng = np.random.default_rng(seed)
    a, b = related(n=800, p=12, q=9, seed=seed)
    left, right = (np.linalg.qr(rng.standard_normal((12, 12)))[0] for _ in range(2))
    mixed = a @ (left * np.geomspace(1, 1 / condition, 12)) @ right
    found, expected = score(mixed, b, ["cca"])["cca"], score(a, b, ["cca"])["cca"]
    assert found.status == ILL or found.value == pytest.approx(expected.value, abs=1e-6)
    assert found.status == (OK if condition <= 1e6 else ILL)


def test_dependent_units_are_not_ill_conditioned():
    """Duplicates, sums and constants, also after rounding to float32."""
    a, b = related(n=2000, p=12, q=9)
    extra = [a[:, 0], a[:, 0] - 2 * a[:, 1], a.sum(axis=1), np.zeros(len(a)), np.full(len(a), 7.3)]
    padded = np.column_stack([a, *extra])
    for matrix in (padded, padded.astype(np.float32)):
        assert score(matrix, b, ["cca"])["cca"].status == OK


def represented(covariance, mean=None, variance=0.99, halves=None):
    covariance = np.array(covariance)
    mean = np.zeros(len(covariance)) if mean is None else np.array(mean)
    halves = np.stack([covariance, covariance] if halves is None else halves)
    return represent(Moments(100, 100, mean, covariance, 1.0, halves, np.zeros((1, len(mean)))), variance)


def test_a_unit_varies_beyond_rounding():
    """Rounding is 1e-13 of its squared mean, and of the largest variance, which may hide that it varies."""
    for spread, rank in ((2e-13, 1), (5e-14, 0)):
        side = represented([[4 * spread]], mean=[2])
        assert (side.rank, side.hidden) == (rank, False)
        side = represented(np.diag([4, 4 * spread]))
        assert (side.rank, side.hidden) == (1 + rank, rank == 0)


def test_a_unit_depends_on_others_that_leave_only_rounding():
    """And it is unclear whether it does, up to ten times as much or as little."""
    for left, rank, hidden in ((1.5e-12, 2, False), (7e-13, 2, True), (7e-14, 1, True), (7e-15, 1, False)):
        side = represented([[1, np.sqrt(1 - left)], [np.sqrt(1 - left), 1]])
        assert (side.rank, side.hidden) == (rank, hidden), left


def test_a_unit_that_others_nearly_explain_needs_a_second_pass():
    for left, ill in ((2e-6, False), (5e-7, True)):
        assert represented([[1, np.sqrt(1 - left)], [np.sqrt(1 - left), 1]]).ill == ill
        side = represented(np.eye(2), halves=[np.diag([1, left])] * 2)
        assert side.half_whitenings[0].shape == (2, 1 if ill else 2), "directions that neither half has"


def test_principal_components_of_nearly_uncorrelated_units_of_equal_variance():
    """They are the units where correlations are the rounding of float32, and otherwise the diagonals."""
    for correlation, weights in ((3e-7, [0.5, 0.5]), (3e-8, [1, 0])):
        side = represented([[1, correlation], [correlation, 1]], variance=0.4)
        np.testing.assert_allclose(np.square(side.components[:, 0]), weights, atol=1e-6)


def test_rounding_is_no_component_however_much_there_is_of_it():
    assert represented(np.diag([1.0] + 30 * [5e-14]), variance=1.0).components.shape == (31, 1)


def test_units_of_equal_variance_are_components_in_their_order():
    side = represented(np.diag([1.0, 2.0] * 40), variance=0.6)
    assert side.components.argmax(axis=0).tolist() == [*range(1, 80, 2)][: side.components.shape[1]]


def test_components_of_nearly_equal_variance_are_tied():
    for difference, tied in ((2e-9, False), (5e-10, True)):
        for second in (0.5, 0.01):
            side = represented(
                4 * np.diag([1, second, second - difference]), variance=(1 + second / 2) / (1 + 2 * second)
            )
            assert side.components.shape[1] == 2 and side.tied == tied
    assert represented(np.eye(2), variance=0.4).tied and not represented(np.eye(2)).tied


def test_a_tie_at_the_cut_of_svcca():
    """Two components of the same variance, of which 90 % of the variance takes only one."""
    n = 500
    basis = frame(n, 8)
    b = (basis[:, :4] + 0.5 * basis[:, 4:]) * [1.0, 0.8, 0.6, 0.5]
    tied = basis[:, :4] * np.sqrt([6.0, 2.0, 2.0, 0.1])
    distinct = basis[:, :4] * np.sqrt([6.0, 2.1, 2.0, 0.1])
    for matrix, expected in ((tied, NOT_UNIQUE), (distinct, OK)):
        found = score(matrix, b, ["svcca", "svcca_trim98", "cca"], variance=0.75)
        assert found["svcca"].status == found["svcca_trim98"].status == expected
        assert found["cca"].status == OK
    assert score(tied, b, ["svcca"], variance=0.9)["svcca"].status == OK  # both or none


def test_equal_correlations_of_pwcca():
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((4, 4))
    for cosines, expected in (
        ([0.9, 0.9, 0.3, 0.2], NOT_UNIQUE),
        ([0.9, 0.8, 0.3, 0.2], OK),
        ([0.9, 0.9, 0.9, 0.9], OK),  # then the weights do not matter
        ([0.9, 0.9, 0.9 - 1e-4, 0.9 - 2e-4], NOT_UNIQUE),
        ([0.9, 0.9, 0.9 - 1e-7, 0.9 - 2e-7], OK),  # by less than 1e-6
        ([0.9, 0.9 - 1e-9, 0.3, 0.2], OK),
        ([0.9, 0.9 - 1e-11, 0.3, 0.2], NOT_UNIQUE),
    ):
        left, right = angles(cosines)
        found = score(left @ mix, right, ["pwcca", "cca"])
        assert found["pwcca"].status == expected and found["cca"].status == OK
    a, _ = related()
    assert score(a, a.copy(), ["pwcca"])["pwcca"].status == OK


def test_lost_rank_is_visible():
    """One of 64 units remains: a mean over one direction must not be "1.000, ok"."""
    a, _ = related(n=2000, p=64)
    b = np.zeros_like(a)
    b[:, 3] = a[:, 3]
    found = score(a, b)
    for name in ("cca", "cca_r2", "cca_cv", "svcca", "pwcca"):
        assert found[name].status == RANK_LOST, name
    assert found["cca"].value == pytest.approx(1) and found["cka"].status == OK and found["cka"].value < 0.6
    half = a.copy()
    half[:, :32] = 1.0
    assert score(a, half, ["cca"])["cca"].status == OK
    half[:, 32] = 1.0
    assert score(a, half, ["cca"])["cca"].status == RANK_LOST


def test_layers_of_unequal_width_lost_no_rank():
    a, b = related(n=2400, p=60, q=6)
    for name, one in (score(a, b) | score(b, a)).items():
        assert one.status == OK, name
    b[:, 3:] = 0
    assert score(a, b, ["cca"])["cca"].status == OK, "half of its own width is not lost"
    b[:, 2:] = 0
    for pair in ((a, b), (b, a)):
        for name, expected in (("cca", RANK_LOST), ("svcca", RANK_LOST), ("cka", OK)):
            assert score(*pair, [name])[name].status == expected
    assert score(b, b.copy(), ["cca"])["cca"].status == OK, "both lost the same"


@pytest.mark.parametrize("positions", [1, 5])
@pytest.mark.parametrize("rows", [None, 3, 7, 100])
def test_leverage_is_what_the_longest_images_hold(positions, rows):
    """Over their share of the images, 3 of 250; also if an image is read in parts."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((250, positions, 6)) * rng.exponential(size=(250, 1, 1))
    matrix = images.reshape(-1, 6)
    lengths = np.sort(np.square(images - matrix[:1024].mean(axis=0)).sum(axis=(1, 2)))
    expected = lengths[-3:].sum() / lengths.sum() / (3 / 250)
    for gram in (moments.Gram, partial(DeviceGram, device="cpu")):
        found = moments.all_pairs([matrix[:, :2], matrix], rows=rows, positions=positions, gram=gram)
        assert found.moments(1).leverage == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("images", [1, 2, 3])
def test_few_images_with_many_rows_have_halves_without_variance(images):
    a, b = np.random.default_rng(0).standard_normal((2, 30, 3))
    found = score(a, b, positions=30 // images)
    assert found["cca_cv"].status == TOO_FEW
    assert not any(one.status == OK for name, one in found.items() if name != "cka_debiased")


def test_one_image_that_two_unrelated_layers_share():
    """It takes CKA, NBS and SVCCA close to 1, but measures of whitened units hardly."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 1000, 10))
    expected = score(a, b)
    assert {one.status for one in expected.values()} == {OK}
    a[17], b[17] = 60, 60
    found = score(a, b)
    for name in ("cka", "nbs", "svcca", "svcca_trim98", "cka_debiased"):
        assert found[name].status == LEVERAGE, name
    assert found["cka"].value > 0.9 > 0.1 > expected["cka"].value
    for name in ("cca", "cca_r2", "cca_cv", "pwcca"):
        assert found[name].status == OK, name
    dead = np.zeros_like(a)
    assert score(a, dead)["cka"].status == DEAD


def test_dead_layers_stay_dead():
    a, _ = related()
    for score_ in score(a, np.full((400, 3), 2.5), positions=4).values():
        assert score_.status == DEAD and np.isnan(score_.value) and np.isnan(score_.chance)
