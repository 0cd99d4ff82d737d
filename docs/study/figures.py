"""Draw the figures of docs/study.md from the tables in docs/study, with the code of the report's charts."""

from dataclasses import dataclass
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
from claims import Study, compute, curves, mean

from prunescope.findings import slices
from prunescope.report import base, paper

HERE = Path(__file__).parent
WIDTH = 6.75
CLASSES = "chance within classes"
CONTRASTS = {"first": "first − middle", "output": "output − middle"}


@dataclass(frozen=True)
class Figure:
    """A chart and its rows."""

    chart: base.Chart
    rows: pd.DataFrame


def _figure(name: str, drawn: alt.LayerChart, rows: list[dict], panels: list[str] | None = None) -> Figure:
    spec = base.specification(drawn)
    members = tuple(base.Panel(title, (title,)) for title in panels or [])
    for part in spec["layer"] if panels else []:
        for channel in ("color", "shape"):
            if legend := part["encoding"].get(channel, {}).get("legend"):
                legend["columns"] = 3
    return Figure(base.Chart(name, "", "", "", (), spec, "", panels=members), pd.DataFrame(rows))


def _series(study: Study) -> list[str]:
    known = ["pruned", "retrained", "siblings", "shuffled masks", "new weights", "other seeds", "untrained"]
    there = set(study.similarity["series"])
    return [name for name in known if name in there]


def _density(study: Study) -> alt.X:
    """Return the axis of the weights that remain, with a tick for every other round."""
    ticks = [float(f"{100 * value:.2g}") for value in study.density[::-2]]
    axis = base.sparsity("weights:Q")
    return axis.axis(title="weights remaining (%)", format=".2~r", values=ticks, labelOverlap="greedy")


def _typical(numbers: dict, name: str, **more) -> list[dict]:
    """A row with an estimate and its interval; none where it is not known."""
    if f"{name}.estimate" not in numbers:
        return []
    values = {key: numbers[f"{name}.{key}"] for key in ("estimate", "low", "high")}
    return [more | values]


def profile(study: Study, numbers: dict) -> Figure:
    """Similarity to the dense network by layer in the last round, with all baselines."""
    names, rows = _series(study), []
    for series in names:
        key = f"typical.{series.replace(' ', '-')}"
        for layer in study.layers:
            middle = "" if series in (slices.OTHER_SEEDS, slices.UNTRAINED) else f".{study.last}"
            rows += _typical(numbers, f"{key}{middle}.{layer}", series=series, layer=layer)
    for layer, value in study.chances("chance_classes").mean().items():
        rows.append({"series": CLASSES, "layer": layer, "estimate": value})
    color, shape, dash = base.series_scales([*names, CLASSES])
    x = alt.X("layer:N", sort=study.layers, axis=base.layer_axis(study.layers))
    y = alt.Y("estimate:Q", title="similarity (debiased CKA)", scale=alt.Scale(domain=[0, 1]))
    lines = base.chart().mark_line().encode(x, y, color, dash)
    bars = base.chart().mark_rule().encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color)
    points = base.chart(f"datum.series != '{CLASSES}'").mark_point(filled=True, size=50, opacity=1)
    drawn = alt.layer(lines, bars, points.encode(x, y, color, shape))
    return _figure("profile", drawn.properties(width="container", height=300), rows)


def distance(study: Study) -> Figure:
    """Distance of the layers from the dense network while weights are removed, with 95 % intervals."""
    rows = []
    names = [name for name in _series(study) if name in (slices.PRUNED, slices.RETRAINED, slices.SIBLINGS)]
    for series in names:
        table = curves(study, "representations", series)
        for round in study.rounds:
            one = mean("", table[round])
            values = {"estimate": one[".mean"], "low": one[".low"], "high": one[".high"]}
            rows.append({"series": series, "weights": 100 * study.density[round]} | values)
    others = study.distances.loc[study.distances["series"] == slices.OTHER_SEEDS, "representations"].mean()
    rows.append({"series": slices.OTHER_SEEDS, "estimate": others})
    color, shape, dash = base.series_scales(names)
    x, y = _density(study), alt.Y("estimate:Q", title="distance of the layers (1 − debiased CKA)")
    networks, pairs = (base.chart(f"datum.series {sign} '{slices.OTHER_SEEDS}'") for sign in ("!=", "=="))
    line = pairs.mark_rule(color=base.SOFT, strokeDash=[2, 3]).encode(y)
    label = pairs.mark_text(align="left", baseline="bottom", color=base.SOFT, dx=4, text=slices.OTHER_SEEDS)
    bars = networks.mark_rule().encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color)
    lines = networks.mark_line().encode(x, y, color, dash)
    points = networks.mark_point(filled=True, size=50, opacity=1).encode(x, y, color, shape)
    drawn = alt.layer(lines, bars, points, line, label.encode(alt.XValue(0), y))
    drawn = drawn.properties(width="container", height=280)
    return _figure("distance", drawn, rows)


