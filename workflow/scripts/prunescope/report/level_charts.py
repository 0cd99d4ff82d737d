"""Charts that span the levels: weights, predictions, loss landscape, representations.

Every chart of a distance has 0, identical to the dense network, at the top: down is further away. Shared
arguments: `series`, the names of the networks drawn, the experiment's first; `rounds`, the names and
positions of rounds; `layers`, names in the order of the network. The page sets two signals: ``round``, the
selected round, and ``lit``, a layer that the reader points at. Charts of a single level are in its module.
"""

import altair as alt

from prunescope.findings.levels import LEVELS
from prunescope.findings.slices import OTHER_SEEDS, UNTRAINED
from prunescope.report import base, palette
from prunescope.report.base import Chart
from prunescope.report.rounds import Rounds

TITLES = {
    "weights": "Weights: distance from the dense network",
    "predictions": "Predictions: images labelled differently than by the dense network",
    "landscape": "Loss landscape: error barrier to the dense network",
    "representations": "Representations: distance from the dense network",
}
DEFINITIONS = {
    "weights": "1 minus the cosine similarity of all prunable weights.",
    "predictions": "Share of the test images that the two networks label differently.",
    "landscape": "Largest difference between the test error on the straight path between the two networks "
    "and the error interpolated linearly from its end points.",
    "representations": "1 minus the similarity to the dense network, mean over the layers.",
}
CAUTIONS = {
    "weights": "Large weights and large layers dominate.",
    "predictions": "Networks with few errors agree on most images, whatever they have learned.",
    "landscape": "A barrier of 0 does not mean that the networks are the same.",
    "representations": "The mean can hide a change of a single layer. See also the chart of the layers.",
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
    pairs = whole.transform_filter(base.one_of(OTHER_SEEDS, UNTRAINED)).encode(color)
    near, far = pairs.transform_filter("!datum.far"), pairs.transform_filter("datum.far")
    networks = base.chart(
        f"datum.layer == '' || {base.LIT}", f"!({base.one_of(OTHER_SEEDS, UNTRAINED)})"
    ).encode(x, color)
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
        networks.transform_filter(base.SELECTED)
        .mark_point(filled=True, size=70, opacity=opacity)
        .encode(y, shape, tooltip=tip),
    ).add_params(base.selected(rounds), base.lit())
    return Chart(
        f"card-{level}",
        TITLES[level],
        f"{DEFINITIONS[level]} Lines: {'median' if level == 'landscape' else 'mean'} over the seeds. Bands: "
        "95 % interval with six seeds or more, otherwise the range over the seeds.",
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
        "mean over the seeds. Bars: 95 % interval with six seeds or more, otherwise the range over the "
        f"seeds. Small dots: seeds. Shaded: differences below the margin of {margin:g}. Below 0: pruned "
        "networks are less similar to the dense network than retrained networks.",
        "differences",
        ("round", "seed"),
        base.specification(chart.properties(width="container", height=22 * len(layers) if many else 240)),
        f"{'Rows' if many else 'Columns'} are layers in the order of the network; the other axis is the "
        "similarity to the dense network, pruned minus retrained.",
        fixed=(("level", level),),
        dots=True,
        beware="Verdicts are corrected for the number of layers. Intervals are not.",
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
    # Colours are for series, so marks and dashes alone distinguish levels.
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
        "Each level's distance from the dense network as a share of its distance in the last round. Mean "
        "over the seeds (loss landscape: median). 0, at the top, means identical to the dense network.",
        "progress",
        (),
        base.specification(chart.properties(width="container", height=260)),
        f"Line chart: horizontal axis, {rounds.across}; vertical axis, share of the last distance, a line "
        "for each level.",
        beware="A share does not show how far a level moved.",
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


def _alone() -> alt.Chart:
    """Start a layer with a single mark."""
    return alt.Chart(alt.sequence(0, 1))


def _text(text: str, **style) -> alt.Chart:
    return _alone().mark_text(text=text, fontSize=base.TEXT, color=base.SOFT, aria=False, **style)
