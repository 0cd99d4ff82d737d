from prunescope.networks.masks import Masks


def retrain() -> Masks:
    """The same rounds and schedule without pruning."""
    return {}
