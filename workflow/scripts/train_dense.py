"""Train the dense network: round 0."""

import time
from pathlib import Path

from prunescope import checkpoints, datasets, files, jobs, networks, provenance, training
from prunescope.masks import census

with jobs.job(snakemake) as log:
    started = time.monotonic()
    device, params, seed = jobs.device(snakemake), snakemake.params, int(snakemake.wildcards.seed)
    settings = training.TrainingSettings(**params.training)
    dataset = datasets.load(snakemake.input.dataset)
    network_settings = {**params.network, "shape": list(dataset.shape), "classes": len(dataset.classes)}
    network = networks.build(**network_settings, seed=provenance.derive_seed(seed, "initialisation"))
    state = training.State(
        Path(snakemake.output.checkpoint).with_name(".training-state.pt"),
        training.job_digest(
            network=network_settings,
            training=params.training,
            rewind=params.rewind,
            code=params.code,
            seed=seed,
            round=0,
            dataset=dataset.digest,
            **training.execution(device),
        ),
    )
    with training.enough_memory(device, settings):
        data = training.place(dataset, settings, device)
        rewind = params.rewind["step"]
        if rewind is None:
            rewind = params.rewind["epoch"] * training.steps_per_epoch(data, settings)
        trained = training.train(network, data, settings, seed=seed, round=0, rewind=rewind, state=state)
    checkpoint = checkpoints.Checkpoint(
        experiment=snakemake.wildcards.experiment,
        seed=seed,
        round=0,
        network=network_settings,
        mean=data.mean.tolist(),
        std=data.std.tolist(),
        weights=checkpoints.snapshot(network),
        masks={},
        density=1.0,
        accuracy=trained.history[-1]["test_accuracy"],
        dataset=dataset.digest,
    )
    checkpoints.save(snakemake.output.checkpoint, checkpoint)
    checkpoints.save_rewind(snakemake.output.rewind, checkpoint, rewind, trained.rewind)
    files.write_csv(snakemake.output.training, trained.history)
    counts = census(network, {}, dataset.shape)
    files.write_json(
        snakemake.output.metrics,
        training.metrics(checkpoint, trained, counts, settings, device, time.monotonic() - started),
    )
    state.discard()
