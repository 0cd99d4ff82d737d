"""Which channels of a pruned network are on a path of kept weights from the input to the output.

The network itself is run, so that paths through sums, concatenations and any other code count. All kept
weights are 1, biases are 0, normalisations pass on their input, and maxima over positions become means. The
first image of a batch is black and the second is white. A channel can be reached from the input where their
outputs differ, and the output can be reached from it where its gradient is not zero. After each layer, both
become 0 or 1, because products over many layers could become zero or infinite.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from prunescope.networks import modules
from prunescope.networks.masks import Masks

# Functions that pass on their input; and maxima, of which the gradient would reach only the first position.
PASSED = {
    functional.batch_norm,
    functional.group_norm,
    functional.hardtanh,
    functional.instance_norm,
    functional.layer_norm,
    functional.local_response_norm,
    functional.normalize,
    functional.rms_norm,
}
POOLS = {
    functional.max_pool1d: functional.avg_pool1d,
    functional.max_pool2d: functional.avg_pool2d,
    functional.max_pool3d: functional.avg_pool3d,
}
ADAPTIVE = {
    functional.adaptive_max_pool1d: functional.adaptive_avg_pool1d,
    functional.adaptive_max_pool2d: functional.adaptive_avg_pool2d,
    functional.adaptive_max_pool3d: functional.adaptive_avg_pool3d,
}


def unreachable(network: nn.Module, shape: Sequence[int], masks: Masks) -> dict[str, list[bool | None]]:
    """Return which channels have no path of kept weights from the input, or none to the output.

    The network is in evaluation mode; its parameters are changed. The result has each module with weights
    that can be pruned, with its output channels in order: None where this cannot be traced, for a channel
    without a path even if nothing is pruned, and for a module whose output is not known or has other
    channels, e.g. within multi-head attention.
    """
    reached = _reached(network, shape, masks)
    complete = all(one is not None and one.all() for one in reached.values())
    dense = reached if complete else _reached(network, shape, {})
    off_path: dict[str, list[bool | None]] = {}
    for layer, weights in modules.weighted(network).items():
        module = network.get_submodule(layer)
        count = sum(len(modules.by_output(module, weight)) for weight in weights.values())
        if reached[layer] is None or len(reached[layer]) != count:
            off_path[layer] = [None] * count
        else:
            both = zip(reached[layer].tolist(), dense[layer].tolist(), strict=True)
            off_path[layer] = [not on_path if traced else None for on_path, traced in both]
    return off_path


def _reached(network: nn.Module, shape: Sequence[int], masks: Masks) -> dict[str, Tensor | None]:
    """Return which output channels of each module with weights are on a path; None where it never runs."""
    _set_parameters(network, masks)
    names = {module: name for name, module in network.named_modules() if modules.weights_of(module)}
    reached: dict[str, Tensor | None] = dict.fromkeys(names.values())

    def mark(module: nn.Module, _inputs, output):
        if not isinstance(output, Tensor):  # multi-head attention also returns its attention weights
            return (_Signal.apply(output[0]), *output[1:])
        signal = _Signal.apply(output)
        # A linear layer works on the last dimension, a convolution on the second.
        matrix = next(iter(modules.weights_of(module).values())).ndim == 2
        signal.register_hook(partial(note, names[module], -1 if matrix else 0, signal[1].detach() != 0))
        return signal

    def note(name: str, axis: int, forward: Tensor, gradient: Tensor) -> None:
        both = (forward & (gradient[1] != 0)).movedim(axis, 0)
        channels, before = both.reshape(len(both), -1).any(1), reached[name]
        reached[name] = channels if before is None else channels | before

    hooks = [module.register_forward_hook(mark) for module in names]
    try:
        with _Passing():
            output = network(torch.stack([torch.zeros(*shape), torch.ones(*shape)]).requires_grad_())
        # Equal numbers could cancel, e.g. in a softmax.
        weights = 0.5 + torch.rand(output[1].shape, generator=torch.Generator().manual_seed(0))
        output[1].backward(weights)
    finally:
        for hook in hooks:
            hook.remove()
    return reached


@torch.no_grad()
def _set_parameters(network: nn.Module, masks: Masks) -> None:
    weights = {name for layer in modules.weighted(network).values() for name in layer}
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(False)
        if name in weights:
            parameter.copy_(masks.get(name, torch.ones(())))
        elif "bias" in name.rpartition(".")[2]:
            parameter.zero_()
        else:  # e.g. the scale of a branch
            parameter.abs_()


class _Signal(torch.autograd.Function):
    """Sets an output to 1 where the second image differs from the first, else to 0; gradients likewise."""

    @staticmethod
    def forward(_, output: Tensor) -> Tensor:
        differs = (output[1:] - output[:1]).nan_to_num() != 0
        return torch.cat([torch.zeros_like(differs), differs]).to(output.dtype)

    @staticmethod
    def backward(_, gradient: Tensor) -> Tensor:
        return (gradient.nan_to_num() != 0).to(gradient.dtype)


class _Passing(TorchFunctionMode):
    """Replaces functions, also where modules call them."""

    def __torch_function__(self, function, _types, arguments=(), keywords=None):
        keywords = dict(keywords or {})
        if function in PASSED and arguments:
            return arguments[0]
        if function in POOLS:
            return _mean(function, *arguments, **keywords)
        if function in ADAPTIVE:
            keywords.pop("return_indices", None)
            return ADAPTIVE[function](*arguments[:2], **keywords)
        return function(*arguments, **keywords)


def _mean(
    function, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """Return the mean over the positions of a pool in place of their maximum."""
    if dilation not in (1, (1, 1)):  # no mean has one
        return function(input, kernel_size, stride, padding, dilation, ceil_mode)
    return POOLS[function](input, kernel_size, stride, padding, ceil_mode)
