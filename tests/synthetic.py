"""A synthetic experiment of any size, as the tables and metrics of a real one."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa

from prunescope.findings import levels, levels_in_words, slices, verdicts


def similarity(rounds, layers, seeds, measures, middle=0.6) -> pd.DataFrame:
    """The matrix of an experiment whose middle layers fall towards `middle` while it is pruned."""
    grid = pd.MultiIndex.from_product(
        [seeds, range(rounds), range(rounds), layers, measures],
        names=["seed_a", "round_a", "round_b", "layer_a", "measure"],
    ).to_frame(index=False)
    depth = grid["layer_a"].map({layer: place for place, layer in enumerate(layers)}) / max(
        len(layers) - 1, 1
    )
    ends = np.abs(2 * depth - 1)
    distance = (grid["round_a"] - grid["round_b"]).abs() / max(rounds - 1, 1)
    noise = (
        np.random.default_rng(0).normal(size=(len(seeds), len(layers), len(measures), 2 * rounds + 1)) * 0.004
    )
    place = [
        grid[name].map({value: i for i, value in enumerate(known)})
        for name, known in (("seed_a", seeds), ("layer_a", layers), ("measure", measures))
    ]
    wobble = noise[place[0], place[1], place[2], grid["round_a"] + grid["round_b"]]
    grid["value"] = 1 - distance * ((1 - middle) * (1 - ends) + 0.05 + wobble)
    return grid.assign(
        seed_b=grid["seed_a"],
        layer_b=grid["layer_a"],
        chance=0.01,
        chance_high=0.02,
        chance_classes=0.015,
        density_a=0.8 ** grid["round_a"],
        density_b=0.8 ** grid["round_b"],
        low=np.nan,
        high=np.nan,
        n=5000,
        images=5000,
        width_a=64,
        width_b=64,
        rank_a=60,
        rank_b=64,
        status="ok",
    )


def stored(table: pd.DataFrame, layers: list[str]) -> pa.Table:
    """The matrix as its file holds it, with the layers in the order of the network."""
    metadata = {"dataset": "abc", "layers": json.dumps({layer: [8, 4, 4] for layer in layers})}
    return pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(metadata)


def across_seeds(table: pd.DataFrame, value: float) -> pd.DataFrame:
    """Add the rows that compare dense networks of different seeds."""
    dense = table[(table["round_a"] == 0) & (table["round_b"] == 0)]
    seeds = sorted(table["seed_a"].unique())
    parts = [
        dense[dense["seed_a"] == a].assign(seed_b=b, value=value + 0.001 * (a + b))
        for a in seeds
        for b in seeds
        if a != b
    ]
    return pd.concat([table, *parts], ignore_index=True)


def all_layers(table: pd.DataFrame) -> pd.DataFrame:
    """Add the rows of ``pairs: all-layers``: a layer is half as similar to every other layer as to itself."""
    layers = dict.fromkeys(table["layer_a"])
    parts = [
        table[table["layer_a"] == a].assign(layer_b=b, value=lambda rows: rows["value"] / 2)
        for a in layers
        for b in layers
        if a != b
    ]
    return pd.concat([table, *parts], ignore_index=True)


def level_tables(name: str, similarity: pd.DataFrame, accuracy: pd.DataFrame) -> levels.Tables:
    """The tables behind the levels: a network moves a little at each level in each round; no landscape."""
    networks = accuracy[["seed", "round"]].to_numpy(int).tolist()
    pairs = [(*a, *b) for a in networks for b in networks if a != b and (a[0] == b[0] or a[1] == b[1] == 0)]
    table = pd.DataFrame(pairs, columns=["seed_a", "round_a", "seed_b", "round_b"])
    table = table.assign(experiment_a=name, experiment_b=name)
    far = (table["round_a"] - table["round_b"]).abs() / accuracy["round"].max()
    far = far.where(table["seed_a"] == table["seed_b"], 2) * (1 + 0.1 * table["seed_a"])
    weights = [
        table.assign(layer=layer, measure="weight_cosine", value=1 - 0.3 * far)
        for layer in ("a", "b", levels.ALL_LAYERS)
    ]
    predictions = table.assign(measure="agreement", value=1 - 0.03 * far, chance=0.1)
    return levels.Tables(name, accuracy, similarity, pd.concat(weights, ignore_index=True), predictions)


def findings(
    name,
    similarity,
    accuracy,
    shapes,
    measures,
    given,
    controls=None,
    untrained=None,
    own=slices.PRUNED,
    names=None,
) -> dict:
    """The findings of an experiment with its levels, as in findings.json."""
    controls = controls or {}
    found = verdicts.conclude(name, similarity, accuracy, shapes, measures, given, controls, untrained)
    tables = {own: level_tables(name, similarity, accuracy)}
    tables |= {kind: level_tables(kind, *parts) for kind, parts in controls.items()}
    return levels_in_words.with_levels(found, tables, list(shapes), untrained, names)


def accuracy(rounds: int, seeds: list[int]) -> pd.DataFrame:
    """The accuracy table: seed s loses (5 + s) thousandths from round to round."""
    return pd.DataFrame(
        [
            {
                "seed": seed,
                "round": round,
                "density": 0.8**round,
                "density_all": 0.8**round,
                "test_accuracy": 0.95 - 0.001 * (5 + seed) * round,
                "test_loss": 0.2 + 0.01 * round,
                "train_accuracy": 1.0,
                "train_loss": 0.001,
            }
            for seed in seeds
            for round in range(rounds)
        ]
    )


def networks(rounds: int, layers: list[str], seeds: list[int]) -> list[dict]:
    """The entries of metrics.json that reports read."""
    environment = {
        "python": "3.11.7",
        "platform": "linux-x86_64",
        "processor": "made up",
        "instruction_set": "avx2",
        "cores": 2,
        "packages": {"torch": "2.15.0", "numpy": "2.4.0"},
    }
    found = []
    for row in accuracy(rounds, seeds).to_dict("records"):
        kept = [int(1000 * row["density"] ** (1 + place / len(layers))) for place in range(len(layers))]
        found.append(
            {
                **row,
                "network": "made_up",
                "dataset": "0" * 64,
                "epochs": 3,
                "parameters": 1000 * len(layers),
                "parameters_kept": sum(kept),
                "macs_dense": 5000 * len(layers),
                "macs_effective": 5 * sum(kept),
                "dead_channels": 0,
                "seconds": 1.0,
                "images_per_second": 1000.0,
                "device": "cpu",
                "threads": 1,
                "precision": "float32",
                "environment": environment,
                "layers": [
                    {
                        "name": name,
                        "total": 1000,
                        "kept": n,
                        "density": n / 1000,
                        "channels": 8,
                        "dead_channels": 0,
                    }
                    for name, n in zip(layers, kept, strict=True)
                ],
            }
        )
    return found


def training(rounds: int, seeds: list[int], epochs: int) -> pd.DataFrame:
    """Training curves as `tables.training_curves` returns them; nothing was held out for validation."""
    grid = pd.MultiIndex.from_product(
        [seeds, range(rounds), range(1, epochs + 1)], names=["seed", "round", "epoch"]
    ).to_frame(index=False)
    return grid.assign(
        lr=0.1,
        train_loss=1 / grid["epoch"],
        train_accuracy=1 - 0.5 / grid["epoch"],
        test_loss=1.2 / grid["epoch"],
        test_accuracy=1 - 0.6 / grid["epoch"],
        validation_accuracy=np.nan,
    )


# The result of `prunescope.findings.labels.shown` for these measures.
MEASURES = {
    "cca": {"label": "mean CCA", "reference": "A made-up paper on CCA.", "url": "https://example.org/cca"},
    "cka": {"label": "linear CKA", "reference": "A made-up paper on CKA.", "url": "https://example.org/cka"},
    "pwcca": {"label": "PWCCA", "reference": "A made-up paper on CCA.", "url": "https://example.org/cca"},
    "svcca": {"label": "SVCCA", "reference": "A made-up book."},
}
# What `prunescope.plan.stages.findings_params` returns.
VERDICTS = {"primary": "cca", "margin": 0.05, "least_accuracy": 0.28}
SETTINGS = {
    "description": "A made-up experiment",
    "figures": {"colormap": "viridis", "dpi": 100, "width": 5.5},
    "rounds": 2,
}


# What the receipt of any job says besides its outputs.
JOB = {"rule": "any", "wildcards": {}, "settings": {}, "environment": {"packages": {}}, "inputs": []}
