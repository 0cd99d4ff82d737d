"""Charts of the levels: weights, predictions, loss landscape, representations.

Every chart of a distance has 0, identical to the dense network, at the top: down is further away. Shared
arguments: `series`, the names of the networks drawn, the experiment's first; `rounds`, the names and
positions of rounds; `layers`, names in the order of the network; `colormap`, the name of a Vega colour
scheme; `dots`, whether each seed is drawn. The page sets two signals: ``round``, the selected round, and
``lit``, a layer that the reader points at.
"""

import altair as alt
import pandas as pd

from prunescope.findings.levels import LEVELS
from prunescope.findings.slices import OTHER_SEEDS, UNTRAINED
from prunescope.report import base, palette
from prunescope.report.base import Chart
from prunescope.report.rounds import Rounds

TITLES = {
    "weights": "Weights: distance from the dense network",
    "predictions": "Predictions: images labelled differently from the dense network",
    "landscape": "Loss landscape: error barrier to the dense network",
    "representations": "Representations: distance from the dense network",
}
DEFINITIONS = {
    "weights": "1 minus the cosine of all weights.",
    "predictions": "Share of the test images.",
    "landscape": "Highest rise of the test error above the straight line between both ends.",
    "representations": "1 minus the similarity of the layers, mean over the layers.",
}
CAUTIONS = {
    "weights": "Large weights and large layers dominate.",
    "predictions": "Networks with few errors agree anyway, whatever they have learned.",
    "landscape": "A barrier of 0 does not mean that the networks are the same.",
    "representations": "The mean can hide a single layer; look at the layers, too.",
}
# Below this distance, a card does not magnify differences.
LEAST = 0.01
LEVEL_STYLES = {
    "weights": ("circle", []),
    "predictions": ("square", [6, 3]),
    "landscape": ("triangle-up", [2, 3]),
    "representations": ("diamond", [10, 3, 2, 3]),
}
PERCENT = ("predictions", "landscape")
DEAD = {
    "unreachable": "no path of weights",
    "dead_by_weights": "no weights left",
    "dead_by_activation": "output never varies",
}
PREDICTIONS = {
    "agreement": (
        "Test images labelled differently (%)",
        "Share of the test images for which the network and its dense network predict different classes.",
        "Follows accuracy: networks with few errors agree anyway.",
    ),
    "agreement_minmax": (
        "Agreement, given both accuracies",
        "Agreement between the lowest (0) and the highest (1) value that both error rates allow.",
        "With few errors it is noisy.",
    ),
    "error_consistency": (
        "Error consistency (Cohen’s κ)",
        "Agreement about right and wrong beyond that of independent errors (0); 1: wrong on the same images.",
        "With few errors it is noisy.",
    ),
}
# Of the selected round; the chart needs the parameter `round`.
SELECTED = "datum.round == round"


