"""Criteria that run the network, see `prunescope.pruning.criteria`: SNIP, GraSP, SynFlow, Wanda."""

from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.settings.training import Forward
from prunescope.training.data import Data
from prunescope.training.evaluate import forward

Scores = dict[str, Tensor]


def snip(network: nn.Module, weights: Scores, sample: Data, settings: Forward) -> Scores:
    """|w × gradient|."""
    gradient = _gradient(network, weights, sample, settings)
    return {name: (weight * gradient[name]).abs() for name, weight in weights.items()}


def grasp(network: nn.Module, weights: Scores, sample: Data, settings: Forward) -> Scores:
    """w × (H g): without w, the squared norm of the gradient is lower by about twice that."""
    gradient = _gradient(network, weights, sample, settings)
    product = _gradient(network, weights, sample, settings, along=gradient)
    return {name: weight * product[name] for name, weight in weights.items()}


def _gradient(
    network: nn.Module, weights: Scores, sample: Data, settings: Forward, along: Scores | None = None
) -> Scores:
    """Return the gradient g of the sample's mean loss; with `along`, the product of the Hessian with it.

    The product H v is the gradient of g · v.
    """
    network.eval()
    for module in network.modules():
        # Running statistics of an untrained network are not those of its activations.
        if isinstance(module, _BatchNorm):
            module.train()
    parameters = [network.get_parameter(name).requires_grad_(True) for name in weights]
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for images, labels in sample.train.batches():
        logits = forward(network, images, sample, settings)
        value = F.cross_entropy(logits, labels, reduction="sum") / len(sample.train)
        if along is not None:
            first = _derivative(value, parameters, create_graph=True)
            directions = [along[name].to(part.device) for name, part in zip(weights, first, strict=True)]
            value = sum((part * way).sum() for part, way in zip(first, directions, strict=True))
        torch._foreach_add_(total, _derivative(value, parameters))
    return {name: part.cpu() for name, part in zip(weights, total, strict=True)}


def synflow(network: nn.Module, weights: Scores, shape: list[int]) -> Scores:
    """w × ∂R/∂w with |w| in place of w, no biases, and R the sum of the outputs for an image of ones."""
    network.eval().double()  # the products of many layers
    for name, value in network.state_dict().items():
        if isinstance(value, Tensor) and value.is_floating_point():
            shift = name.rpartition(".")[2] in ("bias", "running_mean")
            value.copy_(0 * value if shift else value.abs())
    parameters = [network.get_parameter(name).requires_grad_(True) for name in weights]
    ones = torch.ones(1, *shape, dtype=torch.float64, device=parameters[0].device)
    flow = _derivative(network(ones).sum(), parameters)
    return {
        name: (parameter * part).detach().cpu()
        for name, parameter, part in zip(weights, parameters, flow, strict=True)
    }


def _derivative(value: Tensor, parameters: list[Tensor], **options) -> tuple[Tensor, ...]:
    """Return the gradient of a value; zero for parameters that it does not depend on."""
    return torch.autograd.grad(value, parameters, materialize_grads=True, **options)


def wanda(network: nn.Module, weights: Scores, sample: Data, settings: Forward) -> Scores:
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
def input_lengths(network: nn.Module, weights: Scores, sample: Data, settings: Forward) -> Scores:
    """Return ‖x‖₂ for each weight: over all images of the sample, and positions of a convolution."""
    if other := modules.unusual(network, weights):
        raise InputError(
            f"pruning.prunable: {other} is not the weight of an ordinary linear layer or convolution; "
            "leave it out"
        )
    network.eval()
    squares = {name: torch.zeros(weight.shape, dtype=torch.float64) for name, weight in weights.items()}
    first = modules.first_names(network)

    def add(name: str):
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            # The derivative of the sum of all outputs with respect to w is the sum of all x. With x² as the
            # input, it is the sum of their squares, whatever stride, padding and groups there are.
            squared = inputs[0].float().square()
            with torch.enable_grad(), torch.autocast(squared.device.type, enabled=False):
                total = type(module).forward(module, squared).sum()
                squares[name].add_(torch.autograd.grad(total, module.weight)[0].cpu())

        return hook

    with ExitStack() as stack:
        for layer, module in network.named_modules():
            for key in modules.weights_of(module):
                name = first[f"{layer}.{key}"] if layer else ""
                if name not in weights:
                    continue
                module.weight.requires_grad_(True)
                stack.callback(module.register_forward_pre_hook(add(name)).remove)
        for images, _ in sample.train.batches():
            forward(network, images, sample, settings)
    return {name: total.sqrt() for name, total in squares.items()}
