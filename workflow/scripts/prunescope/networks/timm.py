"""timm's classifiers by name."""

import math

from torch import Tensor, nn

from prunescope.errors import InputError, first_line, guess
from prunescope.networks.layers import Shape
from prunescope.networks.preprocessing import Preprocessing

FIXED = ("pretrained", "num_classes", "in_chans", "checkpoint_path")


def names() -> list[str]:
    """Return the names of timm's models."""
    import timm

    return timm.list_models()


def pretrained(name: str, arguments: dict, download: bool) -> dict[str, Tensor]:
    """Return timm's weights for a model, ``NAME`` or ``NAME.TAG``."""
    import huggingface_hub.constants
    import timm

    huggingface_hub.constants.HF_HUB_OFFLINE = not download

    try:
        return timm.create_model(name, pretrained=True, **arguments).state_dict()
    except Exception as error:  # the exception of a failed download depends on its source
        problem = first_line(error)
        raise InputError(
            f"network.weights = DEFAULT: the weights of timm/{name} are not on this machine and cannot be "
            f"downloaded ({problem}); download them on another machine and give the path of the file"
        ) from None


def preprocessing(name: str) -> Preprocessing:
    """Return the data configuration of a model's weights."""
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise InputError(f"training.normalisation = weights: timm has no trained weights for {name!r}")
    crop = list(config.input_size[1:])
    sides = [math.floor(side / config.crop_pct) for side in crop]
    return Preprocessing(
        tuple(config.mean),
        tuple(config.std),
        {
            "size": sides if config.crop_mode == "squash" or sides[0] != sides[1] else sides[0],
            "crop": crop,
            "interpolation": "bilinear" if config.interpolation == "bilinear" else "bicubic",
        },
    )


def timm(name: str, shape: Shape, classes: int, **arguments) -> nn.Module:
    """A classifier from timm, with random weights; its first layer fits the number of channels."""
    import timm

    if not timm.is_model(name):
        raise InputError(f"network.name: timm has no model named {name!r}{guess(name, names())}")
    for key in FIXED:
        if key in arguments:
            raise InputError(f"network.arguments: {key} cannot be set here; see network.weights")
    return timm.create_model(name, num_classes=classes, in_chans=shape[0], **arguments)
