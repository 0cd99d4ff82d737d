"""One round: score, prune, choose the weights to start from, train, measure."""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from prunescope import checkpoints, files, kinds, provenance
from prunescope.checkpoints import Checkpoint
from prunescope.data.datasets import Prepared
from prunescope.networks import weights as given_weights
from prunescope.networks.build import build
from prunescope.networks.inspect import census
from prunescope.networks.masks import Masks, apply_masks, density
from prunescope.networks.preprocessing import Preprocessing, input_shape, preprocessing_of
from prunescope.pruning import controls
from prunescope.settings.pruning import PruningSettings
from prunescope.settings.training import Forward, Training
from prunescope.training.data import Data, place, place_test, steps_per_epoch
from prunescope.training.execution import enough_memory, execution, peak_memory
from prunescope.training.loop import Task, train
from prunescope.training.resume import Progress, State

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

    def initial(self) -> nn.Module:
        """Return the network that round 0 starts from."""
        seed = provenance.derive_seed(self.seed, "initialisation")
        return given_weights.initial(self.built, seed, self.download)

    def unfinished(self, **more) -> State | None:
        """Return the state of this training; `more` has further values that identify the training."""
        if self.state is None:
            return None
        identity = {
            "network": self.built,
            "training": self.training.plain(),
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
    """The result of a round.

    Attributes
    ----------
    checkpoint : Checkpoint
    history : list of dict
        One entry per epoch, the columns of training.csv.
    metrics : dict
        JSON-ready, see docs/training.md.
    rewind : tuple of (int, dict) or None
        For round 0: the requested step, and the weights at that step.
    state : State or None
        State of the training; to be discarded when all files have been written.
    """

    checkpoint: Checkpoint
    history: list[dict]
    metrics: dict
    rewind: tuple[int, dict[str, Tensor]] | None
    state: State | None


def state_beside(checkpoint: str | Path) -> Path:
    """Return the path of an unfinished training: a hidden file next to its checkpoint."""
    return Path(checkpoint).with_name(".training-state.pt")


def read(
    this: Round, paths: dict[str, str]
) -> tuple[Checkpoint | None, tuple[int, dict] | None, Masks | None]:
    """Read the files that a later round starts from.

    Parameters
    ----------
    this : Round
    paths : dict of str to path
        ``previous``, the checkpoint of the previous round; ``rewind``, the weights of round 0 to rewind to;
        ``masks``, the checkpoint whose masks a control uses. Only those that the round needs are given.

    Returns
    -------
    tuple of (Checkpoint, (int, dict), dict)
        The previous round, the step and weights to rewind to, and masks; None for those not in `paths`.

    Raises
    ------
    InputError
        When a file is missing or damaged, or belongs to another seed, round, network or data set.
    """
    same = {"seed": this.seed, "network": this.built, "dataset": this.dataset.digest}
    previous = rewind = masks = None
    if "previous" in paths:
        previous = checkpoints.load(paths["previous"])
        checkpoints.expect(paths["previous"], previous, round=this.number - 1, **same)
    if "rewind" in paths:
        rewind = checkpoints.load_rewind(paths["rewind"], **same)
    if "masks" in paths:
        pruned = checkpoints.load(paths["masks"])
        checkpoints.expect(paths["masks"], pruned, round=this.number, **same)
        masks = pruned.masks
    return previous, rewind, masks


def dense(this: Round, rewind_epoch: int = 0, rewind_step: int | None = None) -> Outcome:
    """Train the dense network: round 0.

    Parameters
    ----------
    this : Round
    rewind_epoch : int, default 0
        Epoch whose weights are kept for rewinding; 0 means before the first epoch.
    rewind_step : int, optional
        Step (batch) whose weights are kept instead.
    """
    network = this.initial()
    # Zeros in given weights belong to a sparse network.
    given = "weights" in this.network.get("more", {})
    masks = given_weights.zeros(network, trained_further=True) if given else {}
    state = this.unfinished(rewind={"epoch": rewind_epoch, "step": rewind_step})

    def task(data: Data) -> tuple[nn.Module, Task]:
        per_epoch = steps_per_epoch(data, this.training)
        rewind = rewind_epoch * per_epoch if rewind_step is None else rewind_step
        return network, Task(this.seed, 0, masks, rewind=rewind)

    return _run(this, state, task)


def prune(
    this: Round,
    settings: PruningSettings,
    previous: Checkpoint | None,
    early: tuple[int, dict] | None = None,
    masks: Masks | None = None,
) -> Outcome:
    """Prune the network of the previous round and retrain it; or do what a control does instead.

    Parameters
    ----------
    this : Round
    settings : PruningSettings
    previous : Checkpoint or None
        Of the round before.
    early : tuple of (int, dict of str to Tensor), optional
        Step and weights of round 0 to which ``retraining: rewind`` returns.
    masks : dict of str to Tensor of bool, optional
        Masks of the controlled experiment, for a control that uses them.
    """
    state = this.unfinished(pruning=settings.plain())
    shuffling = provenance.derive_seed(this.seed, "shuffled masks")

    def task(data: Data) -> tuple[nn.Module, Task]:
        offers = {
            "masks": lambda: masks,
            "generator": lambda: torch.Generator().manual_seed(shuffling),
            "this": lambda: this,
            "settings": lambda: settings,
            "previous": lambda: previous,
            "data": lambda: data,
        }
        chosen = controls.masks(settings.control, offers)
        if previous is not None:
            # A network that was initially sparse can have masks for weights that are not prunable.
            chosen = {**chosen, **{name: m for name, m in previous.masks.items() if name not in chosen}}
        network, start = _starting_point(this, settings, previous, early)
        apply_masks(network, chosen)
        log.info("round %d: %.4f of the prunable weights left", this.number, density(chosen))
        return network, Task(this.seed, this.number, chosen, start)

    return _run(this, state, task)


def _starting_point(
    this: Round, settings: PruningSettings, previous: Checkpoint | None, early: tuple[int, dict] | None
) -> tuple[nn.Module, int]:
    """Return the network that retraining starts from, and the step of the schedule at which it starts."""
    if kinds.find("control", settings.control).facts.get("fresh"):
        return build(**this.built, seed=provenance.derive_seed(this.seed, "new weights", this.number)), 0
    if settings.retraining == "rewind":
        start, weights = early
        network = build(**this.built, seed=0)
        network.load_state_dict(weights)
        return network, start
    return previous.build(), 0


def untrained(this: Round) -> Checkpoint:
    """Return a network with newly drawn weights. Its accuracy is NaN: not measured."""
    network = build(**this.built, seed=provenance.derive_seed(this.seed, "initialisation"))
    data = place_test(this.dataset, this.training, this.device, this.expected)
    return checkpoint(this, network, data, {}, float("nan"))


def _run(this: Round, state: State | None, task: Callable[[Data], tuple[nn.Module, Task]]) -> Outcome:
    """Train and measure: the part that all rounds share."""
    started = time.monotonic()
    with enough_memory(this.device, this.training.batch_size):
        data = place(this.dataset, this.training, this.device, this.expected)
        network, todo = task(data)
        trained = train(network, data, this.training, todo, state)
    made = checkpoint(this, network, data, todo.masks, trained.history[-1]["test_accuracy"])
    counts = census(network, todo.masks, this.built["shape"])
    if counts["unpruned"]:
        text = ", ".join(f"{name} {part['share']:.1%}" for name, part in counts["unpruned"].items())
        log.info("not pruned, of all parameters: %s", text)
    metrics = _of_training(trained) | measured(this, counts, time.monotonic() - started)
    rewind = None if todo.rewind is None else (todo.rewind, trained.rewind)
    return Outcome(made, trained.history, metrics, rewind, state)


def checkpoint(this: Round, network: nn.Module, data: Data, masks: Masks, accuracy: float) -> Checkpoint:
    """Return the checkpoint of a round's network; an `accuracy` of NaN means not measured."""
    return Checkpoint(
        experiment=this.experiment,
        seed=this.seed,
        round=this.number,
        network=this.built,
        mean=data.mean.tolist(),
        std=data.std.tolist(),
        weights=checkpoints.snapshot(network),
        masks=masks,
        density=density(masks),
        accuracy=accuracy,
        dataset=this.dataset.digest,
    )


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


def measured(this: Round, counts: dict, seconds: float) -> dict:
    """Return the entries of metrics.json for any network; `counts` is from `census`."""
    device = this.device
    on_gpu = device.type == "cuda"
    return {
        "experiment": this.experiment,
        "seed": this.seed,
        "round": this.number,
        "network": this.network["name"],
        "dataset": this.dataset.digest,
        **{key: value for key, value in counts.items() if key != "layers"},
        "seconds": seconds,
        "peak_memory_bytes": peak_memory(),
        "peak_device_memory_bytes": torch.cuda.max_memory_allocated(device) if on_gpu else None,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "precision": this.training.precision,
        "channels_last": this.training.channels_last,
        "environment": provenance.environment(),
        "layers": counts["layers"],
    }


def _of_training(trained: Progress) -> dict:
    """Return the entries of metrics.json about training."""
    last = trained.history[-1]
    seconds = sum(entry["seconds"] for entry in trained.history)
    images = sum(entry["seconds"] * entry["images_per_second"] for entry in trained.history)
    return {
        **{
            f"{split}_{metric}": last.get(f"{split}_{metric}")
            for split in ("train", "validation", "test")
            for metric in ("loss", "accuracy")
        },
        "epochs": len(trained.history),
        "steps": last["step"],
        "training_seconds": seconds,
        "evaluation_seconds": trained.evaluation_seconds,
        "images_per_second": images / seconds,
    }
