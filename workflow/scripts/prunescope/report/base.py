"""Shared parts of all charts on the pages: selection of rows, axes, lines and marks.

A chart is a Vega-Lite specification built with Altair, without data. The page selects the rows of the chart's
table by the menus in `Chart.keys` and gives them to the chart as the data set ``rows``, so a chart never
filters by a menu. Tables are aggregated beforehand (`prunescope.report.page_tables`): a row holds ``mean``,
``seed_low`` and ``seed_high`` over the seeds, or those of one seed. Colours that depend on the theme of the
page are CSS variables.
"""

import json
from dataclasses import dataclass

import altair as alt

from prunescope.report import palette
from prunescope.report.rounds import Rounds

ALL, ANY = "all", "*"
INK, SOFT, GRID, PAPER = "var(--ink)", "var(--soft)", "var(--grid)", "var(--paper)"
# Size of all text in charts, in pixels.
TEXT = 12
FONT = "Helvetica Neue, Arial, sans-serif"
ROWS = alt.NamedData("rows")
DEPTH = alt.SchemeParams("viridis", extent=list(palette.DEPTH))
# Filters for the rows that summarise the seeds shown, and for the rows of single seeds.
SUMMARY, SINGLE = "datum.role == 'summary'", "datum.role == 'seed'"
# The layer that is pointed at; the chart needs the parameter `lit`.
LIT = "datum.layer === lit"
# Of the selected round; the chart needs the parameter `round`.
SELECTED = "datum.round == round"
CHANCE_LEVEL = (
    "isValid(datum.chance) ? format(datum.chance, '.4f') + "
    "(isValid(datum.chance_high) ? ' (95 % quantile ' + format(datum.chance_high, '.4f') + ')' : '') + "
    "(isValid(datum.chance_classes) ? ', within classes ' + format(datum.chance_classes, '.4f') : '') "
    ": 'not known'"
)
INTERVAL = (
    "isValid(datum.low) ? format(datum.low, '.4f') + ' to ' + format(datum.high, '.4f') : 'not computed'"
)
# The weights remaining, in tooltips.
WEIGHTS = alt.Tooltip("weights:Q", title="weights (%)", format=".3~g")
DOTS = "Small dots are seeds."
RANGE = "Bands span the range over the seeds."


@dataclass(frozen=True)
class Panel:
    """One of several small drawings: its title and its layers."""

    title: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """A chart of a page."""

    # Of its element and of the files that its buttons save.
    name: str
    # The title states the finding, if there is one; the caption says what is drawn.
    title: str
    caption: str
    # The table of the page that it shows, and the menus of the page that select its rows: those whose columns
    # of these names hold the selected values or `ANY`.
    table: str
    keys: tuple[str, ...]
    # Vega-Lite specification of the data set `rows`.
    spec: dict
    # Text alternative: what is drawn, without values. Each chart has a table of the rows shown.
    description: str
    # Titles for what the menus select: the values of the chart's keys, joined by |, and the title.
    titles: tuple[tuple[str, str], ...] = ()
    # If it has several drawings of the same rows. Each has a parameter `members`.
    panels: tuple[Panel, ...] = ()
    # Columns and their required values, whatever the menus select.
    fixed: tuple[tuple[str, str], ...] = ()
    # Whether it also shows the rows of single seeds when all are selected.
    dots: bool = False
    # Whether it uses the width of the page.
    wide: bool = True
    # What the chart does not show, or what misleads.
    beware: str = ""
    # Title of the vertical axis in figures, if it has none on the page.
    vertical: str = ""


def chart(*filters: str) -> alt.Chart:
    """Start a layer from the rows for which all Vega expressions are true."""
    rows = alt.Chart(ROWS)
    for text in filters:
        rows = rows.transform_filter(text)
    return rows


def single() -> alt.Chart:
    """Start a layer with a single mark, whatever the rows."""
    return alt.Chart(alt.sequence(0, 1))


def lit() -> alt.Parameter:
    """Return the parameter for the layer that is pointed at anywhere on the page; none at first."""
    return alt.param(name="lit", value="")


def selected(rounds: Rounds) -> alt.Parameter:
    """Return the parameter for the round that the page selects; the last one at first."""
    return alt.param(name="round", value=rounds.last)


def one_of(*names: str) -> str:
    """Return the filter for the rows of these series."""
    return f"indexof({list(names)}, datum.series) >= 0"


def specification(chart: alt.TopLevelMixin) -> dict:
    """Finish a chart: the page's fonts and colours, no ARIA node for each mark."""
    chart = chart.properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    chart = chart.configure(
        aria=False,
        background="transparent",
        font=FONT,
        axis=alt.AxisConfig(
            labelColor=INK,
            titleColor=INK,
            gridColor=GRID,
            domainColor=SOFT,
            tickColor=SOFT,
            titleFontWeight="normal",
            labelFontSize=TEXT,
            titleFontSize=TEXT,
            labelLimit=160,
        ),
        legend=alt.LegendConfig(
            labelColor=INK,
            titleColor=INK,
            labelFontSize=TEXT,
            titleFontSize=TEXT,
            symbolLimit=0,
            labelLimit=300,
        ),
        view=alt.ViewConfig(stroke=None),
    )
    spec = chart.to_dict()
    spec.pop("data", None)
    return spec


def y_of(y: alt.Y, field: str, **more) -> alt.Y:
    """Return the same vertical axis for another field."""
    return alt.Y(f"{field}:Q", **{name: y[name] for name in ("scale", "axis", "title")}, **more)


