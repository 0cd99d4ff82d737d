"""Parts that several networks share: sequences with named modules, convolution plans, initialisations.

Every activation function and every pool is a separate module, never reused and never in place, so that each
can be recorded; the last linear layer is called ``output``.
"""

from collections.abc import Sequence

import torch
from torch import nn

Shape = Sequence[int]


def sequence(**modules: nn.Module) -> nn.Sequential:
    """Return a sequence of named modules."""
    network = nn.Sequential()
    for name, module in modules.items():
        network.add_module(name, module)
    return network


def convolutions(channels: int, plan: Sequence[int | str], norm: bool) -> dict[str, nn.Module]:
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


@torch.no_grad()
def glorot_normal(network: nn.Module) -> nn.Module:
    """Initialise as Frankle & Carbin (2019): Glorot normal weights, zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)
    return network


@torch.no_grad()
def he_normal(network: nn.Module) -> nn.Module:
    """Initialise as open_lth does by default: He normal weights, batch norm scales uniform in [0, 1]."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
    return network
