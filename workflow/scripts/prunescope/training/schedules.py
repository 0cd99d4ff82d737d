"""Learning-rate schedules: functions that give a factor for the base learning rate.

They take the completed epochs (with fractions), the total number of epochs, the warm-up epochs, and their own
settings.
"""

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from prunescope import kinds, own


def constant(epoch: float, epochs: int, warmup: float) -> float:
    """The base learning rate throughout."""
    return 1.0


def steps(epoch: float, epochs: int, warmup: float, milestones: Sequence[float], gamma: float = 0.1) -> float:
    """Multiplied by `gamma` at each milestone."""
    return gamma ** sum(epoch >= milestone for milestone in milestones)


def cosine(epoch: float, epochs: int, warmup: float, final: float = 0.0) -> float:
    """Half a cosine from 1 to `final`, without restarts."""
    done = min(1.0, max(0.0, epoch - warmup) / max(epochs - warmup, 1e-9))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def linear(epoch: float, epochs: int, warmup: float, points: Sequence[Sequence[float]]) -> float:
    """Straight lines between points, constant outside."""
    for (left, low), (right, high) in pairwise(points):
        if left <= epoch < right:
            return low + (high - low) * (epoch - left) / (right - left)
    return points[0][1] if epoch < points[0][0] else points[-1][1]


def factor(epoch: float, epochs: int, *, name: str, warmup_epochs: float = 0.0, **settings) -> float:
    """Return the factor for the base learning rate.

    Parameters
    ----------
    epoch : float
        Completed epochs, with fractions.
    epochs : int
        Total number of epochs.
    name : str
        A kind of the family ``schedule``.
    warmup_epochs : float, default 0
        Number of epochs over which the factor first rises linearly from 0, for any schedule.
    **settings
        The schedule's own.
    """
    shape = _shape(name, own.root())
    warmup = min(1.0, epoch / warmup_epochs) if warmup_epochs else 1.0
    return warmup * shape(epoch, epochs, warmup_epochs, **settings)


@cache
def _shape(name: str, _folder: Path):
    """Import a schedule once: it is called at every step of the training."""
    return kinds.load("schedule", name)