def apart(study: Study, numbers: dict) -> Figure:
    """Similarity to the dense network while weights are removed, by layer."""
    names, rows = [name for name in _series(study) if name != slices.UNTRAINED], []
    for layer in study.layers:
        for series in names:
            key = f"typical.{series.replace(' ', '-')}"
            for round in study.rounds:
                middle = "" if series == slices.OTHER_SEEDS else f".{round}"
                where = {"series": series, "layer": layer, "weights": 100 * study.density[round]}
                rows += _typical(numbers, f"{key}{middle}.{layer}", **where)
    color, shape, dash = base.series_scales(names)
    x = _density(study)
    lowest = np.floor(10 * min(row["estimate"] for row in rows)) / 10
    scale = alt.Scale(domain=[lowest, 1])
    y = alt.Y("estimate:Q", title="similarity", scale=scale, axis=alt.Axis(tickCount=3))
    mine = base.chart("indexof(members, datum.layer) >= 0")
    lines = mine.mark_line().encode(x, y, color, dash)
    points = mine.mark_point(filled=True, size=30, opacity=1).encode(x, y, color, shape)
    drawn = alt.layer(lines, points).properties(width="container", height=220)
    return _figure("apart", drawn, rows, panels=study.layers)


def contrasts(name: str, cases: dict[str, str], numbers: dict) -> Figure:
    """Both contrasts of claim 1a with their 95 % intervals, one row for each case."""
    rows = []
    for key, label in cases.items():
        for contrast, title in CONTRASTS.items():
            rows += _typical(numbers, f"{key}.{contrast}", case=label, series=title)
    color, shape, _ = base.series_scales(list(CONTRASTS.values()))
    order = list(dict.fromkeys(row["case"] for row in rows))
    y = alt.Y("case:N", title=None, sort=order)
    offset = alt.YOffset("series:N", sort=list(CONTRASTS.values()))
    x = alt.X("estimate:Q", title="difference between similarities")
    zero = base.chart().mark_rule(color=base.SOFT).encode(alt.XDatum(0))
    bars = base.chart().mark_rule().encode(alt.X("low:Q"), alt.X2("high:Q"), y, offset, color)
    points = base.chart().mark_point(filled=True, size=50, opacity=1).encode(x, y, offset, color, shape)
    drawn = alt.layer(zero, bars, points).properties(width="container", height=32 * len(order))
    return _figure(name, drawn, rows)


def levels(study: Study) -> Figure:
    """Distance to the dense network as a share of its largest value, by level."""
    rows = []
    for level in study.levels:
        table = curves(study, level)
        shares = table.div(table.max(axis=1), axis=0)
        for round in shares:
            where = {"series": level, "weights": 100 * study.density[round]}
            rows.append(where | {"estimate": shares[round].mean()})
    color, shape, _ = base.series_scales(study.levels)
    x = _density(study)
    y = alt.Y("estimate:Q", title="share of the largest distance", scale=alt.Scale(domain=[0, 1]))
    half = base.chart().mark_rule(color=base.SOFT, strokeDash=[2, 3]).encode(alt.YDatum(0.5))
    lines = base.chart().mark_line().encode(x, y, color)
    points = base.chart().mark_point(filled=True, size=50, opacity=1).encode(x, y, color, shape)
    drawn = alt.layer(half, lines, points).properties(width="container", height=300)
    return _figure("levels", drawn, rows)


