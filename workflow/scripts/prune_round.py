"""Prune the network of the round before and retrain it."""

import time
from pathlib import Path

from prunescope import checkpoints, datasets, files, jobs, networks, provenance, pruning, training
from prunescope.masks import apply_masks, census, density

with jobs.job(snakemake) as log:
    started = time.monotonic()
    device, params, seed = jobs.device(snakemake), snakemake.params, int(snakemake.wildcards.seed)
    round = int(snakemake.wildcards.round)
    settings = training.TrainingSettings(**params.training)
    how = pruning.PruningSettings(**params.pruning)
    dataset = datasets.load(snakemake.input.dataset)
    network_settings = {**params.network, "shape": list(dataset.shape), "classes": len(dataset.classes)}
    previous = checkpoints.load(snakemake.input.previous)
    checkpoints.expect(
        snakemake.input.previous,
        previous,
        experiment=snakemake.wildcards.experiment,
        seed=seed,
        round=round - 1,
        network=network_settings,
        dataset=dataset.digest,
    )
    state = training.State(
        Path(snakemake.output.checkpoint).with_name(".training-state.pt"),
        training.job_digest(
            network=network_settings,
            training=params.training,
            pruning=params.pruning,
            code=params.code,
            seed=seed,
            round=round,
            dataset=dataset.digest,
            previous=files.sha256(snakemake.input.previous),
            rewind=files.sha256(snakemake.input.rewind),
            **training.execution(device),
        ),
    )
    start = 0
    with training.enough_memory(device, settings):
        data = training.place(dataset, settings, device)
        network = previous.build()
        weights = pruning.prunable(network, how.prunable)
        names = list(weights)
        gradients = (
            training.gradients(network, names, data, settings) if how.criterion == "saliency" else None
        )
        masks = pruning.prune(
            pruning.scores(
                how.criterion, weights, gradients, provenance.derive_seed(seed, "random masks", round)
            ),
            pruning.complete(previous.masks, weights),
            how,
            pruning.layer_rates(network, names, how.rates),
        )
        if how.retraining == "rewind":
            start, early = checkpoints.load_rewind(snakemake.input.rewind, previous)
            network.load_state_dict(early)
        elif how.retraining == "reinitialise":
            fresh = provenance.derive_seed(seed, "reinitialisation", round)
            network = networks.build(**network_settings, seed=fresh)
        apply_masks(network, masks)
        log.info("round %d: %.4f of the prunable weights left, %s", round, density(masks), how.retraining)
        trained = training.train(
            network, data, settings, seed=seed, round=round, masks=masks, start=start, state=state
        )
    checkpoint = checkpoints.Checkpoint(
        experiment=snakemake.wildcards.experiment,
        seed=seed,
        round=round,
        network=network_settings,
        mean=data.mean.tolist(),
        std=data.std.tolist(),
        weights=checkpoints.snapshot(network),
        masks=masks,
        density=density(masks),
        accuracy=trained.history[-1]["test_accuracy"],
        dataset=dataset.digest,
    )
    checkpoints.save(snakemake.output.checkpoint, checkpoint)
    files.write_csv(snakemake.output.training, trained.history)
    counts = census(network, masks, dataset.shape)
    files.write_json(
        snakemake.output.metrics,
        training.metrics(checkpoint, trained, counts, settings, device, time.monotonic() - started),
    )
    state.discard()
