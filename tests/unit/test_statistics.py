"""Statistics over seeds against independent references, and how often verdicts are wrong."""

import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from prunescope.findings.statistics import Contrast, fisher, holm, of_pairs, of_seeds, spread

spec = importlib.util.spec_from_file_location(
    "calibrate", Path(__file__).parents[1] / "calibration/calibrate.py"
)
calibrate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(calibrate)
DIFFERENCE = np.array([1.0, -1.0])


def values(n, k=2, center=0.7, sd=0.05, seed=0):
    return center + sd * np.random.default_rng(seed).normal(size=(n, k))


def test_p_of_t_is_scipys():
    columns = of_seeds(values(6))
    want = stats.ttest_rel(columns[0][:, 0] - 0.01, columns[0][:, 1], alternative="greater").pvalue
    assert Contrast(columns, DIFFERENCE).p_t(0.01) == pytest.approx(want)


@pytest.mark.parametrize("n", [5, 8])
def test_p_of_sign_flips_is_scipys_exact_permutation_test(n):
    one = Contrast(of_seeds(values(n, seed=n)), DIFFERENCE)
    want = stats.permutation_test(
        (one.differences - 0.02,),
        np.sum,
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
    )
    assert one.p_flips(0.02) == want.pvalue


def test_smallest_p_of_flips_is_two_to_the_minus_n():
    sure = of_seeds(values(5, center=0.7) - [0, 0.5])
    assert Contrast(sure, DIFFERENCE).p_flips() == 2**-5
    assert Contrast(sure, DIFFERENCE).summary(0.05)["p_flips"] == 2**-5
    assert Contrast(sure[:, :4], DIFFERENCE).summary(0.05)["p_flips"] is None
    assert Contrast(sure, DIFFERENCE).summary()["p_flips"] is None, "two-sided, 2/32 is more than 5 %"


def test_pseudovalues_are_those_of_leaving_one_seed_out():
    n, rng = 6, np.random.default_rng(1)
    matrix = rng.uniform(0.2, 0.9, (n, n))
    matrix = (matrix + matrix.T) / 2

    def mean(seeds, transform):
        return np.mean([transform(matrix[a, b]) for a, b in combinations(seeds, 2)])

    got = of_pairs(matrix[None])
    for scale, transform in enumerate((float, np.arctanh)):
        for seed in range(n):
            others = [other for other in range(n) if other != seed]
            want = n * mean(range(n), transform) - (n - 1) * mean(others, transform)
            assert got[scale, seed, 0] == pytest.approx(want)


def test_limits_of_one_value_are_students_on_fishers_scale():
    data = 1 - np.random.default_rng(2).lognormal(-4, 0.8, 7)
    low, high = stats.t.interval(0.95, 6, np.arctanh(data).mean(), stats.sem(np.arctanh(data)))
    got = spread(data)
    assert got["interval"] == pytest.approx([np.tanh(low), np.tanh(high)])
    assert got["typical"] == pytest.approx(np.tanh(np.arctanh(data).mean()))
    assert got["interval"][1] < 1


def test_limits_far_from_one_are_the_paired_t_interval():
    data = values(8, center=0.1, sd=0.001)
    one = Contrast(of_seeds(data), DIFFERENCE)
    want = stats.ttest_rel(data[:, 0], data[:, 1]).confidence_interval(0.9)
    got = one.limit(0.05), one.limit(0.05, upper=True)
    assert got == pytest.approx(tuple(want), abs=1e-7)


def test_limits_of_the_negated_contrast_are_the_negated_limits():
    one = Contrast(of_seeds(values(5, 3, 0.9, 0.02)), np.array([1.0, -1.0, 0.5]))
    assert one.limit(0.05) == pytest.approx(-one.negated.limit(0.05, upper=True))


def test_interval_respects_zero_only_where_the_values_do():
    assert spread([0.01, 0.05, 0.001])["interval"][0] == 0
    assert spread([0.01, -0.05, 0.001])["interval"][0] < -0.05


def test_exactly_one_is_moved_halfway_to_the_next_value():
    column = np.array([[1.0], [0.98], [0.9]])
    assert np.tanh(fisher(column))[:, 0] == pytest.approx([0.99, 0.98, 0.9])
    assert np.tanh(fisher(np.ones((3, 1)))) == pytest.approx(1)
    assert np.isnan(fisher(np.array([[np.nan], [1.0], [0.5]]))[0, 0])


@pytest.mark.parametrize("data", [[0.9, 0.9, 0.9], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
def test_tied_seeds_show_nothing(data):
    one = Contrast(of_seeds(np.array(data)[:, None]), np.ones(1))
    assert not one.above(-0.5) and not one.below(2) and not one.within(2)
    assert spread(data)["interval"] is None and spread(data)["typical"] == pytest.approx(data[0])


def test_two_seeds_show_nothing():
    one = Contrast(of_seeds(np.array([[0.9], [0.901]])), np.ones(1))
    assert not one.above(0) and not one.below(1)
    found = spread([0.5, 0.75])
    assert (found["mean"], found["min"], found["max"], found["count"]) == (0.625, 0.5, 0.75, 2)
    assert found["sd"] is found["typical"] is found["interval"] is None
    assert spread([np.nan]) is None


def test_holm_rejects_as_the_sorted_p_values_say():
    p = {"a": 0.001, "b": 0.012, "c": 0.02, "d": 0.2}
    assert holm(p, lambda name, level: p[name] <= level) == {"a", "b", "c"}
    assert holm({"a": 0.02, "b": 0.02, "c": 0.02}, lambda name, level: level >= 0.02) == set()


# A part of `make calibrate`: the structures for which simpler methods fail, with fewer experiments.
DRAWS = 120
NOISE = 3 * np.sqrt(0.05 * 0.95 / DRAWS)


@pytest.mark.parametrize("structure", ["shared", "near 1, heavy"])
@pytest.mark.parametrize("question", calibrate.WRONG)
def test_verdicts_are_wrong_in_at_most_five_percent(question, structure):
    for n in calibrate.SEEDS:
        wrong = calibrate.rate(calibrate.WRONG[question], n, calibrate.STRUCTURES[structure], DRAWS)
        assert wrong <= 0.05 + NOISE, n


@pytest.mark.parametrize("structure", ["plain", "near 1"])
@pytest.mark.parametrize("interval", calibrate.COVERED)
def test_intervals_cover(interval, structure):
    for n in calibrate.SEEDS:
        covered = calibrate.rate(calibrate.COVERED[interval], n, calibrate.STRUCTURES[structure], DRAWS)
        assert covered >= 0.95 - NOISE, n


def test_differences_are_found():
    """Without this test, a method that never gives a verdict would pass the tests above."""
    plain = calibrate.STRUCTURES["plain"]
    assert calibrate.rate(calibrate.finding_power, 5, plain, 100, 3) > 0.8
    assert calibrate.rate(calibrate.ceiling_power, 10, plain, 100, 3) > 0.8
    assert calibrate.rate(calibrate.stays_power, 5, plain, 100, 4) > 0.8


def test_the_page_has_the_tables_of_all_questions():
    page = calibrate.PAGE.read_text()
    assert all(
        f"| {name} |" in page for name in [*calibrate.WRONG, *calibrate.COVERED, *calibrate.STRUCTURES]
    )