def card(level: str, series: list[str], rounds: Rounds) -> Chart:
    """Make the small chart of a level: distance from the dense network against weights remaining.

    Parameters
    ----------
    level : str
        One of `LEVELS`.
    series : list of str
        Those that have rows of this level.
    rounds : Rounds

    Returns
    -------
    Chart
        Of the table ``levels``.
    """
    color, shape, dash = base.series_scales(series, 0)
    x = _small_axis(rounds)
    number = "format(datum.value * 100, '~g') + ' %'" if level in PERCENT else "format(datum.value, '~g')"
    y = alt.Y(
        "mean:Q",
        scale=alt.Scale(reverse=True, zero=True, nice=False, padding=0),
        axis=alt.Axis(title=None, tickCount=3, labelExpr=number, domain=False, ticks=False),
    )
    low, high = base.y_of(y, "low"), alt.Y2("high")
    shown = "datum.layer == '' ? (lit == '' ? 1 : 0.25) : 1"
    whole = base.chart("datum.layer == ''")
    pairs = whole.transform_filter(_one_of(OTHER_SEEDS, UNTRAINED)).encode(color)
    near, far = pairs.transform_filter("!datum.far"), pairs.transform_filter("datum.far")
    networks = base.chart(f"datum.layer == '' || {base.LIT}", f"!({_one_of(OTHER_SEEDS, UNTRAINED)})").encode(
        x, color
    )
    tip = [
        alt.Tooltip("series:N"),
        alt.Tooltip("layer:N"),
        alt.Tooltip("round:N"),
        alt.Tooltip("weights:Q", title="weights (%)", format=".3~g"),
        alt.Tooltip("mean:Q", title="distance", format=".4f"),
        alt.Tooltip("low:Q", title="from", format=".4f"),
        alt.Tooltip("high:Q", title="to", format=".4f"),
        alt.Tooltip("seeds:Q"),
    ]
    words = "format(datum.mean * 100, '.3~r') + ' %'" if level in PERCENT else "format(datum.mean, '.2~r')"
    opacity = alt.ExprRef(shown)
    chart = alt.layer(
        # The axis spans at least this distance.
        _alone().mark_point(opacity=0, aria=False).encode(alt.YDatum(LEAST)),
        _alone().mark_rule(color=base.SOFT, aria=False).encode(alt.YDatum(0)),
        _text("identical to dense", align="left", dx=3, dy=-8).encode(alt.XValue(0), alt.YDatum(0)),
        near.mark_rect(opacity=0.1, aria=False).encode(low, high),
        networks.transform_filter("datum.layer == ''")
        .mark_area(opacity=0.16, aria=False)
        .encode(base.y_of(y, "low", stack=None), high),
        near.mark_rule(strokeWidth=1.5, aria=False).encode(y, dash, tooltip=tip),
        far.transform_window(place="row_number()")
        .transform_calculate(
            text=f"'↓ ' + datum.series + ' ' + {words}", place="height - 5 - 14 * (datum.place - 1)"
        )
        .mark_text(align="left", fontSize=base.TEXT, baseline="bottom", aria=False)
        .encode(alt.XValue(2), alt.Y("place:Q", scale=None, axis=None), text="text:N", tooltip=tip),
        _alone()
        .transform_calculate(place=_place_of_round(rounds))
        .mark_rule(color=base.SOFT, strokeWidth=1, aria=False)
        .encode(alt.X("place:Q", scale=x["scale"], axis=x["axis"])),
        networks.mark_line(strokeWidth=2, opacity=1, aria=False)
        .encode(y, dash, detail="layer:N")
        .transform_calculate(whole="datum.layer == ''")
        .encode(opacity=alt.condition("datum.layer == '' && lit != ''", alt.value(0.3), alt.value(1))),
        networks.mark_point(filled=True, size=14, aria=False).encode(y, opacity=alt.value(0.9), tooltip=tip),
        networks.transform_filter(SELECTED)
        .mark_point(filled=True, size=70, opacity=opacity)
        .encode(y, shape, tooltip=tip),
    ).add_params(_selected(rounds), base.lit())
    return Chart(
        f"card-{level}",
        TITLES[level],
        f"{DEFINITIONS[level]} Lines: over the seeds; bands: 95 % interval with six seeds or more, "
        "otherwise the range over the seeds.",
        "levels",
        (),
        base.specification(chart.properties(width="container", height=104)),
        f"Line chart: horizontal axis, {rounds.across}; vertical axis, distance from the dense network, 0 "
        "at the top.",
        fixed=(("level", level),),
        wide=False,
        beware=CAUTIONS[level],
    )


