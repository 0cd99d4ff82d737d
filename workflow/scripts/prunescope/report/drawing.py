"""How figures are drawn: sizes and margins in inches, fonts, files, and the parts that figures share.

Only Matplotlib's object interface is used: no global state, no display. Axes are placed in inches, because a
layout engine would take longer than all the drawing.
"""

from math import ceil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from prunescope.files import atomic_path
from prunescope.report.palette import CHANCE, FEW_SEEDS
from prunescope.report.rounds import Rounds

# Smallest text size in points: journals and conferences require 7 at final size.
SMALLEST = 7
# The same drawing gives the same bytes: no dates, no random ids. Fonts are embedded as TrueType because many
# publishers do not accept Type 3 fonts.
mpl.rcParams.update(
    {
        "svg.hashsalt": "prunescope",
        # Letters are outlines in SVG files, so that they look the same everywhere.
        "svg.fonttype": "path",
        "font.family": "DejaVu Sans",
        "pdf.fonttype": 42,
        "font.size": SMALLEST,
        "axes.titlesize": SMALLEST,
        "axes.titlelocation": "left",
        "axes.titlepad": 3,
        "axes.linewidth": 0.6,
        "axes.grid": False,
        "grid.color": "0.9",
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.1,
        "lines.markersize": 3.2,
        "legend.fontsize": SMALLEST,
        "legend.frameon": False,
        "hatch.linewidth": 0.4,
    }
)
# Space to the right of a heatmap for the chance levels and the labelled colour bar, in inches.
BESIDE = 0.9
FORMATS = {
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 1}},
}


def save(figures: dict[str, Figure], folder: str | Path, dpi: int) -> None:
    """Write every figure as SVG, PDF and PNG into a folder, which is created only when complete.

    Parameters
    ----------
    figures : dict of str to matplotlib.figure.Figure
        By file name without suffix (`prunescope.report.names.file_name`).
    folder : path
    dpi : int
        Resolution of the PNG files.
    """
    with atomic_path(folder) as part:
        part.mkdir()
        for name, figure in figures.items():
            for suffix, options in FORMATS.items():
                figure.savefig(part / f"{name}.{suffix}", dpi=dpi, **options)


def canvas(width, height, left, right=0.12, bottom=0.42, top=0.1) -> tuple[Figure, Axes]:
    """Make a figure with one panel; sizes and margins in inches."""
    figure = Figure(figsize=(width, height))
    return figure, panel(figure, left, bottom, width - left - right, height - bottom - top)


def panel(figure: Figure, left, bottom, width, height) -> Axes:
    """Add axes to a figure; places and sizes in inches."""
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.tick_params(length=2, pad=2)
    return axes


def over_seeds(axes: Axes, x, values: pd.DataFrame, color: str, mark: str, label: str | None = None) -> None:
    """Draw the mean of several seeds as a line, and each seed as a dot; many seeds as a band.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    x : sequence of float
        One place for each column.
    values : pandas.DataFrame
        A row for each seed.
    color, mark : str
    label : str, optional
        For a legend.
    """
    if len(values) > FEW_SEEDS:
        axes.fill_between(x, values.min(), values.max(), color=color, alpha=0.2, linewidth=0)
    elif len(values) > 1:
        for _, row in values.iterrows():
            axes.plot(x, row, mark, color=color, markersize=1.6, alpha=0.55, markeredgewidth=0)
    axes.plot(x, values.mean(), mark + "-", color=color, label=label)


def mark_failed(axes: Axes, x, values: pd.Series, failed: pd.Series, label: str | None = None) -> None:
    """Put ◇ around the values of networks that do not classify."""
    shown = failed.to_numpy(bool)
    if shown.any():
        place = np.asarray(x)[shown], values.to_numpy()[shown]
        axes.plot(*place, "D", markersize=5.5, markerfacecolor="none", color="0.1", label=label)


def heatmap(
    figure: Figure, axes: Axes, cells: dict[str, np.ndarray], colormap: str, label: str, numbers: bool
) -> None:
    """Draw values on the common scale, with a column of chance levels between them and the colour bar.

    Cells that need a warning are hatched; ○ marks values not above chance, ◇ networks that do not classify, ×
    missing values.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    axes : matplotlib.axes.Axes
        With `BESIDE` inches of space on the right.
    cells : dict of str to numpy.ndarray
        ``value``, ``chance``, ``chance_high``, ``warned`` and ``failed`` (bool), of the same shape.
    colormap, label : str
        `label` is that of the colour bar.
    numbers : bool
        Whether the values are written in the cells.
    """
    values, chance, warned = cells["value"], cells["chance"], cells["warned"]
    options = {"vmin": 0, "vmax": 1, "cmap": colormap, "aspect": "auto", "interpolation": "nearest"}
    image = axes.imshow(values, **options)
    across, up = figure.get_size_inches()
    box = axes.get_position()
    place = {"bottom": box.y0 * up, "height": box.height * up}
    bar = panel(figure, left=box.x1 * across + 0.36, width=0.1, **place)
    figure.colorbar(image, cax=bar, label=label)
    for row, column in np.argwhere(np.isnan(values)):
        axes.text(column, row, "×", ha="center", va="center", color=CHANCE)
    for row, column in np.argwhere(warned & ~np.isnan(values)):
        cell = Rectangle(
            (column - 0.5, row - 0.5), 1, 1, fill=False, hatch="////", linewidth=0, edgecolor="0.4"
        )
        axes.add_patch(cell)
    for shown, mark, shift in ((values <= cells["chance_high"], "o", 0.3), (cells["failed"], "D", -0.3)):
        rows, columns = np.nonzero(shown & ~np.isnan(values))
        if len(rows):
            inks = [_ink(image, value) for value in values[rows, columns]]
            axes.scatter(columns + shift, rows + 0.25, 5, "none", mark, edgecolors=inks, linewidths=0.6)
    levels = pd.DataFrame(chance).max(axis=1).to_numpy()[:, None]
    if not np.isnan(levels).all():
        beside = panel(figure, left=box.x1 * across + 0.08, width=0.2, **place)
        strip = beside.imshow(levels, **options)
        if place["height"] / len(levels) > 0.12:
            _write(beside, strip, levels)
        beside.set(xticks=[0], xticklabels=["chance"], yticks=[])
    if numbers:
        _write(axes, image, values)


