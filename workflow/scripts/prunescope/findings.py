"""What a reader should conclude from an experiment, computed: numbers, their spread over seeds, and verdicts.

A verdict compares numbers that every seed has measured. It is given only when Student's 95 % interval of
their mean over the seeds leaves no doubt about the sign; else it reads "not enough seeds to say".
"""

import math

import pandas as pd

METRICS = {
    "cca": "mean CCA",
    "cca_r2": "mean squared CCA",
    "svcca": "SVCCA",
    "svcca_trim98": "SVCCA (top 98 %)",
    "pwcca": "PWCCA",
    "cka": "linear CKA",
    "cka_debiased": "debiased CKA",
    "nbs": "NBS",
}
UNDECIDED = "not enough seeds to say"


def conclude(
    name: str, similarity: pd.DataFrame, accuracy: pd.DataFrame, layers: dict[str, list[int]]
) -> dict:
    """Compute the findings of an experiment.

    Parameters
    ----------
    name : str
        The experiment.
    similarity, accuracy : pandas.DataFrame
        Its matrix and accuracy table.
    layers : dict of str to list of int
        Output shape of each recorded layer for one image, in the order of the network: three numbers are a
        convolution's maps, one is a fully connected layer.

    Returns
    -------
    dict
        JSON-ready. ``accuracy``: dense, last round, their difference. ``metrics``: for each metric ``layers``
        (similarity of the last round to the dense network of the same seed; ``ceiling``: similarity of dense
        networks of different seeds; ``verdict``: which of the two is higher), ``lowest`` (layer and round)
        and ``claim`` (see `claim`). ``text``: the same in sentences, the first metric in full.
    """
    last = int(accuracy["round"].max())
    same = similarity[similarity["layer_a"] == similarity["layer_b"]]
    ceiling = same[(same["seed_a"] < same["seed_b"]) & (same["round_a"] == 0) & (same["round_b"] == 0)]
    own = same[(same["seed_a"] == same["seed_b"]) & (same["round_b"] == 0) & (same["round_a"] > 0)]
    found = {
        "experiment": name,
        "seeds": sorted(int(seed) for seed in accuracy["seed"].unique()),
        "last_round": last,
        "last_density": float(accuracy.loc[accuracy["round"] == last, "density"].mean()),
        "accuracy": _accuracy(accuracy, last),
        "metrics": {},
    }
    for metric in dict.fromkeys(similarity["metric"]):
        part = own[own["metric"] == metric]
        if len(part):
            found["metrics"][metric] = _metric(part, ceiling[ceiling["metric"] == metric], last, layers)
    found["text"] = _text(found)
    return found


def claim(values: pd.DataFrame, layers: dict[str, list[int]]) -> dict:
    """Test the finding of Ansuini et al. (ICPRAM 2020): first and fully connected layers high, middle low.

    ``first`` is the mean over the first quarter of the recorded convolutional layers (at least one),
    ``output`` the last layer, which must be fully connected, ``middle`` the mean over all between. The margin
    of a seed is min(first, output) - middle.

    Parameters
    ----------
    values : pandas.DataFrame
        Similarity of the last round to the dense network; a row for each seed, a column for each layer.
    layers : dict of str to list of int
        Output shapes in the order of the network.

    Returns
    -------
    dict
        ``verdict``: holds, does not hold, not enough seeds to say, or not applicable (with a ``reason``); the
        groups' layers, and the statistics of ``first``, ``middle``, ``output`` and ``margin``.
    """
    names = list(layers)
    maps = [name for name in names if len(layers[name]) == 3]
    first = maps[: math.ceil(len(maps) / 4)]
    middle = [name for name in names[:-1] if name not in first]
    if not maps:
        return {"verdict": "not applicable", "reason": "no convolutional layer was recorded"}
    if len(layers[names[-1]]) == 3:
        return {"verdict": "not applicable", "reason": "the last recorded layer is not fully connected"}
    if not middle:
        return {"verdict": "not applicable", "reason": "no layer was recorded between the first and the last"}
    there = values.columns[values.notna().any()]
    first, middle = ([name for name in group if name in there] for group in (first, middle))
    if not (first and middle and names[-1] in there):
        return {"verdict": "not applicable", "reason": "a group of layers has no value in the last round"}
    # A seed in which one of the layers has no value is left out: its means would be over other layers.
    groups = {
        "first": values[first].mean(axis=1, skipna=False),
        "middle": values[middle].mean(axis=1, skipna=False),
        "output": values[names[-1]],
    }
    margin = (groups["first"].clip(upper=groups["output"]) - groups["middle"]).dropna()
    if margin.empty:
        return {"verdict": "not applicable", "reason": "no seed has values in all layers of the last round"}
    return {
        "verdict": _verdict(margin, "holds", "does not hold"),
        "first_layers": first,
        "middle_layers": middle,
        "output_layer": names[-1],
        **{group: spread(numbers[margin.index]) for group, numbers in groups.items()},
        "margin": spread(margin),
    }


