from torch import Tensor


def saliency(weights: dict[str, Tensor], gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    """|w × gradient|: the first-order change of the training loss when w is removed."""
    return {name: (weight * gradients[name]).abs() for name, weight in weights.items()}
