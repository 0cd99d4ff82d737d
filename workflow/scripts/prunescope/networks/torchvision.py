"""torchvision's classifiers by name."""

from pathlib import Path

import torch
from torch import Tensor, nn

from prunescope.errors import InputError, first_line, guess
from prunescope.networks.layers import Shape
from prunescope.networks.preprocessing import Preprocessing

VISION_TRANSFORMERS = {
    "b": {"num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072},
    "l": {"num_layers": 24, "num_heads": 16, "hidden_dim": 1024, "mlp_dim": 4096},
    "h": {"num_layers": 32, "num_heads": 16, "hidden_dim": 1280, "mlp_dim": 5120},
}


def names() -> list[str]:
    """Return the names of torchvision's classifiers."""
    from torchvision import models

    return models.list_models(module=models)


def _offered(name: str):
    """Return torchvision's description of a classifier's trained weights."""
    from torchvision import models

    return models.get_model_weights(name).DEFAULT


def pretrained(name: str, arguments: dict, download: bool) -> dict[str, Tensor]:
    """Return torchvision's weights for a classifier."""
    from torchvision import models

    offered = _offered(name)
    there = Path(torch.hub.get_dir(), "checkpoints", Path(offered.url).name)
    try:
        if not download and not there.is_file():
            raise InputError("data.download is false")
        return models.get_model(name, weights=offered, progress=False, **arguments).state_dict()
    except Exception as error:  # arguments that do not fit the weights, or no connection
        problem = first_line(error)
        raise InputError(
            f"network.weights = DEFAULT: {offered.url} is not at {there} and cannot be downloaded "
            f"({problem}); copy it there, or give the path of the file"
            if not there.is_file()
            else f"network.weights = DEFAULT: {name} with arguments {arguments}: {problem}"
        ) from None


def preprocessing(name: str) -> Preprocessing:
    """Return what ``weights.transforms()`` does."""
    transforms = _offered(name).transforms()
    (size,), (crop,) = transforms.resize_size, transforms.crop_size
    return Preprocessing(
        tuple(transforms.mean),
        tuple(transforms.std),
        {"size": size, "crop": [crop, crop], "interpolation": transforms.interpolation.value},
    )


def torchvision(name: str, shape: Shape, classes: int, **arguments) -> nn.Module:
    """A classifier from torchvision.models, with random weights; its first convolution fits the images."""
    from torchvision import models

    if name not in names():
        raise InputError(
            f"network.name: torchvision.models has no classifier named {name!r}{guess(name, names())}"
        )
    for key in ("num_classes", "weights"):
        if key in arguments:
            raise InputError(f"network.arguments: {key} cannot be set here; see network.weights")
    if name.startswith("vit_"):
        model = _vision_transformer(name, num_classes=classes, **arguments)
    else:
        model = models.get_model(name, weights=None, num_classes=classes, **arguments)
    if getattr(model, "aux_logits", False):
        raise InputError(f"network.arguments: {name} has auxiliary outputs; set aux_logits: false")
    if shape[0] != 3:
        _adapt_input(model, shape[0])
    return model


def _vision_transformer(name: str, **arguments) -> nn.Module:
    """Return ``vit_b_16`` and so on; torchvision's functions do not accept other sizes as arguments."""
    from torchvision.models import VisionTransformer

    _, size, patch = name.split("_")
    sizes = {"patch_size": int(patch), **VISION_TRANSFORMERS[size]}
    return VisionTransformer(**{"image_size": 224, **sizes, **arguments})


def _adapt_input(model: nn.Module, channels: int) -> None:
    """Replace the first convolution, made for colour images, by one for this number of channels."""
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
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, first)
            return
