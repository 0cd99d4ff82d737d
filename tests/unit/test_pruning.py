"""Masks: exact counts, nesting, lowest scores, same everywhere; counts of weights and operations."""

import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunescope import kinds
from prunescope.errors import InputError
from prunescope.networks import modules, weights
from prunescope.networks.build import build
from prunescope.networks.masks import apply_masks, census, complete
from prunescope.pruning import amounts, controls, selection


def random(*sizes, draw=torch.rand, seed=0):
    """A tensor of each shape, the same in every run."""
    generator = torch.Generator().manual_seed(seed)
    return [draw(size, generator=generator) for size in sizes]


def everything(weights):
    return {name: torch.ones(weight.shape, dtype=torch.bool) for name, weight in weights.items()}


def kept(masks):
    return sum(int(mask.sum()) for mask in masks.values())


def prune(values, masks, rates=None, scope="global", rate=0.2, density=None, times=1):
    shapes = {name: mask.shape for name, mask in masks.items()}
    left = {name: int(mask.sum()) for name, mask in masks.items()}
    counts = amounts.kept(shapes, left, scope, rate, rates or {}, density, times)
    return selection.prune(values, masks, counts)


def scores(criterion, weights, gradients=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return kinds.call(
        "criterion", criterion, SimpleNamespace(weights=weights, gradients=gradients, generator=generator)
    )


def shuffle(masks, seed):
    return controls.shuffled_masks(masks, torch.Generator().manual_seed(seed))


def reference(values, masks, count):
    """Sort all weights by score, stably, and remove the first `count` survivors."""
    scores = np.concatenate([values[name].numpy().ravel() for name in masks])
    alive = np.concatenate([masks[name].numpy().ravel() for name in masks])
    order = [index for index in np.argsort(scores, kind="stable") if alive[index]]
    alive[order[:count]] = False
    return alive


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    rate=st.decimals("0.01", "0.99", places=2),
    levels=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_rounds_remove_exactly_the_lowest_scores(sizes, rate, levels, seed):
    """With few distinct scores, most are tied; the reference resolves ties by position."""
    rng = np.random.default_rng(seed)
    names = [f"layer{index}" for index in range(len(sizes))]
    masks = everything({n: torch.empty(s) for n, s in zip(names, sizes, strict=True)})
    for _ in range(3):
        values = {
            n: torch.from_numpy(rng.integers(0, levels, s).astype(np.float32))
            for n, s in zip(names, sizes, strict=True)
        }
        count = math.floor(Fraction(str(rate)) * kept(masks))
        pruned = prune(values, masks, rate=float(rate))
        assert kept(masks) - kept(pruned) == count
        assert all(not (pruned[name] & ~masks[name]).any() for name in names), "masks must be nested"
        np.testing.assert_array_equal(
            np.concatenate([pruned[n].numpy() for n in names]), reference(values, masks, count)
        )
        masks = pruned


@pytest.mark.parametrize(
    ("rate", "survivors", "removed"), [(0.29, 100, 29), (0.07, 100, 7), (0.2, 5, 1), (0.2, 4, 0)]
)
def test_rates_are_decimal_numbers(rate, survivors, removed):
    """In binary arithmetic 0.29 × 100 is less than 29."""
    values = {"a": torch.arange(survivors, dtype=torch.float32)}
    assert kept(prune(values, everything(values), rate=rate)) == survivors - removed


def test_density_leaves_the_ceiling_in_one_shot_or_many():
    values = dict(zip("ab", random(700, 301), strict=True))
    masks = everything(values)
    direct = prune(values, masks, density=0.115)
    assert kept(direct) == math.ceil(Fraction("0.115") * 1001)
    stepwise = prune(values, prune(values, masks, density=0.5), density=0.115)
    higher = prune(values, direct, density=0.5)
    for name in values:
        assert torch.equal(direct[name], stepwise[name])
        assert torch.equal(direct[name], higher[name]), "no weight comes back"


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_the_dense_network_is_pruned_at_once_to_where_rounds_end(scope, times):
    values = dict(zip("ab", random(701, 303), strict=True))
    rates = {"b": 0.1} if scope == "layer" else {}
    stepwise = everything(values)
    for _ in range(times):
        stepwise = prune(values, stepwise, rates, scope, 0.29)
    direct = prune(values, everything(values), rates, scope, 0.29, times=times)
    assert all(torch.equal(direct[name], mask) for name, mask in stepwise.items())


def test_layer_scope_prunes_each_layer_by_its_own_rate():
    network = build("lenet300", {}, (1, 28, 28), 10, 0)
    weights = modules.prunable(network, ["Linear"])
    rates = modules.layer_rates(network, list(weights), {"linear*": 0.5, "linear2": 0.25, "output": 0.1})
    assert rates == {"linear1.weight": 0.5, "linear2.weight": 0.25, "output.weight": 0.1}
    masks = prune(
        scores("magnitude", {name: weight.detach() for name, weight in weights.items()}),
        everything(weights),
        {"output.weight": 0.1},
        scope="layer",
        rate=0.2,
    )
    found = {name: int((~mask).sum()) for name, mask in masks.items()}
    assert found == {"linear1.weight": 47_040, "linear2.weight": 6_000, "output.weight": 100}
    for name, weight in weights.items():
        assert weight[~masks[name]].abs().max() <= weight[masks[name]].abs().min()


def test_a_rate_without_effect_is_an_error():
    network = build("lenet5", {}, (1, 28, 28), 10, 0)
    names = list(modules.prunable(network, ["Conv2d"]))
    with pytest.raises(
        InputError, match=r"pruning.rates: pattern 'output' matches no prunable module.*conv1, conv2"
    ):
        modules.layer_rates(network, names, {"output": 0.1})


def test_prunable_are_kernels_and_matrices_only():
    network = build("vgg_svhn", {}, (3, 32, 32), 10, 0)
    assert len(modules.prunable(network, ["*"])) == 8
    assert list(modules.prunable(network, ["conv1", "Linear"])) == ["conv1.weight", "output.weight"]
    with pytest.raises(InputError, match="'norm1' matches no module with a prunable weight"):
        modules.prunable(network, ["conv1", "norm1"])
    with pytest.raises(InputError, match="matches no module"):
        modules.prunable(network, ["Conv3d"])


def test_random_scores_depend_on_the_seed_alone():
    weights = dict(zip("ab", random((50, 3), 20), strict=True))
    first = scores("random", weights, seed=1)
    same = scores("random", {name: 5 * weight for name, weight in weights.items()}, seed=1)
    assert all(torch.equal(first[name], same[name]) for name in weights)
    assert not torch.equal(first["a"], scores("random", weights, seed=2)["a"])
    assert not torch.equal(first["a"].flatten()[:20], first["b"])


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 80), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_shuffled_masks_keep_the_count_of_each_layer_and_stay_nested(sizes, seed):
    names = [f"layer{index}" for index in range(len(sizes))]
    rng = torch.Generator().manual_seed(seed)
    masks = everything({n: torch.empty(s) for n, s in zip(names, sizes, strict=True)})
    before = masks
    for _ in range(3):
        masks = prune({n: torch.rand(m.shape, generator=rng) for n, m in masks.items()}, masks, rate=0.3)
        shuffled = shuffle(masks, seed)
        assert {n: int(m.sum()) for n, m in shuffled.items()} == {n: int(m.sum()) for n, m in masks.items()}
        assert all(not (shuffled[n] & ~before[n]).any() for n in names)
        before = shuffled


