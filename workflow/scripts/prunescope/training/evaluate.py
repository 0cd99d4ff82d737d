"""A network's outputs, loss, accuracy and gradients on the images of a data set."""

import os

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunescope.errors import InputError
from prunescope.networks.preprocessing import normalise
from prunescope.settings.training import Forward
from prunescope.training.data import Data, Split

# Images whose losses are summed in float32, before sums are added in float64.
SCORED = 512


def reproducible(device: torch.device) -> None:
    """Make torch use algorithms that give the same bits in every run.

    On the CPU, the algorithms of convolutional networks do so by default, and the setting would import
    torch's compiler.
    """
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Filling new memory takes time and only matters for code that reads uninitialised memory.
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def forward(network: nn.Module, images: Tensor, data: Data, settings: Forward) -> Tensor:
    """Return a network's outputs, float32, for a batch of pixels."""
    if not settings.channels_last:
        images = images.contiguous()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        outputs = network(normalise(images, data.mean, data.std, data.resizing))
    if not isinstance(outputs, Tensor):
        mode = "training" if network.training else "evaluation"
        raise InputError(
            f"network: {type(network).__name__} returns a {type(outputs).__name__} in {mode} mode; it must "
            "return one tensor, (n, classes)"
        )
    return outputs.float()


@torch.no_grad()
def predict(network: nn.Module, split: Split, data: Data, settings: Forward) -> Tensor:
    """Return a network's logits for all images of a split, float32, in the precision of the training."""
    network.eval()
    return torch.cat([forward(network, images, data, settings) for images, _ in split.batches()])


def score(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return mean cross-entropy (without label smoothing) and accuracy."""
    losses = [
        F.cross_entropy(part, true, reduction="sum").double()
        for part, true in zip(logits.split(SCORED), labels.split(SCORED), strict=True)
    ]
    correct = (logits.argmax(1) == labels).sum()
    return float(torch.stack(losses).sum()) / len(labels), float(correct) / len(labels)


def gradients(network: nn.Module, names: list[str], data: Data, settings: Forward) -> dict[str, Tensor]:
    """Return the gradient of the training images' mean loss, in evaluation mode and without augmentation."""
    reproducible(data.train.labels.device)
    network.to(data.train.labels.device)
    network.eval()
    parameters = dict(network.named_parameters())
    network.zero_grad()
    frozen = [name for name in names if not parameters[name].requires_grad]
    for name in frozen:
        parameters[name].requires_grad_(True)
    for images, labels in data.train.batches():
        logits = forward(network, images, data, settings)
        (F.cross_entropy(logits, labels, reduction="sum") / len(data.train)).backward()
    gradients = {name: parameters[name].grad for name in names}
    network.zero_grad()
    for name in frozen:
        parameters[name].requires_grad_(False)
    # The loss does not depend on a parameter without gradient.
    return {
        name: (torch.zeros_like(parameters[name]) if gradient is None else gradient).detach().cpu()
        for name, gradient in gradients.items()
    }
