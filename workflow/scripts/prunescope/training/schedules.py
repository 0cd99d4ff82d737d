"""Learning-rate schedules: functions that give a factor for the base learning rate.

They take the completed epochs (with fractions), the total number of epochs, the warm-up epochs, and their own
settings. The warm-up is applied afterwards, see `prunescope.training.loop.schedule_factor`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise


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
    for (start, low), (end, high) in pairwise(points):
        if start <= epoch < end:
            return low + (high - low) * (epoch - start) / (end - start)
    return points[0][1] if epoch < points[0][0] else points[-1][1]
