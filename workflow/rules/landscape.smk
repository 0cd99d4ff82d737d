# Stage 7: loss and error along lines between networks. One job measures all lines that lead from a network to others.


rule measure_barriers:
    input:
        dataset=dataset_of,
        checkpoint=of_network("checkpoint.pt"),
        others=lambda wildcards: [
            network_file(*network, "checkpoint.pt") for network in lines_from(wildcards)[1:]
        ],
        receipts=receipts("measure_barriers"),
    output:
        barriers="results/{experiment}/seed{seed}/round{round}/barriers.parquet",
        receipt="results/{experiment}/seed{seed}/round{round}/receipts/measure_barriers.json",
    log:
        "results/logs/{experiment}/seed{seed}/round{round}/measure_barriers.log",
    benchmark:
        "results/benchmarks/{experiment}/seed{seed}/round{round}/measure_barriers.tsv"
    conda:
        "../../envs/prunescope.yaml"
    threads: of_experiment(lambda this, _: stages.evaluation_threads(this))
    resources:
        gpu=1,
        mem_mb=bound(bounds.landscape_mb),
        runtime=bound(bounds.landscape_minutes),
    params:
        networks=lambda wildcards: compared.identities(wildcards.experiment, lines_from(wildcards)),
        landscape=of_experiment(lambda this, _: stages.landscape_params(this)),
        # Another number of threads rounds differently.
        threads=of_experiment(lambda this, _: stages.evaluation_threads(this)),
        code=code("measure_barriers"),
        user_code=user_code("measure_barriers"),
    script:
        "../scripts/measure_barriers.py"


rule assemble_barriers:
    input:
        rows=rows_of_lines,
        receipts=receipts("assemble_barriers"),
    output:
        barriers="results/{experiment}/barriers.parquet",
        receipt="results/{experiment}/receipts/assemble_barriers.json",
    log:
        "results/logs/{experiment}/assemble_barriers.log",
    benchmark:
        "results/benchmarks/{experiment}/assemble_barriers.tsv"
    localrule: True
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=bound(2000),
        runtime=bound(10),
    params:
        code=code("assemble_barriers"),
    script:
        "../scripts/assemble_barriers.py"