def band(rows: alt.Chart, y: alt.Y) -> alt.Chart:
    """Draw the range over the seeds.

    Vega-Lite stacks areas, and then lets their axis begin at 0.
    """
    return rows.mark_area(opacity=0.18, aria=False).encode(
        y_of(y, "seed_low", stack=None), alt.Y2("seed_high")
    )


def seeds(rows: alt.Chart) -> alt.Chart:
    """Draw single seeds: smaller than means, and solid, because hollow marks carry a warning."""
    return rows.mark_point(filled=True, size=18, opacity=0.7)


def tooltip(*first: str | alt.Tooltip, mean: str, format: str) -> list[str | alt.Tooltip]:
    """Show the fields that identify a mark, then the mean with its range over seeds."""
    return [
        *first,
        alt.Tooltip("mean:Q", title=mean, format=format),
        alt.Tooltip("seed_low:Q", title="lowest value", format=format),
        alt.Tooltip("seed_high:Q", title="highest value", format=format),
        alt.Tooltip("seeds:Q", title="seeds"),
    ]


def with_levels(rows: alt.Chart) -> alt.Chart:
    """Add the texts of `similarity_tooltip`: chance levels and the interval for other images."""
    return rows.transform_calculate(chance_level=CHANCE_LEVEL, interval=INTERVAL)


def similarity_tooltip(*first: str | alt.Tooltip) -> list[str | alt.Tooltip]:
    """Show a similarity with its range over seeds, its chance level and what it was computed from.

    The rows need `with_levels`.
    """
    return [
        *tooltip(*first, mean="similarity", format=".4f"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("chance_level:N", title="chance level"),
        alt.Tooltip("n:Q", title="n (rows)"),
        alt.Tooltip("images:Q", title="images"),
        alt.Tooltip("ranks:N", title="ranks"),
        alt.Tooltip("status:N", title="status"),
    ]


def series_scales(
    names: list[str], columns: int | None = None
) -> tuple[alt.Color, alt.Shape, alt.StrokeDash]:
    """Return colour, mark and dash of the column `series`, with one legend that lists only these names.

    By default, the columns of the legend follow the width of the page. With 0 columns, there is no legend.
    """
    if columns is None:
        columns = alt.ExprRef("width > 560 ? 4 : 1")
    legend = alt.Legend(title=None, orient="top", symbolOpacity=1, columnPadding=24, columns=columns)
    if len(names) == 1 or columns == 0:
        legend = None
    colors, marks, dashes = palette.styles(names)
    return (
        alt.Color("series:N", scale=alt.Scale(domain=names, range=colors), legend=legend),
        alt.Shape("series:N", scale=alt.Scale(domain=names, range=marks), legend=legend),
        dashed("series", dict(zip(names, dashes, strict=True))),
    )


def dashed(field: str, dashes: dict[str, list[int]]) -> alt.StrokeDashValue:
    """Return the dash of each value of a field, without a scale, which Vega-Lite would add to the legend."""
    cases = [{"test": f"datum.{field} == '{name}'", "value": dash} for name, dash in dashes.items() if dash]
    return alt.StrokeDashValue([1, 0], condition=cases) if cases else alt.StrokeDashValue([1, 0])


def round_axis(rounds: Rounds) -> alt.Axis:
    """Return an axis of rounds with the weights remaining below them."""
    lines = {round: [rounds.name(round), text] for round, text in rounds.texts.items()}
    return alt.Axis(
        title=f"{rounds.word}, weights remaining (%)",
        labelExpr=f"{json.dumps(lines)}[datum.label]",
        labelOverlap="parity",
        labelSeparation=6,
        labelAngle=0,
    )


def layer_axis(layers: list[str], title: str | None = None) -> alt.Axis:
    """Return an axis of layers; names are slanted or upright unless they fit side by side on a phone.

    Where they would overlap all the same, only every second, third, ... one is written.
    """
    if sum(map(len, layers)) + 2 * len(layers) < 45:
        return alt.Axis(title=title, labelAngle=0)
    count = len(layers)
    return alt.Axis(
        title=title,
        labelAngle=-40 if count < 9 else -90,
        labelAlign="right",
        labelBaseline="middle",
        labelExpr=f"indexof({json.dumps(layers)}, datum.value) % ceil({13 * count} / width) "
        "? '' : datum.label",
        labelOverlap=False,
    )


def sparsity(field: str, rounds: Rounds | None = None, few: bool = False) -> alt.X:
    """Return an axis of weights remaining: logarithmic, dense on the left; or of the rounds, in order.

    It has a tick for each of the rounds, or with `few` for the first, the middle and the last.
    """
    positions = rounds.positions if rounds else {}
    ticks = sorted(positions)
    # Vega cannot find the ends in layers without rows, such as the dots when one seed is selected.
    domain = {"domain": list(rounds.ends)} if rounds else {}
    if few:
        ticks = sorted({ticks[0], ticks[len(ticks) // 2], ticks[-1]})
    if rounds and not rounds.by_weights:
        names = {round: rounds.name(round) for round in ticks}
        axis = alt.Axis(
            title=rounds.axis,
            values=ticks,
            # The label of a tick may have decimals.
            labelExpr=f"{json.dumps(names)}[datum.value]",
            labelOverlap="greedy",
        )
        return alt.X(field, scale=alt.Scale(zero=False, nice=False, padding=12, **domain), axis=axis)
    more = {"values": [positions[round] for round in ticks], "grid": True} if rounds else {}
    return alt.X(
        field,
        scale=alt.Scale(type="log", reverse=True, nice=False, padding=8, **domain),
        axis=alt.Axis(title="weights remaining (%)", format=".3~g", labelOverlap="greedy", **more),
    )
