"""Record what each layer of an untrained network computes on the same test images."""

from prunescope import jobs
from prunescope.activations import record
from prunescope.data import datasets
from prunescope.pruning import rounds

with jobs.job(snakemake) as log:
    params = snakemake.params
    dataset = datasets.load(snakemake.input.dataset)
    network = rounds.untrained(
        snakemake.wildcards.experiment,
        int(snakemake.wildcards.seed),
        params.network,
        params.normalisation,
        dataset,
    )
    record.record_network(
        snakemake.output.activations,
        network,
        dataset,
        record.ActivationSettings(**params.activations),
        params.code,
        jobs.device(snakemake),
    )
