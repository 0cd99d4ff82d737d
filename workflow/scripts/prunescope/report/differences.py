"""Which layers changed beyond retraining: similarity to the dense network, pruned minus retrained."""

import altair as alt
import pandas as pd

from prunescope.report import base, palette
from prunescope.report.base import ALL, Chart

COLUMNS = ["layer", "round", "seed", "mean", "low", "high", "interval", "lower_in", "of", "verdict"]
# With more layers than this, layers are rows, with room for their names.
MOST_COLUMNS = 12


def differences(levels: dict) -> pd.DataFrame:
    """Collect how similar each layer stayed, minus the same of retrained networks; empty without these.

    `levels` are those of findings.json, whose distances change their sign: a larger distance is a lower
    similarity. `seed` is `ALL` or a seed; `lower_in` of `of` seeds are less similar than retrained ones.
    """
    rows = []
    for round, by_layer in levels["representations"]["layers"].items():
        for layer, beyond in by_layer.items():
            if beyond is None:
                continue
            keys = {"layer": layer, "round": int(round)}
            numbers = {
                "mean": -beyond["estimate"],
                "low": -beyond["high"],
                "high": -beyond["low"],
                "interval": beyond["interval"],
                "lower_in": beyond["higher_in"],
                "of": beyond["of"],
                "verdict": beyond["verdict"] or "",
            }
            rows.append({**keys, "seed": ALL, **numbers})
            rows += [{**keys, "seed": int(seed), "mean": -value} for seed, value in beyond["values"].items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def difference(layers: list[str], margin: float) -> Chart:
    """Make the chart of the layers, by round and seed; differences below the margin are shaded."""
    many = len(layers) > MOST_COLUMNS
    axis = alt.Axis(
        title="similarity, pruned − retrained",
        titlePadding=10,
        format="~g",
        grid=True,
        tickCount=6,
        orient="top" if many else "left",
    )
    scale, domain = alt.Scale(nice=False, padding=8), alt.Scale(domain=layers)
    if many:
        shaded = {"x": alt.XDatum(-margin, scale=scale, axis=axis), "x2": alt.X2Datum(margin)}
        names = alt.Y("layer:N", sort=layers, scale=domain, axis=alt.Axis(title=None, labelLimit=220))
        value, low, high = alt.X("mean:Q", scale=scale, axis=axis), alt.X("low:Q"), alt.X2("high")
        zero, beside = {"x": alt.XDatum(0)}, {"yOffset": 7}
    else:
        shaded = {"y": alt.YDatum(-margin, scale=scale, axis=axis), "y2": alt.Y2Datum(margin)}
        names = alt.X("layer:N", sort=layers, scale=domain, axis=base.layer_axis(layers))
        value, low, high = alt.Y("mean:Q", scale=scale, axis=axis), alt.Y("low:Q"), alt.Y2("high")
        zero, beside = {"y": alt.YDatum(0)}, {"xOffset": -9}
    ink, (opacity, opacity_of_dots) = (
        palette.color("pruned"),
        (_unless_another(1, 0.25), _unless_another(0.6, 0.15)),
    )
    tip = [
        "layer:N",
        alt.Tooltip("mean:Q", title="pruned − retrained", format="+.4f"),
        alt.Tooltip("low:Q", title="from", format="+.4f"),
        alt.Tooltip("high:Q", title="to", format="+.4f"),
        alt.Tooltip("lower_in:Q", title="less similar in (seeds)"),
        alt.Tooltip("of:Q", title="of (seeds)"),
        "verdict:N",
        "seed:N",
    ]
    every, seeds = (base.chart(role).encode(names) for role in (base.SUMMARY, base.SINGLE))
    parts = [
        base.single().mark_rect(fill=base.GRID, opacity=0.6, aria=False).encode(**shaded),
        base.single().mark_rule(color=base.SOFT, aria=False).encode(**zero),
        every.mark_rule(color=ink, strokeWidth=2.5, aria=False).encode(low, high, opacity=opacity),
        seeds.mark_point(filled=True, size=18, color=ink, aria=False, **beside).encode(
            value, opacity=opacity_of_dots, tooltip=tip
        ),
        every.mark_point(filled=True, size=110, color=ink).encode(value, opacity=opacity, tooltip=tip),
    ]
    if not many:
        text = every.mark_text(color=base.INK, fontSize=base.TEXT, aria=False, dx=9, align="left")
        parts.append(text.encode(value, text=alt.Text("mean:Q", format="+.2f"), opacity=opacity))
    chart = alt.layer(*parts).add_params(base.lit())
    return Chart(
        "difference-representations",
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
        dots=True,
        beware="Verdicts are corrected for the number of layers. Intervals are not.",
    )


def _unless_another(opacity: float, faint: float) -> dict:
    """Return the opacity of a layer's marks, which are faint while another layer is pointed at."""
    return alt.condition(f"lit == '' || {base.LIT}", alt.value(opacity), alt.value(faint))
