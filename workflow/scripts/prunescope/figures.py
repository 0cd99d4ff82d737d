"""Figures for papers: accuracy and density while pruning, similarity to the dense network, rounds × rounds.

Every figure is 3.5 or 7 inches wide (one or two columns). Similarities share one scale, 0 to 1, everywhere.
Bands span the lowest to the highest seed. Layers are told apart by colour and marker; the colours run from
dark to light with depth, so that they also differ without hue, and all have a contrast of at least 3 to
white.

Matplotlib's object interface throughout: no global state, no display. Axes are placed in inches: a layout
engine would take more time than all the drawing.
"""

import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from prunescope.files import atomic_path
from prunescope.findings import METRICS

COLUMN, PAGE = 3.5, 7.0
BLUE, GREY = "#0072B2", "0.35"
MARKERS = "osD^vP<>X*"
# The same drawing gives the same bytes: no dates, no random ids. Fonts are embedded as TrueType because many
# publishers refuse the other kind.
mpl.rcParams.update(
    {
        "svg.hashsalt": "prunescope",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "font.size": 7,
        "axes.titlesize": 8,
        "axes.titlelocation": "left",
        "axes.linewidth": 0.6,
        "axes.grid": False,
        "grid.color": "0.9",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.1,
        "lines.markersize": 3.2,
        "legend.fontsize": 6.5,
        "legend.frameon": False,
    }
)
FORMATS = {
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 1}},
}


def draw_all(
    similarity: pd.DataFrame,
    accuracy: pd.DataFrame,
    densities: pd.DataFrame,
    layers: list[str],
    colormap: str,
) -> dict[str, Figure]:
    """Draw every figure of an experiment.

    Parameters
    ----------
    similarity, accuracy : pandas.DataFrame
        The experiment's matrix and accuracy table.
    densities : pandas.DataFrame
        `prunescope.records.layers`: density of each prunable layer.
    layers : list of str
        Recorded layers in the order of the network.
    colormap : str
        Of the heatmaps.

    Returns
    -------
    dict of str to matplotlib.figure.Figure
        By file name without suffix: ``accuracy``, ``density``, and for each metric ``dense_{metric}``,
        ``layers_{metric}`` and one ``rounds_{metric}_{layer}`` for each layer.
    """
    same = similarity[similarity["layer_a"] == similarity["layer_b"]]
    own = same[same["seed_a"] == same["seed_b"]]
    across = same[(same["seed_a"] != same["seed_b"]) & (same["round_a"] == 0) & (same["round_b"] == 0)]
    figures = {"accuracy": draw_accuracy(accuracy), "density": draw_density(densities)}
    for metric in dict.fromkeys(same["metric"]):
        one = own[own["metric"] == metric]
        ceiling = across[across["metric"] == metric]
        figures[f"dense_{metric}"] = draw_to_dense(one, accuracy, layers, metric, colormap)
        figures[f"layers_{metric}"] = draw_layers(one, ceiling, accuracy, layers, metric)
        for layer in layers:
            part = one[one["layer_a"] == layer]
            figures[f"rounds_{metric}_{layer}"] = draw_rounds(part, layer, metric, colormap)
    return figures


def draw_accuracy(accuracy: pd.DataFrame) -> Figure:
    """Test accuracy against the fraction of weights left: mean over seeds, band from lowest to highest."""
    figure, axes = _canvas(COLUMN, 2.4, left=0.55)
    table = accuracy.assign(percent=100 * accuracy["test_accuracy"]).groupby("round")
    density = 100 * table["density"].mean()
    axes.fill_between(
        density, table["percent"].min(), table["percent"].max(), color=BLUE, alpha=0.2, linewidth=0
    )
    axes.plot(density, table["percent"].mean(), "o-", color=BLUE)
    _sparsity_axis(axes, density)
    axes.set(ylabel="test accuracy (%)", title=f"Accuracy against density: {_of_seeds(accuracy['seed'])}")
    return figure


def draw_density(densities: pd.DataFrame) -> Figure:
    """Fraction of weights left in each prunable layer against that of all layers together."""
    layers = list(dict.fromkeys(densities["layer"]))
    figure, axes = _canvas(COLUMN, _tall(layers), left=0.55, right=_legend_width(layers))
    overall = 100 * densities.groupby("round")["density_all_layers"].mean()
    table = densities.assign(value=100 * densities["density"], x=100 * densities["density_all_layers"])
    _lines(axes, table, layers)
    axes.plot(overall, overall, "--", color=GREY, linewidth=0.8, label="all prunable")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    _sparsity_axis(axes, overall)
    axes.set(ylabel="weights remaining in the layer (%)", title="Density of each layer while pruning")
    _legend(axes)
    return figure