def _write(axes: Axes, image, values: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            text = f"{value:.2f}".removeprefix("0")
            axes.text(column, row, text, ha="center", va="center", color=_ink(image, value))


def _ink(image, value: float) -> str:
    """Black or white, whichever contrasts more with the colour of a value (WCAG 2)."""
    channels = np.array(image.cmap(image.norm(value))[:3])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return "white" if linear @ [0.2126, 0.7152, 0.0722] < 0.179 else "black"


def sparsity_axis(axes: Axes, rounds: Rounds, label: bool = True) -> None:
    """Make the horizontal axis weights remaining: logarithmic, dense on the left, ticks at data.

    If weights are not removed in every round, it is an axis of the rounds, in order.
    """
    places = list(rounds.places.values())
    inches = axes.get_position().width * axes.figure.get_size_inches()[0]
    axes.grid(True)
    axes.set_xlabel(rounds.axis if label else "")
    if not rounds.by_weights:
        step = max(1, ceil(0.38 * len(places) / inches))
        names = [rounds.short(round) for round in list(rounds.places)[::step]]
        axes.set_xticks(places[::step], names, parse_math=False)
        axes.set_xlim(places[0] - 0.2, places[-1] + 0.2)
        return
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    high, low = max(places), min(places)
    margin = max((high / low) ** 0.04, 1.02)
    axes.set_xlim(high * margin, low / margin)
    axes.xaxis.set_major_locator(FixedLocator(_spaced(places, (high / low) ** (0.38 / inches))))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def _spaced(values, ratio: float) -> list[float]:
    """Choose measured values with a minimum distance on a logarithmic axis, including both extremes."""
    ticks: list[float] = []
    for value in sorted(values, reverse=True):
        if not ticks or value < ticks[-1] / ratio:
            ticks.append(value)
    if len(ticks) > 1:
        ticks[-1] = min(values)
    return ticks


def label_ends(axes: Axes, ends: pd.Series) -> None:
    """Write the names of lines at their right ends, moved apart where they would overlap."""
    figure = axes.figure
    high = axes.get_position().height * figure.get_size_inches()[1]
    scale = axes.transAxes.inverted()
    wanted = {name: scale.transform(axes.transData.transform((1, value)))[1] for name, value in ends.items()}
    step, place = 0.125 / high, -0.02
    ordered = sorted(wanted.items(), key=lambda item: item[1])
    # If there is no room for all names, only every second, third, ... name is written.
    for name, at in ordered[:: 1 + int(step * (len(ordered) - 1))]:
        place = max(at, place)
        axes.text(1.02, place, name, transform=axes.transAxes, va="center", clip_on=False)
        place += step


def legend_columns(names: list[str], width: float) -> int:
    """Return how many legend columns with these names fit into a figure of this width in inches."""
    longest = 0.5 + 0.056 * max(map(len, names))
    return max(1, min(len(names), int((width - 0.5) / longest)))


def tick_names(names: list[list[str]], room: float) -> tuple[list[str], float, bool]:
    """Return the labels of a horizontal axis whose ticks are `room` inches apart.

    Parameters
    ----------
    names : list of list of str
        The parts of each tick's label.
    room : float

    Returns
    -------
    labels : list of str
        With a part on each line, or on a single line where they are upright.
    height : float
        Height of the labels and the axis title, in inches.
    upright : bool
        Whether they are rotated by 90° because they would overlap.
    """
    longest = max(len(part) for parts in names for part in parts)
    if 0.06 * longest <= room:
        return ["\n".join(parts) for parts in names], 0.3 + 0.125 * len(names[0]), False
    lines = [", ".join(parts) for parts in names]
    return lines, 0.35 + 0.058 * max(map(len, lines)), True


def label_width(labels: list[str]) -> float:
    """Return how many inches these labels of a vertical axis take."""
    return 0.18 + 0.058 * max(map(len, labels))
