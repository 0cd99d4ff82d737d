"""Tables of the charts of the levels: weights, predictions, loss landscape, representations.

`levels` is the result of `prunescope.findings.levels_over_seeds.summary`, and `tables` has the files of an
experiment and its controls by series, the experiment first (`prunescope.findings.levels.Tables`).
"""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import shortest_path

from prunescope.findings import slices
from prunescope.findings.levels import ALL_LAYERS, BATCH_NORM, LEVELS, Tables
from prunescope.findings.slices import OTHER_SEEDS, UNTRAINED
from prunescope.report.base import ALL, ANY
from prunescope.report.page_tables import over_seeds

PAIRS = (OTHER_SEEDS, UNTRAINED)
# A line that is further away than this multiple of all networks does not fit into their card.
FAR = 2.5
# Measures of predictions that charts show.
PREDICTIONS = ("agreement", "agreement_minmax", "error_consistency")
DEAD = ("dead_by_weights", "unreachable", "dead_by_activation")

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
    own = layers[~layers["series"].isin(PAIRS) & ~layers["failed"]]
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


def dead_channels(channels: pd.DataFrame) -> pd.DataFrame:
    """Count the channels that no longer matter, for each reason in `DEAD`, in percent of a layer's channels.

    Parameters
    ----------
    channels : pandas.DataFrame
        channels.parquet.

    Returns
    -------
    pandas.DataFrame
        ``dead`` (the reason), ``layer``, ``round``, the columns of `over_seeds`, ``dead_channels`` (mean) and
        ``channels``. Layers for which a reason is not known have no rows.
    """
    parts = []
    for reason in DEAD:
        known = channels.dropna(subset=reason)
        groups = known.groupby(["layer", "round", "seed"], sort=False)[reason]
        one = groups.agg(count=lambda flags: int(flags.astype(bool).sum()), channels="size").reset_index()
        one["share"] = 100 * one["count"] / one["channels"]
        if len(one):
            more = {"dead_channels": "count", "channels": "channels"}
            parts.append(over_seeds(one, ["layer", "round"], "share", **more).assign(dead=reason))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def predictions(tables: dict[str, Tables]) -> pd.DataFrame:
    """Compare the predictions of each network with those of its dense network.

    Returns
    -------
    pandas.DataFrame
        ``prediction`` (one of `PREDICTIONS`), ``series``, ``round`` (`ANY` for pairs of dense networks),
        ``weights`` (% left in that round of the experiment), the columns of `over_seeds` and ``chance``.
        Values of ``agreement`` are the percentage of images labelled differently.
    """
    own = next(iter(tables.values()))
    parts = []
    for series, one in tables.items():
        rows = one.predictions[one.predictions["measure"].isin(PREDICTIONS)]
        rows = rows[rows["experiment_a"] == one.name]
        if one.again:
            parts.append(rows[rows["experiment_b"] != one.name].assign(series=series))
            continue
        rows = rows[rows["experiment_b"] == one.name]
        mine = rows[(rows["seed_a"] == rows["seed_b"]) & (rows["round_b"] == 0)]
        # A network agrees with itself.
        dense = mine.drop_duplicates(["seed_a", "measure"]).assign(round_a=0, value=1.0)
        parts.append(pd.concat([dense, mine]).assign(series=series))
        if one is own:
            dense = rows[(rows["seed_a"] < rows["seed_b"]) & (rows["round_a"] == 0) & (rows["round_b"] == 0)]
            parts.append(dense.assign(series=OTHER_SEEDS))
    rows = pd.concat(parts).rename(columns={"round_a": "round", "seed_a": "seed", "measure": "prediction"})
    changed = rows["prediction"] == "agreement"
    for column in ("value", "chance"):
        rows[column] = rows[column].where(~changed, 100 * (1 - rows[column]))
    rows = rows.dropna(subset="value")
    rows["weights"] = rows["round"].map(_weights(own))
    table = over_seeds(rows, ["prediction", "series", "round"], "value", weights="weights", chance="chance")
    pairs = table["series"] == OTHER_SEEDS
    # A pair has no seed of its own.
    table = table[~pairs | (table["seed"] == ALL)].astype({"round": object, "seed": object})
    table.loc[table["series"] == OTHER_SEEDS, ["round", "seed"]] = ANY
    return table.reset_index(drop=True)


