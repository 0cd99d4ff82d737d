"""How far networks moved from the dense network: weights, predictions, loss landscape, representations.

`distances` brings the four levels to one form, in which 0 is the dense network itself.
`prunescope.findings.levels_over_seeds` summarises it, and `prunescope.findings.levels_in_words` puts the
summary into words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from prunescope.findings import slices
from prunescope.findings.slices import OTHER_SEEDS, RETRAINED, SIBLINGS, UNTRAINED

LEVELS = ("weights", "predictions", "landscape", "representations")
# The row of weights.parquet over all layers.
ALL_LAYERS = "all layers"
# Where there are several, the first: the line on which statistics of batch norm alone cause no barrier.
BATCH_NORM = ("none", "re-estimated", "interpolated")
COLUMNS = ["level", "layer", "series", "round", "density", "seed", "seed_b", "distance", "failed"]
SIDES = ["experiment_a", "seed_a", "round_a", "experiment_b", "seed_b", "round_b"]


@dataclass(frozen=True)
class Tables:
    """The tables of an experiment from which the levels are read."""

    # As in the columns experiment_a and experiment_b.
    name: str
    accuracy: pd.DataFrame
    # The matrix; of a control `siblings`, the table siblings.parquet.
    similarity: pd.DataFrame
    weights: pd.DataFrame
    predictions: pd.DataFrame
    # None without `landscape`.
    barriers: pd.DataFrame | None = None

    @property
    def again(self) -> bool:
        """Whether its networks are those of another experiment, trained again: siblings."""
        return "experiment_a" in self.similarity


def collected(series: dict[str, str], files: dict[tuple[str, str], pd.DataFrame]) -> dict[str, Tables]:
    """Collect the tables of each series: first the experiment, then its controls, by experiment and file."""
    return {
        one: Tables(
            name,
            *(files[name, part] for part in ("accuracy", matrix, "weights", "predictions")),
            _of_test_images(files.get((name, "barriers"))),
        )
        for one, name in series.items()
        for matrix in ("siblings" if one == SIBLINGS else "similarity",)
    }


def _of_test_images(barriers: pd.DataFrame | None) -> pd.DataFrame | None:
    """Select the lines of test images, the only ones that pages and findings show."""
    return None if barriers is None else barriers[barriers["split"] == "test"]


def distances(
    tables: dict[str, Tables],
    measure: str | None,
    layers: Sequence[str],
    least_accuracy: float = 0.0,
    untrained: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Measure how far each network moved from the dense network of its seed, at each level and in its layers.

    `tables` are by series, first the experiment; without a primary `measure` there are no representations;
    networks below `least_accuracy` do not classify; `untrained` are rows of the matrix. There is a row for
    each distance that is known, with `COLUMNS`:

    - ``layer``: empty for the level itself. Weights and representations also have their single layers, in
      the order of the network;
    - ``series``: a key of `tables`, ``other seeds`` (pairs of dense networks of the experiment) or
      ``untrained`` (pairs of untrained networks, representations only);
    - ``round``: 0 for pairs. In round 0, networks have the distance 0, except siblings;
    - ``density``: share of the prunable weights that is left, of this network; 1 for pairs;
    - ``seed``, ``seed_b``: equal, except for pairs, which are in the table once (seed < seed_b);
    - ``distance`` (at least 0): *weights*, 1 − cosine of all weights; *predictions*, share of the test images
      labelled differently; *landscape*, how far the error on the line rises above the straight connection of
      its ends, as a share of images; *representations*, 1 − the measure, mean over `compared_layers`. Of
      ``siblings``, it is the distance between both networks of the same round;
    - ``failed``: whether one of the two networks does not classify.
    """
    experiment = experiment_of(tables)
    kept = compared_layers(tables, measure, layers, least_accuracy)[0]
    parts = []
    for series, one in tables.items():
        for level, rows in (
            ("weights", _of_weights(one)),
            ("predictions", _of_predictions(one)),
            ("landscape", _of_landscape(one)),
            ("representations", _of_representations(one, measure, kept)),
        ):
            rows = rows.assign(level=level)
            parts.append(_from_dense(rows, one).assign(series=series))
            if one is experiment:
                within = rows[rows["experiment_a"] == rows["experiment_b"]]
                parts.append(pairs_of_dense(within).assign(series=OTHER_SEEDS))
    if untrained is not None:
        rows = _of_representations(replace(experiment, similarity=untrained), measure, kept)
        parts.append(pairs_of_dense(rows).assign(level="representations", series=UNTRAINED))
    table = pd.concat(parts, ignore_index=True).dropna(subset="distance")
    table = table.rename(columns={"seed_a": "seed", "round_a": "round"})
    table["distance"] = table["distance"].clip(lower=0)
    table = _with_networks(table, tables, least_accuracy)
    names = {"weights": experiment.weights["layer"].unique(), "representations": layers}
    order = [(level, layer) for level in LEVELS for layer in ("", *names.get(level, ()))]
    rank = pd.MultiIndex.from_tuples(order).get_indexer(pd.MultiIndex.from_frame(table[["level", "layer"]]))
    table = table.iloc[rank.argsort(kind="stable")]
    return table[COLUMNS].reset_index(drop=True)


