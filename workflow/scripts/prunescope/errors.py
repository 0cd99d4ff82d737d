"""Errors meant for the person who runs the workflow, and what to do when memory is not enough."""

import difflib
import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

log = logging.getLogger("prunescope")
T = TypeVar("T")


class InputError(ValueError):
    """Something the user can correct: a setting, a file, a data set.

    The message is one line that says what is wrong, where (file, key, value) and what to do. Scripts print
    it without a traceback; anything else that is raised is a bug and keeps its traceback.
    """


def guess(name: str, known: Iterable) -> str:
    """Return `` (did you mean 'x'?)`` with the known name most like `name`, or an empty string."""
    options = [str(option) for option in known]
    close = [option for option in options if option.lower() == name.lower()]
    close = close or difflib.get_close_matches(name, options, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def out_of_memory(error: Exception) -> bool:
    """Return whether an error of NumPy or torch means that the host's or a device's memory was not enough."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def shrinking(run: Callable[[int], T], size: int, unit: str, remedy: str) -> T:
    """Call ``run(size)``, and halve `size` after each out-of-memory error.

    Parameters
    ----------
    run : callable
        Called with the size; it must clean up after a failed call.
    size : int
        First size.
    unit, remedy : str
        For messages: what is counted, e.g. ``"image"``, and what to do when even one is too many.

    Raises
    ------
    InputError
        When memory is not enough for a size of 1.
    """
    while True:
        try:
            return run(size)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        if size == 1:
            raise InputError(f"not enough memory for even one {unit}; {remedy}")
        size //= 2
        log.info("out of memory: retrying with %d %ss at a time", size, unit)
