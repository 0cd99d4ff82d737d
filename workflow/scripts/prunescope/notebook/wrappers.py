"""Networks as others wrap them, with inputs and outputs that are not single tensors."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from prunescope.errors import InputError, listed
from prunescope.networks.build import hooked
from prunescope.networks.modules import select
from prunescope.notebook.inputs import Inputs

PART = re.compile(r"(.+)\[(\d+)\]")


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network within `torch.compile` and (distributed) data parallelism; it computes the same."""
    while True:
        if hasattr(network, "_orig_mod"):
            network = network._orig_mod
        elif isinstance(network, DataParallel | DistributedDataParallel):
            network = network.module
        else:
            return network


def split(name: str, modules: Mapping[str, nn.Module]) -> tuple[str, int | str | None]:
    """Split a layer such as ``encoder[0]`` or ``encoder.logits`` into a module and a part of its output."""
    if name not in modules:
        if match := PART.fullmatch(name):
            return match[1], int(match[2])
        module, _, key = name.rpartition(".")
        if module and module in modules:
            return module, key
    return name, None


def part(output: Any, module: str, key: int | str) -> Any:
    """Return a part of a module's output: a tuple, a mapping or an object with attributes."""
    parts = output
    if isinstance(key, int) and hasattr(output, "to_tuple"):  # the outputs of transformers
        parts = output.to_tuple()
    elif isinstance(key, str) and not isinstance(output, Mapping):
        parts = output._asdict() if hasattr(output, "_asdict") else getattr(output, "__dict__", {})
    numbered = isinstance(key, int) and isinstance(parts, tuple | list)
    keys = range(len(parts)) if numbered else list(parts) if isinstance(parts, Mapping) else []
    if key not in keys:
        known = f"; it has {listed(keys)}" if keys else ""
        raise InputError(
            f"layers: module {module} returns a {type(output).__name__}, which has no part {key!r}{known}"
        )
    return parts[key]


def choose(network: nn.Module, patterns: list[str]) -> list[str]:
    """Return the layers that patterns select, in the network's own order: modules and parts of outputs."""
    modules, names = dict(network.named_modules()), {}
    for pattern in patterns:
        try:
            names |= select(network, [pattern], "layers")
        except InputError:
            module, key = split(pattern, modules)
            if key is None:
                raise
            end = f"[{key}]" if isinstance(key, int) else f".{key}"
            names |= dict.fromkeys(name + end for name in select(network, [module], "layers"))
    order = list(modules)
    return sorted(names, key=lambda name: order.index(split(name, modules)[0]))


class Runner(nn.Module):
    """Runs a network on examples given by their numbers. Its modules are those of the network, by name.

    A part of an output is the output of a module of its own, which has the name of the layer.
    """

    def __init__(self, network: nn.Module, inputs: Inputs, parts: Mapping[str, tuple[str, int | str]]):
        super().__init__()
        self._modules.update(network.named_children())
        self._modules.update({name: nn.Identity() for name in parts})
        self.__dict__["network"] = network  # not a module of this one
        self._inputs, self._parts = inputs, parts

    @contextmanager
    def tapped(self) -> Iterator[None]:
        """Let parts of outputs flow through their modules until the block ends."""
        modules = dict(self.network.named_modules())

        def pass_on(name: str, output: Any) -> None:
            self._modules[name](part(output, *self._parts[name]))

        hooks = [(modules[module], partial(pass_on, name)) for name, (module, _) in self._parts.items()]
        with hooked(hooks):
            yield

    def forward(self, examples: Tensor) -> None:
        weight = next(self.network.parameters(), None)
        # Weights that Accelerate offloads are on no device; it moves the inputs itself.
        device = "cpu" if weight is None or weight.is_meta else weight.device
        positional, keywords = self._inputs.take(examples, weight, device)
        self.network(*positional, **keywords)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put every module into evaluation mode without compilation, and restore its mode at the end."""
    modes = {module: module.training for module in network.modules()}
    # What torch.compile wraps in place computes the same, and ignores hooks.
    compiled = {module: call for module in modes if (call := module._compiled_call_impl) is not None}
    with ExitStack() as stack:
        if "torch._dynamo" in sys.modules:  # it takes seconds to import
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        for module in compiled:
            module._compiled_call_impl = None
        network.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode
            for module, call in compiled.items():
                module._compiled_call_impl = call
