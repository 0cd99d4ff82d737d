"""Charts of the networks themselves: accuracy, density and training curves.

Arguments that they share: `layers`, names in the order of the network; `percents`, the weights remaining by
round, in percent and as text.
"""

import altair as alt

from prunescope.report import base
from prunescope.report.base import Chart

METRICS = {
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "train_accuracy": "training accuracy",
    "train_loss": "training loss",
    "validation_accuracy": "validation accuracy",
    "validation_loss": "validation loss",
    "lr": "learning rate",
}


def accuracy(percents: dict[int, str]) -> Chart:
    """Make the line chart of test accuracy against weights remaining: mean, range and each seed.

    Parameters
    ----------
    percents : dict of int to str

    Returns
    -------
    Chart
        Of the table ``accuracy``.
    """
    title = "Test accuracy against weights remaining"
    text = f"Line chart: weights remaining across, test accuracy upwards; mean, range and each seed. {title}."
    rows = alt.Chart(alt.NamedData("accuracy"))
    scale = alt.Scale(zero=False)
    mean = _accuracy_over_seeds(rows, ["round"]).encode(base.sparsity("density:Q", percents))
    y = alt.Y("mean:Q", title="test accuracy (%)", scale=scale)
    band = mean.mark_area(color=base.BLUE, opacity=0.18, aria=False).encode(alt.Y("low:Q"), alt.Y2("high"))
    line = mean.mark_line(color=base.BLUE, aria=False).encode(y)
    points = mean.mark_point(color=base.BLUE, filled=True, size=60, opacity=1).encode(
        y, tooltip=_accuracy_tooltip(alt.Tooltip("round:O"))
    )
    each = rows.mark_point(color="#444", shape="stroke", size=70, strokeWidth=1.5, opacity=1).encode(
        base.sparsity("density:Q", percents),
        alt.Y("test_accuracy:Q", title="test accuracy (%)", scale=scale),
        tooltip=[
            alt.Tooltip("seed:O"),
            alt.Tooltip("round:O"),
            alt.Tooltip("density:Q", title="weights (%)", format=".3f"),
            alt.Tooltip("test_accuracy:Q", title="accuracy (%)", format=".3f"),
            alt.Tooltip("test_loss:Q", title="test loss", format=".5f"),
        ],
    )
    chart = alt.layer(band, line, each, points).properties(width="container", height=280)
    caption = "Line: mean over seeds. Band: lowest to highest seed. Dashes: each seed."
    return Chart("accuracy", title, caption, "accuracy", base.specification(chart, [], text))


def accuracies(experiments: list[str]) -> Chart:
    """Make the line chart of test accuracy against weights remaining, a line for each experiment.

    Parameters
    ----------
    experiments : list of str
        Their names.

    Returns
    -------
    Chart
        Of the table ``accuracy`` with the column ``experiment``.
    """
    title = "Test accuracy against weights remaining, by experiment"
    text = (
        f"Line chart: weights remaining across, test accuracy upwards, one line for each experiment. {title}."
    )
    chart = base.lines(
        _accuracy_over_seeds(alt.Chart(alt.NamedData("accuracy")), ["experiment", "round"]),
        "experiment",
        experiments,
        base.sparsity("density:Q"),
        alt.Y("mean:Q", title="test accuracy (%)", scale=alt.Scale(zero=False)),
        _accuracy_tooltip(alt.Tooltip("experiment:N"), alt.Tooltip("round:O")),
    )
    caption = f"{base.BANDS} Click an experiment's name to highlight it."
    return Chart("accuracy", title, caption, "accuracy", base.specification(chart, [], text))


def density(layers: list[str], percents: dict[int, str], above_zero: bool) -> Chart:
    """Make the line chart of each prunable layer's density against that of all layers together.

    Parameters
    ----------
    layers : list of str
        The prunable layers.
    percents : dict of int to str
    above_zero : bool
        Whether every layer has kept a weight, so that the vertical axis can be logarithmic.

    Returns
    -------
    Chart
        Of the table ``density``.
    """
    title = "Where weights are removed: density of each prunable layer"
    text = f"Line chart, logarithmic: weights remaining in all layers across, in each layer upwards. {title}."
    rows = base.over_seeds(
        alt.Chart(alt.NamedData("density")),
        [base.OF_SEED],
        ["layer", "round"],
        "density",
        weights="mean(density_all_layers)",
        kept="mean(kept)",
        total="mean(total)",
        dead="max(dead_channels)",
        channels="max(channels)",
    )
    tooltip = [
        *base.tooltip(
            alt.Tooltip("layer:N"), alt.Tooltip("round:O"), mean="weights left in the layer (%)", format=".3f"
        ),
        alt.Tooltip("weights:Q", title="in all layers (%)", format=".3f"),
        alt.Tooltip("kept:Q", title="weights left"),
        alt.Tooltip("total:Q", title="of"),
        alt.Tooltip("dead:Q", title="dead channels (max)"),
        alt.Tooltip("channels:Q", title="channels"),
    ]
    # A layer may lose its last weight, which a logarithmic axis cannot show.
    scale = alt.Scale(type="log", nice=False) if above_zero else alt.Scale(type="symlog", constant=0.1)
    ticks = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
    axis = alt.Axis(values=ticks, format=".3~g", labelOverlap="greedy")
    y = alt.Y("mean:Q", title="weights remaining in the layer (%)", scale=scale, axis=axis)
    chart = base.lines(rows, "layer", layers, base.sparsity("weights:Q", percents), y, tooltip)
    return Chart("density", title, base.BANDS, "density", base.specification(chart, ["seed"], text))


def training() -> Chart:
    """Make the line chart of the training curves, a line for each round.

    Returns
    -------
    Chart
        Of the table ``training``; the menu `metric` selects the column.
    """
    title = "Training curves of all rounds"
    text = f"Line chart: epochs across, the selected metric upwards, one line for each round. {title}."
    rows = base.over_seeds(
        alt.Chart(alt.NamedData("training")).transform_calculate(value="datum[metric]"),
        [base.OF_SEED],
        ["round", "epoch"],
    )
    legend = alt.Legend(title="round", orient="right", tickMinStep=1)
    chart = (
        rows.mark_line(point=alt.OverlayMarkDef(size=14, aria=False), aria=False)
        .encode(
            alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, grid=False)),
            alt.Y("mean:Q", title=None, scale=alt.Scale(zero=False)),
            alt.Color("round:Q", scale=alt.Scale(scheme=base.DEPTH), legend=legend),
            alt.Detail("round:O"),
            tooltip=base.tooltip(alt.Tooltip("round:O"), alt.Tooltip("epoch:Q"), mean="mean", format=".6f"),
        )
        .properties(width="container", height=300)
    )
    caption = "Mean over seeds unless a seed is selected. Round 0 is the dense network."
    return Chart("training", title, caption, "training", base.specification(chart, ["metric", "seed"], text))


def _accuracy_over_seeds(rows: alt.Chart, by: list[str]) -> alt.Chart:
    return base.over_seeds(rows, [], by, "test_accuracy", density="mean(density)")


def _accuracy_tooltip(*first: alt.Tooltip) -> list[alt.Tooltip]:
    weights = alt.Tooltip("density:Q", title="weights (%)", format=".3f")
    return base.tooltip(*first, weights, mean="mean accuracy (%)", format=".3f")
