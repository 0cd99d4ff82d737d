import copy

import torch

from prunescope import provenance
from prunescope.checkpoints import Checkpoint
from prunescope.networks import modules
from prunescope.networks.masks import Masks
from prunescope.pruning import criteria, selection
from prunescope.pruning.rounds import PruningSettings, Round
from prunescope.training.data import Data
from prunescope.training.evaluate import gradients


def none(this: Round, settings: PruningSettings, previous: Checkpoint, data: Data) -> Masks:
    """No control: score the remaining weights and remove the lowest."""
    network = previous.build()
    weights = modules.prunable(network, settings.prunable)
    seed = provenance.derive_seed(this.seed, "random masks", this.number)
    # A criterion gets copies, so that it cannot change the network that is trained.
    offers = {
        "weights": lambda: {name: weight.detach().to("cpu", copy=True) for name, weight in weights.items()},
        "gradients": lambda: gradients(network, list(weights), data, this.training),
        "generator": lambda: torch.Generator().manual_seed(seed),
        "network": lambda: copy.deepcopy(network).to(data.train.labels.device),
        "untrained": this.initial,
        "data": lambda: data,
    }
    masks = {name: mask for name, mask in previous.masks.items() if name in weights}
    if previous.round == 0:  # an initially sparse network has masks for some weights
        masks |= {
            name: torch.ones(w.shape, dtype=torch.bool) for name, w in weights.items() if name not in masks
        }
    return selection.prune(
        criteria.scores(settings.criterion, offers),
        selection.complete(masks, weights),
        settings.scope,
        settings.rate,
        modules.layer_rates(network, list(weights), settings.rates),
        settings.density,
    )
