"""Charts and table of the representations: similarities of layers.

Shared arguments: `layers`, names in the order of the network; `rounds`, the names and positions of rounds;
`series`, the name of the experiment's networks; `colormap`, the name of a Vega colour scheme; `dots`, whether
each seed is drawn; `profile`, from `prunescope.report.page_tables.similarity_tables`.
"""

import json
import math
from dataclasses import dataclass
from html import escape

import altair as alt
import pandas as pd

from prunescope.findings.slices import OTHER_SEEDS, PRUNED
from prunescope.report import base, palette
from prunescope.report.base import ALL, Chart, Panel
from prunescope.report.experiment import Experiment
from prunescope.report.heatmaps import FAILING, FLAGS, failing, heatmap
from prunescope.report.rounds import Rounds

# More layers than this share panels by block.
PANELS = 12
CHANCE, CLASSES = "chance level", "chance within classes"
CHANCE_COLUMNS = {CHANCE: "chance", CLASSES: "chance_classes"}
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
NO_ANSWER = {"verdict": "–"}

# --- charts -----------------------------------------------------------------------------------------------


def profile(
    layers: list[str],
    series: list[str],
    title: str,
    titles: dict[str, str],
    dots: bool,
    levels: tuple[str, ...] = (CHANCE,),
    lowest: float = 0.0,
) -> Chart:
    """Make the main chart: similarity to the dense network by layer in one round, by series.

    The experiment's series is first. `title` is for what the page shows first, and `titles` are those by
    measure, seed and round. `levels` are those of `CHANCE` and `CLASSES` that any measure has.
    """
    # Other seeds are next to the chance levels.
    names = [*sorted(series, key=lambda name: name == OTHER_SEEDS), *levels]
    color, shape, dash = base.series_scales(names)
    x = alt.X("layer:N", sort=layers, axis=base.layer_axis(layers))
    y = alt.Y("mean:Q", title="similarity", scale=alt.Scale(domain=[lowest, 1]))
    marks = {"shape": shape, "tooltip": base.similarity_tooltip("layer:N", "series:N", "seed:N")}
    rows = base.with_levels(base.chart(base.SUMMARY)).encode(x)
    seeds = base.with_levels(base.chart(base.SINGLE)).encode(x)
    solid, hollow = (rows.transform_filter(f"datum.warned == '{word}'") for word in ("", "warned"))
    experiment = f"datum.series == '{series[0]}'"
    parts = [
        *([] if dots else [base.band(rows, y).encode(color)]),
        base.chart(base.SUMMARY, experiment, base.LIT)
        .encode(x)
        .mark_rule(color=base.SOFT, strokeWidth=1.5, aria=False),
        rows.mark_line(aria=False).encode(y, color, dash),
        *([base.seeds(seeds).encode(y, color, **marks)] if dots else []),
        _intervals(rows).encode(color),
        solid.mark_point(filled=True, size=75, opacity=1).encode(y, color, **marks),
        hollow.mark_point(fill=base.PAPER, size=75, strokeWidth=2, opacity=1).encode(y, color, **marks),
        failing(rows).encode(y),
    ]
    for name in levels:
        level = base.chart(base.SUMMARY, experiment).encode(x).mark_line(**CHANCE_LINE)
        chance = alt.Y(f"{CHANCE_COLUMNS[name]}:Q", title="similarity")
        parts.append(level.encode(chance, alt.ColorDatum(name)))
    chart = alt.layer(*parts).add_params(base.lit())
    return Chart(
        "profile",
        title,
        f"Layers in the order of the network, in the selected round. {base.DOTS if dots else base.RANGE}",
        "profile",
        ("measure", "seed", "round"),
        base.specification(chart.properties(width="container", height=300)),
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
    layers: list[str], rounds: Rounds, dots: bool, lowest: float = 0.0, series: str = PRUNED
) -> Chart:
    """Make small multiples: similarity to the dense network against weights remaining, by layer or block."""
    panels, ink = blocks(layers), palette.color(series)
    x = base.sparsity(f"{rounds.field}:Q", rounds, few=True)
    y = alt.Y("mean:Q", title=None, scale=alt.Scale(domain=[lowest, 1]), axis=alt.Axis(tickCount=3))
    of_panel, line = "indexof(members, datum.layer) >= 0", alt.Detail("layer:N")
    all_layers = base.chart(base.SUMMARY)
    rows = base.chart(base.SUMMARY, of_panel)
    tip = base.similarity_tooltip("layer:N", "round:O", base.WEIGHTS, "seed:N")
    parts = [
        all_layers.mark_line(color=palette.CONTEXT, strokeWidth=1, opacity=0.55, aria=False).encode(
            x, y, line
        ),
        rows.mark_line(color=ink, aria=False).encode(
            x, y, line, strokeWidth=alt.condition(base.LIT, alt.value(4.5), alt.value(2.2))
        ),
        rows.mark_line(color=palette.color(CHANCE), **CHANCE_LINE).encode(
            x, alt.Y("chance:Q", title=None), line
        ),
        _intervals(rows, color=ink).encode(x),
        base.with_levels(rows)
        .mark_point(filled=True, size=26, opacity=1, color=ink)
        .encode(x, y, tooltip=tip),
        failing(rows).encode(x, y),
    ]
    if dots:
        seeds = base.chart(base.SINGLE, of_panel)
        parts.append(seeds.mark_point(filled=True, size=12, opacity=0.7, color=ink).encode(x, y))
    if any(len(panel.members) > 1 for panel in panels):
        # There is room for the name of the lowest line only.
        lowest_line = (
            rows.transform_filter(f"datum.round == {rounds.last}")
            .transform_joinaggregate(lowest="min(mean)")
            .transform_filter("datum.mean == datum.lowest")
        )
        name = lowest_line.mark_text(align="right", dy=12, fontSize=base.TEXT, color=base.INK, aria=False)
        parts.append(name.encode(x, y, text="layer:N"))
    chart = alt.layer(*parts).add_params(alt.param(name="members", value=[]), base.lit())
    return Chart(
        "layers",
        f"Similarity to the dense network {rounds.against}",
        "Coloured: the layers of the panel; the layer with the lowest value is labelled. Grey: all other "
        f"layers. Dotted: chance level. {base.DOTS if dots else ''}".strip(),
        "profile",
        ("measure", "seed"),
        base.specification(chart.properties(width="container", height=130)),
        f"Small line charts, one for each layer or block: horizontal axis, {rounds.across}; vertical axis, "
        "similarity.",
        panels=tuple(panels),
        vertical="similarity",
        fixed=(("series", series),),
        dots=dots,
        beware=f"{BARS} {FAILING}",
    )


