"""What a round is: a network, its training and its data; and the files that any round has."""

import logging
import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from prunescope import checkpoints, files, logits, provenance
from prunescope.checkpoints import Checkpoint
from prunescope.data.datasets import Prepared
from prunescope.networks.build import build
from prunescope.networks.masks import Masks, density
from prunescope.networks.preprocessing import Preprocessing, input_shape, preprocessing_of
from prunescope.settings.training import Forward, Training
from prunescope.training.data import Data, place_test

log = logging.getLogger("prunescope")


@dataclass(frozen=True)
class Round:
    """One round of one seed, and the device that computes it.

    Attributes
    ----------
    experiment : str
    seed, number : int
        Round 0 is the dense network.
    network : dict
        ``name`` and ``arguments``; ``more``, see `prunescope.networks.weights.initial`; and ``classes``, if
        it differs from the data set's.
    training : Training, or Forward for a network that is not trained
    dataset : Prepared
    device : torch.device
    state : path or None
        File that stores the unfinished training; None stores nothing.
    made_from : dict
        JSON-ready: digests of code and input files. Unfinished training is resumed only if they are
        unchanged.
    download : bool
        Whether missing trained weights may be downloaded.
    again : bool
        Whether it trains a round again, with another order of the images, other augmentation and dropout.
    """

    experiment: str
    seed: int
    number: int
    network: dict
    training: Training | Forward
    dataset: Prepared
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    state: Path | None = None
    made_from: dict = field(default_factory=dict)
    download: bool = True
    again: bool = False

    @property
    def order(self) -> int:
        """The seed of the order of the images, augmentation and dropout."""
        return provenance.derive_seed(self.seed, "sibling", self.number) if self.again else self.seed

    @property
    def expected(self) -> Preprocessing | None:
        """The preprocessing that the trained weights require, if the training uses it."""
        return preprocessing_of(self.network["name"]) if self.training.normalisation == "weights" else None

    @property
    def built(self) -> dict:
        """Arguments of `prunescope.networks.build.build`, without the seed."""
        resizing = self.expected and self.expected.resizing
        more = self.network.get("more", {}) | ({"resizing": resizing} if resizing else {})
        return {
            **self.network,
            "shape": list(input_shape(self.dataset.shape, resizing)),
            "classes": self.network.get("classes", len(self.dataset.classes)),
            **({"more": more} if more else {}),
        }


def untrained(round: Round) -> Checkpoint:
    """Return a network with newly drawn weights. Its accuracy is NaN: not measured."""
    network = build(**round.built, seed=provenance.derive_seed(round.seed, "initialisation"))
    data = place_test(round.dataset, round.training, round.device, round.expected)
    return checkpoint(round, network, data, {}, float("nan"))


def checkpoint(round: Round, network: nn.Module, data: Data, masks: Masks, accuracy: float) -> Checkpoint:
    """Return the checkpoint of a round's network; an `accuracy` of NaN means not measured."""
    return Checkpoint(
        experiment=round.experiment,
        seed=round.seed,
        round=round.number,
        network=round.built,
        mean=data.mean.tolist(),
        std=data.std.tolist(),
        weights=checkpoints.snapshot(network),
        masks=masks,
        density=density(masks),
        accuracy=accuracy,
        dataset=round.dataset.digest,
    )


def save(
    round: Round, checkpoint: Checkpoint, metrics: dict, outputs: Tensor, paths: Mapping[str, str]
) -> None:
    """Write the files of any round to the paths ``checkpoint``, ``metrics`` and ``predictions``.

    `outputs` are those of its network for the test images, (n, outputs).
    """
    checkpoints.save(paths["checkpoint"], checkpoint)
    files.write_json(paths["metrics"], metrics)
    logits.write(
        paths["predictions"],
        outputs.cpu().numpy(),
        round.dataset.test_labels,
        experiment=round.experiment,
        seed=round.seed,
        round=round.number,
        dataset=round.dataset.digest,
        classes=len(round.dataset.classes),
    )


def measured(round: Round, counts: dict, seconds: float) -> dict:
    """Return the entries of metrics.json for any network; `counts` is from `census`."""
    device = round.device
    on_gpu = device.type == "cuda"
    return {
        "experiment": round.experiment,
        "seed": round.seed,
        "round": round.number,
        "network": round.network["name"],
        "dataset": round.dataset.digest,
        **{key: value for key, value in counts.items() if key != "layers"},
        "seconds": seconds,
        "peak_memory_bytes": peak_memory(),
        "peak_device_memory_bytes": torch.cuda.max_memory_allocated(device) if on_gpu else None,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "precision": round.training.precision,
        "channels_last": round.training.channels_last,
        "environment": provenance.environment(),
        "layers": counts["layers"],
    }


def peak_memory() -> int:
    """Return the most memory this process has used, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
