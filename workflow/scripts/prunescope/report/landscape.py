"""Chart of the loss landscape and its tables.

`tables` has the files of an experiment and its controls by series, the experiment first
(`prunescope.findings.levels.Tables`), and `levels` is the result of
`prunescope.findings.levels_over_seeds.summary`.
"""

import altair as alt
import pandas as pd

from prunescope.findings.levels import Tables, error_lines
from prunescope.findings.slices import OTHER_SEEDS
from prunescope.report import base, palette
from prunescope.report.base import Chart
from prunescope.report.page_tables import over_seeds
from prunescope.report.rounds import Rounds


def landscape(series: list[str], rounds: Rounds) -> Chart:
    """Make the line chart of the test error between each dense network and its rounds.

    Parameters
    ----------
    series : list of str
        Those with lines.
    rounds : Rounds

    Returns
    -------
    Chart
        Of the table ``lines``.
    """
    own, *others = series
    x = alt.X(
        "alpha:Q",
        axis=alt.Axis(
            title="dense network (0) to the network of the round (1)", tickCount=5, format="~g", grid=False
        ),
    )
    y = alt.Y("mean:Q", title="test error (%)", scale=alt.Scale(zero=True, nice=False, padding=4))
    tip = base.tooltip(
        alt.Tooltip("series:N"),
        alt.Tooltip("round:O"),
        alt.Tooltip("alpha:Q"),
        mean="test error (%)",
        format=".3f",
    )
    pruned = sorted(rounds.percents)[1:]
    some = pruned[:: -(-len(pruned) // 8)] if pruned else []
    legend = alt.Legend(title=rounds.word, orient="right", values=some, format="d") if some[1:] else None
    depth = alt.Color("round:Q", scale=alt.Scale(scheme=base.DEPTH), legend=legend)
    strong = alt.condition(base.SELECTED, alt.value(3.5), alt.value(1.8))
    mine = base.chart(f"datum.series == '{own}'").encode(x, depth, alt.Detail("round:O"))
    parts = [
        mine.mark_line(aria=False).encode(y, strokeWidth=strong),
        mine.mark_point(filled=True, size=22, opacity=1).encode(y, tooltip=tip),
    ]
    if others:
        dash = palette.styles(others)[2]
        beside = base.chart(f"datum.series != '{own}'").encode(x, y, alt.Detail(["series:N", "round:O"]))
        parts.insert(
            0,
            beside.mark_line(color=palette.color(OTHER_SEEDS), strokeWidth=1.2, aria=False).encode(
                alt.StrokeDash(
                    "series:N",
                    scale=alt.Scale(domain=others, range=dash),
                    legend=alt.Legend(title=None, orient="top"),
                ),
                tooltip=tip,
            ),
        )
    chart = alt.layer(*parts).add_params(base.selected(rounds))
    return Chart(
        "lines",
        "Test error on the straight line to the dense network",
        "Mean over the selected seeds, one line for each round. Thick: the selected round. Grey: controls.",
        "lines",
        ("seed",),
        base.specification(chart.properties(width="container", height=280)),
        "Line chart: horizontal axis, position between the weights of the dense network and those of a "
        "round; vertical axis, test error.",
        beware="Only the straight line is measured. A curved path may have no barrier.",
    )


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
        rows = error_lines(one.barriers)
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
