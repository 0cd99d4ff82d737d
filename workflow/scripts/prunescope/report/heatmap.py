"""Heatmaps of similarities: cells from 0 to 1 with their warnings, and the chance level of each row."""

import altair as alt

from prunescope.report import base

# Position of the chance column of heatmaps, in pixels from the right edge of the cells.
CHANCE_COLUMN = (10, 40)
# A triangle in the upper right corner of a cell, from that corner.
CORNER = "M0,0L-1,0L0,1Z"


def failing(rows: alt.Chart, **style) -> alt.Chart:
    """Put ◇ around the marks of networks that do not classify."""
    return rows.transform_filter("datum.failed").mark_point(
        **{
            "shape": "diamond",
            "size": 170,
            "stroke": base.INK,
            "strokeWidth": 1.2,
            "opacity": 1,
            "aria": False,
        }
        | style
    )


def heatmap(
    rows: alt.Chart, x: alt.X, y: alt.Y, colormap: str, tooltip: list[alt.Tooltip], height: int
) -> alt.LayerChart:
    """Draw `mean` as cells from 0 to 1, with a column of chance levels between them and the colour bar.

    Cells have numbers if they fit, a corner for warnings, ◇ for networks that do not classify, ○ if not above
    chance, × if missing.
    """
    bar = alt.Legend(title=None, gradientLength=alt.ExprRef("height"), offset=CHANCE_COLUMN[1] + 14)
    color = alt.Color("mean:Q", scale=alt.Scale(scheme=colormap, domain=[0, 1], clamp=True), legend=bar)
    ink = alt.ExprRef("luminance(scale('color', datum.mean)) < 0.179 ? 'white' : 'black'")
    cells = base.with_levels(rows).encode(x, y, tooltip=tooltip)
    known = cells.transform_filter("isValid(datum.mean)")
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
    failed = failing(
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
    pointed = (
        [
            known.transform_filter(base.LIT).mark_rect(
                fillOpacity=0, stroke=base.INK, strokeWidth=2, aria=False
            )
        ]
        if y.shorthand.startswith("layer")
        else []
    )
    missing = cells.transform_filter("!isValid(datum.mean)").mark_text(fontSize=12, color=base.INK, text="×")
    chart = alt.layer(
        *_chance_column(rows, y, color, ink),
        known.mark_rect(aria=False).encode(color=color),
        *pointed,
        warned,
        _numbers(known, ink, "bandwidth('x') > 30 && bandwidth('y') > 12"),
        rings,
        failed,
        missing.encode(tooltip=[*tooltip[:2], *tooltip[-4:]]),
    ).properties(width="container", height=height)
    return chart.add_params(base.lit()) if pointed else chart


def _chance_column(rows: alt.Chart, y: alt.Y, color: alt.Color, ink: alt.ExprRef) -> list[alt.Chart]:
    """Draw the highest chance level of each row to the right of the cells, on the same scale."""
    left, right = (alt.ExprRef(f"width + {edge}") for edge in CHANCE_COLUMN)
    middle = alt.XValue(alt.ExprRef(f"width + {sum(CHANCE_COLUMN) / 2}"))
    row = y.shorthand.partition(":")[0]
    levels = rows.transform_aggregate(mean="max(chance)", groupby=[row]).transform_filter(
        "isValid(datum.mean)"
    )
    levels = levels.encode(y, tooltip=[f"{row}:N", alt.Tooltip("mean:Q", title="chance level", format=".4f")])
    head = rows.transform_aggregate(mean="max(chance)").transform_filter("isValid(datum.mean)")
    return [
        levels.mark_rect(aria=False).encode(alt.XValue(left), alt.X2Value(right), color),
        _numbers(levels, ink, "bandwidth('y') > 12").encode(middle),
        head.mark_text(text="chance", fontSize=base.TEXT, color=base.INK, aria=False).encode(
            middle, alt.YValue(-8)
        ),
    ]


def _numbers(rows: alt.Chart, ink: alt.ExprRef, fits: str) -> alt.Chart:
    opacity = alt.ExprRef(f"{fits} ? 1 : 0")
    marks = rows.mark_text(fontSize=base.TEXT, color=ink, opacity=opacity, aria=False)
    return marks.encode(text=alt.Text("mean:Q", format=".2f"))
