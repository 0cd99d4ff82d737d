"""How far networks moved from the dense network: weights, predictions, loss landscape, representations.

`distances` and `layer_distances` bring the four levels to one form, in which 0 is the dense network itself.
`prunescope.findings.levels_over_seeds` summarises them, and `prunescope.findings.levels_in_words` puts the
summary into words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from prunescope.findings import slices
from prunescope.findings.slices import OTHER_SEEDS, RETRAINED, SIBLINGS, UNTRAINED

LEVELS = ("weights", "predictions", "landscape", "representations")
# The row of weights.parquet over all layers.
ALL_LAYERS = "all layers"
# Where there are several, the first: the line on which statistics of batch norm alone cause no barrier.
BATCH_NORM = ("none", "re-estimated", "interpolated")
COLUMNS = ["level", "series", "round", "density", "seed", "seed_b", "distance", "failed"]
SIDES = ["experiment_a", "seed_a", "round_a", "experiment_b", "seed_b", "round_b"]


@dataclass(frozen=True)
class Tables:
    """The tables of an experiment from which the levels are read.

    Attributes
    ----------
    name : str
        As in the columns ``experiment_a`` and ``experiment_b``.
    accuracy, weights, predictions : pandas.DataFrame
    similarity : pandas.DataFrame
        The matrix; of a control `siblings`, the table siblings.parquet.
    barriers : pandas.DataFrame or None
        None without `landscape`.
    """

    name: str
    accuracy: pd.DataFrame
    similarity: pd.DataFrame
    weights: pd.DataFrame
    predictions: pd.DataFrame
    barriers: pd.DataFrame | None = None

    @property
    def again(self) -> bool:
        """Whether its networks are those of another experiment, trained again: siblings."""
        return "experiment_a" in self.similarity


def collected(series: dict[str, str], files: dict[tuple[str, str], pd.DataFrame]) -> dict[str, Tables]:
    """Collect the tables of each series.

    Parameters
    ----------
    series : dict of str to str
        Name of the experiment by series: first the experiment, then its controls.
    files : dict of (str, str) to pandas.DataFrame
        By experiment and name of the file, without its suffix.

    Returns
    -------
    dict of str to Tables
    """
    return {
        one: Tables(
            name,
            *(files[name, part] for part in ("accuracy", matrix, "weights", "predictions")),
            _of_test_images(files.get((name, "barriers"))),
        )
        for one, name in series.items()
        for matrix in ("siblings" if one == SIBLINGS else "similarity",)
    }


def distances(
    tables: dict[str, Tables],
    measure: str | None,
    layers: Sequence[str],
    least_accuracy: float = 0.0,
    untrained: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Measure how far each network moved from the dense network of its seed, at each level.

    Parameters
    ----------
    tables : dict of str to Tables
        By series (`slices.series`): first the experiment, then its controls.
    measure : str or None
        The primary measure; without it, there are no representations.
    layers : sequence of str
        Recorded layers in the order of the network.
    least_accuracy : float, default 0
        Networks with a lower test accuracy do not classify.
    untrained : pandas.DataFrame, optional
        Rows of the matrix that compare untrained networks of different seeds.

    Returns
    -------
    pandas.DataFrame
        One row for each level, series, round and seed, without those that have no value:

        - ``level``: one of `LEVELS`;
        - ``series``: a key of `tables`, ``other seeds`` (pairs of dense networks of the experiment) or
          ``untrained`` (pairs of untrained networks, representations only);
        - ``round`` (int): 0 for pairs. In round 0, networks have the distance 0, except siblings;
        - ``density`` (float): share of the prunable weights that is left, of this network; 1 for pairs;
        - ``seed``, ``seed_b`` (int): equal, except for pairs, which are in the table once (seed < seed_b);
        - ``distance`` (float, at least 0): *weights*, 1 − cosine of all weights; *predictions*, share of the
          test images labelled differently; *landscape*, how far the error on the line rises above the
          straight connection of its ends, as a share of images; *representations*, 1 − the measure, mean over
          `compared_layers`. Of ``siblings``, it is the distance between both networks of the same round;
        - ``failed`` (bool): whether one of the two networks does not classify.
    """
    kept = compared_layers(tables, measure, layers, least_accuracy)[0]
    return _distances(
        tables,
        {
            "weights": lambda one: _of_weights(one, [ALL_LAYERS]),
            "predictions": _of_predictions,
            "landscape": _of_landscape,
            "representations": lambda one: _over_layers(_of_matrix(one, measure), kept),
        },
        least_accuracy,
        None
        if untrained is None
        else _over_layers(_of_matrix(replace(_own(tables), similarity=untrained), measure), kept),
    )[COLUMNS]


