"""Whole channels: what belongs to them, exact counts, nested masks, controls; networks without dead ones."""

import copy
import dataclasses
import math

import pytest
import torch
from test_methods import STILL
from test_stages import MINIMAL
from test_training import blobs, how, job
from torch import nn
from torch.nn import functional as F

from prunescope.data import datasets
from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.networks.build import build
from prunescope.networks.channels import companions, obstacle
from prunescope.networks.masks import apply_masks, census
from prunescope.plan import notes, sizes
from prunescope.pruning import selection
from prunescope.pruning.dense import train_dense
from prunescope.pruning.imp import prune
from prunescope.settings.experiment import validated
from prunescope.settings.pruning import PruningSettings
from prunescope.settings.reading import merge

HIDDEN = ["Conv2d", "linear3", "linear4"]


class Normed(nn.Module):
    """Convolutions with batch norms, a residual sum, and a batch norm that does not follow a convolution."""

    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(6)
        self.norm3 = nn.BatchNorm2d(6)
        self.output = nn.Linear(6, classes)

    def forward(self, x):
        x = F.relu(self.norm1(self.conv1(x)))
        x = self.norm3(F.relu(x + self.norm2(self.conv2(x))))
        return self.output(x.mean((2, 3)))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.h5"
    datasets.save(path, blobs())
    return datasets.load(path)


@pytest.fixture(scope="module")
def dense(prepared):
    return train_dense(job(prepared, training=how(epochs=1))).checkpoint


def test_biases_and_batch_norms_belong_to_the_channels_they_follow():
    network = Normed(10)
    weights = ["conv1.weight", "conv2.weight"]
    assert companions(network, weights, (1, 8, 8)) == {
        "conv1.weight": ["conv1.bias", "norm1.weight", "norm1.bias"],
        "conv2.weight": ["norm2.weight", "norm2.bias"],
    }
    assert network.training and not network.conv1._forward_hooks and not network.norm1._forward_pre_hooks


def test_a_batch_norm_of_two_layers_belongs_to_neither():
    norm = nn.BatchNorm2d(1)
    network = nn.Sequential(
        nn.Conv2d(1, 1, 3), norm, nn.Conv2d(1, 1, 3), norm, nn.Flatten(), nn.Linear(16, 2)
    )
    found = companions(network, ["0.weight", "2.weight"], (1, 8, 8))
    assert found == {"0.weight": ["0.bias"], "2.weight": ["2.bias"]}


def test_layers_that_share_weight_and_bias_have_the_bias_once():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64))
    network[3].weight, network[3].bias = network[1].weight, network[1].bias
    assert companions(network, ["1.weight"], (1, 8, 8)) == {"1.weight": ["1.bias"]}


def test_a_pruned_channel_is_constantly_zero_after_its_batch_norm():
    network = Normed(10)
    network(torch.randn(20, 1, 8, 8))
    nn.init.normal_(network.norm1.bias)
    weights = modules.prunable(network, ["Conv2d"])
    kept = {name: torch.arange(6) != 2 for name in weights}
    others = companions(network, weights, (1, 8, 8))
    masks = selection.masks_of_channels(
        kept, others, {name: torch.ones_like(w, dtype=bool) for name, w in weights.items()}
    )
    apply_masks(network, masks)
    normed = network.eval().norm1(network.conv1(torch.randn(5, 1, 8, 8)))
    assert not normed[:, 2].any() and normed[:, [0, 1, 3, 4, 5]].any()


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize(
    ("at", "criterion"),
    [
        *(("training", criterion) for criterion in ("magnitude", "saliency")),
        *(("initialisation", criterion) for criterion in ("magnitude", "snip", "synflow")),
    ],
)
def test_rounds_remove_the_channels_with_the_smallest_norms(prepared, dense, criterion, scope, at):
    """Counts are exact, masks nested, and of a channel everything or nothing is left."""
    before, left = dense, {"conv1.weight": 8, "conv2.weight": 16, "linear3.weight": 64, "linear4.weight": 32}
    settings = PruningSettings(
        criterion=criterion, scope=scope, at=at, unit="channel", rate=0.3, prunable=HIDDEN
    )
    for number in (1, 2):
        pruned = prune(job(prepared, number, training=how(epochs=1)), settings, before).checkpoint
        kept = selection.channels_of(pruned.masks)
        found = {name: int(alive.sum()) for name, alive in kept.items()}
        if scope == "layer":
            assert found == {name: count - math.floor(0.3 * count) for name, count in left.items()}
        else:
            assert sum(found.values()) == sum(left.values()) - math.floor(0.3 * sum(left.values()))
        for name, alive in kept.items():
            assert torch.equal(pruned.masks[name].flatten(1).all(1), alive)
            bias = name.replace("weight", "bias")
            assert torch.equal(pruned.masks[bias], alive) and not pruned.weights[bias][~alive].any()
            assert not (pruned.masks[name] & ~before.masks.get(name, torch.tensor(True))).any()
        if criterion == "magnitude" and at == "training":
            norms = {name: before.weights[name].flatten(1).norm(dim=1) for name in kept}
            groups = [list(kept)] if scope == "global" else [[name] for name in kept]
            for names in groups:
                lost = torch.cat([norms[n][~kept[n]] for n in names])
                assert lost.max() <= torch.cat([norms[n][kept[n]] for n in names]).min()
        before, left = pruned, found
    total = sum(mask.numel() for mask in pruned.masks.values() if mask.ndim > 1)
    assert pruned.density == sum(int(m.sum()) for m in pruned.masks.values() if m.ndim > 1) / total


