"""The modules of a network as a list, with their outputs and weights."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.networks.probe import hooked, obstacle

FIRST, LAST = "first", "last"
# Modules that work on axis 1, by the file of torch that defines them, and on the last axis.
CHANNELS = {f"torch.nn.modules.{name}" for name in ("conv", "batchnorm", "instancenorm", "pooling")}
FEATURES = (
    nn.Linear,
    nn.Embedding,
    nn.TransformerEncoder,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoder,
    nn.TransformerDecoderLayer,
)


@dataclass(frozen=True)
class Module:
    """One module of a network.

    Attributes
    ----------
    name, type : str
        Dotted name and class.
    output : tuple of int or None
        Shape of its output for one image; None if it does not return a single tensor.
    axis : int or None
        The axis of its output (n, ...) that holds the units; None if it is not known.
    obstacle : str
        Why its output cannot be recorded; empty if it can.
    """

    name: str
    type: str
    output: tuple[int, ...] | None
    axis: int | None
    obstacle: str


def outline(network: nn.Module, run: Callable, axes: str | Mapping[str, str] | None = None) -> list[Module]:
    """List the modules of a network in its own order, containers included.

    Which axis of an output holds the units follows from the type of the module, else from a pattern in
    `axes`, else from modules whose outputs have the same shape, if they agree, else from `axes` for all. Of a
    square output (n, t, t), the shape tells nothing.

    Parameters
    ----------
    network : torch.nn.Module
    run : callable
        Runs the network on one image.
    axes : str or mapping of str to str, optional
        ``first`` or ``last``, for all outputs or by module pattern; the last pattern that matches applies.
    """
    named = {name: module for name, module in network.named_modules() if name}
    runs, outputs, problems = Counter(), {}, {}

    def note(name: str, output) -> None:
        runs[name] += 1
        problems[name] = obstacle(output)
        outputs[name] = None if problems[name] else tuple(output.shape)

    with hooked((module, partial(note, name)) for name, module in named.items()):
        run()
    types = {name: _side(module) for name, module in named.items()}
    found = []
    for name, module in named.items():
        output = outputs.get(name) or ()
        others = {types[other] for other, shape in outputs.items() if shape == output} - {None}
        square = len(output) == 3 and output[1] == output[2]
        sides = [types[name], *_written(axes, name, module)]
        sides += others if len(others) == 1 and not square else []
        side = next(filter(None, [*sides, axes if isinstance(axes, str) else None]), None)
        last = len(output) - 1
        axis = last if last == 1 or side == LAST else 1 if side else None
        problem = _problem(runs[name], problems.get(name, ""), output)
        shape = None if outputs.get(name) is None else output[1:]
        found.append(Module(name, type(module).__name__, shape, axis, problem))
    return found


def _side(module: nn.Module) -> str | None:
    """Return where a module of this type has its units."""
    if isinstance(module, nn.GroupNorm) or any(one.__module__ in CHANNELS for one in type(module).__mro__):
        return FIRST
    # Classes derived from LayerNorm often normalise channels, as torchvision's and timm's LayerNorm2d.
    if isinstance(module, FEATURES) or type(module) in (nn.LayerNorm, nn.RMSNorm):
        return LAST
    return None


def _written(axes: str | Mapping[str, str] | None, name: str, module: nn.Module) -> list[str]:
    """Return what patterns say about a module, the last one first."""
    patterns = axes if isinstance(axes, Mapping) else {}
    return [side for pattern, side in patterns.items() if modules.matches(pattern, name, module)][::-1]


def _problem(runs: int, obstacle: str, output: tuple[int, ...]) -> str:
    if runs != 1:
        return "runs more than once" if runs else "never runs"
    if obstacle:
        return obstacle
    if output[:1] != (1,):
        return f"returns {output} for one image, so its first axis is not that of the images"
    return "" if len(output) > 1 else "returns a single number"


def prunable_weights(network: nn.Module, patterns: list[str]) -> dict[str, dict[str, int]]:
    """Return the prunable weights that patterns select: numbers by module and parameter.

    A pattern that matches nothing is ignored.
    """
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
