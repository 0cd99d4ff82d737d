"""Controls: experiments that repeat another experiment round by round, with other masks or weights.

A control is a function that returns the masks of one round. The names of its parameters, keys of `OFFERS`,
select its arguments. ``none`` is not a control: its masks are those of Iterative Magnitude Pruning.
"""

from collections.abc import Callable

from prunescope import kinds
from prunescope.errors import InputError

OFFERS = {
    "masks": "the masks of the same round of the controlled experiment",
    "generator": "a torch.Generator on the CPU, seeded for this seed; the same in every round",
    "this": "the round, see prunescope.pruning.rounds.Round",
    "settings": "how the experiment prunes, see prunescope.pruning.rounds.PruningSettings",
    "previous": "the checkpoint of the previous round",
    "data": "the images and labels on the training device, see prunescope.training.data.Data",
}


def masks(control: str, offers: dict[str, Callable[[], object]]) -> dict:
    """Make the masks of one round.

    Parameters
    ----------
    control : str
        A kind of the family ``control``.
    offers : dict of str to callable
        Functions that compute `OFFERS`; only those that the control uses are called.

    Returns
    -------
    dict of str to Tensor of bool
        By parameter name; True means kept. Empty for a network that is not pruned.
    """
    kind = check(control)
    return kinds.load("control", control)(**{name: offers[name]() for name in kind.parameters})


def check(control: str) -> kinds.Kind:
    """Return a control as its source describes it; nothing is imported.

    Raises
    ------
    InputError
        When there is no such control, or it has a parameter that is not in `OFFERS`.
    """
    kind = kinds.find("control", control, "control")
    for name in kind.parameters:
        if name not in OFFERS:
            raise InputError(
                f"{kind.path}: control {control!r} has the unknown parameter {name!r}; allowed: "
                f"{', '.join(OFFERS)}"
            )
    return kind
