"""Network architectures by name, and how pixels become their input.

A network is one function of image shape and number of classes, and one line of `NETWORKS`. Every activation
function and every pool is a module of its own, never reused and never in place, so that each can be recorded;
the last linear layer is called ``output``.
"""

import inspect
import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from prunescope.errors import InputError

Shape = Sequence[int]


def build(name: str, arguments: dict, shape: Shape, classes: int, seed: int) -> nn.Module:
    """Build a network with freshly drawn weights.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`, or ``torchvision/NAME`` for any name in ``torchvision.models``.
    arguments : dict
        Keyword arguments of the network's function.
    shape : sequence of int
        Channels, height and width of an image.
    classes : int
        Number of outputs.
    seed : int
        Names the weights: the same on every device. The global random state is left as it was.

    Returns
    -------
    torch.nn.Module
        On the CPU, or on whatever ``with torch.device(...)`` says (``meta`` for a network without weights).

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
        except InputError:
            raise
        except (TypeError, ValueError, RuntimeError, IndexError, ZeroDivisionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"network: {name} with arguments {arguments} does not fit images of {_size(shape)} and "
                f"{classes} classes ({reason}); choose another network, other arguments or larger images"
            ) from None
    if outputs != (1, classes):
        raise InputError(
            f"network: {name} gives outputs of shape {outputs[1:]}, the data set has {classes} classes; "
            "choose a classifier or other arguments"
        )
    return network


def _function(name: str, arguments: dict, shape: Shape, classes: int) -> Callable[[], nn.Module]:
    if name.startswith("torchvision/"):
        return lambda: _torchvision(name.removeprefix("torchvision/"), arguments, shape, classes)
    if name not in NETWORKS:
        raise InputError(
            f"network.name: {name!r} is unknown; allowed: {', '.join(NETWORKS)}, torchvision/NAME"
        )
    allowed = list(inspect.signature(NETWORKS[name]).parameters)[2:]
    for key in arguments:
        if key not in allowed:
            raise InputError(
                f"network.arguments: {key!r} is not an argument of {name}; "
                f"allowed: {', '.join(allowed) or 'none'}"
            )
    return lambda: NETWORKS[name](tuple(shape), classes, **arguments)


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


def _sequence(**modules: nn.Module) -> nn.Sequential:
    network = nn.Sequential()
    for name, module in modules.items():
        network.add_module(name, module)
    return network


@torch.no_grad()
def _glorot_normal(network: nn.Module) -> nn.Module:
    """Initialise as Frankle & Carbin (2019): Glorot normal weights, zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
            nn.init.zeros_(module.bias)
    return network


