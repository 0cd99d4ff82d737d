"""Bring one data set into the form that all later stages read."""

from prunescope import datasets, jobs, sources

with jobs.job(snakemake) as log:
    # Where the files lie and whether they may be downloaded changes nothing in the result, so neither is a
    # parameter of the rule: moving data.root reruns nothing.
    data = snakemake.config["data"]
    dataset = sources.fetch(
        snakemake.wildcards.dataset,
        snakemake.params.source,
        data.get("root", "data"),
        data.get("download", True),
    )
    datasets.save(snakemake.output.dataset, dataset)
    log.info(
        "%d training and %d test images of %s, %d classes",
        len(dataset.train_images),
        len(dataset.test_images),
        "×".join(map(str, dataset.shape)),
        len(dataset.classes),
    )
