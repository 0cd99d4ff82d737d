"""Tables of the pages: the data of charts, and tables for readers."""

import json

import numpy as np
import pandas as pd

from prunescope.findings import slices
from prunescope.findings.levels import LEVELS
from prunescope.findings.slices import OTHER_SEEDS, PRUNED, UNTRAINED
from prunescope.identity import leaves
from prunescope.report.base import ALL, ANY
from prunescope.report.network_charts import METRICS

# In the column `status`, next to the statuses of the matrix.
FAILED = "does not classify"

# --- for charts -------------------------------------------------------------------------------------------


def similarity_tables(
    similarity: pd.DataFrame,
    beside: dict[str, pd.DataFrame] | None = None,
    untrained: pd.DataFrame | None = None,
    failed: dict[str, list[list[int]]] | None = None,
    series: str = PRUNED,
) -> dict[str, pd.DataFrame]:
    """Aggregate an experiment's matrix into the tables of charts, each with the columns of `summary`.

    ``profile``: each layer against the same layer of the dense network, by `series` (the experiment, each
    control in `beside`, dense networks of different seeds, untrained ones), with `seed` `ALL` (over the
    seeds) or a single seed; ``rounds``: each layer in every pair of rounds; ``pairs``: each layer against all
    layers of the dense network, only if different layers were compared.
    """
    failed = failed or {}
    similarity = slices.mark_failed(similarity, failed.get(series, []))
    to_dense = _columns(slices.to_dense(similarity))
    profiles = [_all_and_each(to_dense, ["measure", "round", "layer"]).assign(series=series)]
    for name, matrix in (beside or {}).items():
        rows = slices.mark_failed(matrix, failed.get(name, []))
        rows = _columns(_again(rows) if "experiment_a" in rows else slices.to_dense(rows))
        profiles.append(_all_and_each(rows, ["measure", "round", "layer"]).assign(series=name))
    if untrained is not None:
        # Untrained networks need not classify.
        untrained = slices.mark_failed(untrained, [])
    for name, pairs in ((OTHER_SEEDS, slices.other_seeds(similarity)), (UNTRAINED, untrained)):
        if pairs is not None and len(pairs):
            keys = ["measure", "layer"]
            over_all = summary(_columns(slices.each_pair_once(pairs)), keys).assign(seed=ALL)
            each = summary(_columns(pairs), [*keys, "seed"])
            profiles.append(pd.concat([over_all, each]).assign(series=name, round=ANY))
    between = _columns(slices.between_rounds(similarity))
    data = {
        "profile": pd.concat(profiles, ignore_index=True),
        "rounds": summary(between, ["measure", "layer", "round", "round_b"]),
    }
    pairs = slices.all_layers_to_dense(similarity)
    if len(pairs) > len(to_dense):
        data["pairs"] = summary(_columns(pairs), ["measure", "round", "layer", "layer_b"])
    return data


