"""Compare one round with every earlier round and itself: one row of the similarity matrix."""

from prunescope import comparison, jobs

with jobs.job(snakemake) as log:
    settings = comparison.SimilaritySettings(**snakemake.params.similarity)
    device = jobs.device(snakemake) if settings.gpu else "cpu"
    rows = comparison.compare_round(snakemake.input.activations, settings, device)
    comparison.write(snakemake.output.similarity, rows)
