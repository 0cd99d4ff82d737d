"""Do two networks give the same answers? Comparisons of what networks predict for the whole test set.

With e and e′ the error rates of two networks, d the share of images that they classify differently, and c the
share that both or neither classify correctly:

- ``agreement``: 1 − d. Chance Σ f_k f′_k, with f the frequencies of the predicted classes.
- ``agreement_minmax``: 1 − (d − |e − e′|) / (min(e + e′, 1) − |e − e′|): 1 is the highest agreement that the
  error rates allow, 0 the lowest. Chance: errors on independent images.
- ``error_consistency``: Cohen's κ of right and wrong, (c − c₀) / (1 − c₀), c₀ = (1 − e)(1 − e′) + e e′
  (Geirhos et al. 2020). Chance 0.
- ``error_overlap``: the share of images that both classify wrongly among those that either does. Chance: as
  many random errors.
- ``jsd``: 1 minus the Jensen–Shannon divergence of the two softmaxes to base 2, the mean over images.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaln, softmax

from prunescope import logits
from prunescope.levels.pairs import NOT_FINITE, OK, OTHER_CLASSES, Network, both_orders, named, pairs

MEASURES = ("agreement", "agreement_minmax", "error_consistency", "error_overlap", "jsd")
# Probabilities in memory at a time, and the most images that are shuffled for the chance of `jsd`.
NUMBERS, SHUFFLED = 2**24, 2000
# Of equal width, for the expected calibration error (Guo et al. 2017).
BINS = 15
# Statuses: why there is no value.
NO_LABELS, NO_ERRORS, OTHER_OUTPUTS = "no labels", "no errors", "other outputs"


@dataclass(frozen=True)
class Answers:
    """What all networks predict, and the divergence of each pair.

    Attributes
    ----------
    networks : list of Network
    predicted : ndarray of int, shape (networks, n)
    confidence : ndarray of float64, shape (networks, n)
        The largest softmax.
    outputs : list of int
        Each network's number of outputs.
    labels : ndarray of int, shape (n,)
        -1 where an image has none.
    classes : int
        Of the data set.
    divergence : dict of (int, int) to (float, float, float)
        By pair of indices: mean Jensen–Shannon divergence, its standard error, and its mean after shuffling.
    """

    networks: list[Network]
    predicted: np.ndarray
    confidence: np.ndarray
    outputs: list[int]
    labels: np.ndarray
    classes: int
    divergence: dict[tuple[int, int], tuple[float, float, float]]

    def finite(self, i: int) -> bool:
        """Return whether network i has no logits that are NaN or infinite."""
        return bool(np.isfinite(self.confidence[i]).all())

    def right(self, i: int) -> np.ndarray:
        """Return which images network i classifies correctly."""
        return self.predicted[i] == self.labels


def read(paths: Sequence[str], networks: Sequence[Network], compared: Sequence[tuple[int, int]]) -> Answers:
    """Read the predictions of networks, one file each, and compare the softmaxes of pairs of indices.

    Raises
    ------
    InputError
        When a file cannot be used.
    """
    with logits.opened(paths) as files:
        n, labels = len(files[0]), files[0].labels
        outputs = [file.outputs for file in files]
        predicted, confidence = np.empty((len(files), n), np.int64), np.empty((len(files), n))
        alike = [pair for pair in compared if len({outputs[i] for i in pair}) == 1]
        size = max(1, NUMBERS // sum(outputs))
        sample = np.sort(np.random.default_rng(0).permutation(n)[: min(SHUFFLED, size)])
        kept: list[list[np.ndarray]] = [[] for _ in files]
        sums = np.zeros((2, len(alike)))
        for start in range(0, n, size):
            rows = slice(start, min(n, start + size))
            softmaxes = []
            for i, file in enumerate(files):
                # Of the logits, as for the accuracy: softmaxes of logits near 0 can be equal.
                predicted[i, rows] = (values := file[rows]).argmax(1)
                # NaN where logits are NaN or infinite.
                with np.errstate(invalid="ignore"):
                    softmaxes.append(values := softmax(values.astype(np.float64), axis=1))
                confidence[i, rows] = values.max(1)
                kept[i].append(values[sample[(sample >= start) & (sample < rows.stop)] - start])
            for number, each in enumerate(_divergences(softmaxes, alike)):
                sums[:, number] += each.sum(), (each**2).sum()
    shuffled = np.random.default_rng(1).permutation(len(sample))
    kept = [np.concatenate(parts) for parts in kept]
    moved = kept + [part[shuffled] for part in kept]
    chance = [each.mean() for each in _divergences(moved, [(i, j + len(kept)) for i, j in alike])]
    mean = sums[0] / n
    error = _standard_error(sums[1] / n - mean**2, n)
    divergence = dict(zip(alike, zip(mean, error, chance, strict=True), strict=True))
    return Answers(list(networks), predicted, confidence, outputs, labels, files[0].classes, divergence)


def _divergences(softmaxes: list[np.ndarray], compared: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
    """Yield the Jensen–Shannon divergence of each image, for each pair."""
    entropies = [_entropy(values) for values in softmaxes]
    for i, j in compared:
        yield _entropy((softmaxes[i] + softmaxes[j]) / 2) - (entropies[i] + entropies[j]) / 2


def _entropy(values: np.ndarray) -> np.ndarray:
    return -(values * np.log2(np.maximum(values, np.finfo(float).tiny))).sum(1)


def compare(answers: Answers, compared: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """Compare pairs of networks.

    Parameters
    ----------
    answers : Answers
    compared : sequence of (int, int)
        Indices of ``answers.networks``.

    Returns
    -------
    pandas.DataFrame
        `prunescope.levels.pairs.COLUMNS`, then measure, value, chance, se (standard error of the value over
        images), n (images) and status; both orders of each pair.
    """
    rows = [row for pair in compared for row in 2 * _measures(answers, *pair)]
    both = [(answers.networks[i], answers.networks[j]) for i, j in both_orders(compared)]
    columns = ("measure", "value", "chance", "se", "n", "status")
    return named(
        [pair for pair in both for _ in MEASURES],
        pd.DataFrame(rows, columns=columns).astype({"value": float, "chance": float, "se": float, "n": int}),
    )


def _measures(answers: Answers, i: int, j: int) -> list[tuple]:
    """Return measure, value, chance, standard error, images and status of a pair, for each measure."""
    n, labelled = len(answers.labels), answers.labels >= 0
    if answers.outputs[i] != answers.outputs[j] or not (answers.finite(i) and answers.finite(j)):
        status = OTHER_OUTPUTS if answers.outputs[i] != answers.outputs[j] else NOT_FINITE
        return [(measure, *3 * [np.nan], n, status) for measure in MEASURES]
    mine, theirs = answers.predicted[i], answers.predicted[j]
    same = mine == theirs
    frequencies = [np.bincount(each, minlength=answers.outputs[i]) / n for each in (mine, theirs)]
    error = _standard_error(same.var(), n)
    rows = [("agreement", same.mean(), np.dot(*frequencies), error, n, OK)]
    names = MEASURES[1:4]
    if answers.outputs[i] != answers.classes or not labelled.any():
        status = NO_LABELS if not labelled.any() else OTHER_CLASSES
        rows += [(measure, *3 * [np.nan], int(labelled.sum()), status) for measure in names]
    else:
        cells = _cells(answers.right(i)[labelled], answers.right(j)[labelled], same[labelled])
        values, errors = jackknife(cells)
        for measure, value, error, by_chance in zip(names, values, errors, expected(cells), strict=True):
            status = OK if np.isfinite(value) else NO_ERRORS
            rows.append((measure, value, by_chance, error, int(cells.sum()), status))
    divergence, error, shuffled = answers.divergence[i, j]
    return [*rows, ("jsd", 1 - divergence, 1 - shuffled, error, n, OK)]


def _standard_error(variances: np.ndarray, n: int) -> np.ndarray:
    """Standard error of the mean of n images; NaN for a single one."""
    return np.sqrt(np.maximum(variances, 0) / (n - 1 if n > 1 else np.nan))


def _cells(right: np.ndarray, other: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Count images: both right, only a, only b, both wrong alike, both wrong differently."""
    wrong = ~right & ~other
    parts = (right & other, right & ~other, ~right & other, wrong & same, wrong & ~same)
    return np.array([part.sum() for part in parts], float)