@torch.no_grad()
def _he_normal(network: nn.Module) -> nn.Module:
    """Initialise as open_lth does by default: He normal weights, batch norm scales uniform in [0, 1]."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
    return network


def lenet_small(shape: Shape, classes: int) -> nn.Module:
    """Return a LeNet for 8×8 images: two 3×3 convolutions, two hidden linear layers."""
    channels, height, width = shape
    return _sequence(
        conv1=nn.Conv2d(channels, 8, 3, padding=1),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(8, 16, 3, padding=1),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        linear3=nn.Linear(16 * (height // 4) * (width // 4), 64),
        relu3=nn.ReLU(),
        linear4=nn.Linear(64, 32),
        relu4=nn.ReLU(),
        output=nn.Linear(32, classes),
    )


def lenet5(shape: Shape, classes: int) -> nn.Module:
    """Return LeNet-5 as Ansuini et al. (2020) used it on 28×28 images: ReLU, average pools, 256-120-84-10."""
    channels, height, width = shape
    rows, columns = (((length - 4) // 2 - 4) // 2 for length in (height, width))
    return _sequence(
        conv1=nn.Conv2d(channels, 6, 5),
        relu1=nn.ReLU(),
        pool1=nn.AvgPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        relu2=nn.ReLU(),
        pool2=nn.AvgPool2d(2),
        flatten=nn.Flatten(),
        linear3=nn.Linear(16 * rows * columns, 120),
        relu3=nn.ReLU(),
        linear4=nn.Linear(120, 84),
        relu4=nn.ReLU(),
        output=nn.Linear(84, classes),
    )


def lenet300(shape: Shape, classes: int) -> nn.Module:
    """Return LeNet-300-100 of the lottery ticket hypothesis (Frankle & Carbin 2019)."""
    return _glorot_normal(
        _sequence(
            flatten=nn.Flatten(),
            linear1=nn.Linear(math.prod(shape), 300),
            relu1=nn.ReLU(),
            linear2=nn.Linear(300, 100),
            relu2=nn.ReLU(),
            output=nn.Linear(100, classes),
        )
    )


def conv2(shape: Shape, classes: int) -> nn.Module:
    """Return Conv-2 of the lottery ticket hypothesis (Frankle & Carbin 2019)."""
    return _conv_pairs(shape, classes, (64,))


def conv4(shape: Shape, classes: int) -> nn.Module:
    """Return Conv-4 of the lottery ticket hypothesis (Frankle & Carbin 2019)."""
    return _conv_pairs(shape, classes, (64, 128))


def conv6(shape: Shape, classes: int) -> nn.Module:
    """Return Conv-6 of the lottery ticket hypothesis (Frankle & Carbin 2019)."""
    return _conv_pairs(shape, classes, (64, 128, 256))


def _conv_pairs(shape: Shape, classes: int, widths: Sequence[int]) -> nn.Module:
    channels, height, width = shape
    plan = [step for channels_out in widths for step in (channels_out, channels_out, "M")]
    last = 2 * len(widths)
    inputs = widths[-1] * (height >> len(widths)) * (width >> len(widths))
    return _glorot_normal(
        _sequence(
            **_convolutions(channels, plan, norm=False),
            **{
                "flatten": nn.Flatten(),
                f"linear{last + 1}": nn.Linear(inputs, 256),
                f"relu{last + 1}": nn.ReLU(),
                f"linear{last + 2}": nn.Linear(256, 256),
                f"relu{last + 2}": nn.ReLU(),
                "output": nn.Linear(256, classes),
            },
        )
    )


def vgg_svhn(shape: Shape, classes: int) -> nn.Module:
    """Return the VGG-like network of Ansuini et al. (2020) for SVHN: 586,154 parameters on colour images."""
    plan = (32, 32, "M", 64, 64, "M", 128, 128, "M", 256, "M")
    return _vgg(shape[0], classes, plan)


def vgg16_bn(shape: Shape, classes: int) -> nn.Module:
    """Return VGG-16 with batch norm and one linear layer, as open_lth has it for CIFAR-10."""
    plan = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512)
    return _he_normal(_vgg(shape[0], classes, plan))


def _vgg(channels: int, classes: int, plan: Sequence[int | str]) -> nn.Module:
    return _sequence(
        **_convolutions(channels, plan, norm=True),
        average=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        output=nn.Linear([step for step in plan if step != "M"][-1], classes),
    )


def _convolutions(channels: int, plan: Sequence[int | str], norm: bool) -> dict[str, nn.Module]:
    """Return a 3×3 convolution and a ReLU for each width of a plan, a 2×2 maximum pool for each ``M``."""
    modules: dict[str, nn.Module] = {}
    number = 0
    for step in plan:
        if step == "M":
            modules[f"pool{number}"] = nn.MaxPool2d(2)
            continue
        number += 1
        modules[f"conv{number}"] = nn.Conv2d(channels, step, 3, padding=1)
        if norm:
            modules[f"norm{number}"] = nn.BatchNorm2d(step)
        modules[f"relu{number}"] = nn.ReLU()
        channels = step
    return modules


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al. 2016), a 1×1 convolution where sizes change."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = _sequence(
                conv=nn.Conv2d(channels, width, 1, stride, bias=False), norm=nn.BatchNorm2d(width)
            )
        self.relu2 = nn.ReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        inner = self.relu1(self.norm1(self.conv1(inputs)))
        return self.relu2(self.norm2(self.conv2(inner)) + self.shortcut(inputs))


def resnet20(shape: Shape, classes: int) -> nn.Module:
    """Return ResNet-20 for CIFAR-10 (He et al. 2016) with projected shortcuts, as open_lth has it."""
    blocks: dict[str, nn.Module] = {}
    channels = 16
    for stage, width in enumerate((16, 32, 64), start=1):
        for number in range(1, 4):
            blocks[f"block{stage}_{number}"] = Block(channels, width, 2 if stage > 1 and number == 1 else 1)
            channels = width
    return _he_normal(
        _sequence(
            conv=nn.Conv2d(shape[0], 16, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(16),
            relu=nn.ReLU(),
            **blocks,
            average=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            output=nn.Linear(64, classes),
        )
    )


class Residual(nn.Module):
    """Add to the input what two layers make of it."""

    def __init__(self, width: int):
        super().__init__()
        self.res1 = _layer(width, width)
        self.res2 = _layer(width, width)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + self.res2(self.res1(inputs))


class Scale(nn.Module):
    """Multiply by a constant."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * self.factor


def _layer(channels: int, width: int, **more: nn.Module) -> nn.Sequential:
    return _sequence(
        conv=nn.Conv2d(channels, width, 3, padding=1, bias=False),
        norm=nn.BatchNorm2d(width),
        relu=nn.ReLU(),
        **more,
    )


def resnet_cifar10_fast(shape: Shape, classes: int) -> nn.Module:
    """Return the network of the sequel to Ansuini et al. for 32×32 images, a fork of Page's cifar10-fast."""
    return _sequence(
        prep=_layer(shape[0], 64),
        layer1=_layer(64, 128, pool=nn.MaxPool2d(2), residual=Residual(128)),
        layer2=_layer(128, 256, pool=nn.MaxPool2d(2)),
        layer3=_layer(256, 512, pool=nn.MaxPool2d(2), residual=Residual(512)),
        pool=nn.MaxPool2d(4),
        flatten=nn.Flatten(),
        output=nn.Linear(512, classes, bias=False),
        scale=Scale(0.125),
    )


def _torchvision(name: str, arguments: dict, shape: Shape, classes: int) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise InputError(f"network.name: torchvision.models has no classifier named {name!r}")
    for key in ("num_classes", "weights"):
        if key in arguments:
            raise InputError(f"network.arguments: {key} cannot be set here; classes come from the data set")
    network = models.get_model(name, weights=None, num_classes=classes, **arguments)
    if getattr(network, "aux_logits", False):
        raise InputError(f"network.arguments: {name} has auxiliary outputs; set aux_logits: false")
    if shape[0] != 3:
        _adapt_input(network, shape[0])
    return network


def _adapt_input(network: nn.Module, channels: int) -> None:
    """Replace the first convolution, made for colour images, by one for so many channels."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and module.groups == 1:
            first = nn.Conv2d(
                channels,
                module.out_channels,
                module.kernel_size,
                module.stride,
                module.padding,
                module.dilation,
                bias=module.bias is not None,
            )
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, first)
            return


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "lenet_small": lenet_small,
    "lenet5": lenet5,
    "lenet300": lenet300,
    "conv2": conv2,
    "conv4": conv4,
    "conv6": conv6,
    "vgg_svhn": vgg_svhn,
    "vgg16_bn": vgg16_bn,
    "resnet20": resnet20,
    "resnet_cifar10_fast": resnet_cifar10_fast,
}
