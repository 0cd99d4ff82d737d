"""Compare what all networks of an experiment predict for the test images."""

from prunescope import files, jobs
from prunescope.levels import predictions
from prunescope.levels.pairs import identified

with jobs.job(snakemake):
    params, output = snakemake.params, snakemake.output
    paths, name = snakemake.input.predictions, snakemake.wildcards.experiment
    networks = identified(params.networks, name)
    compared, exemplars, by_class = predictions.tables(paths, networks, name, params.lineage)
    files.write_parquet(output.predictions, compared)
    files.write_parquet(output.exemplars, exemplars)
    files.write_parquet(output.classes, by_class)
