"""What all charts of the pages share: menus, aggregation over seeds, axes and lines.

A chart is a Vega-Lite specification built with Altair, without its data. Its parameters are bound to the
page's `<select>` elements by name (`measure`, `seed`, `round`, `layer`, `metric`), so one menu controls all
charts. Similarities have the same scale, 0 to 1, everywhere, and bands span the lowest to the highest seed.
Layers differ by colour and shape: dark to light with depth, each colour with a contrast of at least 3 to
white.
"""

import json
from dataclasses import dataclass

import altair as alt

ALL = "all"
BLUE, GREY = "#0063A3", "#555555"
DEPTH = alt.SchemeParams("inferno", extent=[0.05, 0.66])
SHAPES = [
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "cross",
    "triangle-right",
    "triangle-left",
]
BANDS = "Bands span the lowest to the highest seed."
# Filters of rows; the names without `datum` are menus of the page.
OF_MEASURE = "datum.measure == measure"
OF_SEED = f"seed == '{ALL}' || datum.seed == seed"


@dataclass(frozen=True)
class Chart:
    """A chart of a page.

    Attributes
    ----------
    name : str
        Of the files that its buttons save.
    title, caption : str
    table : str
        The table of the page that it shows.
    spec : dict
        Vega-Lite specification without data, with the chart's text alternative as its description.
    """

    name: str
    title: str
    caption: str
    table: str
    spec: dict


def over_seeds(
    chart: alt.Chart, filters: list[str], by: list[str], value: str = "value", **more: str
) -> alt.Chart:
    """Keep some rows and summarise each group of them over the seeds.

    Parameters
    ----------
    chart : altair.Chart
    filters : list of str
        Vega expressions that a row must satisfy.
    by : list of str
        Columns that define the groups.
    value : str
        The column to summarise.
    **more : str
        Further aggregates by the name of their column.

    Returns
    -------
    altair.Chart
        With one row for each group: its columns `by`, ``mean``, ``low``, ``high``, ``seeds`` (number of
        values) and those of `more`.
    """
    for text in filters:
        chart = chart.transform_filter(text)
    return chart.transform_aggregate(
        groupby=by,
        mean=f"mean({value})",
        low=f"min({value})",
        high=f"max({value})",
        seeds=f"valid({value})",
        **more,
    )


def tooltip(*first: alt.Tooltip, mean: str, format: str) -> list[alt.Tooltip]:
    """Show the mean with its range over seeds after the fields that identify a mark."""
    return [
        *first,
        alt.Tooltip("mean:Q", title=mean, format=format),
        alt.Tooltip("low:Q", title="lowest seed", format=format),
        alt.Tooltip("high:Q", title="highest seed", format=format),
        alt.Tooltip("seeds:Q", title="seeds"),
    ]


def specification(chart: alt.TopLevelMixin, menus: list[str], description: str) -> dict:
    """Finish a chart.

    Parameters
    ----------
    chart : altair.Chart or altair.LayerChart
    menus : list of str
        Ids of the `<select>` elements whose values its expressions use.
    description : str
        Its text alternative.

    Returns
    -------
    dict
        Vega-Lite specification without data, which the page adds.
    """
    chart = chart.add_params(*map(_menu, menus)) if menus else chart
    chart = chart.properties(
        description=description, autosize=alt.AutoSizeParams(type="fit-x", contains="padding")
    )
    chart = chart.configure(
        font="system-ui, sans-serif",
        axis=alt.AxisConfig(
            labelColor="#222",
            titleColor="#222",
            gridColor="#e4e4e4",
            titleFontWeight="normal",
            labelLimit=160,
        ),
        legend=alt.LegendConfig(labelColor="#222", titleColor="#222", symbolLimit=0, labelLimit=160),
        view=alt.ViewConfig(stroke=None),
    )
    spec = chart.to_dict()
    del spec["data"]
    return spec


def _menu(name: str) -> alt.Parameter:
    """Return a parameter that follows the page's <select> of that name."""
    # Some browsers send only `change` from a select.
    return alt.param(name=name, value="", bind=alt.BindDirect(element=f"#{name}", event="change"))


def lines(
    base: alt.Chart, key: str, names: list[str], x: alt.X, y: alt.Y, tooltip: list[alt.Tooltip]
) -> alt.LayerChart:
    """Draw a line and a band from `low` to `high` for each name; a click in the legend singles one out.

    Parameters
    ----------
    base : altair.Chart
    key : str
        The column that holds the names.
    names : list of str
        In the order of the colours.
    x, y : altair.X, altair.Y
    tooltip : list of altair.Tooltip
    """
    pick = alt.selection_point(name="picked", fields=[key], bind="legend")
    legend = alt.Legend(
        title=None,
        orient="bottom",
        columns=alt.ExprRef("max(1, floor(width / 130))"),
        symbolOpacity=1,
        symbolSize=70,
    )
    color = alt.Color(f"{key}:N", scale=alt.Scale(domain=names, scheme=DEPTH), legend=legend)
    shape = alt.Shape(f"{key}:N", scale=alt.Scale(domain=names, range=SHAPES), legend=legend)
    base = base.encode(x)
    shade = alt.condition(pick, alt.value(0.15), alt.value(0.02))
    band = base.mark_area(aria=False).encode(alt.Y("low:Q"), alt.Y2("high"), color, opacity=shade)
    faint = alt.condition(pick, alt.value(1), alt.value(0.12))
    line = base.mark_line(aria=False).encode(y, color, opacity=faint)
    points = base.mark_point(filled=True, size=45).encode(y, color, shape, opacity=faint, tooltip=tooltip)
    return alt.layer(band, line, points.add_params(pick)).properties(width="container", height=320)


def round_axis(percents: dict[int, str]) -> alt.Axis:
    """Return an axis of rounds with the weights remaining below them."""
    return alt.Axis(
        title="round, weights remaining (%)",
        labelExpr=f"[datum.label, {json.dumps(percents)}[datum.label]]",
        labelOverlap="parity",
        labelSeparation=6,
        labelAngle=0,
    )


def layer_axis(layers: list[str], title: str | None = None) -> alt.Axis:
    """Return an axis of layers whose names are slanted unless they fit side by side on a telephone."""
    return alt.Axis(title=title, labelAngle=0 if sum(map(len, layers)) + 2 * len(layers) < 45 else -40)


def sparsity(field: str, percents: dict[int, str] | None = None) -> alt.X:
    """Return an axis of weights remaining: logarithmic, dense on the left, ticks at `percents` if given."""
    ticks = {"values": [float(text) for text in percents.values()], "grid": True} if percents else {}
    return alt.X(
        field,
        scale=alt.Scale(type="log", reverse=True, nice=False, padding=12),
        axis=alt.Axis(title="weights remaining (%)", format=".3~g", labelOverlap="greedy", **ticks),
    )
