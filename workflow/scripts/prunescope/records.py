"""What each network says of itself: its metrics.json and training.csv, as tables."""

import json
from pathlib import Path

import pandas as pd

from prunescope.errors import InputError


def read_json(path: str | Path) -> dict:
    """Read a JSON file.

    Raises
    ------
    InputError
        When the file is missing or no JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable JSON file ({error}); delete it and run again") from None


def layers(records: list[dict]) -> pd.DataFrame:
    """Make one row for each prunable layer of each network.

    Returns
    -------
    pandas.DataFrame
        Columns seed, round, density_all_layers (of the network's prunable weights), layer, density, kept,
        total, channels, dead_channels; layers in the order of the network.
    """
    keys = ("density", "kept", "total", "channels", "dead_channels")
    return pd.DataFrame(
        [
            {"seed": record["seed"], "round": record["round"], "density_all_layers": record["density"]}
            | {"layer": layer["name"]}
            | {key: layer[key] for key in keys}
            for record in records
            for layer in record["layers"]
        ]
    )


def training(records: list[dict], paths: list[str]) -> pd.DataFrame:
    """Put the training curves of all networks together.

    Parameters
    ----------
    records : list of dict
        The networks' metrics.json.
    paths : list of str
        Their training.csv, in the same order.

    Returns
    -------
    pandas.DataFrame
        The files' columns after seed and round.

    Raises
    ------
    InputError
        When a file is missing or no CSV.
    """
    curves = []
    for record, path in zip(records, paths, strict=True):
        try:
            curve = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a readable CSV file ({error}); delete it and run again") from None
        curve.insert(0, "seed", record["seed"])
        curve.insert(1, "round", record["round"])
        curves.append(curve)
    return pd.concat(curves, ignore_index=True)