def difference(layers: list[str], rounds: Rounds, margin: float, level: str = "representations") -> Chart:
    """Make the chart of the layers' similarity to the dense network, pruned minus retrained.

    Many layers are rows, with room for their names.

    Parameters
    ----------
    layers : list of str
        Of the level.
    rounds : Rounds
    margin : float
        The smallest difference of interest.
    level : str, default "representations"

    Returns
    -------
    Chart
        Of the table ``differences``; the page selects the round.
    """
    many = len(layers) > 12
    title = "similarity, pruned − retrained"
    axis = alt.Axis(
        title=title, titlePadding=10, format="~g", grid=True, tickCount=6, orient="top" if many else "left"
    )
    scale = alt.Scale(nice=False, padding=8)
    if many:
        band = {"x": alt.XDatum(-margin, scale=scale, axis=axis), "x2": alt.X2Datum(margin)}
        names = alt.Y(
            "layer:N", sort=layers, scale=alt.Scale(domain=layers), axis=alt.Axis(title=None, labelLimit=220)
        )
        value, low, high = alt.X("mean:Q", scale=scale, axis=axis), alt.X("low:Q"), alt.X2("high")
        zero, offset = {"x": alt.XDatum(0)}, {"yOffset": 7}
    else:
        band = {"y": alt.YDatum(-margin, scale=scale, axis=axis), "y2": alt.Y2Datum(margin)}
        names = alt.X("layer:N", sort=layers, scale=alt.Scale(domain=layers), axis=base.layer_axis(layers))
        value, low, high = alt.Y("mean:Q", scale=scale, axis=axis), alt.Y("low:Q"), alt.Y2("high")
        zero, offset = {"y": alt.YDatum(0)}, {"xOffset": -9}
    lit = alt.condition(f"lit == '' || {base.LIT}", alt.value(1), alt.value(0.25))
    ink = palette.color("pruned")
    tip = [
        alt.Tooltip("layer:N"),
        alt.Tooltip("mean:Q", title="pruned − retrained", format="+.4f"),
        alt.Tooltip("low:Q", title="from", format="+.4f"),
        alt.Tooltip("high:Q", title="to", format="+.4f"),
        alt.Tooltip("lower_in:Q", title="less similar in (seeds)"),
        alt.Tooltip("of:Q", title="of (seeds)"),
        alt.Tooltip("verdict:N"),
        alt.Tooltip("seed:N"),
    ]
    every, single = (base.chart(role).encode(names) for role in (base.SUMMARY, base.SINGLE))
    label = {"dx": 9, "align": "left"} if not many else {"dy": -8, "align": "center"}
    parts = [
        _alone().mark_rect(fill=base.GRID, opacity=0.6, aria=False).encode(**band),
        _alone().mark_rule(color=base.SOFT, aria=False).encode(**zero),
        every.mark_rule(color=ink, strokeWidth=2.5, aria=False).encode(low, high, opacity=lit),
        single.mark_point(filled=True, size=18, color=ink, aria=False, **offset).encode(
            value,
            opacity=alt.condition(f"lit == '' || {base.LIT}", alt.value(0.6), alt.value(0.15)),
            tooltip=tip,
        ),
        every.mark_point(filled=True, size=110, color=ink).encode(value, opacity=lit, tooltip=tip),
    ]
    if not many:
        number = every.mark_text(color=base.INK, fontSize=base.TEXT, aria=False, **label)
        parts.append(number.encode(value, text=alt.Text("mean:Q", format="+.2f"), opacity=lit))
    chart = alt.layer(*parts).add_params(base.lit())
    return Chart(
        f"difference-{level}",
        "Which layers changed beyond retraining",
        "Similarity to the dense network, pruned minus retrained, in the selected round. Large marks: "
        "mean; bars: 95 % interval with six seeds or more, otherwise the range over the seeds; small dots: "
        f"seeds. Shaded: differences below the margin of {margin:g}. Below 0: less similar than "
        "after retraining.",
        "differences",
        ("round", "seed"),
        base.specification(chart.properties(width="container", height=22 * len(layers) if many else 240)),
        f"{'Rows' if many else 'Columns'} are layers in the order of the network; the other axis is the "
        "similarity to the dense network, pruned minus retrained.",
        fixed=(("level", level),),
        dots=True,
        beware="Intervals are for one layer at a time; verdicts allow for the number of layers.",
    )


def density(table: pd.DataFrame, rounds: Rounds, colormap: str) -> Chart:
    """Make the heatmap of layers × rounds: weights remaining in each prunable layer.

    Parameters
    ----------
    table : pandas.DataFrame
        From `prunescope.report.page_tables.density_table`.
    rounds : Rounds
    colormap : str

    Returns
    -------
    Chart
        Of the table ``density``.
    """
    tip = [
        *base.tooltip(
            alt.Tooltip("layer:N"), alt.Tooltip("round:O"), mean="weights left in the layer (%)", format=".3f"
        ),
        alt.Tooltip("weights:Q", title="in all layers (%)", format=".3f"),
        alt.Tooltip("kept:Q", title="weights left"),
        alt.Tooltip("total:Q", title="of"),
    ]
    layers = list(dict.fromkeys(table["layer"]))
    # A layer may have lost its last weight, which a logarithmic scale cannot show: its cell says 0.
    least = min(float(table.loc[table["mean"] > 0, "mean"].min()), 50)
    scale = alt.Scale(type="log", scheme=colormap, domain=[least, 100], clamp=True, nice=False)
    chart = _cells(
        base.chart(),
        alt.X("round:O", axis=base.round_axis(rounds)),
        alt.Y("layer:N", sort=layers, title=None),
        alt.Color("drawn:Q", scale=scale, legend=_bar("%")),
        "format(datum.mean, datum.mean >= 10 ? '.0f' : datum.mean >= 0.1 ? '.2~r' : '.1~r')",
        tip,
        26 * len(layers),
        drawn=f"max(datum.mean, {least})",
    )
    return Chart(
        "density",
        "Weights left in each layer (%)",
        "Mean over the seeds shown; the colours are logarithmic.",
        "density",
        ("seed",),
        base.specification(chart),
        "Heatmap: prunable layers as rows, pruning rounds as columns, weights remaining as colour.",
        beware="A layer with few weights can lose its last path; see the dead channels.",
    )