def draw_to_dense(
    similarity: pd.DataFrame, accuracy: pd.DataFrame, layers: list[str], metric: str, colormap: str
) -> Figure:
    """Heatmap of layers × rounds: similarity to the dense network, mean over seeds."""
    part = similarity[similarity["round_b"] == 0]
    table = part.pivot_table(index="layer_a", columns="round_a", values="value", aggfunc="mean", dropna=False)
    table = table.reindex(layers)
    density = 100 * accuracy.groupby("round")["density"].mean()
    rounds = table.shape[1]
    width = COLUMN if rounds <= 9 else PAGE
    left, height = _label_width(layers), 0.2 * len(layers) + 0.85
    figure, axes = _canvas(width, height, left=left, right=0.65, bottom=0.55)
    _heatmap(figure, axes, table.to_numpy(), colormap, METRICS[metric], 6 if width / rounds > 0.25 else None)
    axes.set_xticks(range(rounds), [f"{round}\n{density[round]:.3g}" for round in table.columns], fontsize=6)
    axes.set_yticks(range(len(layers)), layers)
    axes.set(
        xlabel="round, weights remaining (%)", title=f"Similarity to the dense network: {METRICS[metric]}"
    )
    return figure


def draw_layers(
    similarity: pd.DataFrame, ceiling: pd.DataFrame, accuracy: pd.DataFrame, layers: list[str], metric: str
) -> Figure:
    """Similarity to the dense network on one scale: while pruning, and as a profile over the layers.

    The profile shows the last round and, where `ceiling` has rows, how similar dense networks of different
    seeds are.
    """
    upright = len(layers) > 6 or max(map(len, layers)) > 7
    below = max(0.42, 0.12 + 0.054 * max(map(len, layers))) if upright else 0.42
    height, left, legend = _tall(layers) - 0.42 + below, 0.5, _legend_width(layers)
    figure = Figure(figsize=(PAGE, height))
    wide = (PAGE - 2 * left - legend) / 2
    axes = _panel(figure, left, below, wide, height - below - 0.28)
    density = 100 * accuracy.groupby("round")["density"].mean()
    part = similarity[similarity["round_b"] == 0]
    _lines(axes, part.assign(layer=part["layer_a"], round=part["round_a"], x=100 * part["density_a"]), layers)
    _sparsity_axis(axes, density)
    seeds = _of_seeds(similarity["seed_a"])
    axes.set(ylim=(0, 1.02), ylabel=METRICS[metric], title=f"Similarity to the dense network: {seeds}")
    _legend(axes)

    axes = _panel(figure, 2 * left + legend + wide - 0.12, below, wide, height - below - 0.28)
    last = part["round_a"].max()
    places = range(len(layers))
    profiles = [
        (part[part["round_a"] == last], BLUE, "o-", f"round {last}, {density[last]:.3g} % of weights")
    ]
    if len(ceiling):
        profiles.append((ceiling, GREY, "s--", "dense networks of other seeds"))
    for rows, color, style, label in profiles:
        values = rows.groupby("layer_a")["value"].agg(["mean", "min", "max"]).reindex(layers)
        axes.fill_between(places, values["min"], values["max"], color=color, alpha=0.2, linewidth=0)
        axes.plot(places, values["mean"], style, color=color, label=label)
    axes.set_xticks(places, layers, rotation=90 if upright else 0)
    axes.set(ylim=(0, 1.02), title="The same, layer by layer")
    axes.grid(True)
    axes.legend(loc="lower left")
    return figure


def draw_rounds(similarity: pd.DataFrame, layer: str, metric: str, colormap: str) -> Figure:
    """Heatmap of rounds × rounds for one layer, mean over seeds."""
    table = similarity.pivot_table(
        index="round_a", columns="round_b", values="value", aggfunc="mean", dropna=False
    )
    figure, axes = _canvas(COLUMN, 2.95, left=0.45, right=0.65)
    _heatmap(figure, axes, table.to_numpy(), colormap, METRICS[metric], None)
    step = 1 if len(table) <= 11 else 5
    places = range(0, len(table), step)
    axes.set_xticks(places, table.columns[::step])
    axes.set_yticks(places, table.index[::step])
    axes.set(xlabel="round (0 is dense)", ylabel="round", title=f"{layer}: similarity between rounds")
    return figure