def layer_distances(
    tables: dict[str, Tables],
    measure: str | None,
    layers: Sequence[str],
    least_accuracy: float = 0.0,
    untrained: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Measure the same layer by layer, for weights and representations.

    Parameters
    ----------
    tables, measure, layers, least_accuracy, untrained
        See `distances`.

    Returns
    -------
    pandas.DataFrame
        The columns of `distances`, and ``layer`` after ``level``: of *weights* a layer with weights that can
        be pruned, of *representations* a recorded layer. Layers are in the order of the network.
    """
    weighted = [name for name in _own(tables).weights["layer"].unique() if name != ALL_LAYERS]
    table = _distances(
        tables,
        {
            "weights": lambda one: _of_weights(one, weighted),
            "representations": lambda one: _of_matrix(one, measure),
        },
        least_accuracy,
        None if untrained is None else _of_matrix(replace(_own(tables), similarity=untrained), measure),
    )
    places = {layer: place for place, layer in enumerate([*weighted, *layers])}
    table = table.sort_values("layer", key=lambda names: names.map(places), kind="stable")
    table = table.sort_values("level", key=lambda names: names.map(LEVELS.index), kind="stable")
    return table[[COLUMNS[0], "layer", *COLUMNS[1:]]].reset_index(drop=True)


def _of_test_images(barriers: pd.DataFrame | None) -> pd.DataFrame | None:
    """Select the lines of test images, the only ones that pages and findings show."""
    return None if barriers is None else barriers[barriers["split"] == "test"]


def compared_layers(
    tables: dict[str, Tables], measure: str | None, layers: Sequence[str], least_accuracy: float = 0.0
) -> tuple[list[str], dict[str, str]]:
    """Return the layers of the mean of representations, and why the others are left out.

    These are the layers with a value that can be trusted (`slices.SIZES`) in all networks of the experiment
    and of the control that retrains, so both have the same layers. Seeds with a network that does not
    classify do not count, because the mean excludes them.

    Returns
    -------
    list of str, dict of str to str
        Layers, and the status of each other layer.
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


def _own(tables: dict[str, Tables]) -> Tables:
    """Return the tables of the experiment."""
    return next(iter(tables.values()))


def _distances(
    tables: dict[str, Tables],
    levels: dict[str, Callable[[Tables], pd.DataFrame]],
    least_accuracy: float,
    untrained: pd.DataFrame | None,
) -> pd.DataFrame:
    """Select the rows of each series from the tables that `levels` makes."""
    parts = []
    for series, one in tables.items():
        for level, read in levels.items():
            rows = read(one)
            parts.append(_of_networks(rows, one).assign(level=level, series=series))
            if one is _own(tables):
                dense = rows[(rows["experiment_a"] == rows["experiment_b"]) & (rows["round_a"] == 0)]
                parts.append(_pairs(dense).assign(level=level, series=OTHER_SEEDS))
    if untrained is not None:
        parts.append(_pairs(untrained).assign(level="representations", series=UNTRAINED))
    found = pd.concat(parts, ignore_index=True).dropna(subset="distance")
    found = found.rename(columns={"seed_a": "seed", "round_a": "round"})
    found["distance"] = found["distance"].clip(lower=0)
    return _with_networks(found, tables, least_accuracy)


def _of_networks(rows: pd.DataFrame, one: Tables) -> pd.DataFrame:
    """Return the rows from each network to its dense network, which is in round 0 at the distance 0."""
    if one.again:
        return rows[(rows["experiment_a"] == one.name) & (rows["experiment_b"] != one.name)]
    own = rows[(rows["experiment_a"] == one.name) & (rows["experiment_b"] == one.name)]
    own = own[(own["seed_a"] == own["seed_b"]) & (own["round_b"] == 0) & (own["round_a"] > 0)]
    own = own.dropna(subset="distance")
    dense = own.drop_duplicates([name for name in ("seed_a", "layer") if name in own])
    return pd.concat([dense.assign(round_a=0, distance=0.0), own])


def _pairs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows between networks of different seeds in round 0, each pair once."""
    return rows[(rows["seed_a"] < rows["seed_b"]) & (rows["round_a"] == 0) & (rows["round_b"] == 0)]


def _with_networks(found: pd.DataFrame, tables: dict[str, Tables], least_accuracy: float) -> pd.DataFrame:
    """Add density, and whether a network does not classify."""
    accuracies = {name: one.accuracy for name, one in tables.items()}
    accuracies[OTHER_SEEDS] = _own(tables).accuracy
    networks = pd.concat([table.assign(series=name) for name, table in accuracies.items()])
    networks = networks.assign(failed=networks["test_accuracy"] < least_accuracy)
    networks = networks[["series", "seed", "round", "density", "failed"]]
    found = found.merge(networks, "left", ["series", "seed", "round"])
    # Siblings are compared with networks of the experiment.
    again = [name for name, one in tables.items() if one.again]
    own = networks[networks["series"] == OTHER_SEEDS]
    other = pd.concat(
        [networks[~networks["series"].isin(again)], *(own.assign(series=name) for name in again)]
    )
    other = other.rename(columns={"seed": "seed_b", "failed": "other"}).drop(columns="density")
    found = found.merge(other, "left", ["series", "seed_b", "round"])
    # Untrained networks are not in the table of accuracies.
    failed = found["failed"].eq(True) | found.pop("other").eq(True)
    return found.assign(density=found["density"].fillna(1.0), failed=failed)


def _of_weights(one: Tables, layers: Sequence[str]) -> pd.DataFrame:
    rows = one.weights[(one.weights["measure"] == "weight_cosine") & one.weights["layer"].isin(layers)]
    return rows.assign(distance=1 - rows["value"])[[*SIDES, "layer", "distance"]]


def _of_predictions(one: Tables) -> pd.DataFrame:
    rows = one.predictions[one.predictions["measure"] == "agreement"]
    return rows.assign(distance=1 - rows["value"])[[*SIDES, "distance"]]


def _of_landscape(one: Tables) -> pd.DataFrame:
    """Return the height of the error on each line above the straight connection of its ends."""
    if one.barriers is None:
        return pd.DataFrame(columns=[*SIDES, "distance"]).astype({"distance": float})
    rows = error_lines(one.barriers).sort_values([*SIDES, "alpha"])
    ends = rows.groupby(SIDES)["value"].agg(["first", "last"]).reset_index()
    rows = rows.merge(ends, "left", SIDES)
    straight = rows["last"] * rows["alpha"] + rows["first"] * (1 - rows["alpha"])
    # A line with a point that is not known has no height.
    return (
        rows.assign(distance=rows["value"] - straight).groupby(SIDES)["distance"].agg(_highest).reset_index()
    )


def error_lines(barriers: pd.DataFrame) -> pd.DataFrame:
    """Select the points of the error on each line, with the first kind of batch norm that is there."""
    rows = barriers[(barriers["metric"] == "error") & barriers["alpha"].notna()]
    norm = next((name for name in BATCH_NORM if name in set(rows["batch_norm"])), None)
    return rows[rows["batch_norm"] == norm]


def _highest(values: pd.Series) -> float:
    return values.max(skipna=False)


def _of_matrix(one: Tables, measure: str | None) -> pd.DataFrame:
    """Return the distance of each layer to the same layer of another network, where it is trusted."""
    rows = slices.same_layer(slices.of_measure(one.similarity, measure))
    if not one.again:
        rows = rows.assign(experiment_a=one.name, experiment_b=one.name)
    rows = slices.trusted(rows, slices.SIZES)
    return rows.assign(layer=rows["layer_a"], distance=1 - rows["value"])[[*SIDES, "layer", "distance"]]


def _over_layers(rows: pd.DataFrame, layers: list[str]) -> pd.DataFrame:
    """Average distances over these layers; networks without one of them have no value."""
    rows = rows[rows["layer"].isin(layers)].dropna(subset="distance")
    table = rows.groupby(SIDES)["distance"].agg(["mean", "count"]).reset_index()
    return table[table["count"] == len(layers)].rename(columns={"mean": "distance"})[[*SIDES, "distance"]]
