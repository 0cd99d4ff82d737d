"""Statistics over seeds against independent references, and how often verdicts are wrong."""

import importlib.util
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from prunescope.findings import claims
from prunescope.findings.statistics import (
    fisher,
    holm,
    jackknife_limits,
    largest_share,
    log_share,
    mean_limits,
    mean_of_pairs,
    mean_p,
    median_limits,
    of_pairs,
    of_seeds,
    spread,
)
from prunescope.findings.words import ABOVE, BELOW, FAILS, FALLS, HOLDS, STAYS, TOO_FEW_SEEDS, UNDECIDED

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
    data = values(6)
    want = stats.ttest_rel(data[:, 0] - 0.01, data[:, 1], alternative="greater").pvalue
    assert of_seeds(data, DIFFERENCE).p_t(0.01) == pytest.approx(want)


def test_limits_of_one_value_are_students_on_fishers_scale():
    data = 1 - np.random.default_rng(2).lognormal(-4, 0.8, 7)
    low, high = stats.t.interval(0.95, 6, np.arctanh(data).mean(), stats.sem(np.arctanh(data)))
    got = spread(data)
    assert got["interval"] == pytest.approx([np.tanh(low), np.tanh(high)])
    assert got["typical"] == pytest.approx(np.tanh(np.arctanh(data).mean()))
    assert got["interval"][1] < 1


def test_limits_far_from_one_are_the_paired_t_interval():
    data = values(8, center=0.1, sd=0.001)
    one = of_seeds(data, DIFFERENCE)
    want = stats.ttest_rel(data[:, 0], data[:, 1]).confidence_interval(0.9)
    assert (one.limit(0.05), one.limit(0.05, upper=True)) == pytest.approx(tuple(want), abs=1e-7)


@pytest.mark.parametrize("shift", [-0.002, 0.002])
@pytest.mark.parametrize("count", [3, 6])
def test_the_summary_is_scipys_paired_t_interval(count, shift):
    """A 95 % interval; a 90 % interval where there is a margin."""
    data = values(count, center=0.1, sd=0.001, seed=3) + np.array([0, shift])
    one, want = of_seeds(data, DIFFERENCE), stats.ttest_rel(data[:, 0], data[:, 1])
    for margin, percent in ((None, 0.95), (0.0003, 0.9)):
        found = one.summary(margin)
        assert found["interval"] == pytest.approx(list(want.confidence_interval(percent)), abs=1e-6)
        assert found["estimate"] == pytest.approx((data[:, 0] - data[:, 1]).mean(), abs=1e-6)
        assert found["above"] == (data[:, 0] - data[:, 1] > (margin or 0)).sum() and found["count"] == count


def test_limits_of_the_negated_contrast_are_the_negated_limits():
    one = of_seeds(values(5, 3, 0.9, 0.02), [1.0, -1.0, 0.5])
    assert one.limit(0.05) == pytest.approx(-one.negated.limit(0.05, upper=True))


# --- pairs of seeds


def symmetric(n, k=1, seed=1):
    matrix = np.random.default_rng(seed).uniform(0.2, 0.9, (k, n, n))
    return (matrix + matrix.swapaxes(1, 2)) / 2


def jackknife(statistic, n):
    """The standard error from leaving one seed out."""
    left_out = [statistic([other for other in range(n) if other != seed]) for seed in range(n)]
    return np.sqrt((n - 1) / n * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))


