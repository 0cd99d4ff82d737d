"""Put all rows together: the similarity matrix of an experiment, tidy."""

from prunescope import files, jobs, tables

with jobs.job(snakemake) as log:
    matrix = tables.concatenate(snakemake.input.rows).drop_columns("spectrum")
    files.write_parquet(snakemake.output.similarity, matrix)
    log.info("%d rows from %d files", len(matrix), len(snakemake.input.rows))
