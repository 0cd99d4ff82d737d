"""Parts of the similarity matrix, each defined once.

Every function takes the tidy matrix (`results/README.md` explains its columns) or a part of it and returns
the rows that belong to the slice. They work for any number of seeds, with ``pairs: all-layers`` and with
``across_seeds``.
"""

import pandas as pd

from prunescope.similarity.statuses import DEAD, FEW, RANK_LOST, TRUSTED

# Statuses that a verdict may use. Few rows raise all values of a layer, low values more than high ones: the
# values still show which of two values of the same layer is higher, but neither by how much nor which of two
# layers is more similar. A value with any other warning shows none of these.
SIZES = TRUSTED
ORDER = (*TRUSTED, FEW)
# Statuses that pruning can cause. Where a value is missing for one of them, the layer did not stay similar.
LOST = (DEAD, RANK_LOST)

# Names of series, in charts, tables and findings: networks of the experiment; of its controls, by kind; pairs
# of dense networks that differ in the seed; and pairs of untrained ones.
PRUNED, RETRAINED, SIBLINGS = "pruned", "retrained", "siblings"
OTHER_SEEDS, UNTRAINED = "other seeds", "untrained"
CONTROLS = {"none": PRUNED, "retrain": RETRAINED, "siblings": SIBLINGS}


def series(control: str) -> str:
    """Return the name of an experiment's networks, from its setting `control`."""
    return CONTROLS.get(control, control.replace("-", " "))


def measures(matrix: pd.DataFrame) -> list[str]:
    """Return the names of the measures in a matrix, in alphabetical order."""
    return sorted(matrix["measure"].unique())


def of_measure(matrix: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the rows of one measure."""
    return matrix[matrix["measure"] == measure]


def within_seeds(matrix: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that compare networks of the same seed."""
    return matrix[matrix["seed_a"] == matrix["seed_b"]]


def same_layer(matrix: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that compare a layer with the same layer of another network."""
    return matrix[matrix["layer_a"] == matrix["layer_b"]]


def between_rounds(matrix: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that compare a layer between two rounds of the same seed, in both orders."""
    return same_layer(within_seeds(matrix))


def to_dense(matrix: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that compare a layer with the same layer of its dense network (round 0, same seed).

    Round 0 itself is included; `pruned` leaves it out.
    """
    rows = between_rounds(matrix)
    return rows[rows["round_b"] == 0]


def pruned(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose network a is pruned (round 1 or later)."""
    return rows[rows["round_a"] > 0]


def all_layers_to_dense(matrix: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that compare any layer with any layer of the same seed's dense network."""
    rows = within_seeds(matrix)
    return rows[rows["round_b"] == 0]


def other_seeds(matrix: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that compare a layer between dense networks of different seeds, in both orders.

    This is the similarity of independently trained networks. `each_pair_once` drops one of the two orders.
    """
    rows = same_layer(matrix)
    return rows[(rows["seed_a"] != rows["seed_b"]) & (rows["round_a"] == 0) & (rows["round_b"] == 0)]


def trusted(rows: pd.DataFrame, statuses: tuple[str, ...]) -> pd.DataFrame:
    """Return rows whose values are NaN wherever their status is not one of `statuses`, `SIZES` or `ORDER`."""
    return rows.assign(value=rows["value"].where(rows["status"].isin(statuses)))


def by_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """Turn rows `to_dense` of one measure into a table: a row for each seed, a column for (round, layer)."""
    return rows.pivot(index="seed_a", columns=["round_a", "layer_a"], values="value")


def by_pair(rows: pd.DataFrame, layer: str) -> pd.DataFrame:
    """Turn rows of one measure between seeds into the symmetric table seeds × seeds of a layer.

    Measures that depend on the order of a pair are averaged over both orders.
    """
    table = rows[rows["layer_a"] == layer].pivot(index="seed_a", columns="seed_b", values="value")
    seeds = sorted({*table.index, *table.columns})
    table = table.reindex(index=seeds, columns=seeds)
    return (table.fillna(table.T) + table.T.fillna(table)) / 2


def each_pair_once(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one of the rows (a, b) and (b, a) of two seeds: the one whose first seed is smaller."""
    return rows[rows["seed_a"] < rows["seed_b"]]


def failed(accuracy: pd.DataFrame, least_accuracy: float) -> list[list[int]]:
    """Return the networks, as [seed, round], whose test accuracy is below `least_accuracy`."""
    below = accuracy[accuracy["test_accuracy"] < least_accuracy]
    return sorted(below[["seed", "round"]].to_numpy(int).tolist())


def without_seeds(rows: pd.DataFrame | None, seeds: set[int]) -> pd.DataFrame | None:
    """Return the rows of which neither network belongs to one of the seeds."""
    return None if rows is None else rows[~(rows["seed_a"].isin(seeds) | rows["seed_b"].isin(seeds))]


def mark_failed(rows: pd.DataFrame, networks: list[list[int]]) -> pd.DataFrame:
    """Return the rows with the column ``failed``: whether one of both networks is in the list of `failed`."""
    known = [tuple(network) for network in networks]
    sides = [pd.MultiIndex.from_frame(rows[[f"seed_{side}", f"round_{side}"]]).isin(known) for side in "ab"]
    return rows.assign(failed=sides[0] | sides[1])
