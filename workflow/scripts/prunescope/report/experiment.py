"""The interactive report of one experiment."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from prunescope import tables
from prunescope.findings import slices
from prunescope.report import network_charts, page_tables, similarity_charts
from prunescope.report.base import ALL
from prunescope.report.page import Menu, Section, render

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
    """What pages show of an experiment.

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
    """

    name: str
    settings: dict
    layers: list[str]
    similarity: pd.DataFrame
    accuracy: pd.DataFrame
    findings: dict

    @property
    def percents(self) -> dict[int, str]:
        """Weights remaining in percent, as text by round: mean over seeds."""
        densities = self.accuracy.groupby("round")["density"].mean()
        return {round: f"{100 * density:.3g}" for round, density in densities.items()}

    @property
    def colormap(self) -> str:
        """Vega's name of the heatmaps' colour scheme."""
        return self.settings["figures"]["colormap"].lower()


def experiment_page(
    experiment: Experiment,
    networks: list[dict],
    training: pd.DataFrame,
    measures: dict[str, dict[str, str]],
    origin: dict[str, str],
) -> str:
    """Make the report of one experiment.

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
        What else is needed to reproduce the results: commit, digests.

    Returns
    -------
    str
        HTML. The same arguments give the same text.
    """
    densities = tables.layer_densities(networks)
    data = page_tables.similarity_tables(experiment.similarity) | {
        "accuracy": page_tables.in_percent(experiment.accuracy),
        "density": page_tables.in_percent(densities),
        "training": page_tables.measured(training),
    }
    seeds = sorted(experiment.accuracy["seed"].unique())
    every = {ALL: f"mean of {len(seeds)} seeds"} if len(seeds) > 1 else {}
    menus = [
        measure_menu(measures),
        Menu("seed", "Seed", every | {str(seed): str(seed) for seed in seeds}),
    ]
    sections = [
        Section("findings", "Findings", tuple(experiment.findings["text"])),
        _to_dense(experiment, measures, len(seeds)),
        _by_layer(experiment, "pairs" in data),
        _between_rounds(experiment),
        _accuracy_and_density(experiment, densities),
        _training(data["training"]),
        Section(
            "settings",
            "Networks and settings",
            tables=(page_tables.about_networks(networks),),
            folded=(("All settings", page_tables.flat(experiment.settings)),),
        ),
        _reproduce(experiment, page_tables.provenance(networks, origin)),
        Section(
            "cite",
            "How to cite",
            paragraphs=("If you use these results, please cite:",),
            links=(*PAPERS, *dict.fromkeys(_source(facts) for facts in measures.values())),
        ),
    ]
    return render(experiment.name, experiment.settings["description"], menus, sections, data)


def measure_menu(measures: dict[str, dict[str, str]]) -> Menu:
    """Make the menu of the measures of a page, in alphabetical order of their names."""
    return Menu("measure", "Measure", {name: measures[name]["label"] for name in sorted(measures)})


def _to_dense(experiment: Experiment, measures: dict[str, dict[str, str]], seeds: int) -> Section:
    layers, percents = experiment.layers, experiment.percents
    mean = ", mean over seeds" if seeds > 1 else ""
    return Section(
        "dense",
        "Similarity to the dense network",
        charts=(
            similarity_charts.to_dense(layers, percents, experiment.colormap),
            similarity_charts.while_pruning(layers, percents),
        ),
        folded=tuple(
            (
                f"{measures[measure]['label']} to the dense network{mean}",
                page_tables.values_to_dense(experiment.similarity, measure, layers),
            )
            for measure in slices.measures(experiment.similarity)
        ),
    )


def _by_layer(experiment: Experiment, pairs: bool) -> Section:
    charts = [similarity_charts.by_layer(experiment.layers)]
    if pairs:
        charts.append(similarity_charts.layer_pairs(experiment.layers, experiment.colormap))
    percents = experiment.percents
    rounds = {str(round): f"{round} ({percents[round]} % of weights)" for round in reversed(percents)}
    return Section(
        "profile",
        "Similarity by layer",
        menus=(Menu("round", "Round", rounds),),
        charts=tuple(charts),
    )


def _between_rounds(experiment: Experiment) -> Section:
    return Section(
        "rounds",
        "Similarity between rounds",
        menus=(Menu("layer", "Layer", {layer: layer for layer in experiment.layers}),),
        charts=(similarity_charts.between_rounds(len(experiment.percents), experiment.colormap),),
    )


def _accuracy_and_density(experiment: Experiment, densities: pd.DataFrame) -> Section:
    prunable, above_zero = list(dict.fromkeys(densities["layer"])), bool((densities["density"] > 0).all())
    return Section(
        "networks",
        "Accuracy and density",
        charts=(
            network_charts.accuracy(experiment.percents),
            network_charts.density(prunable, experiment.percents, above_zero),
        ),
    )


def _training(curves: pd.DataFrame) -> Section:
    metrics = {name: label for name, label in network_charts.METRICS.items() if name in curves}
    return Section(
        "training",
        "Training",
        menus=(Menu("metric", "Metric", metrics),),
        charts=(network_charts.training(),),
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
    """Name this code's commit, with ``-dirty`` when files were changed; "not known" outside a checkout."""
    git = shutil.which("git")
    if git is None:
        return "not known"
    command = [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    return done.stdout.strip() or "not known"
