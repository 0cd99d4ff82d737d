"""Charts of the networks themselves: accuracy, density and training curves.

Shared arguments: `rounds`, the names and positions of rounds; `dots`, whether each seed is drawn.
"""

import json

import altair as alt
import pandas as pd

from prunescope.findings.slices import PRUNED
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
            own = f"(datum.series == '{PRUNED}' ? {own} : {json.dumps(rounds.percents)}[datum.round])"
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
        parts.append(single.mark_point(size=20, opacity=0.9).encode(y, color, shape, tooltip=tip))
    else:
        parts.insert(
            0,
            rows.mark_area(opacity=0.18, aria=False).encode(alt.Y("seed_low:Q"), alt.Y2("seed_high"), color),
        )
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


def density(layers: list[str], rounds: Rounds, above_zero: bool) -> Chart:
    """Make the line chart of each prunable layer's density against that of all layers together.

    Parameters
    ----------
    layers : list of str
        The prunable layers.
    rounds : Rounds
    above_zero : bool
        Whether every layer has kept a weight, so that the vertical axis can be logarithmic.

    Returns
    -------
    Chart
        Of the table ``density``.
    """
    tip = [
        *base.tooltip(
            alt.Tooltip("layer:N"), alt.Tooltip("round:O"), mean="weights left in the layer (%)", format=".3f"
        ),
        alt.Tooltip("weights:Q", title="in all layers (%)", format=".3f"),
        alt.Tooltip("kept:Q", title="weights left"),
        alt.Tooltip("total:Q", title="of"),
        alt.Tooltip("dead:Q", title="dead channels (mean)"),
        alt.Tooltip("channels:Q", title="channels"),
    ]
    # A layer may lose its last weight, which a logarithmic axis cannot show.
    scale = alt.Scale(type="log", nice=False) if above_zero else alt.Scale(type="symlog", constant=0.1)
    ticks = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
    y = alt.Y(
        "mean:Q",
        title="weights remaining in the layer (%)",
        scale=scale,
        axis=alt.Axis(values=ticks, format=".3~g", labelOverlap="greedy"),
    )
    depth = alt.Color("layer:O", sort=layers, scale=alt.Scale(scheme=base.DEPTH), legend=None)
    rows = base.chart().encode(base.sparsity(f"{base.place(rounds)}:Q", rounds), y, depth)
    end = rows.transform_filter(f"datum.round == {rounds.last}")
    chart = alt.layer(
        rows.mark_line(aria=False),
        rows.mark_point(filled=True, size=30, opacity=1).encode(tooltip=tip),
        end.mark_text(align="right", dy=-7, fontSize=10, aria=False).encode(
            text="layer:N", color=alt.value(base.INK)
        ),
    ).properties(width="container", height=320)
    return Chart(
        "density",
        "Density of each prunable layer",
        "Lines: mean over the seeds shown, dark to light with depth.",
        "density",
        ("seed",),
        base.specification(chart),
        f"Line chart: horizontal axis, {rounds.across}; vertical axis, weights remaining in each layer.",
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
        rows.mark_area(opacity=0.15, aria=False).encode(alt.Y("seed_low:Q", title=None), alt.Y2("seed_high")),
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
