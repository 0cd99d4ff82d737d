"""Colours, marks and dashes of the series: fixed for each series by name, on every page and figure.

Any two series differ in colour, also to people with deuteranopia or protanopia, and in mark and dash, so
that no reader needs the colours. A chart names a colour by its CSS variable; the page defines the variables
for a light and a dark theme, and images that are saved or printed have the light colours.
"""

from dataclasses import dataclass

from prunescope.findings.slices import OTHER_SEEDS, PRUNED, UNTRAINED, series


@dataclass(frozen=True)
class Style:
    """How a series is drawn."""

    # Its colour on a light and on a dark page.
    light: str
    dark: str
    # Vega's name of its mark; stroke if it is a line only.
    mark: str
    # Lengths of its strokes and gaps; empty for a solid line.
    dash: tuple[int, ...] = ()


SERIES = {
    PRUNED: Style("#0069a8", "#5fb4f2", "circle"),
    series("retrain"): Style("#c2540a", "#ff9d5c", "square", (6, 3)),
    series("siblings"): Style("#1f7a4d", "#35dba0", "diamond", (6, 3, 2, 3)),
    series("shuffled-masks"): Style("#6d0f66", "#d52af8", "triangle-down", (3, 2)),
    series("new-weights"): Style("#5e4300", "#f5d547", "cross", (10, 3)),
    OTHER_SEEDS: Style("#6b7480", "#9aa6b2", "triangle-up", (2, 3)),
    UNTRAINED: Style("#22252b", "#eceef5", "triangle-right", (1, 3)),
    "chance level": Style("#767676", "#8f8f8f", "stroke", (2, 3)),
    "chance within classes": Style("#8d6144", "#b5835f", "stroke", (5, 2, 1, 2)),
}
# What is drawn for comparison only, without a name.
CONTEXT = "#8C8C8C"
# Text, secondary text, lines of the grid, and the page itself.
THEMES = {
    "light": {"--ink": "#1b1b1b", "--soft": "#5c5c5c", "--grid": "#e4e4e4", "--paper": "#ffffff"},
    "dark": {"--ink": "#ececec", "--soft": "#a8a8a8", "--grid": "#33373b", "--paper": "#14171a"},
}
# Part of viridis for layers and rounds, from dark to light with depth.
DEPTH = (0.0, 0.55)
# Up to this many seeds are drawn as dots, more as a band.
FEW_SEEDS = 5
# Experiments side by side, in this order. They have a contrast of at least 3 to a light and to a dark page.
EXPERIMENTS = ["#0072B2", "#D55E00", "#008F6B", "#B0609A", "#A87B00", "#3D8FC4", "#8A6FD1"]
MARKS = [
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "cross",
    "triangle-right",
    "triangle-left",
]


def variable(name: str) -> str:
    """Return the CSS variable that holds the colour of a series, such as ``--other-seeds``."""
    return "--" + name.replace(" ", "-")


def color(name: str) -> str:
    """Return the colour of a series as charts name it, such as ``var(--other-seeds)``."""
    return f"var({variable(name)})"


def variables(theme: str) -> dict[str, str]:
    """Return all CSS variables of a theme, ``light`` or ``dark``, with their colours."""
    return THEMES[theme] | {variable(name): getattr(style, theme) for name, style in SERIES.items()}


def styles(names: list[str]) -> tuple[list[str], list[str], list[list[int]]]:
    """Return colours, marks and dashes of several series.

    Names that are not in `SERIES` are those of experiments side by side. They are solid, and colours and
    marks follow their order; they repeat after seven colours and eight marks.
    """
    colors, marks, dashes = [], [], []
    for index, name in enumerate(names):
        known = SERIES.get(name)
        colors.append(color(name) if known else EXPERIMENTS[index % len(EXPERIMENTS)])
        marks.append(known.mark if known else MARKS[index % len(MARKS)])
        dashes.append(list(known.dash) if known else [])
    return colors, marks, dashes
