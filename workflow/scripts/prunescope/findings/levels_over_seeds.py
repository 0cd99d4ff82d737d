"""The levels over the seeds: estimates with their uncertainty, and comparisons with retrained networks.

The statistics are those of plain distances (`prunescope.findings.statistics`, last part); docs/statistics.md
has the error rates of intervals and verdicts.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from prunescope.findings.levels import LEVELS, Tables
from prunescope.findings.slices import OTHER_SEEDS, RETRAINED, UNTRAINED
from prunescope.findings.statistics import (
    FEWEST_FOR_INTERVALS,
    TIED,
    holm,
    jackknife_limits,
    log_share,
    mean_limits,
    mean_of_pairs,
    mean_p,
    median_limits,
)
from prunescope.findings.words import BEYOND, LESS, NOT_APART

QUESTIONS = {
    "weights": "Are the weights still the same?",
    "predictions": "Are the predictions still the same?",
    "landscape": "Is there a barrier to the dense network?",
    "representations": "Are the representations still the same?",
}
QUANTITIES = {
    "weights": "cosine distance to the dense network",
    "predictions": "of test images labelled differently",
    "landscape": "error barrier to the dense network",
    "representations": "1 − {measure} to the dense network, mean over layers",
}
LANDSCAPE = "landscape: {}"


class Middle(NamedTuple):
    """How values are summarised over seeds: their middle, and limits of its 95 % interval."""

    of: Callable[[np.ndarray], float]
    limits: Callable[[np.ndarray], tuple[float, float]]


# In the landscape, most seeds may have no barrier and a few a large one. No interval from a few seeds is
# reliable for the mean of such values, see docs/statistics.md.
MEAN, MEDIAN = Middle(np.mean, mean_limits), Middle(np.median, median_limits)
MIDDLES = dict.fromkeys(LEVELS, MEAN) | {"landscape": MEDIAN}


def summary(
    distances: pd.DataFrame,
    tables: dict[str, Tables],
    label: str | None,
    left_out: dict[str, str] | None = None,
    names: dict[int, str] | None = None,
) -> dict:
    """Estimate each level over the seeds, and compare the experiment with the control that retrains.

    `distances` are those of `prunescope.findings.levels.distances`, `label` is that of the primary measure,
    `left_out` is from `compared_layers`, and `names` are those of rounds trained elsewhere. The result is
    ``levels`` of findings.json; results/README.md lists its keys.
    """
    series, experiment = next(iter(tables.items()))
    failed = distances[distances["failed"]].groupby("series")["seed"].unique()
    failed = {name: sorted(map(int, seeds)) for name, seeds in failed.items() if name in tables}
    used, left_out = classifying(distances, failed), left_out or {}
    summarised = {
        "experiment": experiment.name,
        "series": series,
        "seeds": int(experiment.accuracy["seed"].nunique()),
        "failed": failed,
        "retrained": RETRAINED in tables and series != RETRAINED,
        "elsewhere": names is not None,
        "names": {str(round): name for round, name in (names or {}).items()},
        "accuracy": {"rounds": _accuracy(tables, series, failed)},
    }
    for level in LEVELS:
        rows = used[used["level"] == level]
        whole = rows[rows["layer"] == ""]
        available = bool((whole["series"] == series).any())
        missing = None if available else _missing(level, label, experiment, left_out, bool(failed))
        summarised[level] = {
            "available": available,
            "needs": LANDSCAPE if level == "landscape" and experiment.barriers is None else None,
            "missing": missing,
            "question": QUESTIONS[level],
            "measure": label if level == "representations" else None,
            "quantity": QUANTITIES[level].format(measure=label or "similarity"),
            "left_out": left_out if level == "representations" else {},
            "rounds": _rounds(whole, series, level) if available else {},
            "layers": _layers(rows[rows["layer"] != ""], series),
        }
    return summarised


def classifying(rows: pd.DataFrame, failed: dict[str, list[int]]) -> pd.DataFrame:
    """Exclude the seeds with a network that does not classify, and pairs with one."""
    excluded = [(rows["series"] == name) & rows["seed"].isin(seeds) for name, seeds in failed.items()]
    return rows[~np.logical_or.reduce([rows["failed"], *excluded])]


def _missing(
    level: str, label: str | None, experiment: Tables, left_out: dict[str, str], failed: bool
) -> str:
    """Return the reason why a level has no value."""
    if level == "landscape" and experiment.barriers is None:
        return f"Add `{LANDSCAPE}` to the experiment's file to measure it."
    if level == "representations" and label is None:
        return "No measure is chosen for the findings. Set `findings: {measure: ...}` to choose one."
    if level == "representations" and left_out:
        why = ", ".join(dict.fromkeys(left_out.values()))
        return f"No layer has a reliable value in all networks ({why})."
    if level == "landscape" and not len(experiment.barriers):
        return "The loss was measured on training images. This page shows lines of test images."
    if not (experiment.accuracy["round"] > 0).any():
        return "There are only dense networks."
    if failed:
        return "In each seed, a network does not classify."
    return "No network can be compared with its dense network."


def _rounds(rows: pd.DataFrame, series: str, level: str) -> dict:
    """Summarise a level round by round."""
    middle, by_round = MIDDLES[level], {}
    pairs = {name: rows[rows["series"] == name] for name in (OTHER_SEEDS, UNTRAINED)}
    between = {name: _of_pairs(part, middle) for name, part in pairs.items() if len(part)}
    networks = rows[~rows["series"].isin(pairs)]
    for round, part in networks.groupby("round"):
        values = {name: one.set_index("seed")["distance"] for name, one in part.groupby("series", sort=False)}
        if series not in values:
            continue
        of_series, retrained = values[series], None if series == RETRAINED else values.get(RETRAINED)
        shares = OTHER_SEEDS in between
        by_round[str(round)] = {
            "density": float(part.loc[part["series"] == series, "density"].mean()),
            "series": {name: _estimate(one, middle, 0.0) for name, one in values.items()} | between,
            "beyond": None if retrained is None else _beyond((of_series - retrained).dropna(), middle),
            "of_other_seed": _share(of_series, pairs[OTHER_SEEDS], middle) if shares else None,
        }
    return by_round


def _layers(rows: pd.DataFrame, series: str) -> dict:
    """Compare each layer with that of retrained networks, round by round."""
    by_round: dict[str, dict] = {}
    rows = rows[(rows["round"] > 0) & rows["series"].isin([series, RETRAINED])]
    if series == RETRAINED or rows["series"].nunique() < 2:
        return by_round
    both = rows.pivot(index=["round", "layer", "seed"], columns="series", values="distance").dropna()
    differences = both[series] - both[RETRAINED]
    for round, of_round in differences.groupby("round"):
        of_layer = {layer: one.droplevel(["round", "layer"]) for layer, one in of_round.groupby("layer")}
        answers = {
            layer: (of_layer[layer], _beyond(of_layer[layer], MEAN))
            for layer in rows["layer"].unique()
            if layer in of_layer
        }
        p = [
            float(mean_p(values.to_numpy())) if answer["verdict"] else 1.0
            for values, answer in answers.values()
        ]
        shown = holm(len(p), lambda number, level, p=p: np.asarray(p[number] <= level))
        for (_, answer), told_apart in zip(answers.values(), shown, strict=True):
            if answer["verdict"] and not told_apart:
                answer["verdict"] = NOT_APART
        by_round[str(round)] = {layer: answer for layer, (_, answer) in answers.items()}
    return by_round


def _accuracy(tables: dict[str, Tables], series: str, failed: dict[str, list[int]]) -> dict:
    """Summarise the test accuracy, and its fall since the dense network, round by round."""
    rounds = _accuracies(tables, series, failed)
    retrained = rounds[:0]
    if series != RETRAINED and RETRAINED in tables:
        retrained = _accuracies(tables, RETRAINED, failed)
    density = tables[series].accuracy.groupby("round")["density"].mean()
    falls = {round: (retrained[0] - retrained[round]).dropna() for round in retrained if 0 in retrained}
    return {
        str(round): {
            "density": float(density[round]),
            "value": _estimate(rounds[round].dropna(), MEAN, 0.0),
            "fall": _difference((rounds[0] - rounds[round]).dropna(), MEAN),
            "retrained": _difference(falls[round], MEAN) if len(falls.get(round, ())) else None,
        }
        for round in (rounds if 0 in rounds else ())
        if (rounds[0] - rounds[round]).notna().any()
    }


def _accuracies(tables: dict[str, Tables], series: str, failed: dict[str, list[int]]) -> pd.DataFrame:
    """Return the test accuracies of a series, seed × round, without seeds that do not classify."""
    table = tables[series].accuracy
    table = table[~table["seed"].isin(failed.get(series, []))]
    return table.pivot(index="seed", columns="round", values="test_accuracy").dropna(how="all", axis=1)


def _estimate(values: pd.Series, middle: Middle, least: float = -np.inf) -> dict:
    """Summarise one value of each seed, none of which can be below `least`: 95 % interval, or the range."""
    numbers = values.to_numpy(float)
    known = len(numbers) >= FEWEST_FOR_INTERVALS and np.ptp(numbers) > TIED
    low, high = middle.limits(numbers) if known else (numbers.min(), numbers.max())
    return {
        "estimate": float(middle.of(numbers)),
        "low": float(max(low, least)),
        "high": float(high),
        "interval": bool(known),
        "seeds": len(numbers),
        "values": {str(seed): float(value) for seed, value in values.items()},
    }


def _difference(differences: pd.Series, middle: Middle) -> dict:
    """Summarise a difference of each seed."""
    higher = {"higher_in": int((differences > TIED).sum()), "of": len(differences)}
    return _estimate(differences, middle) | higher


def _beyond(differences: pd.Series, middle: Middle) -> dict | None:
    """Judge the distances minus those of retrained networks; None without a common seed."""
    if not len(differences):
        return None
    estimate, verdict = _difference(differences, middle), None
    if estimate["of"] >= FEWEST_FOR_INTERVALS:
        verdict = BEYOND if estimate["low"] > 0 else LESS if estimate["high"] < 0 else NOT_APART
        # Tied seeds have no interval.
        verdict = verdict if estimate["interval"] else NOT_APART
    return estimate | {"verdict": verdict}


def _of_pairs(rows: pd.DataFrame, middle: Middle) -> dict:
    """Summarise the distances of pairs of seeds; pairs share seeds, so the interval is a jackknife's."""
    names = rows["seed"].astype(str) + "-" + rows["seed_b"].astype(str)
    values, matrix = rows.set_index(names)["distance"], _matrix(rows)
    low, high, interval = float(values.min()), float(values.max()), False
    complete = matrix.notna().sum().sum() == matrix.size - len(matrix)
    if middle is MEAN and len(matrix) >= FEWEST_FOR_INTERVALS and complete:
        limits = jackknife_limits(*mean_of_pairs(matrix.fillna(0).to_numpy()))
        low, high, interval = max(float(limits[0]), 0.0), float(limits[1]), True
    return _estimate(values, middle, 0.0) | {
        "low": low,
        "high": high,
        "interval": interval,
        "seeds": len(matrix),
    }


