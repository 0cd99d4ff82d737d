"""The interactive report of one experiment."""

import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd
import yaml

from prunescope import tables
from prunescope.files import read_parquet
from prunescope.findings import slices
from prunescope.findings.levels import Tables, collected
from prunescope.report import cards, network_charts, page_tables, similarity_charts, summary, weights
from prunescope.report.base import ALL, Chart
from prunescope.report.level_sections import Levels
from prunescope.report.page import Menu, Page, Section, render
from prunescope.report.palette import FEW_SEEDS
from prunescope.report.rounds import Rounds

PAPERS = (
    (
        "A. Ansuini, E. Medvet, F. A. Pellegrino, M. Zullich: On the Similarity between Hidden Layers of "
        "Pruned and Unpruned Convolutional Neural Networks. ICPRAM 2020.",
        "https://doi.org/10.5220/0008960300520059",
    ),
    (
        "A. Ansuini, E. Medvet, F. A. Pellegrino, M. Zullich: Investigating Similarity Metrics for "
        "Convolutional Neural Networks in the Case of Unstructured Pruning. "
        "Lecture Notes in Computer Science, Springer.",
        None,
    ),
)


@dataclass(frozen=True)
class Experiment:
    """The data of an experiment that pages show.

    Attributes
    ----------
    name : str
    settings : dict
        All its settings.
    layers : list of str
        Recorded layers in the order of the network.
    similarity, accuracy : pandas.DataFrame
        Its matrix and accuracy table.
    findings : dict
        From `prunescope.findings.verdicts.conclude`.
    controls : dict of str to (pandas.DataFrame, pandas.DataFrame)
        Matrix and accuracy table of each control, by its series (`slices.series`).
    untrained : pandas.DataFrame or None
        Rows of the same columns that compare untrained networks of different seeds.
    tables : dict of str to prunescope.findings.levels.Tables
        Behind the levels, by series: first its own, then those of its controls and siblings. Its own page
        needs them, the overview does not.
    channels, classes, exemplars : pandas.DataFrame or None
        Files of the same names.
    """

    name: str
    settings: dict
    layers: list[str]
    similarity: pd.DataFrame
    accuracy: pd.DataFrame
    findings: dict
    controls: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=dict)
    untrained: pd.DataFrame | None = None
    tables: dict[str, Tables] = field(default_factory=dict)
    channels: pd.DataFrame | None = None
    classes: pd.DataFrame | None = None
    exemplars: pd.DataFrame | None = None

    @classmethod
    def read(cls, name: str, files, params) -> "Experiment":
        """Read an experiment from the files of a job; its findings are empty.

        Parameters
        ----------
        name : str
        files, params
            ``snakemake.input`` and ``snakemake.params`` of the rules `write_report` and `draw_figures`.
        """
        similarity, accuracy = read_parquet(files.similarity), read_parquet(files.accuracy)
        matrices, accuracies = map(read_parquet, files.controls), map(read_parquet, files.control_accuracies)
        controls = dict(
            zip(map(slices.series, params.controls), zip(matrices, accuracies, strict=True), strict=True)
        )
        untrained = next(map(read_parquet, files.untrained), None)
        found = {(Path(path).parent.name, Path(path).stem): read_parquet(path) for path in files.levels}
        found |= {(name, "similarity"): similarity, (name, "accuracy"): accuracy}
        series = {slices.series(params.experiment.get("control", "none")): name}
        for kind, other in params.controls.items():
            series[slices.series(kind)] = other
            found[other, "similarity"], found[other, "accuracy"] = controls[slices.series(kind)]
        series |= {slices.series(kind): other for kind, other in params.siblings.items()}
        return cls(
            name,
            params.experiment,
            list(tables.layers(files.similarity)),
            similarity,
            accuracy,
            {},
            controls,
            untrained,
            collected(series, found),
            *map(read_parquet, (files.channels, files.classes, files.exemplars)),
        )

    @cached_property
    def rounds(self) -> Rounds:
        """Its rounds: their names, and their positions in charts."""
        return Rounds.of(self.accuracy, self.settings.get("models"))

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


def experiment_page(*given, **named) -> str:
    """Return the report of one experiment as HTML; it takes the arguments of `contents`."""
    return render(contents(*given, **named))


