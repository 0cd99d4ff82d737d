"""The data set on the training device."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from prunescope.data.datasets import Prepared
from prunescope.data.images import BLOCK, IN_MEMORY, Images
from prunescope.networks.preprocessing import Preprocessing, channel_values
from prunescope.provenance import derive_seed
from prunescope.settings.training import Forward, Scaling, Training

log = logging.getLogger("prunescope")
# Pixels times channels to evaluate at a time; at most 512 images.
EVALUATED = 2**22


class Gathered:
    """Images that stay where they are, for instance in a file; indexed images are moved to the device.

    Parameters
    ----------
    images : ndarray or Images of uint8, shape (M, C, H, W)
    rows : ndarray of int, shape (N,)
        Indices of the images to use.
    device : torch.device
        Device of the indexed images: uint8, shape (n, H, W, C).
    """

    def __init__(self, images: np.ndarray | Images, rows: np.ndarray, device: torch.device):
        self._images, self._rows, self._device = images, rows, device
        count, height, width = images.shape[1:]
        self.shape = torch.Size((len(rows), height, width, count))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        rows = self._rows[index.cpu().numpy() if isinstance(index, Tensor) else index]
        return torch.from_numpy(self._images[rows]).permute(0, 2, 3, 1).contiguous().to(self._device)

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield the images `size` at a time, as `Tensor.split` does."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def load(self) -> Tensor:
        """Return all images, with little additional memory."""
        loaded = torch.empty(self.shape, dtype=torch.uint8, device=self._device)
        size = max(1, BLOCK // max(1, math.prod(self.shape[1:])))
        for start in range(0, len(self), size):
            loaded[start : start + size] = self[start : start + size]
        return loaded


@dataclass(frozen=True)
class Split:
    """Images, uint8 (N, H, W, C), and labels, int64 (N,).

    Labels are on the training device, and so are images unless there are too many; then each batch is read
    from the file and moved to the device.
    """

    images: Tensor | Gathered
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images (N, C, H, W) and labels in order, in batches small enough for any network."""
        size = max(1, min(512, EVALUATED // math.prod(self.images.shape[1:])))
        for images, labels in zip(self.images.split(size), self.labels.split(size), strict=True):
            yield images.permute(0, 3, 1, 2), labels


@dataclass(frozen=True)
class Data:
    """A data set for training.

    Attributes
    ----------
    train : Split or None
        None if nothing is trained.
    test : Split
    validation : Split or None
    mean, std : Tensor of float64, shape (C,)
        Normalisation of pixels / 255.
    colour : Tensor of uint8, shape (C,)
        The mean colour.
    resizing : dict or None
        How batches are resized, see `prunescope.networks.preprocessing.Preprocessing`.
    """

    train: Split | None
    test: Split
    validation: Split | None
    mean: Tensor
    std: Tensor
    colour: Tensor
    resizing: dict | None = None


def steps_per_epoch(data: Data, settings: Training) -> int:
    """Return the number of batches of an epoch, including a smaller last one."""
    return math.ceil(len(data.train) / settings.batch_size)


def place(
    dataset: Prepared,
    settings: Training,
    device: torch.device,
    expected: Preprocessing | None = None,
) -> Data:
    """Put a data set on the training device, or only its labels if it is large.

    The images to train on and those held out are the same for every seed. `expected` is the preprocessing
    that trained weights require, for ``normalisation: weights``.
    """
    chosen, held_out = chosen_images(len(dataset.train_labels), settings.examples, settings.validation)
    return _placed(dataset, settings, device, expected, chosen, held_out)


def chosen_images(available: int, examples: int | None, validation: int) -> tuple[Tensor, Tensor]:
    """Return the indices of the images to train on and of those held out, the same for every seed."""
    shuffled = torch.randperm(available, generator=torch.Generator().manual_seed(derive_seed(0, "examples")))
    end = None if examples is None else validation + examples
    return shuffled[validation:end].sort().values, shuffled[:validation].sort().values


def place_test(
    dataset: Prepared,
    settings: Forward,
    device: torch.device,
    expected: Preprocessing | None = None,
    chosen: Tensor | None = None,
) -> Data:
    """Put the test images of a data set on a device, see `place`. Labels and training images are optional.

    `chosen` are the indices of the training images, in the order that they will have.
    """
    return _placed(dataset, settings, device, expected, chosen, torch.empty(0, dtype=torch.int64))


def _placed(
    dataset: Prepared,
    settings: Forward,
    device: torch.device,
    expected: Preprocessing | None,
    chosen: Tensor | None,
    held_out: Tensor,
) -> Data:
    images = len(held_out) + (0 if chosen is None else len(chosen)) + len(dataset.test_labels)
    large = images * math.prod(dataset.shape) > _room(device)
    if large:
        log.info("%d images are too many for memory: each batch is read from the file", images)

    def split(images, labels, rows: Tensor) -> Split:
        gathered = Gathered(images, rows.numpy(), device)
        return Split(gathered if large else gathered.load(), torch.from_numpy(labels)[rows].to(device))

    mean, std = _scaling(dataset, settings.normalisation, expected)
    return Data(
        train=None if chosen is None else split(dataset.train_images, dataset.train_labels, chosen),
        test=split(dataset.test_images, dataset.test_labels, torch.arange(len(dataset.test_labels))),
        validation=split(dataset.train_images, dataset.train_labels, held_out) if len(held_out) else None,
        mean=mean.to(device),
        # A constant channel would be divided by zero.
        std=torch.where(std > 0, std, 1.0).to(device),
        colour=(255 * torch.from_numpy(dataset.mean)).round().to(torch.uint8).to(device),
        resizing=expected and expected.resizing,
    )


def _scaling(
    dataset: Prepared, normalisation: str | Scaling, expected: Preprocessing | None
) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation for the normalisation of pixels / 255, channel by channel."""
    channels = dataset.shape[0]
    if expected is not None:
        mean, std = expected.mean, expected.std
    elif isinstance(normalisation, Scaling):
        mean, std = normalisation.mean, normalisation.std
    elif normalisation == "symmetric":
        mean = std = channels * [0.5]
    else:
        mean, std = dataset.mean, dataset.std
    return channel_values(mean, channels), channel_values(std, channels)


def _room(device: torch.device) -> int:
    """Return how many bytes of images may be kept on a device."""
    if device.type != "cuda":
        return IN_MEMORY
    # The rest is for the network and its activations.
    return torch.cuda.get_device_properties(device).total_memory // 4
