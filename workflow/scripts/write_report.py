"""Compute an experiment's findings and write its interactive report."""

from dataclasses import replace

from prunescope import jobs, tables
from prunescope.files import write_json, write_text
from prunescope.findings import verdicts
from prunescope.findings.connections import with_connections
from prunescope.findings.levels_in_words import with_levels
from prunescope.report.experiment import Experiment
from prunescope.report.page import render
from prunescope.report.sections import commit, contents

with jobs.job(snakemake) as log:
    given, name = snakemake.params, snakemake.wildcards.experiment
    experiment = Experiment.read(name, snakemake.input, given)
    shapes = tables.layers(snakemake.input.similarity)
    findings = verdicts.conclude(
        name,
        experiment.similarity,
        experiment.accuracy,
        shapes,
        given.measures,
        given.findings,
        experiment.controls,
        experiment.untrained,
    )
    findings = with_connections(findings, experiment.channels)
    names = experiment.rounds.labels if given.experiment.get("models") else None
    findings = with_levels(findings, experiment.tables, list(shapes), experiment.untrained, names)
    origin = {
        "commit": commit(),
        **{f"accepted code of {rule}": ", ".join(pairs) for rule, pairs in given.accepted.items()},
        "lock (SHA-256 of envs/requirements.txt)": given.lock,
    }
    page = render(contents(replace(experiment, findings=findings), given.measures, origin))
    write_json(snakemake.output.findings, findings)
    write_text(snakemake.output.text, "\n\n".join(findings["text"]) + "\n")
    write_text(snakemake.output.report, page)
    log.info("%.1f MB", len(page) / 1e6)
    for sentence in findings["text"]:
        log.info("%s", sentence)
