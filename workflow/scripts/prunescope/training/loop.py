"""Training: one loop over a data set that is on the device, exactly repeatable and resumable."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunescope import checkpoints, kinds, user_code
from prunescope.data import augmentation
from prunescope.errors import InputError
from prunescope.networks.masks import Masks, apply_masks
from prunescope.provenance import derive_seed
from prunescope.settings.training import Training
from prunescope.training.data import Data, steps_per_epoch
from prunescope.training.evaluate import forward, predict, reproducible, score
from prunescope.training.resume import Progress, State

log = logging.getLogger("prunescope")
# Columns of training.csv, without those of validation images.
COLUMNS = (
    *("epoch", "step", "lr", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
    *("seconds", "images_per_second"),
)


@dataclass(frozen=True)
class Task:
    """Identifies one training run of an experiment.

    Attributes
    ----------
    seed, round : int
        Determine data order, augmentation and dropout, each separately.
    masks : dict of str to Tensor of bool
        By parameter name; True means kept.
    start : int, default 0
        Step of the schedule to start at, for rewinding to a later step than 0.
    rewind : int, optional
        Step whose weights are stored; 0 means before the first step.
    """

    seed: int
    round: int
    masks: Masks = field(default_factory=dict)
    start: int = 0
    rewind: int | None = None


def train(
    network: nn.Module, data: Data, settings: Training, task: Task, state: State | None = None
) -> Progress:
    """Train a network in place; without epochs, only measure it.

    Its pruned weights are zero and stay zero. If `state` holds an unfinished training of the same task,
    training resumes from it and produces the same bytes as without interruption.
    """
    per_epoch = steps_per_epoch(data, settings)
    optimizer, progress = _begin(network, data, settings, task.start, state)
    masked, kept = _masked_weights(network, task.masks)

    for epoch in range(progress.step // per_epoch, settings.epochs):
        # The batch to continue with, and the one at which the epoch began: later than 0 if weights were
        # rewound to a step within it.
        first, begin = progress.step % per_epoch, max(0, task.start - epoch * per_epoch)
        if first == begin:
            torch.manual_seed(derive_seed(task.seed, "dropout", task.round, epoch))
            progress.correct.zero_()
        network.train()
        clock = time.monotonic()
        for position, images, labels in batches(data, settings, task.seed, task.round, epoch, first):
            if progress.step == task.rewind:
                progress.rewind = checkpoints.snapshot(network)
            logits = forward(network, images, data, settings)
            loss = F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            if settings.clip_norm is not None:
                _clip(network, task.masks, kept, settings.clip_norm)
            optimizer.step(learning_rate(progress.step, per_epoch, settings))
            if task.masks:
                torch._foreach_mul_(masked, kept)
            progress.losses[position] = loss.detach()
            progress.correct += (logits.argmax(1) == labels).sum()
            progress.step += 1
            if state and position + 1 < per_epoch and time.monotonic() - clock > state.every:
                _check_losses(progress, begin, settings)
                progress.seconds += time.monotonic() - clock
                state.save(network, optimizer, progress)
                clock = time.monotonic()

        _check_losses(progress, begin, settings)
        progress.seconds += time.monotonic() - clock
        apply_masks(network, task.masks)
        _finish_epoch(network, data, settings, progress, begin)
        if state:
            state.save(network, optimizer, progress)
    if progress.step == task.rewind:
        progress.rewind = checkpoints.snapshot(network)
    if not settings.epochs:
        _finish_untrained(network, data, settings, progress)
    return progress


def batches(
    data: Data, settings: Training, seed: int, round: int, epoch: int, first: int
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield the batches of an epoch from position `first`: position, images (N, C, H, W) in [0, 255], labels.

    Order and augmentation of the whole epoch are drawn on the CPU, so they are the same on every device.
    During the epoch, only the images of a large data set are copied to the device.
    """
    train, count = data.train, len(data.train)
    changes = settings.augmentation
    order_seed, changes_seed = (derive_seed(seed, what, round, epoch) for what in ("order", "augmentation"))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(order_seed)).to(train.labels.device)
    drawn = augmentation.draw(
        changes, count, train.images.shape[1:3], torch.Generator().manual_seed(changes_seed)
    )
    drawn = {name: values.to(train.labels.device) for name, values in drawn.items()}
    for position in range(first, steps_per_epoch(data, settings)):
        batch = slice(position * settings.batch_size, (position + 1) * settings.batch_size)
        images = train.images[order[batch]].permute(0, 3, 1, 2)
        of_batch = {name: values[batch] for name, values in drawn.items()}
        yield position, augmentation.apply(changes, images, of_batch, data.colour), train.labels[order[batch]]


def _begin(network: nn.Module, data: Data, settings: Training, start: int, state: State | None):
    """Move the network to the data's device; return optimiser and progress, unfinished or new."""
    device, steps = data.train.labels.device, steps_per_epoch(data, settings)
    reproducible(device)
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    network.to(device, memory_format=layout)
    optimizer = optimizer_of(network, settings)
    progress = Progress(start, torch.zeros(steps, device=device), torch.tensor(0, device=device))
    if state:
        state.load(network, optimizer, progress)
    return optimizer, progress


