"""Errors for the person who runs the workflow, and handling of a lack of memory."""

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

    def __init__(self, message: str):
        # It often includes a library's message, which may have several lines.
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return " ".join(str(error).split("\n")[0].split()) or type(error).__name__


def guess(name: str, known: Iterable, nearest: int = 0) -> str:
    """Return `` (did you mean 'x'?)`` with the known name closest to `name`, or an empty string.

    With `nearest`, it names this many of them, however different they are.
    """
    options = [str(option) for option in known]
    close = [option for option in options if option.lower() == name.lower()]
    close = close or difflib.get_close_matches(name, options, nearest or 1, 0.0 if nearest else 0.6)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def listed(names: Iterable, most: int = 20) -> str:
    """Return names as text, at most this many of them."""
    names = list(map(str, names))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def counted(count: int, noun: str) -> str:
    """Return a number of things as text, such as ``1 round`` or ``3 rounds``."""
    return f"{count} {noun}{'s' * (count != 1)}"


# How NumPy, torch, HDF5, Arrow, the C library and Python report a lack of memory.
NO_MEMORY = (
    *("can't allocate memory", "Cannot allocate memory", "bad_alloc", "bad allocation", "out of memory"),
    *("Unable to allocate", "unable to allocate", "memory allocation failed", "malloc of size"),
    *("failed to map segment", "cannot allocate memory", "can't start new thread"),
)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means a lack of memory, on the host or a device, or of threads."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (
            isinstance(error, OSError | RuntimeError | ImportError)
            and any(t in str(error) for t in NO_MEMORY)
        )
    )


def shrinking(run: Callable[[int], T], size: int, unit: str, remedy: str) -> T:
    """Call ``run(size)``, and halve `size` after each out-of-memory error.

    For messages, `unit` is what is counted, e.g. ``"image"``, and `remedy` what to do when one is too many.
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
