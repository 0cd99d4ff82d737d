"""Draw an experiment's figures as SVG, PDF and PNG."""

import gc

from prunescope import jobs, tables
from prunescope.files import read_json, read_parquet
from prunescope.report import drawing, figures

# Embedding fonts creates hundreds of thousands of short-lived objects. Searching them for cycles would take a
# fifth of the time of this short job.
gc.disable()

with jobs.job(snakemake) as log:
    given = snakemake.params
    drawn = figures.draw_all(
        read_parquet(snakemake.input.similarity),
        read_parquet(snakemake.input.accuracy),
        tables.layer_densities([read_json(path) for path in snakemake.input.metrics]),
        list(tables.layers(snakemake.input.similarity)),
        given.measures,
        given.figures["colormap"],
        given.figures["width"],
        given.models,
        given.least_accuracy,
    )
    drawing.save(drawn, snakemake.output.figures, given.figures["dpi"])
    log.info("%d figures", len(drawn))
