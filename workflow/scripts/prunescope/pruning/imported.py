"""Importing networks that were trained, and perhaps pruned, elsewhere, in place of a round."""

import logging
import math
import time
from collections.abc import Mapping

from torch import Tensor

from prunescope import checkpoints, files
from prunescope.checkpoints import Checkpoint
from prunescope.errors import InputError
from prunescope.networks import weights
from prunescope.networks.inspect import census
from prunescope.pruning.rounds import Round, checkpoint, measured, save_predictions
from prunescope.training.data import place_test
from prunescope.training.evaluate import predict, score
from prunescope.training.execution import reproducible

log = logging.getLogger("prunescope")


def bring(this: Round) -> tuple[Checkpoint, dict, Tensor]:
    """Read a network that was trained elsewhere, and measure it.

    Parameters
    ----------
    this : Round
        ``network["more"]["weights"]`` is the file, see `prunescope.networks.formats.read`. Of the training,
        only the scaling of the pixels is used.

    Returns
    -------
    checkpoint : Checkpoint
    metrics : dict
        JSON-ready, see results/README.md. Accuracy and loss are None if the number of outputs differs from
        the number of classes in the data set.
    logits : Tensor of float32, shape (n, outputs)
        Of the test images.

    Raises
    ------
    InputError
        When the file cannot be read, it does not fit the network, or the network does not fit the images.
    """
    started = time.monotonic()
    network, masks = weights.elsewhere(this.built)
    loss = accuracy = None
    data = place_test(this.dataset, this.training, this.device, this.expected)
    reproducible(this.device)
    network.to(this.device)
    logits = predict(network, data.test, data, this.training)
    outputs, classes = this.built["classes"], len(this.dataset.classes)
    if outputs == classes:
        loss, accuracy = score(logits, data.test.labels)
        if not math.isfinite(loss):
            raise InputError(
                f"weights = {this.network['more']['weights']!r}: the network's outputs for the test images "
                "are NaN or infinite; check the file and training.normalisation"
            )
        log.info("test accuracy %.4f, loss %.4f", accuracy, loss)
    else:
        log.info("accuracy not measured: %d outputs, %d classes in the data set", outputs, classes)
    network.cpu()
    made = checkpoint(this, network, data, masks, float("nan") if accuracy is None else accuracy)
    numbers = {
        "train_loss": None,
        "train_accuracy": None,
        "validation_loss": None,
        "validation_accuracy": None,
        "test_loss": loss,
        "test_accuracy": accuracy,
        "epochs": 0,
        "weights": this.network["more"]["weights"],
        "weights_sha256": this.network["more"]["digest"],
    }
    counts = census(network, masks, this.built["shape"])
    return made, numbers | measured(this, counts, time.monotonic() - started), logits


def save(this: Round, made: Checkpoint, metrics: dict, logits: Tensor, paths: Mapping[str, str]) -> None:
    """Write what `bring` returns to the paths ``checkpoint``, ``metrics`` and ``predictions``."""
    checkpoints.save(paths["checkpoint"], made)
    files.write_json(paths["metrics"], metrics)
    save_predictions(this, logits, paths["predictions"])
