"""Prune and retrain the network of an earlier round; in a control, do what the control does instead."""

from prunescope import files, jobs
from prunescope.data import datasets
from prunescope.pruning import dense, imp, rounds
from prunescope.settings.pruning import PruningSettings
from prunescope.settings.training import Training

with jobs.job(snakemake, hidden=[dense.state_beside(snakemake.output.checkpoint)]):
    given, params, output = snakemake.input, snakemake.params, snakemake.output
    # Only the files that the round starts from are inputs; Snakemake gives an empty list for the others.
    every = {"origin": given.origin, "rewind": given.rewind, "masks": given.masks}
    paths = {name: path for name, path in every.items() if path}
    this = rounds.Round(
        experiment=snakemake.wildcards.experiment,
        seed=int(snakemake.wildcards.seed),
        number=int(snakemake.wildcards.round),
        network=params.network,
        training=Training(**params.training),
        dataset=datasets.load(given.dataset),
        device=jobs.device(snakemake),
        state=dense.state_beside(output.checkpoint),
        made_from={"code": params.code} | {name: files.sha256(path) for name, path in paths.items()},
        download=snakemake.config["data"]["download"],
        again=params.again,
    )
    settings = PruningSettings(**params.pruning)
    origin, early, masks = imp.read(this, settings, paths)
    outcome = imp.prune(this, settings, origin, early, masks)
    dense.save(this, outcome, output)
