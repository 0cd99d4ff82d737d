"""Compare folders of activations that were recorded elsewhere, without torch."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from prunescope.activations import folder
from prunescope.errors import InputError
from prunescope.settings import base
from prunescope.settings.similarity import Similarity
from prunescope.similarity.matrix import compare_round


def compare_folders(
    paths: Sequence[str | Path],
    measures: Sequence[str] | None = None,
    *,
    pairs: str = "same-layer",
    variance: float = 0.99,
):
    """Compare every pair of folders of activations, layer by layer.

    Values are computed as for activations that the workflow records.

    Parameters
    ----------
    paths : sequence of path
        Folders of matrices with an id for each row, see `prunescope.activations.folder`. The columns
        ``round_a`` and ``round_b`` of the result are positions in this sequence, from 0.
    measures : sequence of str, optional
        Names of measures; by default, the default measures of experiments.
    pairs : str, default "same-layer"
        ``same-layer``, or ``all-layers``: layers with different numbers of rows get the status ``other
        positions``.
    variance : float, default 0.99
        Fraction of the variance that the principal components of SVCCA keep.

    Returns
    -------
    pandas.DataFrame
        As similarity.parquet, see results/README.md: both orders of every pair, and each folder with itself.
        The density is NaN.

    Raises
    ------
    InputError
        When a folder cannot be read, the row ids do not correspond, or a measure is unknown.
    """
    if not paths:
        raise InputError("compare_folders: no folders; give at least one")
    folders = [folder.read(path) for path in paths]
    folder.check_correspondence(folders)
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch, f"{round}.h5") for round in range(len(folders))]
        for round, (foreign, file) in enumerate(zip(folders, files, strict=True)):
            folder.bring(replace(foreign, ids=folders[0].ids), file, round)
        values = {"variance": variance, "pairs": pairs} | ({"measures": list(measures)} if measures else {})
        settings = base.load(Similarity, values, "compare_folders")
        rows = [compare_round(files[: last + 1], settings) for last in range(len(files))]
        return pa.concat_tables(rows).to_pandas().drop(columns="spectrum")
