"""Training: one loop over a data set that lies on the device, exactly repeatable and resumable."""

import hashlib
import json
import logging
import math
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunescope import augmentation, checkpoints, networks
from prunescope.augmentation import Augmentation
from prunescope.datasets import Prepared
from prunescope.errors import InputError, out_of_memory
from prunescope.masks import Masks, apply_masks
from prunescope.optimizers import Optimizer, schedule_factor
from prunescope.provenance import derive_seed, environment

log = logging.getLogger("prunescope")


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; fields and defaults as in the experiment file."""

    epochs: int
    optimizer: dict
    batch_size: int = 128
    examples: int | None = None
    validation: int = 0
    schedule: dict = field(default_factory=lambda: {"name": "constant"})
    decay_norm_and_bias: bool = True
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    normalisation: str = "dataset"
    augmentation: dict = field(default_factory=dict)
    precision: str = "float32"
    channels_last: bool = True
    threads: int = 1


@dataclass(frozen=True)
class Split:
    """Images, uint8 (N, H, W, C), and labels, int64 (N,), on the training device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Data:
    """A data set on the training device.

    Attributes
    ----------
    train, test : Split
    validation : Split or None
    mean, std : Tensor of float64, shape (C,)
        With which pixels / 255 are normalised.
    colour : Tensor of uint8, shape (C,)
        The mean colour.
    """

    train: Split
    test: Split
    validation: Split | None
    mean: Tensor
    std: Tensor
    colour: Tensor


@dataclass
class Progress:
    """What a training has done so far, besides changing the network and its optimiser.

    Attributes
    ----------
    step : int
        Steps of the schedule done.
    losses : Tensor of float32, shape (steps per epoch,)
        Loss of each step of this epoch, on the device: adding them up there spares waiting for it.
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
        """Continue where this very job was stopped, if it was."""
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
        log.info("continuing after step %d", progress.step)

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
        """Remove the state, and what a killed job may have left while writing it: the job is done."""
        for path in [self.path, *self.path.parent.glob(f".{self.path.stem}.*.part{self.path.suffix}")]:
            path.unlink(missing_ok=True)


def job_digest(**identity) -> str:
    """Digest of all that makes a training job what it is, JSON-ready values only."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def execution(device: torch.device) -> dict:
    """Return what besides settings and seed changes a training's bits on one machine, for `job_digest`."""
    return {"device": device.type, "threads": torch.get_num_threads(), "torch": torch.__version__}


def steps_per_epoch(data: "Data", settings: TrainingSettings) -> int:
    """Return the number of batches of an epoch; the last, smaller one counts."""
    return math.ceil(len(data.train) / settings.batch_size)


def place(dataset: Prepared, settings: TrainingSettings, device: torch.device) -> Data:
    """Put a data set on the training device.

    Parameters
    ----------
    dataset : Prepared
    settings : TrainingSettings
        `examples` and `validation` choose training images; the same ones for every seed.
    device : torch.device

    Raises
    ------
    InputError
        When more training images are asked for than there are.
    """
    available = len(dataset.train_labels)
    wanted = settings.validation + (settings.examples or 1)
    if wanted > available:
        raise InputError(
            f"training.examples: {settings.examples} and training.validation: {settings.validation} ask "
            f"for more than the {available} training images of {dataset.name}"
        )
    shuffled = torch.randperm(available, generator=torch.Generator().manual_seed(derive_seed(0, "examples")))
    end = None if settings.examples is None else wanted
    held_out = shuffled[: settings.validation].sort().values
    chosen = shuffled[settings.validation : end].sort().values

    def split(images, labels, rows=None) -> Split:
        images, labels = torch.from_numpy(images).permute(0, 2, 3, 1), torch.from_numpy(labels)
        if rows is not None and len(rows) < len(labels):
            images, labels = images[rows], labels[rows]
        return Split(images.contiguous().to(device), labels.to(device))

    mean, std = torch.from_numpy(dataset.mean), torch.from_numpy(dataset.std)
    colour = (255 * mean).round().to(torch.uint8)
    if settings.normalisation == "symmetric":
        mean, std = torch.full_like(mean, 0.5), torch.full_like(std, 0.5)
    return Data(
        train=split(dataset.train_images, dataset.train_labels, chosen),
        test=split(dataset.test_images, dataset.test_labels),
        validation=split(dataset.train_images, dataset.train_labels, held_out) if len(held_out) else None,
        mean=mean.to(device),
        # A channel that never changes would be divided by zero.
        std=torch.where(std > 0, std, 1.0).to(device),
        colour=colour.to(device),
    )


