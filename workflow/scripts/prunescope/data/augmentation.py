"""Random changes of training images: drawn for a whole epoch, applied batch by batch on the device."""

import torch
from torch import Tensor
from torch.nn import functional as F

from prunescope.settings.training import Augmentation


def draw(
    augmentation: Augmentation, count: int, size: tuple[int, int], generator: torch.Generator
) -> dict[str, Tensor]:
    """Draw the changes of `count` images.

    Parameters
    ----------
    augmentation : Augmentation
    count : int
    size : tuple of int
        Height and width of an image.
    generator : torch.Generator
        On the CPU, so that the numbers are the same for every training device.

    Returns
    -------
    dict of str to Tensor
        Only the changes in `augmentation`; the first axis is the images.
    """
    height, width = size
    drawn = {}
    if augmentation.crop:
        drawn["crop"] = torch.randint(2 * augmentation.crop + 1, (count, 2), generator=generator)
    if augmentation.flip:
        drawn["flip"] = torch.rand(count, generator=generator) < 0.5
    if augmentation.affine:
        drawn["affine"] = _affine(augmentation, count, size, generator)
    if augmentation.cutout:
        side_h, side_w = min(augmentation.cutout, height), min(augmentation.cutout, width)
        top = torch.randint(height - side_h + 1, (count,), generator=generator)
        left = torch.randint(width - side_w + 1, (count,), generator=generator)
        drawn["cutout"] = torch.stack([top, left], dim=1)
    return drawn


def _affine(
    augmentation: Augmentation, count: int, size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Matrices (count, 2, 3) from output to input coordinates in [-1, 1], as `affine_grid` expects them."""
    height, width = size
    angle, dx, dy, log_scale = torch.rand(4, count, generator=generator)
    angle = torch.deg2rad((2 * angle - 1) * augmentation.rotate)
    low, high = augmentation.scale
    scale = low + (high - low) * log_scale
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # [-1, 1] spans both sides, so rotating a non-square image needs its aspect ratio.
    shift_x = 2 * augmentation.translate * (2 * dx - 1)
    shift_y = 2 * augmentation.translate * (2 * dy - 1)
    first = torch.stack([cos, sin * height / width, shift_x], dim=1)
    second = torch.stack([-sin * width / height, cos, shift_y], dim=1)
    return torch.stack([first, second], dim=1)


def apply(augmentation: Augmentation, images: Tensor, drawn: dict[str, Tensor], colour: Tensor) -> Tensor:
    """Change a batch of images.

    Parameters
    ----------
    augmentation : Augmentation
    images : Tensor of uint8, shape (N, C, H, W)
    drawn : dict of str to Tensor
        This batch's rows of the result of `draw`, on the images' device.
    colour : Tensor of uint8, shape (C,)
        Colour with which cutout fills its square.

    Returns
    -------
    Tensor of uint8 or float32, shape (N, C, H, W)
        Pixels in [0, 255], in the memory format of `images`; float32 where images were resampled.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device).view(1, -1)
    columns = torch.arange(width, device=images.device).view(1, -1)
    if "crop" in drawn or "flip" in drawn:
        take_rows, take_columns = rows, columns
        if "flip" in drawn:
            take_columns = torch.where(drawn["flip"].view(-1, 1), width - 1 - columns, columns)
        if "crop" in drawn:
            images = F.pad(images, [augmentation.crop] * 4)
            take_rows = take_rows + drawn["crop"][:, :1]
            take_columns = take_columns + drawn["crop"][:, 1:]
        take_rows = take_rows.expand(len(images), -1)
        each = torch.arange(len(images), device=images.device).view(-1, 1, 1)
        images = images.permute(0, 2, 3, 1)[each, take_rows.unsqueeze(2), take_columns.unsqueeze(1)]
        images = images.permute(0, 3, 1, 2)
    if "affine" in drawn:
        grid = F.affine_grid(drawn["affine"], list(images.shape), align_corners=False)
        images = F.grid_sample(images.float(), grid, align_corners=False)
    if "cutout" in drawn:
        top, left = drawn["cutout"][:, :1], drawn["cutout"][:, 1:]
        in_rows = (rows >= top) & (rows < top + augmentation.cutout)
        in_columns = (columns >= left) & (columns < left + augmentation.cutout)
        square = (in_rows.unsqueeze(2) & in_columns.unsqueeze(1)).unsqueeze(1)
        images = torch.where(square, colour.view(1, -1, 1, 1).to(images.dtype), images)
    return images
