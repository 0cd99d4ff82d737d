"""Compare one round with every earlier round and itself: one row of the similarity matrix."""

from prunescope import comparison, jobs

with jobs.job(snakemake) as log:
    settings = comparison.SimilaritySettings(**snakemake.params.similarity)
    comparison.write(
        snakemake.output.similarity, comparison.compare_round(snakemake.input.activations, settings)
    )
