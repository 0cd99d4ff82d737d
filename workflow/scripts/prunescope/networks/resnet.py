"""Residual networks for 32×32 images."""

import torch
from torch import nn

from prunescope.networks.layers import Shape, he_normal, sequence


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al. 2016), which is a 1×1 convolution where sizes change."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = sequence(
                conv=nn.Conv2d(channels, width, 1, stride, bias=False), norm=nn.BatchNorm2d(width)
            )
        self.relu2 = nn.ReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        inner = self.relu1(self.norm1(self.conv1(inputs)))
        return self.relu2(self.norm2(self.conv2(inner)) + self.shortcut(inputs))


def resnet20(shape: Shape, classes: int) -> nn.Module:
    """ResNet-20 for CIFAR-10 (He et al. 2016) with projection shortcuts, as in open_lth."""
    blocks: dict[str, nn.Module] = {}
    channels = 16
    for stage, width in enumerate((16, 32, 64), start=1):
        for number in range(1, 4):
            blocks[f"block{stage}_{number}"] = Block(channels, width, 2 if stage > 1 and number == 1 else 1)
            channels = width
    return he_normal(
        sequence(
            conv=nn.Conv2d(shape[0], 16, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(16),
            relu=nn.ReLU(),
            **blocks,
            average=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            output=nn.Linear(64, classes),
        )
    )


class Residual(nn.Module):
    """Add the output of two layers to their input."""

    def __init__(self, width: int):
        super().__init__()
        self.res1 = _layer(width, width)
        self.res2 = _layer(width, width)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + self.res2(self.res1(inputs))


class Scale(nn.Module):
    """Multiply by a constant."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * self.factor


def _layer(channels: int, width: int, **more: nn.Module) -> nn.Sequential:
    return sequence(
        conv=nn.Conv2d(channels, width, 3, padding=1, bias=False),
        norm=nn.BatchNorm2d(width),
        relu=nn.ReLU(),
        **more,
    )


def resnet_cifar10_fast(shape: Shape, classes: int) -> nn.Module:
    """Network of the sequel to Ansuini et al. for 32×32 images, a fork of Page's cifar10-fast."""
    return sequence(
        prep=_layer(shape[0], 64),
        layer1=_layer(64, 128, pool=nn.MaxPool2d(2), residual=Residual(128)),
        layer2=_layer(128, 256, pool=nn.MaxPool2d(2)),
        layer3=_layer(256, 512, pool=nn.MaxPool2d(2), residual=Residual(512)),
        pool=nn.MaxPool2d(4),
        flatten=nn.Flatten(),
        output=nn.Linear(512, classes, bias=False),
        scale=Scale(0.125),
    )
