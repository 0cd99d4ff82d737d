"""Optimisers and learning-rate schedules."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd


class Optimizer:
    """SGD, Adam or AdamW; keyword arguments as in the experiment file.

    These are torch's own update rules, but not its optimiser classes: using one of those for the first time
    imports torch's compiler, which takes longer than many a training.

    Parameters
    ----------
    network : torch.nn.Module
    decay_norm_and_bias : bool
        Whether weight decay also applies to parameters with one dimension: batch norm and biases.
    name : {'sgd', 'adam', 'adamw'}
    lr : float
        Base learning rate; `step` takes the one that counts.
    """

    def __init__(
        self,
        network: nn.Module,
        decay_norm_and_bias: bool,
        *,
        name: str,
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        betas: Sequence[float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ):
        self.name, self.momentum, self.nesterov, self.betas = name, momentum, nesterov, betas
        self.parameters = list(network.parameters())
        decayed = [p for p in self.parameters if decay_norm_and_bias or p.ndim > 1]
        others = [p for p in self.parameters if not decay_norm_and_bias and p.ndim <= 1]
        self.groups = [(group, decay) for group, decay in ((decayed, weight_decay), (others, 0.0)) if group]
        self.state = [self._fresh(group) for group, _ in self.groups]

    def _fresh(self, group: list[nn.Parameter]) -> list[list[Tensor | None]]:
        if self.name == "sgd":
            return [[None] * len(group)]
        moments = [[torch.zeros_like(p, requires_grad=False) for p in group] for _ in range(2)]
        return [*moments, [torch.zeros((), device=p.device) for p in group]]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Change the parameters by one step of learning rate `rate`."""
        for (group, decay), state in zip(self.groups, self.state, strict=True):
            gradients = [parameter.grad for parameter in group]
            common = {"fused": True, "weight_decay": decay, "lr": rate, "maximize": False}
            if self.name == "sgd":
                sgd(
                    group,
                    gradients,
                    *state,
                    momentum=self.momentum,
                    dampening=0.0,
                    nesterov=self.nesterov,
                    **common,
                )
            else:
                first, second, steps = state
                adam(
                    *(group, gradients, first, second, [], steps),
                    amsgrad=False,
                    beta1=self.betas[0],
                    beta2=self.betas[1],
                    eps=1e-8,
                    decoupled_weight_decay=self.name == "adamw",
                    **common,
                )

    def load_state(self, state: list) -> None:
        """Continue with the `state` of an equal optimiser."""
        device = self.parameters[0].device
        self.state = [
            [[value if value is None else value.to(device) for value in values] for values in group]
            for group in state
        ]


def schedule_factor(
    epoch: float,
    epochs: int,
    *,
    name: str,
    warmup_epochs: float = 0.0,
    milestones: Sequence[float] = (),
    gamma: float = 0.1,
    final: float = 0.0,
    points: Sequence[Sequence[float]] = (),
) -> float:
    """Return the factor on the base learning rate.

    Parameters
    ----------
    epoch : float
        Epochs done, with fractions.
    epochs : int
        Epochs of the whole training.
    name : {'constant', 'steps', 'cosine', 'linear'}
    warmup_epochs : float, default 0
        The factor first rises linearly from 0 over so many epochs, whatever the schedule.
    milestones, gamma
        `steps`: multiplied by `gamma` from each of these epochs on.
    final : float, default 0
        `cosine`: factor at the end (Loshchilov & Hutter 2017, without restarts).
    points : list of [epoch, factor]
        `linear`: joined by straight lines, constant outside.
    """
    factor = min(1.0, epoch / warmup_epochs) if warmup_epochs else 1.0
    if name == "steps":
        return factor * gamma ** sum(epoch >= milestone for milestone in milestones)
    if name == "cosine":
        done = min(1.0, max(0.0, epoch - warmup_epochs) / max(epochs - warmup_epochs, 1e-9))
        return factor * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done)))
    if name == "linear":
        return factor * _interpolate(epoch, points)
    return factor


def _interpolate(epoch: float, points: Sequence[Sequence[float]]) -> float:
    for (left, low), (right, high) in pairwise(points):
        if left <= epoch < right:
            return low + (high - low) * (epoch - left) / (right - left)
    return points[0][1] if epoch < points[0][0] else points[-1][1]
