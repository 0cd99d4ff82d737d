"""Put the canonical correlations of all pairs into one table."""

from prunescope import jobs, tables

with jobs.job(snakemake) as log:
    rows = tables.concatenate(snakemake.input.rows)
    spectrum = rows[rows["metric"] == "cca"].drop(columns=["metric", "value", "chance"])
    tables.write_parquet(spectrum.reset_index(drop=True), snakemake.output.spectrum)
    log.info("%d pairs", len(spectrum))
