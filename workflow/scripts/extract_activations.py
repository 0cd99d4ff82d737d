"""Record what each layer computes on the same test images."""

from prunescope import files, jobs
from prunescope.activations import record
from prunescope.settings.activations import RecordingSettings

with jobs.job(snakemake) as log:
    varying = record.record(
        snakemake.output.activations,
        snakemake.input.checkpoint,
        snakemake.input.dataset,
        RecordingSettings(**snakemake.params.activations),
        snakemake.params.code,
        jobs.device(snakemake),
    )
    files.write_json(snakemake.output.units, varying)
