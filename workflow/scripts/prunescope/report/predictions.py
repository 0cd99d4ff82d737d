"""Charts of the predictions and their tables.

The share of images labelled differently is a distance, so 0 is at the top.
"""

import altair as alt
import pandas as pd

from prunescope.findings import levels
from prunescope.findings.levels import Tables
from prunescope.findings.slices import OTHER_SEEDS
from prunescope.report import base, heatmaps
from prunescope.report.base import ALL, ANY, Chart
from prunescope.report.page_tables import over_seeds, weights_by_round
from prunescope.report.rounds import Rounds

# Measures that charts show: title, definition, and what misleads.
PREDICTIONS = {
    "agreement": (
        "Test images labelled differently (%)",
        "Share of the test images for which the network and its dense network predict different classes.",
        "It depends on the accuracy: networks with few errors agree on most images.",
    ),
    "agreement_minmax": (
        "Agreement, given both accuracies",
        "Agreement, scaled from the lowest (0) to the highest (1) value that the two error rates allow.",
        "With few errors it is noisy.",
    ),
    "error_consistency": (
        "Error consistency (Cohen’s κ)",
        "Agreement on the wrongly classified images. 0: as with independent errors; 1: the same images.",
        "With few errors it is noisy.",
    ),
}


def predictions(prediction: str, series: list[str], rounds: Rounds, dots: bool) -> Chart:
    """Make the line chart of one comparison of `PREDICTIONS` with those of the dense network, by series."""
    title, definition, beware = PREDICTIONS[prediction]
    color, shape, dash = base.series_scales(series, 2)
    x = base.sparsity(f"{rounds.field}:Q", rounds, few=True)
    reverse = prediction == "agreement"
    y = alt.Y(
        "mean:Q",
        title=None,
        scale=alt.Scale(reverse=reverse, zero=reverse, nice=False, padding=6),
        axis=alt.Axis(tickCount=5),
    )
    tip = base.tooltip("series:N", "round:N", "seed:N", mean="mean", format=".4f")
    every = base.chart(base.SUMMARY).encode(color)
    networks, pairs = (every.transform_filter(f"{sign}({base.one_of(OTHER_SEEDS)})") for sign in ("!", ""))
    networks = networks.encode(x)
    seeds = base.seeds(base.chart(base.SINGLE)).encode(x, y, color, tooltip=tip)
    parts = [
        *([] if dots else [base.band(networks, y)]),
        pairs.mark_rect(opacity=0.1, aria=False).encode(base.y_of(y, "seed_low"), alt.Y2("seed_high")),
        pairs.mark_rule(strokeWidth=1.5, aria=False).encode(y, dash, tooltip=tip),
        networks.mark_line(aria=False).encode(y, dash),
        networks.mark_point(filled=True, size=60, opacity=1).encode(y, shape, tooltip=tip),
        *([seeds] if dots else []),
    ]
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


def predictions_table(tables: dict[str, Tables]) -> pd.DataFrame:
    """Compare the predictions of each network with those of its dense network, by `prediction` and series.

    `round` is `ANY` for pairs of dense networks; `weights` are those left in that round of the experiment, in
    percent. Values of ``agreement`` are the percentage of images labelled differently.
    """
    experiment = levels.experiment_of(tables)
    parts = []
    for series, one in tables.items():
        rows = one.predictions[one.predictions["measure"].isin(PREDICTIONS)]
        networks = levels.to_dense(rows, one)
        if not one.again:
            # A network agrees with itself.
            dense = networks.drop_duplicates(["seed_a", "measure"]).assign(round_a=0, value=1.0)
            networks = pd.concat([dense, networks])
        parts.append(networks.assign(series=series))
        if one is experiment:
            within = rows[rows["experiment_a"] == rows["experiment_b"]]
            parts.append(levels.pairs_of_dense(within).assign(series=OTHER_SEEDS))
    rows = pd.concat(parts).rename(columns={"round_a": "round", "seed_a": "seed", "measure": "prediction"})
    changed = rows["prediction"] == "agreement"
    for column in ("value", "chance"):
        rows[column] = rows[column].where(~changed, 100 * (1 - rows[column]))
    rows = rows.dropna(subset="value")
    rows["weights"] = rows["round"].map(weights_by_round(experiment.accuracy))
    table = over_seeds(rows, ["prediction", "series", "round"], "value", weights="weights", chance="chance")
    pairs = table["series"] == OTHER_SEEDS
    # A pair has no seed of its own.
    table = table[~pairs | (table["seed"] == ALL)].astype({"round": object, "seed": object})
    table.loc[table["series"] == OTHER_SEEDS, ["round", "seed"]] = ANY
    return table.reset_index(drop=True)


def classes(table: pd.DataFrame, rounds: Rounds, colormap: str) -> Chart:
    """Make the heatmap of classes × rounds: test accuracy."""
    names, least = list(dict.fromkeys(table["class"])), float(table["mean"].min())
    tip = base.tooltip("class:N", "round:O", mean="accuracy (%)", format=".2f")
    chart = heatmaps.cells(
        rounds,
        alt.Y("class:N", sort=names, title="class"),
        alt.Scale(scheme=colormap, domain=[min(least, 99), 100]),
        "format(datum.mean, '.1f')",
        [*tip, alt.Tooltip("images:Q", title="test images")],
        24 * len(names),
    )
    return Chart(
        "classes",
        "Test accuracy of each class (%)",
        "Mean over the selected seeds.",
        "classes",
        ("seed",),
        base.specification(chart),
        "Heatmap: classes as rows, pruning rounds as columns, test accuracy in percent as colour.",
        beware="A class has few test images, so one percentage point may be a single image.",
    )


def by_class(classes: pd.DataFrame, accuracy: pd.DataFrame) -> pd.DataFrame:
    """Summarise classes.parquet: the test accuracy of each class in percent. The first class is ``all``."""
    rows = classes.dropna(subset="accuracy").assign(percent=lambda one: 100 * one["accuracy"])
    rows["class"] = rows["class"].astype(str).replace("-1", ALL)
    rows["weights"] = rows["round"].map(weights_by_round(accuracy))
    return over_seeds(rows, ["class", "round"], "percent", weights="weights", images="images")


def exemplars(images: pd.DataFrame, rounds: list[int]) -> pd.DataFrame:
    """Count the test images of exemplars.parquet, whose most frequent prediction changes, by round."""
    counts = images.groupby(["seeds", "round"]).size()
    titles = {"same": "dense networks of the same seeds", "other": "dense networks of other seeds"}
    titles = {name: title for name, title in titles.items() if name in set(images["seeds"])}
    rows = []
    for round in rounds:
        row = {"round": round}
        for name, title in titles.items():
            count = int(counts.get((name, round), 0))
            row[f"images that differ from {title}"] = "–" if round == 0 and name == "same" else count
        rows.append(row)
    return pd.DataFrame(rows)
