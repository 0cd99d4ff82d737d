"""From pixels to the input of a network: normalisation, and the resizing that trained weights require."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from prunescope import kinds
from prunescope.errors import InputError


@dataclass(frozen=True)
class Preprocessing:
    """How images were prepared when weights were trained.

    Attributes
    ----------
    mean, std : tuple of float
        Normalisation of pixels / 255, channel by channel.
    resizing : dict
        ``size``, the length of the shorter side or [height, width]; ``crop``, [height, width] of the central
        part that the network sees; ``interpolation``, ``bilinear`` or ``bicubic``.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    resizing: dict


@cache
def preprocessing_of(name: str) -> Preprocessing:
    """Return the preprocessing that a network's trained weights require; nothing is downloaded."""
    kind = kinds.find("network", name, "network.name")
    if "preprocessing" not in kind.functions:
        raise InputError(
            f"training.normalisation = weights: {name} has no preprocessing of its own; choose dataset or "
            "symmetric, or a torchvision or timm network"
        )
    return kinds.imported(kind.functions["preprocessing"])(kinds.rest(kind, name))


def input_shape(shape: Sequence[int], resizing: dict | None) -> tuple[int, ...]:
    """Return channels, height and width of a network's input for images of a shape."""
    return (shape[0], *(resizing["crop"] if resizing else shape[1:]))


def resize(images: Tensor, size: int | Sequence[int], crop: Sequence[int], interpolation: str) -> Tensor:
    """Resize images with pixels in [0, 255], and cut out their centre, as torchvision's transforms do.

    `size`, `crop` and `interpolation` are those of `Preprocessing`. The result is zero where the images are
    smaller than the crop.
    """
    height, width = images.shape[2:]
    shorter = min(height, width)
    wanted = [size * height // shorter, size * width // shorter] if isinstance(size, int) else list(size)
    if wanted != [height, width]:
        images = F.interpolate(images, wanted, mode=interpolation, antialias=True, align_corners=False)
        images = images.clamp(0, 255)  # bicubic interpolation overshoots
    missing = [max(0, crop[0] - wanted[0]), max(0, crop[1] - wanted[1])]
    if any(missing):
        top, left = (number // 2 for number in missing)
        images = F.pad(images, (left, missing[1] - left, top, missing[0] - top))
    # round() as in torchvision's center_crop.
    top, left = (round((images.shape[2 + axis] - crop[axis]) / 2) for axis in (0, 1))
    return images[:, :, top : top + crop[0], left : left + crop[1]]


def normalise(images: Tensor, mean: Tensor, std: Tensor, resizing: dict | None = None) -> Tensor:
    """Turn pixels into a network's input: resize, then (pixel / 255 - mean) / std, channel by channel.

    Images (N, C, H, W) have pixels in [0, 255], mean and standard deviation are on the scale [0, 1].
    `resizing` is that of `Preprocessing`; None leaves the size unchanged. The memory format is kept.
    """
    mean = torch.as_tensor(mean, dtype=torch.float64, device=images.device).view(-1, 1, 1)
    std = torch.as_tensor(std, dtype=torch.float64, device=images.device).view(-1, 1, 1)
    pixels = resize(images.float(), **resizing) if resizing else images.float()
    return torch.addcmul((-mean / std).float(), pixels, (1 / (255 * std)).float())


def channel_values(values: Sequence[float], channels: int) -> Tensor:
    """Return a mean or standard deviation for each channel; refuse images with another number of channels."""
    if len(values) != channels:
        raise InputError(
            f"training.normalisation: has values for {len(values)} channels, but the images have {channels}; "
            "choose dataset or symmetric, or give one value for each channel"
        )
    return torch.as_tensor(values, dtype=torch.float64)
