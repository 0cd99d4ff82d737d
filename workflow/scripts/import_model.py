"""Convert a network that was trained elsewhere into a checkpoint of a round, and measure it."""

from prunescope import jobs
from prunescope.data import datasets
from prunescope.pruning import imported, rounds
from prunescope.settings.training import Forward

with jobs.job(snakemake):
    settings = snakemake.params.settings
    round = rounds.Round(
        experiment=snakemake.wildcards.experiment,
        seed=int(snakemake.wildcards.seed),
        number=int(snakemake.wildcards.round),
        network=settings["network"],
        training=Forward(**settings["training"]),
        dataset=datasets.load(snakemake.input.dataset),
        device=jobs.device(snakemake),
    )
    rounds.save(round, *imported.bring(round), snakemake.output)