@pytest.mark.parametrize("n", [3, 6])
def test_the_error_of_pairs_is_the_jackknifes_or_that_of_independent_seeds(n):
    """Far from 1 a limit is the estimate minus t times the standard error."""
    own, pairs = 0.1 + values(n, 1, 0, 0.001)[:, 0], 0.1 + 0.01 * (symmetric(n)[0] - 0.5)
    upper = np.triu_indices(n, 1)

    def difference(seeds):
        return own[seeds].mean() - np.mean([pairs[a, b] for a, b in combinations(seeds, 2)])

    independent = np.sqrt(own.var(ddof=1) / n + 2 * pairs[upper].var(ddof=1) / n)
    wide = independent, jackknife(difference, n)
    narrow = own.std(ddof=1) / np.sqrt(n), jackknife(lambda seeds: own[seeds].mean(), n)
    for matrix, errors in ((pairs, wide), (np.full((n, n), 0.1), narrow)):
        one = of_pairs(matrix[None], DIFFERENCE, own[:, None])
        assert one.estimate == pytest.approx(own.mean() - matrix[upper].mean(), abs=1e-5)
        want = one.estimate - stats.t.isf(0.05, n - 1) * max(errors)
        assert one.limit(0.05) == pytest.approx(want, abs=1e-5)
    # Seeds that shift all of their pairs: the pairs vary as two seeds do, and both errors are about the same.
    shifts = 0.001 * np.random.default_rng(5).normal(size=500)
    additive = of_pairs((0.1 + np.add.outer(shifts, shifts))[None], [1.0])
    error = (additive.estimate - additive.limit(0.05)) / stats.t.isf(0.05, 499)
    assert error == pytest.approx(2 * shifts.std(ddof=1) / np.sqrt(500), rel=0.05)


def test_own_seeds_are_compared_with_the_mean_of_their_pairs():
    own, pairs = values(5, 1)[:, 0], symmetric(5)
    others = [np.mean([pairs[0, a, b] for b in range(5) if b != a]) for a in range(5)]
    assert of_pairs(pairs, DIFFERENCE, own[:, None]).differences == pytest.approx(own - others)


def test_many_experiments_at_once_are_judged_as_one_by_one():
    rng = np.random.default_rng(4)
    data, pairs = rng.uniform(0.3, 0.9, (8, 5, 2)), np.stack([symmetric(5, 3, seed) for seed in range(8)])
    for together, alone in (
        (of_seeds(data, DIFFERENCE), [of_seeds(one, DIFFERENCE) for one in data]),
        (of_pairs(pairs, [1, -2, 1]), [of_pairs(one, [1, -2, 1]) for one in pairs]),
    ):
        for number in (lambda one: one.limit(0.05), lambda one: one.p_t(0.1), lambda one: one.estimate):
            assert number(together) == pytest.approx(np.array([number(one) for one in alone]))
        margins = np.quantile(together.estimate, [0.2, 0.8])
        for margin in margins:
            assert list(together.above(margin, 0.4)) == [bool(one.above(margin, 0.4)) for one in alone]
    falls = [of_seeds(rng.normal(0.05, 0.03, (8, 5, 1)), [1.0]) for _ in range(4)]
    words = claims.layers_change(falls, 0.02)
    for place in range(8):
        single = [of_seeds(np.tanh(one.differences[place][:, None]), [1.0]) for one in falls]
        single = [
            replace(one, means=many.means[place], covariances=(many.covariances[0][place],),
                    differences=many.differences[place])
            for one, many in zip(single, falls, strict=True)
        ]  # fmt: skip
        assert list(claims.layers_change(single, 0.02)) == list(words[place])


# --- bounds and ties


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
    one = of_seeds(np.array(data)[:, None], [1.0])
    assert not one.above(-0.5) and not one.below(2) and not one.within(2)
    assert spread(data)["interval"] is None and spread(data)["typical"] == pytest.approx(data[0])
    assert one.seeds_needed(0.5) is None


def test_seeds_that_differ_by_more_than_rounding_are_not_tied():
    for difference, tied in ((2e-9, False), (5e-10, True)):
        assert of_seeds(0.5 + difference * np.array([[0.0], [0.3], [1.0]]), [1.0]).tied == tied
    small = of_seeds(1e-6 * values(6, center=0.1), DIFFERENCE)
    assert small.p_t() == pytest.approx(of_seeds(values(6, center=0.1), DIFFERENCE).p_t())
    for room in (1e-14, 1e-3):
        assert fisher(np.array([[1 - room], [0.5]]))[0, 0] == np.arctanh(1 - room), "not exactly 1"


