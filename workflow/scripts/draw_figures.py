"""Draw an experiment's figures as SVG, PDF and PNG."""

import gc

from prunescope import figures, jobs, records, tables

# Embedding fonts makes hundreds of thousands of short-lived objects; looking for cycles among them takes a
# fifth of the time of a job that ends in seconds.
gc.disable()

with jobs.job(snakemake) as log:
    drawn = figures.draw_all(
        tables.read_parquet(snakemake.input.similarity),
        tables.read_parquet(snakemake.input.accuracy),
        records.layers([records.read_json(path) for path in snakemake.input.metrics]),
        snakemake.params.layers,
        snakemake.params.figures["colormap"],
    )
    figures.save(drawn, snakemake.output.figures, snakemake.params.figures["dpi"])
    log.info("%d figures", len(drawn))
