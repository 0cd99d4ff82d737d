"""The tidy tables: rows put together, Parquet files with the same bytes for the same numbers."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from prunescope.errors import InputError
from prunescope.files import atomic_path
from prunescope.records import read_json

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


def write_parquet(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as Parquet, atomically; the same table gives the same bytes."""
    with atomic_path(path) as part:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), part)


def read_parquet(path: str | Path) -> pd.DataFrame:
    """Read a Parquet file.

    Raises
    ------
    InputError
        When the file is missing or damaged.
    """
    try:
        return pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowException) as error:
        text = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable Parquet file ({text}); delete it and run again") from None


def concatenate(paths: list[str]) -> pd.DataFrame:
    """Put Parquet files of the same columns together, in the order of `paths`."""
    return pd.concat([read_parquet(path) for path in paths], ignore_index=True)


def accuracy(paths: list[str]) -> pd.DataFrame:
    """Make one row from each network's metrics.json.

    Returns
    -------
    pandas.DataFrame
        Columns `ACCURACY`, sorted by seed and round.
    """
    records = [read_json(path) for path in paths]
    table = pd.DataFrame([{key: record[key] for key in ACCURACY} for record in records])
    return table.sort_values(["seed", "round"], ignore_index=True)