def dead_channels(table: pd.DataFrame, rounds: Rounds, colormap: str) -> Chart:
    """Make the heatmap of layers × rounds: channels that no longer matter.

    Parameters
    ----------
    table : pandas.DataFrame
        From `prunescope.report.level_tables.dead_channels`.
    rounds : Rounds
    colormap : str

    Returns
    -------
    Chart
        Of the table ``dead``; the menu `dead` (`DEAD`) selects the reason.
    """
    tip = [
        *base.tooltip(alt.Tooltip("layer:N"), alt.Tooltip("round:O"), mean="dead (%)", format=".2f"),
        alt.Tooltip("dead_channels:Q", title="dead channels (mean)", format=".1f"),
        alt.Tooltip("channels:Q", title="of"),
    ]
    layers = list(dict.fromkeys(table["layer"]))
    scale = alt.Scale(scheme=colormap, domain=[0, 100], clamp=True)
    chart = _cells(
        base.chart(),
        alt.X("round:O", axis=base.round_axis(rounds)),
        alt.Y("layer:N", sort=layers, title=None),
        alt.Color("mean:Q", scale=scale, legend=_bar("%")),
        "datum.mean > 0 ? format(datum.mean, datum.mean >= 10 ? '.0f' : '.2~r') : '·'",
        tip,
        26 * len(layers),
    )
    return Chart(
        "dead",
        "Dead channels in each layer (%)",
        "Channels without weights, without a path of weights from the input to the output, or with an "
        "output that is the same for all recorded images; mean over the seeds shown. ·: none.",
        "dead",
        ("dead", "seed"),
        base.specification(chart),
        "Heatmap: layers as rows, pruning rounds as columns, dead channels in percent as colour.",
        beware="With other images, an output that never varied may vary.",
    )


def predictions(prediction: str, series: list[str], rounds: Rounds, dots: bool) -> Chart:
    """Make the line chart of one comparison of predictions with those of the dense network.

    Parameters
    ----------
    prediction : str
        A key of `PREDICTIONS`.
    series : list of str
    rounds : Rounds
    dots : bool

    Returns
    -------
    Chart
        Of the table ``predictions``.
    """
    title, definition, beware = PREDICTIONS[prediction]
    color, shape, dash = base.series_scales(series, 2)
    x = base.sparsity(f"{base.place(rounds)}:Q", rounds, few=True)
    reverse = prediction == "agreement"
    y = alt.Y(
        "mean:Q",
        title=None,
        scale=alt.Scale(reverse=reverse, zero=reverse, nice=False, padding=6),
        axis=alt.Axis(tickCount=5),
    )
    tip = base.tooltip(
        alt.Tooltip("series:N"), alt.Tooltip("round:N"), alt.Tooltip("seed:N"), mean="mean", format=".4f"
    )
    every = base.chart(base.SUMMARY).encode(color)
    networks, pairs = (every.transform_filter(f"{sign}({_one_of(OTHER_SEEDS)})") for sign in ("!", ""))
    networks = networks.encode(x)
    parts = [
        pairs.mark_rect(opacity=0.1, aria=False).encode(base.y_of(y, "seed_low"), alt.Y2("seed_high")),
        pairs.mark_rule(strokeWidth=1.5, aria=False).encode(y, dash, tooltip=tip),
        networks.mark_line(aria=False).encode(y, dash),
        networks.mark_point(filled=True, size=60, opacity=1).encode(y, shape, tooltip=tip),
    ]
    if dots:
        parts.append(base.seeds(base.chart(base.SINGLE)).encode(x, y, color, tooltip=tip))
    else:
        parts.insert(0, base.band(networks, y))
    return Chart(
        f"predictions-{prediction}",
        title,
        f"{definition} {base.DOTS if dots else base.RANGE}",
        "predictions",
        ("seed",),
        base.specification(alt.layer(*parts).properties(width="container", height=220)),
        f"Line chart: horizontal axis, {rounds.across}; vertical axis, {title}.",
        fixed=(("prediction", prediction),),
        dots=dots,
        wide=False,
        beware=beware,
        vertical=title,
    )