def summary(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Summarise rows of the matrix, with the column `failed`, over the seeds of each group.

    `mean`, `seed_low` and `seed_high` are over the seeds; `low`, `high` and chance levels are means; `seeds`
    are those with a value; `warned` is ``''``, ``warned`` or ``missing``; `failed` is whether a network does
    not classify; and `status` names each status and its number of seeds.
    """
    counts = pd.get_dummies(rows["status"]).astype(int)
    names = list(counts)
    counts[FAILED] = rows["failed"].astype(int)
    groups = rows.join(counts).groupby(by, sort=False)
    table = groups.agg(
        weights=("weights", "mean"),
        mean=("value", "mean"),
        seed_low=("value", "min"),
        seed_high=("value", "max"),
        **{name: (name, "mean") for name in ("low", "high", "chance", "chance_high", "chance_classes")},
        seeds=("value", "count"),
        n=("n", "min"),
        images=("images", "min"),
        rank_a=("rank_a", "min"),
        rank_b=("rank_b", "min"),
    )
    numbers = groups[[*names, FAILED]].sum()
    every = numbers[names].sum(axis=1)
    alright = numbers["ok"] == every if "ok" in names else pd.Series(False, index=table.index)
    text = pd.Series("ok", index=table.index).where(alright, "")
    for name in (name for name in numbers if name != "ok"):
        part = (" (" + numbers[name].astype(str) + " of " + every.astype(str) + ")").where(
            numbers[name] < every, ""
        )
        text = text.where(numbers[name] == 0, text + ", " + name + part)
    table["failed"] = numbers[FAILED] > 0
    table["warned"] = np.select([table["seeds"] == 0, ~alright], ["missing", "warned"], "")
    table["status"] = text.str.removeprefix(", ")
    table["ranks"] = table.pop("rank_a").astype(str) + ", " + table.pop("rank_b").astype(str)
    return table.reset_index()


def _again(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that compare siblings with the networks of the experiment, each pair once."""
    rows = slices.same_layer(rows)
    return rows[rows["experiment_a"] == rows["experiment_a"].iloc[0]]


def _all_and_each(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    each = summary(rows, [*by, "seed"])
    return pd.concat([summary(rows, by).assign(seed=ALL), each], ignore_index=True)


def _columns(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.assign(weights=100 * rows["density_a"])
    return rows.rename(columns={"layer_a": "layer", "seed_a": "seed", "round_a": "round"})


def over_seeds(rows: pd.DataFrame, by: list[str], value: str, **more: str) -> pd.DataFrame:
    """Summarise a number over the seeds, and keep each seed's: `seed` is `ALL` or the seed.

    `more` are columns whose mean is kept, by their new names.
    """
    columns = {
        "mean": (value, "mean"),
        "seed_low": (value, "min"),
        "seed_high": (value, "max"),
        "seeds": (value, "count"),
    }
    columns |= {name: (column, "mean") for name, column in more.items()}
    each = rows.groupby([*by, "seed"], sort=False).agg(**columns).reset_index()
    every = rows.groupby(by, sort=False).agg(**columns).reset_index().assign(seed=ALL)
    return pd.concat([every, each], ignore_index=True)


def accuracy_table(
    accuracy: pd.DataFrame, beside: dict[str, pd.DataFrame] | None = None, series: str = PRUNED
) -> pd.DataFrame:
    """Summarise the test accuracy in percent of an experiment and those next to it, by `series`."""
    tables = {series: accuracy} | (beside or {})
    return pd.concat(
        [
            over_seeds(in_percent(table), ["round"], "test_accuracy", weights="density").assign(series=name)
            for name, table in tables.items()
        ],
        ignore_index=True,
    )


def training_table(training: pd.DataFrame) -> pd.DataFrame:
    """Summarise over the seeds each metric of the training curves that has values, by `metric`."""
    parts = []
    for metric in METRICS:
        if metric in training and training[metric].notna().any():
            part = over_seeds(training, ["round", "epoch"], metric)
            parts.append(
                part[part["seed"] == part["seed"].iloc[0]].assign(metric=metric).drop(columns="seed")
            )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def in_percent(table: pd.DataFrame) -> pd.DataFrame:
    """Turn the fractions in a table, densities and accuracies, into percent."""
    columns = [name for name in table if name.startswith("density") or name.endswith("accuracy")]
    return table.assign(**{name: 100 * table[name] for name in columns})


def weights_by_round(accuracy: pd.DataFrame) -> pd.Series:
    """Return the weights left by round, in percent."""
    return 100 * accuracy.groupby("round")["density"].mean()


def series_of(levels: dict) -> list[str]:
    """Return the names of the series that the levels of findings.json have."""
    rounds = [one for level in LEVELS for one in levels[level]["rounds"].values()]
    return list(dict.fromkeys(name for one in rounds for name in one["series"]))


# --- for readers ------------------------------------------------------------------------------------------


def about_networks(networks: list[dict], models: list[dict] | None = None) -> tuple[str, pd.DataFrame]:
    """Make the table of networks and its caption from their metrics.json, with the labels of `models`.

    Times are only in metrics.json: without them, two equal runs give the same page.
    """
    one = networks[0]
    names = list(dict.fromkeys(network["network"] for network in networks))
    sizes = f"{one['parameters']:,} parameters and {one['macs_dense']:,} multiply–adds when dense"
    caption = ", ".join(names) if len(names) > 1 else f"{one['network']}; {sizes}"
    labels: dict[int, list[str]] = {}
    for model in models or ():
        labels.setdefault(model["lineage"], []).append(model["label"])
    table = pd.DataFrame(
        [
            {
                "seed": one["seed"],
                "round": one["round"],
                **({"label": labels[one["seed"]][one["round"]]} if labels else {}),
                "weights left (%)": f"{100 * one['density']:.4g}",
                "parameters left": f"{one['parameters_kept']:,}",
                "multiply–adds": f"{one['macs_effective']:,}",
                "dead channels": one["dead_channels"],
                "test accuracy (%)": _measured(one["test_accuracy"], 100, 2),
                "test loss": _measured(one["test_loss"], 1, 4),
                "epochs": one["epochs"],
            }
            for one in networks
        ]
    )
    return f"Networks ({caption})", table


def _measured(value: float | None, factor: float, digits: int) -> str:
    return "–" if value is None else f"{factor * value:.{digits}f}"


def not_pruned(networks: list[dict]) -> tuple[tuple[str, pd.DataFrame], ...]:
    """Make the table of the parameters that are never pruned, with its caption, if anything is pruned."""
    parts = networks[-1].get("unpruned", {})
    if not parts:
        return ()
    rows = [
        {
            "module and parameter": name,
            "parameters": f"{part['parameters']:,}",
            "of all (%)": f"{100 * part['share']:.2f}",
        }
        for name, part in parts.items()
    ]
    share = sum(part["share"] for part in parts.values())
    return ((f"Not pruned: {100 * share:.3g} % of all parameters", pd.DataFrame(rows)),)


def references(measures: dict[str, dict[str, str]]) -> tuple[tuple[str, str | None], ...]:
    """Return what to cite for the measures of `findings.labels.shown`, each once, with its address."""
    return tuple(dict.fromkeys((facts["reference"], facts.get("url")) for facts in measures.values()))


def provenance(networks: list[dict], origin: dict[str, str]) -> pd.DataFrame:
    """List code, machine, software and data behind the networks."""
    facts = dict(origin)
    environments = [one["environment"] for one in networks]
    for key, name in (("processor", "processor"), ("instruction_set", "instructions"), ("cores", "cores")):
        facts[name] = _distinct(environment[key] for environment in environments)
    for key in ("device", "threads", "precision"):
        facts[key] = _distinct(one[key] for one in networks)
    facts["platform"] = _distinct(environment["platform"] for environment in environments)
    facts["Python"] = _distinct(environment["python"] for environment in environments)
    for package in environments[0]["packages"]:
        facts[package] = _distinct(environment["packages"].get(package) for environment in environments)
    facts["data set"] = _distinct(one["dataset"] for one in networks)
    return pd.DataFrame(list(facts.items()), columns=["what", "value"])


def _distinct(values) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None)) or "not known"


def flat(settings: dict) -> pd.DataFrame:
    """Write nested settings as a table of dotted keys and values."""
    texts = ((key, json.dumps(value, ensure_ascii=False).strip('"')) for key, value in leaves(settings))
    return pd.DataFrame(list(texts), columns=["setting", "value"])