def spread(values) -> dict | None:
    """Mean, smallest, largest, standard deviation and 95 % interval of the mean; None without any value.

    The interval is Student's, None (as the standard deviation) for a single value.
    """
    # The figures import this module for the names of the metrics; they need not wait for SciPy.
    from scipy.special import stdtrit

    values = pd.Series(values, dtype=float).dropna()
    count = len(values)
    if not count:
        return None
    mean, deviation, half = values.mean(), None, None
    if count > 1:
        deviation = float(values.std(ddof=1))
        half = float(stdtrit(count - 1, 0.975)) * deviation / math.sqrt(count)
    return {
        "mean": float(mean),
        "min": float(values.min()),
        "max": float(values.max()),
        "sd": deviation,
        "interval": None if half is None else [float(mean - half), float(mean + half)],
        "count": count,
    }


def _verdict(differences, positive: str, negative: str) -> str:
    interval = (spread(differences) or {}).get("interval")
    if interval and interval[0] > 0:
        return positive
    if interval and interval[1] < 0:
        return negative
    return UNDECIDED


def _accuracy(accuracy: pd.DataFrame, last: int) -> dict:
    table = accuracy.pivot(index="seed", columns="round", values="test_accuracy")
    change = table[last] - table[0]
    return {
        "dense": spread(table[0]),
        "last": spread(table[last]),
        "change": spread(change),
        "verdict": _verdict(change, "higher", "lower"),
    }


def _metric(part: pd.DataFrame, ceiling: pd.DataFrame, last: int, layers: dict[str, list[int]]) -> dict:
    values = part[part["round_a"] == last].pivot(index="seed_a", columns="layer_a", values="value")
    values = values.reindex(columns=list(layers))
    rows = []
    for layer in layers:
        others = ceiling[ceiling["layer_a"] == layer]
        pairs = spread(others["value"])
        rows.append(
            {
                "layer": layer,
                "similarity": spread(values[layer]),
                # Pairs share seeds, so they have no standard deviation or interval worth the name.
                "ceiling": pairs and {key: pairs[key] for key in ("mean", "min", "max", "count")},
                "verdict": pairs
                and _verdict(_above(values[layer], others), "stays similar", "less similar than seeds"),
            }
        )
    means = part.groupby(["layer_a", "round_a"])["value"].mean().dropna()
    lowest = None
    if len(means):
        layer, round = means.idxmin()
        here = part[(part["layer_a"] == layer) & (part["round_a"] == round)]["value"]
        lowest = {"layer": layer, "round": int(round), "similarity": spread(here)}
    return {"layers": rows, "lowest": lowest, "claim": claim(values, layers)}


def _above(values: pd.Series, ceiling: pd.DataFrame) -> pd.Series:
    """How far each seed's values are above its dense network's mean similarity to the other seeds'."""
    both = pd.concat(
        [ceiling[["seed_a", "value"]], ceiling[["seed_b", "value"]].rename(columns={"seed_b": "seed_a"})]
    )
    return (values - both.groupby("seed_a")["value"].mean()).dropna()


# --- sentences ------------------------------------------------------------------------------------------


