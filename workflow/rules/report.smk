# Stage 6, second half: reports, figures and the overview.
from prunescope.report import names

# Digests rather than inputs, so that a new checkout does not rewrite reports. The library may be an installed one.
TEMPLATE = [
    files.sha256(Path(kinds.__file__).with_name("report") / name) for name in ("report.html.j2", "report.js")
]
LOCK = files.sha256(REPOSITORY / "envs/requirements.txt")


rule write_report:
    input:
        similarity=result("similarity.parquet"),
        metrics=rules.assemble_accuracy.input.metrics,
        # Networks that were trained elsewhere have no training curves.
        training=lambda wildcards: [
            file
            for file in files_of_all_networks(wildcards.experiment, "training.csv")
            if "models" not in experiment(wildcards.experiment)
        ],
        tables=tables_of_report,
        # A baseline of verdicts and charts; empty if it is not computed.
        untrained=lambda wildcards: sharing.untrained_rows(lineage(wildcards.experiment)),
        receipts=receipts("write_report"),
    output:
        report=report(
            "results/{experiment}/report.html",
            category="{experiment}",
            subcategory="Report",
            caption="../report/report.rst",
            labels={"figure": "Interactive report"},
        ),
        text=report(
            "results/{experiment}/findings.txt",
            category="{experiment}",
            subcategory="Report",
            caption="../report/findings.rst",
            labels={"figure": "Findings (text file)"},
        ),
        findings="results/{experiment}/findings.json",
        receipt="results/{experiment}/receipts/write_report.json",
    log:
        "results/logs/{experiment}/write_report.log",
    benchmark:
        "results/benchmarks/{experiment}/write_report.tsv"
    localrule: True
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=bound(2000),
        runtime=bound(10),
    params:
        experiment=of_experiment(lambda this, _: stages.shown(this)),
        findings=of_experiment(
            lambda this, job: stages.findings_params(this, facts(job.experiment)["dataset"]["classes"])
        ),
        controls=compared_with,
        measures=lambda wildcards: labels_of([wildcards.experiment]),
        lock=LOCK,
        template=TEMPLATE,
        accepted=lambda wildcards: accepted_code("write_report", wildcards),
        code=code("write_report"),
    script:
        "../scripts/write_report.py"


rule draw_figures:
    input:
        # The figures are charts of the report.
        findings=result("findings.json"),
        similarity=rules.write_report.input.similarity,
        metrics=rules.write_report.input.metrics,
        training=rules.write_report.input.training,
        tables=rules.write_report.input.tables,
        untrained=rules.write_report.input.untrained,
        receipts=receipts("draw_figures"),
    output:
        figures=report(
            directory("results/{experiment}/figures"),
            patterns=["{name}.svg"],
            category="{experiment}",
            subcategory="Figures",
            caption="../report/figures.rst",
            labels=lambda wildcards: names.labels(
                wildcards.name,
                labels_of([wildcards.experiment]),
                list(facts(wildcards.experiment)["network"]["shapes"]),
            ),
        ),
        receipt="results/{experiment}/receipts/draw_figures.json",
    log:
        "results/logs/{experiment}/draw_figures.log",
    benchmark:
        "results/benchmarks/{experiment}/draw_figures.tsv"
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=bound(2000),
        runtime=bound(10),
    params:
        experiment=of_experiment(lambda this, _: stages.shown(this)),
        controls=compared_with,
        measures=lambda wildcards: labels_of([wildcards.experiment]),
        shown=of_experiment(lambda this, _: stages.measures_with_figures(this)),
        code=code("draw_figures"),
    script:
        "../scripts/draw_figures.py"


rule write_overview:
    input:
        similarity=side_by_side("similarity.parquet"),
        accuracy=side_by_side("accuracy.parquet"),
        findings=side_by_side("findings.json"),
        receipts=receipts("write_overview"),
    output:
        overview=report(
            "results/overview.html",
            category="Overview",
            caption="../report/overview.rst",
            labels={"figure": "Experiments side by side"},
        ),
        table="results/overview.parquet",
        receipt="results/receipts/write_overview.json",
    log:
        "results/logs/write_overview.log",
    benchmark:
        "results/benchmarks/write_overview.tsv"
    localrule: True
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=bound(2000),
        runtime=bound(10),
    params:
        experiments=lambda _: {name: stages.shown(experiment(name)) for name in in_overview()},
        measures=lambda _: labels_of(in_overview()),
        template=TEMPLATE,
        code=digest("write_overview"),
    script:
        "../scripts/write_overview.py"
