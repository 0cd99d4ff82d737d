"""Figures for papers: accuracy and density while pruning, similarity to the dense network, rounds × rounds.

Every figure is 3.5 or 7 inches wide (one or two columns). Similarities share one scale, 0 to 1, everywhere.
Bands span the lowest to the highest seed. Layers differ by colour and marker; the colours run from dark to
light with depth, so that they also differ without hue, and all have a contrast of at least 3 to white.
"""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from prunescope.findings import slices
from prunescope.report import drawing
from prunescope.report.drawing import BLUE, COLUMN, GREY, PAGE


def draw_all(
    similarity: pd.DataFrame,
    accuracy: pd.DataFrame,
    densities: pd.DataFrame,
    layers: list[str],
    measures: dict[str, dict[str, str]],
    colormap: str,
) -> dict[str, Figure]:
    """Draw every figure of an experiment.

    Parameters
    ----------
    similarity, accuracy : pandas.DataFrame
        The experiment's matrix and accuracy table.
    densities : pandas.DataFrame
        `prunescope.tables.layer_densities`: density of each prunable layer.
    layers : list of str
        Recorded layers in the order of the network.
    measures : dict of str to dict
        From `prunescope.findings.labels.shown`; only ``label`` is used.
    colormap : str
        Of the heatmaps.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By file name without suffix: ``accuracy``, ``density``, and for each measure ``dense_{measure}``,
        ``layers_{measure}`` and one ``rounds_{measure}_{layer}`` for each layer.
    """
    figures = {"accuracy": draw_accuracy(accuracy), "density": draw_density(densities)}
    for measure in slices.measures(similarity):
        rows, label = slices.of_measure(similarity, measure), measures[measure]["label"]
        own = slices.to_dense(rows)
        figures[f"dense_{measure}"] = draw_to_dense(own, accuracy, layers, label, colormap)
        figures[f"layers_{measure}"] = draw_layers(own, slices.ceiling(rows), accuracy, layers, label)
        for layer in layers:
            part = slices.between_rounds(rows, layer)
            figures[f"rounds_{measure}_{layer}"] = draw_rounds(part, layer, label, colormap)
    return figures


def draw_accuracy(accuracy: pd.DataFrame) -> Figure:
    """Draw test accuracy against the weights left: mean over seeds, band from lowest to highest.

    Parameters
    ----------
    accuracy : pandas.DataFrame
        The experiment's accuracy table.

    Returns
    -------
    matplotlib.figure.Figure
        One column wide.
    """
    figure, axes = drawing.canvas(COLUMN, 2.4, left=0.55)
    table = accuracy.assign(percent=100 * accuracy["test_accuracy"]).groupby("round")
    density = 100 * table["density"].mean()
    axes.fill_between(
        density, table["percent"].min(), table["percent"].max(), color=BLUE, alpha=0.2, linewidth=0
    )
    axes.plot(density, table["percent"].mean(), "o-", color=BLUE)
    drawing.sparsity_axis(axes, density)
    axes.set(ylabel="test accuracy (%)", title=f"Accuracy against density: {_of_seeds(accuracy['seed'])}")
    return figure


def draw_density(densities: pd.DataFrame) -> Figure:
    """Draw the fraction of weights left in each prunable layer against that of all layers together.

    Parameters
    ----------
    densities : pandas.DataFrame
        `prunescope.tables.layer_densities`.

    Returns
    -------
    matplotlib.figure.Figure
        One column wide.
    """
    layers = list(dict.fromkeys(densities["layer"]))
    figure, axes = drawing.canvas(
        COLUMN, drawing.height(layers), left=0.55, right=drawing.legend_width(layers)
    )
    overall = 100 * densities.groupby("round")["density_all_layers"].mean()
    table = densities.assign(value=100 * densities["density"], x=100 * densities["density_all_layers"])
    drawing.lines(axes, table, layers)
    axes.plot(overall, overall, "--", color=GREY, linewidth=0.8, label="all prunable")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    drawing.sparsity_axis(axes, overall)
    axes.set(ylabel="weights remaining in the layer (%)", title="Density of each layer while pruning")
    drawing.legend(axes)
    return figure


