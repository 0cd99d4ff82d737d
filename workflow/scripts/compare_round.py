"""Compare one round with every earlier round and itself: one row of the similarity matrix."""

from prunescope import files, jobs
from prunescope.settings.similarity import Similarity
from prunescope.similarity import matrix

with jobs.job(snakemake) as log:
    settings = Similarity(**snakemake.params.similarity)
    device = jobs.device(snakemake) if settings.gpu else "cpu"
    rows = matrix.compare_round(snakemake.input.activations, settings, snakemake.threads, device)
    files.write_parquet(snakemake.output.similarity, rows)
