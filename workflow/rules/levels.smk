# Stage 7: comparisons of networks other than by their representations. One job compares all networks.


rule compare_predictions:
    input:
        predictions=of_compared("predictions.h5"),
        receipts=receipts("compare_predictions"),
    output:
        predictions="results/{experiment}/predictions.parquet",
        exemplars="results/{experiment}/exemplars.parquet",
        classes="results/{experiment}/classes.parquet",
        receipt="results/{experiment}/receipts/compare_predictions.json",
    log:
        "results/logs/{experiment}/compare_predictions.log",
    benchmark:
        "results/benchmarks/{experiment}/compare_predictions.tsv"
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=bound(bounds.predictions_mb),
        runtime=bound(60),
    params:
        networks=lambda wildcards: identities(wildcards.experiment),
        lineage=lambda wildcards: not trains_again(wildcards.experiment),
        code=code("compare_predictions"),
    script:
        "../scripts/compare_predictions.py"
