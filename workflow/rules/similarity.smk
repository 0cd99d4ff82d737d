# Stages 5 and 6: one row of the matrix per round, then the matrix.


rule compare_seeds:
    input:
        activations=of_experiment(
            lambda this, job: [
                network_file(job.experiment, seed, job.round, "activations.h5")
                for seed in stages.seeds_with(this, int(job.round))
            ]
        ),
        receipts=receipts("compare_seeds"),
    output:
        similarity="results/{experiment}/across-seeds/round{round}/similarity.parquet",
        receipt="results/{experiment}/across-seeds/round{round}/receipts/compare_seeds.json",
    log:
        "results/logs/{experiment}/across-seeds/round{round}/compare_seeds.log",
    benchmark:
        "results/benchmarks/{experiment}/across-seeds/round{round}/compare_seeds.tsv"
    conda:
        "../../envs/prunescope.yaml"
    threads: threads_of("similarity")
    resources:
        gpu=of_experiment(lambda this, _: int(this["similarity"]["gpu"])),
        mem_mb=bound(bounds.comparison_mb),
        runtime=bound(60),
    params:
        comparison="seeds",
        similarity=of_experiment(lambda this, _: stages.similarity_params(this)),
        code=code("compare"),
        user_code=user_code("compare"),
    script:
        "../scripts/compare.py"


# The other comparisons have the same resources and parameters, except for those given here.
use rule compare_seeds as compare_round with:
    input:
        activations=lambda wildcards: [
            network_file(wildcards.experiment, wildcards.seed, round, "activations.h5")
            for round in range(int(wildcards.round) + 1)
        ],
        receipts=receipts("compare_round"),
    output:
        similarity="results/{experiment}/seed{seed}/round{round}/similarity.parquet",
        receipt="results/{experiment}/seed{seed}/round{round}/receipts/compare_round.json",
    log:
        "results/logs/{experiment}/seed{seed}/round{round}/compare_round.log",
    benchmark:
        "results/benchmarks/{experiment}/seed{seed}/round{round}/compare_round.tsv"
    params:
        comparison="round",
        same_units=of_experiment(lambda this, _: not stages.draws_new_weights(this)),


use rule compare_seeds as compare_untrained with:
    input:
        activations=of_experiment(
            lambda this, job: [
                f"results/{job.experiment}/untrained/seed{seed}/activations.h5"
                for seed in stages.untrained_seeds(this)
            ]
        ),
        receipts=receipts("compare_untrained"),
    output:
        similarity="results/{experiment}/untrained/similarity.parquet",
        receipt="results/{experiment}/untrained/receipts/compare_untrained.json",
    log:
        "results/logs/{experiment}/untrained/compare_untrained.log",
    benchmark:
        "results/benchmarks/{experiment}/untrained/compare_untrained.tsv"
    params:
        comparison="untrained",
        similarity=of_experiment(lambda this, _: stages.own_layer_params(this)),


use rule compare_seeds as compare_siblings with:
    input:
        activations=siblings,
        receipts=receipts("compare_siblings"),
    output:
        similarity="results/{experiment}/seed{seed}/round{round}/siblings.parquet",
        receipt="results/{experiment}/seed{seed}/round{round}/receipts/compare_siblings.json",
    log:
        "results/logs/{experiment}/seed{seed}/round{round}/compare_siblings.log",
    benchmark:
        "results/benchmarks/{experiment}/seed{seed}/round{round}/compare_siblings.tsv"
    params:
        comparison="siblings",
        experiments=lambda wildcards: [name for name, _ in lineage(wildcards.experiment)[-2:]],
        similarity=of_experiment(lambda this, _: stages.own_layer_params(this)),


rule assemble_matrix:
    input:
        rows=rows,
        receipts=receipts("assemble_matrix"),
    output:
        similarity="results/{experiment}/similarity.parquet",
        receipt="results/{experiment}/receipts/assemble_matrix.json",
    log:
        "results/logs/{experiment}/assemble_matrix.log",
    benchmark:
        "results/benchmarks/{experiment}/assemble_matrix.tsv"
    localrule: True
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=bound(2000),
        runtime=bound(10),
    params:
        code=code("assemble_matrix"),
    script:
        "../scripts/assemble_matrix.py"


use rule assemble_matrix as assemble_siblings with:
    input:
        rows=of_experiment(
            lambda this, job: [
                f"results/{job.experiment}/seed{seed}/round{round}/siblings.parquet"
                for seed, round in stages.networks(this)
            ]
        ),
        receipts=receipts("assemble_siblings"),
    output:
        similarity="results/{experiment}/siblings.parquet",
        receipt="results/{experiment}/receipts/assemble_siblings.json",
    log:
        "results/logs/{experiment}/assemble_siblings.log",
    benchmark:
        "results/benchmarks/{experiment}/assemble_siblings.tsv"
    localrule: True  # `use rule` does not pass it on


rule assemble_spectrum:
    input:
        rows=rows,
        receipts=receipts("assemble_spectrum"),
    output:
        spectrum="results/{experiment}/spectrum.parquet",
        receipt="results/{experiment}/receipts/assemble_spectrum.json",
    log:
        "results/logs/{experiment}/assemble_spectrum.log",
    benchmark:
        "results/benchmarks/{experiment}/assemble_spectrum.tsv"
    localrule: True
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=bound(2000),
        runtime=bound(10),
    params:
        measures=of_experiment(lambda this, _: stages.with_spectrum(this)),
        code=code("assemble_spectrum"),
    script:
        "../scripts/assemble_spectrum.py"


rule assemble_accuracy:
    input:
        metrics=of_all_networks("metrics.json"),
        receipts=receipts("assemble_accuracy"),
    output:
        accuracy="results/{experiment}/accuracy.parquet",
        receipt="results/{experiment}/receipts/assemble_accuracy.json",
    log:
        "results/logs/{experiment}/assemble_accuracy.log",
    benchmark:
        "results/benchmarks/{experiment}/assemble_accuracy.tsv"
    localrule: True
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=bound(2000),
        runtime=bound(10),
    params:
        code=code("assemble_accuracy"),
    script:
        "../scripts/assemble_accuracy.py"
