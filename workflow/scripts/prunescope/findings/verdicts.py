"""The conclusions from an experiment: numbers, their spread over seeds, and verdicts.

Verdicts concern the primary measure, which is chosen before the run (`findings.measure`). Other measures are
shown without verdicts. `prunescope.findings.claims` defines the questions.
"""

import numpy as np
import pandas as pd

from prunescope.findings import claims, slices
from prunescope.findings.sentences import in_words
from prunescope.findings.statistics import FEWEST_SEEDS, spread
from prunescope.findings.words import TOO_FEW_SEEDS
from prunescope.similarity.measures import OK


def conclude(
    name: str,
    similarity: pd.DataFrame,
    accuracy: pd.DataFrame,
    shapes: dict[str, list[int]],
    measures: dict[str, dict[str, str]],
    *,
    primary: str | None,
    margin: float,
    retrain: pd.DataFrame | None = None,
    untrained: pd.DataFrame | None = None,
) -> dict:
    """Compute the findings of an experiment.

    Parameters
    ----------
    name : str
        The experiment.
    similarity, accuracy : pandas.DataFrame
        Its matrix and accuracy table.
    shapes : dict of str to list of int
        Output shape of each recorded layer for one image, in the order of the network: three numbers are a
        convolution's maps, one is a fully connected layer.
    measures : dict of str to dict
        From `prunescope.findings.labels.shown`, by name of the measure. Only ``label`` is used.
    primary : str or None
        The measure that verdicts use. Without it there are numbers but no verdicts.
    margin : float
        The smallest difference of interest between similarities.
    retrain : pandas.DataFrame, optional
        Matrix of the control that retrains without pruning, with the same seeds and rounds.
    untrained : pandas.DataFrame, optional
        Rows of the same columns that compare untrained networks of different seeds.

    Returns
    -------
    dict
        JSON-ready; results/README.md lists the keys. With fewer than three seeds all verdicts are ``too few
        seeds`` and there is neither an interval nor a test.
    """
    last = int(accuracy["round"].max())
    rows, ceiling = slices.pruned(slices.to_dense(similarity)), slices.ceiling(similarity)
    found = {
        "experiment": name,
        "seeds": sorted(int(seed) for seed in accuracy["seed"].unique()),
        "last_round": last,
        "last_density": float(accuracy.loc[accuracy["round"] == last, "density"].mean()),
        "primary": primary,
        "label": measures[primary]["label"] if primary else None,
        "margin": margin,
        "accuracy": claims.accuracy(accuracy, last),
        "measures": {
            measure: _measure(
                slices.of_measure(rows, measure), slices.of_measure(ceiling, measure), last, list(shapes)
            )
            for measure in slices.measures(rows)
        },
    }
    if len(rows) and primary:
        own, others, *controls = (
            None if table is None else slices.of_measure(table, primary)
            for table in (rows, ceiling, retrain, untrained)
        )
        # A control may have been compared with other measures.
        controls = [None if table is None or table.empty else table for table in controls]
        found["claims"] = _claims(own, accuracy, shapes, margin, *controls)
        found["layers"] = _layers(own, others, accuracy, list(shapes), margin, controls[0])
    return found | {"text": in_words(found)}


def _claims(
    rows: pd.DataFrame,
    accuracy: pd.DataFrame,
    shapes: dict[str, list[int]],
    margin: float,
    retrain: pd.DataFrame | None,
    untrained: pd.DataFrame | None,
) -> dict:
    """Answer the questions about groups of layers; the controls' answers are None without a control."""
    values, last = slices.by_seed(slices.trusted(rows, slices.SIZES)), rows["round_a"].max()
    names = ["finding", "beyond_retrain", "untrained", "grows_apart", "stays_similar"]
    if accuracy["seed"].nunique() < FEWEST_SEEDS:
        return {question: {"verdict": TOO_FEW_SEEDS} for question in names}
    try:
        final = values[last].reindex(columns=list(shapes))
        members = _with_values(claims.groups(shapes), final, rows[rows["round_a"] == last])
    except ValueError as reason:
        return {question: claims.not_applicable(str(reason)) for question in names}
    shape = claims.group_means(final, members)
    control = None if retrain is None else _values(retrain)
    beyond = others = None
    if control is not None:
        beyond = claims.finding(shape, margin, claims.group_means(control[last], members))
    if untrained is not None:
        table = slices.trusted(untrained, slices.SIZES)
        pairs = {layer: slices.by_pair(table, layer) for layers in members.values() for layer in layers}
        others = claims.untrained(pairs, members, margin)
    finding = claims.finding(shape, margin)
    finding |= {"groups": members} | {group: spread(numbers) for group, numbers in shape.items()}
    middle = _falls({"middle": members["middle"]}, values, accuracy, control)
    return {
        "finding": finding | {"rows_per_unit": _unequal(rows, members)},
        "beyond_retrain": beyond,
        "untrained": others,
        "grows_apart": claims.grows_apart(middle["middle"], margin) if middle else _ONE_ROUND,
        "stays_similar": claims.stays_similar(middle["middle"], margin) if middle else _ONE_ROUND,
    }


