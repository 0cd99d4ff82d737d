"""What each network says of itself: its metrics.json and training.csv, as tables."""

import json
from pathlib import Path

import pandas as pd

from prunescope.errors import InputError


def read_metrics(paths: list[str]) -> list[dict]:
    """Read metrics.json files, sorted by seed and round.

    Raises
    ------
    InputError
        When a file is missing or no JSON.
    """
    records = []
    for path in paths:
        try:
            records.append(json.loads(Path(path).read_text()))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a readable JSON file ({error}); delete it and run again") from None
    return sorted(records, key=lambda record: (record["seed"], record["round"]))


def layers(records: list[dict]) -> pd.DataFrame:
    """Make one row for each prunable layer of each network.

    Returns
    -------
    pandas.DataFrame
        Columns seed, round, density_all_layers (of the network's prunable weights), layer, density, kept, total,
        channels, dead_channels; layers in the order of the network.
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


def training(paths: dict[tuple[int, int], str]) -> pd.DataFrame:
    """Put the training curves of all networks together.

    Parameters
    ----------
    paths : dict of (int, int) to str
        training.csv by seed and round.

    Returns
    -------
    pandas.DataFrame
        The files' columns after seed and round.

    Raises
    ------
    InputError
        When a file is missing or no CSV.
    """
    tables = []
    for (seed, round), path in paths.items():
        try:
            table = pd.read_csv(path)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a readable CSV file ({error}); delete it and run again") from None
        table.insert(0, "seed", seed)
        table.insert(1, "round", round)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
