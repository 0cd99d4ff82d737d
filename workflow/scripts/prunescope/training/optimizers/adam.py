from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from prunescope.training.optimizers import Optimizer


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
