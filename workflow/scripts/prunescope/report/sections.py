"""The report of one experiment: its sections, from the first screen to what to cite."""

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import yaml

from prunescope import tables
from prunescope.errors import counted
from prunescope.findings.levels import compared_layers
from prunescope.findings.slices import PRUNED
from prunescope.report import (
    agreement,
    cards,
    differences,
    landscape,
    network_charts,
    page_tables,
    predictions,
    representations,
    weights,
)
from prunescope.report.base import ALL, Chart
from prunescope.report.experiment import Experiment
from prunescope.report.network_map import network_map, network_map_table
from prunescope.report.page import Card, Menu, Page, Section, measure_menu

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
OF_A_CONTROL = (
    "This experiment is a control. The report of the experiment that it controls compares the two, layer by "
    "layer."
)
NO_DIFFERENCE = (
    "This chart needs the control that retrains without pruning. Add an experiment with `control: retrain`, "
    "and run it together with this one."
)


def contents(experiment: Experiment, measures: dict[str, dict[str, str]], origin: dict[str, str]) -> Page:
    """Collect what the report of one experiment shows; its figures are drawn from the same charts.

    `measures` are from `prunescope.findings.labels.shown`; `origin` are further facts needed to reproduce the
    results: commit, digests.
    """
    findings, rounds, networks = experiment.findings, experiment.rounds, experiment.networks
    labels = {measure: facts["label"] for measure, facts in measures.items()}
    data, map_chart = _tables(experiment)
    in_levels = page_tables.series_of(findings["levels"])
    series = list(dict.fromkeys([*in_levels, *data["profile"]["series"]]))
    sections = [
        _first_screen(experiment, data, series),
        _representations(experiment, data, labels, map_chart),
        _weights(experiment, data, page_tables.not_pruned(networks)),
        _predictions(experiment, data),
        _landscape(experiment, data),
        *_agreement(experiment, data),
        *_training(data),
        Section("findings", "Findings in words", folded=(("Show all sentences", findings["text"]),)),
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
            links=(*PAPERS, *page_tables.references(measures)),
        ),
    ]
    by_round = findings["sentences_by_round"]
    return Page(
        experiment.name,
        experiment.settings["description"],
        _menus(experiment, labels),
        sections,
        data,
        facts=_facts(experiment),
        slider=Menu(
            "round",
            "Weights left" if rounds.by_weights else rounds.word.capitalize(),
            {str(round): rounds.text(round) for round in rounds.percents},
        ),
        sentences={round: texts["sentence"] for round, texts in by_round.items()},
        notes={round: texts["note"] for round, texts in by_round.items()},
        cards=_cards(experiment, data),
        legend=cards.legend(series),
        series=experiment.series,
    )


