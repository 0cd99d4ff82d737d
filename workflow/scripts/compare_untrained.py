"""Compare untrained networks of different seeds."""

from prunescope import files, jobs
from prunescope.settings.similarity import Similarity
from prunescope.similarity import matrix

with jobs.job(snakemake) as log:
    settings = Similarity(**snakemake.params.similarity)
    device = jobs.device(snakemake) if settings.gpu else "cpu"
    rows = matrix.compare_seeds(snakemake.input.activations, settings, snakemake.threads, device)
    files.write_parquet(snakemake.output.similarity, rows.drop_columns("spectrum"))
