"""The table of channels, against masks and outputs made by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from prunescope.activations.record import extract
from prunescope.checkpoints import Checkpoint
from prunescope.levels import channels
from prunescope.networks.build import build
from prunescope.networks.masks import apply_masks, census
from prunescope.settings.activations import RecordingSettings

SHAPE = (1, 8, 8)
NETWORK = {"name": "lenet_small", "arguments": {}, "shape": SHAPE, "classes": 10}
IMAGES = np.random.default_rng(0).integers(0, 256, (40, *SHAPE)).astype(np.uint8)


def pruned(**masks: torch.Tensor) -> tuple[Checkpoint, nn.Module]:
    network = build(**NETWORK, seed=0).eval()
    masks = {name.replace("_", "."): mask for name, mask in masks.items()}
    apply_masks(network, masks)
    made = Checkpoint("x", 3, 2, NETWORK, [0.0], [1.0], network.state_dict(), masks, 0.5, 0.1, "abc")
    return made, made.build()


def recorded(network: nn.Module, path, layers=("ReLU", "output")) -> dict:
    settings = RecordingSettings(layers=list(layers))
    origin = dict.fromkeys(("experiment", "network", "dataset", "code"), "x")
    origin |= {"seed": 3, "round": 2, "density": 0.5}
    return extract(path, network, IMAGES, np.zeros(40, int), lambda x: x.float() / 255, settings, origin)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    weights = build(**NETWORK, seed=0).state_dict()
    masks = {name.replace(".", "_"): torch.ones_like(weights[name], dtype=torch.bool)
             for name in ("conv1.weight", "conv2.weight", "output.weight")}  # fmt: skip
    masks["conv1_weight"][0] = False
    masks["conv2_weight"][1, 0, 0] = False
    masks["conv2_weight"][:, 2] = False
    checkpoint, network = pruned(**masks)
    units = recorded(network, tmp_path_factory.mktemp("a") / "a.h5")
    return checkpoint, channels.of_network(checkpoint, network, units)


def of(table, layer):
    return table[table["layer"] == layer].set_index("channel")


def test_channels_of_layers_with_weights(table):
    checkpoint, found = table
    conv1, conv2 = of(found, "conv1"), of(found, "conv2")
    assert conv1.density.tolist() == [0.0] + [1.0] * (len(conv1) - 1)
    assert conv1.index[conv1.dead_by_weights].tolist() == [0]
    # The third one has weights, but nothing reads it.
    assert conv1.index[conv1.unreachable].tolist() == [0, 2]
    inputs = len(conv1) * 9
    assert conv2.density[1] == pytest.approx(1 - (3 + 9) / inputs)
    assert conv2.density[0] == pytest.approx(1 - 9 / inputs)
    assert conv1.dead_by_activation.isna().all(), "not recorded"
    counts = census(checkpoint.build(), checkpoint.masks, SHAPE)["layers"]
    for layer in counts:
        rows = of(found, layer["name"])
        assert (len(rows), rows.dead_by_weights.sum()) == (layer["channels"], layer["dead_channels"])
        assert rows.density.mean() == pytest.approx(layer["density"])


def test_channels_of_recorded_layers(table):
    _, found = table
    relu = of(found, "relu1")
    assert relu.density.isna().all() and relu.unreachable.isna().all()
    # Behind an activation function, a channel without weights is its bias, or zero.
    assert relu.dead_by_activation[0] and not relu.dead_by_activation.all()
    output = of(found, "output")
    assert output.notna().all(axis=None) and len(output) == 10, "a layer with weights that is also recorded"
    assert (found.seed == 3).all() and (found["round"] == 2).all()
    assert list(found.columns) == ["seed", "round", *channels.COLUMNS]


def test_a_layer_without_a_path(tmp_path):
    weights = build(**NETWORK, seed=0).state_dict()
    checkpoint, network = pruned(conv2_weight=torch.zeros_like(weights["conv2.weight"], dtype=torch.bool))
    found = channels.of_network(checkpoint, network, {})
    assert of(found, "conv2").dead_by_weights.all() and not of(found, "conv1").dead_by_weights.any()
    assert found.unreachable.all(), "no layer has a path through an empty one"
