"""Tables of pruning criteria and of controls.

Facts of a control: `reads` names the checkpoints that its masks are made from: the ``origin``, of the round
that is pruned, or ``masks``, of the same round of the controlled experiment. Those that its weights start
from follow from `prunescope.plan.stages.starts_from`. With `prunes`, it chooses weights; with `fresh`, their
values are newly drawn. With `units`, its masks of whole channels have one entry for each channel. With
`again`, its rounds start from the files of the controlled experiment in place of its own, and the seeds of
order and augmentation differ; round 0 is trained again, too.
"""

from prunescope.kinds import Kind

OFFERED = {
    "weights": "the prunable weights by parameter name, on the CPU",
    "gradients": "the gradients of the training images' mean loss, on the CPU",
    "generator": "a torch.Generator on the CPU, seeded for this seed and round",
    "network": "the network that is pruned, on the training device",
    "shape": "channels, height and width of its input for one image",
    "untrained": "the same network with its initial weights, on the CPU",
    "data": "the images and labels on the training device, see prunescope.training.data.Data",
    "sample": "the same with at most 512 training images, drawn at random for this seed",
    "settings": "how images are passed through the network, see prunescope.training.evaluate.forward",
}

# Facts of a criterion: with `iterations`, the remaining weights are scored that many times in a round. With
# `inputs`, it reads the inputs of layers, so it scores only linear layers and convolutions. Scoring takes as
# much memory as a training batch of `images`.
CRITERIA = {
    "grasp": Kind(
        "pruning.network_criteria:grasp",
        "w × (H g), H and g the Hessian and the gradient of the loss: how much w adds to the length of g",
        reference="C. Wang, G. Zhang, R. Grosse: Picking Winning Tickets Before Training by Preserving "
        "Gradient Flow. ICLR 2020.",
        facts={"images": 1024},
    ),
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
        facts={"images": 512},
    ),
    "snip": Kind(
        "pruning.network_criteria:snip",
        "|w × gradient| of an untrained network: saliency for a sample of images",
        reference="N. Lee, T. Ajanthan, P. Torr: SNIP: Single-shot Network Pruning Based on Connection "
        "Sensitivity. ICLR 2019.",
        facts={"images": 512},
    ),
    "synflow": Kind(
        "pruning.network_criteria:synflow",
        "w × ∂R/∂w, R the output of the network with |w| for an image of ones, in 100 iterations",
        reference="H. Tanaka et al.: Pruning Neural Networks Without Any Data by Iteratively Conserving "
        "Synaptic Flow. NeurIPS 2020.",
        facts={"iterations": 100},
    ),
    "wanda": Kind(
        "pruning.network_criteria:wanda",
        "|w| · ‖x‖₂, compared within each output; x are the inputs that w is multiplied with",
        reference="M. Sun, Z. Liu, A. Bair, J. Kolter: A Simple and Effective Pruning Approach for Large "
        "Language Models. ICLR 2024.",
        facts={"inputs": True, "images": 512},
    ),
}

CONTROLS = {
    "new-weights": Kind(
        "pruning.controls:same_masks",
        "The masks of the same round on reinitialised weights, trained with the schedule of round 0",
        reference="J. Frankle, M. Carbin: The Lottery Ticket Hypothesis. ICLR 2019.",
        facts={"reads": ("masks",), "fresh": True},
    ),
    # `imp.prune` calls this one itself; its name here makes its code part of the digest of `prune_round`.
    "none": Kind(
        "pruning.imp:masks_by_score",
        "No control: score the remaining weights and remove the lowest",
        facts={"reads": ("origin",), "prunes": True},
    ),
    "retrain": Kind(
        "pruning.controls:no_masks",
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
        facts={"reads": ("masks",), "units": True},
    ),
}
