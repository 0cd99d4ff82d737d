"""Charts of the networks themselves: accuracy and training curves.

Shared arguments: `rounds`, the names and positions of rounds; `dots`, whether each seed is drawn.
"""

import json

import altair as alt
import pandas as pd

from prunescope.report import base
from prunescope.report.base import Chart
from prunescope.report.rounds import Rounds

METRICS = {
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "train_accuracy": "training accuracy",
    "train_loss": "training loss",
    "validation_accuracy": "validation accuracy",
    "validation_loss": "validation loss",
    "lr": "learning rate",
}


def accuracy(
    series: list[str], table: pd.DataFrame, rounds: Rounds | None, dots: bool, title: str = ""
) -> Chart:
    """Make the line chart of test accuracy against weights remaining, a line for each series.

    Parameters
    ----------
    series : list of str
        The experiment and its controls, or several experiments.
    table : pandas.DataFrame
        From `prunescope.report.page_tables.accuracy_table`.
    rounds : Rounds or None
        None if the rounds of the series differ.
    dots : bool
    title : str, optional

    Returns
    -------
    Chart
        Of the table ``accuracy``.
    """
    color, shape, dash = base.series_scales(series)
    # Series at equal densities would hide each other, so each is shifted slightly along the axis.
    shift = f"indexof({series}, datum.series) - {(len(series) - 1) / 2}"
    if base.place(rounds) == "weights":
        own = "datum.weights"
        if rounds:
            # A control repeats the experiment round by round, whatever weights it keeps.
            own = f"(datum.series == '{series[0]}' ? {own} : {json.dumps(rounds.percents)}[datum.round])"
        shift = f"{own} * pow(1.012, -({shift}))"
    else:
        shift = f"datum.round + 0.02 * ({shift})"
    x = base.sparsity("place:Q", rounds)
    # The same for every seed that can be selected.
    ends = [float(table["seed_low"].min()), float(table["seed_high"].max())]
    y = alt.Y("mean:Q", title="test accuracy (%)", scale=alt.Scale(domain=ends, nice=False, padding=8))
    tip = base.tooltip(
        alt.Tooltip("series:N"),
        alt.Tooltip("seed:N"),
        alt.Tooltip("round:O"),
        alt.Tooltip("weights:Q", title="weights (%)", format=".3~g"),
        mean="accuracy (%)",
        format=".3f",
    )
    rows = base.chart(base.SUMMARY).transform_calculate(place=shift).encode(x)
    parts = [
        rows.mark_line(aria=False).encode(y, color, dash),
        rows.mark_point(filled=True, size=60, opacity=1).encode(y, color, shape, tooltip=tip),
    ]
    if dots:
        single = base.chart(base.SINGLE).transform_calculate(place=shift).encode(x)
        parts.append(base.seeds(single).encode(y, color, shape, tooltip=tip))
    else:
        parts.insert(0, base.band(rows, y).encode(color))
    beside = (
        " A control is drawn at the experiment's weights in the same round." if rounds and series[1:] else ""
    )
    across = rounds.across if rounds else "weights remaining"
    return Chart(
        "accuracy",
        title or f"Test accuracy {rounds.against}",
        f"Lines: mean over the seeds shown. {base.DOTS if dots else base.RANGE}{beside}",
        "accuracy",
        ("seed",),
        base.specification(alt.layer(*parts).properties(width="container", height=280)),
        f"Line chart: horizontal axis, {across}; vertical axis, test accuracy.",
        dots=dots,
    )


def training(rounds: int) -> Chart:
    """Make the line chart of the training curves, a line and a band for each round.

    Parameters
    ----------
    rounds : int
        Number of rounds, the dense network included.

    Returns
    -------
    Chart
        Of the table ``training``; the menu `metric` selects the metric.
    """
    legend = alt.Legend(title="round", orient="right", tickMinStep=1) if rounds > 1 else None
    rows = base.chart().encode(
        alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, grid=False)),
        alt.Color("round:Q", scale=alt.Scale(scheme=base.DEPTH), legend=legend),
        alt.Detail("round:O"),
    )
    y = alt.Y("mean:Q", title=None, scale=alt.Scale(zero=False))
    tip = base.tooltip(alt.Tooltip("round:O"), alt.Tooltip("epoch:Q"), mean="mean", format=".4f")
    chart = alt.layer(
        base.band(rows, y),
        rows.mark_line(aria=False).encode(y),
        rows.mark_point(filled=True, size=14, opacity=1).encode(y, tooltip=tip),
    ).properties(width="container", height=300)
    return Chart(
        "training",
        "Training curves of all rounds",
        f"Lines: mean over all seeds. {base.RANGE} Round 0 is the dense network.",
        "training",
        ("metric",),
        base.specification(chart),
        "Line chart: horizontal axis, epochs; vertical axis, the selected metric; one line for each round.",
    )
