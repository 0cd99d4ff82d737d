"""Draw an experiment's figures from the charts of its report, and write tables for papers."""

from prunescope import jobs, tables
from prunescope.files import read_json, read_parquet
from prunescope.findings import slices
from prunescope.report import figures, latex
from prunescope.report.experiment import Experiment, contents

with jobs.job(snakemake) as log:
    given, name = snakemake.params, snakemake.wildcards.experiment
    similarity = read_parquet(snakemake.input.similarity)
    layers = list(tables.layers(snakemake.input.similarity))
    networks = [read_json(path) for path in snakemake.input.metrics]
    matrices = map(read_parquet, snakemake.input.controls)
    accuracies = map(read_parquet, snakemake.input.control_accuracies)
    controls = dict(
        zip(map(slices.series, given.controls), zip(matrices, accuracies, strict=True), strict=True)
    )
    experiment = Experiment(
        name,
        given.experiment,
        layers,
        similarity,
        read_parquet(snakemake.input.accuracy),
        read_json(snakemake.input.findings),
        controls,
        next(map(read_parquet, snakemake.input.untrained), None),
    )
    training = tables.training_curves(networks, snakemake.input.training)
    page = contents(experiment, networks, training, given.measures, {})
    measures = given.shown or [experiment.measure]
    style = given.experiment["figures"]
    chosen = {"measure": measures, "layer": figures.matching(layers, style["layers"])}
    drawings = figures.draw_all(page, style["width"], chosen)
    labels = {measure: facts["label"] for measure, facts in given.measures.items()}
    texts = {"similarity": latex.similarity(experiment, measures, labels)}
    if experiment.measured:
        texts["accuracy"] = latex.accuracy(experiment)
    figures.save(drawings, texts, snakemake.output.figures, style["formats"], style["dpi"])
    log.info("%d figures", len(drawings))
