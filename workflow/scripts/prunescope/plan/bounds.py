"""Generous bounds on a job's memory and time, from sizes that are known before it runs.

They are what a cluster is asked for, and what Snakemake schedules by. `sizes` are from
`prunescope.plan.sizes.describe`.
"""

from dataclasses import dataclass
from math import prod

from prunescope import kinds
from prunescope.activations import views
from prunescope.data.images import IN_MEMORY
from prunescope.plan import stages
from prunescope.settings.activations import Activations
from prunescope.settings.landscape import ESTIMATED
from prunescope.similarity import memory
from prunescope.similarity.measures import described

# What importing torch (with CUDA's libraries) needs before any work is done, and what the rest needs, in MB.
TORCH_MB, PYTHON_MB = 2000, 500
# Multiply–accumulate operations that a slow core does in a second.
SLOW = 2e9


def megabytes(numbers: float, bytes_each: int = 4) -> int:
    """Return the size of this many numbers."""
    return int(numbers * bytes_each / 1e6) + 1


@dataclass(frozen=True)
class Size:
    """Size of one layer's matrix in an activation file.

    It has rows, images behind the rows, units of the layer, and stored columns: fewer than the units if it is
    rotated.
    """

    rows: int
    images: int
    units: int
    columns: int

    @property
    def rotated(self) -> bool:
        """Whether a rotation of the units is stored."""
        return self.columns != self.units


def matrices(experiment: dict, sizes: dict) -> dict[str, Size]:
    """Return the size of each recorded layer's matrix."""
    activations = Activations(**experiment["activations"])
    view = kinds.load("view", activations.view)
    images = stages.images(experiment, sizes["dataset"]["test"])
    by_layer = {}
    for name, shape in sizes["network"]["shapes"].items():
        _, positions = views.sample(activations.view, shape, activations.sampled)
        rows = images * len(positions)
        by_layer[name] = Size(rows, images, view.units(shape), view.stored(shape, images))
    return by_layer


def images_per_line(experiment: dict, sizes: dict) -> int:
    """Return how many images pass through networks for one line."""
    available, landscape = sizes["dataset"]["train"], experiment["landscape"]
    used = trained_on(experiment, sizes) if landscape["split"] == "train" else sizes["dataset"]["test"]
    if sizes["network"]["batch_norm"] and available:
        used = 2 * used + min(ESTIMATED, trained_on(experiment, sizes))
    return landscape["points"] * used


def trained_on(experiment: dict, sizes: dict) -> int:
    """Return the number of training images that an experiment uses."""
    training = experiment["training"]
    return training["examples"] or sizes["dataset"]["train"] - training["validation"]


def training_minutes(experiment: dict, sizes: dict) -> int:
    """Three passes over each image in each epoch, and one over the test images, on a slow core."""
    images = experiment["training"]["examples"] or sizes["dataset"]["train"]
    passes = experiment["training"]["epochs"] * images + sizes["dataset"]["test"]
    return 30 + int(3 * passes * sizes["network"]["macs"] / SLOW / 60)


def import_minutes(experiment: dict, sizes: dict) -> int:
    """One pass over the test images on a slow core."""
    return 10 + int(3 * sizes["dataset"]["test"] * sizes["network"]["macs"] / SLOW / 60)


def training_mb(experiment: dict, sizes: dict) -> int:
    """Images, a batch of activations with gradients, logits, and the network, its gradients and copies."""
    images = sizes["dataset"]["train"] + sizes["dataset"]["test"]
    scored = kinds.find("criterion", experiment["pruning"]["criterion"]).facts.get("images", 0)
    batch = 4 * max(experiment["training"]["batch_size"], scored) * sizes["network"]["floats"]
    pixels = megabytes(2 * min(images * prod(sizes["dataset"]["shape"]), IN_MEMORY), 1)
    logits = 3 * sizes["dataset"]["test"] * sizes["dataset"]["classes"]
    numbers = batch + logits + 20 * sizes["network"]["parameters"]
    return TORCH_MB + pixels + megabytes(numbers)


def recording_mb(experiment: dict, sizes: dict) -> int:
    """One batch of activations, and the widest layer that is rotated, in float64."""
    batch = 2 * experiment["activations"]["batch_size"] * sizes["network"]["floats"]
    layers = matrices(experiment, sizes).values()
    rotated = max((layer.rows * layer.units for layer in layers if layer.rotated), default=0)
    return TORCH_MB + megabytes(batch) + megabytes(rotated, 16)


def landscape_mb(experiment: dict, sizes: dict) -> int:
    """What training needs, and the losses and errors of all images at each point of a line, twice."""
    if not experiment["landscape"]:
        return training_mb(experiment, sizes)
    images = max(sizes["dataset"]["test"], trained_on(experiment, sizes))
    return training_mb(experiment, sizes) + megabytes(4 * experiment["landscape"]["points"] * images, 8)


def landscape_minutes(experiment: dict, sizes: dict) -> int:
    """All lines of one network on a slow core."""
    if not experiment["landscape"]:
        return 10
    lines = 2 + len(experiment["seeds"])
    images = lines * images_per_line(experiment, sizes)
    return 10 + int(3 * images * sizes["network"]["macs"] / SLOW / 60)


def predictions_mb(experiment: dict, sizes: dict) -> int:
    """Four times 2²⁴ probabilities, and what each network predicts for all images."""
    # A control has networks of two experiments.
    networks = 2 * (experiment["rounds"] + 1) * len(experiment["seeds"])
    return PYTHON_MB + megabytes(4 * 2**24 + 3 * networks * sizes["dataset"]["test"], 8)


def weights_mb(experiment: dict, sizes: dict) -> int:
    """One network and its outputs for two images; blocks of the others, which are mapped; the tables."""
    network = 4 * sizes["network"]["parameters"] + 8 * sizes["network"]["floats"]
    return TORCH_MB + PYTHON_MB + megabytes(network)


def comparison_mb(experiment: dict, sizes: dict) -> int:
    """The bound of docs/similarity.md, and the interpreter's own memory."""
    layers = matrices(experiment, sizes).values()
    similarity = experiment["similarity"]
    peak = memory.peak_bytes(
        [layer.columns for layer in layers],
        max(experiment["rounds"] + 1, len(experiment["seeds"])),
        similarity["threads"],
        similarity["pairs"],
        [layer.rows // layer.images for layer in layers],
        similarity["intervals"],
        any(described(name).needs == "rows" for name in similarity["measures"]),
        max((layer.images for layer in layers), default=0),
    )
    return (TORCH_MB if similarity["gpu"] else PYTHON_MB) + megabytes(peak, 1)
