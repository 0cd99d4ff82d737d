"""VGG-like networks: 3×3 convolutions and max pools.

The VGGs have batch norm and one linear layer; Conv-2, Conv-4 and Conv-6 have three linear layers.
"""

from collections.abc import Sequence

from torch import nn

from prunescope.networks.layers import Shape, glorot_normal, he_normal, sequence


def vgg_svhn(shape: Shape, classes: int) -> nn.Module:
    """VGG-like network of Ansuini et al. (2020) for SVHN: 586,154 parameters on colour images."""
    plan = (32, 32, "M", 64, 64, "M", 128, 128, "M", 256, "M")
    return _vgg(shape[0], classes, plan)


def vgg16_bn(shape: Shape, classes: int) -> nn.Module:
    """VGG-16 with batch norm and one linear layer, as in open_lth for CIFAR-10."""
    plan = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
    return he_normal(_vgg(shape[0], classes, plan))


def _vgg(channels: int, classes: int, plan: Sequence[int | str]) -> nn.Module:
    return sequence(
        **_convolutions(channels, plan, norm=True),
        average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        output=nn.Linear([step for step in plan if step != "M"][-1], classes),
    )


def conv2(shape: Shape, classes: int) -> nn.Module:
    """Conv-2 of the lottery ticket hypothesis (Frankle & Carbin 2019)."""
    return _conv_pairs(shape, classes, (64,))


def conv4(shape: Shape, classes: int) -> nn.Module:
    """Conv-4 of the lottery ticket hypothesis (Frankle & Carbin 2019)."""
    return _conv_pairs(shape, classes, (64, 128))


def conv6(shape: Shape, classes: int) -> nn.Module:
    """Conv-6 of the lottery ticket hypothesis (Frankle & Carbin 2019)."""
    return _conv_pairs(shape, classes, (64, 128, 256))


def _conv_pairs(shape: Shape, classes: int, widths: Sequence[int]) -> nn.Module:
    channels, height, width = shape
    plan = [step for channels_out in widths for step in (channels_out, channels_out, "M")]
    last = 2 * len(widths)
    inputs = widths[-1] * (height >> len(widths)) * (width >> len(widths))
    return glorot_normal(
        sequence(
            **_convolutions(channels, plan, norm=False),
            **{
                "flatten": nn.Flatten(),
                f"linear{last + 1}": nn.Linear(inputs, 256),
                f"relu{last + 1}": nn.ReLU(),
                f"linear{last + 2}": nn.Linear(256, 256),
                f"relu{last + 2}": nn.ReLU(),
                "output": nn.Linear(256, classes),
            },
        )
    )


def _convolutions(channels: int, plan: Sequence[int | str], norm: bool) -> dict[str, nn.Module]:
    """Return a 3×3 convolution and a ReLU for each width of a plan, and a 2×2 max pool for each ``M``."""
    modules: dict[str, nn.Module] = {}
    number = 0
    for step in plan:
        if step == "M":
            modules[f"pool{number}"] = nn.MaxPool2d(2)
            continue
        number += 1
        modules[f"conv{number}"] = nn.Conv2d(channels, step, 3, padding=1)
        if norm:
            modules[f"norm{number}"] = nn.BatchNorm2d(step)
        modules[f"relu{number}"] = nn.ReLU()
        channels = step
    return modules
