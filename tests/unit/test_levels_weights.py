"""Comparison of weights and masks: known answers, and chance against shuffled weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import hypergeom

from prunescope.checkpoints import Checkpoint
from prunescope.levels.pairs import Network
from prunescope.levels.weights import ALL, MEASURES, STATUSES, compare, layers_of
from prunescope.networks.build import build

SIZES = {"conv": (8, 3, 3, 3), "linear": (10, 40)}


def network(density: float | None = None, seed: int = 0, sizes=SIZES) -> dict:
    """Random weights, positive more often than negative, with random masks."""
    rng, layers = np.random.default_rng(seed), {}
    for layer, shape in sizes.items():
        weights = rng.normal(0.3, 1, shape).astype(np.float32)
        mask = None if density is None else rng.random(shape) < density
        layers[layer] = {f"{layer}.weight": (weights if mask is None else weights * mask, mask)}
    return layers


def compared(*layers: dict, seeds=None, **more):
    """Rounds of one seed, or networks of these seeds; the rows from the first to the second network."""
    seeds = seeds or [0] * len(layers)
    rounds = range(len(layers)) if len(set(seeds)) == 1 else [0] * len(layers)
    names = [Network("x", *one) for one in zip(seeds, rounds, strict=True)]
    table = compare(layers, names, "x", **more)
    first = table[(table.seed_a == seeds[0]) & (table.round_a == 0)]
    first = first[(first.seed_b == seeds[1]) & (first.round_b == names[1].round)]
    return first.set_index(["layer", "measure"])


def test_a_network_is_identical_to_itself():
    one = network(0.5)
    table = compared(one, one)
    assert (table.value == 1).all() and len(table) == 3 * 4
    assert set(table.loc[(slice(None), "mask_iou"), "status"]) == {"nested"}


def test_values_by_hand():
    a = np.array([[3.0, -1.0, 0.0, 0.0, 2.0, 1.0]], dtype=np.float32)
    b = np.array([[1.0, 1.0, 2.0, 0.0, 0.0, 1.0]], dtype=np.float32)
    table = compared({"l": {"w": (a, a != 0)}}, {"l": {"w": (b, b != 0)}}).loc["l", "value"]
    # Kept are 4 and 4 of 6, in common 3, of which two have the same sign.
    expected = {"mask_iou": 3 / 5, "sign_agreement": 2 / 3, "weight_cosine": 3 / np.sqrt(15 * 7)}
    expected["distance"] = 1 / (1 + np.sqrt(4 + 4 + 4 + 4) / np.sqrt(7))
    assert table.to_dict() == pytest.approx(expected)


def test_the_distance_is_relative_to_the_second_network():
    one, layers = network(), ["conv", "linear"]
    doubled = {layer: {f"{layer}.weight": (2 * one[layer][f"{layer}.weight"][0], None)} for layer in layers}
    assert compared(one, doubled).loc[(ALL, "distance"), "value"] == pytest.approx(1 / (1 + 1 / 2))
    assert compared(doubled, one).loc[(ALL, "distance"), "value"] == pytest.approx(1 / (1 + 1))
    assert compared(doubled, one).loc[(ALL, "weight_cosine"), "value"] == pytest.approx(1)


def test_the_overlap_of_nested_masks_is_the_quotient_of_their_densities():
    dense, sparse = network(), network(0.5)
    _, mask = sparse["linear"]["linear.weight"]
    table = compared(sparse, dense).loc[("linear", "mask_iou")]
    assert table.value == mask.mean() and table.status == "nested"
    assert table.chance == pytest.approx(mask.mean()), "no other value is possible"


@pytest.mark.parametrize(("density", "other"), [(0.5, 0.5), (0.05, 0.3), (0.9, 0.02)])
def test_chance_is_the_mean_over_shuffled_weights(density, other):
    a, b = network(density, 1), network(other, 2)
    table, rng, values = compared(a, b), np.random.default_rng(3), []
    for _ in range(120):
        shuffled = {}
        for layer, shape in SIZES.items():
            weights, mask = b[layer][f"{layer}.weight"]
            order = rng.permutation(weights.size)
            one = tuple(array.reshape(-1)[order].reshape(shape) for array in (weights, mask))
            shuffled[layer] = {f"{layer}.weight": one}
        values.append(compared(a, shuffled).value)
    values = np.array(values)
    error = np.nanstd(values, axis=0) / np.sqrt(len(values))
    assert (np.abs(table.chance - np.nanmean(values, axis=0)) < 4 * error + 1e-4).all()


def test_chance_of_all_layers_does_not_depend_on_the_masks_of_single_layers():
    """Shuffled masks have other intersections, so layers with one sign count otherwise."""
    rng, masks = (
        np.random.default_rng(0),
        {"positive": ([1, 1, 0, 0], [1, 1, 0, 0]), "both": ([1] * 4, [1] * 4)},
    )
    signs, layers = {"positive": np.ones(400), "both": rng.choice([-1.0, 1.0], 400)}, ({}, {})
    for layer, pair in masks.items():
        for one, mask in zip(layers, pair, strict=True):
            mask = np.tile(mask, 100).astype(bool)
            one[layer] = {layer: ((signs[layer] * mask).astype(np.float32), mask)}
    # Of 100 and 400 weights in common when shuffled, the former agree and half of the latter.
    chance = compared(*layers).loc[(ALL, "sign_agreement"), "chance"]
    assert chance == pytest.approx((100 + 400 / 2) / 500, abs=0.01)


@pytest.mark.parametrize(("size", "kept", "others"), [(30, 3, 5), (400, 20, 160), (400, 200, 200)])
def test_chance_of_masks_is_the_mean_of_the_hypergeometric_distribution(size, kept, others):
    masks = [(np.arange(size) * step) % size < count for step, count in ((1, kept), (7, others))]
    table = compared(*({"l": {"w": (mask.astype(np.float32), mask)}} for mask in masks))
    both = np.arange(min(kept, others) + 1)
    exact = (hypergeom.pmf(both, size, kept, others) * both / (kept + others - both)).sum()
    assert table.loc[("l", "mask_iou"), "chance"] == pytest.approx(exact, rel=0.02 if size < 100 else 1e-4)


def test_all_layers_together_are_one_long_vector():
    a, b = network(0.6, 1), network(0.4, 2)
    whole = []
    for one in (a, b):
        arrays = [parameters[f"{layer}.weight"] for layer, parameters in one.items()]
        whole.append(
            {
                "l": {
                    "w": tuple(
                        np.concatenate([x.reshape(-1) for x in part]) for part in zip(*arrays, strict=True)
                    )
                }
            }
        )
    together, apart = compared(*whole).loc["l"], compared(a, b).loc[ALL]
    assert together.value.to_dict() == pytest.approx(apart.value.to_dict())


def test_units_of_other_seeds_do_not_correspond():
    dense, one, other = network(seed=5), network(0.5, 1), network(0.5, 2)
    table = compared(one, other, seeds=[0, 1])
    given = table.value.notna()
    assert (given == (table.index.get_level_values("measure") == "mask_iou")).all()
    assert (table.status == "other units").all() and (table.chance.notna() == given).all()
    # Round 0 of a control that draws its weights anew is the dense network.
    drawn = compared(dense, one, other, fresh=True)
    assert drawn.value.notna().sum() == 3 and set(drawn.status) == {"nested", "other units"}


def test_units_of_seeds_correspond_if_all_start_from_given_weights():
    one, other = network(0.5, 1), network(0.5, 2)
    table = compared(one, other, seeds=[0, 1], one_start=True)
    assert table.value.notna().all() and set(table.status) == {"ok"}
    drawn = compared(network(), one, other, fresh=True, one_start=True)
    assert "other units" in set(drawn.status)


def test_what_cannot_be_compared_has_no_value():
    one, empty = network(0.5), network(0.0)
    table = compared(one, empty)
    assert table.loc[("conv", "mask_iou")].to_dict()["value"] == 0
    assert set(table.status) == {"empty", "nested"} and table.value.notna().sum() == 3
    wider = network(0.5, sizes={"conv": (8, 3, 3, 3), "linear": (12, 40), "more": (2, 2)})
    table = compared(one, wider)
    assert list(table.index.unique(0)) == ["conv", "linear", ALL], "only layers that both have"
    assert set(table.loc[["linear", ALL]].status) == {"other shape"}
    assert table.loc["conv"].value.notna().all() and table.loc[[ALL]].value.isna().all()


def test_blocks_change_nothing(monkeypatch):
    a, b = network(0.5, 1), network(0.4, 2)
    whole = compared(a, b).value
    monkeypatch.setattr("prunescope.levels.weights.BLOCK", 14)
    assert compared(a, b).value.to_dict() == pytest.approx(whole.to_dict(), rel=1e-12)


def test_permuted_units_compute_the_same_with_other_weights():
    network = build("lenet_small", {}, (1, 8, 8), 10, 0).eval()
    permuted = build("lenet_small", {}, (1, 8, 8), 10, 0).eval()
    order = torch.randperm(len(network.conv1.weight), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        permuted.conv1.weight[:], permuted.conv1.bias[:] = (
            network.conv1.weight[order],
            network.conv1.bias[order],
        )
        permuted.conv2.weight[:] = network.conv2.weight[:, order]
    images = torch.rand(20, 1, 8, 8)
    torch.testing.assert_close(network(images), permuted(images))
    layers = [
        layers_of(Checkpoint("x", 0, 0, {}, [], [], one.state_dict(), {}, 1.0, 0.1, ""), one)
        for one in (network, permuted)
    ]
    cosine = compared(*layers).value.xs("weight_cosine", level="measure")
    assert (cosine[["conv1", "conv2"]] < 0.8).all()
    assert cosine.drop(["conv1", "conv2", ALL]).to_numpy() == pytest.approx(1)


def test_the_data_dictionary_has_every_status_and_measure():
    text = (Path(__file__).parents[2] / "results/README.md").read_text()
    part = text.split("## weights.parquet")[1].split("\n## ")[0]
    assert all(f"| `{status}` |" in part for status in STATUSES) and all(
        f"`{one}`" in part for one in MEASURES
    )
