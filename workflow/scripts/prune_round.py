"""Prune and retrain the network of an earlier round; in a control, do what the control does instead."""

from prunescope import files, jobs
from prunescope.data import datasets
from prunescope.pruning import dense, imp
from prunescope.pruning.rounds import Round
from prunescope.settings.pruning import PruningSettings
from prunescope.settings.training import Training

with jobs.job(snakemake, hidden=[dense.state_beside(snakemake.output.checkpoint)]):
    params, output = snakemake.params, snakemake.output
    settings = params.settings
    # Only the files that the round starts from are inputs; Snakemake gives an empty list for the others.
    starts = {name: snakemake.input[name] for name in ("origin", "rewind", "masks") if snakemake.input[name]}
    round = Round(
        experiment=snakemake.wildcards.experiment,
        seed=int(snakemake.wildcards.seed),
        number=int(snakemake.wildcards.round),
        network=settings["network"],
        training=Training(**settings["training"]),
        dataset=datasets.load(snakemake.input.dataset),
        device=jobs.device(snakemake),
        state=dense.state_beside(output.checkpoint),
        made_from={"code": params.code} | {name: files.sha256(path) for name, path in starts.items()},
        download=snakemake.config["data"]["download"],
        again=settings["again"],
    )
    pruning = PruningSettings(**settings["pruning"])
    outcome = imp.prune(round, pruning, *imp.read(starts))
    dense.save(round, outcome, output)
