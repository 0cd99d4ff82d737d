"""Criteria: scores of weights; the lowest are removed first.

A criterion is a function from what it asks for, by the names of its parameters, to scores shaped like
the weights. It may ask for the keys of `OFFERS`.
"""

from collections.abc import Callable

from prunescope import kinds
from prunescope.errors import InputError

OFFERS = {
    "weights": "the prunable weights by parameter name, on the CPU",
    "gradients": "their gradients of the training images' mean loss, on the CPU",
    "generator": "a torch.Generator on the CPU, seeded for this seed and round",
    "network": "the network of the round before, on the training device",
    "untrained": "the same network with its initial weights, on the CPU",
    "data": "the images and labels on the training device, see prunescope.training.data.Data",
}


def scores(criterion: str, offers: dict[str, Callable[[], object]]) -> dict:
    """Score every prunable weight.

    Parameters
    ----------
    criterion : str
        A kind of the family ``criterion``.
    offers : dict of str to callable
        Computes each of `OFFERS`; only what the criterion asks for is called.

    Returns
    -------
    dict of str to Tensor of float32
        By parameter name, on the CPU, shaped like the weights.
    """
    kind = check(criterion)
    return kinds.load("criterion", criterion)(**{name: offers[name]() for name in kind.parameters})


def check(criterion: str) -> kinds.Kind:
    """Return a criterion as its source describes it; nothing is imported.

    Raises
    ------
    InputError
        When there is no such criterion, or it asks for something that is not offered.
    """
    kind = kinds.find("criterion", criterion, "pruning.criterion")
    for name in kind.parameters:
        if name not in OFFERS:
            raise InputError(
                f"{kind.path}: criterion {criterion!r} has the unknown parameter {name!r}; allowed: "
                f"{', '.join(OFFERS)}"
            )
    return kind
