"""Heatmaps: similarities with their chance levels, and percentages."""

import altair as alt

from prunescope.report import base
from prunescope.report.rounds import Rounds

FAILING = "◇: a network that does not classify (test accuracy too low)."
FLAGS = (
    "Column on the right: highest chance level of the row. ○: not above the 95 % quantile of chance. "
    f"Black corner: value with a warning. {FAILING} ×: no value."
)
# Position of the chance column of heatmaps, in pixels from the right edge of the cells.
CHANCE_COLUMN = (10, 40)
# A triangle in the upper right corner of a cell, from that corner.
CORNER = "M0,0L-1,0L0,1Z"
TWO_DIGITS = alt.Text("mean:Q", format=".2f")


def heatmap(
    rows: alt.Chart, x: alt.X, y: alt.Y, colormap: str, tooltip: list[alt.Tooltip], height: int
) -> alt.LayerChart:
    """Draw `mean` as cells from 0 to 1, with a column of chance levels between them and the colour bar.

    Cells have numbers if they fit, a corner for warnings, ◇ for networks that do not classify, ○ if not above
    chance, × if missing.
    """
    bar = _bar(None, offset=CHANCE_COLUMN[1] + 14)
    color = alt.Color("mean:Q", scale=alt.Scale(scheme=colormap, domain=[0, 1], clamp=True), legend=bar)
    ink = _ink("mean")
    every = base.with_levels(rows).encode(x, y, tooltip=tooltip)
    known = every.transform_filter("isValid(datum.mean)")
    warned = known.transform_filter("datum.warned == 'warned'").mark_point(
        shape=CORNER,
        size=324,
        filled=True,
        color=ink,
        opacity=1,
        xOffset=alt.ExprRef("bandwidth('x') / 2"),
        yOffset=alt.ExprRef("-bandwidth('y') / 2"),
        aria=False,
    )
    diamonds = failing(
        known,
        size=24,
        stroke=ink,
        xOffset=alt.ExprRef("6 - bandwidth('x') / 2"),
        yOffset=alt.ExprRef("bandwidth('y') / 2 - 6"),
    )
    rings = known.transform_filter(
        "isValid(datum.chance_high) && datum.mean <= datum.chance_high"
    ).mark_point(
        size=24,
        stroke=ink,
        opacity=1,
        xOffset=alt.ExprRef("bandwidth('x') / 2 - 6"),
        yOffset=alt.ExprRef("bandwidth('y') / 2 - 6"),
        aria=False,
    )
    missing = every.transform_filter("!isValid(datum.mean)").mark_text(fontSize=12, color=base.INK, text="×")
    parts = [
        *_chance_column(rows, y, color, ink),
        known.mark_rect(aria=False).encode(color=color),
        *_frame(known, y, fillOpacity=0),
        warned,
        _numbers(known, ink, "bandwidth('x') > 30 && bandwidth('y') > 12", TWO_DIGITS),
        rings,
        diamonds,
        missing.encode(tooltip=[*tooltip[:2], *tooltip[-4:]]),
    ]
    return _layered(parts, y, height)


def cells(
    rounds: Rounds,
    y: alt.Y,
    scale: alt.Scale,
    text: str,
    tooltip: list[alt.Tooltip],
    height: int,
    drawn: str = "",
) -> alt.LayerChart:
    """Draw `mean`, in percent, as cells of y × rounds with their numbers, where these fit.

    `text` is the Vega expression of a cell's number, and `drawn` that of the value that the colour shows, if
    it is not `mean`.
    """
    x = alt.X("round:O", axis=base.round_axis(rounds))
    color = alt.Color("drawn:Q" if drawn else "mean:Q", scale=scale, legend=_bar("%", format=".3~r"))
    known = base.chart("isValid(datum.mean)")
    known = known.transform_calculate(drawn=drawn or "datum.mean", text=text).encode(x, y)
    fits = "bandwidth('x') > 30 && bandwidth('y') > 13"
    parts = [
        known.mark_rect(aria=False).encode(color, tooltip=tooltip),
        _numbers(known, _ink("drawn"), fits, alt.Text("text:N")),
        *_frame(known, y, filled=False),
    ]
    return _layered(parts, y, height)


def failing(rows: alt.Chart, **style) -> alt.Chart:
    """Put ◇ around the marks of networks that do not classify."""
    diamond = {"shape": "diamond", "size": 170, "stroke": base.INK, "strokeWidth": 1.2, "opacity": 1}
    return rows.transform_filter("datum.failed").mark_point(**diamond | {"aria": False} | style)


def _chance_column(rows: alt.Chart, y: alt.Y, color: alt.Color, ink: alt.ExprRef) -> list[alt.Chart]:
    """Draw the highest chance level of each row to the right of the cells, on the same scale."""
    start, end = (alt.ExprRef(f"width + {edge}") for edge in CHANCE_COLUMN)
    middle = alt.XValue(alt.ExprRef(f"width + {sum(CHANCE_COLUMN) / 2}"))
    row = y.shorthand.partition(":")[0]
    levels = rows.transform_aggregate(mean="max(chance)", groupby=[row]).transform_filter(
        "isValid(datum.mean)"
    )
    levels = levels.encode(y, tooltip=[f"{row}:N", alt.Tooltip("mean:Q", title="chance level", format=".4f")])
    head = rows.transform_aggregate(mean="max(chance)").transform_filter("isValid(datum.mean)")
    return [
        levels.mark_rect(aria=False).encode(alt.XValue(start), alt.X2Value(end), color),
        _numbers(levels, ink, "bandwidth('y') > 12", TWO_DIGITS).encode(middle),
        head.mark_text(text="chance", fontSize=base.TEXT, color=base.INK, aria=False).encode(
            middle, alt.YValue(-8)
        ),
    ]


def _numbers(rows: alt.Chart, ink: alt.ExprRef, fits: str, text: alt.Text) -> alt.Chart:
    opacity = alt.ExprRef(f"{fits} ? 1 : 0")
    marks = rows.mark_text(fontSize=base.TEXT, color=ink, opacity=opacity, aria=False)
    return marks.encode(text=text)


def _bar(title: str | None, **more) -> alt.Legend:
    """Return a colour bar that is as tall as the cells."""
    return alt.Legend(title=title, gradientLength=alt.ExprRef("height"), **more)


def _ink(field: str) -> alt.ExprRef:
    """Return the colour of marks on a cell: white on dark cells."""
    return alt.ExprRef(f"luminance(scale('color', datum.{field})) < 0.179 ? 'white' : 'black'")


def _frame(rows: alt.Chart, y: alt.Y, **style) -> list[alt.Chart]:
    """Draw a frame around the layer that is pointed at, if rows are layers."""
    if not _of_layers(y):
        return []
    frame = rows.transform_filter(base.LIT)
    return [frame.mark_rect(stroke=base.INK, strokeWidth=2, aria=False, **style)]


def _layered(parts: list[alt.Chart], y: alt.Y, height: int) -> alt.LayerChart:
    chart = alt.layer(*parts).properties(width="container", height=height)
    return chart.add_params(base.lit()) if _of_layers(y) else chart


def _of_layers(y: alt.Y) -> bool:
    return y.shorthand.startswith("layer")
