"""Activation files → rows of the similarity matrix."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from prunescope.activations import store
from prunescope.activations.store import Matrix, Recording
from prunescope.errors import InputError
from prunescope.settings.similarity import Similarity
from prunescope.similarity.measures import OK, Measure, load
from prunescope.similarity.pairs import LEVELS, Pair, compare, not_comparable
from prunescope.similarity.passes import Own, engine

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
    with store.recordings(paths) as recordings, _comparison(settings, threads, device) as this:
        check_correspondence(recordings, settings.pairs)
        this = replace(this, same_units=same_units)
        return _table(this.rows(recordings[-1], recordings[:-1], itself=True), recordings)


def compare_seeds(
    paths: Sequence[str | Path], settings: Similarity, threads: int = 1, device: str = "cpu"
) -> pa.Table:
    """Compare the same round of different seeds, all pairs of them.

    Parameters, result and errors are those of `compare_round`, with one file for each seed.
    """
    with store.recordings(paths) as recordings, _comparison(settings, threads, device) as this:
        check_correspondence(recordings, settings.pairs)
        rows = []
        for i in range(1, len(recordings)):
            rows += this.rows(recordings[i], recordings[:i], itself=False)
        return _table(rows, recordings)


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
    with store.recordings(paths) as recordings, _comparison(settings, threads, device) as this:
        check_correspondence(recordings, settings.pairs)
        ours, again = recordings
        rows = this.rows(again, [ours], itself=False)
        table = _table(rows, recordings)
    # Of each pair, `rows` has both orders, first with the last recording as a.
    names = experiments[::-1]
    for place, side in enumerate("ab"):
        column = [names[(place + row) % 2] for row in range(len(rows))]
        table = table.add_column(place, f"experiment_{side}", pa.array(column, pa.string()))
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


@dataclass(frozen=True)
class _Comparison:
    """A way to compare: `run` is a `map` that may use several threads; `own` is from `passes.engine`."""

    measures: list[Measure]
    pairs: str
    run: Callable
    own: Callable[..., Own]
    same_units: bool = True

    def rows(self, recording: Recording, others: Sequence[Recording], itself: bool) -> list[dict]:
        """Compare one recording with others, and with itself."""
        mine, every = list(recording.matrices.values()), self.pairs == "all-layers"
        rows: list[dict] = []
        seen: list[Matrix] = []
        for key in dict.fromkeys(matrix.places if every else matrix.layer for matrix in mine):
            own = [matrix for matrix in mine if key == (matrix.places if every else matrix.layer)]
            names, places = [matrix.layer for matrix in own], own[0].places
            theirs = [
                matrix
                for other in others
                for name, matrix in other.matrices.items()
                if every or name in names
            ]
            fitting = [other for other in theirs if other.places == places]
            found = list(self._of_group(own, fitting, itself, recording.labels))
            apart = [other for other in theirs if other.places != places]
            apart += seen if itself and every else []
            seen += own
            found += [row for matrix in own for other in apart for row in self._rows(matrix, other)]
            few = Counter(row["status"] for row in found if row["status"] != OK)
            log.info(
                "%s of round %d (seed %d), %d rows: recordings compared: %d%s",
                ", ".join(names),
                recording.round,
                recording.seed,
                own[0].shape[0],
                len(others) + itself,
                "".join(f"; {status}: {count} values" for status, count in few.items()),
            )
            rows += found
        return rows

    def _of_group(
        self, matrices: list[Matrix], others: list[Matrix], itself: bool, labels: np.ndarray | None
    ) -> Iterator[dict]:
        positions = matrices[0].rows_per_image
        own = self.own(matrices, positions=positions, labels=labels)

        def within(places: tuple[int, int]) -> list[dict]:
            i, j = places
            return self._rows(matrices[i], matrices[j], own.pair(i, j))

        def between(other: Matrix, pairs: Iterator[Pair]) -> list[dict]:
            found = []
            for matrix, pair in zip(matrices, pairs, strict=True):
                found += self._rows(matrix, other, pair)
            return found

        if itself:
            for rows in self.run(within, [(i, j) for i in range(len(matrices)) for j in range(i + 1)]):
                yield from rows
        for rows in own.against(others, between):
            yield from rows

    def _rows(self, a: Matrix, b: Matrix, pair: Pair | None = None) -> list[dict]:
        """Return the rows of a pair, in both orders; without a pair, its rows do not correspond."""
        rows = []
        if pair:
            # Rounds of a lineage keep the order of units, which masks do not change.
            same = (a.seed, a.layer, a.width) == (b.seed, b.layer, b.width)
            pair = replace(pair, aligned=same and (self.same_units or a.round == b.round))
        for score in compare(pair, self.measures) if pair else map(not_comparable, self.measures):
            common = {
                "measure": score.measure,
                "low": score.low,
                "high": score.high,
                "n": pair.n if pair else 0,
                "images": pair.a.moments.images if pair else 0,
                "status": score.status,
                "spectrum": score.spectrum,
            }
            first, second = _side(a, score.rank_a), _side(b, score.rank_b)
            numbers = {key: getattr(score, key) for key in ("value", *LEVELS)}
            rows.append(common | _named(first, "a") | _named(second, "b") | numbers)
            if a is not b:
                numbers = {key: getattr(score, f"reverse_{key}") for key in LEVELS} | {"value": score.reverse}
                rows.append(common | _named(second, "a") | _named(first, "b") | numbers)
        return rows


@contextmanager
def _comparison(settings: Similarity, threads: int, device: str) -> Iterator[_Comparison]:
    measures = [load(name) for name in sorted(settings.measures)]
    with engine(measures, settings.variance, threads, settings.intervals, device) as own:
        yield _Comparison(measures, settings.pairs, own.keywords["run"], own)


def _side(matrix: Matrix, rank: int) -> dict:
    return {
        "seed": matrix.seed,
        "round": matrix.round,
        "layer": matrix.layer,
        "density": matrix.density,
        "width": matrix.width,
        "rank": rank,
    }


def _named(side: dict, which: str) -> dict:
    return {f"{key}_{which}": value for key, value in side.items()}


def _table(rows: list[dict], recordings: Sequence[Recording]) -> pa.Table:
    layers: dict[str, list[int]] = {}
    for recording in recordings:
        layers |= {name: m.output for name, m in recording.matrices.items() if name not in layers}
    metadata = {"dataset": recordings[0].dataset, "layers": json.dumps(layers)}
    return pa.Table.from_pylist(rows, schema=COLUMNS.with_metadata(metadata))
