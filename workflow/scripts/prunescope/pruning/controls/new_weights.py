from prunescope.networks.masks import Masks


def new_weights(masks: Masks) -> Masks:
    """The masks of the same round on newly drawn weights, trained with the schedule of round 0."""
    return masks