def reproducible(device: torch.device) -> None:
    """Ask torch for algorithms that give the same bits on every run.

    On the processor those of a convolutional network do so anyway, and asking would import torch's compiler.
    """
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Filling fresh memory costs time and shows only in memory that nobody wrote.
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def train(
    network: nn.Module,
    data: Data,
    settings: TrainingSettings,
    *,
    seed: int,
    round: int,
    masks: Masks | None = None,
    start: int = 0,
    rewind: int | None = None,
    state: State | None = None,
) -> Progress:
    """Train a network in place.

    Parameters
    ----------
    network : torch.nn.Module
        Moved to the data's device; its pruned weights are zero and stay so.
    data : Data
    settings : TrainingSettings
    seed, round : int
        Name data order, augmentation and dropout of this training, each separately.
    masks : dict of str to Tensor of bool, optional
        By parameter name; True is kept.
    start : int, default 0
        Step of the schedule to start at, for rewinding to a later step than 0.
    rewind : int, optional
        Step whose weights are kept aside; 0 is before the first.
    state : State, optional
        Where the unfinished training is kept. A training that finds its own state continues there and ends in
        the same bytes as one that was never stopped.

    Returns
    -------
    Progress

    Raises
    ------
    InputError
        When the loss is NaN or infinite, or `start` or `rewind` lies beyond the training.
    """
    per_epoch = steps_per_epoch(data, settings)
    total = settings.epochs * per_epoch
    if start >= total or (rewind or 0) > total:
        raise InputError(
            f"pruning.rewind_epoch or rewind_step: step {max(start, rewind or 0)} is beyond a training of "
            f"{settings.epochs} epochs with {per_epoch} steps each"
        )
    device, masks = data.train.labels.device, masks or {}
    reproducible(device)
    network.to(
        device, memory_format=torch.channels_last if settings.channels_last else torch.contiguous_format
    )
    optimizer = Optimizer(network, settings.decay_norm_and_bias, **settings.optimizer)
    pruned, kept = _pruned_weights(network, masks)
    progress = Progress(start, torch.zeros(per_epoch, device=device), torch.tensor(0, device=device))
    if state:
        state.load(network, optimizer, progress)

    for epoch in range(progress.step // per_epoch, settings.epochs):
        first, begin = progress.step % per_epoch, max(0, start - epoch * per_epoch)
        if first == begin:
            torch.manual_seed(derive_seed(seed, "dropout", round, epoch))
            progress.losses.zero_()
            progress.correct.zero_()
        network.train()
        clock = saved = time.monotonic()
        for position, images, labels in _batches(data, settings, seed, round, epoch, first):
            if progress.step == rewind:
                progress.rewind = checkpoints.snapshot(network)
            logits = _forward(network, images, data, settings)
            loss = F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            if settings.clip_norm is not None:
                _clip(network, masks, kept, settings.clip_norm)
            optimizer.step(learning_rate(progress.step, per_epoch, settings))
            if masks:
                torch._foreach_mul_(pruned, kept)
            progress.losses[position] = loss.detach()
            progress.correct += (logits.argmax(1) == labels).sum()
            progress.step += 1
            if state and position + 1 < per_epoch and time.monotonic() - saved > state.every:
                _check(progress, begin, settings)
                progress.seconds += time.monotonic() - clock
                state.save(network, optimizer, progress)
                clock = saved = time.monotonic()

        _check(progress, begin, settings)
        progress.seconds += time.monotonic() - clock
        apply_masks(network, masks)
        _finish_epoch(network, data, settings, progress, begin)
        if state:
            state.save(network, optimizer, progress)
    if progress.step == rewind:
        progress.rewind = checkpoints.snapshot(network)
    return progress


def _pruned_weights(network: nn.Module, masks: Masks) -> tuple[list[Tensor], list[Tensor]]:
    """Pruned weights, and masks as numbers in the same memory format: multiplying the two is then fastest."""
    weights = [network.get_parameter(name).detach() for name in masks]
    return weights, [torch.empty_like(w).copy_(mask) for w, mask in zip(weights, masks.values(), strict=True)]


def _clip(network: nn.Module, masks: Masks, kept: list[Tensor], norm: float) -> None:
    """Clip the gradient to a norm in which pruned weights do not count."""
    if masks:
        torch._foreach_mul_([network.get_parameter(name).grad for name in masks], kept)
    nn.utils.clip_grad_norm_(network.parameters(), norm)


def _batches(
    data: Data, settings: TrainingSettings, seed: int, round: int, epoch: int, first: int
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield an epoch's batches from position `first` on: position, images (N, C, H, W) in [0, 255], labels.

    Order and augmentation of the whole epoch are drawn on the CPU, so they are the same on every device, and
    nothing is copied to the device while the epoch runs.
    """
    train, count = data.train, len(data.train)
    changes = Augmentation(**settings.augmentation)
    order_seed, changes_seed = (derive_seed(seed, what, round, epoch) for what in ("order", "augmentation"))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(order_seed)).to(train.labels.device)
    drawn = augmentation.draw(
        changes, count, train.images.shape[1:3], torch.Generator().manual_seed(changes_seed)
    )
    drawn = {name: values.to(train.labels.device) for name, values in drawn.items()}
    for position in range(first, steps_per_epoch(data, settings)):
        batch = slice(position * settings.batch_size, (position + 1) * settings.batch_size)
        images = train.images[order[batch]].permute(0, 3, 1, 2)
        own = {name: values[batch] for name, values in drawn.items()}
        yield position, augmentation.apply(changes, images, own, data.colour), train.labels[order[batch]]


def _forward(network: nn.Module, images: Tensor, data: Data, settings: TrainingSettings) -> Tensor:
    if not settings.channels_last:
        images = images.contiguous()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        return network(networks.normalise(images, data.mean, data.std)).float()


def learning_rate(step: int, per_epoch: int, settings: TrainingSettings) -> float:
    """Return the learning rate of a step, counted from 0.

    It is the schedule's value in the middle of the step: neither a rise from 0 nor a fall to 0 wastes one.
    """
    factor = schedule_factor((step + 0.5) / per_epoch, settings.epochs, **settings.schedule)
    return settings.optimizer["lr"] * factor


def _check(progress: Progress, begin: int, settings: TrainingSettings) -> None:
    """Stop a training whose loss is no number any more; this waits for the device."""
    per_epoch = len(progress.losses)
    wrong = (~progress.losses[begin:].isfinite()).nonzero()
    if len(wrong):
        position = begin + int(wrong[0])
        epoch = (progress.step - 1) // per_epoch
        rate = learning_rate(epoch * per_epoch + position, per_epoch, settings)
        raise InputError(
            f"training: the loss became {float(progress.losses[position])} in epoch {epoch + 1}, "
            f"step {position + 1} of {per_epoch}, at learning rate {rate:g}; "
            "lower training.optimizer.lr, warm up or set training.clip_norm"
        )


def _finish_epoch(
    network: nn.Module, data: Data, settings: TrainingSettings, progress: Progress, begin: int
) -> None:
    """Measure the network after an epoch that began at batch `begin`, and note everything in the history."""
    clock = time.monotonic()
    per_epoch = len(progress.losses)
    sizes = torch.full((per_epoch,), settings.batch_size, dtype=torch.float64)
    sizes[-1] = len(data.train) - (per_epoch - 1) * settings.batch_size
    sizes[:begin] = 0
    images = int(sizes.sum())
    entry = {
        "epoch": progress.step // per_epoch,
        "step": progress.step,
        "lr": learning_rate(progress.step - 1, per_epoch, settings),
        "train_loss": float((progress.losses.cpu() * sizes).sum()) / images,
        "train_accuracy": int(progress.correct) / images,
    }
    for name, split in (("test", data.test), ("validation", data.validation)):
        if split is not None:
            entry[f"{name}_loss"], entry[f"{name}_accuracy"] = evaluate(network, split, data, settings)
    entry |= {"seconds": progress.seconds, "images_per_second": images / progress.seconds}
    progress.history.append(entry)
    progress.evaluation_seconds += time.monotonic() - clock
    progress.seconds = 0.0
    spent = sum(past["seconds"] for past in progress.history) + progress.evaluation_seconds
    left = timedelta(seconds=int(spent / len(progress.history) * (settings.epochs - entry["epoch"])))
    log.info(
        "epoch %d/%d: loss %.4f, train accuracy %.4f, test accuracy %.4f, %.0f images/s, %s left",
        entry["epoch"],
        settings.epochs,
        entry["train_loss"],
        entry["train_accuracy"],
        entry["test_accuracy"],
        entry["images_per_second"],
        left,
    )


@torch.no_grad()
def evaluate(network: nn.Module, split: Split, data: Data, settings: TrainingSettings) -> tuple[float, float]:
    """Return mean cross-entropy (without label smoothing) and accuracy, in the precision of the training."""
    network.eval()
    loss = torch.zeros((), dtype=torch.float64, device=split.labels.device)
    correct = torch.zeros((), dtype=torch.int64, device=split.labels.device)
    for images, labels in zip(split.images.split(512), split.labels.split(512), strict=True):
        logits = _forward(network, images.permute(0, 3, 1, 2), data, settings)
        loss += F.cross_entropy(logits, labels, reduction="sum")
        correct += (logits.argmax(1) == labels).sum()
    return float(loss) / len(split), float(correct) / len(split)


def gradients(
    network: nn.Module, names: list[str], data: Data, settings: TrainingSettings
) -> dict[str, Tensor]:
    """Return the gradient of the training images' mean loss, in evaluation mode and without augmentation."""
    reproducible(data.train.labels.device)
    network.to(data.train.labels.device).eval()
    parameters = dict(network.named_parameters())
    network.zero_grad()
    for images, labels in zip(data.train.images.split(512), data.train.labels.split(512), strict=True):
        logits = _forward(network, images.permute(0, 3, 1, 2), data, settings)
        (F.cross_entropy(logits, labels, reduction="sum") / len(data.train)).backward()
    found = {name: parameters[name].grad.detach().cpu() for name in names}
    network.zero_grad()
    return found


@contextmanager
def enough_memory(device: torch.device, settings: TrainingSettings) -> Iterator[None]:
    """Turn running out of memory into a line that says what to change."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise InputError(
            f"training.batch_size: {settings.batch_size} needs more memory than device {device} has; use a "
            "smaller batch or network, or `precision: bfloat16` (finished rounds and epochs are kept)"
        ) from None


def metrics(
    checkpoint: checkpoints.Checkpoint,
    trained: Progress,
    counts: dict,
    settings: TrainingSettings,
    device: torch.device,
    seconds: float,
) -> dict:
    """Collect what metrics.json says of a round.

    Parameters
    ----------
    checkpoint : Checkpoint
    trained : Progress
    counts : dict
        From `masks.census`.
    settings : TrainingSettings
    device : torch.device
    seconds : float
        Of the whole job so far.

    Returns
    -------
    dict
        JSON-ready. See docs/training.md.
    """
    last = trained.history[-1]
    training_seconds = sum(entry["seconds"] for entry in trained.history)
    images = sum(entry["seconds"] * entry["images_per_second"] for entry in trained.history)
    return {
        "experiment": checkpoint.experiment,
        "seed": checkpoint.seed,
        "round": checkpoint.round,
        "network": checkpoint.network["name"],
        "dataset": checkpoint.dataset,
        **{
            f"{split}_{measure}": last.get(f"{split}_{measure}")
            for split in ("train", "validation", "test")
            for measure in ("loss", "accuracy")
        },
        "epochs": len(trained.history),
        "steps": last["step"],
        **{key: value for key, value in counts.items() if key != "layers"},
        "seconds": seconds,
        "training_seconds": training_seconds,
        "evaluation_seconds": trained.evaluation_seconds,
        "images_per_second": images / training_seconds,
        "peak_memory_bytes": _peak_memory(),
        "peak_device_memory_bytes": torch.cuda.max_memory_allocated(device)
        if device.type == "cuda"
        else None,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": settings.precision,
        "channels_last": settings.channels_last,
        "environment": environment(),
        "layers": counts["layers"],
    }


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
