"""Comparison of weights and masks, layer by layer.

Of weights w, w′ with the masks m, m′ of the weights that are kept:

- ``mask_iou``: |m ∩ m′| / |m ∪ m′|
- ``sign_agreement``: share of the weights in m ∩ m′ whose signs are the same
- ``weight_cosine``: ⟨w, w′⟩ / (‖w‖ ‖w′‖)
- ``distance``: 1 / (1 + ‖w − w′‖ / ‖w′‖)

Chance is the expected value if the weights of one network were shuffled within each layer, together with
their masks. Everything follows from sums over the weights of a layer, which are added up over layers.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import nn

from prunescope.checkpoints import Checkpoint
from prunescope.levels.pairs import OK, Network, both_orders, named, pairs
from prunescope.networks import modules

MEASURES = ("mask_iou", "sign_agreement", "weight_cosine", "distance")
# In place of the name of a layer.
ALL = "all layers"
# What a status means; the first that applies counts.
STATUSES = {
    "other shape": "The layer has another shape in the other network, so there is no value.",
    "empty": "No weight is left to compare, so there is no value.",
    "nested": "One mask contains the other, so `mask_iou` follows from the two densities.",
    "other units": "They start from different weights, so units do not correspond; only `mask_iou` is given.",
    OK: "None of the other cases.",
}
OF_MASKS = np.array([measure == "mask_iou" for measure in MEASURES])[:, None, None]
# Numbers that are read at a time, and the relative rounding error of the sums below.
BLOCK, ROUNDING = 2**22, 1e-13

# By name of the parameter: its weights and their mask, None if all are kept.
Layer = dict[str, tuple[np.ndarray, np.ndarray | None]]

# Sums over the weights of a layer, for a pair of networks a and b. Those that end in `chance` are the values
# that are expected if b is shuffled.
SUMS = ("kept_a", "kept_b", "both", "both_chance", "both_variance", "agree", "agree_chance")
SUMS += ("squares_a", "squares_b", "product", "product_chance")


def compare(
    layers: Sequence[dict[str, Layer]],
    networks: Sequence[Network],
    name: str,
    lineage: bool = True,
    fresh: bool = False,
    one_start: bool = False,
) -> pd.DataFrame:
    """Compare the weights of networks.

    Parameters
    ----------
    layers : sequence of dict of str to dict
        The layers of each network by name. Arrays can be memory-mapped: they are read in blocks.
    networks : sequence of Network
        In the same order.
    name : str
        Of the experiment, see `prunescope.levels.pairs.pairs`.
    lineage : bool, default True
        Whether the rounds of the experiment follow from each other.
    fresh : bool, default False
        Whether each of its later rounds starts from newly drawn weights.
    one_start : bool, default False
        Whether all seeds start from the same weights, those of ``network.weights``.

    Returns
    -------
    pandas.DataFrame
        Columns `prunescope.levels.pairs.COLUMNS`, layer, measure, value, chance and status: for each pair in
        both orders, for each layer that both networks have, and for all their layers together.
    """
    orders = both_orders(pairs(networks, name, lineage))
    a, b = np.array(orders, dtype=int).reshape(-1, 2).T
    names, there, sums = _of_layers(layers, a, b)
    values, chances = _measures(sums)
    same = np.array(
        [_same_start(networks[i], networks[j], name, fresh, one_start) for i, j in orders], dtype=bool
    )
    status = _status(values, sums, same)
    given = np.isfinite(values) & (same | OF_MASKS)
    # Pairs in order; of each pair the layers, and of each layer the measures.
    pair, layer, measure = np.nonzero(np.repeat(there.T[:, :, None], len(MEASURES), axis=2))
    rows = (measure, layer, pair)
    return named(
        [(networks[a[number]], networks[b[number]]) for number in pair],
        {
            "layer": np.array([*names, ALL], dtype=object)[layer],
            "measure": np.array(MEASURES, dtype=object)[measure],
            "value": np.where(given, values, np.nan)[rows],
            "chance": np.where(given, chances, np.nan)[rows],
            "status": status[rows],
        },
    )


def layers_of(checkpoint: Checkpoint, network: nn.Module) -> dict[str, Layer]:
    """Return the weights of a checkpoint that can be pruned, by layer; `network` is the one that they fit."""
    masks = checkpoint.masks
    return {
        layer: {
            name: (checkpoint.weights[name].numpy(), masks[name].numpy() if name in masks else None)
            for name in weights
        }
        for layer, weights in modules.weighted(network).items()
    }


def _of_layers(
    layers: Sequence[dict[str, Layer]], a: np.ndarray, b: np.ndarray
) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    """Add up the weights of each layer for the pairs (a, b) of indices of `layers`; last, of all layers.

    Returns the names of the layers; which pairs have them, shape (layers + 1, pairs); and each of `SUMS` in
    the same shape, NaN where shapes differ.
    """
    names = list(dict.fromkeys(layer for network in layers for layer in network))
    shapes = [{layer: _shape(network[layer]) for layer in network} for network in layers]
    there = np.ones((len(names) + 1, len(a)), dtype=bool)
    sums = np.full((len(SUMS), len(names) + 1, len(a)), np.nan)
    for row, layer in enumerate(names):
        has = np.array([layer in network for network in layers])
        there[row] = has[a] & has[b]
        # Networks that were trained elsewhere can have layers of different shapes.
        for shape in dict.fromkeys(one[layer] for one in shapes if layer in one):
            members = [i for i, one in enumerate(shapes) if one.get(layer) == shape]
            inside = np.isin(a, members) & np.isin(b, members)
            if not inside.any():
                continue
            sides = [np.searchsorted(members, side[inside]) for side in (a, b)]
            sums[:, row, inside] = sum(
                _of_parameter([layers[i][layer][parameter] for i in members], *sides)
                for parameter, _ in shape
            )
    alike = np.array([shapes[i] == shapes[j] for i, j in zip(a, b, strict=True)], dtype=bool)
    sums[:, -1, alike] = np.nansum(sums[:, :-1, alike], axis=1)
    return names, there, dict(zip(SUMS, sums, strict=True))


def _shape(layer: Layer) -> tuple:
    return tuple((parameter, weights.shape) for parameter, (weights, _) in layer.items())


def _same_start(a: Network, b: Network, name: str, fresh: bool, one_start: bool) -> bool:
    """Whether two networks start from the same weights, so that their units correspond."""
    drawn = fresh and any(one.experiment == name and one.round > 0 for one in (a, b))
    return (one_start or a.seed == b.seed) and not drawn


def _of_parameter(
    networks: Sequence[tuple[np.ndarray, np.ndarray | None]], a: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """Return `SUMS` over one parameter for the pairs (a, b) of indices of `networks`."""
    size, count = networks[0][0].size, len(networks)
    both, agree, product = np.zeros((3, count, count))
    up, total = np.zeros((2, count))
    for start in range(0, size, max(1, BLOCK // count)):
        part = slice(start, start + max(1, BLOCK // count))
        weights = np.stack([one.reshape(-1)[part] for one, _ in networks]).astype(np.float64)
        kept = np.ones(weights.shape, dtype=np.float32)
        for row, (_, mask) in zip(kept, networks, strict=True):
            row[:] = 1 if mask is None else mask.reshape(-1)[part]
        # Pruned weights are zero, so they have no sign.
        positive, negative = ((weights * sign > 0).astype(np.float32) for sign in (1, -1))
        both += kept @ kept.T
        agree += positive @ positive.T + negative @ negative.T
        product += weights @ weights.T
        up += positive.sum(axis=1)
        total += weights.sum(axis=1)
    kept, down = np.diagonal(both), np.diagonal(agree) - up
    shares = np.stack([up, down]) / np.maximum(kept, 1)
    spread = kept[a] * kept[b] * (size - kept[a]) * (size - kept[b]) / (size**2 * max(size - 1, 1))
    return np.stack(
        [
            kept[a],
            kept[b],
            both[a, b],
            kept[a] * kept[b] / size,
            spread,
            agree[a, b],
            kept[a] * kept[b] / size * (shares[:, a] * shares[:, b]).sum(axis=0),
            np.diagonal(product)[a],
            np.diagonal(product)[b],
            product[a, b],
            total[a] * total[b] / size,
        ]
    )


def _measures(of: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the values and chance levels of `MEASURES` from sums; NaN where 0 is divided by 0."""
    kept, squares = of["kept_a"] + of["kept_b"], of["squares_a"] + of["squares_b"]
    with np.errstate(invalid="ignore", divide="ignore"):

        def nearness(product: np.ndarray) -> np.ndarray:
            apart = squares - 2 * product
            apart = np.where(apart < ROUNDING * squares, 0, apart)
            return np.where(of["squares_b"] > 0, 1 / (1 + np.sqrt(apart / of["squares_b"])), np.nan)

        # The size of the intersection has the hypergeometric distribution; i / (kept - i) to second order.
        expected = of["both_chance"] / (kept - of["both_chance"])
        expected += of["both_variance"] * kept / (kept - of["both_chance"]) ** 3
        norms = np.sqrt(of["squares_a"] * of["squares_b"])
        values = (
            of["both"] / (kept - of["both"]),
            of["agree"] / of["both"],
            of["product"] / norms,
            nearness(of["product"]),
        )
        chances = (
            expected,
            of["agree_chance"] / of["both_chance"],
            of["product_chance"] / norms,
            nearness(of["product_chance"]),
        )
    return np.stack(values), np.stack(chances)


def _status(values: np.ndarray, of: dict[str, np.ndarray], same: np.ndarray) -> np.ndarray:
    """Return a key of `STATUSES` for each value; `same` says which pairs start from the same weights."""
    nested = of["both"] == np.minimum(of["kept_a"], of["kept_b"])
    cases = (np.isnan(of["both"]), ~np.isfinite(values), nested & OF_MASKS, ~same)
    cases = [np.broadcast_to(case, values.shape) for case in cases]
    return np.select(cases, list(STATUSES)[:-1], OK).astype(object)
