"""Convert one data set into the file that all later stages read."""

from functools import partial

from prunescope import jobs
from prunescope.data import datasets, sources

with jobs.job(snakemake) as log:
    # The folder of the files and the permission to download do not affect the result, so they are not
    # parameters of the rule: moving data.root reruns nothing.
    data, given = snakemake.config["data"], snakemake.params
    check = partial(sources.check_stamp, given.source, data["root"], given.stamp)
    check()
    dataset = sources.fetch(snakemake.wildcards.dataset, given.source, data["root"], data["download"])
    datasets.save(snakemake.output.dataset, dataset)
    check()
    log.info(
        "%d training and %d test images of %s, %d classes",
        len(dataset.train_images),
        len(dataset.test_images),
        "×".join(map(str, dataset.shape)),
        len(dataset.classes),
    )
