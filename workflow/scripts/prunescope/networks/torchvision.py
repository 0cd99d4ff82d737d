"""torchvision's classifiers by name."""

from torch import nn

from prunescope.errors import InputError, guess
from prunescope.kinds import network
from prunescope.networks.layers import Shape


def names() -> list[str]:
    """Return the names of torchvision's classifiers."""
    from torchvision import models

    return models.list_models(module=models)


@network(form="torchvision/NAME", names="names")
def torchvision(name: str, shape: Shape, classes: int, **arguments) -> nn.Module:
    """A classifier of torchvision.models, with random weights; its first convolution fits the images."""
    from torchvision import models

    if name not in names():
        raise InputError(
            f"network.name: torchvision.models has no classifier named {name!r}{guess(name, names())}"
        )
    for key in ("num_classes", "weights"):
        if key in arguments:
            raise InputError(f"network.arguments: {key} cannot be set here; classes come from the data set")
    model = models.get_model(name, weights=None, num_classes=classes, **arguments)
    if getattr(model, "aux_logits", False):
        raise InputError(f"network.arguments: {name} has auxiliary outputs; set aux_logits: false")
    if shape[0] != 3:
        _adapt_input(model, shape[0])
    return model


def _adapt_input(model: nn.Module, channels: int) -> None:
    """Replace the first convolution, made for colour images, by one for so many channels."""
    for name, module in model.named_modules():
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
            setattr(model.get_submodule(parent), own, first)
            return
