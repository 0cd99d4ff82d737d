"""The results of an experiment, for use in a notebook."""

import warnings
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from prunescope import identity, tables, user_code
from prunescope.activations import store
from prunescope.errors import InputError, guess
from prunescope.files import read_parquet
from prunescope.findings import slices

if TYPE_CHECKING:
    from torch import nn


def load(path: str | Path) -> "Run":
    """Open the results of an experiment. Files are read only when they are used.

    Parameters
    ----------
    path : path
        Folder of the experiment, e.g. ``results/digits-lenet``.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        A `ValueError`, when there is no such folder, or it contains no results of an experiment.

    Examples
    --------
    >>> import prunescope as ps
    >>> run = ps.load("results/digits-lenet")
    >>> run.to_dense("cca").columns.tolist()
    ['relu1', 'relu2', 'relu3', 'relu4', 'output']
    """
    folder = Path(path)
    if not folder.is_dir():
        known = [other.name for other in folder.parent.glob("*/") if _is_run(other)]
        raise InputError(
            f"{folder}: no such folder{guess(folder.name, known)}; run the experiment, or give the path from "
            f"{Path.cwd()}"
        )
    if not _is_run(folder):
        raise InputError(
            f"{folder}: contains no results of an experiment; give the path of results/EXPERIMENT"
        )
    return Run(folder)


def _is_run(folder: Path) -> bool:
    return any(folder.glob("seed*/round*")) or (folder / "similarity.parquet").is_file()


