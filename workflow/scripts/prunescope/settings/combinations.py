"""Which values of `pruning` and `control` do not go together, and why. All others do."""

from collections.abc import Mapping

# Values by key. The first key is the one that a message is about; what follows is the message.
REFUSED: tuple[tuple[dict[str, tuple[str, ...]], str], ...] = (
    (
        {"criterion": ("grasp", "snip", "synflow"), "at": ("training",)},
        "scores untrained networks; set pruning.at: initialisation",
    ),
    (
        {"criterion": ("saliency",), "at": ("initialisation",)},
        "scores trained networks; choose snip, the same score of untrained ones",
    ),
    (
        {"criterion": ("wanda",), "at": ("initialisation",)},
        "scores trained networks; set pruning.at: training",
    ),
    (
        {"criterion": ("wanda",), "scope": ("global",)},
        "compares only weights of the same output; set pruning.scope: layer or erk",
    ),
    (
        {"scope": ("erk",), "unit": ("channel",)},
        "distributes single weights; set pruning.scope: global or layer",
    ),
    (
        {"criterion": ("grasp",), "unit": ("channel",)},
        "scores have signs, which the norm of a channel ignores; choose snip or synflow",
    ),
    (
        {"criterion": ("wanda",), "unit": ("channel",)},
        "compares the weights of a channel, not channels; set pruning.unit: weight",
    ),
    (
        {"criterion": ("random",), "unit": ("channel",), "scope": ("global",)},
        "would remove the channels of small layers first; set pruning.scope: layer",
    ),
    (
        {"retraining": ("finetune", "rewind"), "at": ("initialisation",)},
        "there is no earlier training to continue or to go back to; set pruning.retraining: lr-rewind",
    ),
    (
        {"retraining": ("none",), "at": ("initialisation",)},
        "no pruned network would ever be trained; set pruning.retraining: lr-rewind",
    ),
    (
        {"control": ("new-weights", "retrain", "siblings"), "retraining": ("none",)},
        "does nothing without training; choose shuffled-masks, or another pruning.retraining",
    ),
)


def refused(values: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the key and the message of the first combination that is refused; None if there is none.

    Parameters
    ----------
    values : mapping of str to str
        ``control`` and keys of `pruning`.
    """
    for parts, why in REFUSED:
        if all(values[key] in options for key, options in parts.items()):
            return next(iter(parts)), why
    return None
