"""Criteria that see the inputs of layers, see `prunescope.pruning.criteria`."""

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.settings.training import Forward
from prunescope.training.data import Data
from prunescope.training.evaluate import forward


def wanda(
    network: nn.Module, weights: dict[str, Tensor], sample: Data, settings: Forward
) -> dict[str, Tensor]:
    """Rank of |w| · ‖x‖₂ among the weights of its output, from 0 to 1; x is what w is multiplied with.

    So each output of a layer loses the same fraction of its weights.
    """
    lengths = input_lengths(network, weights, sample, settings)
    scores = {}
    for name, weight in weights.items():
        # What was pruned comes first, also where inputs are zero.
        outputs = (weight.abs() * lengths[name]).masked_fill(weight == 0, -1).flatten(1)
        ranks = outputs.argsort(dim=1, stable=True).argsort(dim=1)
        scores[name] = (ranks.double() / outputs.shape[1]).view_as(weight)
    return scores


@torch.no_grad()
def input_lengths(
    network: nn.Module, weights: dict[str, Tensor], sample: Data, settings: Forward
) -> dict[str, Tensor]:
    """Return ‖x‖₂ for each weight: over all images of the sample, and positions of a convolution."""
    if other := modules.unusual(network, weights):
        raise InputError(
            f"pruning.prunable: {other} is not the weight of an ordinary linear layer or convolution; "
            "leave it out"
        )
    network.eval()
    found = {name: torch.zeros(weight.shape, dtype=torch.float64) for name, weight in weights.items()}
    names = modules.first_names(network)

    def add(name: str):
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            # The derivative of the sum of all outputs with respect to w is the sum of all x. With x² as the
            # input, it is the sum of their squares, whatever stride, padding and groups there are.
            squares = inputs[0].float().square()
            with torch.enable_grad(), torch.autocast(squares.device.type, enabled=False):
                total = type(module).forward(module, squares).sum()
                found[name].add_(torch.autograd.grad(total, module.weight)[0].cpu())

        return hook

    with ExitStack() as stack:
        for place, module in network.named_modules():
            for key in modules.weights_of(module):
                name = names[f"{place}.{key}"] if place else ""
                if name not in weights:
                    continue
                module.weight.requires_grad_(True)
                stack.callback(module.register_forward_pre_hook(add(name)).remove)
        for images, _ in sample.train.batches():
            forward(network, images, sample, settings)
    return {name: total.sqrt() for name, total in found.items()}
