"""The cards of the first screen: the distance from the dense network at each level in each round.

`levels` is ``levels`` of findings.json. Every chart of a distance has 0, identical to the dense network, at
the top: down is further away.
"""

import altair as alt
import numpy as np
import pandas as pd

from prunescope.errors import counted
from prunescope.findings import levels_in_words, slices
from prunescope.findings.levels import LEVELS
from prunescope.findings.levels_over_seeds import classifying
from prunescope.findings.slices import OTHER_SEEDS, UNTRAINED
from prunescope.findings.words import NOT_APART
from prunescope.report import base
from prunescope.report.base import ANY, Chart
from prunescope.report.names import FIGURES
from prunescope.report.page import Card, Number
from prunescope.report.rounds import Rounds

# What the series of the legend are, in a few words.
MEANINGS = {
    slices.PRUNED: "",
    slices.RETRAINED: "trained as long, not pruned",
    slices.SIBLINGS: "the same rounds, with the images in another order",
    "shuffled masks": "the same number of weights removed from each layer, at random positions",
    "new weights": "the same masks on reinitialised weights",
    OTHER_SEEDS: "two dense networks",
    UNTRAINED: "two untrained networks",
}
TITLES = {figure.chart: figure.title for figure in FIGURES}
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
PERCENT = ("predictions", "landscape")
# Series of pairs of networks. They have no rounds.
PAIRS = (OTHER_SEEDS, UNTRAINED)
# Below this distance, a card does not magnify differences. A line that is further away than this multiple of
# all networks does not fit into their card.
LEAST, FAR = 0.01, 2.5

# --- the chart of a card ----------------------------------------------------------------------------------


def distances(levels: dict, layers: pd.DataFrame) -> pd.DataFrame:
    """Collect the distances that the cards show, of levels and of `layers` (their rows of the distances).

    `layer` is empty for the level itself; `round` is `ANY` for pairs of seeds; `weights` are those left in
    that round of the experiment, in percent; `low` and `high` are the 95 % interval if `interval`, otherwise
    the range over the `seeds`; and pairs are `far` if they are so far away that the card only names them.
    """
    rows = [
        {
            "level": level,
            "layer": "",
            "series": series,
            "round": ANY if series in PAIRS else int(round),
            "weights": np.nan if series in PAIRS else 100 * numbers["density"],
            "mean": estimate["estimate"],
            **{name: estimate[name] for name in ("low", "high", "interval", "seeds")},
        }
        for level in LEVELS
        for round, numbers in levels.get(level, {"rounds": {}})["rounds"].items()
        for series, estimate in numbers["series"].items()
    ]
    columns = ["level", "layer", "series", "round", "weights", "mean", "low", "high", "interval", "seeds"]
    table = pd.DataFrame(rows, columns=columns).drop_duplicates(["level", "series", "round"])
    pair = table["series"].isin(PAIRS)
    farthest = table[~pair].groupby("level")["high"].max()
    table["far"] = pair & (table["mean"] > FAR * table["level"].map(farthest))
    networks = classifying(layers[~layers["series"].isin(PAIRS)], levels["failed"])
    networks = networks.groupby(["level", "layer", "series", "round"], sort=False)["distance"]
    single = networks.agg(mean="mean", low="min", high="max", seeds="count").reset_index()
    weights = table[~pair].groupby(["level", "round"])["weights"].first()
    single = single.join(weights, on=["level", "round"]).assign(interval=False, far=False)
    return pd.concat([table, single[[*columns, "far"]]], ignore_index=True)


