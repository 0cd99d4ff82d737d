from torch import Tensor, nn
from torch.optim.sgd import sgd

from prunescope.training.optimizers import Optimizer


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