def test_two_seeds_show_nothing():
    one = of_seeds(np.array([[0.9], [0.901]]), [1.0])
    assert not one.above(0) and not one.below(1) and one.seeds_needed(0) is None
    found = spread([0.5, 0.75])
    assert (found["mean"], found["min"], found["max"], found["count"]) == (0.625, 0.5, 0.75, 2)
    assert found["sd"] is found["typical"] is found["interval"] is None
    assert spread([np.nan]) is None


def test_holm_rejects_as_the_sorted_p_values_say():
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 0.06, (300, 5)) ** rng.choice([1, 2], (300, 5))
    got = holm(5, lambda item, level: p[:, item] <= level)
    for row, rejected in zip(p, got, strict=True):
        order = np.argsort(row)
        passed = np.cumprod(row[order] <= 0.05 / np.arange(5, 0, -1)).astype(bool)
        assert sorted(order[passed]) == list(np.flatnonzero(rejected))
    assert holm(0, lambda item, level: np.array(True)).shape == (0,)


@pytest.mark.parametrize(("found", "count"), [(0, 3), (0, 6), (2, 8), (7, 8), (4, 4)])
def test_the_largest_share_is_clopper_and_pearsons_limit(found, count):
    want = stats.binomtest(found, count, alternative="less").proportion_ci(0.95).high
    assert largest_share(found, count) == pytest.approx(want)


@pytest.mark.parametrize("effect", [0.3, 0.5, 0.8])
def test_the_seeds_needed_have_the_power_of_students_t(effect):
    """The power of a t test is 80 % there; the effect is in standard deviations over seeds."""
    noise = np.array([-1.0, 0.0, 1.0])
    one = of_seeds(0.1 + 0.001 * (noise + effect)[:, None], [1.0])
    needed = one.seeds_needed(0.1)

    def power(n):
        return stats.nct.sf(stats.t.isf(0.05, n - 1), n - 1, effect * np.sqrt(n))

    assert power(needed - 1) < 0.8 + 0.02 and power(needed + 1) > 0.8
    assert of_seeds(0.1 + 0.001 * (noise - effect)[:, None], [1.0]).seeds_needed(0.1) == needed
    assert (one.seeds_needed(0.1, 0.05 / 2) or 101) > needed
    assert of_seeds(0.1 + 0.001 * (noise + 0.1)[:, None], [1.0]).seeds_needed(0.1) is None, "more than 100"
    assert of_seeds(0.1 + 0.001 * (noise + 9)[:, None], [1.0]).seeds_needed(0.1) == 4, "more than there are"


# --- verdicts at their level


def deviations(p, n=3):
    """Return small deviations of n seeds that are above 0 with exactly this one-sided p-value."""
    noise = np.random.default_rng(0).normal(size=n)
    noise -= noise.mean()
    found = 5e-4 * (noise / stats.sem(noise) + stats.t.isf(p, n - 1))
    assert stats.ttest_1samp(found, 0, alternative="greater").pvalue == pytest.approx(p)
    return found


CLEAR = 0.3 + 0.001 * np.arange(3)


def groups(first, output):
    """Make values, far from 1, with these contrasts to the middle."""
    return np.stack([0.1 + first, 0.1 + 0 * first, 0.1 + output], axis=-1)


def table_of_pairs(values):
    """Make comparisons of different seeds whose jackknife pseudovalues are these values."""
    return np.add.outer(values, values) / 2


def finding(first, output, control=None):
    return claims.has_shape(claims.shape(groups(first, output), control), MARGIN)


def beyond(first, output):
    return finding(0.1 + first, 0.2 + output, groups(0.1 + 0 * first, 0.2 + 0 * first))


def fall(sizes):
    return claims.fall(np.stack([0.1 + sizes, 0.1 + 0 * sizes], axis=-1), np.array([0.0, -0.2]))


def stays(sizes):
    return claims.stays_similar(fall(sizes), MARGIN)


def one_of_seven_changes(sizes, others):
    return claims.layers_change([fall(others)] * 6 + [fall(sizes)], MARGIN)[-1]


def one_of_seven_against_others(above):
    same = 0.001 * (np.arange(len(above)) - (len(above) - 1) / 2)
    pairs = table_of_pairs(0.3 + 0 * above)
    contrasts = [claims.against_others(0.3 + own, pairs) for own in [same] * 6 + [above]]
    return claims.differ(contrasts)[-1]


