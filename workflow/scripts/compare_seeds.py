"""Compare the same round of different seeds."""

from prunescope import comparison, jobs

with jobs.job(snakemake) as log:
    settings = comparison.SimilaritySettings(**snakemake.params.similarity)
    comparison.write(
        snakemake.output.similarity, comparison.compare_seeds(snakemake.input.activations, settings)
    )
