"""Figures for papers: accuracy and density while pruning, similarity to the dense network, rounds × rounds.

All figures of an experiment have the same width. Similarities share one scale, from 0 (or the lowest
value, if it is negative) to 1. Figures have no titles, because papers have captions. Up to five seeds are
drawn as dots; for more seeds, bands span the lowest to the highest. Colours and marks are those of the report
(`prunescope.report.palette`).
"""

from dataclasses import dataclass
from math import ceil

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from prunescope.findings import slices
from prunescope.report import drawing, palette
from prunescope.report.names import file_name
from prunescope.report.panels import blocks
from prunescope.report.rounds import Rounds


@dataclass(frozen=True)
class Style:
    """Appearance of an experiment's figures.

    Attributes
    ----------
    layers : list of str
        In the order of the network.
    rounds : Rounds
        Names and positions of the rounds.
    colormap : str
        Of the heatmaps.
    width : float
        In inches.
    """

    layers: list[str]
    rounds: Rounds
    colormap: str
    width: float

    @property
    def places(self) -> pd.Series:
        """Position of each round on an axis of rounds."""
        return pd.Series(self.rounds.places)


def draw_all(
    similarity: pd.DataFrame,
    accuracy: pd.DataFrame,
    densities: pd.DataFrame,
    layers: list[str],
    measures: dict[str, dict[str, str]],
    colormap: str,
    width: float = 5.5,
    models: list[dict] | None = None,
    least_accuracy: float = 0.0,
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
    width : float, default 5.5
        In inches.
    models : list of dict, optional
        The key `models` of an experiment whose networks were trained elsewhere.
    least_accuracy : float, default 0
        Networks with a lower test accuracy do not classify; ◇ marks them.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By file name without suffix: ``accuracy`` (if it was measured), ``density``, and for each measure
        ``profile_{measure}``, ``layers_{measure}``, ``dense_{measure}`` and one
        ``rounds_{measure}_{layer}`` for each layer.
    """
    style = Style(layers, Rounds.of(accuracy, models), colormap, width)
    similarity = slices.mark_failed(similarity, slices.failed(accuracy, least_accuracy))
    figures = {"density": draw_density(densities, style)}
    if accuracy["test_accuracy"].notna().any():
        figures["accuracy"] = draw_accuracy(accuracy, style)
    for measure in slices.measures(similarity):
        rows, label = slices.of_measure(similarity, measure), measures[measure]["label"]
        own = slices.to_dense(rows)
        figures[file_name("profile", measure)] = draw_profile(own, slices.other_seeds(rows), label, style)
        figures[file_name("layers", measure)] = draw_layers(own, label, style)
        figures[file_name("dense", measure)] = draw_to_dense(own, label, style)
        for layer in layers:
            # Networks that were trained elsewhere need not have all layers.
            if len(own_rows := slices.between_rounds(rows, layer)):
                figures[file_name("rounds", measure, layer)] = draw_rounds(own_rows, label, style)
    return figures


def draw_accuracy(accuracy: pd.DataFrame, style: Style) -> Figure:
    """Draw test accuracy against the weights left.

    Parameters
    ----------
    accuracy : pandas.DataFrame
        The experiment's accuracy table.
    style : Style

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = drawing.canvas(style.width, 2.2, left=0.55)
    table = accuracy.assign(percent=100 * accuracy["test_accuracy"])
    table = table.pivot(index="seed", columns="round", values="percent")
    drawing.over_seeds(axes, style.places, table, palette.EXPERIMENT, "o")
    drawing.sparsity_axis(axes, style.rounds)
    axes.set(ylabel="test accuracy (%)")
    return figure


def draw_density(densities: pd.DataFrame, style: Style) -> Figure:
    """Draw the fraction of weights left in each prunable layer against that of all layers together.

    Parameters
    ----------
    densities : pandas.DataFrame
        `prunescope.tables.layer_densities`.
    style : Style

    Returns
    -------
    matplotlib.figure.Figure
    """
    layers = list(dict.fromkeys(densities["layer"]))
    names = 0.15 + 0.058 * max(map(len, [*layers, "all prunable"]))
    figure, axes = drawing.canvas(style.width, max(2.2, 0.13 * len(layers) + 0.6), left=0.55, right=names)
    overall = 100 * densities.groupby("round")["density_all_layers"].mean()
    colors = mpl.colormaps["viridis"](np.linspace(*palette.DEPTH, len(layers)))
    means = 100 * densities.groupby(["layer", "round"])["density"].mean().unstack().reindex(layers)
    for color, (_, values) in zip(colors, means.iterrows(), strict=True):
        axes.plot(style.places, values, "-", color=color)
    axes.plot(style.places, overall, "--", color=palette.CHANCE, linewidth=0.8)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    drawing.sparsity_axis(axes, style.rounds)
    axes.set(ylabel="weights remaining in the layer (%)")
    ends = pd.concat([means.iloc[:, -1], pd.Series({"all prunable": overall.iloc[-1]})])
    drawing.label_ends(axes, ends)
    return figure


def draw_profile(rows: pd.DataFrame, other_seeds: pd.DataFrame, label: str, style: Style) -> Figure:
    """Draw similarity to the dense network in the last round by layer, with other seeds and chance level.

    Parameters
    ----------
    rows, other_seeds : pandas.DataFrame
        `slices.to_dense` and `slices.other_seeds` of one measure, after `slices.mark_failed`. Other seeds are
        drawn if there are rows.
    label : str
        Displayed name of the measure.
    style : Style

    Returns
    -------
    matplotlib.figure.Figure
    """
    layers = style.layers
    last = rows["round_a"].max()
    final = rows[rows["round_a"] == last]
    values = final.pivot(index="seed_a", columns="layer_a", values="value").reindex(columns=layers)
    columns = {"chance level": "chance", "chance within classes": "chance_classes"}
    chance = final.groupby("layer_a")[list(columns.values())].mean().reindex(layers)
    warned = set(final[(final["status"] != "ok") & final["value"].notna()]["layer_a"])
    what = style.rounds.short(last) if style.rounds.labels else f"round {last}"
    name = f"{what}, {style.rounds.texts[last]} % of weights"
    names = [name, slices.OTHER_SEEDS, *columns, "needs a warning", "does not classify"]
    across = drawing.legend_columns(names, style.width)
    upright = len(layers) > 6 or max(map(len, layers)) > 7
    below = max(0.42, 0.12 + 0.06 * max(map(len, layers))) if upright else 0.3
    top = 0.1 + 0.15 * ceil(len(names) / across)
    figure, axes = drawing.canvas(style.width, 1.6 + below + top, left=0.5, bottom=below, top=top)
    places = list(range(len(layers)))
    drawing.over_seeds(axes, places, values, palette.EXPERIMENT, "o", names[0])
    if len(other_seeds):
        pairs = slices.each_pair_once(other_seeds).groupby("layer_a")["value"].mean().reindex(layers)
        axes.plot(places, pairs, "s-", color=palette.BASELINE, markersize=2.5, zorder=1.9, label=names[1])
    for (title, column), color in zip(columns.items(), (palette.CHANCE, palette.CLASSES), strict=True):
        if chance[column].notna().any():
            axes.plot(places, chance[column], ":", color=color, linewidth=0.9, label=title)
    marked = [place for place in places if layers[place] in warned]
    if marked:
        means = values.mean().to_numpy()[marked]
        axes.plot(marked, means, "o", color=palette.EXPERIMENT, markerfacecolor="white", label=names[-2])
    failed = final.groupby("layer_a")["failed"].max().reindex(layers, fill_value=False)
    drawing.mark_failed(axes, places, values.mean(), failed, names[-1])
    step = ceil(0.12 * len(layers) / (style.width - 0.62)) if upright else 1
    axes.set_xticks(places[::step], layers[::step], rotation=90 if upright else 0)
    axes.set(ylim=_scale(values, other_seeds["value"], chance), ylabel=label)
    axes.grid(True)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=across, handlelength=1.6, columnspacing=1.2
    )
    return figure


