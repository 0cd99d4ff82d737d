"""Choosing modules of a network, and their weights, by pattern."""

from fnmatch import fnmatchcase

from torch import nn

from prunescope.errors import InputError, guess


def select(network: nn.Module, patterns: list[str], key: str) -> dict[str, nn.Module]:
    """Return the modules that any of the patterns matches, in the network's own order.

    A pattern is a shell-style wildcard that is compared with a module's dotted name (``features.*``) and with
    its type (``Conv2d``). ``Type:name``, as in ``Conv2d:layer1.*``, asks for both.

    Parameters
    ----------
    network : torch.nn.Module
    patterns : list of str
    key : str
        The configuration key the patterns come from, for the error message.

    Returns
    -------
    dict of str to torch.nn.Module
        By dotted name; the network itself (whose name is empty) is never chosen.

    Raises
    ------
    InputError
        When a pattern matches nothing: a misspelled layer must not go unnoticed.
    """
    modules = {name: module for name, module in network.named_modules() if name}
    chosen = set()
    for pattern in patterns:
        matched = {name for name, module in modules.items() if matches(pattern, name, type(module).__name__)}
        if not matched:
            known = [*modules, *dict.fromkeys(type(module).__name__ for module in modules.values())]
            raise InputError(
                f"{key}: pattern {pattern!r} matches no module of {type(network).__name__}"
                f"{guess(pattern, known)}; modules: {', '.join(modules)}"
            )
        chosen |= matched
    return {name: module for name, module in modules.items() if name in chosen}


def matches(pattern: str, name: str, kind: str) -> bool:
    """Whether a pattern matches a module of this dotted name and this type."""
    if ":" in pattern:
        kind_pattern, _, name_pattern = pattern.partition(":")
        return fnmatchcase(kind, kind_pattern) and fnmatchcase(name, name_pattern)
    return fnmatchcase(name, pattern) or fnmatchcase(kind, pattern)


def has_weight(module: nn.Module) -> bool:
    """Whether a module has a weight that can be pruned: a matrix or a kernel."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim >= 2


def prunable(
    network: nn.Module, patterns: list[str], key: str = "pruning.prunable"
) -> dict[str, nn.Parameter]:
    """Return the weights that patterns choose, by parameter name in the network's order.

    A weight can be pruned when it is a matrix or a kernel: batch norm and biases never are.

    Parameters
    ----------
    network : torch.nn.Module
    patterns : list of str
        Module names or types, see `select`.
    key : str, optional
        The configuration key the patterns come from, for the error message.

    Raises
    ------
    InputError
        When a pattern matches no module with such a weight.
    """
    chosen = select(network, patterns, key)
    weights = {name: module.weight for name, module in chosen.items() if has_weight(module)}
    for pattern in patterns:
        if not any(matches(pattern, name, type(chosen[name]).__name__) for name in weights):
            raise InputError(
                f"{key}: pattern {pattern!r} matches no module with a prunable weight; choose convolutions "
                f"or linear layers, or everything inside a block as in {pattern + '.*'!r}"
            )
    return {f"{name}.weight": weight for name, weight in weights.items()}


def layer_rates(network: nn.Module, names: list[str], rates: dict[str, float]) -> dict[str, float]:
    """Resolve rates by pattern into rates by parameter name.

    Parameters
    ----------
    network : torch.nn.Module
    names : list of str
        The prunable weights.
    rates : dict of str to float
        By module pattern; the last pattern that matches a module counts.

    Returns
    -------
    dict of str to float
        Only the weights that a pattern matches.

    Raises
    ------
    InputError
        When a pattern matches no prunable module.
    """
    kinds = {f"{name}.weight": type(module).__name__ for name, module in network.named_modules()}
    resolved = {}
    for pattern, rate in rates.items():
        matched = [name for name in names if matches(pattern, name.removesuffix(".weight"), kinds[name])]
        if not matched:
            raise InputError(
                f"pruning.rates: pattern {pattern!r} matches no prunable module; "
                f"prunable: {', '.join(name.removesuffix('.weight') for name in names)}"
            )
        resolved.update(dict.fromkeys(matched, rate))
    return resolved
