"""Record what each layer computes on the same test images."""

from dataclasses import replace

from prunescope import activations, checkpoints, datasets, jobs, networks
from prunescope.errors import InputError, shrinking

with jobs.job(snakemake) as log:
    device = jobs.device(snakemake)
    dataset = datasets.load(snakemake.input.dataset)
    checkpoint = checkpoints.load(snakemake.input.checkpoint)
    if checkpoint.dataset != dataset.digest:
        raise InputError(
            f"{snakemake.input.checkpoint}: trained on another data set than {snakemake.input.dataset}; "
            "delete the checkpoint and run again"
        )
    settings = activations.ActivationSettings(**snakemake.params.activations)
    attributes = {
        "experiment": checkpoint.experiment,
        "seed": checkpoint.seed,
        "round": checkpoint.round,
        "network": checkpoint.network["name"],
        "density": checkpoint.density,
        "dataset": checkpoint.dataset,
        "code": snakemake.params.code,
    }

    def extract(batch_size):
        activations.extract(
            snakemake.output.activations,
            checkpoint.build(),
            dataset.test_images,
            dataset.test_labels,
            lambda images: networks.normalise(images, checkpoint.mean, checkpoint.std),
            replace(settings, batch_size=batch_size),
            attributes,
            device,
        )

    shrinking(extract, settings.batch_size, "images", "record fewer layers in activations.layers")
