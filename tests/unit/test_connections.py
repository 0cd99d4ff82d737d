"""Layers without a path in the findings."""

import pandas as pd

from prunescope.findings.connections import with_connections

LAYERS = {"conv1": 2, "conv2": 3, "attention": 2, "relu1": 2}


def channels(cut: dict[tuple[int, int], list[str]]) -> pd.DataFrame:
    """Two seeds and three rounds; these layers of a network have no path, and of others one channel."""
    rows = []
    for seed in (0, 1):
        for round in range(3):
            for layer, count in LAYERS.items():
                known = layer.startswith("conv")
                dead = [layer in cut.get((seed, round), ()) or channel == 0 for channel in range(count)]
                rows += [(seed, round, layer, one if known else None) for one in dead]
    table = pd.DataFrame(rows, columns=["seed", "round", "layer", "unreachable"])
    return table.astype({"unreachable": "boolean"})


def test_layers_without_a_path_are_named():
    cut = {(0, 1): ["conv2"], (1, 1): ["conv1", "conv2"], (1, 2): ["conv2", "conv1"]}
    found = with_connections({"text": ["Other."]}, channels(cut))
    assert found["without_path"] == [
        {"seed": 0, "round": 1, "layers": ["conv2"], "all": False},
        {"seed": 1, "round": 1, "layers": ["conv1", "conv2"], "all": True},
        {"seed": 1, "round": 2, "layers": ["conv1", "conv2"], "all": True},
    ]
    sentence, other = found["text"]
    assert sentence.endswith("these layers: seed 0 round 1 (conv2); seed 1 round 1, 2 (all layers).")
    assert other == "Other."


def test_nothing_is_said_of_networks_whose_layers_all_have_one():
    assert with_connections({"text": []}, channels({})) == {"without_path": [], "text": []}


def test_long_lists_are_cut():
    names = [f"layer{i}" for i in range(9)]
    table = pd.DataFrame({"layer": [*names, "output"], "unreachable": [True] * 9 + [False]})
    found = with_connections({"text": []}, table.assign(seed=0, round=1))
    assert "(layer0, layer1, layer2, layer3, layer4, layer5 and 3 more)" in found["text"][0]
    assert found["without_path"][0]["layers"] == names
