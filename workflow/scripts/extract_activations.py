"""Record what each layer computes on the same test images."""

from prunescope import files, jobs
from prunescope.activations import record
from prunescope.checkpoints import load
from prunescope.data import datasets
from prunescope.settings.activations import RecordingSettings

with jobs.job(snakemake):
    inputs, params, device = snakemake.input, snakemake.params, jobs.device(snakemake)
    network, dataset = load(inputs.checkpoint), datasets.load(inputs.dataset)
    settings = RecordingSettings(**params.activations)
    units = record.record(snakemake.output.activations, network, dataset, settings, params.code, device)
    files.write_json(snakemake.output.units, units)
