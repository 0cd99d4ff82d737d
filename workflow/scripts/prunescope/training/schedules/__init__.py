"""Learning-rate schedules. Each is a function in a file of this folder.

A schedule is a factor on the base learning rate: a function of the epochs done (with fractions), the
epochs of the whole training, the epochs of its warm-up, and its own settings.
"""

from prunescope import kinds


def factor(epoch: float, epochs: int, *, name: str, warmup_epochs: float = 0.0, **settings) -> float:
    """Return the factor on the base learning rate.

    Parameters
    ----------
    epoch : float
        Epochs done, with fractions.
    epochs : int
        Epochs of the whole training.
    name : str
        A kind of the family ``schedule``.
    warmup_epochs : float, default 0
        The factor first rises linearly from 0 over so many epochs, whatever the schedule.
    **settings
        The schedule's own.
    """
    shape = kinds.load("schedule", name)
    warmup = min(1.0, epoch / warmup_epochs) if warmup_epochs else 1.0
    return warmup * shape(epoch, epochs, warmup_epochs, **settings)
