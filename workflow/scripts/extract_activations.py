"""Record what each layer computes on the same test images."""

from prunescope import jobs
from prunescope.activations import record

with jobs.job(snakemake) as log:
    record.record(
        snakemake.output.activations,
        snakemake.input.checkpoint,
        snakemake.input.dataset,
        record.ActivationSettings(**snakemake.params.activations),
        snakemake.params.code,
        jobs.device(snakemake),
    )