def accuracy(change):
    return claims.differ([of_seeds(np.stack([0.2 + change, 0.2 + 0 * change], axis=-1), DIFFERENCE)])[0]


# By question: a verdict, its level in docs/statistics.md, and how deviations that show it are judged.
AT_LEVEL = {
    "finding, first": (HOLDS, 0.05, lambda d: finding(MARGIN + d, CLEAR)),
    "finding, output": (HOLDS, 0.05, lambda d: finding(CLEAR, MARGIN + d)),
    "no finding, first": (FAILS, 0.025, lambda d: finding(MARGIN - d, CLEAR)),
    "no finding, output": (FAILS, 0.025, lambda d: finding(CLEAR, MARGIN - d)),
    "beyond retraining": (HOLDS, 0.05, lambda d: beyond(MARGIN + d, CLEAR)),
    "not beyond retraining": (FAILS, 0.025, lambda d: beyond(CLEAR, MARGIN - d)),
    "above other seeds": (ABOVE, 0.05 / 7 / 2, one_of_seven_against_others),
    "below other seeds": (BELOW, 0.05 / 7 / 2, lambda d: one_of_seven_against_others(-d)),
    "grows apart": (HOLDS, 0.05, lambda d: claims.grows_apart(fall(MARGIN + d), MARGIN)),
    "does not grow apart": (FAILS, 0.05, lambda d: claims.grows_apart(fall(MARGIN - d), MARGIN)),
    "stays, falling": (HOLDS, 0.05, lambda d: stays(MARGIN - d)),
    "stays, rising": (HOLDS, 0.05, lambda d: stays(-MARGIN + d)),
    "does not stay, falling": (FAILS, 0.025, lambda d: stays(MARGIN + d)),
    "does not stay, rising": (FAILS, 0.025, lambda d: stays(-MARGIN - d)),
    "one of 7 layers stays": (STAYS, 0.05 / 7, lambda d: one_of_seven_changes(MARGIN - d, CLEAR)),
    "one of 7 layers falls": (FALLS, 0.05 / 7, lambda d: one_of_seven_changes(MARGIN + d, 0.01 * CLEAR)),
    "accuracy above": (ABOVE, 0.025, accuracy),
    "accuracy below": (BELOW, 0.025, lambda d: accuracy(-d)),
}


@pytest.mark.parametrize("question", AT_LEVEL)
def test_a_verdict_is_given_exactly_where_scipys_p_is_below_its_level(question):
    verdict, level, judge = AT_LEVEL[question]
    assert judge(deviations(0.9 * level)) == verdict
    assert judge(deviations(1.1 * level)) == UNDECIDED


@pytest.mark.parametrize("sign", [1, -1])
def test_the_shape_of_pairs_is_judged_by_their_limits(sign):
    """Pairs of which only those of the first group vary; the limit decides, at the level of the verdict."""
    verdict, level = {1: (HOLDS, 0.05), -1: (FAILS, 0.025)}[sign]
    for clear in (True, False):
        first = 0.001 * np.array([-1.0, 0, 1, 0.5, -0.5])
        pairs = np.stack([table_of_pairs(column) for column in groups(first, 0.3 + first).T])
        one = claims.shape_of_pairs(pairs)["first"]
        room = one.limit(level, upper=sign < 0) - sign * (1e-6 if clear else -1e-6)
        assert claims.has_shape(claims.shape_of_pairs(pairs), float(room)) == (
            verdict if clear else UNDECIDED
        )


def test_layers_change_if_one_falls_and_do_not_if_all_stay():
    for words, verdict in (
        ([STAYS, FALLS, UNDECIDED], HOLDS),
        ([STAYS, STAYS], FAILS),
        ([STAYS, UNDECIDED], UNDECIDED),
        ([STAYS, TOO_FEW_SEEDS], UNDECIDED),
    ):
        assert claims.changes(np.array(words)) == verdict


