from prunescope.kinds import control
from prunescope.networks.masks import Masks


@control(
    name="new-weights",
    reference="J. Frankle, M. Carbin: The Lottery Ticket Hypothesis. ICLR 2019.",
    fresh=True,
)
def new_weights(masks: Masks) -> Masks:
    """The masks of the same round on newly drawn weights, trained with the schedule of round 0."""
    return masks
