"""Agreement between the levels: which of them moves first, and their rank correlations.

`levels` is ``levels`` of findings.json.
"""

from itertools import combinations

import altair as alt
import pandas as pd

from prunescope.findings.levels import LEVELS
from prunescope.findings.levels_over_seeds import classifying
from prunescope.report import base
from prunescope.report.base import Chart
from prunescope.report.rounds import Rounds

# Mark and dash of each level: colours are for series.
STYLES = {
    "weights": ("circle", []),
    "predictions": ("square", [6, 3]),
    "landscape": ("triangle-up", [2, 3]),
    "representations": ("diamond", [10, 3, 2, 3]),
}


def progress(levels: dict) -> pd.DataFrame:
    """Express each level's distance as a share (%) of that in the last round, if the level moved."""
    rows = []
    for level in LEVELS:
        rounds = levels.get(level, {}).get("rounds", {})
        means = _means(levels, level)
        last = means[max(means)] if means else 0
        if last > 0:
            rows += [
                {
                    "level": level,
                    "round": round,
                    "weights": 100 * rounds[str(round)]["density"],
                    "share": 100 * mean / last,
                    "mean": mean,
                }
                for round, mean in means.items()
            ]
    return pd.DataFrame(rows, columns=["level", "round", "weights", "share", "mean"])


def agreement(levels: list[str], rounds: Rounds) -> Chart:
    """Make the line chart of the levels in `progress`: each distance as a share of its last one."""
    names = [level for level in LEVELS if level in levels]
    legend = alt.Legend(title=None, orient="top", columnPadding=24, symbolOpacity=1)
    inks, marks = [base.INK] * len(names), [STYLES[name][0] for name in names]
    color = alt.Color("level:N", scale=alt.Scale(domain=names, range=inks), legend=legend)
    shape = alt.Shape("level:N", scale=alt.Scale(domain=names, range=marks), legend=legend)
    dash = base.dashed("level", {name: STYLES[name][1] for name in names})
    tip = [
        "level:N",
        "round:O",
        alt.Tooltip("share:Q", title="share of the last (%)", format=".1f"),
        alt.Tooltip("mean:Q", title="distance", format=".4f"),
    ]
    rows = base.chart().encode(
        base.sparsity(f"{rounds.field}:Q", rounds),
        alt.Y("share:Q", title="share of the last distance (%)", scale=alt.Scale(reverse=True, zero=True)),
    )
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


def correlations(levels: dict, layers: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations (Spearman) between levels: over rounds, and over layers in the last round.

    Weights and representations belong to the same layers only if these have the same names, or if there are
    as many layers with weights as recorded ones: then both are taken in the order of the network.
    """
    means = {level: pd.Series(_means(levels, level)) for level in LEVELS}
    means = {level: one for level, one in means.items() if len(one)}
    rows = []
    for one, other in combinations(means, 2):
        over_layers = "–"
        if {one, other} == {"weights", "representations"}:
            over_layers = _over_layers(classifying(layers, levels["failed"]), levels["series"])
        rows.append(
            {
                "levels": f"{one} and {other}",
                "over rounds": _rank(means[one], means[other]),
                "over layers, last round": over_layers,
            }
        )
    return pd.DataFrame(rows, columns=["levels", "over rounds", "over layers, last round"])


def _means(levels: dict, level: str) -> dict[int, float]:
    """Return the distance of a level by round."""
    rounds, series = levels.get(level, {}).get("rounds", {}), levels["series"]
    return {int(round): one["series"][series]["estimate"] for round, one in rounds.items()}


def _over_layers(layers: pd.DataFrame, series: str) -> str:
    rows = layers[layers["series"] == series]
    rows = rows[rows["round"] == rows["round"].max()]
    means = rows.groupby(["level", "layer"], sort=False)["distance"].mean()
    sides = [means[level] for level in ("weights", "representations") if level in means.index]
    if len(sides) < 2:
        return "–"
    one, other = sides
    if not one.index.isin(other.index).sum() > 2 and len(one) == len(other):
        one, other = one.reset_index(drop=True), other.reset_index(drop=True)
    return _rank(one, other)


def _rank(one: pd.Series, other: pd.Series) -> str:
    """Return a rank correlation with the number of values; "–" for fewer than three."""
    both = pd.concat([one, other], axis=1, join="inner").dropna()
    if len(both) < 3 or (both.nunique() < 2).any():
        return "–"
    return f"{both.rank().corr().iloc[0, 1]:.2f} (n = {len(both)})"
