"""Unfinished training: its progress, and the file from which it resumes after a kill."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from prunescope import checkpoints, files
from prunescope.errors import InputError

log = logging.getLogger("prunescope")


@dataclass
class Progress:
    """Progress of a training run, without the states of the network and the optimiser.

    Attributes
    ----------
    step : int
        Completed steps of the schedule.
    losses : Tensor of float32, shape (steps per epoch,)
        Loss of each step of this epoch, on the device: keeping them there avoids waiting for the device.
    correct : Tensor of int64
        Training images of this epoch that were classified correctly.
    seconds : float
        Time spent on training in this epoch.
    history : list of dict
        One entry per finished epoch, the columns of training.csv.
    evaluation_seconds : float
        Time spent on evaluating test and validation images, in all epochs.
    rewind : dict of str to Tensor or None
        The weights at the requested step.
    measured : dict of str to float
        Loss and accuracy on test and validation images, after the last finished epoch.
    logits : Tensor of float32, shape (n, classes), or None
        Of the test images, after the last epoch.
    """

    step: int
    losses: Tensor
    correct: Tensor
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)
    evaluation_seconds: float = 0.0
    rewind: dict[str, Tensor] | None = None
    measured: dict[str, float] = field(default_factory=dict)
    logits: Tensor | None = None


@dataclass(frozen=True)
class State:
    """Where unfinished training is stored.

    Attributes
    ----------
    path : path
        A hidden file next to the outputs. It is not an output, so Snakemake keeps it when it removes the
        outputs of a killed job.
    digest : str
        Identifies the job; the state of any other job is ignored.
    every : float, default 300
        Seconds between saves within an epoch; the end of each epoch is always saved.
    """

    path: Path
    digest: str
    every: float = 300.0

    def load(self, network: nn.Module, optimizer, progress: Progress) -> None:
        """Resume where this job was stopped, if it was."""
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

    def save(self, network: nn.Module, optimizer, progress: Progress) -> None:
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
        """Remove the state when the job is done."""
        files.discard(self.path)