def by_class(classes: pd.DataFrame, own: Tables) -> pd.DataFrame:
    """Summarise the test accuracy of each class in percent.

    Parameters
    ----------
    classes : pandas.DataFrame
        classes.parquet.
    own : Tables
        Of the experiment.

    Returns
    -------
    pandas.DataFrame
        ``class`` (a text; the first is ``all``), ``round``, ``weights``, the columns of `over_seeds` and
        ``images``.
    """
    rows = classes.dropna(subset="accuracy").assign(percent=lambda one: 100 * one["accuracy"])
    rows["class"] = rows["class"].astype(str).replace("-1", ALL)
    rows["weights"] = rows["round"].map(_weights(own))
    return over_seeds(rows, ["class", "round"], "percent", weights="weights", images="images")


def lines(tables: dict[str, Tables]) -> pd.DataFrame:
    """Summarise the test error in percent on the straight line from each dense network to its rounds.

    Returns
    -------
    pandas.DataFrame
        ``series``, ``round``, ``alpha`` (0 at the dense network) and the columns of `over_seeds`; empty
        without lines.
    """
    parts = []
    for series, one in tables.items():
        if one.barriers is None or one.again:
            continue
        rows = one.barriers[(one.barriers["metric"] == "error") & one.barriers["alpha"].notna()]
        norm = next((name for name in BATCH_NORM if name in set(rows["batch_norm"])), None)
        rows = rows[rows["batch_norm"] == norm]
        for side in "ab":
            rows = rows[rows[f"experiment_{side}"] == one.name]
        rows = rows[(rows["seed_a"] == rows["seed_b"]) & (rows["round_b"] == 0) & (rows["round_a"] > 0)]
        parts.append(rows.assign(series=series, percent=100 * rows["value"]))
    columns = ["series", "round", "alpha", "seed", "mean", "seed_low", "seed_high", "seeds"]
    rows = pd.concat(parts) if parts else pd.DataFrame()
    if not len(rows):
        return pd.DataFrame(columns=columns)
    rows = rows.rename(columns={"seed_a": "seed", "round_a": "round"}).dropna(subset="percent")
    return over_seeds(rows, ["series", "round", "alpha"], "percent")


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


def network_map(
    tables: dict[str, Tables], measure: str, layers: list[str], least_accuracy: float = 0.0
) -> tuple[pd.DataFrame, float]:
    """Place all networks in a plane so that their distances are kept as well as possible.

    The distance of two networks is 1 minus the measure, mean over the layers. Networks that were not compared
    with each other have the length of the shortest path over networks that were; networks without a path to
    the first one are left out. The plane is that of classical multidimensional scaling.

    Parameters
    ----------
    tables : dict of str to Tables
    measure : str
    layers : list of str
        Recorded layers to average over; pairs without a trusted value in each of them are not used.
    least_accuracy : float, default 0
        Networks with a lower test accuracy do not classify.

    Returns
    -------
    table : pandas.DataFrame
        ``series``, ``seed``, ``round``, ``weights``, ``x``, ``y`` and ``failed``, one row for each network.
        Controls begin at their experiment's dense networks, which they share.
    share : float
        Which share of the squared distances the plane keeps.
    """
    own = next(iter(tables))
    whose = {one.name: series for series, one in tables.items()}
    parts = []
    for one in tables.values():
        rows = slices.same_layer(slices.of_measure(one.similarity, measure))
        rows = rows[rows["layer_a"].isin(layers) & rows["status"].isin(slices.SIZES)]
        for side in "ab":
            series = rows[f"experiment_{side}"].map(whose) if one.again else whose[one.name]
            # Controls share the dense networks, except siblings.
            rows[f"series_{side}"] = (
                series if one.again else np.where(rows[f"round_{side}"] == 0, own, series)
            )
        parts.append(rows)
    rows = pd.concat(parts)
    networks = {
        side: pd.MultiIndex.from_frame(rows[[f"series_{side}", f"seed_{side}", f"round_{side}"]])
        for side in "ab"
    }
    order = {series: place for place, series in enumerate(tables)}
    names = sorted({*networks["a"], *networks["b"]}, key=lambda name: (order[name[0]], *name[1:]))
    if len(names) < 3:
        return pd.DataFrame(columns=["series", "seed", "round", "weights", "x", "y", "failed"]), 0.0
    numbers = {name: number for number, name in enumerate(names)}
    pairs = pd.DataFrame({side: networks[side].map(numbers) for side in "ab"})
    pairs["distance"] = 1 - rows["value"].to_numpy()
    means = pairs.groupby(["a", "b"])["distance"].agg(["mean", "count"])
    # A pair may be in the files of the experiment and of a control.
    means = means[means["count"] % len(layers) == 0]["mean"]
    matrix = means.unstack().reindex(index=range(len(names)), columns=range(len(names))).to_numpy()
    matrix = np.where(np.isnan(matrix), matrix.T, matrix)
    matrix = np.maximum((matrix + matrix.T) / 2, 0)
    # For a graph, an edge of length 0 is none.
    graph = np.where(np.isnan(matrix), np.inf, np.maximum(matrix, 1e-12))
    distance = np.where(np.isnan(matrix), shortest_path(graph, directed=False), matrix)
    reached = np.isfinite(distance[0])
    names = [name for name, there in zip(names, reached, strict=True) if there]
    distance = distance[np.ix_(reached, reached)]
    np.fill_diagonal(distance, 0)
    points, share = _scaled(distance)
    table = pd.DataFrame(names, columns=["series", "seed", "round"])
    table[["x", "y"]] = points
    accuracy = pd.concat([one.accuracy.assign(series=series) for series, one in tables.items()])
    failed = accuracy[accuracy["test_accuracy"] < least_accuracy]
    failed = set(failed[["series", "seed", "round"]].itertuples(index=False, name=None))
    table["failed"] = [tuple(name) in failed for name in names]
    table["weights"] = table["round"].map(_weights(tables[own]))
    shared = table[(table["round"] == 0) & (table["series"] == own)]
    begins = [
        shared[shared["seed"].isin(part["seed"])].assign(series=series)
        for series, part in table.groupby("series")
        if series != own and not tables[series].again
    ]
    return pd.concat([table, *begins], ignore_index=True).sort_values(
        ["series", "seed", "round"], kind="stable", ignore_index=True
    ), share


