"""Colours and marks that pages and figures share.

All have a contrast of at least 3 to white and to the pages' dark background, and differ in lightness or mark
as well as in hue (Okabe and Ito, 2008, darkened or lightened where needed).
"""

# The experiment, its baselines, and everything that is context.
EXPERIMENT, BASELINE, CHANCE, CONTEXT = "#0072B2", "#767676", "#767676", "#8C8C8C"
CLASSES = "#9A6A4B"
# Part of viridis for layers and rounds, from dark to light with depth.
DEPTH = (0.0, 0.55)
# Up to this many seeds are drawn as dots, more as a band.
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
    """Return a colour for each of several series, first the experiment's; they repeat after seven."""
    known = [EXPERIMENT, *OTHERS]
    return [known[place % len(known)] for place in range(count)]


def marks(count: int, library: str) -> list[str]:
    """Return a mark for each of several series, by its name in ``matplotlib`` or ``vega``."""
    column = ("matplotlib", "vega").index(library)
    return [MARKS[place % len(MARKS)][column] for place in range(count)]
