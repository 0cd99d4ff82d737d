"""Round 0, the dense network; and what every trained round shares: unfinished training, results, files."""

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from prunescope import checkpoints, files
from prunescope.checkpoints import Checkpoint
from prunescope.networks.inspect import census
from prunescope.pruning.rounds import Round, checkpoint, measured, save_predictions
from prunescope.training.data import Data, place, steps_per_epoch
from prunescope.training.execution import enough_memory, execution
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


def train_dense(this: Round, rewind_epoch: int = 0, rewind_step: int | None = None) -> Outcome:
    """Train the dense network: round 0.

    Parameters
    ----------
    this : Round
    rewind_epoch : int, default 0
        Epoch whose weights are kept for rewinding; 0 means before the first epoch.
    rewind_step : int, optional
        Step (batch) whose weights are kept instead.
    """
    started = time.monotonic()
    state = unfinished(this, rewind={"epoch": rewind_epoch, "step": rewind_step})
    network, masks = this.initial()
    with enough_memory(this.device, this.training.batch_size):
        data = place(this.dataset, this.training, this.device, this.expected)
        rewind = rewind_epoch * steps_per_epoch(data, this.training) if rewind_step is None else rewind_step
        task = Task(this.order, 0, masks, rewind=rewind)
        trained = train(network, data, this.training, task, state)
    return outcome(this, network, data, task, trained, state, started)


def state_beside(checkpoint: str | Path) -> Path:
    """Return the path of an unfinished training: a hidden file next to its checkpoint."""
    return Path(checkpoint).with_name(".training-state.pt")


def unfinished(this: Round, **more) -> State | None:
    """Return the state of a round's training; `more` has further values that identify the training."""
    if this.state is None:
        return None
    identity = {
        "network": this.built,
        "training": this.training.plain(),
        "seed": this.seed,
        "order": this.order,
        "round": this.number,
        "dataset": this.dataset.digest,
        **this.made_from,
        **more,
        **execution(this.device),
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return State(this.state, digest)


def outcome(
    this: Round,
    network: nn.Module,
    data: Data,
    task: Task,
    trained: Progress,
    state: State | None,
    started: float,
) -> Outcome:
    """Return the result of a round that began at `started`, by the monotonic clock."""
    made = checkpoint(this, network, data, task.masks, trained.measured["test_accuracy"])
    counts = census(network, task.masks, this.built["shape"])
    if counts["unpruned"]:
        text = ", ".join(f"{name} {part['share']:.1%}" for name, part in counts["unpruned"].items())
        log.info("not pruned, of all parameters: %s", text)
    metrics = _of_training(trained) | measured(this, counts, time.monotonic() - started)
    rewind = None if task.rewind is None else (task.rewind, trained.rewind)
    return Outcome(made, trained.history, metrics, trained.logits, rewind, state)


def save(this: Round, outcome: Outcome, paths: Mapping[str, str]) -> None:
    """Write a round's files, and remove its unfinished training.

    Parameters
    ----------
    this : Round
    outcome : Outcome
    paths : mapping of str to path
        Where ``checkpoint``, ``training``, ``metrics``, ``predictions`` and, of round 0, ``rewind`` go.
    """
    checkpoints.save(paths["checkpoint"], outcome.checkpoint)
    if outcome.rewind is not None:
        checkpoints.save_rewind(paths["rewind"], outcome.checkpoint, *outcome.rewind)
    files.write_csv(paths["training"], outcome.history, COLUMNS)
    files.write_json(paths["metrics"], outcome.metrics)
    save_predictions(this, outcome.logits, paths["predictions"])
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
