"""Compare the same round of different seeds."""

from prunescope import comparison, jobs

with jobs.job(snakemake) as log:
    settings = comparison.SimilaritySettings(**snakemake.params.similarity)
    device = jobs.device(snakemake) if settings.gpu else "cpu"
    rows = comparison.compare_seeds(snakemake.input.activations, settings, device)
    comparison.write(snakemake.output.similarity, rows)
