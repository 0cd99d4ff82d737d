"""Tidy tables of all rounds: accuracy, layer densities, training curves."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa

from prunescope.errors import InputError
from prunescope.files import read_csv, read_json, read_schema, read_table

ACCURACY = (
    "seed",
    "round",
    "density",
    "density_all",
    "test_accuracy",
    "test_loss",
    "train_accuracy",
    "train_loss",
)


def concatenate(paths: list[str]) -> pa.Table:
    """Concatenate rows of the similarity matrix, in the order of `paths`."""
    tables = [read_table(path) for path in paths]
    shapes: dict[str, list[int]] = {}
    for path, table in zip(paths, tables, strict=True):
        shapes |= {name: shape for name, shape in _layers(path, table.schema).items() if name not in shapes}
    metadata = {"dataset": tables[0].schema.metadata[b"dataset"], "layers": json.dumps(shapes)}
    return pa.concat_tables(tables).replace_schema_metadata(metadata)


def layers(path: str | Path) -> dict[str, list[int]]:
    """Return the layers of a similarity matrix in the order of the network, with the shapes of their outputs.

    Layers that only later networks have come last.
    """
    return _layers(path, read_schema(path))


def _layers(path: str | Path, schema: pa.Schema) -> dict[str, list[int]]:
    written = (schema.metadata or {}).get(b"layers")
    if written is None:
        raise InputError(f"{path}: does not contain the order of the layers; delete it and run again")
    return json.loads(written)


def accuracy(paths: list[str]) -> pd.DataFrame:
    """Make one row from each network's metrics.json: columns `ACCURACY`, sorted by seed and round."""
    networks = [read_json(path) for path in paths]
    table = pd.DataFrame([{key: network[key] for key in ACCURACY} for network in networks])
    # A column with only None would have no type.
    table = table.astype({key: float for key in ACCURACY if key not in ("seed", "round")})
    return table.sort_values(["seed", "round"], ignore_index=True)


def layer_densities(networks: list[dict]) -> pd.DataFrame:
    """Make one row for each prunable layer of each network, from the contents of their metrics.json.

    Layers are in the order of the network; density_all_layers is of the network's prunable weights.
    """
    keys = ("density", "kept", "total", "channels", "dead_channels")
    return pd.DataFrame(
        [
            {"seed": network["seed"], "round": network["round"], "density_all_layers": network["density"]}
            | {"layer": layer["name"]}
            | {key: layer[key] for key in keys}
            for network in networks
            for layer in network["layers"]
        ]
    )


def training_curves(networks: list[dict], paths: list[str]) -> pd.DataFrame:
    """Combine the training curves of all networks, after the columns seed and round.

    `networks` are the contents of their metrics.json, `paths` their training.csv in the same order; there are
    none for networks that were trained elsewhere.
    """
    if not paths:
        return pd.DataFrame()
    curves = []
    for network, path in zip(networks, paths, strict=True):
        curve = read_csv(path)
        curve.insert(0, "seed", network["seed"])
        curve.insert(1, "round", network["round"])
        curves.append(curve)
    # Where nothing was trained there is only a header, and its columns have no types.
    return pd.concat([curve for curve in curves if len(curve)] or curves[:1], ignore_index=True)
