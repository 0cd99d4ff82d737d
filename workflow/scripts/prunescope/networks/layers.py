"""Parts that several networks share: sequences with named modules, initialisations.

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
