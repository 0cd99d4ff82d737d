"""Charts of similarities.

Shared arguments: `layers`, names in the order of the network; `rounds`, the names and positions of rounds;
`colormap`, the name of a Vega colour scheme; `dots`, whether each seed is drawn.
"""

import json
import math

import altair as alt
import pandas as pd

from prunescope.findings.slices import OTHER_SEEDS, PRUNED
from prunescope.report import base, palette
from prunescope.report.base import Chart
from prunescope.report.heatmaps import FAILING, FLAGS, failing, heatmap
from prunescope.report.panels import blocks
from prunescope.report.rounds import Rounds

CHANCE, CLASSES = "chance level", "chance within classes"
IDENTICAL = "1 means identical up to the measure's invariances."
MEANING = (
    "Chance level: expected similarity if the images of one network are shuffled. Chance within classes: the "
    "same, if they are shuffled within their classes. Unrelated networks score above the chance level."
)
BARS = (
    "Vertical lines: 95 % intervals for the expected value on a new sample of images, if "
    "similarity.intervals is true."
)
CHANCE_LINE = {"strokeDash": [2, 3], "strokeWidth": 1.5, "aria": False}


def profile(
    layers: list[str],
    series: list[str],
    title: str,
    titles: dict[str, str],
    dots: bool,
    levels: tuple[str, ...] = (CHANCE,),
    lowest: float = 0.0,
) -> Chart:
    """Make the main chart: similarity to the dense network by layer in one round, with other series.

    Parameters
    ----------
    layers : list of str
    series : list of str
        Those that have rows: its own, controls, `OTHER_SEEDS`.
    title : str
        The chart's finding for what the page shows first.
    titles : dict of str to str
        The same by measure, seed and round, joined by ``|``.
    dots : bool
    levels : tuple of str, default (CHANCE,)
        Those of `CHANCE` and `CLASSES` that any measure has.
    lowest : float, default 0
        Lower end of the axis, from `axis_start`.

    Returns
    -------
    Chart
        Of the table ``profile``; the menu `round` selects the round.
    """
    similarity = alt.Y("mean:Q", title="similarity", scale=alt.Scale(domain=[lowest, 1]))
    own, *others = series
    others = [name for name in others if name != OTHER_SEEDS]
    names = [own, *others, *([OTHER_SEEDS] if OTHER_SEEDS in series else []), *levels]
    color, shape, dash = base.series_scales(names)
    x = alt.X("layer:N", sort=layers, axis=base.layer_axis(layers))
    tip = base.similarity_tooltip(alt.Tooltip("layer:N"), alt.Tooltip("series:N"), alt.Tooltip("seed:N"))
    rows = base.with_levels(base.chart(base.SUMMARY)).encode(x)
    line = rows.mark_line(aria=False).encode(similarity, color, dash)
    pointed = base.chart(base.SUMMARY, f"datum.series == '{own}'", base.LIT).encode(x)
    parts = [pointed.mark_rule(color=base.SOFT, strokeWidth=1.5, aria=False), line]
    if dots:
        single = base.with_levels(base.chart(base.SINGLE)).encode(x)
        parts.append(base.seeds(single).encode(similarity, color, shape, tooltip=tip))
    else:
        parts.insert(0, base.band(rows, similarity).encode(color))
    parts.append(_intervals(rows).encode(color))
    solid = rows.transform_filter("datum.warned == ''")
    hollow = rows.transform_filter("datum.warned == 'warned'")
    parts.append(
        solid.mark_point(filled=True, size=75, opacity=1).encode(similarity, color, shape, tooltip=tip)
    )
    parts.append(
        hollow.mark_point(fill=base.PAPER, size=75, strokeWidth=2, opacity=1).encode(
            similarity, color, shape, tooltip=tip
        )
    )
    parts.append(failing(rows).encode(similarity))
    for name in levels:
        level = base.chart(base.SUMMARY, f"datum.series == '{own}'").encode(x)
        column = {CHANCE: "chance:Q", CLASSES: "chance_classes:Q"}[name]
        parts.append(
            level.mark_line(**CHANCE_LINE).encode(alt.Y(column, title="similarity"), alt.ColorDatum(name))
        )
    chart = alt.layer(*parts).add_params(base.lit()).properties(width="container", height=300)
    caption = (
        f"Layers in the order of the network, in the selected round. {base.DOTS if dots else base.RANGE}"
    )
    return Chart(
        "profile",
        title,
        caption,
        "profile",
        ("measure", "seed", "round"),
        base.specification(chart),
        "Line chart: horizontal axis, layers in the order of the network; vertical axis, similarity to the "
        "dense network.",
        titles=tuple(titles.items()),
        dots=dots,
        beware=f"{IDENTICAL} {MEANING} {BARS} Hollow marks: values with a warning. {FAILING}",
    )