def test_shuffled_masks_are_uniform_over_positions():
    """4,000 seeds: each of 8 positions is kept in 3 of 8 cases, with a standard error of .008."""
    mask = {"a": torch.tensor([True] * 3 + [False] * 5)}
    kept_at = torch.zeros(8)
    for seed in range(4000):
        kept_at += shuffle(mask, seed)["a"]
    assert (kept_at / 4000 - 3 / 8).abs().max() < 0.04


def test_saliency_predicts_what_losing_a_weight_costs():
    """On a linear loss the first-order estimate |w × gradient| is exact."""
    weight, slope = random(6, 6, draw=torch.randn)
    found = scores("saliency", {"w": weight}, {"w": slope})["w"]
    loss = weight.double() @ slope.double()
    for index in range(6):
        without = weight.clone().index_fill_(0, torch.tensor(index), 0).double() @ slope.double()
        assert float(found[index]) == pytest.approx(abs(float(loss - without)), rel=1e-4, abs=1e-6)


def test_applied_masks_leave_plain_zeros():
    network = build("lenet5", {}, (1, 28, 28), 10, 0).to(memory_format=torch.channels_last)
    masks = {name: weight > 0 for name, weight in modules.prunable(network, ["Conv2d"]).items()}
    before = network.conv1.weight.detach().clone()
    apply_masks(network, masks)
    weight = network.conv1.weight.detach()
    assert not weight[~masks["conv1.weight"]].view(torch.int32).any(), "minus zero is not the same bytes"
    assert torch.equal(weight[masks["conv1.weight"]], before[masks["conv1.weight"]])


