"""Choosing modules of a network, and their weights, by pattern."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils.parametrize import is_parametrized

from prunescope.errors import InputError, guess, listed
from prunescope.networks import PRUNABLE


def select(network: nn.Module, patterns: list[str], key: str = "activations.layers") -> dict[str, nn.Module]:
    """Return the modules that any of the patterns matches, by name, in the network's own order.

    A pattern is a shell-style wildcard that is matched against a module's dotted name (``features.*``), its
    type (``Conv2d``) and the base classes of this type; ``*`` also matches dots. ``Type:name``, as in
    ``Conv2d:layer1.*``, must match both. The name of a module always matches it, whatever characters it has.
    A pattern that matches nothing is refused, so that a misspelled layer is noticed; `key` is the
    configuration key of the patterns. The network itself, whose name is empty, is never chosen.
    """
    modules = {name: module for name, module in network.named_modules() if name}
    first, chosen = {module: name for name, module in modules.items()}, set()
    for pattern in patterns:
        matched = {
            first[module]
            for name, module in network.named_modules(remove_duplicate=False)
            if module in first and matches(pattern, name, module)
        }
        if not matched:
            known = [*modules, *dict.fromkeys(type(module).__name__ for module in modules.values())]
            raise InputError(
                f"{key}: pattern {pattern!r} matches no module of {type(network).__name__}"
                f"{guess(pattern, known)}; modules: {listed(modules)}"
            )
        chosen |= matched
    return {name: module for name, module in modules.items() if name in chosen}


def chosen(network: nn.Module, layers: list[str] | dict[str, str]) -> dict[str, nn.Module]:
    """Return the modules to record by the name of their layer, in the network's own order.

    `layers` are patterns, see `select`, for layers with the names of their modules; or a mapping from the
    names of layers to those of modules.
    """
    if isinstance(layers, list):
        return select(network, layers)
    known = {name: module for name, module in network.named_modules(remove_duplicate=False) if name}
    for layer, name in layers.items():
        if name not in known:
            raise InputError(
                f"layers: {type(network).__name__} has no module {name!r}{guess(name, known)}; give the one "
                f"that corresponds to layer {layer!r}, as in {{{layer}: MODULE}}; modules: {listed(known)}"
            )
    if len({known[name] for name in layers.values()}) < len(layers):
        pairs = ", ".join(f"{layer}: {name}" for layer, name in layers.items())
        raise InputError(f"layers: {{{pairs}}} names a module twice; give a different module for each layer")
    order = list(known)
    return {
        layer: known[name] for layer, name in sorted(layers.items(), key=lambda item: order.index(item[1]))
    }


def matches(pattern: str, name: str, module: nn.Module) -> bool:
    """Whether a pattern matches a module of this dotted name."""
    # Parametrisations and torch's own layers use subclasses, e.g. ParametrizedConv2d.
    classes = type(module).__mro__
    kinds = [kind.__name__ for kind in classes[: classes.index(nn.Module)]]
    if fits(pattern, name):
        return True
    if ":" in pattern:
        kind_pattern, _, pattern = pattern.partition(":")
        return any(fnmatchcase(kind, kind_pattern) for kind in kinds) and fits(pattern, name)
    return any(fnmatchcase(kind, pattern) for kind in kinds)


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern is a name, even one with the characters ``*?[]:``, or matches it."""
    return pattern == name or fnmatchcase(name, pattern)


