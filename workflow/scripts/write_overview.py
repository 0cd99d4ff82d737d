"""Write the page that compares several experiments."""

from prunescope import jobs, tables
from prunescope.files import read_json, read_parquet, write_parquet, write_text
from prunescope.report.experiment import Experiment
from prunescope.report.overview import overview_page, overview_table

with jobs.job(snakemake) as log:
    given, results = snakemake.params, snakemake.input
    experiments = [
        Experiment(
            name,
            settings,
            list(tables.layers(results.similarity[index])),
            read_parquet(results.similarity[index]),
            read_parquet(results.accuracy[index]),
            read_json(results.findings[index]),
        )
        for index, (name, settings) in enumerate(given.experiments.items())
    ]
    write_parquet(snakemake.output.table, overview_table(experiments))
    write_text(snakemake.output.overview, overview_page(experiments, given.measures))
    log.info("%d experiments", len(experiments))