def classes(table: pd.DataFrame, rounds: Rounds, colormap: str) -> Chart:
    """Make the heatmap of classes × rounds: test accuracy.

    Parameters
    ----------
    table : pandas.DataFrame
        From `prunescope.report.level_tables.by_class`.
    rounds : Rounds
    colormap : str

    Returns
    -------
    Chart
        Of the table ``classes``.
    """
    names, least = list(dict.fromkeys(table["class"])), float(table["mean"].min())
    tip = [
        *base.tooltip(alt.Tooltip("class:N"), alt.Tooltip("round:O"), mean="accuracy (%)", format=".2f"),
        alt.Tooltip("images:Q", title="test images"),
    ]
    chart = _cells(
        base.chart(),
        alt.X("round:O", axis=base.round_axis(rounds)),
        alt.Y("class:N", sort=names, title="class"),
        alt.Color("mean:Q", scale=alt.Scale(scheme=colormap, domain=[min(least, 99), 100]), legend=_bar("%")),
        "format(datum.mean, '.1f')",
        tip,
        24 * len(names),
    )
    return Chart(
        "classes",
        "Test accuracy of each class (%)",
        "Mean over the seeds shown.",
        "classes",
        ("seed",),
        base.specification(chart),
        "Heatmap: classes as rows, pruning rounds as columns, test accuracy in percent as colour.",
        beware="Classes have few test images: a point may be a single image.",
    )


