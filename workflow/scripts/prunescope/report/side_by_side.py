"""Several experiments in one table, with the settings in which they differ."""

import json

import pandas as pd

from prunescope.findings import slices
from prunescope.report import page_tables
from prunescope.report.experiment import Experiment


def differing(settings: dict[str, dict]) -> pd.DataFrame:
    """Return the settings that are not the same in all experiments.

    Parameters
    ----------
    settings : dict of str to dict
        All settings of each experiment, by its name.

    Returns
    -------
    pandas.DataFrame
        One row for each experiment, one column for each dotted key. If all values of a key are numbers, they
        stay numbers; other values are text, as in configuration files. Missing if an experiment lacks the
        key.
    """
    texts = {name: dict(page_tables.flat(own).to_numpy()) for name, own in settings.items()}
    keys = dict.fromkeys(key for own in texts.values() for key in own)
    several = [key for key in keys if len({own.get(key) for own in texts.values()}) > 1]
    table = pd.DataFrame(
        {key: [own.get(key) for own in texts.values()] for key in several}, index=list(texts), dtype=object
    )
    return table.apply(_numbers)


def _numbers(column: pd.Series) -> pd.Series:
    """Convert a column of text to numbers; leave it unchanged if any text is not a number."""
    values = [json.loads(text) if _is_number(text) else None for text in column.dropna()]
    if None in values:
        return column
    return pd.to_numeric(column)


def _is_number(text: str) -> bool:
    try:
        return type(json.loads(text)) in (int, float)
    except ValueError:
        return False


def overview_table(experiments: list[Experiment]) -> pd.DataFrame:
    """Combine the similarities to the dense network and the metrics of several experiments in one table.

    Returns
    -------
    pandas.DataFrame
        One row for each network, layer and measure: ``experiment``; the settings of `differing`; ``seed``,
        ``round`` and the other columns of the accuracy table; ``layer``, ``measure``, ``value`` and the other
        columns of the matrix that do not belong to one side.
    """
    changed = differing({one.name: one.settings for one in experiments})
    parts = []
    for one in experiments:
        rows = slices.to_dense(one.similarity)
        sides = {"seed_a": "seed", "round_a": "round", "layer_a": "layer"}
        kept = [*sides, *(name for name in rows if not name.endswith(("_a", "_b")))]
        part = one.accuracy.merge(rows[kept].rename(columns=sides), on=["seed", "round"])
        part.insert(0, "experiment", one.name)
        for place, key in enumerate(changed, 1):
            part.insert(place, key, changed.loc[one.name, key])
        parts.append(part)
    return pd.concat(parts, ignore_index=True).astype(changed.dtypes.to_dict())
