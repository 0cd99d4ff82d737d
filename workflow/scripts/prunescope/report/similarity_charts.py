"""Charts of similarities.

Arguments that they share: `layers`, names in the order of the network; `percents`, the weights remaining by
round, in percent and as text; `colormap`, the name of a Vega colour scheme.
"""

import json

import altair as alt

from prunescope.report import base
from prunescope.report.base import Chart

IDENTICAL = "1 means identical up to the measure's invariances."
SIMILARITY = alt.Y("mean:Q", title="similarity", scale=alt.Scale(domain=[0, 1]))


def to_dense(layers: list[str], percents: dict[int, str], colormap: str, experiment: str = "") -> Chart:
    """Make the heatmap of layers × rounds: similarity to the dense network.

    Parameters
    ----------
    layers : list of str
    percents : dict of int to str
    colormap : str
    experiment : str, optional
        One of several experiments on a page: the chart shows the table ``dense-{experiment}`` and has no
        menu of seeds. By default it shows ``dense``.

    Returns
    -------
    Chart
    """
    title = "Layer similarity to the dense network, by round"
    text = f"Heatmap: layers as rows, pruning rounds as columns, colour from 0 to 1. {title}"
    text += f": {experiment}." if experiment else "."
    name = f"dense-{experiment}" if experiment else "dense"
    chart = _heatmap(
        _mean(name, ["layer", "round"], *([] if experiment else [base.OF_SEED])),
        alt.X("round:O", axis=base.round_axis(percents)),
        alt.Y("layer:N", sort=layers, title=None),
        colormap,
        _tooltip(alt.Tooltip("layer:N"), alt.Tooltip("round:O")),
        26 * len(layers),
    )
    return Chart(
        name,
        experiment or title,
        f"{IDENTICAL} Round 0 is the dense network itself. × marks a pair without a value.",
        name,
        base.specification(chart, ["measure"] if experiment else ["measure", "seed"], text),
    )


def while_pruning(layers: list[str], percents: dict[int, str]) -> Chart:
    """Make the line chart of similarity to the dense network against weights remaining, a line per layer.

    Parameters
    ----------
    layers : list of str
    percents : dict of int to str

    Returns
    -------
    Chart
        Of the table ``dense``.
    """
    title = "Similarity to the dense network while weights are removed"
    text = f"Line chart: weights remaining across, similarity upwards, one line for each layer. {title}."
    chart = base.lines(
        _mean("dense", ["layer", "round"], base.OF_SEED).transform_calculate(
            weights=f"toNumber({json.dumps(percents)}[datum.round])"
        ),
        "layer",
        layers,
        base.sparsity("weights:Q", percents),
        SIMILARITY,
        _tooltip(
            alt.Tooltip("layer:N"), alt.Tooltip("round:O"), alt.Tooltip("weights:Q", title="weights (%)")
        ),
    )
    caption = f"{base.BANDS} Click a layer's name to highlight it."
    return Chart("lines", title, caption, "dense", base.specification(chart, ["measure", "seed"], text))


def by_layer(layers: list[str]) -> Chart:
    """Make the line chart of similarity in one round against the layers, with the across-seed baseline.

    Parameters
    ----------
    layers : list of str

    Returns
    -------
    Chart
        Of the table ``profile``; the menu `round` selects the round.
    """
    names = ["selected round and its own dense network", "dense networks of different seeds"]
    title = "Similarity to the dense network by layer, in one round"
    text = f"Line chart: layers in the order of the network across, similarity from 0 to 1 upwards. {title}."
    legend = alt.Legend(
        title=None,
        orient="bottom",
        columns=alt.ExprRef("width > 520 ? 2 : 1"),
        labelLimit=300,
        symbolOpacity=1,
    )
    color = alt.Color(
        "compared:N", scale=alt.Scale(domain=names, range=[base.BLUE, base.GREY]), legend=legend
    )
    shape = alt.Shape("compared:N", scale=alt.Scale(domain=names, range=["circle", "square"]), legend=legend)
    selected = "datum.kind == 'seeds' || datum.round == round"
    rows = (
        _mean("profile", ["layer", "kind"], base.OF_SEED, selected)
        .transform_calculate(compared=f"datum.kind == 'dense' ? '{names[0]}' : '{names[1]}'")
        .encode(alt.X("layer:N", sort=layers, axis=base.layer_axis(layers)))
    )
    band = rows.mark_area(opacity=0.2, aria=False).encode(alt.Y("low:Q"), alt.Y2("high"), color)
    line = rows.mark_line(aria=False).encode(SIMILARITY, color)
    points = rows.mark_point(filled=True, size=60, opacity=1).encode(
        SIMILARITY, color, shape, tooltip=_tooltip(alt.Tooltip("layer:N"), alt.Tooltip("compared:N"))
    )
    chart = alt.layer(band, line, points).properties(width="container", height=300)
    caption = (
        f"{base.BANDS} Similarity between dense networks of different seeds, where it was computed, is what "
        "independently trained networks share. If a seed is selected, it is compared with the other seeds."
    )
    return Chart(
        "profile", title, caption, "profile", base.specification(chart, ["measure", "seed", "round"], text)
    )


