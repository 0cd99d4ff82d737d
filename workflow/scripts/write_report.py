"""Compute an experiment's findings and write its interactive report."""

from prunescope import jobs, tables
from prunescope.files import read_json, read_parquet, write_json, write_text
from prunescope.findings import verdicts
from prunescope.report.experiment import Experiment, commit, experiment_page

with jobs.job(snakemake) as log:
    given, name = snakemake.params, snakemake.wildcards.experiment
    similarity = read_parquet(snakemake.input.similarity)
    accuracy = read_parquet(snakemake.input.accuracy)
    networks = [read_json(path) for path in snakemake.input.metrics]
    found = verdicts.conclude(name, similarity, accuracy, given.shapes, given.measures, **given.findings)
    page = experiment_page(
        Experiment(name, given.experiment, list(given.shapes), similarity, accuracy, found),
        networks,
        tables.training_curves(networks, snakemake.input.training),
        given.measures,
        {"commit": commit(), "lock (SHA-256 of envs/requirements.txt)": given.lock},
    )
    write_json(snakemake.output.findings, found)
    write_text(snakemake.output.report, page)
    log.info("%.1f MB", len(page) / 1e6)
    for sentence in found["text"]:
        log.info("%s", sentence)
