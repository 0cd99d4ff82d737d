"""Put all rows together: the similarity matrix of an experiment, tidy."""

from prunescope import jobs, tables

with jobs.job(snakemake) as log:
    matrix = tables.concatenate(snakemake.input.rows).drop(columns="spectrum")
    tables.write_parquet(matrix, snakemake.output.similarity)
    log.info("%d rows from %d files", len(matrix), len(snakemake.input.rows))
