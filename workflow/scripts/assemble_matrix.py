"""Combine all rows into the tidy similarity matrix of an experiment."""

from prunescope import files, jobs, tables

with jobs.job(snakemake) as log:
    matrix = tables.concatenate(snakemake.input.rows).drop_columns("spectrum")
    files.write_parquet(snakemake.output.similarity, matrix)
    log.info("%d rows from %d files", len(matrix), len(snakemake.input.rows))
