"""Tables that span the levels: weights, predictions, loss landscape, representations.

`levels` is the result of `prunescope.findings.levels_over_seeds.summary`.
"""

from itertools import combinations

import numpy as np
import pandas as pd

from prunescope.findings.levels import ALL_LAYERS, LEVELS
from prunescope.findings.levels_over_seeds import classifying
from prunescope.findings.slices import OTHER_SEEDS, UNTRAINED
from prunescope.report.base import ALL, ANY

PAIRS = (OTHER_SEEDS, UNTRAINED)
# A line that is further away than this multiple of all networks does not fit into their card.
FAR = 2.5

# --- for charts -------------------------------------------------------------------------------------------


def cards(levels: dict, layers: pd.DataFrame) -> pd.DataFrame:
    """Collect the distances from the dense network that the cards show.

    Parameters
    ----------
    levels : dict
    layers : pandas.DataFrame
        From `prunescope.findings.levels.layer_distances`.

    Returns
    -------
    pandas.DataFrame
        ``level``; ``layer``, empty for the level itself; ``series``; ``round``, `ANY` for pairs of seeds;
        ``weights`` (% left in that round of the experiment); ``mean``; ``low`` and ``high``, the 95 %
        interval if ``interval``, otherwise the range over the ``seeds``; and ``far``, whether pairs are so
        far away that the card only names them.
    """
    rows = []
    for level in LEVELS:
        rounds = levels[level]["rounds"] if level in levels else {}
        for round, found in rounds.items():
            for series, one in found["series"].items():
                pair = series in PAIRS
                rows.append(
                    {
                        "level": level,
                        "layer": "",
                        "series": series,
                        "round": ANY if pair else int(round),
                        "weights": np.nan if pair else 100 * found["density"],
                        "mean": one["estimate"],
                        **{name: one[name] for name in ("low", "high", "interval", "seeds")},
                    }
                )
    columns = ["level", "layer", "series", "round", "weights", "mean", "low", "high", "interval", "seeds"]
    table = pd.DataFrame(rows, columns=columns).drop_duplicates(["level", "series", "round"])
    pair = table["series"].isin(PAIRS)
    farthest = table[~pair].groupby("level")["high"].max()
    table["far"] = pair & (table["mean"] > FAR * table["level"].map(farthest))
    own = classifying(layers[~layers["series"].isin(PAIRS)], levels["failed"])
    own = own.groupby(["level", "layer", "series", "round"], sort=False)["distance"]
    single = own.agg(mean="mean", low="min", high="max", seeds="count").reset_index()
    places = table[~pair].groupby(["level", "round"])["weights"].first()
    single = single.join(places, on=["level", "round"]).assign(interval=False, far=False)
    return pd.concat([table, single[[*columns, "far"]]], ignore_index=True)


def differences(levels: dict) -> pd.DataFrame:
    """Collect how similar each layer stayed, minus the same of retrained networks.

    Returns
    -------
    pandas.DataFrame
        ``level``, ``layer``, ``round``, ``seed`` (`ALL` or a seed), ``mean``, ``low``, ``high``,
        ``interval``, ``lower_in`` and ``of`` (seeds in which the layer is less similar than in retrained
        networks), and ``verdict``. Empty without retrained networks.
    """
    rows = []
    for level in LEVELS:
        for round, by_layer in levels.get(level, {}).get("layers", {}).items():
            for layer, one in by_layer.items():
                if one is None:
                    continue
                place = {"level": level, "layer": layer, "round": int(round)}
                # A larger distance is a lower similarity.
                rows.append(
                    {
                        **place,
                        "seed": ALL,
                        "mean": -one["estimate"],
                        "low": -one["high"],
                        "high": -one["low"],
                        "interval": one["interval"],
                        "lower_in": one["higher_in"],
                        "of": one["of"],
                        "verdict": one["verdict"] or "",
                    }
                )
                rows += [
                    {**place, "seed": int(seed), "mean": -value} for seed, value in one["values"].items()
                ]
    columns = [
        "level",
        "layer",
        "round",
        "seed",
        "mean",
        "low",
        "high",
        "interval",
        "lower_in",
        "of",
        "verdict",
    ]
    return pd.DataFrame(rows, columns=columns)


def progress(levels: dict) -> pd.DataFrame:
    """Express each level's distance as a share of its distance in the last round.

    Returns
    -------
    pandas.DataFrame
        ``level``, ``round``, ``weights``, ``share`` (%) and ``mean``, the distance. Levels that did not move
        are left out.
    """
    rows = []
    for level in LEVELS:
        rounds = levels.get(level, {}).get("rounds", {})
        means = {int(round): one["series"][levels["series"]]["estimate"] for round, one in rounds.items()}
        last = means.get(max(means, default=0), 0)
        if last > 0:
            rows += [
                {
                    "level": level,
                    "round": round,
                    "weights": 100 * rounds[str(round)]["density"],
                    "share": 100 * mean / last,
                    "mean": mean,
                }
                for round, mean in means.items()
            ]
    return pd.DataFrame(rows, columns=["level", "round", "weights", "share", "mean"])


# --- for people -------------------------------------------------------------------------------------------


def correlations(levels: dict, layers: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations (Spearman) between levels: over rounds, and over layers in the last round.

    Weights and representations belong to the same layers only if these have the same names, or if there are
    as many layers with weights as recorded ones: then both are taken in the order of the network.
    """
    own = levels["series"]
    means = {
        level: pd.Series(
            {int(round): one["series"][own]["estimate"] for round, one in levels[level]["rounds"].items()}
        )
        for level in LEVELS
        if levels.get(level, {}).get("rounds")
    }
    rows = []
    for one, other in combinations(means, 2):
        row = {"levels": f"{one} and {other}", "over rounds": _rank(means[one], means[other])}
        row["over layers, last round"] = "–"
        if {one, other} == {"weights", "representations"}:
            row["over layers, last round"] = _over_layers(classifying(layers, levels["failed"]), own)
        rows.append(row)
    return pd.DataFrame(rows, columns=["levels", "over rounds", "over layers, last round"])


def _over_layers(layers: pd.DataFrame, own: str) -> str:
    rows = layers[(layers["series"] == own) & (layers["layer"] != ALL_LAYERS)]
    rows = rows[rows["round"] == rows["round"].max()]
    means = rows.groupby(["level", "layer"], sort=False)["distance"].mean()
    sides = [means[level] for level in ("weights", "representations") if level in means.index]
    if len(sides) < 2:
        return "–"
    one, other = sides
    if not one.index.isin(other.index).sum() > 2 and len(one) == len(other):
        one, other = one.reset_index(drop=True), other.reset_index(drop=True)
    return _rank(one, other)


def _rank(one: pd.Series, other: pd.Series) -> str:
    """Return a rank correlation with the number of values; "–" for fewer than three."""
    both = pd.concat([one, other], axis=1, join="inner").dropna()
    if len(both) < 3 or (both.nunique() < 2).any():
        return "–"
    return f"{both.rank().corr().iloc[0, 1]:.2f} (n = {len(both)})"
