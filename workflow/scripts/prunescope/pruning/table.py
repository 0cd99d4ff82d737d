"""Tables of pruning criteria and of controls.

Facts of a control: `reads` names the checkpoints that its masks are made from: the ``origin``, of the round
that is pruned, or ``masks``, of the same round of the controlled experiment. With `prunes`, it chooses
weights; with `fresh`, their values are newly drawn. With `again`, its rounds start from the files of the
controlled experiment in place of its own, and the seeds of order and augmentation differ; round 0 is trained
again, too.
"""

from prunescope.kinds import Kind

OFFERED = {
    "weights": "the prunable weights by parameter name, on the CPU",
    "gradients": "the gradients of the training images' mean loss, on the CPU",
    "generator": "a torch.Generator on the CPU, seeded for this seed and round",
    "network": "the network that is pruned, on the training device",
    "untrained": "the same network with its initial weights, on the CPU",
    "data": "the images and labels on the training device, see prunescope.training.data.Data",
}

CRITERIA = {
    "magnitude": Kind(
        "pruning.criteria:magnitude",
        "|w|",
        reference="S. Han, J. Pool, J. Tran, W. Dally: Learning both Weights and Connections. NeurIPS 2015.",
    ),
    "random": Kind(
        "pruning.criteria:random",
        "Uniform random numbers, so weights are removed at random",
    ),
    "saliency": Kind(
        "pruning.criteria:saliency",
        "|w × gradient|: the first-order change of the training loss when w is removed",
        reference="P. Molchanov et al.: Pruning Convolutional Neural Networks. ICLR 2017.",
    ),
}

CONTROLS = {
    "new-weights": Kind(
        "pruning.controls:same_masks",
        "The masks of the same round on newly drawn weights, trained with the schedule of round 0",
        reference="J. Frankle, M. Carbin: The Lottery Ticket Hypothesis. ICLR 2019.",
        facts={"reads": ("masks",), "fresh": True},
    ),
    "none": Kind(
        "pruning.imp:remaining",
        "No control: score the remaining weights and remove the lowest",
        facts={"reads": ("origin",), "prunes": True},
    ),
    "retrain": Kind(
        "pruning.controls:retrain",
        "The same rounds and schedule without pruning",
        facts={"reads": ()},
    ),
    "siblings": Kind(
        "pruning.controls:same_masks",
        "Each round trained again from the same start, with another order and augmentation of the images",
        reference="J. Frankle et al.: Linear Mode Connectivity and the Lottery Ticket Hypothesis. ICML 2020.",
        facts={"reads": ("masks",), "again": True},
    ),
    "shuffled-masks": Kind(
        "pruning.controls:shuffled_masks",
        "The masks of the same round, permuted within each layer",
        facts={"reads": ("masks",)},
    ),
}
