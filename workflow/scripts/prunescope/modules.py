"""Choosing modules of a network by pattern."""

from fnmatch import fnmatchcase

from torch import nn

from prunescope.errors import InputError


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
            raise InputError(
                f"{key}: pattern {pattern!r} matches no module of {type(network).__name__}; "
                f"modules: {', '.join(modules)}"
            )
        chosen |= matched
    return {name: module for name, module in modules.items() if name in chosen}


def matches(pattern: str, name: str, kind: str) -> bool:
    """Tell whether a pattern matches a module of this dotted name and this type."""
    if ":" in pattern:
        kind_pattern, _, name_pattern = pattern.partition(":")
        return fnmatchcase(kind, kind_pattern) and fnmatchcase(name, name_pattern)
    return fnmatchcase(name, pattern) or fnmatchcase(kind, pattern)