def optimizer_of(network: nn.Module, settings: Training):
    """Return the optimiser that the settings name, see `prunescope.training.optimizers.Optimizer`."""
    options = settings.optimizer.plain()
    del options["lr"]  # each step has its own
    optimizer = kinds.load("optimizer", options.pop("name"))
    return optimizer(network, settings.decay_norm_and_bias, **options)


def _measure(network: nn.Module, data: Data, settings: Training) -> tuple[dict[str, float], Tensor]:
    """Return loss and accuracy on test and validation images, and the logits of the test images."""
    tested = predict(network, data.test, data, settings)
    measured = dict(zip(("test_loss", "test_accuracy"), score(tested, data.test.labels), strict=True))
    if data.validation is not None:
        logits = predict(network, data.validation, data, settings)
        measured["validation_loss"], measured["validation_accuracy"] = score(logits, data.validation.labels)
    return measured, tested


def _masked_weights(network: nn.Module, masks: Masks) -> tuple[list[Tensor], list[Tensor]]:
    """Weights with masks, and the masks as numbers in the same memory format: fastest to multiply."""
    weights = [network.get_parameter(name).detach() for name in masks]
    return weights, [torch.empty_like(w).copy_(mask) for w, mask in zip(weights, masks.values(), strict=True)]


def _clip(network: nn.Module, masks: Masks, kept: list[Tensor], norm: float) -> None:
    """Clip the gradient to a norm that ignores pruned weights."""
    gradients = [network.get_parameter(name).grad for name in masks]
    used = [index for index, gradient in enumerate(gradients) if gradient is not None]
    if used:
        torch._foreach_mul_([gradients[index] for index in used], [kept[index] for index in used])
    nn.utils.clip_grad_norm_(network.parameters(), norm)


def learning_rate(step: int, per_epoch: int, settings: Training) -> float:
    """Return the learning rate of a step, counted from 0.

    It is the schedule's value in the middle of the step, so that no step has a rate of 0 when the schedule
    starts or ends at 0.
    """
    return settings.optimizer.lr * schedule_factor((step + 0.5) / per_epoch, settings)


def schedule_factor(epoch: float, settings: Training) -> float:
    """Return the factor on the base learning rate after so many epochs, with fractions.

    With any schedule, it first rises linearly from 0 over the warm-up epochs.
    """
    options = settings.schedule.plain()
    shape = _schedule(options.pop("name"), user_code.root())
    warmup_epochs = options.pop("warmup_epochs")
    warmup = min(1.0, epoch / warmup_epochs) if warmup_epochs else 1.0
    return warmup * shape(epoch, settings.epochs, warmup_epochs, **options)


@cache
def _schedule(name: str, _folder: Path):
    """Import a schedule once: it is called at every step of the training."""
    return kinds.load("schedule", name)


def _check_losses(progress: Progress, begin: int, settings: Training) -> None:
    """Stop training once the loss is NaN or infinite; this waits for the device."""
    per_epoch = len(progress.losses)
    wrong = (~progress.losses[begin:].isfinite()).nonzero()
    if len(wrong):
        position = begin + int(wrong[0])
        epoch = (progress.step - 1) // per_epoch
        rate = learning_rate(epoch * per_epoch + position, per_epoch, settings)
        raise InputError(
            f"training: the loss became {float(progress.losses[position])} in epoch {epoch + 1}, "
            f"step {position + 1} of {per_epoch}, at learning rate {rate:g}; "
            "lower training.optimizer.lr, use a warm-up schedule or set training.clip_norm"
        )


def _finish_epoch(network: nn.Module, data: Data, settings: Training, progress: Progress, begin: int) -> None:
    """Measure the network after an epoch that began at batch `begin`, and append to the history."""
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
    progress.measured, logits = _measure(network, data, settings)
    if entry["epoch"] == settings.epochs:
        progress.logits = logits
    entry |= progress.measured
    entry |= {"seconds": progress.seconds, "images_per_second": images / progress.seconds}
    progress.history.append(entry)
    progress.evaluation_seconds += time.monotonic() - clock
    progress.seconds = 0.0
    spent = sum(past["seconds"] for past in progress.history) + progress.evaluation_seconds
    remaining = timedelta(seconds=int(spent / len(progress.history) * (settings.epochs - entry["epoch"])))
    log.info(
        "epoch %d/%d: loss %.4f, train accuracy %.4f, test accuracy %.4f, %.0f images/s, %s left",
        entry["epoch"],
        settings.epochs,
        entry["train_loss"],
        entry["train_accuracy"],
        entry["test_accuracy"],
        entry["images_per_second"],
        remaining,
    )


def _finish_untrained(network: nn.Module, data: Data, settings: Training, progress: Progress) -> None:
    """Measure a network that is not trained."""
    clock = time.monotonic()
    progress.measured, progress.logits = _measure(network, data, settings)
    progress.evaluation_seconds = time.monotonic() - clock
    log.info("not trained: test accuracy %.4f", progress.measured["test_accuracy"])
