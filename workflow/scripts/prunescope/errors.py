"""Errors meant for the person who runs the workflow."""


class InputError(ValueError):
    """Something the user can mend: a setting, a file, a data set.

    The message is one line that says what is wrong, where (file, key, value) and what to do. Scripts print
    it without a traceback; anything else that is raised is a bug and keeps its traceback.
    """


def out_of_memory(error: RuntimeError) -> bool:
    """Tell whether torch raised an error because a device's or the host's memory was not enough."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
