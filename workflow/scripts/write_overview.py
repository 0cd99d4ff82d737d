"""Put several experiments side by side."""

from prunescope import jobs, records, report, tables

with jobs.job(snakemake) as log:
    given = snakemake.params
    experiments = {}
    for index, (name, settings) in enumerate(given.experiments.items()):
        experiments[name] = {
            "settings": settings,
            "layers": given.layers[name],
            "similarity": tables.read_parquet(snakemake.input.similarity[index]),
            "accuracy": tables.read_parquet(snakemake.input.accuracy[index]),
            "findings": records.read_json(snakemake.input.findings[index]),
        }
    report.write(snakemake.output.overview, report.overview_page(experiments))
    log.info("%d experiments", len(experiments))
