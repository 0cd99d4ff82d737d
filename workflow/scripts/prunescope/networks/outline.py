"""The modules of a network as a list, with their outputs and weights."""

from collections import Counter
from dataclasses import dataclass
from functools import partial

from torch import nn

from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.networks.build import trace
from prunescope.networks.layers import Shape
from prunescope.networks.probe import obstacle


@dataclass(frozen=True)
class Module:
    """One module of a network.

    Attributes
    ----------
    name, type : str
        Dotted name and class.
    runs : int
        How often it runs in a forward pass.
    output : tuple of int or None
        Shape of its output for one image; None if it does not return a single tensor.
    weights : dict of str to int
        Its own weights that can be pruned: numbers by name of the parameter.
    """

    name: str
    type: str
    runs: int
    output: tuple[int, ...] | None
    weights: dict[str, int]

    @property
    def obstacle(self) -> str:
        """Why its output cannot be recorded; empty if it can."""
        if self.runs != 1:
            return f"runs {self.runs} times" if self.runs else "never runs"
        return "" if self.output is not None else "returns no single tensor"


def outline(network: nn.Module, shape: Shape) -> list[Module]:
    """List the modules of a network in its own order, containers included.

    Parameters
    ----------
    network : torch.nn.Module
    shape : sequence of int
        Channels, height and width of an image.
    """
    named = {name: module for name, module in network.named_modules() if name}
    runs, outputs = Counter(), {}

    def note(name: str, _module, _inputs, output) -> None:
        runs[name] += 1
        outputs[name] = None if obstacle(output) else tuple(output.shape[1:])

    handles = [module.register_forward_hook(partial(note, name)) for name, module in named.items()]
    try:
        trace(network, shape)
    finally:
        for handle in handles:
            handle.remove()
    weights = _weights(network, ["*"])
    return [
        Module(name, type(module).__name__, runs[name], outputs.get(name), weights.get(name, {}))
        for name, module in named.items()
    ]


def pruned_weights(network: nn.Module, patterns: list[str]) -> set[str]:
    """Return the names of the parameters that patterns select; a pattern that matches nothing is ignored."""
    return {name for own in _weights(network, patterns).values() for name in own}


def _weights(network: nn.Module, patterns: list[str]) -> dict[str, dict[str, int]]:
    """Return the prunable weights that patterns select: numbers by module and parameter."""
    found: dict[str, dict[str, int]] = {}
    for pattern in patterns:
        try:
            chosen = modules.prunable(network, [pattern])
        except InputError:  # no such weight
            continue
        for name, weight in chosen.items():
            module, parametrised, _ = name.partition(".parametrizations.")
            owner = module if parametrised else name.rpartition(".")[0]
            found.setdefault(owner, {})[name] = weight.numel()
    return found
