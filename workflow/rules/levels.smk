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
        networks=compared_networks,
        lineage=follow_each_other,
        code=code("compare_predictions"),
    script:
        "../scripts/compare_predictions.py"


rule compare_weights:
    input:
        # Those of the experiment come first; of a control, the networks that it controls follow.
        checkpoints=of_compared("checkpoint.pt"),
        units=of_all_networks("units.json"),
        receipts=receipts("compare_weights"),
    output:
        weights="results/{experiment}/weights.parquet",
        channels="results/{experiment}/channels.parquet",
        receipt="results/{experiment}/receipts/compare_weights.json",
    log:
        "results/logs/{experiment}/compare_weights.log",
    benchmark:
        "results/benchmarks/{experiment}/compare_weights.tsv"
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=bound(bounds.weights_mb),
        runtime=bound(60),
    params:
        networks=compared_networks,
        lineage=follow_each_other,
        fresh=of_experiment(lambda this, _: stages.draws_new_weights(this)),
        one_start=of_experiment(lambda this, _: this["network"]["weights"] is not None),
        code=code("compare_weights"),
        user_code=user_code("compare_weights"),
    script:
        "../scripts/compare_weights.py"
