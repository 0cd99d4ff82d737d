"""Intervals of a similarity over samples of images."""

import numpy as np
from scipy import special


def jackknife(
    value: float, without: np.ndarray, shared: float = 0.0, least: float = -1.0
) -> tuple[float, float]:
    """Return a 95 % interval for the expected value of a similarity over samples of as many images.

    Student's t interval for Fisher's z = artanh(value), from the values that leave out one fold of images at
    a time. If few of these differ much, there are as few degrees of freedom. It does not leave [least, 1].

    Parameters
    ----------
    value : float
        Value for all images.
    without : ndarray, shape (folds,)
        Values without each fold.
    shared : float, default 0
        Correlation, at value 0, of the two estimates whose mean is the value; the jackknife treats them as
        independent.
    least : float, default -1
        The smallest value of the measure.

    Returns
    -------
    low, high : float
        Both equal the value if it is 1 for any images; NaN if a value without a fold is NaN.
    """
    nearly = 1 - 1e-12
    if min(value, without.min()) >= nearly:
        return value, value
    z = np.arctanh(np.clip([value, *without], -nearly, nearly))
    folds = without.size
    squares = np.square(z[1:] - z[1:].mean())
    error = np.sqrt((folds - 1) / folds * np.sum(squares))
    # Satterthwaite's: as many as there are squares, if all are equal.
    freedom = np.clip(np.sum(squares) ** 2 / np.sum(squares**2), 1, folds - 1) if error else folds - 1
    half = special.stdtrit(freedom, 0.975) * error * np.sqrt(1 + shared * (1 - value**4))
    return max(float(np.tanh(z[0] - half)), least), float(np.tanh(z[0] + half))
