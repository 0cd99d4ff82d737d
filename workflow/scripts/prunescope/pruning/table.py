"""Tables of pruning criteria and of controls.

Facts of a control: `reads` names the checkpoints that its masks are made from, of the ``previous`` round or,
as ``masks``, of the same round of the controlled experiment. With `prunes`, it chooses weights; with `fresh`,
their values are newly drawn.
"""

from prunescope.kinds import Kind

CRITERIA = {
    "magnitude": Kind(
        "pruning.criteria.magnitude:magnitude",
        "|w|",
        reference="S. Han, J. Pool, J. Tran, W. Dally: Learning both Weights and Connections. NeurIPS 2015.",
    ),
    "random": Kind(
        "pruning.criteria.random:random",
        "Uniform random numbers, so weights are removed at random",
    ),
    "saliency": Kind(
        "pruning.criteria.saliency:saliency",
        "|w × gradient|: the first-order change of the training loss when w is removed",
        reference="P. Molchanov et al.: Pruning Convolutional Neural Networks. ICLR 2017.",
    ),
}

CONTROLS = {
    "new-weights": Kind(
        "pruning.controls.new_weights:new_weights",
        "The masks of the same round on newly drawn weights, trained with the schedule of round 0",
        reference="J. Frankle, M. Carbin: The Lottery Ticket Hypothesis. ICLR 2019.",
        facts={"reads": ("masks",), "fresh": True},
    ),
    "none": Kind(
        "pruning.controls.none:none",
        "No control: score the remaining weights and remove the lowest",
        facts={"reads": ("previous",), "prunes": True},
    ),
    "retrain": Kind(
        "pruning.controls.retrain:retrain",
        "The same rounds and schedule without pruning",
        facts={"reads": ()},
    ),
    "shuffled-masks": Kind(
        "pruning.controls.shuffled_masks:shuffled_masks",
        "The masks of the same round, permuted within each layer",
        facts={"reads": ("masks",)},
    ),
}
