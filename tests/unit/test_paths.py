"""Channels on no path of kept weights, against paths that are followed by hand."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from prunescope.networks import modules
from prunescope.networks.build import build
from prunescope.networks.paths import unreachable

SHAPE = (1, 8, 8)


def ones(network: nn.Module) -> dict[str, torch.Tensor]:
    weights = modules.weighted(network).values()
    return {name: torch.ones_like(w, dtype=torch.bool) for own in weights for name, w in own.items()}


def dead(found: dict[str, list]) -> dict[str, list[int]]:
    """Numbers of the unreachable channels of the layers that have any."""
    numbers = {layer: [i for i, one in enumerate(channels) if one] for layer, channels in found.items()}
    return {layer: channels for layer, channels in numbers.items() if channels}


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lenet5", (1, 28, 28)),
        ("vgg16_bn", (3, 32, 32)),
        ("resnet20", (3, 32, 32)),
        ("torchvision/densenet121", (3, 32, 32)),
        ("torchvision/mobilenet_v3_small", (3, 32, 32)),
        ("torchvision/convnext_tiny", (3, 32, 32)),
    ],
)
def test_every_channel_of_a_dense_network_is_on_a_path(name, shape):
    network = build(name, {}, shape, 10, 0).eval()
    found = unreachable(network, shape, {})
    assert found.keys() == modules.weighted(network).keys()
    assert not any(one is not False for channels in found.values() for one in channels)
    with_masks = build(name, {}, shape, 10, 0).eval()
    assert unreachable(with_masks, shape, ones(with_masks)) == found


def test_multi_head_attention_is_left_out_and_what_is_before_it_is_not():
    network = nn.Sequential(
        nn.Flatten(2), nn.Linear(64, 16), nn.TransformerEncoderLayer(16, 2, 8, batch_first=True), nn.Flatten()
    )
    network.append(nn.Linear(16, 3))
    network.eval()
    found = unreachable(network, SHAPE, {})
    assert found["1"] == [False] * 16 and found["2.linear1"] == [False] * 8
    assert found["2.self_attn"] == [None] * 48 and found["2.self_attn.out_proj"] == [None] * 16
    masks = ones(network)
    masks["2.self_attn.in_proj_weight"][32:] = False  # values, so attention computes nothing
    masks["2.linear2.weight"][:] = False
    # What remains is the sum around both.
    found = unreachable(network, SHAPE, masks)
    assert dead(found) == {"2.linear1": list(range(8)), "2.linear2": list(range(16))}


def test_a_channel_needs_a_path_from_the_input_and_one_to_the_output():
    network = build("lenet5", {}, (1, 28, 28), 10, 0).eval()
    masks = ones(network)
    masks["conv1.weight"][0] = False
    masks["conv2.weight"][:, 1] = False
    masks["conv2.weight"][3] = False
    masks["output.weight"][:, 5] = False
    last = [name for name in modules.weighted(network) if name != "output"][-1]
    assert dead(unreachable(network, (1, 28, 28), masks)) == {"conv1": [0, 1], "conv2": [3], last: [5]}


def by_hand(masks: list[np.ndarray]) -> list[np.ndarray]:
    """Unreachable units of fully connected layers, by products of their masks."""
    found = []
    for place in range(len(masks)):
        into, out = np.ones(masks[0].shape[1]), np.ones(len(masks[-1]))
        for mask in masks[: place + 1]:
            into = (mask @ into > 0).astype(float)
        for mask in masks[:place:-1]:
            out = (mask.T @ out > 0).astype(float)
        found.append((into * out) == 0)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_fully_connected_layers_against_products_of_their_masks(seed):
    rng, widths = np.random.default_rng(seed), [64, 30, 20, 20, 10]
    network, masks, kept = nn.Sequential(nn.Flatten()), {}, []
    for place, (a, b) in enumerate(itertools.pairwise(widths)):
        network.append(nn.Linear(a, b)).append(nn.Tanh())
        kept.append(rng.random((b, a)) < 1.2 / a)
        masks[f"{2 * place + 1}.weight"] = torch.from_numpy(kept[-1])
    found = unreachable(network.eval(), SHAPE, masks)
    for channels, expected in zip(found.values(), by_hand(kept), strict=True):
        assert channels == expected.tolist()


class Residual(nn.Module):
    """Two branches that are added, with normalisation and pooling by functions."""

    def __init__(self):
        super().__init__()
        self.first, self.branch = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.scale, self.shift = nn.Parameter(-torch.ones(3, 1, 1)), nn.Parameter(torch.randn(3, 1, 1))
        self.output = nn.Linear(3, 4)

    def forward(self, x):
        x = functional.relu(self.first(x))
        x = functional.layer_norm(x + self.scale * self.branch(x) + self.shift, x.shape[1:])
        x = functional.max_pool2d(torch.sigmoid(x), 8).flatten(1)
        return functional.log_softmax(self.output(x), 1)


def test_sums_constants_and_functions():
    network = Residual().eval()
    masks = ones(network)
    masks["branch.weight"][:] = False
    assert dead(unreachable(network, SHAPE, masks)) == {"branch": [0, 1, 2]}, "the sum goes around it"
    masks = ones(network)
    masks["first.weight"][:] = False
    every = {"first": [0, 1, 2], "branch": [0, 1, 2], "output": [0, 1, 2, 3]}
    assert dead(unreachable(Residual().eval(), SHAPE, masks)) == every, "constants are no signal"


def test_of_a_pool_every_position_counts():
    """The kept weights of the second layer move the image, so each signal is in one corner of the pool."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 1, 3, padding=1), nn.MaxPool2d(2), nn.Flatten())
    network.append(nn.Linear(1, 2)).eval()
    masks = ones(network)
    masks["1.weight"][:] = False
    masks["1.weight"][0, 0, 0, 0] = True  # to the lower right corner, from the upper left one
    masks["1.weight"][0, 1, 2, 2] = True  # the other way round
    assert dead(unreachable(network, (1, 2, 2), masks)) == {}


def test_a_layer_that_ends_in_a_padded_edge_is_not_reached():
    """Whether there is a path is decided position by position."""
    network = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(4, 2)).eval()
    masks = ones(network)
    masks["0.weight"][:] = False
    masks["0.weight"][0, 0, 0, 0] = True  # only the lower right of 2×2 positions sees the image
    masks["2.weight"][:, 3] = False
    assert dead(unreachable(network, (1, 2, 2), masks)) == {"0": [0], "2": [0, 1]}


def test_very_deep_and_wide_networks_keep_the_signal():
    layers = [nn.Flatten(), nn.Linear(64, 300), *(nn.Linear(300, 300) for _ in range(200)), nn.Linear(300, 2)]
    network = nn.Sequential(*layers).eval()
    masks = ones(network)
    masks["100.weight"][:-1] = False
    found = dead(unreachable(network, SHAPE, masks))
    assert found == {"100": list(range(299))}


def test_channels_of_transposed_convolutions_are_their_outputs():
    network = nn.Sequential(nn.ConvTranspose2d(2, 6, 2, groups=2), nn.Flatten(), nn.Linear(6 * 81, 2)).eval()
    masks = ones(network)
    masks["0.weight"][1, 2] = False  # in the second group, its third output
    rows = modules.by_output(network[0], masks["0.weight"])
    assert rows.shape == (6, 4) and (~rows.any(1)).nonzero().flatten().tolist() == [5]
    assert dead(unreachable(network, (2, 8, 8), masks)) == {"0": [5]}
