"""Train the dense network: round 0."""

from prunescope import jobs
from prunescope.data import datasets
from prunescope.pruning import dense
from prunescope.pruning.rounds import Round
from prunescope.settings.training import Training

with jobs.job(snakemake, hidden=[dense.state_beside(snakemake.output.checkpoint)]):
    params, output = snakemake.params, snakemake.output
    settings = params.settings
    round = Round(
        experiment=snakemake.wildcards.experiment,
        seed=int(snakemake.wildcards.seed),
        number=0,
        network=settings["network"],
        training=Training(**settings["training"]),
        dataset=datasets.load(snakemake.input.dataset),
        device=jobs.device(snakemake),
        state=dense.state_beside(output.checkpoint),
        made_from={"code": params.code},
        download=snakemake.config["data"]["download"],
        again=settings["again"],
    )
    outcome = dense.train_dense(round, settings["rewind"]["epoch"], settings["rewind"]["step"])
    dense.save(round, outcome, output)