def contents(
    experiment: Experiment,
    networks: list[dict],
    training: pd.DataFrame,
    measures: dict[str, dict[str, str]],
    origin: dict[str, str],
) -> Page:
    """Collect what the report of one experiment shows; its figures are drawn from the same charts.

    Parameters
    ----------
    experiment : Experiment
    networks : list of dict
        Its networks' metrics.json.
    training : pandas.DataFrame
        From `prunescope.tables.training_curves`.
    measures : dict of str to dict
        From `prunescope.findings.labels.shown`: ``label``, ``reference`` and, if any, ``url`` by measure.
    origin : dict of str to str
        Further facts needed to reproduce the results: commit, digests.

    Returns
    -------
    Page
    """
    levels = Levels(experiment, weights.density_table(tables.layer_densities(networks)))
    matrices = {name: matrix for name, (matrix, _) in experiment.controls.items()}
    accuracies = {name: accuracy for name, (_, accuracy) in experiment.controls.items()}
    data = page_tables.similarity_tables(
        experiment.similarity, matrices, experiment.untrained, experiment.failed, experiment.series
    ) | {
        "accuracy": page_tables.accuracy_table(experiment.accuracy, accuracies, experiment.series),
    }
    if len(training):
        data["training"] = page_tables.training_table(training)
    labels = {measure: facts["label"] for measure, facts in measures.items()}
    found, rounds = experiment.findings, experiment.rounds
    data |= levels.data
    series = list(dict.fromkeys([*levels.series, *data["profile"]["series"]]))
    accuracy = (_accuracy(experiment, data["accuracy"]),) if experiment.measured else ()
    sections = [
        levels.lead(series),
        _representations(experiment, data, labels, levels.map_chart),
        levels.weights(page_tables.not_pruned(networks)),
        levels.predictions(accuracy),
        levels.landscape(),
        *levels.agreement(),
        *([_training(data["training"])] if "training" in data else []),
        Section("findings", "Findings in words", details=(("Show all sentences", found["text"]),)),
        Section(
            "settings",
            "Networks and settings",
            folded=(
                page_tables.about_networks(networks, experiment.settings.get("models")),
                ("All settings", page_tables.flat(experiment.settings)),
            ),
        ),
        _reproduce(experiment, page_tables.provenance(networks, origin)),
        Section(
            "cite",
            "How to cite",
            paragraphs=("If you use these results, please cite:",),
            links=(*PAPERS, *dict.fromkeys(_source(facts) for facts in measures.values())),
        ),
    ]
    return Page(
        experiment.name,
        experiment.settings["description"],
        _menus(experiment, labels),
        sections,
        data,
        facts=_facts(experiment, networks),
        slider=Menu(
            "round",
            "Weights left" if rounds.by_weights else rounds.word.capitalize(),
            {str(round): rounds.text(round) for round in rounds.percents},
        ),
        sentences={round: one["sentence"] for round, one in found["sentences_by_round"].items()},
        notes={round: one["note"] for round, one in found["sentences_by_round"].items()},
        cards=levels.cards,
        legend=cards.legend(series),
        own=experiment.series,
    )


def measure_menu(labels: dict[str, str], primary: str) -> Menu:
    """Make the menu of the measures of a page: the primary one, then the others in alphabetical order."""
    names = [primary, *sorted(set(labels) - {primary})]
    return Menu("measure", "Measure", {name: labels[name] for name in names if name in labels})


def _menus(experiment: Experiment, labels: dict[str, str]) -> list[Menu]:
    seeds = experiment.seeds
    every = {ALL: f"mean of {len(seeds)} seeds"} if len(seeds) > 1 else {}
    return [
        measure_menu(labels, experiment.measure),
        Menu("seed", "Seed", every | {str(seed): str(seed) for seed in seeds}),
    ]


def _facts(experiment: Experiment, networks: list[dict]) -> list[str]:
    """Say what was studied, in a few words each."""
    counted = [(len(experiment.seeds), "seed"), (len(experiment.layers), "layer")]
    seeds, layers = (f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counted)
    names = list(dict.fromkeys(network["network"] for network in networks))
    return [seeds, f"{', '.join(names[:2])}{', …' if names[2:] else ''}, {layers} recorded"]


def _representations(
    experiment: Experiment,
    data: dict[str, pd.DataFrame],
    labels: dict[str, str],
    map_chart: tuple[Chart, ...],
) -> Section:
    profile, layers, rounds = data["profile"], experiment.layers, experiment.rounds
    titles = summary.headlines(experiment, profile, labels)
    series, own = list(profile["series"].drop_duplicates()), experiment.series
    columns = {similarity_charts.CHANCE: "chance", similarity_charts.CLASSES: "chance_classes"}
    levels = tuple(name for name, column in columns.items() if profile[column].notna().any())
    seed = ALL if len(experiment.seeds) > 1 else str(experiment.seeds[0])
    # Networks of the last round may have no layer in common with the dense network.
    none = f"{labels[experiment.measure]}: no layer has a value {rounds.when(rounds.last)}"
    first = titles.get(f"{experiment.measure}|{seed}|{rounds.last}", none)
    lowest = similarity_charts.axis_start(profile)
    charts = [
        similarity_charts.profile(layers, series, first, titles, experiment.dots, levels, lowest),
        similarity_charts.while_pruning(layers, rounds, experiment.dots, lowest, own),
        similarity_charts.to_dense(layers, rounds, experiment.colormap, own=own),
        *([similarity_charts.layer_pairs(layers, experiment.colormap)] if "pairs" in data else []),
        similarity_charts.between_rounds(rounds, experiment.colormap),
        *map_chart,
    ]
    return Section(
        "representations",
        "Representations",
        paragraphs=(summary.counts(experiment),),
        menus=(Menu("layer", "Layer", {layer: layer for layer in layers}),),
        charts=tuple(charts),
        folded=(summary.layer_table(experiment, profile, labels[experiment.measure]),),
    )


def _accuracy(experiment: Experiment, accuracies: pd.DataFrame) -> Chart:
    names = [experiment.series, *experiment.controls]
    return network_charts.accuracy(names, accuracies, experiment.rounds, experiment.dots)


def _training(curves: pd.DataFrame) -> Section:
    metrics = {name: label for name, label in network_charts.METRICS.items() if name in set(curves["metric"])}
    return Section(
        "training",
        "Training",
        menus=(Menu("metric", "Metric", metrics),),
        charts=(network_charts.training(curves["round"].nunique()),),
    )


def _reproduce(experiment: Experiment, provenance: pd.DataFrame) -> Section:
    settings = yaml.safe_dump(
        experiment.settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
    return Section(
        "reproduce",
        "Reproduce this",
        command=f"snakemake --cores 2 results/{experiment.name}/report.html",
        tables=(("Provenance", provenance),),
        texts=((f"config/experiments/{experiment.name}.yaml, with defaults filled in", settings),),
    )


def _source(facts: dict[str, str]) -> tuple[str, str | None]:
    return facts["reference"], facts.get("url")


def commit() -> str:
    """Return this code's commit, with ``-dirty`` if files were changed; "not known" outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return "not known"
    command = [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return done.stdout.strip() or "not known"
