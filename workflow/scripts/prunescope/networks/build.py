"""Networks by name, and how pixels become their input."""

from collections.abc import Callable

import torch
from torch import nn

from prunescope import kinds
from prunescope.errors import InputError
from prunescope.networks.layers import Shape


def build(name: str, arguments: dict, shape: Shape, classes: int, seed: int) -> nn.Module:
    """Build a network with freshly drawn weights.

    Parameters
    ----------
    name : str
        A network of this library, or ``torchvision/NAME`` for a classifier of ``torchvision.models``.
    arguments : dict
        Keyword arguments of the network's function.
    shape : sequence of int
        Channels, height and width of an image.
    classes : int
        Number of outputs.
    seed : int
        Determines the weights: the same on every device. The global random state is left as it was.

    Returns
    -------
    torch.nn.Module
        On the CPU, or on the device of a surrounding ``with torch.device(...)`` (``meta`` for a network
        without weights).

    Raises
    ------
    InputError
        When the name or an argument is unknown, or the network does not fit the images or the classes.
    """
    function = _function(name, arguments, shape, classes)
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also reseed the GPUs, which fork_rng does not restore here.
        torch.default_generator.manual_seed(seed)
        try:
            network = function()
            outputs = trace(network, shape)
        except (InputError, ImportError, NameError, AttributeError):
            raise  # mistakes in the network's own code
        except Exception as error:  # constructors of other libraries raise whatever they like
            problem = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
            raise InputError(
                f"network: {name} with arguments {arguments} does not fit images of {_size(shape)} and "
                f"{classes} classes ({problem}); choose another network, other arguments or larger images"
            ) from None
    if outputs != (1, classes):
        raise InputError(
            f"network: {name} gives outputs of shape {outputs[1:]}, the data set has {classes} classes; "
            "choose a classifier or other arguments"
        )
    return network


def _function(name: str, arguments: dict, shape: Shape, classes: int) -> Callable[[], nn.Module]:
    kind, function = kinds.find("network", name, "network.name"), kinds.load("network", name)
    given = [rest] if (rest := kinds.rest(kind, name)) else []
    own = [key for key in kind.parameters if key not in ("name", "shape", "classes")]
    unknown = [] if kind.variable else [key for key in arguments if key not in own]
    if unknown:
        raise InputError(
            f"network.arguments: {unknown[0]!r} is not an argument of {name}; "
            f"allowed: {', '.join(own) or 'none'}"
        )
    return lambda: function(*given, tuple(shape), classes, **arguments)


@torch.no_grad()
def trace(
    network: nn.Module, shape: Shape, hooks: dict[nn.Module, Callable[[tuple[int, ...]], None]] | None = None
) -> tuple[int, ...]:
    """Send one black image through a network, in evaluation mode.

    Parameters
    ----------
    network : torch.nn.Module
    shape : sequence of int
        Channels, height and width of an image.
    hooks : dict of torch.nn.Module to callable, optional
        Called with the shape of the module's output each time it has run.

    Returns
    -------
    tuple of int
        Shape of the network's output.
    """
    handles = [
        module.register_forward_hook(
            lambda _module, _inputs, output, hook=hook: (
                hook(tuple(output.shape)) if isinstance(output, torch.Tensor) else None
            )
        )
        for module, hook in (hooks or {}).items()
    ]
    mode = network.training
    image = torch.zeros(1, *shape, device=next(network.parameters()).device)
    try:
        return tuple(network.eval()(image).shape)
    finally:
        network.train(mode)
        for handle in handles:
            handle.remove()


def normalise(images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """Turn pixels into a network's input: (pixel / 255 - mean) / std, channel by channel.

    Parameters
    ----------
    images : Tensor of uint8 or float32, shape (N, C, H, W)
        Pixels in [0, 255].
    mean, std : Tensor or sequence of float, shape (C,)
        On the scale [0, 1].

    Returns
    -------
    Tensor of float32, shape (N, C, H, W)
        In the memory format of `images`.
    """
    mean = torch.as_tensor(mean, dtype=torch.float64, device=images.device).view(-1, 1, 1)
    std = torch.as_tensor(std, dtype=torch.float64, device=images.device).view(-1, 1, 1)
    return torch.addcmul((-mean / std).float(), images.float(), (1 / (255 * std)).float())


def _size(shape: Shape) -> str:
    return "×".join(str(length) for length in shape)