def collapse(study: Study) -> Figure:
    """Loss of accuracy against the distance of the representations: a point for each network."""
    networks = study.networks.assign(lost=_lost(study.networks))
    both = study.distances.merge(networks, "inner", ["series", "seed", "round"])
    both = both[(both["round"] > 0) & (both["series"] != slices.SIBLINGS)].dropna(subset="representations")
    names = [name for name in _series(study) if name in set(both["series"])]
    rows = both[["series", "representations", "lost"]].to_dict("records")
    others = study.distances.loc[study.distances["series"] == slices.OTHER_SEEDS, "representations"].mean()
    color, shape, _ = base.series_scales(names)
    points = (
        base.chart()
        .mark_point(size=22)
        .encode(
            alt.X("representations:Q", title="distance of the representations from the dense network's"),
            alt.Y("lost:Q", title="loss of accuracy (points)"),
            color,
            shape,
        )
    )
    line = base.chart().mark_rule(color=base.SOFT, strokeDash=[2, 3]).encode(alt.XDatum(others))
    return _figure("collapse", alt.layer(line, points).properties(width="container", height=300), rows)


def _lost(networks: pd.DataFrame) -> pd.Series:
    dense = networks[(networks["round"] == 0) & (networks["series"] == "pruned")]
    dense = dense.set_index("seed")["test_accuracy"]
    return 100 * (networks["seed"].map(dense) - networks["test_accuracy"])


def authors(study: Study) -> Figure:
    """Dense networks of different seeds: the authors' and ours, by layer."""
    titles = {"svcca_trim98": "mean CCA", "cka": "linear CKA, flattened maps"}
    names = {"published": "published", "sgd": "ours, SGD", "adam": "ours, Adam"}
    groups = study.authors.groupby(["networks", "measure", "layer"])["value"]
    rows = [
        {"series": names[networks], "panel": titles[measure], "layer": layer}
        | {"estimate": values.mean(), "low": values.min(), "high": values.max()}
        for (networks, measure, layer), values in groups
    ]
    layers = list(study.authors["layer"].unique())
    there = [name for name in names.values() if name in {row["series"] for row in rows}]
    color, shape, _ = base.series_scales(there)
    # An axis whose labels depend on the width does not work in panels.
    x = alt.X("layer:N", sort=layers, axis=alt.Axis(title=None, labelAngle=-40))
    y = alt.Y("estimate:Q", title="similarity", scale=alt.Scale(domain=[0.4, 1]))
    mine = base.chart("indexof(members, datum.panel) >= 0")
    lines = mine.mark_line().encode(x, y, color)
    bars = mine.mark_rule().encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), color)
    points = mine.mark_point(filled=True, size=40, opacity=1).encode(x, y, color, shape)
    drawn = alt.layer(lines, bars, points).properties(width="container", height=220)
    return _figure("authors", drawn, rows, panels=list(titles.values()))


def figures(study: Study) -> dict[str, Figure]:
    """Return all figures of a study by name."""
    numbers = compute(study)
    measures = {f"4.{measure}": measure for measure in study.measures}
    cases = {"7.seeds-a": "first half of the seeds", "7.seeds-b": "second half of the seeds"}
    for view, images in sorted({*zip(study.views["view"], study.views["images"], strict=True)}):
        cases[f"7.{view}-{images}"] = f"{view}, {images:,} images"
    drawn = {
        "distance": distance(study),
        "profile": profile(study, numbers),
        "apart": apart(study, numbers),
        "measures": contrasts("measures", measures, numbers),
        "levels": levels(study),
        "collapse": collapse(study),
        "sensitivity": contrasts("sensitivity", cases, numbers),
    }
    return drawn | ({"authors": authors(study)} if study.authors is not None else {})


def draw(name: str, folder: Path = HERE) -> dict[str, str]:
    """Return the SVG files of a study by file name."""
    drawn = figures(Study(name, folder)).items()
    return {f"{name}-{key}.svg": paper.svg(one.chart, one.rows, WIDTH, key) for key, one in drawn}


def main():
    """Draw the figures of the studies that have tables."""
    for path in sorted(HERE.glob("*-networks.csv")):
        for file, text in draw(path.stem.removesuffix("-networks")).items():
            (HERE / file).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
