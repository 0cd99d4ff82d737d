"""Building networks by name, and running them on one image."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from inspect import signature

import numpy as np
import torch
from torch import nn

from prunescope import kinds, user_code
from prunescope.errors import InputError, first_line


def build(
    name: str,
    arguments: dict,
    shape: Sequence[int],
    classes: int,
    seed: int,
    more: dict | None = None,
) -> nn.Module:
    """Build a network with freshly drawn weights, on the CPU or the device of a surrounding ``with``.

    `name` and `arguments` are those of an experiment file, `shape` is that of an image (channels, height,
    width). The `seed` determines the weights, which are the same on every device; the global random state is
    unchanged. `more` has further entries of a checkpoint's network, which are not used here.
    """
    function = _function(name, arguments, shape, classes)
    with seeded(seed):
        try:
            network = function()
            if not isinstance(network, nn.Module):
                raise InputError(f"network: {name} returns a {type(network).__name__}, not a torch.nn.Module")
            network = eager(network)
            outputs = trace(network, shape)
            _check_state(network)
        except InputError:
            raise
        except Exception as error:  # constructors from other libraries can raise anything
            if text := user_code.problem(error):
                raise InputError(
                    f"network: {name} with images of {_size(shape)} and {classes} classes: {text}"
                ) from None
            if isinstance(error, ImportError | NameError | AttributeError):
                raise  # a bug in this library
            problem = first_line(error)
            raise InputError(
                f"network: {name} with arguments {arguments} does not fit images of {_size(shape)} and "
                f"{classes} classes ({problem}); choose another network, other arguments or larger images"
            ) from None
    if outputs != (1, classes):
        raise InputError(
            f"network: {name} returns outputs of shape {outputs[1:]}, but the data set has {classes} "
            "classes; choose a classifier or other arguments"
        )
    return network


def _check_state(network: nn.Module) -> None:
    """Refuse a network whose state a checkpoint cannot hold, because loading it could run code."""
    todo = [*network.state_dict().items()]
    for name, value in todo:
        if isinstance(value, dict | list | tuple):
            inner = [*value, *value.values()] if isinstance(value, dict) else value
            todo += [(name, one) for one in inner]
        elif not (value is None or isinstance(value, torch.Tensor | str | bytes | int | float)):
            raise InputError(
                f"network: the state of {name} contains a {type(value).__name__}, which no checkpoint can "
                "hold; return tensors, numbers, texts, lists and dictionaries from get_extra_state"
            )


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


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the random numbers of torch, NumPy and Python, and leave their state as it was."""
    numpy_state, state = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also reseed the GPUs, which fork_rng does not restore here.
        torch.default_generator.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(state)


def _function(name: str, arguments: dict, shape: Sequence[int], classes: int) -> Callable[[], nn.Module]:
    kind, function = kinds.find("network", name, "network.name"), kinds.load("network", name)
    if isinstance(function, nn.Module) or not callable(function):
        raise InputError(f"network.name = {name!r}: must name a class or a function that returns a module")
    given = [rest] if (rest := kinds.rest(kind, name)) else []
    parameters = list(signature(function).parameters.values())[len(given) :]
    keys = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    offered = {"shape": tuple(shape), "classes": classes}
    free = [key for key in keys if key not in offered]
    variable = any(one.kind == one.VAR_KEYWORD for one in parameters)
    for key in arguments:
        if key in offered or not (variable or key in free):
            problem = "is set by the data set" if key in offered else f"is not an argument of {name}"
            raise InputError(f"network.arguments: {key!r} {problem}; allowed: {', '.join(free) or 'none'}")
    known = {key: value for key, value in offered.items() if key in keys}
    return lambda: function(*given, **known, **arguments)


@torch.no_grad()
def trace(
    network: nn.Module, shape: Sequence[int], hooks: dict[nn.Module, Callable[[object], None]] | None = None
) -> tuple[int, ...]:
    """Run a network on one black image, in evaluation mode, and return the shape of its output.

    `hooks` are called with the outputs of their modules after each run.
    """
    mode = network.training
    image = torch.zeros(1, *shape, device=next(network.parameters(), torch.empty(0)).device)
    try:
        network.eval()  # its result may be None: a user's train() need not return the network
        with hooked((hooks or {}).items()):
            output = network(image)
        if problem := obstacle(output):
            raise InputError(
                f"network: {type(network).__name__} {problem}; it must return one tensor, (n, classes)"
            )
        return tuple(output.shape)
    finally:
        network.train(mode)


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


def obstacle(output) -> str:
    """Return why an output of a module cannot be recorded, e.g. ``returns a tuple``; empty if it can."""
    if not isinstance(output, torch.Tensor):
        return f"returns a {type(output).__name__} instead of one tensor"
    if output.is_complex():
        return "returns complex numbers"
    if output.is_quantized or output.is_nested or output.layout is not torch.strided:
        kind = output.dtype if output.is_quantized else output.layout
        return f"returns a tensor of another kind ({kind})"
    return ""


def _size(shape: Sequence[int]) -> str:
    return "×".join(str(length) for length in shape)
