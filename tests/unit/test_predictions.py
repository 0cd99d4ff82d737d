"""predictions.h5, and what is compared from it: second opinions by scikit-learn and SciPy."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from scipy.stats import hypergeom
from sklearn.metrics import accuracy_score, cohen_kappa_score, jaccard_score

from prunescope import logits
from prunescope.errors import InputError
from prunescope.levels import predictions
from prunescope.levels.pairs import Network
from prunescope.levels.predictions import calibration_error, expected_overlap, jackknife, of_cells

N, CLASSES = 600, 5
CENTRES = np.random.default_rng(7).normal(0, 2, (N, CLASSES))
LABELS = CENTRES.argmax(1)


def network(seed: int, noise: float = 1.5) -> np.ndarray:
    """Logits that are right more often than not."""
    return CENTRES + np.random.default_rng(seed).normal(0, noise, CENTRES.shape)


def written(folder, every: dict[tuple, np.ndarray], labels=LABELS, classes=CLASSES):
    """Write one file for each network; return paths and networks."""
    paths = []
    for number, ((name, seed, round), values) in enumerate(every.items()):
        paths.append(str(folder / f"{number}.h5"))
        given = {"experiment": name, "seed": seed, "round": round, "dataset": "d", "classes": classes}
        logits.write(paths[-1], values, labels, **given)
    return paths, [Network(*key) for key in every]


def tables(folder, every, name="a", lineage=True, **more):
    return predictions.tables(*written(folder, every, **more), name, lineage)


def of(table: pd.DataFrame, **wanted) -> pd.DataFrame:
    return table[np.logical_and.reduce([table[key] == value for key, value in wanted.items()])]


def value(table: pd.DataFrame, measure: str, column: str = "value") -> float:
    return of(table, measure=measure)[column].iloc[0]


def test_values_agree_with_other_implementations(tmp_path):
    a, b = (network(seed).astype(np.float32) for seed in (1, 2))
    table, *_ = tables(tmp_path, {("a", 0, 0): a, ("a", 0, 1): b})
    mine, theirs = a.argmax(1), b.argmax(1)
    wrong = mine != LABELS, theirs != LABELS
    assert value(table, "agreement") == pytest.approx(accuracy_score(mine, theirs))
    assert value(table, "error_consistency") == pytest.approx(cohen_kappa_score(*wrong))
    assert value(table, "error_overlap") == pytest.approx(jaccard_score(*wrong))
    divergence = jensenshannon(softmax(a.astype(float), 1), softmax(b.astype(float), 1), base=2, axis=1) ** 2
    assert value(table, "jsd") == pytest.approx(1 - divergence.mean(), abs=1e-12)
    assert value(table, "jsd", "se") == pytest.approx(divergence.std(ddof=1) / N**0.5, rel=1e-6)
    assert (table.status == "ok").all() and (table.n == N).all()
    # Both orders, with equal values.
    forth, back = (of(table, round_a=round).value.to_numpy() for round in (0, 1))
    assert len(table) == 10 and np.array_equal(forth, back)


def test_a_network_with_itself_is_one(tmp_path):
    table, exemplars, _ = tables(tmp_path, {("a", 0, 0): network(1), ("a", 0, 1): network(1)})
    assert table.value.to_numpy() == pytest.approx(1, abs=1e-12) and exemplars.empty


def test_the_range_of_minmax_is_what_the_error_rates_allow():
    # 10 images, of which a gets 4 wrong and b 2: they differ on 2 at least, on 6 at most.
    least = np.array([6.0, 2, 0, 2, 0])
    most = np.array([4.0, 2, 4, 0, 0])
    assert of_cells(least)[0] == pytest.approx(1) and of_cells(most)[0] == pytest.approx(0)


def test_standard_errors_are_those_of_a_bootstrap():
    rng = np.random.default_rng(0)
    shares = np.array([0.7, 0.08, 0.06, 0.1, 0.06])
    values, errors = jackknife(shares * 2000)
    drawn = of_cells(rng.multinomial(2000, shares, 4000).astype(float))
    assert errors == pytest.approx(drawn.std(0), rel=0.06)
    assert values == pytest.approx(of_cells(shares))


def test_chance_is_the_mean_of_permutations(tmp_path):
    a, b = network(1), network(2, noise=4)
    table, *_ = tables(tmp_path, {("a", 0, 0): a, ("a", 0, 1): b})
    rng, shuffled = np.random.default_rng(0), []
    wrong = (a.argmax(1) != LABELS) & (b.argmax(1) != LABELS)
    alike = (a.argmax(1) == b.argmax(1))[wrong].mean()
    for _ in range(150):
        # Of one network, predictions and whether they are right move together: `b` answers other images.
        order = rng.permutation(N)
        right, other = (a.argmax(1) == LABELS), (b.argmax(1) == LABELS)[order]
        same = a.argmax(1) == b.argmax(1)[order]
        # Both wrong, and alike as often as without shuffling.
        both = (~right & ~other).sum()
        cells = [(right & other).sum(), (right & ~other).sum(), (~right & other).sum(), alike * both]
        minmax = of_cells(np.array([*cells, (1 - alike) * both]))[0]
        shuffled.append(
            (same.mean(), minmax, cohen_kappa_score(right, other), both / (~right | ~other).sum())
        )
    mean, error = np.mean(shuffled, 0), np.std(shuffled, 0) / len(shuffled) ** 0.5
    chance = [value(table, measure, "chance") for measure in predictions.MEASURES[:4]]
    assert np.all(np.abs(mean - chance) < 4 * error)
    p, q = (softmax(values, 1) for values in (a, b))
    moved = [1 - (jensenshannon(p, q[rng.permutation(N)], base=2, axis=1) ** 2).mean() for _ in range(40)]
    assert value(table, "jsd", "chance") == pytest.approx(np.mean(moved), abs=4 * np.std(moved))


def test_expected_overlap_is_exact():
    for first, second, n in ((3, 4, 10), (0, 4, 10), (7, 8, 10), (1, 1, 500)):
        draws = hypergeom(n, first, second)
        common = np.arange(0, min(first, second) + 1)
        assert expected_overlap(first, second, n) == pytest.approx(
            (draws.pmf(common) * common / (first + second - common)).sum()
        )
    assert np.isnan(expected_overlap(0, 0, 10))


def test_values_that_do_not_exist_have_a_status(tmp_path):
    perfect = 9.0 * np.eye(CLASSES)[LABELS]
    table, *_ = tables(tmp_path, {("a", 0, 0): perfect, ("a", 0, 1): perfect * 2})
    status = table.set_index("measure").status
    assert (status[["agreement", "jsd"]] == "ok").all()
    assert (status[["agreement_minmax", "error_consistency", "error_overlap"]] == "no errors").all()
    missing = table[table.status != "ok"]
    assert missing[["value", "chance", "se"]].isna().all(axis=None)

    unlabelled = np.full(N, -1)
    table, _, classes = tables(
        tmp_path, {("a", 0, 0): network(1), ("a", 0, 1): network(2)}, labels=unlabelled
    )
    assert {*of(table, measure="agreement").status} == {"ok"} and classes.empty
    assert {*of(table, measure="error_overlap").status} == {"no labels"}

    every = {("a", 0, 0): network(1), ("a", 0, 1): network(2)}
    table, _, classes = tables(tmp_path, every, classes=CLASSES + 1)
    assert {*table.status} == {"ok", "other classes"} and classes.empty
    table, *_ = tables(tmp_path, {("a", 0, 0): network(1), ("a", 0, 1): network(2)[:, :4]})
    assert {*table.status} == {"other outputs"} and table.value.isna().all()


@pytest.mark.filterwarnings("error")
def test_a_single_image_has_no_standard_error(tmp_path):
    table, *_ = tables(tmp_path, {("a", 0, round): network(round)[:1] for round in (0, 1)}, labels=LABELS[:1])
    assert table.se.isna().all() and of(table, measure="jsd").value.notna().all()


def test_predictions_are_those_of_the_logits_even_where_softmaxes_are_equal(tmp_path):
    tiny = np.array([[1.0, 2.0], [2.0, 1.0]]) * 1e-20
    *_, classes = tables(tmp_path, {("a", 0, 0): tiny, ("a", 0, 1): tiny}, labels=np.array([1, 0]), classes=2)
    assert (classes.accuracy == 1).all()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_network_whose_logits_are_not_finite_has_no_values(tmp_path, broken):
    values = network(1)
    values[5, 2] = broken
    every = {("a", 0, 0): network(2), ("a", 0, 1): values, ("a", 0, 2): network(3)}
    table, exemplars, classes = tables(tmp_path, every)
    with_it = (table.round_a == 1) | (table.round_b == 1)
    assert {*table[with_it].status} == {"not finite"} and table[with_it].value.isna().all()
    assert {*table[~with_it].status} == {"ok"} and {*exemplars["round"]} == {2} == {*classes["round"]} - {0}


def test_images_without_label_count_only_where_no_label_is_needed(tmp_path):
    labels = np.where(np.arange(N) % 3, LABELS, -1)
    a, b = network(1), network(2)
    table, _, classes = tables(tmp_path, {("a", 0, 0): a, ("a", 0, 1): b}, labels=labels)
    there = labels >= 0
    assert of(classes, round=0)["class"].tolist() == [-1, *range(CLASSES)]
    assert value(table, "agreement", "n") == N and value(table, "error_overlap", "n") == there.sum()
    wrong = [(values.argmax(1) != labels)[there] for values in (a, b)]
    assert value(table, "error_consistency") == pytest.approx(cohen_kappa_score(*wrong))


def test_exemplars_are_the_images_whose_most_frequent_prediction_changes(tmp_path):
    every = {("a", seed, round): network(10 * round + seed) for seed in range(4) for round in (0, 1)}
    every |= {("b", seed, 1): network(99) for seed in range(4)}
    _, exemplars, _ = tables(tmp_path, every)

    def modal(seeds, round):
        votes = [
            np.bincount(v, minlength=CLASSES)
            for v in zip(*(every["a", seed, round].argmax(1) for seed in seeds), strict=True)
        ]
        return np.argmax(votes, 1)

    same = of(exemplars, seeds="same")
    assert {*same.image} == {*np.flatnonzero(modal(range(4), 0) != modal(range(4), 1))}
    assert (same["round"] == 1).all() and (same.networks == 4).all()
    assert (same.label == LABELS[same.image]).all() and (same.votes_dense <= 4).all()
    for round in (0, 1):
        other = of(exemplars, seeds="other", round=round)
        assert {*other.image} == {*np.flatnonzero(modal((0, 1), 0) != modal((2, 3), round))}
        assert (other.networks == 2).all()


def test_exemplars_of_seeds_with_different_numbers_of_rounds(tmp_path):
    every = {("a", seed, round): network(10 * round + seed) for seed in (0, 1) for round in (0, 1)}
    every["a", 1, 2] = network(5)
    _, exemplars, _ = tables(tmp_path, every)
    assert {*exemplars[["round", "seeds"]].itertuples(index=False, name=None)} == {
        (0, "other"),
        *((1, seeds) for seeds in ("same", "other")),
        (2, "same"),
    }


def test_exemplars_are_of_networks_with_the_same_outputs(tmp_path):
    every = {("a", 0, 0): network(1), ("a", 0, 1): network(2)[:, :4], ("a", 0, 2): network(2)}
    _, exemplars, _ = tables(tmp_path, every)
    assert {*exemplars["round"]} == {2}


def test_accuracy_by_class_and_calibration(tmp_path):
    values = network(1).astype(np.float32)
    *_, classes = tables(tmp_path, {("a", 3, 0): values, ("b", 3, 0): values})
    assert len(classes) == CLASSES + 1 and {*classes.seed, *classes["round"]} == {0, 3}
    right = values.argmax(1) == LABELS
    for k, accuracy in zip(classes["class"], classes.accuracy, strict=True):
        assert accuracy == pytest.approx(right[k == LABELS].mean() if k >= 0 else right.mean())
    confidence = softmax(values.astype(float), 1).max(1)
    edges = np.linspace(0, 1, 16)
    gaps = [
        (inside.sum() / N) * abs(right[inside].mean() - confidence[inside].mean())
        for low, high in itertools.pairwise(edges)
        if (inside := (confidence >= low) & (confidence < high)).any()
    ]
    assert of(classes, **{"class": -1}).calibration_error.iloc[0] == pytest.approx(sum(gaps))
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0


def test_parts_of_the_images_give_the_same_values(tmp_path, monkeypatch):
    every = {("a", 0, 0): network(1), ("a", 0, 1): network(2)}
    whole, *_ = tables(tmp_path, every)
    monkeypatch.setattr(predictions, "NUMBERS", 2 * CLASSES * 250)
    parts, *_ = tables(tmp_path, every)
    pd.testing.assert_frame_equal(whole.drop(columns="chance"), parts.drop(columns="chance"))


def test_a_damaged_file_is_one_line(tmp_path):
    paths, networks = written(tmp_path, {("a", 0, 0): network(1), ("a", 0, 1): network(2)})
    damaged = bytearray((tmp_path / "0.h5").read_bytes())
    damaged[damaged.find(network(1).astype(np.float32)[300].tobytes())] ^= 1
    (tmp_path / "0.h5").write_bytes(damaged)
    with pytest.raises(InputError, match=r"0\.h5: damaged"):
        predictions.tables(paths, networks, "a", True)