class Run:
    """The results of one experiment, from `load`.

    Attributes
    ----------
    folder : pathlib.Path
    similarity : pandas.DataFrame
        The matrix: one row for each ordered pair of recorded layers and each measure. results/README.md
        explains the columns.
    accuracy : pandas.DataFrame
        One row for each network: density, accuracy, loss.
    predictions, exemplars, classes : pandas.DataFrame
        Pairs of networks by their predictions; images whose predictions pruning changes; accuracy by class.
    barriers : pandas.DataFrame
        With ``landscape`` in the experiment: loss and error along the lines between networks.
    weights : pandas.DataFrame
        Weights and masks compared: one row for each ordered pair of networks, each layer and each measure.

    Examples
    --------
    >>> import prunescope as ps
    >>> run = ps.load("results/digits-lenet")
    >>> run.accuracy.columns.tolist()[:4]
    ['seed', 'round', 'density', 'density_all']
    >>> run.activations(seed=0, round=1, layer="relu3").shape
    (360, 64)
    >>> type(run.network(seed=0, round=1)).__name__
    'Sequential'
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def __repr__(self) -> str:
        return f"prunescope.load({str(self.folder)!r})"

    similarity = cached_property(lambda self: self._table("similarity"))
    accuracy = cached_property(lambda self: self._table("accuracy"))
    predictions = cached_property(lambda self: self._table("predictions"))
    exemplars = cached_property(lambda self: self._table("exemplars"))
    classes = cached_property(lambda self: self._table("classes"))
    weights = cached_property(lambda self: self._table("weights"))
    barriers = cached_property(lambda self: self._table("barriers"))

    def _table(self, name: str) -> pd.DataFrame:
        return read_parquet(self._there(self.folder / f"{name}.parquet"))

    def channels(self) -> pd.DataFrame:
        """Return the channels of all networks: which have weights, a path, and an output that varies.

        Returns
        -------
        pandas.DataFrame
            One row for each channel of each layer of each network. results/README.md explains the columns.

        Raises
        ------
        InputError
            When the file is missing or damaged.
        """
        return self._table("channels")

    def network(self, seed: int = 0, round: int = 0) -> "nn.Module":
        """Return a network with its trained weights, in evaluation mode, on the CPU.

        Parameters
        ----------
        seed : int, default 0
        round : int, default 0
            0 is the dense network.

        Raises
        ------
        InputError
            When the experiment has no such network, or its checkpoint is missing or damaged.

        Warns
        -----
        UserWarning
            When the network is defined in a user's file that has changed since.
        """
        from prunescope import checkpoints, digests

        checkpoint = checkpoints.load(self._of_network(seed, round, "checkpoint.pt"))
        name, code = checkpoint.network["name"], checkpoint.network.get("more", {}).get("code")
        with user_code.used(self._code_folder()):
            if code is not None and digests.of_file("network", name) != code:
                warnings.warn(f"{name} has changed since this network was saved", stacklevel=2)
            return checkpoint.build()

    def activations(self, seed: int, round: int, layer: str) -> np.ndarray:
        """Return the activations of a layer for the recorded images.

        Parameters
        ----------
        seed, round : int
        layer : str
            Dotted name of a recorded module.

        Returns
        -------
        ndarray of float32 or float16, shape (n, p)
            Rows have the same order for all networks of the experiment.

        Raises
        ------
        InputError
            When the experiment has no such network or layer, or the file is missing or damaged.
        """
        with store.recordings([self._of_network(seed, round, "activations.h5")]) as (recording,):
            _check(layer, recording.matrices, "layer")
            return recording.matrices[layer][:]

    def to_dense(self, measure: str) -> pd.DataFrame:
        """Return the similarity of each layer to the same layer of its dense network.

        Parameters
        ----------
        measure : str

        Returns
        -------
        pandas.DataFrame
            Rows are (seed, round); columns are the layers of the dense network, in its order. Round 0 is the
            dense network itself. For NaN, ``status`` in the matrix gives the reason.
            ``to_dense(measure).groupby("round").mean()`` is the mean over seeds.

        Raises
        ------
        InputError
            When the matrix is missing or has no such measure.
        """
        rows = slices.to_dense(self._of_measure(measure))
        table = rows.pivot(index=["seed_a", "round_a"], columns="layer_a", values="value")
        # With pairs: all-layers, networks that were trained elsewhere need no layer in common.
        layers = [layer for layer in self._layers if layer in table]
        return table.rename_axis(["seed", "round"]).rename_axis(columns="layer")[layers]

    def matrix(self, measure: str, layer: str | None = None, seed: int | None = None) -> pd.DataFrame:
        """Return similarities as a square matrix.

        Parameters
        ----------
        measure : str
        layer : str, optional
            Compare this layer between networks. By default, all pairs of layers that the experiment compared.
        seed : int, optional
            Compare the networks of this seed. By default, all pairs of networks that the experiment compared.

        Returns
        -------
        pandas.DataFrame
            Rows (seed, round, layer) of network a and columns of network b, in the order of the network and
            without the levels given as arguments: ``matrix(measure, layer, seed)`` is round × round. NaN if
            two networks or layers were not compared, or for the reason that ``status`` in the matrix gives.

        Raises
        ------
        InputError
            When the matrix is missing or has no such measure, layer or seed.
        """
        rows, levels = self._of_measure(measure), ["seed", "round", "layer"]
        if layer is not None:
            _check(layer, self._layers, "layer")
            rows = slices.same_layer(rows[rows["layer_a"] == layer])
            levels.remove("layer")
        if seed is not None:
            _check(seed, sorted(rows["seed_a"].unique()), "seed")
            rows = slices.within_seeds(rows[rows["seed_a"] == seed])
            levels.remove("seed")
        a, b = ([f"{level}_{side}" for level in levels] for side in "ab")
        depth = {layer: number for number, layer in enumerate(self._layers)}
        compared = rows[a].drop_duplicates()
        compared = compared.sort_values(
            a, key=lambda column: column.map(depth) if column.name == "layer_a" else column
        )
        networks = compared.set_index(a).index
        square = rows.pivot(index=a, columns=b, values="value")
        return square.reindex(index=networks, columns=networks.set_names(b))

    @cached_property
    def _layers(self) -> list[str]:
        """Recorded layers in the order of the network."""
        return list(tables.layers(self._there(self.folder / "similarity.parquet")))

    def _of_measure(self, measure: str) -> pd.DataFrame:
        _check(measure, slices.measures(self.similarity), "measure")
        return slices.of_measure(self.similarity, measure)

    def _of_network(self, seed: int, round: int, name: str) -> Path:
        """Return the path of a file of one network; another experiment may share it."""
        path = self.folder / f"seed{seed}/round{round}/{name}"
        if round == 0 and not path.exists():
            path = self._shared(seed, name)
        if not path.exists():
            folders = [folder.parts[-2:] for folder in self.folder.glob("seed*/round*")]
            networks = sorted((int(a.removeprefix("seed")), int(b.removeprefix("round"))) for a, b in folders)
            _check(seed, dict(networks), "seed")
            _check(round, {0, *(number for of_seed, number in networks if of_seed == seed)}, "round")
        return self._there(path)

    def _shared(self, seed: int, name: str) -> Path:
        """Return the path of a file of round 0 in the folder of the experiment that owns it.

        The configuration determines that experiment; without a configuration, it is this one.
        """
        from prunescope.plan import sharing
        from prunescope.settings.load import configuration_of, load_lineage

        folder = self.folder.absolute()
        project = folder.parents[1]
        try:
            with user_code.used(self._code_folder()):
                lineage = load_lineage(folder.name, configuration_of(project)["catalogue"])
        except InputError:
            return self.folder / f"seed{seed}/round0/{name}"
        return project / sharing.network_file(lineage, seed, 0, name)

    def _code_folder(self) -> Path:
        """Return the folder of the user's code, from the configuration next to results/."""
        from prunescope.settings.load import configuration_of

        project = self.folder.absolute().parents[1]
        try:
            return project / configuration_of(project)["code_folder"]
        except InputError:
            return project

    def _there(self, path: Path) -> Path:
        if not path.exists():
            raise InputError(f"{path}: does not exist yet; finish running the experiment")
        identity.check(path)
        return path


def _check(value: str | int, known: Iterable, what: str) -> None:
    if value not in known:
        there = ", ".join(map(str, known))
        raise InputError(
            f"{what} = {value!r}: not in these results{guess(str(value), known)}; available: {there}"
        )