def axis_start(profile: pd.DataFrame) -> float:
    """Return where the axis of similarity starts: at 0, or below the lowest value if that is negative."""
    low = profile[["mean", "seed_low", "low"]].min().min()
    return min(0.0, math.floor(20 * low) / 20)


def while_pruning(
    layers: list[str], rounds: Rounds, dots: bool, lowest: float = 0.0, own: str = PRUNED
) -> Chart:
    """Make small multiples: similarity to the dense network against weights remaining, by layer.

    If there are many layers, those of a block share a panel (`prunescope.report.panels.blocks`).

    Parameters
    ----------
    layers : list of str
    rounds : Rounds
    dots : bool
    lowest : float, default 0
        Lower end of the axis, from `axis_start`.
    own : str, default "pruned"
        Series of the experiment.

    Returns
    -------
    Chart
        Of the table ``profile``.
    """
    panels = blocks(layers)
    x = base.sparsity(f"{base.place(rounds)}:Q", rounds, few=True)
    y = alt.Y("mean:Q", title=None, scale=alt.Scale(domain=[lowest, 1]), axis=alt.Axis(tickCount=3))
    mine, detail = "indexof(members, datum.layer) >= 0", alt.Detail("layer:N")
    others = base.chart(base.SUMMARY).mark_line(
        color=palette.CONTEXT, strokeWidth=1, opacity=0.55, aria=False
    )
    this = base.chart(base.SUMMARY, mine)
    line = this.mark_line(color=palette.color(own), aria=False).encode(
        strokeWidth=alt.condition(base.LIT, alt.value(4.5), alt.value(2.2))
    )
    level = this.mark_line(color=palette.color("chance level"), **CHANCE_LINE)
    tip = base.similarity_tooltip(
        alt.Tooltip("layer:N"),
        alt.Tooltip("round:O"),
        alt.Tooltip("weights:Q", title="weights (%)", format=".3~g"),
        alt.Tooltip("seed:N"),
    )
    marks = base.with_levels(this).mark_point(filled=True, size=26, opacity=1, color=palette.color(own))
    bars = _intervals(this, color=palette.color(own))
    parts = [
        others.encode(x, y, detail),
        line.encode(x, y, detail),
        level.encode(x, alt.Y("chance:Q", title=None), detail),
        bars.encode(x),
        marks.encode(x, y, tooltip=tip),
        failing(this).encode(x, y),
    ]
    if dots:
        single = base.chart(base.SINGLE, mine).mark_point(
            filled=True, size=12, opacity=0.7, color=palette.color(own)
        )
        parts.append(single.encode(x, y))
    if any(len(panel.members) > 1 for panel in panels):
        # There is room for the name of the lowest line only.
        lowest = (
            this.transform_filter(f"datum.round == {rounds.last}")
            .transform_joinaggregate(lowest="min(mean)")
            .transform_filter("datum.mean == datum.lowest")
        )
        name = lowest.mark_text(align="right", dy=12, fontSize=base.TEXT, color=base.INK, aria=False)
        parts.append(name.encode(x, y, text="layer:N"))
    chart = (
        alt.layer(*parts)
        .add_params(alt.param(name="members", value=[]), base.lit())
        .properties(width="container", height=130)
    )
    return Chart(
        "layers",
        f"Similarity to the dense network {rounds.against}",
        "Coloured: the layers of the panel; the layer with the lowest value is labelled. Grey: all other "
        f"layers. Dotted: chance level. {base.DOTS if dots else ''}".strip(),
        "profile",
        ("measure", "seed"),
        base.specification(chart),
        f"Small line charts, one for each layer or block: horizontal axis, {rounds.across}; vertical axis, "
        "similarity.",
        panels=tuple(panels),
        vertical="similarity",
        fixed=(("series", own),),
        dots=dots,
        beware=f"{BARS} {FAILING}",
    )


