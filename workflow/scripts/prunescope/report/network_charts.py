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

    They are the experiment and its controls, or several experiments without common `rounds`.
    """
    color, shape, dash = base.series_scales(series)
    x = base.sparsity("position:Q", rounds)
    # The same for every seed that can be selected.
    ends = [float(table["seed_low"].min()), float(table["seed_high"].max())]
    y = alt.Y("mean:Q", title="test accuracy (%)", scale=alt.Scale(domain=ends, nice=False, padding=8))
    tip = base.tooltip("series:N", "seed:N", "round:O", base.WEIGHTS, mean="accuracy (%)", format=".3f")
    position = _position(series, rounds)
    rows, seeds = (
        base.chart(role).transform_calculate(position=position).encode(x)
        for role in (base.SUMMARY, base.SINGLE)
    )
    parts = [
        *([] if dots else [base.band(rows, y).encode(color)]),
        rows.mark_line(aria=False).encode(y, color, dash),
        rows.mark_point(filled=True, size=60, opacity=1).encode(y, color, shape, tooltip=tip),
        *([base.seeds(seeds).encode(y, color, shape, tooltip=tip)] if dots else []),
    ]
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


def _position(series: list[str], rounds: Rounds | None) -> str:
    """Return the Vega expression of a row's position, shifted by series so that none hides another."""
    shift = f"indexof({series}, datum.series) - {(len(series) - 1) / 2}"
    if rounds and not rounds.by_weights:
        return f"datum.round + 0.02 * ({shift})"
    weights = "datum.weights"
    if rounds:
        # A control repeats the experiment round by round, whatever weights it keeps.
        by_round = f"{json.dumps(rounds.percents)}[datum.round]"
        weights = f"(datum.series == '{series[0]}' ? {weights} : {by_round})"
    return f"{weights} * pow(1.012, -({shift}))"


def training(rounds: int) -> Chart:
    """Make the line chart of the selected metric while training, a line and a band for each round."""
    legend = alt.Legend(title="round", orient="right", tickMinStep=1) if rounds > 1 else None
    rows = base.chart().encode(
        alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, grid=False)),
        alt.Color("round:Q", scale=alt.Scale(scheme=base.DEPTH), legend=legend),
        alt.Detail("round:O"),
    )
    y = alt.Y("mean:Q", title=None, scale=alt.Scale(zero=False))
    tip = base.tooltip("round:O", "epoch:Q", mean="mean", format=".4f")
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
