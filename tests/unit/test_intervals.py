"""Intervals over folds of images: their computation, their coverage, and when there are none."""

import h5py
import numpy as np
import pytest
from scipy import stats

from prunescope import hdf5, kinds
from prunescope.settings.similarity import Similarity
from prunescope.similarity.chance import SHARED
from prunescope.similarity.images import FOLDS, Images
from prunescope.similarity.matrix import compare_round
from prunescope.similarity.scores import jackknife

KNOWN = ["cca_cv", "cka", "cka_debiased"]


def write(path, round, matrix, positions=1):
    with h5py.File(path, "w") as file:
        file.attrs.update(schema=3, seed=0, round=round, view="channels", positions="all", dataset="")
        file.attrs.update(density=1.0)
        file["examples"] = np.arange(len(matrix) // positions)
        data = file.create_dataset("layers/x", data=matrix)
        data.attrs.update(order=0, width=matrix.shape[1], shape=matrix.shape[1:], grid=[positions])
        data.attrs["positions"] = range(positions)
    hdf5.seal(path)
    return path


def sample(rng, images, p, positions, rho=0.6):
    """Two matrices with canonical correlations rho, rows of an image correlated."""

    def noise():
        shared = np.repeat(rng.standard_normal((images, p)), positions, axis=0)
        return (shared + rng.standard_normal((images * positions, p))) / np.sqrt(2)

    a = noise()
    return a, rho * a + np.sqrt(1 - rho**2) * noise()


def rows(folder, a, b, positions=1, **settings):
    paths = [write(folder / f"{i}.h5", i, x, positions) for i, x in enumerate((a, b))]
    frame = compare_round(paths, Similarity(**settings)).to_pandas()
    return frame[(frame["round_a"] == 1) & (frame["round_b"] == 0)].set_index("measure")


def test_only_known_measures_get_one_and_only_when_asked(tmp_path):
    a, b = sample(np.random.default_rng(0), 200, 5, 4)
    everything = list(kinds.known("measure"))
    without = rows(tmp_path, a, b, 4, measures=everything)
    found = rows(tmp_path, a, b, 4, measures=everything, intervals=True)
    assert without[["low", "high"]].isna().all(axis=None)
    given = found["low"].notna()
    assert sorted(found.index[given]) == KNOWN and (found["high"].notna() == given).all()
    assert (found["low"] < found["value"])[given].all() and (found["value"] < found["high"])[given].all()
    np.testing.assert_allclose(found["value"], without["value"], atol=1e-12)
    assert (found["images"] == 200).all() and (found["n"] == 800).all()


@pytest.mark.parametrize("positions", [1, 4])
def test_what_a_fold_leaves_is_the_value_without_its_images(tmp_path, positions):
    """The whole interval computed by hand, from matrices that leave out one fold at a time."""
    a, b = sample(np.random.default_rng(1), 90, 4, positions)
    fold = np.repeat(Images.of(90).fold, positions)
    found = rows(tmp_path, a, b, positions, measures=["cka"], intervals=True).loc["cka"]

    def cka(x, y):
        x, y = (m - m.mean(axis=0) for m in (x, y))
        return np.sum((x.T @ y) ** 2) / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)

    values = np.array([cka(a[fold != k], b[fold != k]) for k in range(FOLDS)])
    low, high = jackknife(cka(a, b), values)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-9)


def test_ill_conditioned_units_get_none(tmp_path):
    """A replica has no second pass."""
    rng = np.random.default_rng(0)
    a, b = sample(rng, 200, 4, 1)
    a[:, 3] = a[:, 2] + 1e-5 * rng.standard_normal(200)
    found = rows(tmp_path, b, a, measures=KNOWN, intervals=True)
    assert found["value"].notna().all()
    assert found.index[found["low"].notna()].tolist() == ["cka", "cka_debiased"]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_units_that_are_silent_without_a_fold(tmp_path):
    """Each half has one active image for one unit: without it, there is no correlation to measure."""
    a, b = (np.maximum(x, 0) for x in sample(np.random.default_rng(0), 400, 4, 1))
    in_first = Images.of(400).fold < FOLDS // 2
    for x in (a, b):
        x[:, 0] = 0
        x[[np.argmax(in_first), np.argmin(in_first)], 0] = 1, 2
    found = rows(tmp_path, a, b, measures=["cca_cv"], intervals=True).loc["cca_cv"]
    assert found["status"] == "ok" and found["low"] < found["value"] < found["high"] <= 1


