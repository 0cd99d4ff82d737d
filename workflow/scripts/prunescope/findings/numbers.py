"""Numbers of any measure over the seeds, without verdicts."""

import pandas as pd

from prunescope.findings import slices
from prunescope.findings.statistics import spread
from prunescope.similarity.statuses import OK


def of_measure(rows: pd.DataFrame, other_seeds: pd.DataFrame, last: int, layers: list[str]) -> dict:
    """Summarise one measure: its `slices.to_dense` of pruned networks and its `slices.other_seeds`."""
    final = rows[rows["round_a"] == last]
    values = slices.by_seed(final).reindex(columns=[(last, layer) for layer in layers])[last]
    return {
        "layers": [
            {
                "layer": layer,
                "similarity": spread(values[layer]),
                "other_seeds": _of_pairs(other_seeds[other_seeds["layer_a"] == layer]),
                "warnings": _warnings(final[final["layer_a"] == layer]),
            }
            for layer in layers
        ],
        "lowest": _lowest(slices.trusted(rows, slices.SIZES)),
    }


def _of_pairs(rows: pd.DataFrame) -> dict | None:
    # Pairs share seeds, so they have no meaningful standard deviation or interval.
    numbers = spread(slices.each_pair_once(rows)["value"])
    return numbers and {key: numbers[key] for key in ("mean", "min", "max", "count")}


def _warnings(rows: pd.DataFrame) -> dict[str, list[int]]:
    """Return the seeds of each status other than ok."""
    marked = rows[rows["status"] != OK]
    return {status: sorted(map(int, part["seed_a"])) for status, part in marked.groupby("status")}


def _lowest(rows: pd.DataFrame) -> dict | None:
    means = rows.groupby(["layer_a", "round_a"])["value"].mean().dropna()
    if means.empty:
        return None
    layer, round = means.idxmin()
    here = rows[(rows["layer_a"] == layer) & (rows["round_a"] == round)]["value"]
    return {"layer": layer, "round": int(round), "similarity": spread(here)}