def test_random_channels_of_a_layer_are_equally_likely(prepared, dense):
    settings = PruningSettings(
        criterion="random", scope="layer", unit="channel", rate=0.5, prunable=["conv1"]
    )
    counts = torch.zeros(8)
    for seed in range(30):
        origin = dataclasses.replace(dense, seed=seed)
        this = job(prepared, 1, training=how(epochs=0), seed=seed)
        counts += selection.channels_of(prune(this, settings, origin).checkpoint.masks)["conv1.weight"]
    assert counts.sum() == 4 * 30 and 5 <= counts.min() <= counts.max() <= 25


def test_a_shuffled_control_permutes_channels(prepared, dense):
    own = PruningSettings(unit="channel", rate=0.5, prunable=HIDDEN, scope="layer")
    shuffled = PruningSettings(unit="channel", control="shuffled-masks")
    before, theirs, ours = None, dense, dense
    for number in (1, 2):
        this = job(prepared, number, training=STILL)
        theirs = prune(this, own, theirs).checkpoint
        ours = prune(this, shuffled, ours, controlled=theirs.masks).checkpoint
        assert ours.masks.keys() == theirs.masks.keys()
        for name, mask in ours.masks.items():
            assert mask.sum() == theirs.masks[name].sum()
            assert not ours.weights[name][~mask].any()
            if mask.ndim > 1:
                alive = mask.flatten(1).any(1)
                assert torch.equal(mask.flatten(1).all(1), alive)
                assert torch.equal(ours.masks[name.replace("weight", "bias")], alive)
            assert before is None or not (mask & ~before[name]).any(), "nested"
        assert any(not torch.equal(mask, theirs.masks[name]) for name, mask in ours.masks.items())
        before = ours.masks


def test_what_has_no_channels_to_prune_is_refused():
    network = build("lenet_small", {}, (1, 8, 8), 10, 0)
    assert obstacle(network, modules.prunable(network, HIDDEN), (1, 8, 8)) == ""
    linear = modules.prunable(network, ["Linear"])
    assert obstacle(network, linear, (1, 8, 8)) == "the channels of output are the classes"
    odd = nn.Sequential(nn.ConvTranspose2d(1, 2, 3), nn.MultiheadAttention(4, 1), nn.Linear(4, 2))
    for name in ("0.weight", "1.in_proj_weight"):
        assert (
            obstacle(odd, [name], (1, 8, 8))
            == f"{name} is not the weight of an ordinary linear layer or convolution"
        )
    this = merge(MINIMAL, {"pruning": {"unit": "channel"}})
    data = {"root": ".", "datasets": {"digits": "sklearn:digits"}}
    with pytest.raises(
        InputError, match=r"^x: pruning\.prunable: the channels of output are the classes; leave"
    ):
        sizes.describe(validated(this, "x"), "x", data)
    facts = sizes.describe(validated(merge(this, {"pruning": {"prunable": HIDDEN}}), "x"), "x", data)
    # 120 channels by a half: 60, 30, 15, 8, 4, 2, 1.
    own = merge(this, {"rounds": 9, "pruning": {"prunable": HIDDEN, "rate": 0.5}})
    (note,) = [line for line in notes.notes("x", validated(own, "x"), facts, []) if "removes nothing" in line]
    assert "from round 8 on" in note


