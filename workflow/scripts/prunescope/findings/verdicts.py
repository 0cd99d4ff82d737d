"""What a reader should conclude from an experiment: numbers, their spread over seeds, and verdicts.

A verdict compares numbers that every seed has measured. It is given only when Student's 95 % interval of
their mean over the seeds leaves no doubt about the sign; otherwise it is "not enough seeds to say".
"""

import math

import pandas as pd

from prunescope.findings import slices
from prunescope.findings.sentences import in_words
from prunescope.findings.statistics import sign, spread


def conclude(
    name: str,
    similarity: pd.DataFrame,
    accuracy: pd.DataFrame,
    shapes: dict[str, list[int]],
    measures: dict[str, dict[str, str]],
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
        What to show of each measure, by name; `prunescope.findings.labels.shown` makes it. Only ``label``
        is used.

    Returns
    -------
    dict
        JSON-ready. ``accuracy``: dense, last round, their difference. ``measures``: for each measure
        ``layers`` (similarity of the last round to the dense network of the same seed; ``ceiling``:
        similarity of dense networks of different seeds; ``verdict``: which of the two is higher),
        ``lowest`` (layer and round) and ``claim`` (see `claim`). ``text``: the same in sentences, the first
        measure in full.
    """
    last = int(accuracy["round"].max())
    rows, ceiling = slices.pruned(slices.to_dense(similarity)), slices.ceiling(similarity)
    found = {
        "experiment": name,
        "seeds": sorted(int(seed) for seed in accuracy["seed"].unique()),
        "last_round": last,
        "last_density": float(accuracy.loc[accuracy["round"] == last, "density"].mean()),
        "accuracy": _accuracy(accuracy, last),
        "measures": {
            measure: _measure(
                slices.of_measure(rows, measure), slices.of_measure(ceiling, measure), last, shapes
            )
            for measure in slices.measures(rows)
        },
    }
    found["text"] = in_words(found, {measure: facts["label"] for measure, facts in measures.items()})
    return found


def claim(values: pd.DataFrame, shapes: dict[str, list[int]], reasons: dict[str, str] | None = None) -> dict:
    """Test the finding of Ansuini et al. (ICPRAM 2020): first and fully connected layers high, middle low.

    ``first`` is the mean over the first quarter of the recorded convolutional layers (at least one),
    ``output`` the last layer, which must be fully connected, ``middle`` the mean over all between. The margin
    of a seed is min(first, output) - middle.

    Parameters
    ----------
    values : pandas.DataFrame
        Similarity of the last round to the dense network; a row for each seed, a column for each layer.
    shapes : dict of str to list of int
        Output shapes in the order of the network.
    reasons : dict of str to str, optional
        Why a layer has no value (its ``status``), for the explanation.

    Returns
    -------
    dict
        ``verdict``: holds, does not hold, not enough seeds to say, or not applicable (with a ``reason``); the
        groups' layers, and the statistics of ``first``, ``middle``, ``output`` and ``margin``.
    """
    layers = list(shapes)
    maps = [layer for layer in layers if len(shapes[layer]) == 3]
    first = maps[: math.ceil(len(maps) / 4)]
    middle = [layer for layer in layers[:-1] if layer not in first]
    if not maps:
        return {"verdict": "not applicable", "reason": "no convolutional layer was recorded"}
    if len(shapes[layers[-1]]) == 3:
        return {"verdict": "not applicable", "reason": "the last recorded layer is not fully connected"}
    if not middle:
        return {"verdict": "not applicable", "reason": "no layer was recorded between the first and the last"}
    measured = values.columns[values.notna().any()]
    for group, members in {"first": first, "middle": middle, "output": layers[-1:]}.items():
        if not set(members) & set(measured):
            return {"verdict": "not applicable", "reason": _no_values(group, members, reasons or {})}
    first, middle = ([layer for layer in group if layer in measured] for group in (first, middle))
    # A seed in which one of the layers has no value is left out: its means would be over other layers.
    groups = {
        "first": values[first].mean(axis=1, skipna=False),
        "middle": values[middle].mean(axis=1, skipna=False),
        "output": values[layers[-1]],
    }
    margin = (groups["first"].clip(upper=groups["output"]) - groups["middle"]).dropna()
    if margin.empty:
        return {"verdict": "not applicable", "reason": "no seed has values in all layers of the last round"}
    return {
        "verdict": sign(margin, "holds", "does not hold"),
        "first_layers": first,
        "middle_layers": middle,
        "output_layer": layers[-1],
        **{group: spread(numbers[margin.index]) for group, numbers in groups.items()},
        "margin": spread(margin),
    }


def _no_values(group: str, layers: list[str], reasons: dict[str, str]) -> str:
    why = ", ".join(dict.fromkeys(reasons[layer] for layer in layers if layer in reasons))
    return f"{group} layers have no value in the last round{f' ({why})' * bool(why)}: {', '.join(layers)}"


def _accuracy(accuracy: pd.DataFrame, last: int) -> dict:
    table = accuracy.pivot(index="seed", columns="round", values="test_accuracy")
    change = table[last] - table[0]
    return {
        "dense": spread(table[0]),
        "last": spread(table[last]),
        "change": spread(change),
        "verdict": sign(change, "higher", "lower"),
    }


def _measure(rows: pd.DataFrame, ceiling: pd.DataFrame, last: int, shapes: dict[str, list[int]]) -> dict:
    """Findings of one measure from its rows `slices.to_dense` of pruned networks and its `slices.ceiling`."""
    final = rows[rows["round_a"] == last]
    values = final.pivot(index="seed_a", columns="layer_a", values="value").reindex(columns=list(shapes))
    missing = final[final["value"].isna()]
    reasons = dict(zip(missing["layer_a"], missing["status"], strict=True))
    return {
        "layers": [_layer(layer, values[layer], ceiling[ceiling["layer_a"] == layer]) for layer in shapes],
        "lowest": _lowest(rows),
        "claim": claim(values, shapes, reasons),
    }


def _layer(layer: str, values: pd.Series, ceiling: pd.DataFrame) -> dict:
    pairs = slices.each_pair_once(ceiling)
    others = spread(pairs["value"])
    return {
        "layer": layer,
        "similarity": spread(values),
        # Pairs share seeds, so they have no meaningful standard deviation or interval.
        "ceiling": others and {key: others[key] for key in ("mean", "min", "max", "count")},
        "verdict": others and sign(_above(values, pairs), "stays similar", "less similar than seeds"),
    }


def _lowest(rows: pd.DataFrame) -> dict | None:
    means = rows.groupby(["layer_a", "round_a"])["value"].mean().dropna()
    if means.empty:
        return None
    layer, round = means.idxmin()
    here = rows[(rows["layer_a"] == layer) & (rows["round_a"] == round)]["value"]
    return {"layer": layer, "round": int(round), "similarity": spread(here)}


def _above(values: pd.Series, pairs: pd.DataFrame) -> pd.Series:
    """How far each seed's values are above its dense network's mean similarity to the other seeds'."""
    both = pd.concat(
        [pairs[["seed_a", "value"]], pairs[["seed_b", "value"]].rename(columns={"seed_b": "seed_a"})]
    )
    return (values - both.groupby("seed_a")["value"].mean()).dropna()
