"""The charts of the reports: Vega-Lite specifications built with Altair, without their data.

A chart's parameters are bound to the page's `<select>` elements by their names (`metric`, `seed`, `round`,
`layer`, `measure`), so one menu rules all charts. Similarities share one scale, 0 to 1, everywhere; bands
reach from the lowest to the highest seed. Layers are told apart by colour and shape: dark to light with
depth, each colour with a contrast of at least 3 to white.
"""

import json
from dataclasses import dataclass

import altair as alt

ALL = "all"
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
MEASURES = {
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "train_accuracy": "training accuracy",
    "train_loss": "training loss",
    "validation_accuracy": "validation accuracy",
    "validation_loss": "validation loss",
    "lr": "learning rate",
}


@dataclass(frozen=True)
class Chart:
    """A chart: its files' `name`, `title`, `caption`, the `table` it shows, its specification."""

    name: str
    title: str
    caption: str
    alt: str
    table: str
    spec: dict


def _menu(name: str) -> alt.Parameter:
    """A parameter that follows the page's <select> of that name; some browsers send only `change` there."""
    return alt.param(name=name, value="", bind=alt.BindDirect(element=f"#{name}", event="change"))


def _chosen(*more: str) -> list[str]:
    seed = f"(seed == '{ALL}' || datum.seed == seed)"
    return ["datum.metric == metric", seed, *more]


def _filtered(chart: alt.Chart, filters: list[str], by: list[str]) -> alt.Chart:
    """Keep the chosen rows, then mean and range over what is left: the seeds."""
    for text in filters:
        chart = chart.transform_filter(text)
    chart = chart.transform_aggregate(
        groupby=by,
        mean="mean(value)",
        lowest="min(value)",
        highest="max(value)",
        seeds="valid(value)",
        chance="mean(chance)",
        n="min(n)",
        rank_a="min(rank_a)",
        rank_b="min(rank_b)",
        status="max(status)",
    )
    return chart.transform_calculate(
        by_chance="isValid(datum.chance) ? format(datum.chance, '.4f') : 'not known'"
    )


def _tooltip(*first: alt.Tooltip) -> list[alt.Tooltip]:
    """What a pointer shows: the exact value, its range over seeds, and what it was computed from."""
    return [
        *first,
        alt.Tooltip("mean:Q", title="similarity", format=".6f"),
        alt.Tooltip("lowest:Q", title="lowest seed", format=".6f"),
        alt.Tooltip("highest:Q", title="highest seed", format=".6f"),
        alt.Tooltip("seeds:Q", title="values"),
        alt.Tooltip("by_chance:N", title="by chance"),
        alt.Tooltip("n:Q", title="n (rows)"),
        alt.Tooltip("rank_a:Q", title="rank a"),
        alt.Tooltip("rank_b:Q", title="rank b"),
        alt.Tooltip("status:N", title="status"),
    ]


def _heatmap(
    base: alt.Chart, x: alt.X, y: alt.Y, colormap: str, tooltip: list[alt.Tooltip], height: int
) -> alt.LayerChart:
    """Coloured cells on the common scale from 0 to 1, numbers where they fit, a cross for a missing one."""
    scale = alt.Scale(scheme=colormap, domain=[0, 1], clamp=True)
    color = alt.Color(
        "mean:Q", scale=scale, legend=alt.Legend(title=None, gradientLength=alt.ExprRef("height"))
    )
    ink = "luminance(scale('color', datum.mean)) < 0.179 ? 'white' : 'black'"
    base = base.encode(x, y, tooltip=tooltip)
    there = base.transform_filter("isValid(datum.mean)")
    cells = there.mark_rect().encode(color=color)
    numbers = there.mark_text(
        fontSize=10, color=alt.ExprRef(ink), opacity=alt.ExprRef("bandwidth('x') > 26 ? 1 : 0"), aria=False
    ).encode(text=alt.Text("mean:Q", format=".2f"))
    missing = base.transform_filter("!isValid(datum.mean)").mark_text(fontSize=12, color="#555", text="×")
    missing = missing.encode(tooltip=[*tooltip[:2], *tooltip[-4:]])
    return alt.layer(cells, numbers, missing).properties(width="container", height=height)