def layer_pairs(layers: list[str], colormap: str) -> Chart:
    """Make the heatmap of the layers of one round × the layers of the dense network.

    Parameters
    ----------
    layers : list of str
    colormap : str

    Returns
    -------
    Chart
        Of the table ``pairs``; the menu `round` selects the round.
    """
    title = "All layers against all layers of the dense network"
    text = f"Heatmap: layers of the selected round as rows, layers of the dense network as columns. {title}."
    chart = _heatmap(
        _mean("pairs", ["layer", "layer_b"], base.OF_SEED, "datum.round == round"),
        alt.X("layer_b:N", sort=layers, axis=base.layer_axis(layers, title="dense network")),
        alt.Y("layer:N", sort=layers, title="selected round"),
        colormap,
        _tooltip(
            alt.Tooltip("layer:N", title="layer"),
            alt.Tooltip("layer_b:N", title="layer of the dense network"),
        ),
        26 * len(layers),
    )
    return Chart(
        "pairs", title, IDENTICAL, "pairs", base.specification(chart, ["measure", "seed", "round"], text)
    )


def between_rounds(count: int, colormap: str) -> Chart:
    """Make the heatmap of rounds × rounds for one layer.

    Parameters
    ----------
    count : int
        Number of rounds, the dense network included.
    colormap : str

    Returns
    -------
    Chart
        Of the table ``rounds``; the menu `layer` selects the layer.
    """
    title = "Similarity of one layer between all pairs of rounds"
    text = f"Heatmap: rounds as rows and as columns, colour from 0 to 1. {title}."
    chart = _heatmap(
        _mean("rounds", ["round", "round_b"], base.OF_SEED, "datum.layer == layer"),
        alt.X("round_b:O", title="round b", axis=alt.Axis(labelAngle=0, labelOverlap="parity")),
        alt.Y("round:O", title="round a"),
        colormap,
        _tooltip(alt.Tooltip("round:O", title="round a"), alt.Tooltip("round_b:O", title="round b")),
        max(220, min(40 * count, 460)),
    )
    caption = f"{IDENTICAL} Blocks of high values are rounds in which the layer hardly changed."
    return Chart(
        "rounds", title, caption, "rounds", base.specification(chart, ["measure", "seed", "layer"], text)
    )


def _mean(table: str, by: list[str], *filters: str) -> alt.Chart:
    """Summarise the selected measure over seeds, with what the values were computed from."""
    return base.over_seeds(
        alt.Chart(alt.NamedData(table)),
        [base.OF_MEASURE, *filters],
        by,
        chance="mean(chance)",
        n="min(n)",
        rank_a="min(rank_a)",
        rank_b="min(rank_b)",
        status="max(status)",
    ).transform_calculate(chance_level="isValid(datum.chance) ? format(datum.chance, '.4f') : 'not known'")


def _tooltip(*first: alt.Tooltip) -> list[alt.Tooltip]:
    """Show the exact value, its range over seeds, and what it was computed from."""
    return [
        *base.tooltip(*first, mean="similarity", format=".6f"),
        alt.Tooltip("chance_level:N", title="chance level"),
        alt.Tooltip("n:Q", title="n (rows)"),
        alt.Tooltip("rank_a:Q", title="rank a"),
        alt.Tooltip("rank_b:Q", title="rank b"),
        alt.Tooltip("status:N", title="status"),
    ]


def _heatmap(
    rows: alt.Chart, x: alt.X, y: alt.Y, colormap: str, tooltip: list[alt.Tooltip], height: int
) -> alt.LayerChart:
    """Draw `mean` as coloured cells from 0 to 1, with numbers where they fit and a cross for a missing value.

    Of a missing value the tooltip shows what identifies the cell, the number of rows, the ranks and the
    status.
    """
    scale = alt.Scale(scheme=colormap, domain=[0, 1], clamp=True)
    color = alt.Color(
        "mean:Q", scale=scale, legend=alt.Legend(title=None, gradientLength=alt.ExprRef("height"))
    )
    ink = "luminance(scale('color', datum.mean)) < 0.179 ? 'white' : 'black'"
    rows = rows.encode(x, y, tooltip=tooltip)
    known = rows.transform_filter("isValid(datum.mean)")
    cells = known.mark_rect().encode(color=color)
    numbers = known.mark_text(
        fontSize=10, color=alt.ExprRef(ink), opacity=alt.ExprRef("bandwidth('x') > 26 ? 1 : 0"), aria=False
    ).encode(text=alt.Text("mean:Q", format=".2f"))
    missing = rows.transform_filter("!isValid(datum.mean)").mark_text(fontSize=12, color=base.GREY, text="×")
    missing = missing.encode(tooltip=[*tooltip[:2], *tooltip[-4:]])
    return alt.layer(cells, numbers, missing).properties(width="container", height=height)
