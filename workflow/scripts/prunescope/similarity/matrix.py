"""Activation files → rows of the similarity matrix."""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from prunescope.activations import store
from prunescope.activations.store import Matrix, Recording
from prunescope.errors import InputError
from prunescope.settings.similarity import Similarity
from prunescope.similarity.engine import Engine, by_places, engine
from prunescope.similarity.measures import load
from prunescope.similarity.statuses import OK

log = logging.getLogger("prunescope")

COLUMNS = pa.schema(
    [
        ("seed_a", pa.int64()),
        ("round_a", pa.int64()),
        ("layer_a", pa.string()),
        ("seed_b", pa.int64()),
        ("round_b", pa.int64()),
        ("layer_b", pa.string()),
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("chance", pa.float64()),
        ("chance_high", pa.float64()),
        ("chance_classes", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("density_a", pa.float64()),
        ("density_b", pa.float64()),
        ("n", pa.int64()),
        ("images", pa.int64()),
        ("width_a", pa.int64()),
        ("width_b", pa.int64()),
        ("rank_a", pa.int64()),
        ("rank_b", pa.int64()),
        ("status", pa.string()),
        ("spectrum", pa.list_(pa.float64())),
    ]
)


def compare_round(
    paths: Sequence[str | Path],
    settings: Similarity,
    threads: int = 1,
    device: str = "cpu",
    same_units: bool = True,
) -> pa.Table:
    """Compare the last round of one seed with every round up to itself: one row of the similarity matrix.

    Parameters
    ----------
    paths : sequence of path
        Activation files of one seed, rounds 0 to r in order.
    settings : Similarity
    threads : int, default 1
        The result does not depend on it.
    device : torch.device or str, optional
        Where to sum products; everything else is computed on the CPU.
    same_units : bool, default True
        Whether rounds keep their units. They do not if their weights are drawn anew.

    Returns
    -------
    pyarrow.Table
        Columns `COLUMNS`; both orders of every pair, and each layer of round r with itself. The measures of a
        pair are in alphabetical order. The metadata ``dataset`` is the data set's checksum, ``layers`` the
        recorded layers, see `prunescope.tables.layers`.

    Raises
    ------
    InputError
        When a measure is unknown, a file is missing or damaged, its rows do not correspond to those of the
        others, or activations are not finite.
    """
    return _compare(paths, settings, threads, device, same_units=same_units)


def compare_seeds(
    paths: Sequence[str | Path], settings: Similarity, threads: int = 1, device: str = "cpu"
) -> pa.Table:
    """Compare the same round of different seeds, all pairs of them.

    Parameters, result and errors are those of `compare_round`, with one file for each seed.
    """
    return _compare(paths, settings, threads, device, all_pairs=True)


def compare_untrained(
    paths: Sequence[str | Path], settings: Similarity, threads: int = 1, device: str = "cpu"
) -> pa.Table:
    """Compare untrained networks of different seeds, without the column `spectrum`; see `compare_seeds`."""
    return compare_seeds(paths, settings, threads, device).drop_columns("spectrum")


def compare_siblings(
    paths: Sequence[str | Path],
    settings: Similarity,
    threads: int = 1,
    device: str = "cpu",
    experiments: Sequence[str] = ("", ""),
) -> pa.Table:
    """Compare a round of an experiment with the same round trained again; see `compare_seeds`.

    Seed and round of both sides are the same, so the columns ``experiment_a`` and ``experiment_b`` name the
    experiments, in the order of `paths`.
    """
    table = compare_seeds(paths, settings, threads, device)
    # Of each pair, there are both orders, first with the last recording as a.
    orders = [experiments[::-1], experiments] * (len(table) // 2)
    for column, side in enumerate("ab"):
        names = pa.array([order[column] for order in orders], pa.string())
        table = table.add_column(column, f"experiment_{side}", names)
    return table


# By the parameter `comparison` of the rules.
COMPARISONS = {
    "round": compare_round,
    "seeds": compare_seeds,
    "untrained": compare_untrained,
    "siblings": compare_siblings,
}


def check_correspondence(recordings: Sequence[Recording], pairs: str) -> None:
    """Check that the same examples were recorded in the same way.

    Raises
    ------
    InputError
        With both files and the difference.
    """
    first = recordings[0]
    for other in recordings[1:]:
        both = f"{first.path} and {other.path}"
        remedy = "extract both with the same settings"
        for key in ("dataset", "view", "positions"):
            mine, theirs = getattr(first, key), getattr(other, key)
            if mine != theirs:
                raise InputError(f"{both}: {key} is {mine} in one and {theirs} in the other; {remedy}")
        if not np.array_equal(first.examples, other.examples):
            raise InputError(f"{both}: the indices of the examples differ; {remedy}")
        for name in sorted({*first.matrices} ^ {*other.matrices}) if pairs == "same-layer" else ():
            lacking = other if name in first.matrices else first
            raise InputError(f"{both}: {lacking.path} has no layer {name}; {remedy}")


def _compare(
    paths: Sequence[str | Path],
    settings: Similarity,
    threads: int,
    device: str,
    all_pairs: bool = False,
    same_units: bool = True,
) -> pa.Table:
    """Compare the last recording with all up to itself, or with `all_pairs` each with each other."""

    def aligned(a: Matrix, b: Matrix) -> bool:
        # Rounds of a lineage keep the order of units, which masks do not change.
        same = (a.seed, a.layer, a.width) == (b.seed, b.layer, b.width)
        return same and (same_units or a.round == b.round)

    measures, intervals = [load(name) for name in sorted(settings.measures)], settings.intervals
    more = {"aligned": aligned, "both_orders": True}
    with (
        store.recordings(paths) as recordings,
        engine(measures, settings.variance, threads, intervals, device, **more) as compared,
    ):
        check_correspondence(recordings, settings.pairs)
        rows: list[dict] = []
        for last in range(1, len(recordings)) if all_pairs else [len(recordings) - 1]:
            rows += _rows(compared, recordings[: last + 1], settings.pairs, itself=not all_pairs)
        return _table(rows, recordings)


def _rows(compared: Engine, recordings: Sequence[Recording], pairs: str, itself: bool) -> list[dict]:
    """Compare the last recording with the others, and with itself."""
    *others, last = recordings
    all_layers, matrices = pairs == "all-layers", last.matrices.values()
    rows: list[dict] = []
    earlier: list[Matrix] = []
    for group in by_places(matrices) if all_layers else [[matrix] for matrix in matrices]:
        layers = [matrix.layer for matrix in group]
        theirs = [
            matrix
            for other in others
            for layer, matrix in other.matrices.items()
            if all_layers or layer in layers
        ]
        if itself:
            theirs += earlier
        of_group = compared.rows(group, theirs, itself, last.labels)
        if all_layers:
            earlier += group
        flagged = Counter(row["status"] for row in of_group if row["status"] != OK)
        log.info(
            "%s of round %d (seed %d), %d rows: recordings compared: %d%s",
            ", ".join(layers),
            last.round,
            last.seed,
            group[0].shape[0],
            len(others) + itself,
            "".join(f"; {status}: {count} values" for status, count in flagged.items()),
        )
        rows += of_group
    return rows


def _table(rows: list[dict], recordings: Sequence[Recording]) -> pa.Table:
    layers: dict[str, list[int]] = {}
    for recording in recordings:
        for name, matrix in recording.matrices.items():
            layers.setdefault(name, matrix.output)
    metadata = {"dataset": recordings[0].dataset, "layers": json.dumps(layers)}
    return pa.Table.from_pylist(rows, schema=COLUMNS.with_metadata(metadata))