def landscape(series: list[str], rounds: Rounds) -> Chart:
    """Make the line chart of the test error between each dense network and its rounds.

    Parameters
    ----------
    series : list of str
        Those with lines.
    rounds : Rounds

    Returns
    -------
    Chart
        Of the table ``lines``.
    """
    own, *others = series
    x = alt.X(
        "alpha:Q",
        axis=alt.Axis(
            title="dense network (0) to the network of the round (1)", tickCount=5, format="~g", grid=False
        ),
    )
    y = alt.Y("mean:Q", title="test error (%)", scale=alt.Scale(zero=True, nice=False, padding=4))
    tip = base.tooltip(
        alt.Tooltip("series:N"),
        alt.Tooltip("round:O"),
        alt.Tooltip("alpha:Q"),
        mean="test error (%)",
        format=".3f",
    )
    pruned = sorted(rounds.percents)[1:]
    some = pruned[:: -(-len(pruned) // 8)] if pruned else []
    legend = alt.Legend(title=rounds.word, orient="right", values=some, format="d") if some[1:] else None
    depth = alt.Color("round:Q", scale=alt.Scale(scheme=base.DEPTH), legend=legend)
    strong = alt.condition(SELECTED, alt.value(3.5), alt.value(1.8))
    mine = base.chart(f"datum.series == '{own}'").encode(x, depth, alt.Detail("round:O"))
    parts = [
        mine.mark_line(aria=False).encode(y, strokeWidth=strong),
        mine.mark_point(filled=True, size=22, opacity=1).encode(y, tooltip=tip),
    ]
    if others:
        dash = palette.styles(others)[2]
        beside = base.chart(f"datum.series != '{own}'").encode(x, y, alt.Detail(["series:N", "round:O"]))
        parts.insert(
            0,
            beside.mark_line(color=palette.color(OTHER_SEEDS), strokeWidth=1.2, aria=False).encode(
                alt.StrokeDash(
                    "series:N",
                    scale=alt.Scale(domain=others, range=dash),
                    legend=alt.Legend(title=None, orient="top"),
                ),
                tooltip=tip,
            ),
        )
    chart = alt.layer(*parts).add_params(_selected(rounds))
    return Chart(
        "lines",
        "Test error on the straight line to the dense network",
        "Mean over the seeds shown; a line for each round, the selected one is thick. Grey: controls.",
        "lines",
        ("seed",),
        base.specification(chart.properties(width="container", height=280)),
        "Line chart: horizontal axis, position between the weights of the dense network and those of a "
        "round; vertical axis, test error.",
        beware="Only the straight line is measured; a curved path may have no barrier.",
    )


def agreement(levels: list[str], rounds: Rounds) -> Chart:
    """Make the line chart that shows which level moves first: each distance as a share of its last one.

    Parameters
    ----------
    levels : list of str
        Those of the table.
    rounds : Rounds

    Returns
    -------
    Chart
        Of the table ``progress``.
    """
    names = [level for level in LEVELS if level in levels]
    # Colours stand for series, so marks and dashes alone tell levels apart.
    styles = [LEVEL_STYLES[name] for name in names]
    legend = alt.Legend(title=None, orient="top", columnPadding=24, symbolOpacity=1)
    color = alt.Color("level:N", scale=alt.Scale(domain=names, range=[base.INK] * len(names)), legend=legend)
    shape = alt.Shape(
        "level:N", scale=alt.Scale(domain=names, range=[mark for mark, _ in styles]), legend=legend
    )
    dash = base.dashed("level", {name: dash for name, (_, dash) in zip(names, styles, strict=True)})
    x = base.sparsity(f"{base.place(rounds)}:Q", rounds)
    y = alt.Y("share:Q", title="share of the last distance (%)", scale=alt.Scale(reverse=True, zero=True))
    tip = [
        alt.Tooltip("level:N"),
        alt.Tooltip("round:O"),
        alt.Tooltip("share:Q", title="share of the last (%)", format=".1f"),
        alt.Tooltip("mean:Q", title="distance", format=".4f"),
    ]
    rows = base.chart().encode(x, y)
    chart = alt.layer(
        rows.mark_line(strokeWidth=1.8, aria=False).encode(color, dash),
        rows.mark_point(filled=True, size=70, opacity=1).encode(color, shape, tooltip=tip),
    )
    return Chart(
        "agreement",
        "Which level moves first",
        "Each level's distance from the dense network as a share of its distance in the last round; mean "
        "over the seeds (loss landscape: median). 0 at the top: identical to dense.",
        "progress",
        (),
        base.specification(chart.properties(width="container", height=260)),
        f"Line chart: horizontal axis, {rounds.across}; vertical axis, share of the last distance, a line "
        "for each level.",
        beware="A share says nothing about how far a level moved.",
    )


def network_map(table: pd.DataFrame, share: float, rounds: Rounds, label: str) -> Chart:
    """Make the map of all networks, with a path for the rounds of each seed.

    Parameters
    ----------
    table : pandas.DataFrame
        From `prunescope.report.level_tables.network_map`.
    share : float
        Which share of the squared distances the map keeps.
    rounds : Rounds
    label : str
        Name of the measure.

    Returns
    -------
    Chart
        Of the table ``map``.
    """
    series = list(dict.fromkeys(table["series"]))
    series.sort(key=list(palette.SERIES).index)
    color, shape, dash = base.series_scales(series, 2)
    middle = {axis: (table[axis].min() + table[axis].max()) / 2 for axis in "xy"}
    extent = {axis: table[axis].max() - table[axis].min() for axis in "xy"}
    # One unit is as long on both axes, whatever the width.
    unit = f"1.12 * max({extent['x']:.6g} / width, {extent['y']:.6g} / height, 1e-9)"
    scales = {}
    for axis, size in (("x", "width"), ("y", "height")):
        ends = [alt.ExprRef(f"{middle[axis]:.6g} {sign} {size} / 2 * {unit}") for sign in "-+"]
        scales[axis] = alt.Scale(domainMin=ends[0], domainMax=ends[1], nice=False, zero=False)
    axis = alt.Axis(title=None, labels=False, ticks=False, grid=False, domain=False)
    x, y = (kind(f"{name}:Q", scale=scales[name], axis=axis) for kind, name in ((alt.X, "x"), (alt.Y, "y")))
    tip = [
        alt.Tooltip("series:N"),
        alt.Tooltip("seed:O"),
        alt.Tooltip("round:O"),
        alt.Tooltip("weights:Q", title="weights (%)", format=".3~g"),
        alt.Tooltip("failed:N", title="does not classify"),
    ]
    rows = base.chart().encode(x, y)
    # Siblings of different rounds do not follow from each other.
    paths = rows.transform_filter("datum.series != 'siblings'")
    last = rows.transform_filter(f"datum.round == {rounds.last} && datum.series == '{series[0]}'")
    dense = rows.transform_filter(f"datum.round == 0 && datum.series == '{series[0]}'")
    chosen = rows.transform_filter(f"{SELECTED} && datum.round > 0")
    texts = [
        (dense.transform_calculate(text="'seed ' + datum.seed"), -14),
        (last.transform_calculate(text=f"'{rounds.texts[rounds.last]} %'"), 16),
    ]
    failed = rows.transform_filter("datum.failed")
    chart = alt.layer(
        paths.mark_line(strokeWidth=1.5, opacity=0.7, aria=False).encode(
            color, dash, alt.Detail("seed:N"), order="round:Q"
        ),
        rows.mark_point(filled=True, size=40, opacity=1).encode(color, shape, tooltip=tip),
        chosen.mark_point(filled=True, size=110, opacity=1).encode(color, shape, tooltip=tip),
        dense.mark_point(size=150, color=base.INK, strokeWidth=1.5, opacity=1, aria=False),
        failed.mark_point(shape="diamond", size=200, stroke=base.INK, opacity=1, aria=False),
        *(
            text.mark_text(dy=dy, fontSize=base.TEXT, color=base.INK, aria=False).encode(text="text:N")
            for text, dy in texts
        ),
    ).add_params(_selected(rounds))
    return Chart(
        "map",
        "Map of all networks",
        f"Distances are 1 minus {label}, mean over the layers; near means alike. Circles: dense networks; "
        "paths follow the rounds. Large marks: the selected round. "
        f"{'◇: a network that does not classify. ' if table['failed'].any() else ''}"
        f"Two dimensions keep {100 * share:.0f} % of the squared distances (classical scaling).",
        "map",
        (),
        base.specification(chart.properties(width="container", height=380)),
        "Scatter plot of all networks, with paths from the dense networks through their rounds.",
        wide=False,
        beware="Networks that were not compared have the length of the shortest path over networks that "
        "were. Only distances have a meaning, directions have none. Untrained networks are compared only "
        "with each other, so they are not on the map.",
    )


def _small_axis(rounds: Rounds) -> alt.X:
    """Return the axis of `base.sparsity` without a title, for which a card has no room."""
    x = base.sparsity(f"{base.place(rounds)}:Q", rounds, few=True)
    axis = x["axis"].copy()
    axis.title, axis.grid, axis.labelFlush = None, False, True
    axis.labelLimit, axis.labelSeparation = 76, 6
    if rounds.by_weights:
        axis.format, axis.labelExpr = alt.Undefined, "format(datum.value, '.3~r') + ' %'"
    return x.axis(axis)


def _place_of_round(rounds: Rounds) -> str:
    places = {str(round): place for round, place in rounds.places.items()}
    return f"{places}[round]"


def _selected(rounds: Rounds) -> alt.Parameter:
    """Return the parameter for the round that the page selects; the last one at first."""
    return alt.param(name="round", value=rounds.last)


def _one_of(*names: str) -> str:
    return f"indexof({list(names)}, datum.series) >= 0"


def _alone() -> alt.Chart:
    """Start a layer with a single mark."""
    return alt.Chart(alt.sequence(0, 1))


def _text(text: str, **style) -> alt.Chart:
    return _alone().mark_text(text=text, fontSize=base.TEXT, color=base.SOFT, aria=False, **style)


def _bar(title: str) -> alt.Legend:
    return alt.Legend(title=title, gradientLength=alt.ExprRef("height"), format=".3~r")


def _cells(
    rows: alt.Chart,
    x: alt.X,
    y: alt.Y,
    color: alt.Color,
    text: str,
    tooltip: list[alt.Tooltip],
    height: int,
    drawn: str = "datum.mean",
) -> alt.LayerChart:
    """Draw cells with their numbers, where these fit; the layer that is lit has a frame."""
    cells = (
        rows.transform_filter("isValid(datum.mean)").transform_calculate(drawn=drawn, text=text).encode(x, y)
    )
    ink = alt.ExprRef("luminance(scale('color', datum.drawn)) < 0.179 ? 'white' : 'black'")
    fits = alt.ExprRef("bandwidth('x') > 30 && bandwidth('y') > 13 ? 1 : 0")
    parts = [
        cells.mark_rect(aria=False).encode(color, tooltip=tooltip),
        cells.mark_text(fontSize=base.TEXT, color=ink, opacity=fits, aria=False).encode(text="text:N"),
    ]
    if y.shorthand.startswith("layer"):
        frame = cells.transform_filter(base.LIT)
        parts.append(frame.mark_rect(filled=False, stroke=base.INK, strokeWidth=2, aria=False))
    chart = alt.layer(*parts).properties(width="container", height=height)
    return chart.add_params(base.lit()) if len(parts) > 2 else chart
