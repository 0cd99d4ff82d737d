"""Put every round's measurements into one table: seed, round, density, accuracy, loss."""

from prunescope import jobs, tables

with jobs.job(snakemake) as log:
    accuracy = tables.accuracy(snakemake.input.metrics)
    tables.write_parquet(accuracy, snakemake.output.accuracy)
    log.info("%d networks", len(accuracy))
