"""Trying out a network: outputs that depend on more than their own image, and training on one image."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from prunescope.errors import InputError

# Differences that count, in shares of the variation between images and of the outputs themselves. When the
# same images run again, only rounding may differ; in other batches, low precision may differ more.
REPEATED = 1e-2, 1e-4
REGROUPED = 1e-1, 1e-2


def obstacle(output) -> str:
    """Return why an output of a module cannot be recorded, e.g. ``returns a tuple``; empty if it can."""
    if not isinstance(output, Tensor):
        return f"returns a {type(output).__name__} instead of one tensor"
    if output.is_complex():
        return "returns complex numbers"
    if output.is_quantized or output.is_nested or output.layout is not torch.strided:
        kind = output.dtype if output.is_quantized else output.layout
        return f"returns a tensor of another kind ({kind})"
    return ""


def check_storable(layer: str) -> None:
    """Refuse the name of a layer that cannot be that of a data set in an activation file."""
    if "/" in layer or "\0" in layer:
        raise InputError(
            f"activations.layers: {layer!r} contains a slash or a null character, so it cannot be the "
            "name of a layer; rename this module"
        )


@contextmanager
def hooked(hooks: Iterable[tuple[nn.Module, Callable[[object], object]]]) -> Iterator[None]:
    """Pass the outputs of modules to functions after each run, until the block ends."""

    def call(use: Callable) -> Callable:
        def hook(_module, _inputs, output) -> None:  # a returned value would replace the output
            use(output)

        return hook

    with ExitStack() as stack:
        for module, use in hooks:
            stack.callback(module.register_forward_hook(call(use)).remove)
        yield


def eager(network: nn.Module) -> nn.Module:
    """Return a network without what `torch.compile` adds: compiled modules ignore hooks."""
    network = getattr(network, "_orig_mod", network)
    for module in network.modules():
        # Only where needed: a TorchScript module refuses any change.
        if module._compiled_call_impl is not None:
            module._compiled_call_impl = None
        for name, child in module.named_children():
            if hasattr(child, "_orig_mod"):
                module._modules[name] = child._orig_mod
        forward = getattr(type(module), "forward", None)
        if original := getattr(forward, "_torchdynamo_orig_callable", None):
            module.forward = original.__get__(module)
    return network


@torch.no_grad()
def check_repeatable(network: nn.Module, modules: dict[str, nn.Module], images: Tensor) -> None:
    """Refuse modules whose outputs depend on chance, or on the order or grouping of the images.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode.
    modules : dict of str to torch.nn.Module
        By name; the network itself has the name "".
    images : Tensor, shape (n, ...)
        The network's input; a few images are enough.

    Raises
    ------
    InputError
        Names the first such module, and what its outputs depend on.
    """
    whole, again = (_outputs(network, modules, images) for _ in range(2))
    last, others = (_outputs(network, modules, part.flip(0)) for part in (images[-1:], images[:-1]))
    for name, output in whole.items():
        where = f"activations.layers: module {name!r}" if name else f"network: {type(network).__name__}"
        if name not in again or not _same(output, again[name], REPEATED):
            raise InputError(
                f"{where} returns other values when the same images run again in evaluation mode, because it "
                "draws random numbers or changes its state; let it do so only when self.training is true"
            )
        if len(images) == 1 or name not in last or name not in others:
            continue
        apart = torch.cat([last[name], others[name]]).flip(0) if _rows(last, others, name, images) else None
        if apart is None or apart.shape != output.shape or not _same(output, apart, REGROUPED):
            raise InputError(
                f"{where} returns values that depend on the other images of a batch in evaluation mode, e.g. "
                "by batch normalisation without running statistics, or has no row for each image; let every "
                "image have an output of its own"
            )


def _rows(last: dict, others: dict, name: str, images: Tensor) -> bool:
    """Whether there is an output for each image."""
    return last[name].ndim > 0 and (len(last[name]), len(others[name])) == (1, len(images) - 1)


def _outputs(network: nn.Module, modules: dict[str, nn.Module], images: Tensor) -> dict[str, Tensor]:
    """Return the outputs of modules for images, of those that run once and return one tensor."""
    found: dict[str, Tensor] = {}
    counts = dict.fromkeys(modules, 0)

    def keep(name: str, output) -> None:
        counts[name] += 1
        if not obstacle(output):
            # A later module may change it in place.
            found[name] = output.detach().clone()

    with hooked((module, partial(keep, name)) for name, module in modules.items()):
        network(images)
    return {name: output for name, output in found.items() if counts[name] == 1}


def _same(one: Tensor, other: Tensor, tolerance: tuple[float, float]) -> bool:
    one, other = (output.double().nan_to_num(0.0, 1.0, -1.0) for output in (one, other))
    variation, size = tolerance
    limit = variation * (one - one.mean(0)).norm() + size * one.norm()
    return bool((one - other).norm() <= limit)


@torch.no_grad()
def fault_in_training(network: nn.Module, shape: tuple[int, ...], images: int) -> str:
    """Return why a network cannot be trained on a batch of this many images; empty if it can.

    The network is left in training mode, and may have changed its running statistics.
    """
    network.train()
    try:
        output = network(torch.randn(images, *shape))
    except Exception as error:  # the network's code can raise anything
        return " ".join(str(error).split("\n")[0].split()) or type(error).__name__
    return obstacle(output)