def _matrix(rows: pd.DataFrame) -> pd.DataFrame:
    """Turn pairs of seeds into a symmetric table; NaN where a pair is missing, and on the diagonal."""
    seeds = sorted({*rows["seed"], *rows["seed_b"]})
    table = rows.pivot(index="seed", columns="seed_b", values="distance").reindex(index=seeds, columns=seeds)
    return table.fillna(table.T)


def _share(values: pd.Series, pairs: pd.DataFrame, middle: Middle) -> dict | None:
    """Return the distance as a share of that between other seeds."""
    between = middle.of(pairs["distance"].to_numpy())
    if not between > 0:
        return None
    share = {"share": float(middle.of(values.to_numpy()) / between), "low": None, "high": None}
    matrix = _matrix(pairs).reindex(index=values.index, columns=values.index).to_numpy()
    complete = not np.isnan(matrix[~np.eye(len(matrix), dtype=bool)]).any()
    if middle is MEAN and len(values) >= FEWEST_FOR_INTERVALS and complete and (values > 0).sum() > 1:
        log, without = log_share(values.to_numpy(), np.nan_to_num(matrix))
        # Without one seed, the distance between the others may be 0.
        if np.isfinite(without).all():
            limits = (log, *jackknife_limits(log, without))
            share = dict(zip(share, map(float, np.exp(limits)), strict=True))
    return share
