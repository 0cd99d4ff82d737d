"""Compare recordings: a round with earlier ones, seeds with each other, or two trainings of one round."""

from prunescope import files, jobs
from prunescope.settings.similarity import Similarity
from prunescope.similarity import matrix

with jobs.job(snakemake):
    params = snakemake.params
    settings = Similarity(**params.similarity)
    device = jobs.device(snakemake) if settings.gpu else "cpu"
    compare = matrix.COMPARISONS[params.comparison]
    more = {key: params.get(key) for key in ("experiments", "same_units") if params.get(key) is not None}
    rows = compare(snakemake.input.activations, settings, snakemake.threads, device, **more)
    files.write_parquet(snakemake.output.similarity, rows)
