"""Statistics over seeds against independent references, and how often verdicts are wrong."""

import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from prunescope.findings import claims
from prunescope.findings.statistics import Contrast, fisher, holm, of_pairs, of_seeds, spread
from prunescope.findings.words import ABOVE, BELOW, FAILS, HOLDS, NO_DIFFERENCE, TOO_FEW_SEEDS, UNDECIDED

spec = importlib.util.spec_from_file_location(
    "calibrate", Path(__file__).parents[1] / "calibration/calibrate.py"
)
calibrate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(calibrate)
DIFFERENCE = np.array([1.0, -1.0])
MARGIN = 0.05


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


@pytest.mark.parametrize("shift", [-0.002, 0.002])
@pytest.mark.parametrize("count", [3, 6])
def test_the_summary_is_scipys_paired_t_test(count, shift):
    """Two-sided with a 95 % interval; one-sided with a 90 % interval where there is a margin."""
    data = values(count, center=0.1, sd=0.001, seed=3) + np.array([0, shift])
    one = Contrast(of_seeds(data), DIFFERENCE)
    two_sided, above = (
        stats.ttest_rel(data[:, 0] - margin, data[:, 1], alternative=which)
        for margin, which in ((0, "two-sided"), (0.0003, "greater"))
    )
    found = one.summary()
    assert found["interval"] == pytest.approx(list(two_sided.confidence_interval(0.95)), abs=1e-6)
    assert found["p"] == pytest.approx(two_sided.pvalue)
    smaller = min(one.p_flips(), one.negated.p_flips())
    assert found["p_flips"] == (min(1, 2 * smaller) if count == 6 else None)
    found = one.summary(0.0003)
    assert found["interval"] == pytest.approx(list(two_sided.confidence_interval(0.9)), abs=1e-6)
    assert found["p"] == pytest.approx(above.pvalue)
    assert found["p_flips"] == (one.p_flips(0.0003) if count == 6 else None)


def test_limits_of_the_negated_contrast_are_the_negated_limits():
    one = Contrast(of_seeds(values(5, 3, 0.9, 0.02)), np.array([1.0, -1.0, 0.5]))
    assert one.limit(0.05) == pytest.approx(-one.negated.limit(0.05, upper=True))


def test_interval_respects_zero_only_where_the_values_do():
    assert spread([0.01, 0.05, 0.001])["interval"][0] == spread([0.0, 0.05, 0.01])["interval"][0] == 0
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


def test_seeds_that_differ_by_more_than_rounding_are_not_tied():
    for difference, tied in ((2e-9, False), (5e-10, True)):
        one = Contrast(of_seeds(0.5 + difference * np.array([[0.0], [0.3], [1.0]])), np.ones(1))
        assert one.tied == tied
    small = Contrast(of_seeds(1e-6 * values(6, center=0.1)), DIFFERENCE)
    large = Contrast(of_seeds(values(6, center=0.1)), DIFFERENCE)
    assert small.p_flips() == large.p_flips() and small.p_t() == pytest.approx(large.p_t())
    for room in (1e-14, 1e-3):
        assert fisher(np.array([[1 - room], [0.5]]))[0, 0] == np.arctanh(1 - room), "not exactly 1"


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


# --- verdicts at their level


def deviations(p, n=3):
    """Return small deviations of n seeds that are above 0 with exactly this one-sided p-value of Student's t.

    Sign flips cannot be significant with three seeds, so only the t test and the limit decide.
    """
    noise = np.random.default_rng(0).normal(size=n)
    noise -= noise.mean()
    found = 5e-4 * (noise / stats.sem(noise) + stats.t.isf(p, n - 1))
    assert stats.ttest_1samp(found, 0, alternative="greater").pvalue == pytest.approx(p)
    return found


CLEAR = 0.3 + 0.001 * np.arange(3)


def groups(first, output):
    """Make values, far from 1, with these contrasts to the middle."""
    return pd.DataFrame({"first": 0.1 + first, "middle": 0.1 + 0 * first, "output": 0.1 + output})


def table_of_pairs(values):
    """Make comparisons of different seeds whose jackknife pseudovalues are these values."""
    return pd.DataFrame(np.add.outer(values, values) / 2)


def beyond(first, output):
    control = groups(0.1 + 0 * first, 0.2 + 0 * first)
    return claims.finding(groups(0.1 + first, 0.2 + output), MARGIN, control)["verdict"]


def untrained(first, output):
    pairs = {name: table_of_pairs(values.to_numpy()) for name, values in groups(first, output).items()}
    return claims.untrained(pairs, {name: [name] for name in pairs}, MARGIN)


