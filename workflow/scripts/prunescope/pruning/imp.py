"""One round of Iterative Magnitude Pruning (IMP): score, prune, choose the weights to start from, train.

`selection` decides which weights remain, `networks.masks.apply_masks` sets the others to zero, and
`training.loop` keeps them there.
"""

import copy
import dataclasses
import logging
import time

import torch
from torch import Tensor, nn

from prunescope import checkpoints, kinds
from prunescope.checkpoints import Checkpoint
from prunescope.networks import modules
from prunescope.networks.build import build
from prunescope.networks.channels import companions
from prunescope.networks.masks import Masks, apply_masks, complete, density
from prunescope.provenance import derive_seed
from prunescope.pruning import amounts, selection
from prunescope.pruning.dense import Outcome, enough_memory, initial, outcome, unfinished
from prunescope.pruning.rounds import Round
from prunescope.settings.pruning import PruningSettings
from prunescope.settings.training import Forward
from prunescope.training.data import Data, Split, place
from prunescope.training.evaluate import gradients, reproducible
from prunescope.training.loop import Task, train

log = logging.getLogger("prunescope")
# Images for criteria that need few. SNIP, GraSP and Wanda were published with 100 to 250.
SAMPLED = 512


def read(
    paths: dict[str, str],
) -> tuple[Checkpoint | None, tuple[int, dict[str, Tensor]] | None, Masks | None]:
    """Read the files that a later round starts from: origin, rewind weights and masks, or None.

    Of `paths`, ``origin`` is the checkpoint that the round is pruned from, ``rewind`` has the weights of
    round 0 to rewind to, and ``masks`` is the checkpoint whose masks a control uses. Only those that the
    round needs are there.
    """
    origin = checkpoints.load(paths["origin"]) if "origin" in paths else None
    rewind = checkpoints.load_rewind(paths["rewind"]) if "rewind" in paths else None
    masks = checkpoints.load(paths["masks"]).masks if "masks" in paths else None
    return origin, rewind, masks


def prune(
    round: Round,
    settings: PruningSettings,
    origin: Checkpoint | None = None,
    rewind: tuple[int, dict[str, Tensor]] | None = None,
    controlled: Masks | None = None,
) -> Outcome:
    """Prune the network of an earlier round and retrain it, or do what a control does instead.

    `origin` is the network to prune, `rewind` a step of round 0 and its weights, to which ``retraining:
    rewind`` returns, and `controlled` are the masks of the same round of the controlled experiment; see
    `read`.
    """
    started = time.monotonic()
    state = unfinished(round, pruning=settings.plain())
    control = kinds.find("control", settings.control).facts
    with enough_memory(round.device, round.training.batch_size):
        data = place(round.dataset, round.training, round.device, round.expected)
        reproducible(round.device)

        # The network before this round, and its masks.
        network, before = network_before(round, settings, origin)

        # The weights that remain: the survivors with the highest scores, or what a control says.
        if control.get("prunes"):
            masks = masks_by_score(round, settings, network, before, origin.round if origin else 0, data)
        else:
            masks = masks_of_control(round, settings, controlled)
        # A network that was initially sparse can have masks for weights that are not prunable.
        masks = masks | {name: mask for name, mask in before.items() if name not in masks}

        # Their values: those before this round, newly drawn, or those of an early step of round 0.
        start = 0
        if control.get("fresh"):
            network = build(**round.built, seed=derive_seed(round.seed, "new weights", round.number))
        elif settings.retraining == "rewind":
            start, weights = rewind
            network = build(**round.built, seed=0)
            network.load_state_dict(weights)
        apply_masks(network, masks)
        log.info("round %d: %.4f of the prunable weights left", round.number, density(masks))

        task = Task(seed=round.order, round=round.number, masks=masks, start=start)
        trained = train(network, data, round.training, task, state)
    return outcome(round, network, data, task, trained, state, started)


