"""The data of one experiment that pages and figures show."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from prunescope import tables
from prunescope.files import read_json, read_parquet
from prunescope.findings import levels, slices
from prunescope.findings.levels import Tables
from prunescope.report.base import ALL
from prunescope.report.palette import FEW_SEEDS
from prunescope.report.rounds import Rounds


@dataclass(frozen=True)
class Experiment:
    """The data of an experiment that pages show."""

    name: str
    # All its settings.
    settings: dict
    # Recorded layers in the order of the network.
    layers: list[str]
    similarity: pd.DataFrame
    accuracy: pd.DataFrame
    # From `prunescope.findings.verdicts.conclude`.
    findings: dict
    # Rows of the matrix that compare untrained networks of different seeds.
    untrained: pd.DataFrame | None = None
    # Behind the levels, by series: first its own, then those of its controls and siblings. Its own page needs
    # them, the overview does not.
    tables: dict[str, Tables] = field(default_factory=dict)
    # Files of the same names.
    channels: pd.DataFrame | None = None
    classes: pd.DataFrame | None = None
    exemplars: pd.DataFrame | None = None
    # metrics.json of each network, and their training curves (`prunescope.tables.training_curves`).
    networks: list[dict] = field(default_factory=list)
    training: pd.DataFrame = field(default_factory=pd.DataFrame)

    @classmethod
    def read(cls, name: str, files, params) -> "Experiment":
        """Read an experiment from ``snakemake.input`` and ``snakemake.params``; its findings are empty."""
        paths = [files.similarity, *files.tables]
        read = {(Path(path).parent.name, Path(path).stem): read_parquet(path) for path in paths}
        networks = [read_json(path) for path in files.metrics]
        kinds = {params.experiment.get("control", "none"): name, **params.controls}
        return cls(
            name,
            params.experiment,
            list(tables.layers(files.similarity)),
            read[name, "similarity"],
            read[name, "accuracy"],
            {},
            next(map(read_parquet, files.untrained), None),
            levels.collected({slices.series(kind): other for kind, other in kinds.items()}, read),
            *(read[name, table] for table in ("channels", "classes", "exemplars")),
            networks,
            tables.training_curves(networks, files.training),
        )

    @property
    def controls(self) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
        """Matrix and accuracy table of each control except siblings, by its series."""
        return {
            series: (one.similarity, one.accuracy)
            for series, one in list(self.tables.items())[1:]
            if not one.again
        }

    @cached_property
    def rounds(self) -> Rounds:
        """Its rounds: their names, and their positions in charts."""
        return Rounds.of(self.accuracy, self.settings.get("models"))

    @cached_property
    def layer_distances(self) -> pd.DataFrame:
        """How far each layer moved from the dense network."""
        distances = levels.distances(
            self.tables,
            self.findings["primary"],
            self.layers,
            self.findings["least_accuracy"],
            self.untrained,
        )
        return distances[distances["layer"] != ""]

    @property
    def series(self) -> str:
        """The name of its networks on its own page: ``pruned``, or that of the control that it is."""
        return slices.series(self.settings.get("control", "none"))

    @property
    def measured(self) -> bool:
        """Whether the accuracy of its networks was measured."""
        return bool(self.accuracy["test_accuracy"].notna().any())

    @property
    def colormap(self) -> str:
        """Vega's name of the heatmaps' colour scheme."""
        return self.settings["figures"]["colormap"].lower()

    @property
    def seeds(self) -> list[int]:
        """Its seeds, in order."""
        return self.findings["seeds"]

    @property
    def first_seed(self) -> str:
        """What pages show first, as in the column `seed` of their tables: all seeds, or the only one."""
        return ALL if len(self.seeds) > 1 else str(self.seeds[0])

    @property
    def measure(self) -> str:
        """The measure that pages show first: that of the verdicts, or the first by name."""
        return self.findings["primary"] or self.similarity["measure"].min()

    @property
    def failed(self) -> dict[str, list[list[int]]]:
        """Its networks that do not classify, and those of its controls, by series."""
        return {self.series: self.findings["failed"]} | self.findings["failed_controls"]

    @property
    def dots(self) -> bool:
        """Whether charts draw each seed: there are several, but few."""
        return 1 < len(self.seeds) <= FEW_SEEDS
