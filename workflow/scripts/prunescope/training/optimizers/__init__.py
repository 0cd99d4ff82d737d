"""Optimisers. Each is a subclass of `Optimizer` in a file of this folder."""

import torch
from torch import Tensor, nn

from prunescope import kinds
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
            used = [place for place, parameter in enumerate(group) if parameter.grad is not None]
            own = [[values[place] for place in used] for values in state]
            gradients = [group[place].grad for place in used]
            self.update([group[place] for place in used], gradients, own, rate, decay)
            for values, new in zip(state, own, strict=True):
                for place, value in zip(used, new, strict=True):
                    values[place] = value

    def load_state(self, state: list) -> None:
        """Load the `state` of an equal optimiser."""
        device = self.parameters[0].device
        self.state = [
            [[value if value is None else value.to(device) for value in values] for values in group]
            for group in state
        ]


def build(network: nn.Module, decay_norm_and_bias: bool, *, name: str, lr: float, **settings) -> Optimizer:
    """Make an optimiser by name; keyword arguments as in the experiment file.

    `lr` is not used here: each step is given its learning rate.
    """
    return kinds.load("optimizer", name)(network, decay_norm_and_bias, **settings)