def draw_to_dense(
    rows: pd.DataFrame, accuracy: pd.DataFrame, layers: list[str], label: str, colormap: str
) -> Figure:
    """Draw the heatmap of layers × rounds: similarity to the dense network, mean over seeds.

    Parameters
    ----------
    rows : pandas.DataFrame
        `slices.to_dense` of one measure.
    accuracy : pandas.DataFrame
        The experiment's accuracy table.
    layers : list of str
        In the order of the network.
    label : str
        What to call the measure.
    colormap : str

    Returns
    -------
    matplotlib.figure.Figure
        One column wide, or two when there are more than nine rounds.
    """
    table = rows.pivot_table(index="layer_a", columns="round_a", values="value", aggfunc="mean", dropna=False)
    table = table.reindex(layers)
    density = 100 * accuracy.groupby("round")["density"].mean()
    rounds = table.shape[1]
    width = COLUMN if rounds <= 9 else PAGE
    left, height = drawing.label_width(layers), 0.2 * len(layers) + 0.85
    figure, axes = drawing.canvas(width, height, left=left, right=0.65, bottom=0.55)
    drawing.heatmap(figure, axes, table.to_numpy(), colormap, label, 6 if width / rounds > 0.25 else None)
    axes.set_xticks(range(rounds), [f"{round}\n{density[round]:.3g}" for round in table.columns], fontsize=6)
    axes.set_yticks(range(len(layers)), layers)
    axes.set(xlabel="round, weights remaining (%)", title=f"Similarity to the dense network: {label}")
    return figure


def draw_layers(
    rows: pd.DataFrame, ceiling: pd.DataFrame, accuracy: pd.DataFrame, layers: list[str], label: str
) -> Figure:
    """Draw similarity to the dense network on one scale: while pruning, and in the last round by layer.

    Parameters
    ----------
    rows, ceiling : pandas.DataFrame
        `slices.to_dense` and `slices.ceiling` of one measure. Without rows, the ceiling is left out.
    accuracy : pandas.DataFrame
        The experiment's accuracy table.
    layers : list of str
        In the order of the network.
    label : str
        What to call the measure.

    Returns
    -------
    matplotlib.figure.Figure
        Two columns wide.
    """
    upright = len(layers) > 6 or max(map(len, layers)) > 7
    below = max(0.42, 0.12 + 0.054 * max(map(len, layers))) if upright else 0.42
    height, left, legend = drawing.height(layers) - 0.42 + below, 0.5, drawing.legend_width(layers)
    figure = Figure(figsize=(PAGE, height))
    wide = (PAGE - 2 * left - legend) / 2
    axes = drawing.panel(figure, left, below, wide, height - below - 0.28)
    density = 100 * accuracy.groupby("round")["density"].mean()
    drawing.lines(
        axes, rows.assign(layer=rows["layer_a"], round=rows["round_a"], x=100 * rows["density_a"]), layers
    )
    drawing.sparsity_axis(axes, density)
    seeds = _of_seeds(rows["seed_a"])
    axes.set(ylim=(0, 1.02), ylabel=label, title=f"Similarity to the dense network: {seeds}")
    drawing.legend(axes)

    axes = drawing.panel(figure, 2 * left + legend + wide - 0.12, below, wide, height - below - 0.28)
    last = rows["round_a"].max()
    places = range(len(layers))
    profiles = [
        (rows[rows["round_a"] == last], BLUE, "o-", f"round {last}, {density[last]:.3g} % of weights")
    ]
    if len(ceiling):
        profiles.append((ceiling, GREY, "s--", "dense networks of other seeds"))
    for part, color, style, name in profiles:
        values = part.groupby("layer_a")["value"].agg(["mean", "min", "max"]).reindex(layers)
        axes.fill_between(places, values["min"], values["max"], color=color, alpha=0.2, linewidth=0)
        axes.plot(places, values["mean"], style, color=color, label=name)
    axes.set_xticks(places, layers, rotation=90 if upright else 0)
    axes.set(ylim=(0, 1.02), title="Final round, by layer")
    axes.grid(True)
    axes.legend(loc="lower left")
    return figure


def draw_rounds(rows: pd.DataFrame, layer: str, label: str, colormap: str) -> Figure:
    """Draw the heatmap of rounds × rounds for one layer, mean over seeds.

    Parameters
    ----------
    rows : pandas.DataFrame
        `slices.between_rounds` of one measure and layer.
    layer : str
        What to call the layer.
    label : str
        What to call the measure.
    colormap : str

    Returns
    -------
    matplotlib.figure.Figure
        One column wide.
    """
    table = rows.pivot_table(index="round_a", columns="round_b", values="value", aggfunc="mean", dropna=False)
    figure, axes = drawing.canvas(COLUMN, 2.95, left=0.45, right=0.65)
    drawing.heatmap(figure, axes, table.to_numpy(), colormap, label, None)
    step = 1 if len(table) <= 11 else 5
    places = range(0, len(table), step)
    axes.set_xticks(places, table.columns[::step])
    axes.set_yticks(places, table.index[::step])
    axes.set(xlabel="round (0 is dense)", ylabel="round", title=f"{layer}: similarity between rounds")
    return figure


def _of_seeds(seeds: pd.Series) -> str:
    count = seeds.nunique()
    return f"mean, range of {count} seeds" if count > 1 else f"seed {seeds.iloc[0]}"