def test_a_layer_and_itself(tmp_path):
    a, _ = sample(np.random.default_rng(2), 100, 4, 1)
    found = rows(tmp_path, a, a.copy(), measures=KNOWN, intervals=True)
    np.testing.assert_allclose(found[["value", "low", "high"]], 1, atol=1e-9)


def test_too_few_images_for_folds(tmp_path):
    for images, enough in ((2 * FOLDS - 1, False), (2 * FOLDS, True)):
        a, b = sample(np.random.default_rng(3), images, 2, 8)
        found = rows(tmp_path, a, b, 8, measures=["cka"], intervals=True)
        assert found["low"].notna().all() == enough


def test_jackknife_stays_within_the_range():
    low, high = jackknife(0.99, np.array([0.999, 0.97] * 10))
    assert -1 < low < 0.99 < high < 1
    assert jackknife(1.0, np.ones(20)) == (1.0, 1.0)
    wider = jackknife(0.1, np.linspace(0, 0.2, 20), shared=0.7)
    assert wider[1] - wider[0] > 1.2 * np.subtract(*jackknife(0.1, np.linspace(0, 0.2, 20))[::-1])


@pytest.mark.parametrize("outliers", [0, 1, 3])
def test_the_interval_is_students_for_pseudovalues(outliers):
    """Of Fisher's z, from its textbook definition; with few large differences, few degrees of freedom."""
    without = np.random.default_rng(0).uniform(0.39, 0.41, FOLDS)
    without[:outliers] = 0.1
    z = np.arctanh(0.4)
    pseudo = FOLDS * z - (FOLDS - 1) * np.arctanh(without)
    error = stats.sem(pseudo)
    squares = (pseudo - pseudo.mean()) ** 2
    freedom = squares.sum() ** 2 / (squares**2).sum()
    assert outliers <= freedom < {0: 19, 1: 1.3, 3: 4.5}[outliers]
    for shared in (0.0, 0.7):
        scale = error * np.sqrt(1 + shared * (1 - 0.4**4))
        expected = np.tanh(stats.t.interval(0.95, freedom, loc=z, scale=scale))
        assert jackknife(0.4, without, shared) == pytest.approx(tuple(expected), rel=1e-12)


def test_no_more_degrees_of_freedom_than_folds_allow_and_no_less_than_the_least_value():
    even = 0.4 + 0.01 * np.tile([-1, 1], FOLDS // 2)
    z = np.arctanh(even)
    error = np.sqrt((FOLDS - 1) * np.mean((z - z.mean()) ** 2))
    half = stats.t.ppf(0.975, FOLDS - 1) * error
    expected = tuple(np.tanh(np.arctanh(0.4) + sign * half) for sign in (-1, 1))
    assert jackknife(0.4, even) == pytest.approx(expected, rel=1e-12)
    assert jackknife(0.01, even - 0.39, least=0.0)[0] == 0 > jackknife(0.01, even - 0.39)[0]


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("side", [0, 1])
def test_no_interval_where_a_few_images_carry_the_variance(tmp_path, name, side):
    """But whitening removes their weight."""
    pair = list(sample(np.random.default_rng(0), 400, 4, 1))
    pair[side][7] *= 30
    found = rows(tmp_path, *pair, measures=KNOWN, intervals=True).loc[name]
    whitens = name == "cca_cv"
    assert found["status"] == ("ok" if whitens else "leverage") and np.isfinite(found["value"])
    assert np.isfinite(found["low"]) == np.isfinite(found["high"]) == whitens


def test_the_shared_part_of_two_halves_is_that_of_gaussian_matrices():
    """The square of their mean singular value."""
    values = np.linalg.svd(np.random.default_rng(5).standard_normal((300, 300)), compute_uv=False)
    assert pytest.approx(values.mean() ** 2 / 300, rel=0.01) == SHARED


def test_coverage(tmp_path):
    """A fast part of tests/benchmarks/statistics_similarity.py: at least 52 of 60 contain the mean value."""
    rng = np.random.default_rng(4)
    found = [rows(tmp_path, *sample(rng, 60, 5, 3), 3, measures=KNOWN, intervals=True) for _ in range(60)]
    for name in KNOWN:
        value, low, high = (
            np.array([one.loc[name, key] for one in found]) for key in ("value", "low", "high")
        )
        inside = (low <= value.mean()) & (value.mean() <= high)
        assert inside.sum() >= 52, name
        assert np.mean(high - low) < 8 * value.std(), name
