"""Colours and marks that pages and figures share.

All have a contrast of at least 3 to white and to the pages' dark background, and differ in lightness or mark
as well as in hue (Okabe and Ito, 2008, darkened or lightened where needed).
"""

# The experiment, what it is compared with, and everything that is context.
EXPERIMENT, BASELINE, CHANCE, CONTEXT = "#0072B2", "#767676", "#767676", "#8C8C8C"
# Layers and rounds run from dark to light with depth: this part of viridis.
DEPTH = (0.0, 0.55)
# Each seed is drawn as a dot when there are at most so many; more are a band.
FEW_SEEDS = 5
# Controls and other experiments, in this order.
OTHERS = ["#D55E00", "#008F6B", "#B0609A", "#A87B00", "#3D8FC4", "#8A6FD1"]
# Matplotlib's and Vega's names of the same marks.
MARKS = [
    ("o", "circle"),
    ("s", "square"),
    ("D", "diamond"),
    ("^", "triangle-up"),
    ("v", "triangle-down"),
    ("P", "cross"),
    (">", "triangle-right"),
    ("<", "triangle-left"),
]


def colors(count: int) -> list[str]:
    """Return a colour for each of several series, the experiment's first; they repeat after seven."""
    known = [EXPERIMENT, *OTHERS]
    return [known[place % len(known)] for place in range(count)]


def marks(count: int, library: str) -> list[str]:
    """Return a mark for each of several series, as ``matplotlib`` or ``vega`` calls it."""
    column = ("matplotlib", "vega").index(library)
    return [MARKS[place % len(MARKS)][column] for place in range(count)]