def _text(found: dict) -> list[str]:
    count = len(found["seeds"])
    weights = f"{100 * found['last_density']:.3g} %"
    seeds = f"{count} seeds, lowest to highest in brackets" if count > 1 else f"one seed, {found['seeds'][0]}"
    if not found["last_round"]:
        return [f"Only dense networks were trained ({seeds}): there is nothing to compare."]
    numbers = found["accuracy"]
    sentences = [
        f"After {found['last_round']} rounds {weights} of the prunable weights are left ({seeds}). "
        f"Test accuracy goes from {_percent(numbers['dense'])} to {_percent(numbers['last'])}: "
        + (numbers["verdict"] if numbers["verdict"] != UNDECIDED else f"whether it changes, {UNDECIDED}")
        + "."
    ]
    metrics = found["metrics"]
    if metrics:
        name, one = next(iter(metrics.items()))
        sentences += [*_layers_text(METRICS[name], one, weights), _claim_text(METRICS[name], one["claim"])]
        others = {METRICS[other]: metrics[other]["claim"]["verdict"] for other in list(metrics)[1:]}
        if others:
            sentences.append(
                "By the other measures: " + "; ".join(f"{key}, {text}" for key, text in others.items()) + "."
            )
    return sentences


def _layers_text(metric: str, one: dict, weights: str) -> list[str]:
    rows = [row for row in one["layers"] if row["similarity"]]
    if not rows:
        return [f"No layer has a value of {metric} in the last round: see the status column of the matrix."]
    ordered = sorted(rows, key=lambda row: -row["similarity"]["mean"])
    listed = ", ".join(f"{row['layer']} {_number(row['similarity'])}" for row in ordered)
    sentences = [
        f"Similarity to the dense network at {weights} of the weights ({metric}), highest first: {listed}."
    ]
    low = one["lowest"]
    sentences.append(f"It is lowest in {low['layer']} at round {low['round']}: {_number(low['similarity'])}.")
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row["ceiling"]:
            text = f"{row['layer']} ({row['similarity']['mean']:.3f} against {row['ceiling']['mean']:.3f})"
            groups.setdefault(row["verdict"], []).append(text)
    heads = {
        "stays similar": "higher for",
        "less similar than seeds": "lower for",
        UNDECIDED: f"{UNDECIDED} for",
    }
    if groups:
        listed = "; ".join(f"{head} {', '.join(groups[key])}" for key, head in heads.items() if key in groups)
        sentences.append(f"Against the similarity of dense networks of different seeds this is {listed}.")
    else:
        sentences.append(
            "How similar dense networks of different seeds are was not computed (similarity.across_seeds), "
            "so nothing tells how much of this any other training run would share."
        )
    return sentences


def _claim_text(metric: str, claim: dict) -> str:
    question = (
        "Are the first convolutions and the fully connected layer high, the middle low (Ansuini et al. 2020)?"
    )
    if "reason" in claim:
        return f"{question} Not applicable: {claim['reason']}."
    margin = claim["margin"]
    interval = f", 95 % interval of the margin {_pair(margin['interval'])}" if margin["interval"] else ""
    return (
        f"{question} By {metric}: {claim['verdict']}. First ({', '.join(claim['first_layers'])}) "
        f"{_number(claim['first'])}, middle {_number(claim['middle'])}, {claim['output_layer']} "
        f"{_number(claim['output'])}; the middle is {abs(margin['mean']):.3f} "
        f"{'below' if margin['mean'] > 0 else 'above'} the lower of the two{interval}."
    )


def _number(numbers: dict) -> str:
    return f"{numbers['mean']:.3f}" + (
        f" ({numbers['min']:.3f}–{numbers['max']:.3f})" if numbers["count"] > 1 else ""
    )


def _percent(numbers: dict) -> str:
    spread = f" ({100 * numbers['min']:.2f}–{100 * numbers['max']:.2f})" if numbers["count"] > 1 else ""
    return f"{100 * numbers['mean']:.2f} %{spread}"


def _pair(interval: list[float]) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}".replace("-", "−")
