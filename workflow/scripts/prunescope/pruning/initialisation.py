"""Criteria for untrained networks, see `prunescope.pruning.criteria`."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

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
