"""Combine the measurements of all rounds into one table: seed, round, density, accuracy, loss."""

from prunescope import files, jobs, tables

with jobs.job(snakemake) as log:
    accuracy = tables.accuracy(snakemake.input.metrics)
    files.write_parquet(snakemake.output.accuracy, accuracy)
    log.info("%d networks", len(accuracy))
