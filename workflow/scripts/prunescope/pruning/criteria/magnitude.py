from torch import Tensor


def magnitude(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """|w|."""
    return {name: weight.abs() for name, weight in weights.items()}