def blocks(layers: list[str]) -> list[Panel]:
    """Group layers into panels: one per layer, or by module if there are more than `PANELS`.

    Layers of the same outer module (``layer1.0.relu`` and ``layer1.1.relu``) share a panel. If this leaves
    too many panels, or a single one, neighbouring layers share one.
    """
    if len(layers) <= PANELS:
        return [Panel(layer, (layer,)) for layer in layers]
    groups: dict[str, list[str]] = {}
    for layer in layers:
        groups.setdefault(layer.split(".")[0], []).append(layer)
    if 1 < len(groups) <= PANELS:
        return [Panel(name, tuple(members)) for name, members in groups.items()]
    size = -(-len(layers) // PANELS)
    parts = [layers[start : start + size] for start in range(0, len(layers), size)]
    return [Panel(part[0] if len(part) == 1 else f"{part[0]} to {part[-1]}", tuple(part)) for part in parts]


def to_dense(
    layers: list[str], rounds: Rounds, colormap: str, experiment: str = "", series: str = PRUNED
) -> Chart:
    """Make the heatmap of layers × rounds: similarity to the dense network.

    It shows the table `profile`; or without a menu of seeds that of one `experiment` of several on a page.
    """
    chart = heatmap(
        base.chart(),
        alt.X("round:O", axis=base.round_axis(rounds)),
        alt.Y("layer:N", sort=layers, title=None),
        colormap,
        base.similarity_tooltip("layer:N", "round:O"),
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
        fixed=(("series", series),),
        beware=f"{IDENTICAL} {FLAGS}",
    )


def layer_pairs(layers: list[str], colormap: str) -> Chart:
    """Make the heatmap of the layers of one round × the layers of the dense network."""
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
    """Make the heatmap of rounds × rounds for the selected layer."""
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


# --- for readers ------------------------------------------------------------------------------------------


def headlines(experiment: Experiment, profile: pd.DataFrame, labels: dict[str, str]) -> dict[str, str]:
    """Return the main chart's finding, its least similar layer, by measure, seed and round, joined by |."""
    rows = profile[(profile["series"] == experiment.series) & (profile["measure"].isin(list(labels)))]
    titles = {}
    for (measure, seed, round), part in rows.groupby(["measure", "seed", "round"], sort=False):
        known = part[part["mean"].notna()]
        when = experiment.rounds.when(int(round))
        if not len(known):
            text = f"no layer has a value {when}"
        elif not int(round):
            text = f"similarity of each layer to itself, {when}"
        else:
            low = known.loc[known["mean"].idxmin()]
            text = f"{low['layer']} is least similar to dense {when} ({low['mean']:.3f})"
        titles[f"{measure}|{seed}|{round}"] = f"{labels[measure]}: {text}"
    return titles


def counts(experiment: Experiment) -> str:
    """Say how many values are missing or need a warning."""
    every = experiment.similarity[experiment.similarity["round_a"] > experiment.similarity["round_b"]]
    missing = int(every["value"].isna().sum())
    warned = int((every["status"] != "ok").sum()) - missing
    return f"Of {len(every):,} values, {missing:,} are missing and {warned:,} need a warning."


def layer_table(experiment: Experiment, profile: pd.DataFrame, label: str) -> tuple[str, pd.DataFrame]:
    """Make the table of layers by the page's first measure: value, chance, other seeds, verdict, ... ."""
    rows = profile[profile["measure"] == experiment.measure]
    others = rows[(rows["series"] == OTHER_SEEDS) & (rows["seed"] == ALL)].set_index("layer")["mean"]
    rows = rows[(rows["series"] == experiment.series) & (rows["seed"].astype(str) == experiment.first_seed)]
    last = rows[rows["round"].astype(str) == str(experiment.findings["last_round"])]
    lines = []
    # Networks that were trained elsewhere need not have all layers.
    for layer, row in last.set_index("layer").reindex(experiment.layers).iterrows():
        curve = rows[rows["layer"] == layer].sort_values("weights", ascending=False)["mean"]
        answers = experiment.findings.get("layers", {}).get(layer, {})
        status = row["status"] if isinstance(row["status"], str) else None
        lines.append(
            {
                "layer": layer,
                "last round": _value(row["mean"], "×" if status else "–"),
                "chance": _value(row["chance"]),
                "chance within classes": _value(row["chance_classes"]),
                OTHER_SEEDS: _value(others.get(layer)),
                "against other seeds": (answers.get("other_seeds") or NO_ANSWER)["verdict"],
                "change": (answers.get("change") or NO_ANSWER)["verdict"],
                "while pruning": Sparkline(layer, tuple(curve), palette.color(experiment.series)),
                "status": status or "not compared",
            }
        )
    seeds = ", mean over seeds" if len(experiment.seeds) > 1 else ""
    return f"Layers by {label}{seeds}", pd.DataFrame(lines)


@dataclass(frozen=True)
class Sparkline:
    """Values from 0 to 1 as a small line in a table."""

    name: str
    values: tuple[float, ...]
    color: str

    def __html__(self) -> str:
        step = 90 / max(len(self.values) - 1, 1)
        points = " ".join(
            f"{5 + step * index:.1f},{22 - 20 * max(0.0, value):.1f}"
            for index, value in enumerate(self.values)
            if not pd.isna(value)
        )
        return (
            f'<svg role="img" aria-label="{escape(self.name)} while pruning" width="100" height="24" '
            f'viewBox="0 0 100 24"><polyline points="{points}" fill="none" '
            f'stroke="{self.color}" stroke-width="1.5"/></svg>'
        )


def _value(value, missing: str = "–") -> str:
    return missing if value is None or pd.isna(value) else f"{value:.3f}"