def compared_layers(
    tables: dict[str, Tables], measure: str | None, layers: Sequence[str], least_accuracy: float = 0.0
) -> tuple[list[str], dict[str, str]]:
    """Return the layers of the mean of representations, and the status of each that is left out.

    These are the layers with a value that can be trusted (`slices.SIZES`) in all networks of the experiment
    and of the control that retrains, so both have the same layers. Seeds with a network that does not
    classify do not count, because the mean excludes them.
    """
    parts = []
    for name in dict.fromkeys((next(iter(tables)), RETRAINED)):
        if name in tables:
            accuracy, rows = tables[name].accuracy, slices.to_dense(tables[name].similarity)
            failed = accuracy.loc[accuracy["test_accuracy"] < least_accuracy, "seed"]
            parts.append(rows[(rows["measure"] == measure) & ~rows["seed_a"].isin(failed)])
    rows = pd.concat(parts)
    bad = rows[~rows["status"].isin(slices.SIZES)].groupby("layer_a")["status"].first()
    compared = set(rows["layer_a"])
    left_out = {
        layer: bad.get(layer, "not compared") for layer in layers if layer in bad or layer not in compared
    }
    return [layer for layer in layers if layer not in left_out], left_out


def experiment_of(tables: dict[str, Tables]) -> Tables:
    """Return the tables of the experiment, which are the first."""
    return next(iter(tables.values()))


def to_dense(rows: pd.DataFrame, one: Tables) -> pd.DataFrame:
    """Return the rows from each pruned network to its dense network, or from siblings to the same round."""
    rows = rows[rows["experiment_a"] == one.name]
    if one.again:
        return rows[rows["experiment_b"] != one.name]
    rows = rows[(rows["experiment_b"] == one.name) & (rows["seed_a"] == rows["seed_b"])]
    return rows[(rows["round_b"] == 0) & (rows["round_a"] > 0)]


