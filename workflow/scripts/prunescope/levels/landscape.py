"""Loss and error along the line between two networks, and the barrier between them.

The networks on the line have the weights α·W_a + (1 − α)·W_b and the loss (or error) E(α). The barrier is

    max E(α) − ½ (E(0) + E(1)),

as in J. Frankle, G. K. Dziugaite, D. Roy, M. Carbin: Linear Mode Connectivity and the Lottery Ticket
Hypothesis. ICML 2020. It is never below half the difference between the two ends.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunescope import checkpoints
from prunescope.checkpoints import Checkpoint
from prunescope.data.datasets import Prepared
from prunescope.levels.pairs import NOT_FINITE, OK, OTHER_CLASSES, Network, named
from prunescope.networks import modules
from prunescope.provenance import derive_seed
from prunescope.settings.landscape import ESTIMATED, LineSettings
from prunescope.settings.training import Forward
from prunescope.training.data import Data, Split, chosen_images, place_test
from prunescope.training.evaluate import forward, predict, reproducible, score

log = logging.getLogger("prunescope")
METRICS = ("loss", "error")
# What becomes of the statistics of batch norm on the line; none without batch norm.
INTERPOLATED, RE_ESTIMATED, NONE = "interpolated", "re-estimated", "none"
# Training images of a batch from which these statistics are estimated.
BATCH = 125
# A status: why there is no value.
OTHER_NETWORK = "other network"


@dataclass(frozen=True)
class Images:
    """What networks are measured on.

    Attributes
    ----------
    data : Data
    measured : Split
        The images whose loss and error are measured.
    estimated : Tensor of uint8, shape (N, H, W, C)
        The training images from which statistics of batch norm are estimated; empty if there are none.
    settings : Forward
    """

    data: Data
    measured: Split
    estimated: Tensor
    settings: Forward


@dataclass(frozen=True)
class Curve:
    """One metric along a line.

    Attributes
    ----------
    values : ndarray of float64, shape (points,)
        E(α) for α from 0 to 1; NaN where outputs of the network are NaN or infinite.
    images : ndarray of float64, shape (points, n)
        The same for each image.
    """

    values: np.ndarray
    images: np.ndarray

    @property
    def errors(self) -> np.ndarray:
        """Standard errors of the values, over images."""
        return _standard_error(self.images)

    @property
    def barrier(self) -> tuple[float, float]:
        """The barrier and its standard error over images, for the α of the maximum."""
        top = int(self.values.argmax())  # where a value is NaN, if one is
        height = self.values[top] - (self.values[0] + self.values[-1]) / 2
        return height, float(_standard_error(self.images[top] - (self.images[0] + self.images[-1]) / 2))


def _standard_error(images: np.ndarray) -> np.ndarray:
    n = images.shape[-1]
    return images.std(axis=-1) / math.sqrt(n - 1) if n > 1 else np.full(images.shape[:-1], math.nan)


# The curves of a line, by the treatment of batch norm and by metric.
Curves = dict[str, dict[str, Curve]]


def measure_lines(
    networks: Sequence[Network],
    paths: Sequence[str | Path],
    dataset: Prepared,
    settings: LineSettings,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Measure the lines from one network to others.

    Parameters
    ----------
    networks : sequence of Network
        The first one is that from which all lines start.
    paths : sequence of path
        Their checkpoints.
    dataset : Prepared
        The data set on which they were trained.
    settings : LineSettings
    device : torch.device

    Returns
    -------
    pandas.DataFrame
        The columns of barriers.parquet, see results/README.md; each line in both directions.

    Raises
    ------
    InputError
        When a checkpoint is missing or damaged.
    """
    first, *others = networks
    start = checkpoints.load(paths[0])
    images = images_for(start, dataset, settings, torch.device(device))
    tables = []
    for other, path in zip(others, paths[1:], strict=True):
        end = checkpoints.load(path)
        status = obstacle(start, end, len(dataset.classes))
        curves = no_line(settings.points) if status else line(start, end, images, settings.points)
        tables.append(rows(first, other, curves, settings, status or NOT_FINITE))
        log.info("%s seed %d round %d: %s", *other, status or _heights(curves))
    return pd.concat(tables, ignore_index=True)


def _heights(curves: Curves) -> str:
    return "; ".join(
        f"batch norm {name}: "
        + ", ".join(f"{metric} {curve.barrier[0]:.4f}" for metric, curve in by_metric.items())
        for name, by_metric in curves.items()
    )


def obstacle(a: Checkpoint, b: Checkpoint, classes: int) -> str:
    """Return why nothing can be measured between two networks, as a status; empty if it can."""
    keys = ("name", "arguments", "shape", "classes")
    first, second = ([*(one.network[key] for key in keys), one.resizing, one.mean, one.std] for one in (a, b))
    if first != second:
        return OTHER_NETWORK
    return OTHER_CLASSES if a.network["classes"] != classes else ""