def _round_axis(percents: dict[int, str], title: str) -> alt.Axis:
    """Rounds with the weights remaining under them."""
    return alt.Axis(
        title=title,
        labelExpr=f"[datum.label, {json.dumps(percents)}[datum.label]]",
        labelOverlap="parity",
        labelSeparation=6,
        labelAngle=0,
    )


def _layer_axis(layers: list[str], title: str | None = None) -> alt.Axis:
    """Names of layers, slanted unless they fit side by side on a telephone."""
    return alt.Axis(title=title, labelAngle=0 if sum(map(len, layers)) + 2 * len(layers) < 45 else -40)


def _sparsity(field: str, percents: dict[int, str]) -> alt.X:
    """Weights remaining: logarithmic, dense on the left, ticks at measured densities."""
    values = [float(text) for text in percents.values()]
    return alt.X(
        field,
        scale=alt.Scale(type="log", reverse=True, nice=False, padding=12),
        axis=alt.Axis(
            title="weights remaining (%)", values=values, format=".3~g", labelOverlap="greedy", grid=True
        ),
    )


def _spec(chart: alt.TopLevelMixin, menus: list[str], text: str, legend: bool = False) -> dict:
    """Finish a specification: menus, text alternative, look. The page adds the data."""
    chart = chart.add_params(*map(_menu, menus)) if menus else chart
    chart = chart.properties(description=text, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
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


def to_dense(layers: list[str], percents: dict[int, str], colormap: str, experiment: str = "") -> Chart:
    own = not experiment
    base = _filtered(
        alt.Chart(alt.NamedData("dense")),
        _chosen() if own else ["datum.metric == metric"],
        ["layer", "round"],
    )
    title = f"Similarity of each pruned network's layers to the dense network's{': ' * (not own)}{experiment}"
    text = f"Heatmap: layers as rows, pruning rounds as columns, colour from 0 to 1. {title}."
    chart = _heatmap(
        base,
        alt.X("round:O", axis=_round_axis(percents, "round, weights remaining (%)")),
        alt.Y("layer:N", sort=layers, title=None),
        colormap,
        _tooltip(alt.Tooltip("layer:N"), alt.Tooltip("round:O")),
        26 * len(layers),
    )
    return Chart(
        "dense" if own else f"dense-{experiment}",
        title if own else experiment,
        "1 is identical; round 0 is the dense network itself. × marks a pair without a value.",
        text,
        "dense" if own else f"dense-{experiment}",
        _spec(chart, ["metric", "seed"] if own else ["metric"], text),
    )


def _by_layer(
    base: alt.Chart, layers: list[str], x: alt.X, y: alt.Y, fields: tuple[str, str], tooltip
) -> alt.LayerChart:
    """A line and a band for each layer; a click in the legend singles one layer out."""
    pick = alt.selection_point(name="picked", fields=["layer"], bind="legend")
    legend = alt.Legend(
        title=None,
        orient="bottom",
        columns=alt.ExprRef("max(1, floor(width / 130))"),
        symbolOpacity=1,
        symbolSize=70,
    )
    color = alt.Color("layer:N", scale=alt.Scale(domain=layers, scheme=DEPTH), legend=legend)
    shape = alt.Shape("layer:N", scale=alt.Scale(domain=layers, range=SHAPES), legend=legend)
    low, high = fields
    base = base.encode(x)
    band = base.mark_area(aria=False).encode(
        alt.Y(f"{low}:Q"), alt.Y2(high), color, opacity=alt.condition(pick, alt.value(0.15), alt.value(0.02))
    )
    faint = alt.condition(pick, alt.value(1), alt.value(0.12))
    line = base.mark_line(aria=False).encode(y, color, opacity=faint)
    points = base.mark_point(filled=True, size=45).encode(y, color, shape, opacity=faint, tooltip=tooltip)
    return alt.layer(band, line, points.add_params(pick)).properties(width="container", height=320)


def lines(layers: list[str], percents: dict[int, str]) -> Chart:
    title = "Similarity to the dense network while weights are removed"
    text = f"Line chart: weights remaining across, similarity upwards, one line for each layer. {title}."
    base = _filtered(alt.Chart(alt.NamedData("dense")), _chosen(), ["layer", "round"])
    base = base.transform_calculate(weights=f"toNumber({json.dumps(percents)}[datum.round])")
    weights = alt.Tooltip("weights:Q", title="weights (%)")
    tooltip = _tooltip(alt.Tooltip("layer:N"), alt.Tooltip("round:O"), weights)
    chart = _by_layer(
        base,
        layers,
        _sparsity("weights:Q", percents),
        alt.Y("mean:Q", title="similarity", scale=alt.Scale(domain=[0, 1])),
        ("lowest", "highest"),
        tooltip,
    )
    caption = "Bands reach from the lowest to the highest seed. Click a layer's name to single it out."
    return Chart("lines", title, caption, text, "dense", _spec(chart, ["metric", "seed"], text))


def profile(layers: list[str]) -> Chart:
    names = ["this round and its own dense network", "dense networks of different seeds"]
    title = "Similarity to the dense network, layer by layer, in one round"
    text = f"Line chart: layers in the order of the network across, similarity from 0 to 1 upwards. {title}."
    base = _filtered(
        alt.Chart(alt.NamedData("profile")),
        _chosen("datum.kind == 'seeds' || datum.round == round"),
        ["layer", "kind"],
    ).transform_calculate(what=f"datum.kind == 'dense' ? '{names[0]}' : '{names[1]}'")
    legend = alt.Legend(
        title=None,
        orient="bottom",
        columns=alt.ExprRef("width > 520 ? 2 : 1"),
        labelLimit=300,
        symbolOpacity=1,
    )
    color = alt.Color("what:N", scale=alt.Scale(domain=names, range=["#0063A3", "#555555"]), legend=legend)
    shape = alt.Shape("what:N", scale=alt.Scale(domain=names, range=["circle", "square"]), legend=legend)
    x = alt.X("layer:N", sort=layers, axis=_layer_axis(layers))
    y = alt.Y("mean:Q", title="similarity", scale=alt.Scale(domain=[0, 1]))
    base = base.encode(x)
    band = base.mark_area(opacity=0.2, aria=False).encode(alt.Y("lowest:Q"), alt.Y2("highest"), color)
    line = base.mark_line(aria=False).encode(y, color)
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        y, color, shape, tooltip=_tooltip(alt.Tooltip("layer:N"), alt.Tooltip("what:N", title="compared"))
    )
    chart = alt.layer(band, line, points).properties(width="container", height=300)
    caption = (
        "Bands reach from the lowest to the highest seed. Where dense networks of different seeds were "
        "compared, their similarity is what any two trainings share; with one seed chosen, it is "
        "that seed's with the others."
    )
    return Chart("profile", title, caption, text, "profile", _spec(chart, ["metric", "seed", "round"], text))


