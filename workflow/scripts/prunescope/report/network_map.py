"""Map of all networks: its chart and its table."""

import altair as alt
import numpy as np
import pandas as pd
from scipy.sparse.csgraph import shortest_path

from prunescope.findings import slices
from prunescope.findings.levels import Tables
from prunescope.report import base, palette
from prunescope.report.base import Chart
from prunescope.report.page_tables import weights_by_round
from prunescope.report.rounds import Rounds


def network_map(table: pd.DataFrame, share: float, rounds: Rounds, label: str, seeds: int = 1) -> Chart:
    """Make the map of all networks in `table`, which keeps a share of the squared distances.

    A path leads through the rounds of each of the experiment's `seeds`; `label` is that of the measure.
    """
    series = list(dict.fromkeys(table["series"]))
    series.sort(key=list(palette.SERIES).index)
    color, shape, dash = base.series_scales(series, 2)
    x, y = _axes(table)
    failure = alt.Tooltip("failed:N", title="does not classify")
    tip = ["series:N", "seed:O", "round:O", base.WEIGHTS, failure]
    rows = base.chart().encode(x, y)
    # Siblings of different rounds do not follow from each other.
    paths = rows.transform_filter("datum.series != 'siblings'")
    last = rows.transform_filter(f"datum.round == {rounds.last} && datum.series == '{series[0]}'")
    dense = rows.transform_filter(f"datum.round == 0 && datum.series == '{series[0]}'")
    chosen = rows.transform_filter(f"{base.SELECTED} && datum.round > 0")
    texts = [
        (dense.transform_calculate(text="'seed ' + datum.seed"), -14),
        (last.transform_calculate(text=f"'{rounds.texts[rounds.last]} %'"), 16),
    ]
    failed = rows.transform_filter("datum.failed")
    chart = alt.layer(
        paths.mark_line(strokeWidth=1.5, opacity=0.7, aria=False).encode(
            color, dash, alt.Detail("seed:N"), order="round:Q"
        ),
        rows.mark_point(filled=True, size=40, opacity=1).encode(color, shape, tooltip=tip),
        chosen.mark_point(filled=True, size=110, opacity=1).encode(color, shape, tooltip=tip),
        dense.mark_point(size=150, color=base.INK, strokeWidth=1.5, opacity=1, aria=False),
        failed.mark_point(shape="diamond", size=200, stroke=base.INK, opacity=1, aria=False),
        *(
            text.mark_text(dy=dy, fontSize=base.TEXT, color=base.INK, aria=False).encode(text="text:N")
            for text, dy in texts
        ),
    ).add_params(base.selected(rounds))
    return Chart(
        "map",
        "Map of all networks",
        f"The distance of two networks is 1 minus {label}, mean over the layers. Circles: dense networks. "
        "Paths: the rounds of each seed. Large marks: the selected round. "
        f"{'◇: a network that does not classify. ' if table['failed'].any() else ''}"
        f"Two dimensions keep {100 * share:.0f} % of the squared distances (classical scaling).",
        "map",
        (),
        base.specification(chart.properties(width="container", height=380)),
        "Scatter plot of all networks, with paths from the dense networks through their rounds.",
        wide=False,
        beware="The distance of two networks that were not compared is the length of the shortest path over "
        "compared networks. Directions have no meaning. Untrained networks are compared only with each "
        "other, so they are not on the map."
        + (
            " Seeds that were not compared with the first one are not on the map either; "
            "`similarity.across_seeds: dense` compares them."
            if table["seed"].nunique() < seeds
            else ""
        ),
    )


def _axes(table: pd.DataFrame) -> tuple[alt.X, alt.Y]:
    """Return axes without labels on which one unit is equally long, whatever the width."""
    extent = {axis: table[axis].max() - table[axis].min() for axis in "xy"}
    unit = f"1.12 * max({extent['x']:.6g} / width, {extent['y']:.6g} / height, 1e-9)"
    axis = alt.Axis(title=None, labels=False, ticks=False, grid=False, domain=False)
    axes = []
    for name, kind, size in (("x", alt.X, "width"), ("y", alt.Y, "height")):
        middle = (table[name].min() + table[name].max()) / 2
        ends = [alt.ExprRef(f"{middle:.6g} {sign} {size} / 2 * {unit}") for sign in "-+"]
        scale = alt.Scale(domainMin=ends[0], domainMax=ends[1], nice=False, zero=False)
        axes.append(kind(f"{name}:Q", scale=scale, axis=axis))
    return tuple(axes)


