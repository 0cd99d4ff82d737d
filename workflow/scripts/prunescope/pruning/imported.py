"""Importing networks that were trained, and perhaps pruned, elsewhere, in place of a round."""

import logging
import math
import time

from torch import Tensor

from prunescope.checkpoints import Checkpoint
from prunescope.errors import InputError
from prunescope.networks import weights
from prunescope.networks.masks import census
from prunescope.pruning.rounds import Round, checkpoint, measured
from prunescope.training.data import place_test
from prunescope.training.evaluate import predict, reproducible, score

log = logging.getLogger("prunescope")


def bring(round: Round) -> tuple[Checkpoint, dict, Tensor]:
    """Read a network that was trained elsewhere, and measure it; return checkpoint, metrics and logits.

    ``network["more"]["weights"]`` is the file, see `prunescope.networks.formats.read`. Of the training, only
    the scaling of the pixels is used. Accuracy and loss are None if the number of outputs differs from the
    number of classes in the data set.
    """
    started = time.monotonic()
    network, masks = weights.elsewhere(round.built)
    loss = accuracy = None
    data = place_test(round.dataset, round.training, round.device, round.expected)
    reproducible(round.device)
    network.to(round.device)
    logits = predict(network, data.test, data, round.training)
    outputs, classes = round.built["classes"], len(round.dataset.classes)
    if outputs == classes:
        loss, accuracy = score(logits, data.test.labels)
        if not math.isfinite(loss):
            raise InputError(
                f"weights = {round.network['more']['weights']!r}: the network's outputs for the test images "
                "are NaN or infinite; check the file and training.normalisation"
            )
        log.info("test accuracy %.4f, loss %.4f", accuracy, loss)
    else:
        log.info("accuracy not measured: %d outputs, %d classes in the data set", outputs, classes)
    network.cpu()
    made = checkpoint(round, network, data, masks, float("nan") if accuracy is None else accuracy)
    numbers = {
        "train_loss": None,
        "train_accuracy": None,
        "validation_loss": None,
        "validation_accuracy": None,
        "test_loss": loss,
        "test_accuracy": accuracy,
        "epochs": 0,
        "weights": round.network["more"]["weights"],
        "weights_sha256": round.network["more"]["digest"],
    }
    counts = census(network, masks, round.built["shape"])
    return made, numbers | measured(round, counts, time.monotonic() - started), logits
