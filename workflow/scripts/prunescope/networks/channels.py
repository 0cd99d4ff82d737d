"""Pruning whole output channels: the parameters that belong to a channel, and what cannot be pruned."""

from collections.abc import Iterable, Sequence
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from prunescope.networks import modules
from prunescope.networks.build import trace


def obstacle(network: nn.Module, names: Iterable[str], shape: Sequence[int]) -> str:
    """Return why whole channels of these weights cannot be pruned; an empty text if they can."""
    names, first, ran = list(names), modules.first_names(network), []
    if other := modules.unusual(network, names):
        return f"{other} is not the weight of an ordinary linear layer or convolution"
    owners = modules.owners(network)
    trace(network, shape, {owners[name][1]: lambda _, n=name: ran.append(n) for name in owners})
    # The layer that runs last, wherever it is declared, gives the outputs of the network.
    last = [owners[name][0] for name in ran[-1:] if first[name] in names]
    return f"the channels of {last[0]} are the classes" if last else ""


def companions(network: nn.Module, names: Iterable[str], shape: Sequence[int]) -> dict[str, list[str]]:
    """Return the parameters with one number for each output channel of a weight, by the weight's name.

    They are the bias of its module, and those of a batch norm that reads its output and is used once.
    """
    first = modules.first_names(network)
    belonging: dict[str, list[str]] = {name: [] for name in names}
    # The layer that made each output, by the output's id, and the ids of the inputs of each batch norm. The
    # outputs are kept, so that no other tensor gets the same id.
    made, read, handles = {}, {}, []

    def note_output(name: str, _module, _inputs, output) -> None:
        made[id(output)] = name, output

    def note_input(norm: str, _module, inputs) -> None:
        read.setdefault(norm, []).append(id(inputs[0]))

    for path, module in network.named_modules():
        if (name := first.get(f"{path}.weight")) in belonging:
            handles.append(module.register_forward_hook(partial(note_output, name)))
            bias = first.get(f"{path}.bias")
            belonging[name] += [bias] if bias and bias not in belonging[name] else []
        if isinstance(module, _BatchNorm):
            handles.append(module.register_forward_pre_hook(partial(note_input, path)))
    try:
        trace(network, shape)
    finally:
        for handle in handles:
            handle.remove()
    for norm, inputs in read.items():
        if len(inputs) == 1 and inputs[0] in made:
            both = [f"{norm}.weight", f"{norm}.bias"]
            belonging[made[inputs[0]][0]] += [name for name in both if name in first]
    return belonging
