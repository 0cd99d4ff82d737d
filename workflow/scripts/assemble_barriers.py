"""Combine the lines of all networks of an experiment."""

import pandas as pd

from prunescope import files, jobs

with jobs.job(snakemake):
    rows = pd.concat(map(files.read_parquet, snakemake.input.rows), ignore_index=True)
    files.write_parquet(snakemake.output.barriers, rows)
