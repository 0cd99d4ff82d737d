"""The figures of an experiment: their file names and titles. Planning imports them, and nothing heavy."""

import re
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Figure:
    """A figure: the chart of the page that it shows, its title, and menus whose options have one each."""

    chart: str
    title: str
    menus: tuple[str, ...] = ()


# One line for each figure. A chart that an experiment's page lacks has no figure.
FIGURES = (
    Figure("card-weights", "Weights: distance from the dense network"),
    Figure("card-predictions", "Predictions: distance from the dense network"),
    Figure("card-landscape", "Loss landscape: distance from the dense network"),
    Figure("card-representations", "Representations: distance from the dense network"),
    Figure("difference-representations", "Similarity to the dense network, pruned minus retrained"),
    Figure("map", "Map of all networks"),
    Figure("accuracy", "Test accuracy"),
    Figure("classes", "Test accuracy by class and round"),
    Figure("predictions-agreement", "Predictions that differ from those of the dense network"),
    Figure("lines", "Test error on the straight line to the dense network"),
    Figure("agreement", "Distances at each level as shares of the last"),
    Figure("density", "Weights left by layer and round"),
    Figure("dead", "Dead channels by layer and round"),
    Figure("profile", "Similarity to the dense network by layer, last round", ("measure",)),
    Figure("layers", "Similarity to the dense network while weights are removed", ("measure",)),
    Figure("dense", "Similarity to the dense network by layer and round", ("measure",)),
    Figure("pairs", "Similarity of all layers to all layers of the dense network", ("measure",)),
    Figure("rounds", "Similarity of a layer between rounds", ("measure", "layer")),
)


def file_name(*parts: str) -> str:
    """Join chart, measure and layer of a figure to its file name, without the suffix."""
    return re.sub(r"[^\w.-]", "_", "_".join(parts))


def labels(name: str, measures: dict[str, dict[str, str]], layers: list[str]) -> dict[str, str]:
    """Return the labels of a figure in `snakemake --report`, by its file name: title, measure and layer."""
    # Snakemake fills in wildcards and knows no escape: an invisible character makes {x} no wildcard.
    options = {
        "measure": {measure: facts["label"] for measure, facts in measures.items()},
        "layer": {layer: layer.replace("{", "{\u2060") for layer in layers},
    }
    for figure in FIGURES:
        for values in product(*(options[menu] for menu in figure.menus)):
            if file_name(figure.chart, *values) == name:
                chosen = zip(figure.menus, values, strict=True)
                return {"figure": figure.title, "measure": "", "layer": ""} | {
                    menu: options[menu][value] for menu, value in chosen
                }
    raise KeyError(name)