_ONE_ROUND = claims.not_applicable("fewer than two densities to fit a line to")


def _layers(
    rows: pd.DataFrame,
    ceiling: pd.DataFrame,
    accuracy: pd.DataFrame,
    layers: list[str],
    margin: float,
    retrain: pd.DataFrame | None,
) -> dict[str, dict]:
    """Answer the questions about single layers: ``ceiling`` (None without other seeds), ``stays_similar``."""
    last = rows["round_a"].max()
    enough = accuracy["seed"].nunique() >= FEWEST_SEEDS
    against = dict.fromkeys(layers)
    if len(ceiling) and enough:
        order = slices.trusted(ceiling, slices.ORDER)
        pairs = {layer: slices.by_pair(order, layer) for layer in layers}
        values = slices.by_seed(slices.trusted(rows, slices.ORDER))[last].reindex(columns=layers)
        against = claims.against_ceiling(values, pairs)
    elif len(ceiling):
        against = {layer: {"verdict": TOO_FEW_SEEDS} for layer in layers}
    stay = dict.fromkeys(layers, TOO_FEW_SEEDS)
    if enough:
        control = None if retrain is None else _values(retrain)
        values = slices.by_seed(slices.trusted(rows, slices.SIZES))
        falls = _falls({layer: [layer] for layer in layers}, values, accuracy, control)
        stay = claims.layers_that_stay(falls, margin) if falls else dict.fromkeys(layers)
    return {layer: {"ceiling": against[layer], "stays_similar": stay[layer]} for layer in layers}


def _falls(
    members: dict[str, list[str]], values: pd.DataFrame, accuracy: pd.DataFrame, control: pd.DataFrame | None
) -> dict[str, claims.Contrast]:
    """Return the fall of each group's mean, or nothing if the densities do not differ."""
    rounds = values.columns.unique(0)
    rounds = rounds if control is None else rounds.intersection(control.columns.unique(0))
    log_density = np.log(accuracy.groupby("round")["density"].mean())
    if log_density.loc[rounds].nunique() < 2:
        return {}
    found = {}
    for name, layers in members.items():
        means, others = (
            table if table is None else _over_rounds(table, rounds, layers) for table in (values, control)
        )
        found[name] = claims.fall(means, log_density, others)
    return found


def _over_rounds(values: pd.DataFrame, rounds: pd.Index, layers: list[str]) -> pd.DataFrame:
    # Networks that were trained elsewhere need not have all layers.
    means = {round: values[round].reindex(columns=layers).mean(axis=1, skipna=False) for round in rounds}
    return pd.DataFrame(means)


def _values(matrix: pd.DataFrame) -> pd.DataFrame:
    """Return the trusted values of a control's matrix: seeds × (round, layer)."""
    return slices.by_seed(slices.trusted(slices.pruned(slices.to_dense(matrix)), slices.SIZES))


def _with_values(
    members: dict[str, list[str]], values: pd.DataFrame, rows: pd.DataFrame
) -> dict[str, list[str]]:
    """Leave out layers without a trusted value in any seed; each group must keep one."""
    status = rows[rows["status"] != OK].groupby("layer_a")["status"].agg("first")
    kept = {}
    for group, layers in members.items():
        kept[group] = [layer for layer in layers if values[layer].notna().any()]
        if not kept[group]:
            why = ", ".join(dict.fromkeys(status.reindex(layers).dropna()))
            raise ValueError(
                f"{group} layers have no value in the last round that can be compared between layers "
                f"({why}): {', '.join(layers)}"
            )
    return kept


def _unequal(rows: pd.DataFrame, members: dict[str, list[str]]) -> list[float] | None:
    """Return the smallest and largest number of rows per unit if the layers' biases differ.

    A measure whose chance level is 0 has no such bias.
    """
    used = rows[rows["layer_a"].isin([layer for layers in members.values() for layer in layers])]
    rates = used["n"] / used[["width_a", "width_b"]].max(axis=1)
    if (used["chance"] == 0).all() or rates.nunique() < 2:
        return None
    return [float(rates.min()), float(rates.max())]


def _measure(rows: pd.DataFrame, ceiling: pd.DataFrame, last: int, layers: list[str]) -> dict:
    """Numbers of one measure from its `slices.to_dense` of pruned networks and its `slices.ceiling`."""
    final = rows[rows["round_a"] == last]
    values = slices.by_seed(final).reindex(columns=[(last, layer) for layer in layers])[last]
    return {
        "layers": [
            {
                "layer": layer,
                "similarity": spread(values[layer]),
                "ceiling": _of_pairs(ceiling[ceiling["layer_a"] == layer]),
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