# Two layers of five seeds whose difference is more than -.05 by all tests but one, and clearly less than .05.
ONE_REFUSES = {
    "t test": [[0.849, 0.889], [0.882, 0.929], [0.87, 0.873], [0.865, 0.82], [0.889, 0.925]],
    "limit": [[0.949, 0.931], [0.922, 0.97], [0.922, 0.961], [0.949, 0.947], [0.999, 0.97]],
}


@pytest.mark.parametrize("test", ONE_REFUSES)
def test_the_tests_must_agree_in_every_direction(test):
    one = of_seeds(np.array(ONE_REFUSES[test]), DIFFERENCE)
    agree = {"t test": one.p_t(-MARGIN) <= 0.05, "limit": one.limit(0.05) > -MARGIN}
    assert [name for name, shown in agree.items() if not shown] == [test]
    assert one.below(MARGIN) and one.negated.above(-MARGIN)
    assert not one.above(-MARGIN) and not one.negated.below(MARGIN)
    assert not one.within(MARGIN) and not one.negated.within(MARGIN)
    assert one.within(4 * MARGIN), "with more room, all agree"


@pytest.mark.parametrize(("count", "allowed"), [(4, 1), (7, 1), (8, 2), (11, 2), (20, 5)])
def test_one_seed_or_a_quarter_of_them_may_disagree(count, allowed):
    for others in (allowed, allowed + 1):
        far = np.where(np.arange(count) < others, -1e-6, 0.01 + 1e-5 * np.arange(count))
        one = of_seeds(0.3 + far[:, None], [1.0])
        assert one.above(0.3) == (others == allowed), others
        assert one.limit(0.05) > 0.3 or count == 4, "the other tests show it"
        assert one.negated.below(-0.3) == one.above(0.3)


# --- distances


def test_limits_and_p_of_a_mean_are_scipys():
    data = values(7, 3).T
    low, high = mean_limits(data)
    reference = stats.ttest_1samp(data, 0, axis=1)
    np.testing.assert_allclose([low, high], reference.confidence_interval(0.95))
    np.testing.assert_allclose(mean_p(data - 0.7), stats.ttest_1samp(data - 0.7, 0, axis=1).pvalue)
    assert mean_p(np.full(6, 0.3)) == 1, "tied seeds show nothing"


@pytest.mark.parametrize("n", range(6, 21))
def test_limits_of_the_median_hold_it_as_often_as_the_binomial_distribution_says(n):
    low, high = median_limits(np.random.default_rng(n).permutation(n).astype(float))
    assert low + high == n - 1, "as many values are below as above"
    assert 1 - 2 * stats.binom.cdf(low, n, 0.5) >= 0.95 > 1 - 2 * stats.binom.cdf(low + 1, n, 0.5)


def test_the_jackknife_leaves_out_a_seed_with_its_pairs():
    rng = np.random.default_rng(0)
    own, pairs = rng.uniform(1, 2, 6), rng.uniform(1, 2, (6, 6))
    pairs += pairs.T
    share, without = log_share(own, pairs)
    every = [(own[kept].mean(), _mean_pair(pairs[np.ix_(kept, kept)])) for kept in _all_but_one(6)]
    assert share == pytest.approx(np.log(own.mean() / _mean_pair(pairs)))
    np.testing.assert_allclose(without, [np.log(mine / others) for mine, others in every])
    mean, alone = mean_of_pairs(pairs)
    assert mean == pytest.approx(_mean_pair(pairs))
    np.testing.assert_allclose(alone, [others for _, others in every])


def _all_but_one(n):
    return [[place for place in range(n) if place != left] for left in range(n)]


def _mean_pair(pairs):
    return pairs[np.triu_indices(len(pairs), 1)].mean()


def test_the_jackknife_of_a_mean_is_students_interval():
    data = values(8, 1)[:, 0]
    without = np.array([data[kept].mean() for kept in _all_but_one(8)])
    np.testing.assert_allclose(jackknife_limits(data.mean(), without), mean_limits(data))


# --- simulated experiments: a part of `make calibrate`, with the structures for which simpler methods fail

DRAWS = 2000
PARTS = {"wrong": calibrate.STRUCTURES, "beyond": calibrate.BEYOND, "covered": calibrate.STRUCTURES}


