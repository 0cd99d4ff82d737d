"""Criteria: scores of weights; the weights with the lowest scores are removed first.

A criterion is a function that returns scores with the shapes of the weights. The names of its parameters,
keys of `OFFERS`, select its arguments.
"""

from collections.abc import Callable

from prunescope import kinds

OFFERS = {
    "weights": "the prunable weights by parameter name, on the CPU",
    "gradients": "the gradients of the training images' mean loss, on the CPU",
    "generator": "a torch.Generator on the CPU, seeded for this seed and round",
    "network": "the network of the previous round, on the training device",
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
        Functions that compute `OFFERS`; only those that the criterion uses are called.

    Returns
    -------
    dict of str to Tensor of float32
        By parameter name, on the CPU, with the shapes of the weights.
    """
    return kinds.call("criterion", criterion, offers)
