"""Round 0, the dense network; and what every trained round shares: unfinished training, results, files."""

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from prunescope import checkpoints, files
from prunescope.checkpoints import Checkpoint
from prunescope.errors import InputError, out_of_memory
from prunescope.networks import weights
from prunescope.networks.masks import Masks, census
from prunescope.provenance import derive_seed
from prunescope.pruning import rounds
from prunescope.pruning.rounds import Round
from prunescope.training.data import Data, place, steps_per_epoch
from prunescope.training.loop import COLUMNS, Task, train
from prunescope.training.resume import Progress, State

log = logging.getLogger("prunescope")


@dataclass(frozen=True)
class Outcome:
    """The result of a round.

    Attributes
    ----------
    checkpoint : Checkpoint
    history : list of dict
        One entry per epoch, the columns of training.csv; none if nothing was trained.
    metrics : dict
        JSON-ready, see docs/training.md.
    logits : Tensor of float32, shape (n, classes)
        Of the test images, from the evaluation that gave the accuracy.
    rewind : tuple of (int, dict) or None
        For round 0: the requested step, and the weights at that step.
    state : State or None
        State of the training; to be discarded when all files have been written.
    """

    checkpoint: Checkpoint
    history: list[dict]
    metrics: dict
    logits: Tensor
    rewind: tuple[int, dict[str, Tensor]] | None
    state: State | None


def train_dense(round: Round, rewind_epoch: int = 0, rewind_step: int | None = None) -> Outcome:
    """Train the dense network: round 0.

    The weights after an epoch (0 means before the first one), or of a step (batch) instead, are kept for
    rewinding.
    """
    started = time.monotonic()
    state = unfinished(round, rewind={"epoch": rewind_epoch, "step": rewind_step})
    network, masks = initial(round)
    with enough_memory(round.device, round.training.batch_size):
        data = place(round.dataset, round.training, round.device, round.expected)
        rewind = rewind_epoch * steps_per_epoch(data, round.training) if rewind_step is None else rewind_step
        task = Task(seed=round.order, round=0, masks=masks, rewind=rewind)
        trained = train(network, data, round.training, task, state)
    return outcome(round, network, data, task, trained, state, started)


def initial(round: Round) -> tuple[nn.Module, Masks]:
    """Return the network that round 0 starts from, and masks if it has given weights that are sparse."""
    network = weights.initial(round.built, derive_seed(round.seed, "initialisation"), round.download)
    if "weights" not in round.network.get("more", {}):
        return network, {}
    return network, weights.zeros(network, trained_further=True)


def state_beside(checkpoint: str | Path) -> Path:
    """Return the path of an unfinished training: a hidden file next to its checkpoint."""
    return Path(checkpoint).with_name(".training-state.pt")


def unfinished(round: Round, **more) -> State | None:
    """Return the state of a round's training; `more` has further values that identify the training."""
    if round.state is None:
        return None
    identity = {
        "network": round.built,
        "training": round.training.plain(),
        "seed": round.seed,
        "order": round.order,
        "round": round.number,
        "dataset": round.dataset.digest,
        **round.made_from,
        **more,
        # What affects the bits of training on one machine besides settings and seed.
        "device": round.device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return State(round.state, digest)


@contextmanager
def enough_memory(device: torch.device, batch_size: int) -> Iterator[None]:
    """Convert an out-of-memory error to a one-line message that says what to change."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise InputError(
            f"training.batch_size: {batch_size} needs more memory than device {device} has; use a "
            "smaller batch or network, or `precision: bfloat16` (finished rounds and epochs are kept)"
        ) from None


def outcome(
    round: Round,
    network: nn.Module,
    data: Data,
    task: Task,
    trained: Progress,
    state: State | None,
    started: float,
) -> Outcome:
    """Return the result of a round that began at `started`, by the monotonic clock."""
    checkpoint = rounds.checkpoint(round, network, data, task.masks, trained.measured["test_accuracy"])
    counts = census(network, task.masks, round.built["shape"])
    if counts["unpruned"]:
        text = ", ".join(f"{name} {part['share']:.1%}" for name, part in counts["unpruned"].items())
        log.info("not pruned, of all parameters: %s", text)
    metrics = _of_training(trained) | rounds.measured(round, counts, time.monotonic() - started)
    rewind = None if task.rewind is None else (task.rewind, trained.rewind)
    return Outcome(checkpoint, trained.history, metrics, trained.logits, rewind, state)


def save(round: Round, outcome: Outcome, paths: Mapping[str, str]) -> None:
    """Write a round's files, of round 0 also ``rewind``, and remove its unfinished training."""
    rounds.save(round, outcome.checkpoint, outcome.metrics, outcome.logits, paths)
    if outcome.rewind is not None:
        checkpoints.save_rewind(paths["rewind"], *outcome.rewind)
    files.write_csv(paths["training"], outcome.history, COLUMNS)
    if outcome.state:
        outcome.state.discard()


def _of_training(trained: Progress) -> dict:
    """Return the entries of metrics.json about training."""
    last = trained.history[-1] if trained.history else {}
    seconds = sum(entry["seconds"] for entry in trained.history)
    images = sum(entry["seconds"] * entry["images_per_second"] for entry in trained.history)
    return {
        **{
            f"{split}_{metric}": (last | trained.measured).get(f"{split}_{metric}")
            for split in ("train", "validation", "test")
            for metric in ("loss", "accuracy")
        },
        "epochs": len(trained.history),
        "steps": trained.step,
        "training_seconds": seconds,
        "evaluation_seconds": trained.evaluation_seconds,
        "images_per_second": images / seconds if seconds else None,
    }