def network_map_table(
    tables: dict[str, Tables], measure: str, layers: list[str], least_accuracy: float = 0.0
) -> tuple[pd.DataFrame, float]:
    """Place all networks in a plane so that their distances are kept as well as possible.

    The distance of two networks is 1 minus the measure, mean over the layers; pairs without a reliable value
    in each of them are not used. The distance of two networks that were not compared is the length of the
    shortest path over compared networks. Networks without a path to the first one are excluded. The plane is
    that of classical multidimensional scaling; the second result is the share of the squared distances that
    it keeps. Controls begin at their experiment's dense networks, which they share.
    """
    experiment = next(iter(tables))
    rows = _compared(tables, measure, layers)
    networks = {
        side: pd.MultiIndex.from_frame(rows[[f"series_{side}", f"seed_{side}", f"round_{side}"]])
        for side in "ab"
    }
    order = list(tables)
    names = sorted({*networks["a"], *networks["b"]}, key=lambda name: (order.index(name[0]), *name[1:]))
    nothing = pd.DataFrame(columns=["series", "seed", "round", "weights", "x", "y", "failed"]), 0.0
    if len(names) < 3:
        return nothing
    numbers = {name: number for number, name in enumerate(names)}
    pairs = pd.DataFrame({side: networks[side].map(numbers) for side in "ab"})
    pairs["distance"] = 1 - rows["value"].to_numpy()
    distance = _completed(pairs, len(names), len(layers))
    reached = np.isfinite(distance[0])
    names = [name for name, connected in zip(names, reached, strict=True) if connected]
    if len(names) < 3:
        return nothing
    points, share = _scaled(distance[np.ix_(reached, reached)])
    table = pd.DataFrame(names, columns=["series", "seed", "round"])
    table[["x", "y"]] = points
    failed = {
        (series, *network)
        for series, one in tables.items()
        for network in map(tuple, slices.failed(one.accuracy, least_accuracy))
    }
    table["failed"] = [tuple(name) in failed for name in names]
    table["weights"] = table["round"].map(weights_by_round(tables[experiment].accuracy))
    dense = table[(table["round"] == 0) & (table["series"] == experiment)]
    begins = [
        dense[dense["seed"].isin(part["seed"])].assign(series=series)
        for series, part in table.groupby("series")
        if series != experiment and not tables[series].again
    ]
    return pd.concat([table, *begins], ignore_index=True).sort_values(
        ["series", "seed", "round"], kind="stable", ignore_index=True
    ), share


def _compared(tables: dict[str, Tables], measure: str, layers: list[str]) -> pd.DataFrame:
    """Return the reliable values of each layer in each pair of networks, with the series of both."""
    experiment = next(iter(tables))
    series_of = {one.name: series for series, one in tables.items()}
    parts = []
    for series, one in tables.items():
        rows = slices.same_layer(slices.of_measure(one.similarity, measure))
        rows = rows[rows["layer_a"].isin(layers) & rows["status"].isin(slices.SIZES)]
        for side in "ab":
            if one.again:
                rows[f"series_{side}"] = rows[f"experiment_{side}"].map(series_of)
            else:
                # Controls share the dense networks.
                rows[f"series_{side}"] = np.where(rows[f"round_{side}"] == 0, experiment, series)
        parts.append(rows)
    return pd.concat(parts)


def _completed(pairs: pd.DataFrame, count: int, layers: int) -> np.ndarray:
    """Return the distances of all networks: those that were compared, or shortest paths over these."""
    means = pairs.groupby(["a", "b"])["distance"].agg(["mean", "count"])
    # A pair may be in the files of the experiment and of a control.
    means = means[means["count"] % layers == 0]["mean"]
    matrix = means.unstack().reindex(index=range(count), columns=range(count)).to_numpy()
    matrix = np.where(np.isnan(matrix), matrix.T, matrix)
    matrix = np.maximum((matrix + matrix.T) / 2, 0)
    # For a graph, an edge of length 0 is none.
    graph = np.where(np.isnan(matrix), np.inf, np.maximum(matrix, 1e-12))
    distance = np.where(np.isnan(matrix), shortest_path(graph, directed=False), matrix)
    np.fill_diagonal(distance, 0)
    return distance


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