def draw_layers(rows: pd.DataFrame, label: str, style: Style) -> Figure:
    """Draw similarity to the dense network against the weights left: a small panel for each layer or block.

    Parameters
    ----------
    rows : pandas.DataFrame
        `slices.to_dense` of one measure.
    label : str
        Displayed name of the measure.
    style : Style

    Returns
    -------
    matplotlib.figure.Figure
    """
    groups = blocks(style.layers)
    columns = min(len(groups), max(2, int(style.width / 1.4)))
    lines = ceil(len(groups) / columns)
    left, bottom, gap, up = 0.42, 0.42, 0.3, 1.15
    wide = (style.width - left - 0.16 - gap * (columns - 1)) / columns
    figure = Figure(figsize=(style.width, bottom + lines * up))
    every = rows.pivot_table(index="layer_a", columns="round_a", values="value", dropna=False)
    every = every.reindex(index=style.layers, columns=style.places.index)
    limits = _scale(rows["value"], rows["chance"])
    for place, group in enumerate(groups):
        row, column = divmod(place, columns)
        across, height = left + column * (wide + gap), up - 0.3
        axes = drawing.panel(figure, across, bottom + (lines - 1 - row) * up, wide, height)
        for layer in style.layers:
            axes.plot(style.places, every.loc[layer], color=palette.CONTEXT, linewidth=0.5, alpha=0.6)
        for layer in group.members:
            _panel(axes, rows[rows["layer_a"] == layer], style)
        below = place + columns >= len(groups)
        drawing.sparsity_axis(axes, style.rounds, label=False)
        axes.set(ylim=limits, title=group.title)
        axes.tick_params(labelbottom=below, labelleft=column == 0)
    figure.text(0.5, 0.06 / (bottom + lines * up), style.rounds.axis, ha="center", va="bottom")
    figure.text(0.02 / style.width, 0.5, label, rotation=90, ha="left", va="center")
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, style: Style) -> None:
    places = style.places
    values = rows.pivot(index="seed_a", columns="round_a", values="value").reindex(columns=places.index)
    drawing.over_seeds(axes, places, values, palette.EXPERIMENT, ".")
    chance = rows.groupby("round_a")["chance"].mean().reindex(places.index)
    axes.plot(places, chance, ":", color=palette.CHANCE, linewidth=0.9)
    failed = rows.groupby("round_a")["failed"].max().reindex(places.index, fill_value=False)
    drawing.mark_failed(axes, places, values.mean(), failed)


