"""The levels in the report of an experiment: cards, layers, and a section for each level."""

from functools import cached_property

import pandas as pd

from prunescope.findings import levels as findings_levels
from prunescope.findings.slices import PRUNED
from prunescope.report import (
    cards,
    landscape,
    level_charts,
    level_tables,
    network_map,
    page_tables,
    predictions,
    weights,
)
from prunescope.report.base import Chart
from prunescope.report.page import Card, Menu, Section


class Levels:
    """The charts of an experiment's levels and their tables, as far as the experiment has them.

    Parameters
    ----------
    experiment : prunescope.report.experiment.Experiment
    densities : pandas.DataFrame
        Table of the page, from `prunescope.report.weights.density_table`.
    """

    def __init__(self, experiment, densities: pd.DataFrame):
        self.experiment = experiment
        self.found = experiment.findings["levels"]
        self.densities = densities
        self.rounds = experiment.rounds

    @cached_property
    def layers(self) -> pd.DataFrame:
        """The distances of single layers."""
        one = self.experiment
        found = one.findings
        return findings_levels.layer_distances(
            one.tables, found["primary"], one.layers, found["least_accuracy"], one.untrained
        )

    @cached_property
    def map(self) -> tuple[pd.DataFrame, float]:
        """All networks in a plane, and the share of squared distances that it keeps."""
        one = self.experiment
        compared, _ = findings_levels.compared_layers(
            one.tables, one.findings["primary"], one.layers, one.findings["least_accuracy"]
        )
        if not compared:
            return pd.DataFrame(), 0.0
        return network_map.network_map_table(
            one.tables, one.findings["primary"], compared, one.findings["least_accuracy"]
        )

    @cached_property
    def data(self) -> dict[str, pd.DataFrame]:
        """Tables of the page that have rows."""
        one = self.experiment
        own = next(iter(one.tables.values()))
        found = {
            "levels": level_tables.cards(self.found, self.layers),
            "differences": level_tables.differences(self.found),
            "density": self.densities,
            "dead": weights.dead_channels_table(one.channels) if one.channels is not None else None,
            "predictions": predictions.predictions_table(one.tables),
            "classes": predictions.by_class(one.classes, own) if one.classes is not None else None,
            "lines": landscape.lines(one.tables),
            "progress": level_tables.progress(self.found),
            "map": self.map[0],
        }
        return {name: table for name, table in found.items() if table is not None and len(table)}

    @property
    def cards(self) -> list[Card]:
        """The cards of the first screen."""
        rows = self.data.get("levels", pd.DataFrame(columns=["level", "layer"]))
        charts = {
            level: level_charts.card(level, list(dict.fromkeys(part["series"])), self.rounds)
            for level, part in rows[rows["layer"] == ""].groupby("level")
        }
        return cards.cards(self.found, charts)

    def lead(self, series: list[str]) -> Section:
        """Return the section on the first screen: which layers changed, and how to read the page."""
        rows = self.data.get("differences", pd.DataFrame(columns=["level", "layer"]))
        rows = rows[rows["level"] == "representations"]
        charts = ()
        if len(rows):
            layers = list(dict.fromkeys(rows["layer"]))
            margin = self.experiment.findings["margin"]
            charts = (level_charts.difference(layers, self.rounds, margin),)
        return Section(
            "layers",
            "Which layers changed",
            paragraphs=()
            if charts
            else (_NO_DIFFERENCE if self.found["series"] == PRUNED else _OF_A_CONTROL,),
            charts=charts,
            lead=True,
            aside=cards.reading(series, self.found),
            aside_title="How to read this page",
        )

    @property
    def map_chart(self) -> tuple[Chart, ...]:
        """The map of all networks, or nothing."""
        if "map" not in self.data:
            return ()
        return (
            network_map.network_map(
                *self.map, self.rounds, self.experiment.findings["label"], len(self.experiment.seeds)
            ),
        )

    def weights(self, not_pruned: tuple[tuple[str, pd.DataFrame], ...]) -> Section:
        """Return the section on weights."""
        data, rounds, colors = self.data, self.rounds, self.experiment.colormap
        charts = [weights.density(data["density"], rounds, colors)]
        menus = []
        if "dead" in data:
            charts.append(weights.dead_channels(data["dead"], rounds, colors))
            names = {key: text for key, text in weights.DEAD.items() if key in set(data["dead"]["dead"])}
            menus.append(Menu("dead", "Dead channels with", names))
        return Section("weights", "Weights", menus=tuple(menus), charts=tuple(charts), folded=not_pruned)

    def predictions(self, accuracy: tuple[Chart, ...]) -> Section:
        """Return the section on predictions, with the chart of the test accuracy if there is one."""
        one, data = self.experiment, self.data
        charts, folded = list(accuracy), []
        if "classes" in data:
            charts.append(predictions.classes(data["classes"], self.rounds, one.colormap))
        if "predictions" in data:
            rows = data["predictions"]
            for name in predictions.PREDICTIONS:
                series = list(dict.fromkeys(rows.loc[rows["prediction"] == name, "series"]))
                if series:
                    charts.append(predictions.predictions(name, series, self.rounds, one.dots))
        if one.exemplars is not None:
            folded.append(
                (
                    "Test images whose most frequent prediction changes",
                    predictions.exemplars(one.exemplars, list(self.rounds.percents)),
                )
            )
        return Section("predictions", "Predictions", charts=tuple(charts), folded=tuple(folded))

    def landscape(self) -> Section:
        """Return the section on the loss landscape."""
        missing = self.found["landscape"]["missing"]
        if "lines" not in self.data:
            return Section("landscape", "Loss landscape", paragraphs=(missing,) if missing else ())
        series = list(dict.fromkeys(self.data["lines"]["series"]))
        return Section(
            "landscape",
            "Loss landscape",
            charts=(landscape.landscape(series, self.rounds),),
            folded=(("Barriers of the test error", landscape.barriers(self.found)),),
        )

    def agreement(self) -> list[Section]:
        """Return the section on the agreement between levels, if any level moved."""
        if "progress" not in self.data:
            return []
        names = list(dict.fromkeys(self.data["progress"]["level"]))
        return [
            Section(
                "agreement",
                "Agreement between levels",
                charts=(level_charts.agreement(names, self.rounds),),
                folded=(
                    (
                        "Rank correlations between levels",
                        level_tables.correlations(self.found, self.layers),
                    ),
                ),
            )
        ]

    @property
    def series(self) -> list[str]:
        """Names of the series that any level has."""
        return page_tables.series_of(self.found)


_OF_A_CONTROL = (
    "This experiment is a control. The report of the experiment that it controls compares the two, layer by "
    "layer."
)
_NO_DIFFERENCE = (
    "This chart needs the control that retrains without pruning. Add an experiment with `control: retrain`, "
    "and run it together with this one."
)
