"""VGG-like networks: 3×3 convolutions with batch norm, one linear layer."""

from collections.abc import Sequence

from torch import nn

from prunescope.networks.layers import Shape, convolutions, he_normal, sequence


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
        **convolutions(channels, plan, norm=True),
        average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        output=nn.Linear([step for step in plan if step != "M"][-1], classes),
    )