def pairs(layers: list[str], colormap: str) -> Chart:
    title = "Every layer against every layer of the dense network"
    text = f"Heatmap: layers of the chosen round as rows, layers of the dense network as columns. {title}."
    base = _filtered(alt.Chart(alt.NamedData("pairs")), _chosen("datum.round == round"), ["layer", "layer_b"])
    chart = _heatmap(
        base,
        alt.X("layer_b:N", sort=layers, axis=_layer_axis(layers, title="dense network")),
        alt.Y("layer:N", sort=layers, title="this round"),
        colormap,
        _tooltip(
            alt.Tooltip("layer:N", title="layer"),
            alt.Tooltip("layer_b:N", title="layer of the dense network"),
        ),
        26 * len(layers),
    )
    return Chart(
        "pairs", title, "1 is identical.", text, "pairs", _spec(chart, ["metric", "seed", "round"], text)
    )


def rounds(rounds: list[int], colormap: str) -> Chart:
    title = "Similarity of one layer between every two rounds"
    text = f"Heatmap: rounds as rows and as columns, colour from 0 to 1. {title}."
    base = _filtered(
        alt.Chart(alt.NamedData("rounds")), _chosen("datum.layer == layer"), ["round", "round_b"]
    )
    chart = _heatmap(
        base,
        alt.X("round_b:O", title="round b", axis=alt.Axis(labelAngle=0, labelOverlap="parity")),
        alt.Y("round:O", title="round a"),
        colormap,
        _tooltip(alt.Tooltip("round:O", title="round a"), alt.Tooltip("round_b:O", title="round b")),
        max(220, min(40 * len(rounds), 460)),
    )
    caption = "1 is identical. Blocks of high values are rounds in which the layer hardly changed."
    return Chart("rounds", title, caption, text, "rounds", _spec(chart, ["metric", "seed", "layer"], text))


