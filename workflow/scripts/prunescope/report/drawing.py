"""How figures are drawn: sizes and margins in inches, fonts, files, and the parts that figures share.

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
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from prunescope.files import atomic_path

COLUMN, PAGE = 3.5, 7.0
BLUE, GREY = "#0072B2", "0.35"
MARKERS = "osD^vP<>X*"
# The same drawing gives the same bytes: no dates, no random ids. Fonts are embedded as TrueType because many
# publishers do not accept Type 3 fonts.
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


def save(figures: dict[str, Figure], folder: str | Path, dpi: int) -> None:
    """Write every figure as SVG, PDF and PNG into a folder, which appears when it is complete.

    Parameters
    ----------
    figures : dict of str to matplotlib.figure.Figure
        By file name without suffix.
    folder : path
    dpi : int
        Resolution of the PNG files.
    """
    with atomic_path(folder) as part:
        part.mkdir()
        for name, figure in figures.items():
            for suffix, options in FORMATS.items():
                figure.savefig(part / f"{_file_name(name)}.{suffix}", dpi=dpi, **options)


def canvas(width, height, left, right=0.12, bottom=0.42, top=0.28) -> tuple[Figure, Axes]:
    """Make a figure with one panel; sizes and margins in inches."""
    figure = Figure(figsize=(width, height))
    return figure, panel(figure, left, bottom, width - left - right, height - bottom - top)


def panel(figure: Figure, left, bottom, width, height) -> Axes:
    """Add axes to a figure; places and sizes in inches."""
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.tick_params(length=2, pad=2)
    return axes


def lines(axes: Axes, table: pd.DataFrame, layers: list[str]) -> None:
    """Draw `value` against `x` over the rounds, a line and a band over the seeds for each layer."""
    colors = mpl.colormaps["inferno"](np.linspace(0.05, 0.66, len(layers)))
    for index, layer in enumerate(layers):
        rounds = table[table["layer"] == layer].groupby("round")
        x, values = rounds["x"].mean(), rounds["value"]
        color = colors[index]
        axes.fill_between(x, values.min(), values.max(), color=color, alpha=0.15, linewidth=0)
        axes.plot(x, values.mean(), MARKERS[index % len(MARKERS)] + "-", color=color, label=layer)


def heatmap(
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


def sparsity_axis(axes: Axes, percents: pd.Series) -> None:
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


def legend(axes: Axes) -> None:
    """Put the legend to the right of the axes."""
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.6, labelspacing=0.3)


def legend_width(layers: list[str]) -> float:
    """Return how many inches a legend of these layers takes."""
    return 0.5 + 0.052 * max(12, *map(len, layers))


def label_width(labels: list[str]) -> float:
    """Return how many inches these labels of a vertical axis take."""
    return 0.18 + 0.058 * max(map(len, labels))


def height(layers: list[str]) -> float:
    """Return how many inches a figure with a legend of these layers is high."""
    return max(2.4, 0.8 + 0.135 * len(layers))


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)
