"""Compare the weights of all networks of an experiment, and list their channels."""

import pandas as pd

from prunescope import files, jobs
from prunescope.checkpoints import load
from prunescope.levels import channels, weights
from prunescope.levels.pairs import identified

with jobs.job(snakemake) as log:
    given, params, name = snakemake.input, snakemake.params, snakemake.wildcards.experiment
    jobs.device(snakemake)  # sets the number of threads
    layers, tables = [], []
    for index, path in enumerate(given.checkpoints):
        checkpoint = load(path, mapped=True)
        network = checkpoint.build()
        layers.append(weights.layers_of(checkpoint, network))
        # The experiment's own networks come first.
        if index < len(given.units):
            tables.append(channels.of_network(checkpoint, network, files.read_json(given.units[index])))
    compared = weights.compare(
        layers,
        identified(params.networks, name),
        name,
        params.lineage,
        params.fresh,
        params.one_start,
    )
    files.write_parquet(snakemake.output.weights, compared)
    files.write_parquet(snakemake.output.channels, pd.concat(tables, ignore_index=True))
    log.info("%d networks, %d rows", len(layers), len(compared))
