"""The data set on the training device, its batches, and the settings of a training."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from prunescope.data import augmentation
from prunescope.data.augmentation import Augmentation
from prunescope.data.datasets import Prepared
from prunescope.errors import InputError
from prunescope.networks.preprocessing import Preprocessing, channel_values
from prunescope.provenance import derive_seed


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
    resizing : dict or None
        How batches are resized, see `prunescope.networks.preprocessing.Preprocessing`.
    """

    train: Split
    test: Split
    validation: Split | None
    mean: Tensor
    std: Tensor
    colour: Tensor
    resizing: dict | None = None


def steps_per_epoch(data: Data, settings: TrainingSettings) -> int:
    """Return the number of batches of an epoch; the last, smaller one counts."""
    return math.ceil(len(data.train) / settings.batch_size)


def place(
    dataset: Prepared,
    settings: TrainingSettings,
    device: torch.device,
    expected: Preprocessing | None = None,
) -> Data:
    """Put a data set on the training device.

    Parameters
    ----------
    dataset : Prepared
    settings : TrainingSettings
        `examples` and `validation` choose training images; the same ones for every seed.
    device : torch.device
    expected : Preprocessing, optional
        What trained weights expect, for ``normalisation: weights``.

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
    if expected is not None:
        mean, std = (
            channel_values("the network", values, len(mean)) for values in (expected.mean, expected.std)
        )
    return Data(
        train=split(dataset.train_images, dataset.train_labels, chosen),
        test=split(dataset.test_images, dataset.test_labels),
        validation=split(dataset.train_images, dataset.train_labels, held_out) if len(held_out) else None,
        mean=mean.to(device),
        # A channel that never changes would be divided by zero.
        std=torch.where(std > 0, std, 1.0).to(device),
        colour=colour.to(device),
        resizing=expected and expected.resizing,
    )


def batches(
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