def network_before(
    round: Round, settings: PruningSettings, origin: Checkpoint | None
) -> tuple[nn.Module | None, Masks]:
    """Return the network before this round, trained or not, and its masks; None if no weights are needed."""
    if settings.at == "initialisation":
        network, masks = initial(round)
        return network, masks if origin is None else origin.masks
    return (None, {}) if origin is None else (origin.build(), origin.masks)


def masks_by_score(
    round: Round,
    settings: PruningSettings,
    network: nn.Module,
    before: Masks,
    pruned_in: int,
    data: Data,
) -> Masks:
    """Score the weights that remain after round `pruned_in`, and return masks without the lowest.

    The weights of `network` that the masks remove are set to zero before each scoring.
    """
    weights = modules.prunable(network, settings.prunable)
    masks = complete(before, weights)
    by_channel = settings.unit == "channel"
    others = companions(network, weights, round.built["shape"]) if by_channel else {}
    units = selection.channels_of(masks) if by_channel else masks
    remain = {name: int(unit.sum()) for name, unit in units.items()}
    counts = amounts.kept(
        {name: unit.shape for name, unit in units.items()},
        remain,
        settings.scope,
        settings.rate,
        modules.layer_rates(network, list(weights), settings.rates),
        settings.density,
        # With `from: dense`, nothing is pruned yet, so the rate applies once for each round.
        times=round.number - pruned_in,
    )
    steps = kinds.find("criterion", settings.criterion).facts.get("iterations", 1)
    for step in range(1, steps + 1):
        apply_masks(network, before | masks)
        scores = kinds.call("criterion", settings.criterion, Offered(round, network, weights, data))
        scores = selection.channel_scores(scores) if by_channel else scores
        units = selection.prune(scores, units, amounts.on_the_way(remain, counts, step / steps))
        masks = selection.masks_of_channels(units, others, masks) if by_channel else units
    return masks


def masks_of_control(round: Round, settings: PruningSettings, controlled: Masks | None) -> Masks:
    """Return the masks of a control's round, from those of the same round that it controls."""
    control = kinds.find("control", settings.control)
    change = kinds.load("control", settings.control)
    generator = torch.Generator().manual_seed(derive_seed(round.seed, "shuffled masks"))
    if settings.unit == "weight" or not control.facts.get("units"):
        return change(controlled, generator)
    kept = change(selection.channels_of(controlled), generator)
    others = companions(build(**round.built, seed=0), kept, round.built["shape"])
    return selection.masks_of_channels(
        kept, others, {name: torch.ones_like(controlled[name]) for name in kept}
    )


class Offered:
    """What a criterion may ask for, see `prunescope.pruning.table.OFFERED`.

    All are copies, so that a criterion cannot change the network.
    """

    def __init__(self, round: Round, network: nn.Module, weights: dict[str, Tensor], data: Data):
        self._round, self._network, self._weights = round, network, weights
        self.data = data

    @property
    def weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().to("cpu", copy=True) for name, weight in self._weights.items()}

    @property
    def gradients(self) -> dict[str, Tensor]:
        return gradients(self._network, list(self._weights), self.data, self._round.training)

    @property
    def generator(self) -> torch.Generator:
        seed = derive_seed(self._round.seed, "random masks", self._round.number)
        return torch.Generator().manual_seed(seed)

    @property
    def network(self) -> nn.Module:
        return copy.deepcopy(self._network).to(self.data.train.labels.device)

    @property
    def shape(self) -> list[int]:
        return self._round.built["shape"]

    @property
    def untrained(self) -> nn.Module:
        return initial(self._round)[0]

    @property
    def sample(self) -> Data:
        train = self.data.train
        generator = torch.Generator().manual_seed(derive_seed(self._round.seed, "sample"))
        rows = torch.randperm(len(train), generator=generator)[:SAMPLED].sort().values.to(train.labels.device)
        return dataclasses.replace(self.data, train=Split(train.images[rows], train.labels[rows]))

    @property
    def settings(self) -> Forward:
        return self._round.training
