from torch import Tensor

from prunescope.kinds import criterion


@criterion(
    reference="S. Han, J. Pool, J. Tran, W. Dally: Learning both Weights and Connections. NeurIPS 2015."
)
def magnitude(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """|w|."""
    return {name: weight.abs() for name, weight in weights.items()}
