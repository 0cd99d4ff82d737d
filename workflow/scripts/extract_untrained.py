"""Record what each layer of an untrained network computes on the same test images."""

from prunescope import jobs
from prunescope.activations import record
from prunescope.data import datasets
from prunescope.pruning import rounds
from prunescope.settings.activations import RecordingSettings
from prunescope.settings.training import Forward

with jobs.job(snakemake):
    settings = snakemake.params.settings
    round = rounds.Round(
        experiment=snakemake.wildcards.experiment,
        seed=int(snakemake.wildcards.seed),
        number=0,
        network=settings["network"],
        training=Forward(**settings["training"]),
        dataset=datasets.load(snakemake.input.dataset),
        device=jobs.device(snakemake),
    )
    record.record(
        snakemake.output.activations,
        rounds.untrained(round),
        round.dataset,
        RecordingSettings(**settings["activations"]),
        snakemake.params.code,
        round.device,
    )