def fall(sizes):
    return claims.fall(pd.DataFrame({1: 0.1 + sizes, 2: 0.1 + 0 * sizes}), pd.Series({1: 0.0, 2: -0.2}))


def stays(sizes):
    return claims.stays_similar(fall(sizes), MARGIN)["verdict"]


def one_of_seven_stays(sizes):
    falls = {f"falls{place}": fall(CLEAR) for place in range(6)} | {"x": fall(sizes)}
    return claims.layers_that_stay(falls, MARGIN)["x"]


def one_of_seven_against_others(above):
    seeds, same = np.arange(len(above)), 0.001 * (np.arange(len(above)) - (len(above) - 1) / 2)
    values = pd.DataFrame(
        {f"same{place}": 0.3 + same for place in range(6)} | {"x": 0.3 + above}, index=seeds
    )
    flat = table_of_pairs(0.3 + 0 * above)
    return claims.against_ceiling(values, dict.fromkeys(values, flat))["x"]["verdict"]


def accuracy(change):
    rows = [(seed, round, 0.2 + round * one) for seed, one in enumerate(change) for round in (0, 1)]
    return claims.accuracy(pd.DataFrame(rows, columns=["seed", "round", "test_accuracy"]), 1)["verdict"]


def finding(first, output):
    return claims.finding(groups(first, output), MARGIN)["verdict"]


# By question: a verdict, its level in docs/statistics.md, and how deviations that show it are judged.
AT_LEVEL = {
    "finding, first": (HOLDS, 0.05, lambda d: finding(MARGIN + d, CLEAR)),
    "finding, output": (HOLDS, 0.05, lambda d: finding(CLEAR, MARGIN + d)),
    "no finding, first": (FAILS, 0.025, lambda d: finding(MARGIN - d, CLEAR)),
    "no finding, output": (FAILS, 0.025, lambda d: finding(CLEAR, MARGIN - d)),
    "beyond retraining": (HOLDS, 0.05, lambda d: beyond(MARGIN + d, CLEAR)),
    "not beyond retraining": (FAILS, 0.025, lambda d: beyond(CLEAR, MARGIN - d)),
    "untrained": (HOLDS, 0.05, lambda d: untrained(MARGIN + d, CLEAR)["verdict"]),
    "not untrained": (FAILS, 0.025, lambda d: untrained(CLEAR, MARGIN - d)["verdict"]),
    "above the ceiling": (ABOVE, 0.05 / 7 / 2, one_of_seven_against_others),
    "below the ceiling": (BELOW, 0.05 / 7 / 2, lambda d: one_of_seven_against_others(-d)),
    "grows apart": (HOLDS, 0.05, lambda d: claims.grows_apart(fall(MARGIN + d), MARGIN)["verdict"]),
    "does not grow apart": (FAILS, 0.05, lambda d: claims.grows_apart(fall(MARGIN - d), MARGIN)["verdict"]),
    "stays, falling": (HOLDS, 0.05, lambda d: stays(MARGIN - d)),
    "stays, rising": (HOLDS, 0.05, lambda d: stays(-MARGIN + d)),
    "does not stay, falling": (FAILS, 0.025, lambda d: stays(MARGIN + d)),
    "does not stay, rising": (FAILS, 0.025, lambda d: stays(-MARGIN - d)),
    "one of 7 layers stays": (HOLDS, 0.05 / 7, lambda d: one_of_seven_stays(MARGIN - d)),
    "accuracy above": (ABOVE, 0.025, accuracy),
    "accuracy below": (BELOW, 0.025, lambda d: accuracy(-d)),
}


@pytest.mark.parametrize("question", AT_LEVEL)
def test_a_verdict_is_given_exactly_where_scipys_p_is_below_its_level(question):
    verdict, level, judge = AT_LEVEL[question]
    assert judge(deviations(0.9 * level)) == verdict
    assert judge(deviations(1.1 * level)) in (UNDECIDED, NO_DIFFERENCE)


# Two layers of five seeds whose difference is more than -.05 by all tests but one, and clearly less than .05.
ONE_REFUSES = {
    "t test": [[0.849, 0.889], [0.882, 0.929], [0.87, 0.873], [0.865, 0.82], [0.889, 0.925]],
    "limit": [[0.949, 0.931], [0.922, 0.97], [0.922, 0.961], [0.949, 0.947], [0.999, 0.97]],
    "sign flips": [[0.872, 0.878], [0.849, 0.877], [0.877, 0.931], [0.906, 0.881], [0.883, 0.857]],
}


