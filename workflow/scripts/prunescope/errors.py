"""Errors meant for the person who runs the workflow, and what to do when memory is not enough."""

import logging
from collections.abc import Callable
from typing import TypeVar

log = logging.getLogger("prunescope")
T = TypeVar("T")


class InputError(ValueError):
    """Something the user can mend: a setting, a file, a data set.

    The message is one line that says what is wrong, where (file, key, value) and what to do. Scripts print
    it without a traceback; anything else that is raised is a bug and keeps its traceback.
    """


def out_of_memory(error: Exception) -> bool:
    """Tell whether NumPy or torch raised an error because a device's or the host's memory was not enough."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def shrinking(run: Callable[[int], T], size: int, where: str, remedy: str) -> T:
    """Run with so many things at a time, and with half of them each time memory is not enough.

    Parameters
    ----------
    run : callable
        Gets the size; what a failed call began must vanish with it.
    size : int
        To begin with.
    where, remedy : str
        Beginning and end of the line that says that memory is not enough for one: what needs it, and what
        to do.

    Raises
    ------
    InputError
        When memory is not enough for one.
    """
    while True:
        try:
            return run(size)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        if size == 1:
            raise InputError(f"{where} at a time: not enough memory for one; {remedy}")
        size //= 2
        log.info("out of memory: again with %d %s at a time", size, where)