def to_dense(
    layers: list[str], rounds: Rounds, colormap: str, experiment: str = "", own: str = PRUNED
) -> Chart:
    """Make the heatmap of layers × rounds: similarity to the dense network.

    Parameters
    ----------
    layers : list of str
    rounds : Rounds
    colormap : str
    experiment : str, optional
        One of several experiments on a page: the chart shows the table ``profile-{experiment}`` and has no
        menu of seeds. By default, it shows ``profile``.
    own : str, default "pruned"
        Series of the experiment.

    Returns
    -------
    Chart
    """
    chart = heatmap(
        base.chart(),
        alt.X("round:O", axis=base.round_axis(rounds)),
        alt.Y("layer:N", sort=layers, title=None),
        colormap,
        base.similarity_tooltip(alt.Tooltip("layer:N"), alt.Tooltip("round:O")),
        26 * len(layers),
    )
    return Chart(
        f"dense-{experiment}" if experiment else "dense",
        experiment or "Layer similarity to the dense network, by round",
        "Each layer against the same layer of the dense network. Round 0 is the dense network itself.",
        f"profile-{experiment}" if experiment else "profile",
        ("measure",) if experiment else ("measure", "seed"),
        base.specification(chart),
        "Heatmap: layers as rows, pruning rounds as columns, similarity to the dense network as colour.",
        fixed=(("series", own),),
        beware=f"{IDENTICAL} {FLAGS}",
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
    chart = heatmap(
        base.chart(),
        alt.X("layer_b:N", sort=layers, axis=base.layer_axis(layers, title="dense network")),
        alt.Y("layer:N", sort=layers, title="selected round"),
        colormap,
        base.similarity_tooltip(
            alt.Tooltip("layer:N", title="layer"),
            alt.Tooltip("layer_b:N", title="layer of the dense network"),
        ),
        26 * len(layers),
    )
    return Chart(
        "pairs",
        "All layers against all layers of the dense network",
        "Mean over all seeds, in the selected round.",
        "pairs",
        ("measure", "round"),
        base.specification(chart),
        "Heatmap: layers of the selected round as rows, layers of the dense network as columns.",
        wide=False,
        beware=f"{IDENTICAL} {FLAGS}",
    )


def between_rounds(rounds: Rounds, colormap: str) -> Chart:
    """Make the heatmap of rounds × rounds for one layer.

    Parameters
    ----------
    rounds : Rounds
    colormap : str

    Returns
    -------
    Chart
        Of the table ``rounds``; the menu `layer` selects the layer.
    """
    names = f"{json.dumps({round: rounds.name(round) for round in rounds.percents})}[datum.label]"
    chart = heatmap(
        base.chart(),
        alt.X(
            "round_b:O",
            title=f"{rounds.word} b",
            axis=alt.Axis(labelExpr=names, labelAngle=0, labelOverlap="parity"),
        ),
        alt.Y("round:O", title=f"{rounds.word} a", axis=alt.Axis(labelExpr=names)),
        colormap,
        base.similarity_tooltip(
            alt.Tooltip("round:O", title="round a"), alt.Tooltip("round_b:O", title="round b")
        ),
        max(220, min(40 * len(rounds.percents), 460)),
    )
    return Chart(
        "rounds",
        "Similarity of one layer between all pairs of rounds",
        "Mean over all seeds. Blocks of high values are rounds in which the layer hardly changed.",
        "rounds",
        ("measure", "layer"),
        base.specification(chart),
        "Heatmap: rounds as rows and as columns, similarity of the selected layer as colour.",
        wide=False,
        beware=f"{IDENTICAL} {FLAGS}",
    )


def _intervals(rows: alt.Chart, **style) -> alt.Chart:
    """Draw the intervals of the matrix as vertical lines."""
    known = rows.transform_filter("isValid(datum.low)")
    return known.mark_rule(aria=False, **style).encode(alt.Y("low:Q"), alt.Y2("high"))