def pairs_of_dense(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows between networks of different seeds in round 0, each pair once."""
    return rows[(rows["seed_a"] < rows["seed_b"]) & (rows["round_a"] == 0) & (rows["round_b"] == 0)]


def error_lines(barriers: pd.DataFrame) -> pd.DataFrame:
    """Select the points of the error on each line, with the first kind of batch norm that is there."""
    rows = barriers[(barriers["metric"] == "error") & barriers["alpha"].notna()]
    norm = next((name for name in BATCH_NORM if name in set(rows["batch_norm"])), None)
    return rows[rows["batch_norm"] == norm]


def _from_dense(rows: pd.DataFrame, one: Tables) -> pd.DataFrame:
    """Return the rows `to_dense`, and those of each dense network itself, at the distance 0."""
    pruned = to_dense(rows, one)
    if one.again:
        return pruned
    pruned = pruned.dropna(subset="distance")
    dense = pruned.drop_duplicates(["seed_a", "layer"])
    return pd.concat([dense.assign(round_a=0, distance=0.0), pruned])


def _with_networks(rows: pd.DataFrame, tables: dict[str, Tables], least_accuracy: float) -> pd.DataFrame:
    """Add density, and whether a network does not classify."""
    accuracies = {name: one.accuracy for name, one in tables.items()}
    accuracies[OTHER_SEEDS] = experiment_of(tables).accuracy
    networks = pd.concat([table.assign(series=name) for name, table in accuracies.items()])
    networks = networks.assign(failed=networks["test_accuracy"] < least_accuracy)
    networks = networks[["series", "seed", "round", "density", "failed"]]
    rows = rows.merge(networks, "left", ["series", "seed", "round"])
    # Siblings are compared with networks of the experiment.
    again = [name for name, one in tables.items() if one.again]
    originals = networks[networks["series"] == OTHER_SEEDS]
    second = pd.concat(
        [networks[~networks["series"].isin(again)], *(originals.assign(series=name) for name in again)]
    )
    second = second.rename(columns={"seed": "seed_b", "failed": "failed_b"}).drop(columns="density")
    rows = rows.merge(second, "left", ["series", "seed_b", "round"])
    # Untrained networks are not in the table of accuracies.
    failed = rows["failed"].eq(True) | rows.pop("failed_b").eq(True)
    return rows.assign(density=rows["density"].fillna(1.0), failed=failed)


def _of_weights(one: Tables) -> pd.DataFrame:
    rows = one.weights[one.weights["measure"] == "weight_cosine"]
    layer = rows["layer"].where(rows["layer"] != ALL_LAYERS, "")
    return rows.assign(layer=layer, distance=1 - rows["value"])[[*SIDES, "layer", "distance"]]


def _of_predictions(one: Tables) -> pd.DataFrame:
    rows = one.predictions[one.predictions["measure"] == "agreement"]
    return rows.assign(layer="", distance=1 - rows["value"])[[*SIDES, "layer", "distance"]]


def _of_landscape(one: Tables) -> pd.DataFrame:
    """Return the height of the error on each line above the straight connection of its ends."""
    if one.barriers is None:
        return pd.DataFrame(columns=[*SIDES, "layer", "distance"]).astype({"distance": float})
    rows = error_lines(one.barriers).sort_values([*SIDES, "alpha"])
    ends = rows.groupby(SIDES)["value"].agg(["first", "last"]).reset_index()
    rows = rows.merge(ends, "left", SIDES)
    straight = rows["last"] * rows["alpha"] + rows["first"] * (1 - rows["alpha"])
    # A line with a point that is not known has no height.
    heights = rows.assign(distance=rows["value"] - straight).groupby(SIDES)["distance"]
    return heights.agg(lambda values: values.max(skipna=False)).reset_index().assign(layer="")


def _of_representations(one: Tables, measure: str | None, kept: list[str]) -> pd.DataFrame:
    """Return the distance of each layer to the same layer of another network, and their means over `kept`."""
    rows = slices.same_layer(slices.of_measure(one.similarity, measure))
    if not one.again:
        rows = rows.assign(experiment_a=one.name, experiment_b=one.name)
    # Values that cannot be trusted have no distance.
    rows = slices.trusted(rows, slices.SIZES)
    rows = rows.assign(layer=rows["layer_a"], distance=1 - rows["value"])[[*SIDES, "layer", "distance"]]
    known = rows[rows["layer"].isin(kept)].dropna(subset="distance").groupby(SIDES)["distance"]
    means = known.agg(["mean", "count"]).reset_index()
    means = means[means["count"] == len(kept)].rename(columns={"mean": "distance"})
    return pd.concat([means[[*SIDES, "distance"]].assign(layer=""), rows])
