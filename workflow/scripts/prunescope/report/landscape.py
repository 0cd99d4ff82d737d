"""Chart of the loss landscape and its table."""

import altair as alt
import pandas as pd

from prunescope.findings import levels
from prunescope.findings.levels import Tables
from prunescope.findings.slices import OTHER_SEEDS
from prunescope.report import base, palette
from prunescope.report.base import Chart
from prunescope.report.page_tables import over_seeds
from prunescope.report.rounds import Rounds


def landscape(series: list[str], rounds: Rounds) -> Chart:
    """Make the line chart of the test error between each dense network and its rounds, by series."""
    experiment, *controls = series
    x = alt.X(
        "alpha:Q",
        axis=alt.Axis(
            title="dense network (0) to the network of the round (1)", tickCount=5, format="~g", grid=False
        ),
    )
    y = alt.Y("mean:Q", title="test error (%)", scale=alt.Scale(zero=True, nice=False, padding=4))
    tip = base.tooltip("series:N", "round:O", "alpha:Q", mean="test error (%)", format=".3f")
    pruned = sorted(rounds.percents)[1:]
    some = pruned[:: -(-len(pruned) // 8)] if pruned else []
    legend = alt.Legend(title=rounds.word, orient="right", values=some, format="d") if some[1:] else None
    depth = alt.Color("round:Q", scale=alt.Scale(scheme=base.DEPTH), legend=legend)
    strong = alt.condition(base.SELECTED, alt.value(3.5), alt.value(1.8))
    rows = base.chart(f"datum.series == '{experiment}'").encode(x, depth, alt.Detail("round:O"))
    parts = [
        rows.mark_line(aria=False).encode(y, strokeWidth=strong),
        rows.mark_point(filled=True, size=22, opacity=1).encode(y, tooltip=tip),
    ]
    if controls:
        dashes = alt.Scale(domain=controls, range=palette.styles(controls)[2])
        dash = alt.StrokeDash("series:N", scale=dashes, legend=alt.Legend(title=None, orient="top"))
        beside = base.chart(f"datum.series != '{experiment}'")
        beside = beside.encode(x, y, dash, alt.Detail(["series:N", "round:O"]), tooltip=tip)
        line = beside.mark_line(color=palette.color(OTHER_SEEDS), strokeWidth=1.2, aria=False)
        parts.insert(0, line)
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

    `alpha` is 0 at the dense network. Empty without lines.
    """
    parts = [
        levels.to_dense(levels.error_lines(one.barriers), one).assign(series=series)
        for series, one in tables.items()
        if one.barriers is not None and not one.again
    ]
    if not any(map(len, parts)):
        return pd.DataFrame()
    rows = pd.concat(parts).rename(columns={"seed_a": "seed", "round_a": "round"})
    rows = rows.assign(percent=100 * rows["value"]).dropna(subset="percent")
    return over_seeds(rows, ["series", "round", "alpha"], "percent")
