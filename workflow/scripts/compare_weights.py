"""Compare the weights of all networks of an experiment, and list their channels."""

from itertools import zip_longest

import pandas as pd

from prunescope import files, jobs
from prunescope.checkpoints import load
from prunescope.levels import channels, weights
from prunescope.levels.pairs import identified

with jobs.job(snakemake) as log:
    params, name = snakemake.params, snakemake.wildcards.experiment
    jobs.device(snakemake)  # sets the number of threads
    layers, tables = [], []
    # The experiment's own networks come first; those of others have no list of units.
    for path, units in zip_longest(snakemake.input.checkpoints, snakemake.input.units):
        checkpoint = load(path, mapped=True)
        network = checkpoint.build()
        layers.append(weights.layers_of(checkpoint, network))
        if units is not None:
            tables.append(channels.of_network(checkpoint, network, files.read_json(units)))
    networks = identified(params.networks, name)
    compared = weights.compare(layers, networks, name, params.lineage, params.fresh, params.one_start)
    files.write_parquet(snakemake.output.weights, compared)
    files.write_parquet(snakemake.output.channels, pd.concat(tables, ignore_index=True))
    log.info("%d networks, %d rows", len(layers), len(compared))
