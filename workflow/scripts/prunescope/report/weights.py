"""Charts of the weights and their tables.

Shared arguments: `rounds`, the names and positions of rounds; `colormap`, the name of a Vega colour scheme.
"""

import altair as alt
import pandas as pd

from prunescope.report import base, heatmaps
from prunescope.report.base import Chart
from prunescope.report.page_tables import in_percent, over_seeds
from prunescope.report.rounds import Rounds

# Why a channel is dead, in the order of the menu: columns of channels.parquet.
DEAD = {
    "unreachable": "no path of weights",
    "dead_by_weights": "no weights left",
    "dead_by_activation": "output never varies",
}


def density(table: pd.DataFrame, rounds: Rounds, colormap: str) -> Chart:
    """Make the heatmap of layers × rounds: weights remaining in each prunable layer."""
    tip = [
        *base.tooltip("layer:N", "round:O", mean="weights left in the layer (%)", format=".3f"),
        alt.Tooltip("weights:Q", title="in all layers (%)", format=".3f"),
        alt.Tooltip("kept:Q", title="weights left"),
        alt.Tooltip("total:Q", title="of"),
    ]
    layers = list(dict.fromkeys(table["layer"]))
    # A layer may have lost its last weight, which a logarithmic scale cannot show: its cell has a 0.
    least = min(float(table.loc[table["mean"] > 0, "mean"].min()), 50)
    chart = heatmaps.cells(
        rounds,
        alt.Y("layer:N", sort=layers, title=None),
        alt.Scale(type="log", scheme=colormap, domain=[least, 100], clamp=True, nice=False),
        "format(datum.mean, datum.mean >= 10 ? '.0f' : datum.mean >= 0.1 ? '.2~r' : '.1~r')",
        tip,
        26 * len(layers),
        drawn=f"max(datum.mean, {least})",
    )
    return Chart(
        "density",
        "Weights left in each layer (%)",
        "Mean over the selected seeds. The colour scale is logarithmic.",
        "density",
        ("seed",),
        base.specification(chart),
        "Heatmap: prunable layers as rows, pruning rounds as columns, weights remaining as colour.",
        beware="A layer with few weights can lose its last path from the input to the output. See the "
        "chart of dead channels.",
    )


def density_table(densities: pd.DataFrame) -> pd.DataFrame:
    """Summarise the density of each prunable layer, in percent."""
    table = in_percent(densities)
    more = {"weights": "density_all_layers", "kept": "kept", "total": "total"}
    more |= {"dead": "dead_channels", "channels": "channels"}
    return over_seeds(table, ["layer", "round"], "density", **more)


def dead_channels(table: pd.DataFrame, rounds: Rounds, colormap: str) -> Chart:
    """Make the heatmap of layers × rounds: channels that no longer matter, for the selected reason."""
    tip = [
        *base.tooltip("layer:N", "round:O", mean="dead (%)", format=".2f"),
        alt.Tooltip("dead_channels:Q", title="dead channels (mean)", format=".1f"),
        alt.Tooltip("channels:Q", title="of"),
    ]
    layers = list(dict.fromkeys(table["layer"]))
    chart = heatmaps.cells(
        rounds,
        alt.Y("layer:N", sort=layers, title=None),
        alt.Scale(scheme=colormap, domain=[0, 100], clamp=True),
        "datum.mean > 0 ? format(datum.mean, datum.mean >= 10 ? '.0f' : '.2~r') : '·'",
        tip,
        26 * len(layers),
    )
    return Chart(
        "dead",
        "Dead channels in each layer (%)",
        "Channels without weights, without a path of weights from the input to the output, or with an "
        "output that is the same for all recorded images. Mean over the selected seeds. ·: none.",
        "dead",
        ("dead", "seed"),
        base.specification(chart),
        "Heatmap: layers as rows, pruning rounds as columns, dead channels in percent as colour.",
        beware="An output that never varies on these images may vary on others.",
    )


def dead_channels_table(channels: pd.DataFrame) -> pd.DataFrame:
    """Count the channels that no longer matter, in percent of a layer's, for each known reason in `DEAD`."""
    parts = []
    for reason in [name for name in channels if name in DEAD]:
        known = channels.dropna(subset=reason)
        groups = known.groupby(["layer", "round", "seed"], sort=False)[reason]
        one = groups.agg(count=lambda flags: int(flags.astype(bool).sum()), channels="size").reset_index()
        one["share"] = 100 * one["count"] / one["channels"]
        if len(one):
            more = {"dead_channels": "count", "channels": "channels"}
            parts.append(over_seeds(one, ["layer", "round"], "share", **more).assign(dead=reason))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
