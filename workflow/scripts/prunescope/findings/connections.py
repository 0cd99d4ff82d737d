"""Layers that pruning has cut off: no path of kept weights leads through them."""

import pandas as pd

from prunescope.errors import listed

MOST_LAYERS = 6


def with_connections(findings: dict, channels: pd.DataFrame) -> dict:
    """Add the layers without a path, by network, to the findings of an experiment, and a sentence on them."""
    traced = channels[channels["unreachable"].notna()]
    cut = traced.groupby(["seed", "round", "layer"], sort=False)["unreachable"].all()
    networks = [
        {"seed": int(seed), "round": int(round), "layers": layers, "all": len(layers) == len(of_network)}
        for (seed, round), of_network in cut.groupby(["seed", "round"])
        if (layers := of_network[of_network].index.get_level_values("layer").tolist())
    ]
    text = [_sentence(networks)] if networks else []
    return findings | {"without_path": networks, "text": [*text, *findings["text"]]}


def _sentence(networks: list[dict]) -> str:
    """Name the layers of each network; rounds of a seed with the same layers are named together."""
    rounds: dict[tuple[int, str], list[str]] = {}
    for network in networks:
        text = "all layers" if network["all"] else listed(network["layers"], MOST_LAYERS)
        rounds.setdefault((network["seed"], text), []).append(str(network["round"]))
    parts = [f"seed {seed} round {', '.join(each)} ({layers})" for (seed, layers), each in rounds.items()]
    return f"No path of kept weights leads from input to output through these layers: {'; '.join(parts)}."
