# Stage 6, second half: what people look at.


rule draw_figures:
    input:
        similarity="results/{experiment}/similarity.parquet",
        accuracy="results/{experiment}/accuracy.parquet",
    output:
        figures=report(
            directory("results/{experiment}/figures"),
            patterns=["{name}.svg"],
            category="{experiment}",
            caption="../report/figures.rst",
            labels={"figure": "{name}"},
        ),
    log:
        "results/logs/{experiment}/draw_figures.log",
    benchmark:
        "results/benchmarks/{experiment}/draw_figures.tsv"
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        figures=of_experiment(lambda this, _: this["figures"]),
        # The order in which the network computes them, and the order in which they are drawn.
        layers=lambda wildcards: list(facts(wildcards.experiment)["network"]["layers"]),
        code=code("draw_figures"),
    script:
        "../scripts/draw_figures.py"