def accuracy(percents: dict[int, str]) -> Chart:
    title = "Test accuracy against weights remaining"
    text = f"Line chart: weights remaining across, test accuracy upwards; mean, range and each seed. {title}."
    base = alt.Chart(alt.NamedData("accuracy"))
    y = alt.Y("test_accuracy:Q", title="test accuracy (%)", scale=alt.Scale(zero=False))
    x = _sparsity("density:Q", percents)
    mean = base.transform_aggregate(
        groupby=["round"],
        density="mean(density)",
        test_accuracy="mean(test_accuracy)",
        low="min(test_accuracy)",
        high="max(test_accuracy)",
        seeds="count()",
    )
    band = mean.mark_area(color="#0063A3", opacity=0.18, aria=False).encode(x, alt.Y("low:Q"), alt.Y2("high"))
    line = mean.mark_line(color="#0063A3", aria=False).encode(x, y)
    number = {"format": ".3f"}
    points = mean.mark_point(color="#0063A3", filled=True, size=60, opacity=1).encode(
        x,
        y,
        tooltip=[
            alt.Tooltip("round:O"),
            alt.Tooltip("density:Q", title="weights (%)", **number),
            alt.Tooltip("test_accuracy:Q", title="mean accuracy (%)", **number),
            alt.Tooltip("low:Q", title="lowest seed", **number),
            alt.Tooltip("high:Q", title="highest seed", **number),
            alt.Tooltip("seeds:Q"),
        ],
    )
    each = base.mark_point(color="#444", shape="stroke", size=70, strokeWidth=1.5, opacity=1).encode(
        x,
        y,
        tooltip=[
            alt.Tooltip("seed:O"),
            alt.Tooltip("round:O"),
            alt.Tooltip("density:Q", title="weights (%)", **number),
            alt.Tooltip("test_accuracy:Q", title="accuracy (%)", **number),
            alt.Tooltip("test_loss:Q", title="test loss", format=".5f"),
        ],
    )
    chart = alt.layer(band, line, each, points).properties(width="container", height=280)
    caption = "Line: mean over seeds; band: lowest to highest seed; dashes: each seed."
    return Chart("accuracy", title, caption, text, "accuracy", _spec(chart, [], text))


def accuracies(names: list[str]) -> Chart:
    title = "Test accuracy against weights remaining, experiment by experiment"
    text = (
        f"Line chart: weights remaining across, test accuracy upwards, one line for each experiment. {title}."
    )
    base = alt.Chart(alt.NamedData("accuracy")).transform_aggregate(
        groupby=["experiment", "round"],
        density="mean(density)",
        mean="mean(test_accuracy)",
        low="min(test_accuracy)",
        high="max(test_accuracy)",
        seeds="count()",
    )
    base = base.transform_calculate(layer="datum.experiment")
    number = {"format": ".3f"}
    x = alt.X(
        "density:Q",
        scale=alt.Scale(type="log", reverse=True, nice=False, padding=12),
        axis=alt.Axis(title="weights remaining (%)", format=".3~g", labelOverlap="greedy"),
    )
    chart = _by_layer(
        base,
        names,
        x,
        alt.Y("mean:Q", title="test accuracy (%)", scale=alt.Scale(zero=False)),
        ("low", "high"),
        [
            alt.Tooltip("experiment:N"),
            alt.Tooltip("round:O"),
            alt.Tooltip("density:Q", title="weights (%)", **number),
            alt.Tooltip("mean:Q", title="mean accuracy (%)", **number),
            alt.Tooltip("low:Q", title="lowest seed", **number),
            alt.Tooltip("high:Q", title="highest seed", **number),
            alt.Tooltip("seeds:Q"),
        ],
    )
    caption = "Bands reach from the lowest to the highest seed. Click an experiment's name to single it out."
    return Chart("accuracy", title, caption, text, "accuracy", _spec(chart, [], text))


