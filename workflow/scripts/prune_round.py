"""Prune the network of the round before and retrain it."""

from prunescope import files, jobs
from prunescope.data import datasets
from prunescope.pruning import rounds
from prunescope.training.data import TrainingSettings

with jobs.job(snakemake):
    given, params, output = snakemake.input, snakemake.params, snakemake.output
    this = rounds.Round(
        experiment=snakemake.wildcards.experiment,
        seed=int(snakemake.wildcards.seed),
        number=int(snakemake.wildcards.round),
        network=params.network,
        training=TrainingSettings(**params.training),
        dataset=datasets.load(given.dataset),
        device=jobs.device(snakemake),
        state=rounds.state_beside(output.checkpoint),
        made_from={
            "code": params.code,
            "previous": files.sha256(given.previous),
            "rewind": files.sha256(given.rewind),
        },
    )
    settings = rounds.PruningSettings(**params.pruning)
    rewind = given.rewind if settings.retraining == "rewind" else None
    previous, early = rounds.read_previous(this, given.previous, rewind)
    outcome = rounds.prune(this, settings, previous, early)
    rounds.save(outcome, output.checkpoint, output.training, output.metrics)
