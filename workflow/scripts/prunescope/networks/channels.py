"""Output channels of layers: the parameters that belong to a channel, and what dead channels cost."""

import copy
import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from prunescope.networks import modules
from prunescope.networks.build import trace
from prunescope.networks.layers import Shape
from prunescope.networks.masks import Masks


def obstacle(network: nn.Module, names: Iterable[str], shape: Shape) -> str:
    """Return why whole channels of these weights cannot be pruned; an empty text if they can."""
    names, first, ran = list(names), modules.first_names(network), []
    if other := modules.unusual(network, names):
        return f"{other} is not the weight of an ordinary linear layer or convolution"
    owners = modules.owners(network)
    trace(network, shape, {owners[name][1]: lambda _, n=name: ran.append(n) for name in owners})
    # The layer that runs last, wherever it is declared, gives the outputs of the network.
    last = [owners[name][0] for name in ran[-1:] if first[name] in names]
    return f"the channels of {last[0]} are the classes" if last else ""


def companions(network: nn.Module, names: Iterable[str], shape: Shape) -> dict[str, list[str]]:
    """Return the parameters with one number for each output channel of a weight, by the weight's name.

    They are the bias of its module, and those of a batch norm that reads its output and is used once.
    """
    first, made, read, handles = modules.first_names(network), {}, {}, []
    found: dict[str, list[str]] = {name: [] for name in names}
    for place, module in network.named_modules():
        if (name := first.get(f"{place}.weight")) in found:
            # The outputs are kept, so that no other tensor gets the same id.
            handles.append(
                module.register_forward_hook(lambda _, __, out, n=name: made.update({id(out): (n, out)}))
            )
            bias = first.get(f"{place}.bias")
            found[name] += [bias] if bias and bias not in found[name] else []
        if isinstance(module, _BatchNorm):
            handles.append(
                module.register_forward_pre_hook(
                    lambda _, x, p=place: read.setdefault(p, []).append(id(x[0]))
                )
            )
    try:
        trace(network, shape)
    finally:
        for handle in handles:
            handle.remove()
    for place, inputs in read.items():
        if len(inputs) == 1 and inputs[0] in made:
            both = [f"{place}.weight", f"{place}.bias"]
            found[made[inputs[0]][0]] += [name for name in both if name in first]
    return found


@torch.no_grad()
def cost_of_dead_channels(network: nn.Module, masks: Masks, shape: Shape) -> dict[str, int]:
    """Count what a network would not have without the output channels that have no weight left.

    These are also the weights of later layers that are multiplied with them, entries of batch norms, and
    channels that have no other input; of linear layers and convolutions.

    Returns
    -------
    dict
        ``parameters`` and ``macs`` (multiply–accumulate operations for one image).
    """
    removed, macs, seen = 0, 0, set()

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        nonlocal removed, macs
        axis = 1 if isinstance(module, _ConvNd | _BatchNorm) else -1
        alive_in, alive_out = _alive(inputs[0], axis), _alive(output, axis)
        own = [value for value in module.parameters(recurse=False) if value.ndim == 1]
        left = len(own) * int(alive_out.sum())
        if isinstance(module, _BatchNorm):
            total = len(own) * len(alive_out)
        else:
            groups = getattr(module, "groups", 1)
            pairs = alive_in.view(groups, -1).sum(1) * alive_out.view(groups, -1).sum(1)
            weights = int(pairs.sum()) * math.prod(module.weight.shape[2:])
            uses = output.numel() // len(alive_out)
            macs += (module.weight.numel() - weights) * uses
            left += weights
            total = module.weight.numel() + sum(value.numel() for value in own)
        if module not in seen:
            removed += total - left
            seen.add(module)
        # In deep networks, means over ever fewer ones would vanish.
        return (output != 0).to(output.dtype)

    alike = _of_ones(network, masks)
    for module in alike.modules():
        if isinstance(module, nn.Linear | _ConvNd | _BatchNorm) and not isinstance(module, _ConvTransposeNd):
            module.register_forward_hook(count)
        elif "Norm" in type(module).__name__:
            # It would subtract a mean, and what is positive would not stay so.
            module.register_forward_hook(lambda _, inputs, __: inputs[0])
    device = next(alike.parameters()).device
    alike(torch.ones(1, *shape, device=device))
    return {"parameters": removed, "macs": macs}


def _alive(values: Tensor, axis: int) -> Tensor:
    """Return which channels have a number other than zero."""
    return (values != 0).movedim(axis, 0).flatten(1).any(1)


def _of_ones(network: nn.Module, masks: Masks) -> nn.Module:
    """Return a copy of a network whose outputs are positive where weights lead, and 0 elsewhere.

    Each output of a layer is the mean of the inputs that it has a weight left for.
    """
    alike = copy.deepcopy(network).eval()
    for name, value in [*alike.named_parameters(), *alike.named_buffers()]:
        if not value.is_floating_point():
            continue
        kept = masks.get(name, torch.ones(value.shape, dtype=torch.bool)).to(value.device)
        if name.rpartition(".")[2] in ("bias", "running_mean"):
            value.data.zero_()
        elif value.ndim > 1:
            value.data.copy_(kept / kept.flatten(1).sum(1).clamp(min=1).view(-1, *[1] * (value.ndim - 1)))
        else:
            value.data.copy_(kept)
    return alike
