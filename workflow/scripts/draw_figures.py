"""Draw an experiment's figures from the charts of its report, and write tables for papers."""

from dataclasses import replace

from prunescope import jobs
from prunescope.files import read_json
from prunescope.report import figures, latex
from prunescope.report.experiment import Experiment
from prunescope.report.sections import contents

with jobs.job(snakemake) as log:
    given, name = snakemake.params, snakemake.wildcards.experiment
    experiment = replace(
        Experiment.read(name, snakemake.input, given), findings=read_json(snakemake.input.findings)
    )
    layers = experiment.layers
    page = contents(experiment, given.measures, {})
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
