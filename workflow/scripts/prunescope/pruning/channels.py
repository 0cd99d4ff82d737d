"""Masks of whole output channels, and one number for each channel in place of its weights."""

from torch import Tensor

from prunescope.networks.masks import Masks


def norms(scores: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the score of each channel: the Euclidean norm of the scores of its weights."""
    return {name: score.flatten(1).norm(dim=1) for name, score in scores.items()}


def remaining(masks: Masks) -> Masks:
    """Return which channels have a weight left."""
    return {name: mask.flatten(1).any(1) for name, mask in masks.items() if mask.ndim > 1}


def whole(channels: Masks, companions: dict[str, list[str]], masks: Masks) -> Masks:
    """Return masks of whole channels.

    Parameters
    ----------
    channels : dict of str to Tensor of bool, shape (channels,)
        The channels to keep, by the name of their weight.
    companions : dict of str to list of str
        Parameters that are pruned with them, see `prunescope.networks.channels.companions`.
    masks : dict of str to Tensor of bool
        Masks of the weights; what they remove stays removed.
    """
    found = {}
    for name, kept in channels.items():
        found[name] = masks[name] & kept.view(-1, *[1] * (masks[name].ndim - 1))
        found |= {other: kept.clone() for other in companions[name]}
    return found
