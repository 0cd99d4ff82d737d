"""What one round does: score, prune, choose the weights to start from, train, measure."""

import copy
import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from prunescope import checkpoints, files, provenance
from prunescope.checkpoints import Checkpoint
from prunescope.data.datasets import Prepared
from prunescope.networks import modules
from prunescope.networks.build import build
from prunescope.networks.inspect import census
from prunescope.networks.masks import Masks, apply_masks, density
from prunescope.pruning import criteria, selection
from prunescope.training.data import Data, TrainingSettings, place, steps_per_epoch
from prunescope.training.evaluate import gradients
from prunescope.training.execution import enough_memory, execution, peak_memory
from prunescope.training.loop import Task, train
from prunescope.training.resume import Progress, State

log = logging.getLogger("prunescope")


@dataclass(frozen=True)
class PruningSettings:
    """How one round prunes: the experiment file's keys, and `density`, this round's entry of `densities`."""

    criterion: str = "magnitude"
    scope: str = "global"
    prunable: list[str] = field(default_factory=lambda: ["Conv2d", "Linear"])
    rate: float = 0.2
    rates: dict[str, float] = field(default_factory=dict)
    density: float | None = None
    retraining: str = "lr-rewind"


@dataclass(frozen=True)
class Round:
    """One round of one seed, and where it is computed.

    Attributes
    ----------
    experiment : str
    seed, number : int
        Round 0 is the dense network.
    network : dict
        ``name`` and ``arguments``.
    training : TrainingSettings
    dataset : Prepared
    device : torch.device
    state : path or None
        File that keeps the unfinished training; None keeps nothing.
    made_from : dict
        JSON-ready: digests of code and input files. An unfinished training continues only if they are equal.
    """

    experiment: str
    seed: int
    number: int
    network: dict
    training: TrainingSettings
    dataset: Prepared
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    state: Path | None = None
    made_from: dict = field(default_factory=dict)

    @property
    def built(self) -> dict:
        """What `prunescope.networks.build.build` needs besides a seed."""
        return {**self.network, "shape": list(self.dataset.shape), "classes": len(self.dataset.classes)}

    def unfinished(self, **more) -> State | None:
        """Return where this training is kept; `more` says what else makes it what it is."""
        if self.state is None:
            return None
        identity = {
            "network": self.built,
            "training": vars(self.training),
            "seed": self.seed,
            "round": self.number,
            "dataset": self.dataset.digest,
            **self.made_from,
            **more,
            **execution(self.device),
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return State(self.state, digest)


@dataclass(frozen=True)
class Outcome:
    """What a round leaves.

    Attributes
    ----------
    checkpoint : Checkpoint
    history : list of dict
        One entry per epoch, the columns of training.csv.
    metrics : dict
        JSON-ready, see docs/training.md.
    rewind : tuple of (int, dict) or None
        Of round 0: the step that was asked for, and the weights at that step.
    state : State or None
        Of the training; to be discarded when everything has been written.
    """

    checkpoint: Checkpoint
    history: list[dict]
    metrics: dict
    rewind: tuple[int, dict[str, Tensor]] | None
    state: State | None


def state_beside(checkpoint: str | Path) -> Path:
    """Return where an unfinished training is kept: a hidden file beside its checkpoint."""
    return Path(checkpoint).with_name(".training-state.pt")


def read_previous(
    this: Round, checkpoint: str, rewind: str | None
) -> tuple[Checkpoint, tuple[int, dict] | None]:
    """Read the checkpoint of the round before, and the step and weights to rewind to, if any.

    Raises
    ------
    InputError
        When a file is missing or damaged, or belongs to another experiment, seed, round, network or data set.
    """
    previous = checkpoints.load(checkpoint)
    checkpoints.expect(
        checkpoint,
        previous,
        experiment=this.experiment,
        seed=this.seed,
        round=this.number - 1,
        network=this.built,
        dataset=this.dataset.digest,
    )
    return previous, rewind and checkpoints.load_rewind(rewind, previous)


def dense(this: Round, rewind_epoch: int = 0, rewind_step: int | None = None) -> Outcome:
    """Train the dense network: round 0.

    Parameters
    ----------
    this : Round
    rewind_epoch : int, default 0
        Epoch whose weights are kept for rewinding; 0 is before the first.
    rewind_step : int, optional
        Step (batch) to keep instead.
    """
    network = build(**this.built, seed=provenance.derive_seed(this.seed, "initialisation"))
    state = this.unfinished(rewind={"epoch": rewind_epoch, "step": rewind_step})

    def task(data: Data) -> tuple[nn.Module, Task]:
        per_epoch = steps_per_epoch(data, this.training)
        rewind = rewind_epoch * per_epoch if rewind_step is None else rewind_step
        return network, Task(this.seed, 0, rewind=rewind)

    return _run(this, state, task)


def prune(
    this: Round, settings: PruningSettings, previous: Checkpoint, early: tuple[int, dict] | None = None
) -> Outcome:
    """Prune the network of the round before, and train what is left.

    Parameters
    ----------
    this : Round
    settings : PruningSettings
    previous : Checkpoint
        Of the round before.
    early : tuple of (int, dict of str to Tensor), optional
        Step and weights of round 0 that ``retraining: rewind`` goes back to.
    """
    state = this.unfinished(pruning=vars(settings))

    def task(data: Data) -> tuple[nn.Module, Task]:
        network = previous.build()
        masks = _masks(this, settings, previous, network, data)
        network, start = _starting_point(this, settings.retraining, network, early)
        apply_masks(network, masks)
        log.info(
            "round %d: %.4f of the prunable weights left, %s",
            this.number,
            density(masks),
            settings.retraining,
        )
        return network, Task(this.seed, this.number, masks, start)

    return _run(this, state, task)


def _masks(
    this: Round, settings: PruningSettings, previous: Checkpoint, network: nn.Module, data: Data
) -> Masks:
    """Score the weights that are left and remove the lowest."""
    weights = modules.prunable(network, settings.prunable)
    seed = provenance.derive_seed(this.seed, "random masks", this.number)
    initial = provenance.derive_seed(this.seed, "initialisation")
    # A criterion gets copies: what it does to them must not change what is trained.
    offers = {
        "weights": lambda: {name: weight.detach().to("cpu", copy=True) for name, weight in weights.items()},
        "gradients": lambda: gradients(network, list(weights), data, this.training),
        "generator": lambda: torch.Generator().manual_seed(seed),
        "network": lambda: copy.deepcopy(network).to(data.train.labels.device),
        "untrained": lambda: build(**this.built, seed=initial),
        "data": lambda: data,
    }
    return selection.prune(
        criteria.scores(settings.criterion, offers),
        selection.complete(previous.masks, weights),
        settings.scope,
        settings.rate,
        modules.layer_rates(network, list(weights), settings.rates),
        settings.density,
    )


def _starting_point(
    this: Round, retraining: str, network: nn.Module, early: tuple[int, dict] | None
) -> tuple[nn.Module, int]:
    """Return the network that retraining starts from, and the step of the schedule at which it starts."""
    if retraining == "rewind":
        start, weights = early
        network.load_state_dict(weights)
        return network, start
    if retraining == "reinitialise":
        return build(**this.built, seed=provenance.derive_seed(this.seed, "reinitialisation", this.number)), 0
    return network, 0


def _run(this: Round, state: State | None, task: Callable[[Data], tuple[nn.Module, Task]]) -> Outcome:
    """Train and measure: what all rounds have in common."""
    started = time.monotonic()
    with enough_memory(this.device, this.training.batch_size):
        data = place(this.dataset, this.training, this.device)
        network, todo = task(data)
        trained = train(network, data, this.training, todo, state)
    checkpoint = Checkpoint(
        experiment=this.experiment,
        seed=this.seed,
        round=this.number,
        network=this.built,
        mean=data.mean.tolist(),
        std=data.std.tolist(),
        weights=checkpoints.snapshot(network),
        masks=todo.masks,
        density=density(todo.masks),
        accuracy=trained.history[-1]["test_accuracy"],
        dataset=this.dataset.digest,
    )
    counts = census(network, todo.masks, this.dataset.shape)
    metrics = _metrics(this, checkpoint, trained, counts, time.monotonic() - started)
    rewind = None if todo.rewind is None else (todo.rewind, trained.rewind)
    return Outcome(checkpoint, trained.history, metrics, rewind, state)


def save(outcome: Outcome, checkpoint: str, training: str, metrics: str, rewind: str | None = None) -> None:
    """Write a round's files, and remove its unfinished training.

    Parameters
    ----------
    outcome : Outcome
    checkpoint, training, metrics : path
        Where checkpoint.pt, training.csv and metrics.json go.
    rewind : path, optional
        Where the weights for rewinding go, for round 0.
    """
    checkpoints.save(checkpoint, outcome.checkpoint)
    if rewind is not None:
        checkpoints.save_rewind(rewind, outcome.checkpoint, *outcome.rewind)
    files.write_csv(training, outcome.history)
    files.write_json(metrics, outcome.metrics)
    if outcome.state:
        outcome.state.discard()


def _metrics(this: Round, checkpoint: Checkpoint, trained: Progress, counts: dict, seconds: float) -> dict:
    """Collect the contents of metrics.json; `counts` is from `census`, `seconds` the time of the round."""
    last, device = trained.history[-1], this.device
    training_seconds = sum(entry["seconds"] for entry in trained.history)
    images = sum(entry["seconds"] * entry["images_per_second"] for entry in trained.history)
    on_gpu = device.type == "cuda"
    return {
        "experiment": this.experiment,
        "seed": this.seed,
        "round": this.number,
        "network": checkpoint.network["name"],
        "dataset": checkpoint.dataset,
        **{
            f"{split}_{metric}": last.get(f"{split}_{metric}")
            for split in ("train", "validation", "test")
            for metric in ("loss", "accuracy")
        },
        "epochs": len(trained.history),
        "steps": last["step"],
        **{key: value for key, value in counts.items() if key != "layers"},
        "seconds": seconds,
        "training_seconds": training_seconds,
        "evaluation_seconds": trained.evaluation_seconds,
        "images_per_second": images / training_seconds,
        "peak_memory_bytes": peak_memory(),
        "peak_device_memory_bytes": torch.cuda.max_memory_allocated(device) if on_gpu else None,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "precision": this.training.precision,
        "channels_last": this.training.channels_last,
        "environment": provenance.environment(),
        "layers": counts["layers"],
    }
