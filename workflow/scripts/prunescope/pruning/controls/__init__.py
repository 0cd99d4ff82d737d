"""Controls: experiments that repeat another experiment round by round, with other masks or weights.

A control is a function that returns the masks of one round. The names of its parameters, keys of `OFFERS`,
select its arguments. ``none`` is not a control: its masks are those of Iterative Magnitude Pruning.
"""

from collections.abc import Callable

from prunescope import kinds

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
    return kinds.call("control", control, offers)