def save(figures: dict[str, Figure], folder: str | Path, dpi: int) -> None:
    """Write every figure as SVG, PDF and PNG into a folder that appears when all are there."""
    with atomic_path(folder) as part:
        part.mkdir()
        for name, figure in figures.items():
            for suffix, options in FORMATS.items():
                figure.savefig(part / f"{_file_name(name)}.{suffix}", dpi=dpi, **options)


def _canvas(width, height, left, right=0.12, bottom=0.42, top=0.28) -> tuple[Figure, Axes]:
    """Make a figure with one panel; sizes and margins in inches."""
    figure = Figure(figsize=(width, height))
    return figure, _panel(figure, left, bottom, width - left - right, height - bottom - top)


def _panel(figure: Figure, left, bottom, width, height) -> Axes:
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.tick_params(length=2, pad=2)
    return axes


def _lines(axes: Axes, table: pd.DataFrame, layers: list[str]) -> None:
    """Draw `value` against `x` over the rounds, a line and a band over the seeds for each layer."""
    colors = mpl.colormaps["inferno"](np.linspace(0.05, 0.66, len(layers)))
    for index, layer in enumerate(layers):
        rounds = table[table["layer"] == layer].groupby("round")
        x, values = rounds["x"].mean(), rounds["value"]
        color = colors[index]
        axes.fill_between(x, values.min(), values.max(), color=color, alpha=0.15, linewidth=0)
        axes.plot(x, values.mean(), MARKERS[index % len(MARKERS)] + "-", color=color, label=layer)


def _heatmap(
    figure: Figure, axes: Axes, values: np.ndarray, colormap: str, label: str, numbers: float | None
) -> None:
    """Draw values on the common scale, with numbers of a font size; a missing one is a cross on white."""
    image = axes.imshow(values, vmin=0, vmax=1, cmap=colormap, aspect="auto", interpolation="nearest")
    width, _ = figure.get_size_inches()
    box = axes.get_position()
    bar = figure.add_axes((box.x1 + 0.08 / width, box.y0, 0.1 / width, box.height))
    figure.colorbar(image, cax=bar, label=label).ax.tick_params(length=2, pad=2)
    for row, column in np.argwhere(np.isnan(values)):
        axes.text(column, row, "×", ha="center", va="center", color=GREY)
    if numbers is None:
        return
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            text = f"{value:.2f}".removeprefix("0")
            axes.text(column, row, text, ha="center", va="center", fontsize=numbers, color=_ink(image, value))


def _ink(image, value: float) -> str:
    """Black or white, whichever has the higher contrast (WCAG 2) to the colour of a value."""
    channels = np.array(image.cmap(image.norm(value))[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "white" if linear @ [0.2126, 0.7152, 0.0722] < 0.179 else "black"


def _sparsity_axis(axes: Axes, percents: pd.Series) -> None:
    """Make the horizontal axis weights remaining: logarithmic, dense on the left, ticks at data."""
    axes.set_xscale("log")
    high, low = percents.max(), percents.min()
    margin = max((high / low) ** 0.04, 1.02)
    axes.set_xlim(high * margin, low / margin)
    inches = axes.get_position().width * axes.figure.get_size_inches()[0]
    axes.xaxis.set_major_locator(FixedLocator(_spaced(percents, (high / low) ** (0.38 / inches))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.set_xlabel("weights remaining (%)")
    axes.grid(True)


def _spaced(values, ratio: float) -> list[float]:
    """Choose measured values that keep a distance on the logarithmic axis, largest and smallest included."""
    ticks: list[float] = []
    for value in sorted(values, reverse=True):
        if not ticks or value < ticks[-1] / ratio:
            ticks.append(value)
    if len(ticks) > 1:
        ticks[-1] = min(values)
    return ticks


def _legend(axes: Axes) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.6, labelspacing=0.3)


def _legend_width(layers: list[str]) -> float:
    return 0.5 + 0.052 * max(12, *map(len, layers))


def _label_width(labels: list[str]) -> float:
    return 0.18 + 0.058 * max(map(len, labels))


def _tall(layers: list[str]) -> float:
    return max(2.4, 0.8 + 0.135 * len(layers))


def _of_seeds(seeds: pd.Series) -> str:
    count = seeds.nunique()
    return f"mean, range of {count} seeds" if count > 1 else f"seed {seeds.iloc[0]}"


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)