def images_for(
    network: Checkpoint, dataset: Prepared, settings: LineSettings, device: torch.device
) -> Images:
    """Put the images of a line on a device, scaled as a network requires."""
    trained, _ = chosen_images(len(dataset.train_labels), settings.examples, settings.validation)
    # In random order: batches of one class would have other statistics.
    generator = torch.Generator().manual_seed(derive_seed(0, "batch norm"))
    order = torch.randperm(len(trained), generator=generator)[:ESTIMATED]
    scaled = Forward(
        normalisation={"mean": network.mean, "std": network.std},
        precision=settings.precision,
        channels_last=settings.channels_last,
    )
    if settings.split == "train":
        data = place_test(dataset, scaled, device, chosen=trained)
        measured, estimated = data.train, data.train.images[order]
    else:
        data = place_test(dataset, scaled, device, chosen=trained[order])
        measured, estimated = data.test, data.train.images[:]
    return Images(replace(data, resizing=network.resizing), measured, estimated, scaled)


def line(a: Checkpoint, b: Checkpoint, images: Images, points: int) -> Curves:
    """Measure networks on the line from b to a."""
    device, scaled = images.measured.labels.device, images.settings
    reproducible(device)
    layout = torch.channels_last if scaled.channels_last else torch.contiguous_format
    network = a.build().to(device, memory_format=layout)
    normalised = bool(modules.batch_norms(network))
    names = [INTERPOLATED if normalised else NONE]
    names += [RE_ESTIMATED] if normalised and len(images.estimated) else []
    measured = {name: [] for name in names}
    for alpha in np.linspace(0, 1, points).tolist():
        network.load_state_dict(between(a, b, alpha))
        for name in names:
            if name == RE_ESTIMATED:
                estimate_batch_norm(network, images)
            measured[name].append(measure(network, images))
    return {name: {metric: _curve(points, metric) for metric in METRICS} for name, points in measured.items()}


def _curve(points: list[dict], metric: str) -> Curve:
    values, images = zip(*(point[metric] for point in points), strict=True)
    return Curve(np.array(values), np.array(images))


def no_line(points: int) -> Curves:
    """Return the curves of a line on which nothing can be measured."""
    curve = Curve(np.full(points, math.nan), np.empty((points, 0)))
    return {NONE: dict.fromkeys(METRICS, curve)}


def between(a: Checkpoint, b: Checkpoint, alpha: float) -> dict:
    """Return the state α·a + (1 − α)·b; integers and what is no tensor come from the nearer network."""
    nearer = a if alpha >= 0.5 else b
    return {
        # Exact at both ends and where both values are equal, so that pruned weights stay zero.
        name: torch.lerp(b.weights[name], value, alpha)
        if isinstance(value, Tensor) and value.is_floating_point()
        else nearer.weights[name]
        for name, value in a.weights.items()
    }


@torch.no_grad()
def estimate_batch_norm(network: nn.Module, images: Images) -> None:
    """Estimate the statistics of batch norm again, in place: means over batches of their means and variances.

    All other modules stay in evaluation mode.
    """
    network.eval()
    for norm in modules.batch_norms(network):
        norm.reset_running_stats()
        norm.momentum = None  # all batches have the same weight
        norm.train()
    for batch in images.estimated.tensor_split(math.ceil(len(images.estimated) / BATCH)):
        forward(network, batch.permute(0, 3, 1, 2), images.data, images.settings)
    network.eval()


def measure(network: nn.Module, images: Images) -> dict[str, tuple[float, np.ndarray]]:
    """Return the mean loss and error of a network, each with its values for single images."""
    labels = images.measured.labels
    logits = predict(network, images.measured, images.data, images.settings)
    if not logits.isfinite().all():
        return dict.fromkeys(METRICS, (math.nan, np.full(len(labels), math.nan)))
    loss, accuracy = score(logits, labels)
    losses, wrong = F.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) != labels
    return {
        "loss": (loss, losses.double().cpu().numpy()),
        "error": (1 - accuracy, wrong.double().cpu().numpy()),
    }


def rows(
    a: Network, b: Network, curves: Curves, settings: LineSettings, missing: str = NOT_FINITE
) -> pd.DataFrame:
    """Return the rows of a line in both directions; `missing` is the status where there is no value."""
    tables = []
    for pair, step in (((a, b), 1), ((b, a), -1)):
        for name, metric in [(name, metric) for name in curves for metric in METRICS]:
            curve = curves[name][metric]
            height, error = curve.barrier
            values = [*curve.values[::step], height]
            columns = {
                "batch_norm": name,
                "split": settings.split,
                "metric": metric,
                "alpha": [*np.linspace(0, 1, settings.points), math.nan],
                "value": values,
                "se": [*curve.errors[::step], error],
                "n": curve.images.shape[1],
                "status": [missing if math.isnan(value) else OK for value in values],
            }
            tables.append(named([pair] * len(values), columns))
    return pd.concat(tables)