@pytest.mark.parametrize("test", ONE_REFUSES)
def test_the_three_tests_must_agree_in_every_direction(test):
    one = Contrast(of_seeds(np.array(ONE_REFUSES[test])), DIFFERENCE)
    agree = {
        "t test": one.p_t(-MARGIN) <= 0.05,
        "limit": one.limit(0.05) > -MARGIN,
        "sign flips": one.p_flips(-MARGIN) <= 0.05,
    }
    assert [name for name, shown in agree.items() if not shown] == [test]
    assert one.below(MARGIN) and one.negated.above(-MARGIN)
    assert not one.above(-MARGIN) and not one.negated.below(MARGIN)
    assert not one.within(MARGIN) and not one.negated.within(MARGIN)
    assert one.within(4 * MARGIN), "with more room, all agree"


def test_sign_flips_are_used_for_five_to_sixteen_seeds():
    """The seed that disagrees, a little, is enough for the flips to refuse where they are used."""
    for count, used in ((4, False), (5, True), (16, True), (17, False)):
        one = Contrast(of_seeds(0.3 + values(count, 1, 0.005, 0.001)), np.ones(1))
        assert (one.summary(0.3)["p_flips"] is not None) == used, count
        assert one.above(0.3), count
    for count, shown in ((4, True), (5, False)):
        one = Contrast(of_seeds(np.array([[0.2995]] + [[0.31]] * (count - 1))), np.ones(1))
        assert one.above(0.3) == shown, count


def test_signs_of_pseudovalues_are_not_flipped():
    """Pairs share seeds, so verdicts on them are given where sign flips would refuse."""
    disagree = 0.01 * np.array([1, 1, 1, 1, 1, -0.05])
    clear = 0.3 + 0.001 * np.arange(6)
    assert finding(MARGIN + disagree[1:], clear[1:]) == UNDECIDED and accuracy(disagree) == NO_DIFFERENCE
    claim = untrained(MARGIN + disagree[1:], clear[1:])
    assert claim["verdict"] == HOLDS
    assert {one["p_flips"] for one in claim["contrasts"].values()} == {None}
    found = claims.against_ceiling(
        pd.DataFrame({"x": 0.3 + disagree}), {"x": table_of_pairs(np.full(6, 0.3))}
    )["x"]
    assert found["verdict"] == ABOVE and found["contrast"]["p_flips"] is None


def test_untrained_networks_need_three_seeds_with_all_pairs():
    for count, verdict in ((2, TOO_FEW_SEEDS), (3, HOLDS)):
        first, output = MARGIN + deviations(0.01, count + 1), 0.3 + 0.001 * np.arange(count + 1)
        pairs = {name: table_of_pairs(one.to_numpy()) for name, one in groups(first, output).items()}
        pairs["middle"].loc[count] = pairs["middle"].loc[:, count] = np.nan
        claim = claims.untrained(pairs, {name: [name] for name in pairs}, 0.01)
        assert claim["verdict"] == verdict
        assert verdict != HOLDS or claim["contrasts"]["first"]["count"] == count


# --- simulated experiments: a part of `make calibrate`, with the structures for which simpler methods fail

DRAWS = 1000


def documented(name, structure):
    """Return the rates that docs/statistics.md has in this row and column, for 3, 5 and 10 seeds."""
    rows = [[cell.strip() for cell in line.split("|")] for line in calibrate.PAGE.read_text().splitlines()]
    columns = next(row for row in rows if row[1:2] == ["wrong verdict"])
    (row,) = (row for row in rows if row[1:2] == [name])
    return [float(percent) / 100 for percent in row[columns.index(structure)].split("/")]


def noise(rate):
    return 3 * np.sqrt(rate * (1 - rate) / DRAWS)


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["shared", "near 1, heavy"])
@pytest.mark.parametrize("question", calibrate.WRONG)
def test_verdicts_are_wrong_in_at_most_five_percent_and_as_often_as_documented(question, structure):
    for n, rate in zip(calibrate.SEEDS, documented(question, structure), strict=True):
        wrong = calibrate.rate(calibrate.WRONG[question], n, calibrate.STRUCTURES[structure], DRAWS)
        assert wrong <= 0.05 + noise(0.05), n
        assert wrong == pytest.approx(rate, abs=0.002 + noise(rate)), n


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["plain", "near 1"])
@pytest.mark.parametrize("interval", calibrate.COVERED)
def test_intervals_cover_as_often_as_documented(interval, structure):
    for n, rate in zip(calibrate.SEEDS, documented(interval, structure), strict=True):
        covered = calibrate.rate(calibrate.COVERED[interval], n, calibrate.STRUCTURES[structure], DRAWS)
        assert covered >= 0.95 - noise(0.05), n
        assert covered == pytest.approx(rate, abs=0.002 + noise(rate)), n


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
