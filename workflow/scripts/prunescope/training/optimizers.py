"""Optimisers: subclasses of `Optimizer`."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from prunescope.errors import InputError


class Optimizer:
    """Base class of optimisers: parameter groups with and without weight decay, and their state.

    A subclass defines `fresh` and `update` and takes its own settings as keyword arguments. The update rules
    are torch's functions, without its optimiser classes: the first use of such a class imports torch's
    compiler, which takes longer than many training runs.

    Parameters
    ----------
    network : torch.nn.Module
        Parameters that require no gradient, or get none from the loss, are left as they are.
    decay_norm_and_bias : bool
        Whether weight decay also applies to parameters with one dimension: batch norm and biases.
    weight_decay : float
    """

    def __init__(self, network: nn.Module, decay_norm_and_bias: bool, *, weight_decay: float = 0.0):
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        if not self.parameters:
            raise InputError("network: no parameter requires a gradient, so there is nothing to train")
        decayed = [p for p in self.parameters if decay_norm_and_bias or p.ndim > 1]
        others = [p for p in self.parameters if not decay_norm_and_bias and p.ndim <= 1]
        self.groups = [(group, decay) for group, decay in ((decayed, weight_decay), (others, 0.0)) if group]
        self.state = [self.fresh(group) for group, _ in self.groups]

    def fresh(self, group: list[nn.Parameter]) -> list[list[Tensor | None]]:
        """Return the state of a group of parameters before the first step: lists as long as the group."""
        raise NotImplementedError

    def update(
        self, group: list[nn.Parameter], gradients: list[Tensor], state: list, rate: float, decay: float
    ) -> None:
        """Change a group of parameters and its state in place."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Reset the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update the parameters by one step with learning rate `rate`."""
        for (group, decay), state in zip(self.groups, self.state, strict=True):
            used = [index for index, parameter in enumerate(group) if parameter.grad is not None]
            used_state = [[values[index] for index in used] for values in state]
            gradients = [group[index].grad for index in used]
            self.update([group[index] for index in used], gradients, used_state, rate, decay)
            for values, new in zip(state, used_state, strict=True):
                for index, value in zip(used, new, strict=True):
                    values[index] = value

    def load_state(self, state: list) -> None:
        """Load the `state` of an equal optimiser."""
        device = self.parameters[0].device
        self.state = [
            [[value if value is None else value.to(device) for value in values] for values in group]
            for group in state
        ]


class SGD(Optimizer):
    """Stochastic gradient descent."""

    def __init__(
        self,
        network: nn.Module,
        decay_norm_and_bias: bool,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        self.momentum, self.nesterov = momentum, nesterov
        super().__init__(network, decay_norm_and_bias, weight_decay=weight_decay)

    def fresh(self, group: list[nn.Parameter]) -> list[list[Tensor | None]]:
        return [[None] * len(group)]

    def update(self, group, gradients, state, rate, decay):
        sgd(
            group,
            gradients,
            *state,
            momentum=self.momentum,
            dampening=0.0,
            nesterov=self.nesterov,
            fused=True,
            weight_decay=decay,
            lr=rate,
            maximize=False,
        )


class Adam(Optimizer):
    """Adam."""

    decoupled = False

    def __init__(
        self,
        network: nn.Module,
        decay_norm_and_bias: bool,
        *,
        betas: Sequence[float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ):
        self.betas = betas
        super().__init__(network, decay_norm_and_bias, weight_decay=weight_decay)

    def fresh(self, group: list[nn.Parameter]) -> list[list[Tensor | None]]:
        moments = [[torch.zeros_like(p, requires_grad=False) for p in group] for _ in range(2)]
        return [*moments, [torch.zeros((), device=p.device) for p in group]]

    def update(self, group, gradients, state, rate, decay):
        first, second, steps = state
        adam(
            *(group, gradients, first, second, [], steps),
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            eps=1e-8,
            decoupled_weight_decay=self.decoupled,
            fused=True,
            weight_decay=decay,
            lr=rate,
            maximize=False,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    decoupled = True
