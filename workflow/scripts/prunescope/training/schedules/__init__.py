"""Learning-rate schedules. Each is a function in a file of this folder.

A schedule gives a factor for the base learning rate. It is a function of the completed epochs (with
fractions), the total number of epochs, the warm-up epochs, and its own settings.
"""

from functools import cache
from pathlib import Path

from prunescope import kinds, own


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
