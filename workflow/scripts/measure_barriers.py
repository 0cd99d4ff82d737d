"""Measure loss and error along the lines from a network to others."""

from prunescope import files, jobs
from prunescope.data import datasets
from prunescope.levels import landscape
from prunescope.levels.pairs import identified
from prunescope.settings.landscape import LineSettings

with jobs.job(snakemake):
    inputs, params = snakemake.input, snakemake.params
    rows = landscape.measure_lines(
        identified(params.networks, snakemake.wildcards.experiment),
        [inputs.checkpoint, *inputs.others],
        datasets.load(inputs.dataset),
        LineSettings(**params.landscape),
        jobs.device(snakemake),
    )
    files.write_parquet(snakemake.output.barriers, rows)
