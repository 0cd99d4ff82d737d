"""Summaries over seeds, and what their confidence interval says about a sign."""

import math

import pandas as pd
from scipy.special import stdtrit

UNDECIDED = "not enough seeds to say"


def spread(values) -> dict | None:
    """Summarise the values of several seeds.

    Parameters
    ----------
    values : sequence of float
        One value for each seed. NaN is left out.

    Returns
    -------
    dict or None
        ``mean``, ``min``, ``max``, ``sd`` (standard deviation, n - 1), ``interval`` (Student's 95 %
        confidence interval of the mean, a list of two) and ``count``. ``sd`` and ``interval`` are None for
        a single value. None without any value.
    """
    values = pd.Series(values, dtype=float).dropna()
    count = len(values)
    if not count:
        return None
    mean, deviation, half = values.mean(), None, None
    if count > 1:
        deviation = float(values.std(ddof=1))
        half = float(stdtrit(count - 1, 0.975)) * deviation / math.sqrt(count)
    return {
        "mean": float(mean),
        "min": float(values.min()),
        "max": float(values.max()),
        "sd": deviation,
        "interval": None if half is None else [float(mean - half), float(mean + half)],
        "count": count,
    }


def sign(differences, positive: str, negative: str) -> str:
    """Choose a word by the sign of a mean difference, as far as its confidence interval decides it.

    Parameters
    ----------
    differences : sequence of float
        One difference for each seed.
    positive, negative : str
        Returned when the whole interval is above or below zero.

    Returns
    -------
    str
        One of the two words, or `UNDECIDED` when the interval contains zero or there is none.
    """
    interval = (spread(differences) or {}).get("interval")
    if interval and interval[0] > 0:
        return positive
    if interval and interval[1] < 0:
        return negative
    return UNDECIDED
