"""Compute an experiment's findings and write its interactive report."""

from pathlib import Path

from prunescope import jobs, tables
from prunescope.files import read_json, read_parquet, write_json, write_text
from prunescope.findings import levels, slices, verdicts
from prunescope.findings.connections import with_connections
from prunescope.findings.levels_in_words import with_levels
from prunescope.report.experiment import Experiment, commit, experiment_page
from prunescope.report.rounds import Rounds

with jobs.job(snakemake) as log:
    given, name = snakemake.params, snakemake.wildcards.experiment
    similarity = read_parquet(snakemake.input.similarity)
    shapes = tables.layers(snakemake.input.similarity)
    accuracy = read_parquet(snakemake.input.accuracy)
    networks = [read_json(path) for path in snakemake.input.metrics]
    matrices = map(read_parquet, snakemake.input.controls)
    accuracies = map(read_parquet, snakemake.input.control_accuracies)
    controls = dict(
        zip(map(slices.series, given.controls), zip(matrices, accuracies, strict=True), strict=True)
    )
    untrained = next(map(read_parquet, snakemake.input.untrained), None)
    found = verdicts.conclude(
        name,
        similarity,
        accuracy,
        shapes,
        given.measures,
        given.findings,
        controls,
        untrained,
    )
    found = with_connections(found, read_parquet(snakemake.input.channels))
    files = {(Path(path).parent.name, Path(path).stem): read_parquet(path) for path in snakemake.input.levels}
    series = {slices.series(given.experiment["control"]): name}
    for kind, other in given.controls.items():
        series[slices.series(kind)] = other
        files[other, "similarity"], files[other, "accuracy"] = controls[slices.series(kind)]
    files |= {(name, "similarity"): similarity, (name, "accuracy"): accuracy}
    series |= {slices.series(kind): other for kind, other in given.siblings.items()}
    models = given.experiment.get("models")
    names = Rounds.of(accuracy, models).labels if models else None
    found = with_levels(found, levels.collected(series, files), list(shapes), untrained, names)
    page = experiment_page(
        Experiment(name, given.experiment, list(shapes), similarity, accuracy, found, controls, untrained),
        networks,
        tables.training_curves(networks, snakemake.input.training),
        given.measures,
        {
            "commit": commit(),
            **{f"accepted code of {rule}": ", ".join(pairs) for rule, pairs in given.accepted.items()},
            "lock (SHA-256 of envs/requirements.txt)": given.lock,
        },
    )
    write_json(snakemake.output.findings, found)
    write_text(snakemake.output.text, "\n\n".join(found["text"]) + "\n")
    write_text(snakemake.output.report, page)
    log.info("%.1f MB", len(page) / 1e6)
    for sentence in found["text"]:
        log.info("%s", sentence)