def documented(part, name, structure):
    """Return the rates in this row and column of a table of docs/statistics.md."""
    text = calibrate.PAGE.read_text().partition(f"<!-- {part}: made by")[2].partition("<!-- end of")[0]
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if "|" in line]
    (row,) = (row for row in rows if row[1] == name)
    return [float(percent) / 100 for percent in row[rows[0].index(structure)].split("/")]


def noise(rate):
    return 3 * np.sqrt(rate * (1 - rate) / DRAWS)


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["shared", "two basins", "near 1, heavy", "failing", "basins, missed"])
@pytest.mark.parametrize("question", calibrate.WRONG)
def test_verdicts_are_wrong_in_at_most_five_percent_and_as_often_as_documented(question, structure):
    part = "wrong" if structure in calibrate.STRUCTURES else "beyond"
    for n, rate in zip(calibrate.SEEDS, documented(part, question, structure), strict=True):
        wrong = calibrate.rate(calibrate.WRONG[question], n, PARTS[part][structure], DRAWS)
        assert wrong <= 0.05 + noise(0.05), n
        assert wrong == pytest.approx(rate, abs=0.002 + noise(rate)), n


@pytest.mark.slow
@pytest.mark.parametrize("structure", ["plain", "near 1"])
@pytest.mark.parametrize("interval", calibrate.COVERED)
def test_intervals_cover_as_often_as_documented(interval, structure):
    for n, rate in zip(calibrate.SEEDS, documented("covered", interval, structure), strict=True):
        covered = calibrate.rate(calibrate.COVERED[interval], n, calibrate.STRUCTURES[structure], DRAWS)
        assert covered >= 0.95 - noise(0.05), n
        assert covered == pytest.approx(rate, abs=0.002 + noise(rate)), n


def test_simulated_verdicts_are_seldom_wrong():
    """Few experiments of the structures for which simpler methods fail; more of them are a slow test."""
    for question, structure, n in (
        ("finding: holds", "near 1", 4),
        ("other seeds: any of 7 layers", "two basins", 4),
        ("stays similar: holds", "failing, missed", 10),
    ):
        how = (calibrate.STRUCTURES | calibrate.BEYOND)[structure]
        assert calibrate.rate(calibrate.WRONG[question], n, how, 500) < 0.08, (question, structure)


def test_differences_are_found():
    """Without this test, a method that never gives a verdict would pass the tests above."""
    plain = calibrate.STRUCTURES["plain"]
    assert calibrate.rate(calibrate.finding_power, 5, plain, 200, 3) > 0.8
    assert calibrate.rate(calibrate.other_seeds_power, 10, plain, 200, 3) > 0.8
    assert calibrate.rate(calibrate.stays_power, 5, plain, 200, 4) > 0.8


def test_simulated_distances_are_seldom_beyond_retraining_and_their_intervals_hold_the_truth():
    """All kinds of distances with few experiments; the page has more."""
    simulated = calibrate.distances
    for name, kind in simulated.KINDS.items():
        for question, limit in (("beyond or less, though both are alike", 0.05), *ONE_SIDED):
            assert simulated.rate(simulated.WRONG[question], kind, 6, 1000) <= limit + 0.03, (name, question)
        covered = simulated.rate(simulated.difference_covered, kind, 6, 1000)
        assert covered > 0.9, name
    assert simulated.rate(simulated.power, simulated.KINDS["representations"], 6, 100) == 1
    for name, how in simulated.PAIRS.items():
        assert simulated.rate(simulated.share_covered, how, 6, 1000) > 0.92, name


ONE_SIDED = [("beyond, though only the spread differs", 0.025)]


def test_the_page_has_the_tables_of_all_questions():
    page = calibrate.PAGE.read_text()
    known = [*calibrate.WRONG, *calibrate.COVERED, *calibrate.STRUCTURES, *calibrate.BEYOND]
    simulated = calibrate.distances
    known += [*simulated.KINDS, *simulated.WRONG, *simulated.COVERED, *simulated.PAIRS, *simulated.OF_PAIRS]
    assert all(f"| {name} |" in page for name in known)