def test_later_rounds_prune_the_weights_that_the_first_one_pruned():
    weights = {"a": torch.ones(3), "b": torch.ones(3)}
    half = {"a": torch.tensor([True, False, True])}
    assert kept(complete({}, weights)) == 6
    assert kept(complete(half, weights)) == 5, "initially sparse"
    assert set(complete(half, {"a": weights["a"]})) == {"a"}


def test_census_by_hand():
    """LeNet-5 on 28×28: 24²·150 + 8²·2,400 + 30,720 + 10,080 + 840 multiply–accumulates."""
    network = build("lenet5", {}, (1, 28, 28), 10, 0)
    masks = everything(modules.prunable(network, ["Conv2d"]))
    masks["conv1.weight"][2:4] = False
    masks["conv2.weight"][0, 0] = False
    counts = census(network, masks, (1, 28, 28))
    assert counts["macs_dense"] == 281_640
    assert counts["macs_effective"] == 281_640 - 24**2 * 50 - 8**2 * 25
    assert (counts["parameters"], counts["parameters_kept"]) == (44_426, 44_426 - 75)
    assert (counts["prunable"], counts["prunable_kept"]) == (2_550, 2_475)
    assert counts["density"] == 2_475 / 2_550
    assert counts["density_all"] == (44_426 - 75) / 44_426
    assert counts["dead_channels"] == 2
    first = counts["layers"][0]
    assert (first["name"], first["kept"], first["channels"], first["dead_channels"]) == ("conv1", 100, 6, 2)
    assert [layer["name"] for layer in counts["layers"]] == ["conv1", "conv2", "linear3", "linear4", "output"]
    assert counts["layers"][2]["density"] == 1


def test_a_weight_that_two_layers_share_counts_once_and_is_pruned_in_both():
    network = torch.nn.Sequential(torch.nn.Flatten(), *(torch.nn.Linear(4, 4, bias=False) for _ in range(3)))
    network[3].weight = network[2].weight
    with torch.no_grad():
        network[2].weight[:3] = 0
    masks = weights.zeros(network, trained_further=False)
    assert sorted(masks) == ["1.weight", "2.weight"] and not masks["2.weight"][:3].any()
    counts = census(network, masks, (1, 2, 2))
    assert [layer["kept"] for layer in counts["layers"]] == [16, 4], "reported once"
    assert (counts["macs_dense"], counts["macs_effective"]) == (48, 24)
    assert (counts["parameters"], counts["parameters_kept"], counts["density"]) == (32, 20, 20 / 32)


@pytest.mark.parametrize(
    ("sizes", "pruning", "first"),
    [
        ([64], {"scope": "global", "rate": 0.5, "densities": None}, 7),
        ([64, 4], {"scope": "layer", "rate": 0.5, "densities": None}, 7),
        ([10**6], {"scope": "global", "rate": 0.5, "densities": None}, None),
        ([7818], {"scope": "global", "rate": 0.2, "densities": [0.9, 0.89999, 0.89998]}, 2),
        # A round without effect in between is not the end.
        ([100], {"scope": "global", "rate": 0.2, "densities": [0.999, 0.5, 0.4]}, None),
        ([10**6], {"scope": "global", "rate": 0.2, "densities": None}, None),
        ([4], {"scope": "global", "rate": 0.2, "densities": None}, 1),
    ],
)
def test_the_round_from_which_nothing_changes(sizes, pruning, first):
    """Checked by pruning: halving 64 weights gives 32, 16, 8, 4, 2, 1; the last weight is never removed."""
    rounds = 3 if pruning["densities"] else 20
    assert amounts.idle_round({str(i): [size] for i, size in enumerate(sizes)}, {}, pruning, rounds) == first
    if first is None:
        return
    masks = {str(i): torch.ones(size, dtype=torch.bool) for i, size in enumerate(sizes)}
    values = dict(zip(masks, random(*sizes), strict=True))
    counts = []
    for round in range(1, rounds + 1):
        density = pruning["densities"][round - 1] if pruning["densities"] else None
        before, masks = masks, prune(values, masks, None, pruning["scope"], pruning["rate"], density)
        counts.append(kept(before) - kept(masks))
    assert (first == 1 or counts[first - 2]) and not any(counts[first - 1 :])