def commit() -> str:
    """Return this code's commit, with ``-dirty`` if files were changed; "not known" outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return "not known"
    command = [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return done.stdout.strip() or "not known"


def _tables(experiment: Experiment) -> tuple[dict[str, pd.DataFrame], tuple[Chart, ...]]:
    """Make the tables of the page that have rows, and the map of all networks, if there is one."""
    levels, behind = experiment.findings["levels"], experiment.tables
    matrices = {name: matrix for name, (matrix, _) in experiment.controls.items()}
    accuracies = {name: accuracy for name, (_, accuracy) in experiment.controls.items()}
    channels, classes = experiment.channels, experiment.classes
    networks_in_plane, map_chart = _map(experiment)
    data = page_tables.similarity_tables(
        experiment.similarity, matrices, experiment.untrained, experiment.failed, experiment.series
    ) | {
        "accuracy": page_tables.accuracy_table(experiment.accuracy, accuracies, experiment.series),
        "training": page_tables.training_table(experiment.training),
        "levels": cards.distances(levels, experiment.layer_distances),
        "differences": differences.differences(levels),
        "density": weights.density_table(tables.layer_densities(experiment.networks)),
        "dead": None if channels is None else weights.dead_channels_table(channels),
        "predictions": predictions.predictions_table(behind),
        "classes": None if classes is None else predictions.by_class(classes, experiment.accuracy),
        "lines": landscape.lines(behind),
        "progress": agreement.progress(levels),
        "map": networks_in_plane,
    }
    return {name: table for name, table in data.items() if table is not None and len(table)}, map_chart


def _map(experiment: Experiment) -> tuple[pd.DataFrame, tuple[Chart, ...]]:
    findings = experiment.findings
    which = (experiment.tables, findings["primary"])
    compared, _ = compared_layers(*which, experiment.layers, findings["least_accuracy"])
    if not compared:
        return pd.DataFrame(), ()
    table, share = network_map_table(*which, compared, findings["least_accuracy"])
    if not len(table):
        return table, ()
    return table, (network_map(table, share, experiment.rounds, findings["label"], len(experiment.seeds)),)


def _menus(experiment: Experiment, labels: dict[str, str]) -> list[Menu]:
    seeds = experiment.seeds
    every = {ALL: f"mean of {len(seeds)} seeds"} if len(seeds) > 1 else {}
    return [
        measure_menu(labels, experiment.measure),
        Menu("seed", "Seed", every | {str(seed): str(seed) for seed in seeds}),
    ]


def _facts(experiment: Experiment) -> list[str]:
    """Say what was studied, in a few words each."""
    names = list(dict.fromkeys(network["network"] for network in experiment.networks))
    network = f"{', '.join(names[:2])}{', …' if names[2:] else ''}"
    layers = counted(len(experiment.layers), "layer")
    return [counted(len(experiment.seeds), "seed"), f"{network}, {layers} recorded"]


def _cards(experiment: Experiment, data: dict[str, pd.DataFrame]) -> list[Card]:
    rows = data.get("levels", pd.DataFrame(columns=["level", "layer"]))
    charts = {
        level: cards.card(level, list(dict.fromkeys(part["series"])), experiment.rounds)
        for level, part in rows[rows["layer"] == ""].groupby("level")
    }
    return cards.cards(experiment.findings["levels"], charts)


def _first_screen(experiment: Experiment, data: dict[str, pd.DataFrame], series: list[str]) -> Section:
    levels = experiment.findings["levels"]
    layers = list(dict.fromkeys(data["differences"]["layer"])) if "differences" in data else []
    reason = NO_DIFFERENCE if levels["series"] == PRUNED else OF_A_CONTROL
    return Section(
        "layers",
        "Which layers changed",
        paragraphs=() if layers else (reason,),
        charts=(differences.difference(layers, experiment.findings["margin"]),) if layers else (),
        lead=True,
        aside=cards.reading(series, levels),
        aside_title="How to read this page",
    )


def _representations(
    experiment: Experiment,
    data: dict[str, pd.DataFrame],
    labels: dict[str, str],
    map_chart: tuple[Chart, ...],
) -> Section:
    profile, layers, rounds = data["profile"], experiment.layers, experiment.rounds
    colormap, label = experiment.colormap, labels[experiment.measure]
    columns = representations.CHANCE_COLUMNS
    levels = tuple(name for name, column in columns.items() if profile[column].notna().any())
    titles = representations.headlines(experiment, profile, labels)
    # Networks of the last round may have no layer in common with the dense network.
    none = f"{label}: no layer has a value {rounds.when(rounds.last)}"
    first = titles.get(f"{experiment.measure}|{experiment.first_seed}|{rounds.last}", none)
    lowest, dots = representations.axis_start(profile), experiment.dots
    charts = [
        representations.profile(
            layers, list(profile["series"].drop_duplicates()), first, titles, dots, levels, lowest
        ),
        representations.while_pruning(layers, rounds, dots, lowest, experiment.series),
        representations.to_dense(layers, rounds, colormap, series=experiment.series),
        *([representations.layer_pairs(layers, colormap)] if "pairs" in data else []),
        representations.between_rounds(rounds, colormap),
        *map_chart,
    ]
    return Section(
        "representations",
        "Representations",
        paragraphs=(representations.counts(experiment),),
        menus=(Menu("layer", "Layer", {layer: layer for layer in layers}),),
        charts=tuple(charts),
        folded=(representations.layer_table(experiment, profile, label),),
    )


def _weights(
    experiment: Experiment, data: dict[str, pd.DataFrame], not_pruned: tuple[tuple[str, pd.DataFrame], ...]
) -> Section:
    rounds, colormap = experiment.rounds, experiment.colormap
    charts, menus = [weights.density(data["density"], rounds, colormap)], []
    if "dead" in data:
        charts.append(weights.dead_channels(data["dead"], rounds, colormap))
        names = {key: text for key, text in weights.DEAD.items() if key in set(data["dead"]["dead"])}
        menus.append(Menu("dead", "Dead channels with", names))
    return Section("weights", "Weights", menus=tuple(menus), charts=tuple(charts), folded=not_pruned)


def _predictions(experiment: Experiment, data: dict[str, pd.DataFrame]) -> Section:
    rounds, dots = experiment.rounds, experiment.dots
    charts, folded = [], []
    if experiment.measured:
        series = [experiment.series, *experiment.controls]
        charts.append(network_charts.accuracy(series, data["accuracy"], rounds, dots))
    if "classes" in data:
        charts.append(predictions.classes(data["classes"], rounds, experiment.colormap))
    if "predictions" in data:
        table = data["predictions"]
        for name in predictions.PREDICTIONS:
            series = list(table.loc[table["prediction"] == name, "series"].unique())
            if series:
                charts.append(predictions.predictions(name, series, rounds, dots))
    if experiment.exemplars is not None:
        counts = predictions.exemplars(experiment.exemplars, list(rounds.percents))
        folded.append(("Test images whose most frequent prediction changes", counts))
    return Section("predictions", "Predictions", charts=tuple(charts), folded=tuple(folded))


def _landscape(experiment: Experiment, data: dict[str, pd.DataFrame]) -> Section:
    missing = experiment.findings["levels"]["landscape"]["missing"]
    if "lines" not in data:
        return Section("landscape", "Loss landscape", paragraphs=(missing,) if missing else ())
    return Section(
        "landscape",
        "Loss landscape",
        charts=(landscape.landscape(list(data["lines"]["series"].unique()), experiment.rounds),),
    )


def _agreement(experiment: Experiment, data: dict[str, pd.DataFrame]) -> list[Section]:
    if "progress" not in data:
        return []
    chart = agreement.agreement(list(data["progress"]["level"].unique()), experiment.rounds)
    table = agreement.correlations(experiment.findings["levels"], experiment.layer_distances)
    folded = (("Rank correlations between levels", table),)
    return [Section("agreement", "Agreement between levels", charts=(chart,), folded=folded)]


def _training(data: dict[str, pd.DataFrame]) -> list[Section]:
    if "training" not in data:
        return []
    curves = data["training"]
    metrics = {name: label for name, label in network_charts.METRICS.items() if name in set(curves["metric"])}
    menu = Menu("metric", "Metric", metrics)
    chart = network_charts.training(curves["round"].nunique())
    return [Section("training", "Training", menus=(menu,), charts=(chart,))]


def _reproduce(experiment: Experiment, provenance: pd.DataFrame) -> Section:
    settings = yaml.safe_dump(
        experiment.settings, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
    # A report shows the controls that are selected together with the experiment.
    selected = f"experiments=[{','.join(one.name for one in experiment.tables.values())}]"
    return Section(
        "reproduce",
        "Reproduce this",
        command=f"snakemake --cores 2 results/{experiment.name}/report.html --config {selected}",
        tables=(("Provenance", provenance),),
        folded=((f"config/experiments/{experiment.name}.yaml, with defaults filled in", settings),),
    )
