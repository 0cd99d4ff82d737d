"""LeNets: two small ones with convolutions, and the fully-connected LeNet-300-100."""

import math

from torch import nn

from prunescope.networks.layers import Shape, glorot_normal, sequence


def lenet_small(shape: Shape, classes: int) -> nn.Module:
    """LeNet for 8×8 images: two 3×3 convolutions, two hidden linear layers."""
    channels, height, width = shape
    return sequence(
        conv1=nn.Conv2d(channels, 8, 3, padding=1),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(8, 16, 3, padding=1),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        linear3=nn.Linear(16 * (height // 4) * (width // 4), 64),
        relu3=nn.ReLU(),
        linear4=nn.Linear(64, 32),
        relu4=nn.ReLU(),
        output=nn.Linear(32, classes),
    )


def lenet5(shape: Shape, classes: int) -> nn.Module:
    """LeNet-5 as Ansuini et al. (2020) used it on 28×28 images: ReLU, average pools, 256-120-84-10."""
    channels, height, width = shape
    rows, columns = (((length - 4) // 2 - 4) // 2 for length in (height, width))
    return sequence(
        conv1=nn.Conv2d(channels, 6, 5),
        relu1=nn.ReLU(),
        pool1=nn.AvgPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        relu2=nn.ReLU(),
        pool2=nn.AvgPool2d(2),
        flatten=nn.Flatten(),
        linear3=nn.Linear(16 * rows * columns, 120),
        relu3=nn.ReLU(),
        linear4=nn.Linear(120, 84),
        relu4=nn.ReLU(),
        output=nn.Linear(84, classes),
    )


def lenet300(shape: Shape, classes: int) -> nn.Module:
    """LeNet-300-100 of the lottery ticket hypothesis (Frankle & Carbin 2019)."""
    return glorot_normal(
        sequence(
            flatten=nn.Flatten(),
            linear1=nn.Linear(math.prod(shape), 300),
            relu1=nn.ReLU(),
            linear2=nn.Linear(300, 100),
            relu2=nn.ReLU(),
            output=nn.Linear(100, classes),
        )
    )
