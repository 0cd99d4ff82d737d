# The weights of all networks compared, and the channels that are left.


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
        networks=lambda wildcards: [list(network) for network in compared(wildcards.experiment)],
        lineage=lambda wildcards: not trains_again(wildcards.experiment),
        fresh=of_experiment(lambda this, _: stages.control_facts(this).get("fresh", False)),
        code=code("compare_weights"),
        user_code=user_code("compare_weights"),
    script:
        "../scripts/compare_weights.py"