def card(level: str, series: list[str], rounds: Rounds) -> Chart:
    """Make the chart of a level, with those series that have rows: distance against weights remaining."""
    color, shape, dash = base.series_scales(series, 0)
    percent = level in PERCENT
    labels = "format(datum.value * 100, '~g') + ' %'" if percent else "format(datum.value, '~g')"
    number = "format(datum.mean * 100, '.3~r') + ' %'" if percent else "format(datum.mean, '.2~r')"
    x = _small_axis(rounds)
    y = alt.Y(
        "mean:Q",
        scale=alt.Scale(reverse=True, zero=True, nice=False, padding=0),
        axis=alt.Axis(title=None, tickCount=3, labelExpr=labels, domain=False, ticks=False),
    )
    tip = [
        "series:N",
        "layer:N",
        "round:N",
        base.WEIGHTS,
        alt.Tooltip("mean:Q", title="distance", format=".4f"),
        alt.Tooltip("low:Q", title="from", format=".4f"),
        alt.Tooltip("high:Q", title="to", format=".4f"),
        "seeds:Q",
    ]
    # Of the level itself, and of the layer that is pointed at.
    whole, all_rows = "datum.layer == ''", f"datum.layer == '' || {base.LIT}"
    pairs = base.chart(whole, base.one_of(*PAIRS)).encode(color)
    near, far = pairs.transform_filter("!datum.far"), pairs.transform_filter("datum.far")
    networks = base.chart(all_rows, f"!({base.one_of(*PAIRS)})").encode(x, color)
    low, high = base.y_of(y, "low"), alt.Y2("high")
    faint = alt.condition(f"{whole} && lit != ''", alt.value(0.3), alt.value(1))
    chart = alt.layer(
        *_dense_network(),
        near.mark_rect(opacity=0.1, aria=False).encode(low, high),
        networks.transform_filter(whole)
        .mark_area(opacity=0.16, aria=False)
        .encode(base.y_of(y, "low", stack=None), high),
        near.mark_rule(strokeWidth=1.5, aria=False).encode(y, dash, tooltip=tip),
        _names(far, number).encode(tooltip=tip),
        _selected_round(rounds, x),
        networks.mark_line(strokeWidth=2, opacity=1, aria=False).encode(
            y, dash, detail="layer:N", opacity=faint
        ),
        networks.mark_point(filled=True, size=14, aria=False).encode(y, opacity=alt.value(0.9), tooltip=tip),
        networks.transform_filter(base.SELECTED)
        .mark_point(filled=True, size=70, opacity=alt.ExprRef(f"{whole} ? (lit == '' ? 1 : 0.25) : 1"))
        .encode(y, shape, tooltip=tip),
    ).add_params(base.selected(rounds), base.lit())
    return Chart(
        f"card-{level}",
        TITLES[f"card-{level}"],
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


def _small_axis(rounds: Rounds) -> alt.X:
    """Return the axis of `base.sparsity` without a title, for which a card has no room."""
    x = base.sparsity(f"{rounds.field}:Q", rounds, few=True)
    axis = x["axis"].copy()
    axis.title, axis.grid, axis.labelFlush = None, False, True
    axis.labelLimit, axis.labelSeparation = 76, 6
    if rounds.by_weights:
        axis.format, axis.labelExpr = alt.Undefined, "format(datum.value, '.3~r') + ' %'"
    return x.axis(axis)


def _dense_network() -> list[alt.Chart]:
    """Draw the line of the dense network at the top of an axis that spans at least `LEAST`."""
    style = {"fontSize": base.TEXT, "color": base.SOFT, "aria": False}
    text = base.single().mark_text(text="identical to dense", align="left", dx=3, dy=-8, **style)
    return [
        base.single().mark_point(opacity=0, aria=False).encode(alt.YDatum(LEAST)),
        base.single().mark_rule(color=base.SOFT, aria=False).encode(alt.YDatum(0)),
        text.encode(alt.XValue(0), alt.YDatum(0)),
    ]


def _names(far: alt.Chart, number: str) -> alt.Chart:
    """Name the pairs that do not fit into the card, with their distances, at its bottom."""
    return (
        far.transform_window(position="row_number()")
        .transform_calculate(
            text=f"'↓ ' + datum.series + ' ' + {number}", position="height - 5 - 14 * (datum.position - 1)"
        )
        .mark_text(align="left", fontSize=base.TEXT, baseline="bottom", aria=False)
        .encode(alt.XValue(2), alt.Y("position:Q", scale=None, axis=None), text="text:N")
    )


def _selected_round(rounds: Rounds, x: alt.X) -> alt.Chart:
    positions = {str(round): position for round, position in rounds.positions.items()}
    line = base.single().transform_calculate(position=f"{positions}[round]")
    return line.mark_rule(color=base.SOFT, strokeWidth=1, aria=False).encode(
        alt.X("position:Q", scale=x["scale"], axis=x["axis"])
    )


# --- the text of a card -----------------------------------------------------------------------------------


def cards(levels: dict, charts: dict[str, Chart]) -> list[Card]:
    """Make the card of each level, with its chart if there is one."""
    return [
        Card(
            level,
            levels_in_words.TITLES[level].capitalize(),
            levels[level]["question"],
            {
                str(round): _number(level, levels[level], one, levels["series"])
                for round, one in levels[level]["rounds"].items()
            },
            charts.get(level) if levels[level]["available"] else None,
            levels[level]["missing"] or "",
        )
        for level in LEVELS
    ]


def legend(names: list[str]) -> dict[str, str]:
    """Return what these series are, in the order of the legend."""
    return {name: text for name, text in MEANINGS.items() if name in names}


def reading(names: list[str], levels: dict) -> tuple[tuple[str, str], ...]:
    """Return remarks on how to read the first screen, for the series that it shows."""
    retrained = slices.RETRAINED in names and levels["series"] != slices.RETRAINED
    remarks = [
        (
            "The top line of a card",
            "is the dense network. Lower points are further away from it. Each card has its own scale.",
        )
    ]
    if retrained:
        remarks.append(
            (
                "Compare pruned with retrained.",
                "Retrained networks were trained for as long, without pruning. The difference between the "
                "two estimates the effect of pruning.",
            )
        )
    elif levels["series"] == slices.PRUNED:
        remarks.append(
            (
                "Longer training also moves a network.",
                "Without the control “retrained”, this effect cannot be separated from that of pruning.",
            )
        )
    if OTHER_SEEDS in names:
        remarks.append(
            (
                "Other seeds",
                "are dense networks trained with a different seed. They show how much independent solutions "
                "of the same task differ.",
            )
        )
    remarks.append(
        (
            "Point at a layer",
            "to mark it in all charts. The distances do not show whether a change matters. For that, look at "
            "the images that are labelled differently.",
        )
    )
    return tuple(remarks)


def _number(level: str, numbers: dict, round: dict, series: str) -> Number:
    estimate, write = round["series"][series], levels_in_words.number
    if estimate["seeds"] == 1:
        interval = "one seed"
    elif estimate["low"] == estimate["high"]:
        interval = ""
    else:
        # Only the estimate has a unit.
        low, high = (write(level, estimate[key]).split(" ")[0] for key in ("low", "high"))
        interval = f"{low} to {high}"
    return Number(
        write(level, estimate["estimate"]),
        numbers["quantity"],
        interval,
        _chip(round["beyond"]),
        _way(round["of_other_seed"], level),
    )


def _chip(beyond: dict | None) -> str:
    """Compare with retrained networks: the verdict, or in how many seeds pruned networks are further away."""
    if beyond is None:
        return ""
    if beyond["verdict"] == NOT_APART:
        return "no difference detected"  # the full verdict does not fit into one line
    return beyond["verdict"] or f"{beyond['higher_in']} of {counted(beyond['of'], 'seed')} beyond retraining"


def _way(of_other_seed: dict | None, level: str) -> str:
    """Compare with the distance to another seed; units of different seeds do not correspond."""
    if of_other_seed is None and level == "weights":
        return "not comparable with other seeds"
    if not of_other_seed or not of_other_seed["share"]:
        return ""
    share, low, high = (of_other_seed[key] for key in ("share", "low", "high"))
    if share >= 1:
        return "at least as far as another seed"
    limits = f" ({_percent(low)} to {_percent(high)})" if low is not None else ""
    return f"{_percent(share)} %{limits} of the distance to another seed"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.095 else f"{100 * share:.1g}"