class HeadFirst(nn.Module):
    """The layer that runs last is declared first."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 10)
        self.conv = nn.Conv2d(1, 6, 3)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))


def test_the_classes_are_the_channels_of_the_layer_that_runs_last():
    network = HeadFirst()
    assert (
        obstacle(network, ["head.weight", "conv.weight"], (1, 8, 8)) == "the channels of head are the classes"
    )
    assert obstacle(network, ["conv.weight"], (1, 8, 8)) == ""


# Without dead channels -------------------------------------------------------------------------------------


def smaller(network, kept1, kept2, kept3):
    """LeNet with some of its channels only."""
    found = copy.deepcopy(network)
    found.conv1 = nn.Conv2d(1, len(kept1), 3, padding=1)
    found.conv2 = nn.Conv2d(len(kept1), len(kept2), 3, padding=1)
    found.linear3 = nn.Linear(4 * len(kept2), len(kept3))
    found.linear4 = nn.Linear(len(kept3), 32)
    return found


def test_the_network_without_dead_channels_is_a_smaller_network():
    network = build("lenet_small", {}, (1, 8, 8), 10, 0)
    masks = {name: torch.ones_like(w, dtype=bool) for name, w in modules.prunable(network, ["*"]).items()}
    whole = census(network, masks, (1, 8, 8))
    assert (whole["parameters_alive"], whole["macs_alive"]) == (whole["parameters"], whole["macs_dense"])
    masks["conv1.weight"][[1, 3, 5]] = False
    masks["conv2.weight"][:9] = False
    masks["linear3.weight"][0] = False
    masks["linear4.weight"][:, ::2] = False
    # Reads only channel 1 of the first convolution, which is dead.
    masks["conv2.weight"][15, [0, 2, 3, 4, 5, 6, 7]] = False
    counts = census(network, masks, (1, 8, 8))
    expected = census(smaller(network, range(5), range(6), range(63)), {}, (1, 8, 8))
    assert (counts["parameters_alive"], counts["macs_alive"]) == (
        expected["parameters"],
        expected["macs_dense"],
    )


def test_batch_norms_and_sums_without_dead_channels():
    """After a sum, channels that one of its terms has are alive."""
    network = Normed(10)
    masks = {f"conv{n}.weight": torch.ones(6, k, 3, 3, dtype=torch.bool) for n, k in ((1, 1), (2, 6))}
    masks["conv1.weight"][:2] = False
    masks["conv2.weight"][:3] = False
    counts = census(network, masks, (1, 8, 8))
    # conv1 4 · 9 + 4, norm1 8, conv2 3 · 4 · 9, norm2 6, norm3 8 (channels 2 to 5), output 4 · 10 + 10
    assert counts["parameters_alive"] == 36 + 4 + 8 + 108 + 6 + 8 + 50
    assert counts["macs_alive"] == 64 * (36 + 108) + 40


def test_a_layer_that_is_used_twice_counts_once_but_computes_twice():
    layer = nn.Linear(4, 4)
    network = nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(4, 2))
    counts = census(network, {"1.weight": torch.arange(4).view(4, 1).expand(4, 4) > 0}, (1, 2, 2))
    assert counts["parameters"] - counts["parameters_alive"] == 5 + 2
    assert counts["macs_dense"] - counts["macs_alive"] == 4 + 7 + 2


@pytest.mark.parametrize("groups", [2, 6])
def test_groups_without_dead_channels(groups):
    network = nn.Sequential(
        nn.Conv2d(1, 6, 1), nn.Conv2d(6, 12, 3, groups=groups), nn.Flatten(), nn.Linear(432, 2)
    )
    masks = {"0.weight": torch.arange(6).view(6, 1, 1, 1) > 0}
    counts = census(network, masks, (1, 8, 8))
    size = 6 // groups
    # Of the first group, the channels of the next layer are dead if it had one channel.
    dead = 12 // groups if size == 1 else 0
    weights = 9 * 12 // groups * (size * (groups - 1) + (size - 1))
    assert counts["parameters_alive"] == 5 * 2 + weights + (12 - dead) + 2 * 36 * (12 - dead) + 2


def test_channels_of_deep_networks_stay_alive():
    """The mean of one input in ten, sixty times, would be 0 in float32."""
    layers = [nn.Conv2d(1, 10, 1), *(nn.Conv2d(10, 10, 1) for _ in range(60))]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 3))
    convolutions = modules.prunable(network, ["Conv2d"])
    masks = {
        name: (torch.arange(10) == 0).view(10, 1, 1, 1).expand(weight.shape)
        for name, weight in convolutions.items()
    }
    counts = census(network, masks, (1, 4, 4))
    assert (counts["parameters_alive"], counts["macs_alive"]) == (2 + 60 * 2 + 3 + 3, 16 * 61 + 3)


def test_what_is_positive_stays_positive_in_other_norms():
    """A norm that subtracts a mean would make some of the channels zero after a ReLU."""
    layers = nn.Conv2d(1, 6, 3), nn.GroupNorm(2, 6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    network = nn.Sequential(*layers, nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2))
    masks = {"0.weight": torch.arange(6).view(6, 1, 1, 1).expand(6, 1, 3, 3) > 0}
    counts = census(network, masks, (1, 8, 8))
    assert counts["macs_dense"] - counts["macs_alive"] == 9 * 36 + 2
    assert counts["parameters"] - counts["parameters_alive"] == 10 + 2
