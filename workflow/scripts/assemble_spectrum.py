"""Combine the canonical correlations of all pairs into one table."""

import pyarrow as pa
import pyarrow.compute as pc

from prunescope import files, jobs, tables

with jobs.job(snakemake) as log:
    rows = tables.concatenate(snakemake.input.rows)
    spectrum = rows.filter(pc.is_in(rows["measure"], pa.array(snakemake.params.measures)))
    files.write_parquet(
        snakemake.output.spectrum,
        spectrum.drop_columns(["measure", "value", "chance", "chance_high", "chance_classes"]),
    )
    log.info("%d pairs", len(spectrum))
