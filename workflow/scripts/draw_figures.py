"""Draw an experiment's figures as SVG and PNG."""

from prunescope import figures, jobs, tables

with jobs.job(snakemake) as log:
    drawn = figures.draw_all(
        tables.read_parquet(snakemake.input.similarity),
        tables.read_parquet(snakemake.input.accuracy),
        snakemake.params.layers,
        snakemake.params.figures["colormap"],
    )
    figures.save(drawn, snakemake.output.figures, snakemake.params.figures["dpi"])
    log.info("%d figures", len(drawn))
