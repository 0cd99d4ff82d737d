"""Unfinished trainings: what they have done so far, and where it is kept so that a killed one continues."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from prunescope import checkpoints, files
from prunescope.errors import InputError
from prunescope.training.optimizers import Optimizer

log = logging.getLogger("prunescope")


@dataclass
class Progress:
    """What a training has done so far, besides changing the network and its optimiser.

    Attributes
    ----------
    step : int
        Steps of the schedule done.
    losses : Tensor of float32, shape (steps per epoch,)
        Loss of each step of this epoch, on the device: summing them there avoids waiting for it.
    correct : Tensor of int64
        Training images of this epoch that were classified correctly.
    seconds : float
        Spent on training in this epoch.
    history : list of dict
        One entry per finished epoch, the columns of training.csv.
    evaluation_seconds : float
        Spent on measuring test and validation images, in all epochs.
    rewind : dict of str to Tensor or None
        The weights at the step that was asked for.
    """

    step: int
    losses: Tensor
    correct: Tensor
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)
    evaluation_seconds: float = 0.0
    rewind: dict[str, Tensor] | None = None


@dataclass(frozen=True)
class State:
    """Where an unfinished training is kept.

    Attributes
    ----------
    path : path
        A hidden file beside the outputs, no output itself: what clears up after a killed job leaves it.
    digest : str
        Names the job; a state of any other job is ignored.
    every : float, default 300
        Seconds between saves within an epoch; each epoch's end is saved anyway.
    """

    path: Path
    digest: str
    every: float = 300.0

    def load(self, network: nn.Module, optimizer: Optimizer, progress: Progress) -> None:
        """Continue where this job was stopped, if it was."""
        try:
            content = checkpoints.read(self.path, "training state")
        except InputError:
            return
        if content.get("digest") != self.digest:
            return
        network.load_state_dict(content["weights"])
        optimizer.load_state(content["optimizer"])
        device = progress.losses.device
        for name, value in content["progress"].items():
            setattr(progress, name, value.to(device) if isinstance(value, Tensor) else value)
        torch.set_rng_state(content["random"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(content["random_cuda"], device)
        log.info("resuming after step %d", progress.step)

    def save(self, network: nn.Module, optimizer: Optimizer, progress: Progress) -> None:
        """Write weights, optimiser, progress and random state, atomically."""
        device = progress.losses.device
        content = {
            "digest": self.digest,
            "weights": network.state_dict(),
            "optimizer": optimizer.state,
            "progress": vars(progress),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }
        checkpoints.write(self.path, content)

    def discard(self) -> None:
        """Remove the state: the job is done."""
        files.discard(self.path)
