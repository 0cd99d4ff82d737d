"""The modules of a network as a list, with their outputs and weights; which outputs can be recorded."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.networks.build import hooked, obstacle

# Differences that count, in shares of the variation between images and of the outputs themselves. When the
# same images run again, only rounding may differ; in other batches, low precision may differ more.
REPEATED = 1e-2, 1e-4
REGROUPED = 1e-1, 1e-2

# On which side of an output its units are.
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
    """List the modules of a network in its own order, containers included; `run` runs it on one image.

    Which axis of an output holds the units follows from the type of the module, else from a pattern in
    `axes`, else from modules whose outputs have the same shape, if they agree, else from `axes` for all. Of a
    square output (n, t, t), the shape tells nothing.
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
    listed = []
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
        listed.append(Module(name, type(module).__name__, shape, axis, problem))
    return listed


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


def check_storable(layer: str) -> None:
    """Refuse the name of a layer that cannot be that of a data set in an activation file."""
    if "/" in layer or "\0" in layer:
        raise InputError(
            f"activations.layers: {layer!r} contains a slash or a null character, so it cannot be the "
            "name of a layer; rename this module"
        )


@torch.no_grad()
def check_repeatable(network: nn.Module, parts: dict[str, nn.Module], images: Tensor) -> None:
    """Refuse parts whose outputs depend on chance, or on the order or grouping of the images.

    The network is in evaluation mode; it is itself the part with the name "". A few images are enough.
    """
    whole, again = (_outputs(network, parts, images) for _ in range(2))
    last, others = (_outputs(network, parts, part.flip(0)) for part in (images[-1:], images[:-1]))
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


def _outputs(network: nn.Module, parts: dict[str, nn.Module], images: Tensor) -> dict[str, Tensor]:
    """Return the outputs of modules for images, of those that run once and return one tensor."""
    outputs: dict[str, Tensor] = {}
    counts = dict.fromkeys(parts, 0)

    def keep(name: str, output) -> None:
        counts[name] += 1
        if not obstacle(output):
            # A later module may change it in place.
            outputs[name] = output.detach().clone()

    with hooked((module, partial(keep, name)) for name, module in parts.items()):
        network(images)
    return {name: output for name, output in outputs.items() if counts[name] == 1}


def _same(one: Tensor, other: Tensor, tolerance: tuple[float, float]) -> bool:
    one, other = (output.double().nan_to_num(0.0, 1.0, -1.0) for output in (one, other))
    variation, size = tolerance
    limit = variation * (one - one.mean(0)).norm() + size * one.norm()
    return bool((one - other).norm() <= limit)