def draw_to_dense(rows: pd.DataFrame, label: str, style: Style) -> Figure:
    """Draw the heatmap of layers × rounds: similarity to the dense network, mean over seeds.

    Parameters
    ----------
    rows : pandas.DataFrame
        `slices.to_dense` of one measure.
    label : str
        Displayed name of the measure.
    style : Style

    Returns
    -------
    matplotlib.figure.Figure
    """
    rounds = sorted(rows["round_a"].unique())
    left = drawing.label_width(style.layers)
    room, height = style.width - left - drawing.BESIDE, 0.17 * len(style.layers) + 0.2
    cell = room / len(rounds)
    step = ceil(0.3 / cell)
    names = [[style.rounds.short(round), style.rounds.texts[round]] for round in rounds[::step]]
    ticks, below, upright = drawing.tick_names(names, step * cell)
    figure, axes = drawing.canvas(style.width, height + below, left=left, right=drawing.BESIDE, bottom=below)
    cells = _cells(rows, layer_a=style.layers, round_a=rounds)
    drawing.heatmap(figure, axes, cells, style.colormap, label, numbers=cell > 0.24)
    axes.set_xticks(range(0, len(rounds), step), ticks, parse_math=False, rotation=90 if upright else 0)
    axes.set_yticks(range(len(style.layers)), style.layers)
    axes.set(xlabel=f"{style.rounds.word}, weights remaining (%)")
    return figure


def draw_rounds(rows: pd.DataFrame, label: str, style: Style) -> Figure:
    """Draw the heatmap of rounds × rounds for one layer, mean over seeds.

    Parameters
    ----------
    rows : pandas.DataFrame
        `slices.between_rounds` of one measure and layer.
    label : str
        Displayed name of the measure.
    style : Style

    Returns
    -------
    matplotlib.figure.Figure
        At most 3.25 inches wide, unless rounds have names.
    """
    rounds = sorted(rows["round_a"].unique())
    step = 1 if len(rounds) <= 11 else 5
    names = [style.rounds.short(round) for round in rounds[::step]]
    width = style.width if style.rounds.labels else min(style.width, 3.25)
    left = max(0.45, 0.22 + drawing.label_width(names))
    cell = (width - left - drawing.BESIDE) / len(rounds)
    ticks, below, upright = drawing.tick_names([[name] for name in names], step * cell)
    figure, axes = drawing.canvas(width, 2.2 + below, left=left, right=drawing.BESIDE, bottom=below)
    cells = _cells(rows, round_a=rounds, round_b=rounds)
    drawing.heatmap(figure, axes, cells, style.colormap, label, numbers=False)
    places = range(0, len(rounds), step)
    axes.set_xticks(places, ticks, parse_math=False, rotation=90 if upright else 0)
    axes.set_yticks(places, names, parse_math=False)
    word = style.rounds.word
    axes.set(xlabel=word if style.rounds.labels else "round (0 is dense)", ylabel=word)
    return figure


def _cells(rows: pd.DataFrame, **sides: list) -> dict[str, np.ndarray]:
    """Return tables of both sides: means over seeds, and whether any seed needs a warning or failed."""
    index, columns = sides
    found = rows.assign(warned=rows["status"] != "ok").groupby([index, columns])
    found = found[["value", "chance", "chance_high", "warned", "failed"]].agg("mean").unstack()
    tables = {
        name: found[name].reindex(index=sides[index], columns=sides[columns]).to_numpy(float)
        for name in found.columns.unique(0)
    }
    return tables | {name: tables[name] > 0 for name in ("warned", "failed")}


def _scale(*values) -> tuple[float, float]:
    lowest = min(
        (float(np.nanmin(part)) for part in values if np.isfinite(np.asarray(part, float)).any()), default=0
    )
    return min(0.0, np.floor(20 * lowest) / 20), 1.02
