"""Which channels of a network are left: kept weights, paths, and outputs that vary."""

import pandas as pd
from torch import nn

from prunescope.checkpoints import Checkpoint
from prunescope.networks import modules
from prunescope.networks.masks import complete
from prunescope.networks.paths import unreachable
from prunescope.networks.preprocessing import input_shape

COLUMNS = {
    "layer": "object",
    "channel": "int64",
    "density": "float64",
    "dead_by_weights": "boolean",
    "unreachable": "boolean",
    "dead_by_activation": "boolean",
}


def of_network(checkpoint: Checkpoint, network: nn.Module, units: dict[str, dict]) -> pd.DataFrame:
    """Make one row for each channel of a network.

    Parameters
    ----------
    checkpoint : Checkpoint
    network : torch.nn.Module
        From its `build`; the parameters are changed.
    units : dict of str to dict
        The recorded layers, see `prunescope.activations.record.record_modules`.

    Returns
    -------
    pandas.DataFrame
        Columns seed, round and `COLUMNS`. Layers with weights are in the order of the network, other recorded
        layers follow; a layer of one kind only has missing values in the columns of the other.
    """
    shape = input_shape(checkpoint.network["shape"], checkpoint.resizing)
    paths, layers = unreachable(network, shape, checkpoint.masks), {}
    for layer, weights in modules.weighted(network).items():
        module = network.get_submodule(layer)
        kept = [modules.by_output(module, mask) for mask in complete(checkpoint.masks, weights).values()]
        layers[layer] = {
            "density": [density for rows in kept for density in rows.double().mean(1).tolist()],
            "dead_by_weights": [dead for rows in kept for dead in (~rows.any(1)).tolist()],
            "unreachable": paths[layer],
        }
    for layer, recorded in units.items():
        constant = set(recorded["constant"])
        dead = [unit in constant for unit in range(recorded["units"])]
        # The output of a user's own module can have other units than its weights have rows.
        if layer not in layers or len(layers[layer]["density"]) == len(dead):
            layers.setdefault(layer, {})["dead_by_activation"] = dead
    table: dict[str, list] = {column: [] for column in COLUMNS}
    for layer, columns in layers.items():
        count = len(next(iter(columns.values())))
        columns |= {"layer": [layer] * count, "channel": range(count)}
        for column, values in table.items():
            values.extend(columns.get(column, [None] * count))
    rows = pd.DataFrame(table).astype(COLUMNS)
    rows.insert(0, "seed", checkpoint.seed)
    rows.insert(1, "round", checkpoint.round)
    return rows