def density(layers: list[str], percents: dict[int, str], above_zero: bool) -> Chart:
    title = "Where the weights are removed: density of each prunable layer"
    text = f"Line chart, logarithmic: weights remaining in all layers across, in each layer upwards. {title}."
    base = alt.Chart(alt.NamedData("density")).transform_filter(f"seed == '{ALL}' || datum.seed == seed")
    base = base.transform_aggregate(
        groupby=["layer", "round"],
        weights="mean(density_all_layers)",
        mean="mean(density)",
        low="min(density)",
        high="max(density)",
        kept="mean(kept)",
        total="mean(total)",
        dead="max(dead_channels)",
        channels="max(channels)",
        seeds="count()",
    )
    number = {"format": ".3f"}
    tooltip = [
        alt.Tooltip("layer:N"),
        alt.Tooltip("round:O"),
        alt.Tooltip("mean:Q", title="weights left in the layer (%)", **number),
        alt.Tooltip("low:Q", title="lowest seed", **number),
        alt.Tooltip("high:Q", title="highest seed", **number),
        alt.Tooltip("weights:Q", title="in all layers (%)", **number),
        alt.Tooltip("kept:Q", title="weights left"),
        alt.Tooltip("total:Q", title="of"),
        alt.Tooltip("dead:Q", title="dead channels (most)"),
        alt.Tooltip("channels:Q"),
        alt.Tooltip("seeds:Q"),
    ]
    # A layer may lose its last weight; a logarithmic axis has no place for it.
    scale = alt.Scale(type="log", nice=False) if above_zero else alt.Scale(type="symlog", constant=0.1)
    ticks = [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
    axis = alt.Axis(values=ticks, format=".3~g", labelOverlap="greedy")
    y = alt.Y("mean:Q", title="weights remaining in the layer (%)", scale=scale, axis=axis)
    chart = _by_layer(base, layers, _sparsity("weights:Q", percents), y, ("low", "high"), tooltip)
    caption = "Bands reach from the lowest to the highest seed."
    return Chart("density", title, caption, text, "density", _spec(chart, ["seed"], text))


def training() -> Chart:
    title = "Training curves of all rounds"
    text = f"Line chart: epochs across, the chosen measure upwards, one line for each round. {title}."
    base = (
        alt.Chart(alt.NamedData("training"))
        .transform_filter(f"seed == '{ALL}' || datum.seed == seed")
        .transform_calculate(value="datum[measure]")
        .transform_aggregate(
            groupby=["round", "epoch"], value="mean(value)", low="min(value)", high="max(value)"
        )
    )
    legend = alt.Legend(title="round", orient="right", tickMinStep=1)
    chart = (
        base.mark_line(point=alt.OverlayMarkDef(size=14, aria=False), aria=False)
        .encode(
            alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, grid=False)),
            alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
            alt.Color("round:Q", scale=alt.Scale(scheme=DEPTH), legend=legend),
            alt.Detail("round:O"),
            tooltip=[
                alt.Tooltip("round:O"),
                alt.Tooltip("epoch:Q"),
                alt.Tooltip("value:Q", title="mean", format=".6f"),
                alt.Tooltip("low:Q", title="lowest seed", format=".6f"),
                alt.Tooltip("high:Q", title="highest seed", format=".6f"),
            ],
        )
        .properties(width="container", height=300)
    )
    caption = "Mean over seeds unless one is chosen. Round 0 is the dense network."
    return Chart("training", title, caption, text, "training", _spec(chart, ["measure", "seed"], text))
