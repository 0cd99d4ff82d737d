"""Tables of the pages: those that charts show, and those that people read."""

import json

import pandas as pd

from prunescope.findings import slices
from prunescope.report.network_charts import METRICS

# --- for charts -------------------------------------------------------------------------------------------


def similarity_tables(similarity: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Cut the matrix into the tables that the charts show.

    Parameters
    ----------
    similarity : pandas.DataFrame
        An experiment's matrix.

    Returns
    -------
    dict of str to pandas.DataFrame
        ``dense``: each layer against the same layer of the dense network, with the weights remaining in
        percent; ``profile``: the same and, as kind ``seeds``, dense networks of different seeds against each
        other; ``rounds``: each layer in every pair of rounds, both orders of a pair next to each other;
        ``pairs``: each layer against all layers of the dense network, only where layers were compared with
        others.
    """
    keep = ["measure", "value", "chance", "n", "rank_a", "rank_b", "status"]
    dense = _columns(slices.to_dense(similarity), ["seed", "round", "weights", "layer", *keep])
    ceiling = _columns(slices.ceiling(similarity), ["seed", "round", "weights", "layer", *keep])
    rounds = _columns(slices.between_rounds(similarity), ["seed", "round", "round_b", "layer", *keep])
    ordered = pd.DataFrame(
        {"low": rounds[["round", "round_b"]].min(axis=1), "high": rounds[["round", "round_b"]].max(axis=1)}
    )
    ordered = rounds[["measure", "layer", "seed"]].join(ordered)
    found = {
        "dense": dense,
        "profile": pd.concat([dense.assign(kind="dense"), ceiling.assign(kind="seeds")]),
        # Equal numbers next to each other take half the room when they are compressed.
        "rounds": rounds.loc[ordered.sort_values(list(ordered), kind="stable").index],
    }
    pairs = slices.all_layers_to_dense(similarity)
    if len(pairs) > len(dense):
        found["pairs"] = _columns(pairs, ["seed", "round", "layer", "layer_b", *keep])
    return found


def _columns(rows: pd.DataFrame, keep: list[str]) -> pd.DataFrame:
    rows = rows.assign(weights=100 * rows["density_a"])
    return rows.rename(columns={"layer_a": "layer", "seed_a": "seed", "round_a": "round"})[keep]


def in_percent(table: pd.DataFrame) -> pd.DataFrame:
    """Turn the fractions in a table, densities and accuracies, into percent."""
    columns = [name for name in table if name.startswith("density") or name.endswith("accuracy")]
    return table.assign(**{name: 100 * table[name] for name in columns})


def measured(training: pd.DataFrame) -> pd.DataFrame:
    """Keep the metrics of `METRICS` that have a value in the training curves."""
    metrics = [name for name in METRICS if name in training and training[name].notna().any()]
    return training[["seed", "round", "epoch", *metrics]]


# --- for people -------------------------------------------------------------------------------------------


def values_to_dense(similarity: pd.DataFrame, measure: str, layers: list[str]) -> pd.DataFrame:
    """Write similarity to the dense network as text, mean over seeds: layers × rounds."""
    rows = slices.to_dense(slices.of_measure(similarity, measure))
    table = rows.pivot_table(index="layer_a", columns="round_a", values="value", dropna=False).reindex(layers)
    table = table.map(lambda value: "×" if pd.isna(value) else f"{value:.3f}").reset_index()
    return table.rename(
        columns={"layer_a": "layer"} | {name: f"round {name}" for name in table if name != "layer_a"}
    )


def about_networks(networks: list[dict]) -> tuple[str, pd.DataFrame]:
    """Make the table of networks and its caption from their metrics.json."""
    one = networks[0]
    sizes = f"{one['parameters']:,} parameters and {one['macs_dense']:,} multiply–adds when dense"
    table = pd.DataFrame(
        [
            {
                "seed": one["seed"],
                "round": one["round"],
                "weights left (%)": f"{100 * one['density']:.4g}",
                "parameters left": f"{one['parameters_kept']:,}",
                "multiply–adds": f"{one['macs_effective']:,}",
                "dead channels": one["dead_channels"],
                "test accuracy (%)": f"{100 * one['test_accuracy']:.2f}",
                "test loss": f"{one['test_loss']:.4f}",
                "epochs": one["epochs"],
                "time (s)": f"{one['seconds']:.1f}",
                "images/s": f"{one['images_per_second']:,.0f}",
            }
            for one in networks
        ]
    )
    return f"Networks ({one['network']}; {sizes})", table


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
    return pd.DataFrame(list(_walk(settings, "")), columns=["setting", "value"])


def _walk(settings: dict, prefix: str):
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _walk(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False).strip('"')