def of_cells(cells: np.ndarray) -> np.ndarray:
    """Return agreement_minmax, error_consistency and error_overlap; NaN where errors are missing.

    Parameters
    ----------
    cells : ndarray, shape (..., 5)
        Numbers of images: both right, only a right, only b right, both wrong alike, both wrong differently.

    Returns
    -------
    ndarray, shape (..., 3)
    """
    both, a, b, alike, different = np.moveaxis(cells / _positive(cells.sum(-1, keepdims=True)), -1, 0)
    wrong = alike + different
    mine, theirs = b + wrong, a + wrong
    disagreement, gap = a + b + different, abs(mine - theirs)
    by_chance = (1 - mine) * (1 - theirs) + mine * theirs
    with np.errstate(invalid="ignore", divide="ignore"):
        values = [
            1 - (disagreement - gap) / _positive(np.minimum(mine + theirs, 1) - gap),
            (both + wrong - by_chance) / _positive(1 - by_chance),
            wrong / _positive(a + b + wrong),
        ]
    return np.stack(values, -1)


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 1e-12, values, np.nan)


def jackknife(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of `of_cells` and their standard errors, leaving out one image at a time."""
    n, present = cells.sum(), cells > 0
    without = of_cells(cells - np.eye(len(cells)))[present]
    weights = cells[present, None]
    mean = (weights * without).sum(0) / n
    return of_cells(cells), np.sqrt((n - 1) / n * (weights * (without - mean) ** 2).sum(0))


def expected(cells: np.ndarray) -> list[float]:
    """Return the values of `of_cells` to expect if both networks' errors fall on independent images.

    Of the images that both classify wrongly, as many are classified alike as in `cells`.
    """
    n, (_, a, b, alike, different) = cells.sum(), cells
    mine, theirs = b + alike + different, a + alike + different
    wrong = mine * theirs / n
    share = alike / max(alike + different, 1)
    independent = [
        n - mine - theirs + wrong,
        theirs - wrong,
        mine - wrong,
        wrong * share,
        wrong * (1 - share),
    ]
    minmax, consistency, _ = of_cells(np.array(independent))
    return [minmax, consistency, expected_overlap(mine, theirs, n)]


def expected_overlap(first: float, second: float, n: float) -> float:
    """Return the expected ratio of intersection to union of random sets of two sizes among n."""
    if not first + second:
        return np.nan
    common = np.arange(max(0, first + second - n), min(first, second) + 1)
    ways = _choose(first, common) + _choose(n - first, second - common) - _choose(n, second)
    return float((np.exp(ways) * common / (first + second - common)).sum())


def _choose(n: float, k: np.ndarray | float) -> np.ndarray:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def exemplars(answers: Answers, name: str) -> pd.DataFrame:
    """List the images whose modal prediction over seeds changes with pruning (Hooker et al. 2019).

    Networks of one round are compared with the dense networks of the ``same`` seeds; and with as many dense
    networks of ``other`` seeds, half of all seeds each. Of these, round 0 is what other seeds alone change.

    Parameters
    ----------
    answers : Answers
    name : str
        Of the experiment.

    Returns
    -------
    pandas.DataFrame
        Columns round, seeds (same or other), networks (on each side), image, label, modal_dense, votes_dense,
        modal_round and votes_round. Of several classes with the most votes, the first is modal.
    """
    index = {
        network: i
        for i, network in enumerate(answers.networks)
        # Other numbers of outputs are other classes.
        if network.experiment == name and answers.outputs[i] == answers.outputs[0] and answers.finite(i)
    }
    seeds = sorted({network.seed for network in index if (name, network.seed, 0) in index})
    rounds = sorted({network.round for network in index})
    half = len(seeds) // 2
    rows = []
    for number in rounds:
        having = [seed for seed in seeds if (name, seed, number) in index]
        designs = [("same", having, having)] if number else []
        if half and len(having) == len(seeds):
            designs.append(("other", seeds[:half], seeds[-half:]))
        for design, dense, pruned in designs:
            modal, votes = _modal(answers, [index[name, seed, 0] for seed in dense])
            other, others = _modal(answers, [index[name, seed, number] for seed in pruned])
            for image in np.flatnonzero(modal != other):
                label = answers.labels[image]
                counts = (modal[image], votes[image], other[image], others[image])
                rows.append((number, design, len(pruned), image, label, *counts))
    columns = ["round", "seeds", "networks", "image", "label"]
    columns += ["modal_dense", "votes_dense", "modal_round", "votes_round"]
    return pd.DataFrame(rows, columns=columns).astype({c: "int64" for c in columns if c != "seeds"})


def _modal(answers: Answers, indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return each image's most frequent prediction by some networks, and its number of votes."""
    outputs = max(answers.outputs[i] for i in indices)
    votes = [(answers.predicted[indices] == k).sum(0) for k in range(outputs)]
    return np.argmax(votes, 0), np.max(votes, 0)


def by_class(answers: Answers, name: str) -> pd.DataFrame:
    """Measure accuracy by class, and each network's calibration.

    Returns
    -------
    pandas.DataFrame
        Columns seed, round, class (-1 for all classes), images, accuracy, confidence (mean of the largest
        softmax) and calibration_error (of all classes only). Networks whose outputs are not the classes of
        the data set, and images without label, are left out.
    """
    rows = []
    labelled = answers.labels >= 0
    for i, network in enumerate(answers.networks):
        left_out = network.experiment != name or answers.outputs[i] != answers.classes
        if left_out or not labelled.any() or not answers.finite(i):
            continue
        right, confidence = answers.right(i), answers.confidence[i]
        error = calibration_error(confidence[labelled], right[labelled])
        for k in (-1, *np.unique(answers.labels[labelled])):
            of_class = labelled if k < 0 else answers.labels == k
            numbers = (right[of_class].mean(), confidence[of_class].mean(), error if k < 0 else np.nan)
            rows.append((network.seed, network.round, k, of_class.sum(), *numbers))
    columns = ["seed", "round", "class", "images", "accuracy", "confidence", "calibration_error"]
    return pd.DataFrame(rows, columns=columns).astype(
        {column: "int64" if column in columns[:4] else float for column in columns}
    )


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the expected calibration error: the mean gap between confidence and accuracy, over bins."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))


def tables(
    paths: Sequence[str], networks: Sequence[Network], name: str, lineage: bool
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the tables of an experiment: pairs, exemplars, classes.

    Parameters
    ----------
    paths : sequence of path
        predictions.h5 of each network.
    networks : sequence of Network
        In the same order.
    name, lineage
        See `prunescope.levels.pairs.pairs`.
    """
    compared = pairs(networks, name, lineage)
    answers = read(paths, networks, compared)
    return compare(answers, compared), exemplars(answers, name), by_class(answers, name)