def weights_of(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return a module's own weights that can be pruned, by the name of the parameter within the module.

    They are matrices and kernels with ``weight`` in their name, ``in_proj_weight`` of multi-head attention
    included. For a weight that is computed from other parameters (`torch.nn.utils.parametrize`,
    ``weight_norm``), these are the parameters with its shape.
    """
    weights = {name: value for name, value in module.named_parameters(recurse=False) if "weight" in name}
    computed = getattr(module, "weight", None)
    if isinstance(computed, Tensor) and not isinstance(computed, nn.Parameter):
        weights = {name: value for name, value in weights.items() if value.shape == computed.shape}
    if is_parametrized(module):
        for tensor, originals in module.parametrizations.items():
            shape = getattr(module, tensor).shape
            weights |= {
                f"parametrizations.{tensor}.{name}": value
                for name, value in originals.named_parameters(recurse=False)
                if "weight" in tensor and value.shape == shape
            }
    return {name: value for name, value in weights.items() if value.ndim >= 2}


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Return the modules that normalise with running statistics of the batches seen in training."""
    return [
        module
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None
    ]


def first_names(network: nn.Module) -> dict[str, str]:
    """Return the first name of each parameter by all its names: modules can share a parameter.

    Masks and tables use the first name, as `torch.nn.Module.named_parameters` does.
    """
    first = {parameter: name for name, parameter in network.named_parameters()}
    everything = network.named_parameters(remove_duplicate=False)
    return {name: first[parameter] for name, parameter in everything}


def weighted(network: nn.Module) -> dict[str, dict[str, nn.Parameter]]:
    """Return the weights that can be pruned by their names, for each module that has any.

    A weight that several modules share belongs to the first one that has it as a weight.
    """
    first, weighted_modules, counted = first_names(network), {}, set()
    for prefix, module in network.named_modules():
        names = {first[f"{prefix}.{key}" if prefix else key]: one for key, one in weights_of(module).items()}
        if weights := {name: weight for name, weight in names.items() if name not in counted}:
            weighted_modules[prefix] = weights
            counted |= {*weights}
    return weighted_modules


def by_output(module: nn.Module, weight: Tensor) -> Tensor:
    """Return a module's weight, or its mask, with a row for each output channel."""
    if isinstance(module, _ConvTransposeNd):  # (in, out / groups, ...)
        weight = weight.unflatten(0, (module.groups, -1)).transpose(1, 2).flatten(0, 1)
    return weight.flatten(1)


def owners(network: nn.Module) -> dict[str, tuple[str, nn.Module]]:
    """Return the module of every prunable weight, with its dotted name, by each of the weight's names."""
    return {
        f"{prefix}.{name}": (prefix, module)
        for prefix, module in network.named_modules(remove_duplicate=False)
        for name in weights_of(module)
        if prefix
    }


def prunable(
    network: nn.Module, patterns: list[str], key: str = "pruning.prunable"
) -> dict[str, nn.Parameter]:
    """Return the weights that patterns select, by parameter name in the order of the network.

    A pattern is that of a module, see `select`, or of a parameter (``*.in_proj_weight``). A weight can be
    pruned if it is a matrix or a kernel; batch norm and biases are never pruned.
    """
    modules, parameters = owners(network), dict(network.named_parameters(remove_duplicate=False))
    first, chosen = first_names(network), set()
    for pattern in patterns:
        matched = {name for name, owner in modules.items() if matches(pattern, *owner)}
        # A pattern may also name a parameter, whatever its name.
        matched |= {
            name
            for name, parameter in parameters.items()
            if parameter.ndim >= 2 and fits(pattern, name) and "." in pattern
        }
        if not matched:
            # Of the default patterns, one that matches is enough.
            if patterns == PRUNABLE and (chosen or pattern != PRUNABLE[-1]):
                continue
            select(network, [pattern], key)
            raise InputError(
                f"{key}: pattern {pattern!r} matches no module with a prunable weight; choose convolutions "
                f"or linear layers, or everything inside a block as in {pattern + '.*'!r}"
            )
        chosen |= {first[name] for name in matched}
    return {name: parameter for name, parameter in parameters.items() if name in chosen}


def unusual(network: nn.Module, names: Iterable[str]) -> str:
    """Return the first weight that is not that of an ordinary linear layer or convolution; empty if all are.

    Transposed convolutions have their outputs on another axis, and attention reads the weight of its output
    projection without running that layer.
    """
    by_name, other = owners(network), _ConvTransposeNd | NonDynamicallyQuantizableLinear
    for name in names:
        layer, module = by_name.get(name, ("", None))
        ordinary = isinstance(module, nn.Linear | _ConvNd) and not isinstance(module, other)
        if not ordinary or name != f"{layer}.weight":
            return name
    return ""


@torch.no_grad()
def check_zeros(network: nn.Module, names: Iterable[str]) -> None:
    """Refuse parametrisations in which a zero of the parameter does not give a zero of the weight."""
    for name in names:
        prefix, parametrised, parameter_name = name.partition(".parametrizations.")
        if not parametrised:
            continue
        module, tensor = network.get_submodule(prefix), parameter_name.rpartition(".")[0]
        parameter = network.get_parameter(name)
        before, removed = parameter.clone(), torch.arange(parameter.numel()).view(parameter.shape) % 2 == 0
        parameter.masked_fill_(removed, 0.0)
        weight = getattr(module, tensor).detach()
        parameter.copy_(before)
        if weight[removed].any():
            raise InputError(
                f"pruning.prunable: {prefix}.{tensor} has a parametrisation that does not preserve zeros, "
                "so it cannot be pruned; leave it out"
            )


def layer_rates(network: nn.Module, names: list[str], rates: dict[str, float]) -> dict[str, float]:
    """Return the rates of those of the prunable weights `names` that a pattern of `rates` matches.

    The last pattern that matches a module applies; one that matches no prunable module is refused.
    """
    modules, first = owners(network), first_names(network)
    resolved = {}
    for pattern, rate in rates.items():
        matched = [
            first[name]
            for name in first
            if first[name] in names
            and (fits(pattern, name) or (name in modules and matches(pattern, *modules[name])))
        ]
        if not matched:
            known = [modules[name][0] if name in modules else name for name in names]
            raise InputError(
                f"pruning.rates: pattern {pattern!r} matches no prunable module; "
                f"prunable: {listed(dict.fromkeys(known))}"
            )
        resolved.update(dict.fromkeys(matched, rate))
    return resolved
