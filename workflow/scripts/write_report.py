"""Compute an experiment's findings and write its interactive report."""

from prunescope import findings, jobs, records, report, tables
from prunescope.files import write_json

with jobs.job(snakemake) as log:
    given = snakemake.params
    similarity = tables.read_parquet(snakemake.input.similarity)
    accuracy = tables.read_parquet(snakemake.input.accuracy)
    networks = [records.read_json(path) for path in snakemake.input.metrics]
    found = findings.conclude(snakemake.wildcards.experiment, similarity, accuracy, given.layers)
    page = report.experiment_page(
        snakemake.wildcards.experiment,
        given.experiment,
        list(given.layers),
        similarity,
        accuracy,
        networks,
        records.layers(networks),
        records.training(networks, snakemake.input.training),
        found,
        {"commit": report.commit(), "lock (SHA-256 of envs/requirements.txt)": given.lock},
    )
    write_json(snakemake.output.findings, found)
    report.write(snakemake.output.report, page)
    log.info("%.1f MB", len(page) / 1e6)
    for sentence in found["text"]:
        log.info("%s", sentence)