def _scaled(distance: np.ndarray) -> tuple[np.ndarray, float]:
    """Return points in the plane by classical scaling, and which share of the squared distances they keep."""
    count = len(distance)
    center = np.eye(count) - 1 / count
    values, vectors = np.linalg.eigh(-0.5 * center @ distance**2 @ center)
    values, vectors = values[::-1], vectors[:, ::-1]
    points = vectors[:, :2] * np.sqrt(np.maximum(values[:2], 0))
    # The sign is arbitrary: the first network is on the left, and the one farthest from the axis is above it.
    points[:, 0] *= -1 if points[0, 0] > 0 else 1
    points[:, 1] *= -1 if points[np.abs(points[:, 1]).argmax(), 1] < 0 else 1
    total = np.abs(values).sum()
    return points, float(np.maximum(values[:2], 0).sum() / total) if total > 0 else 1.0


def _weights(own: Tables) -> pd.Series:
    """Return the weights left by round, in percent."""
    return 100 * own.accuracy.groupby("round")["density"].mean()


# --- for people -------------------------------------------------------------------------------------------


def exemplars(rows: pd.DataFrame, rounds: list[int]) -> pd.DataFrame:
    """Count the test images whose most frequent prediction changes.

    Parameters
    ----------
    rows : pandas.DataFrame
        exemplars.parquet.
    rounds : list of int
    """
    counts = rows.groupby(["seeds", "round"]).size()
    columns = {"same": "dense networks of the same seeds", "other": "dense networks of other seeds"}
    known = {name: title for name, title in columns.items() if name in set(rows["seeds"])}
    return pd.DataFrame(
        [
            {"round": round}
            | {
                f"images that differ from {title}": "–"
                if round == 0 and name == "same"
                else int(counts.get((name, round), 0))
                for name, title in known.items()
            }
            for round in rounds
        ]
    )


def barriers(levels: dict) -> pd.DataFrame:
    """List the barriers of the error: estimate and interval or range, by round and series."""
    rows = []
    for round, found in levels["landscape"]["rounds"].items():
        row = {"round": int(round), "weights left (%)": f"{100 * found['density']:.3g}"}
        for series, one in found["series"].items():
            row[f"{series}: barrier (points)"] = (
                f"{100 * one['estimate']:.2f} ({100 * one['low']:.2f} to {100 * one['high']:.2f})"
            )
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


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
            row["over layers, last round"] = _over_layers(layers, own)
        rows.append(row)
    return pd.DataFrame(rows, columns=["levels", "over rounds", "over layers, last round"])


def _over_layers(layers: pd.DataFrame, own: str) -> str:
    rows = layers[(layers["series"] == own) & ~layers["failed"] & (layers["layer"] != ALL_LAYERS)]
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
