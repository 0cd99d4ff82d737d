# Stages 5 and 6: one row of the matrix per round, then the matrix.


rule compare_round:
    input:
        activations=lambda wildcards: [
            network_file(wildcards.experiment, wildcards.seed, round, "activations.h5")
            for round in range(int(wildcards.round) + 1)
        ],
    output:
        similarity="results/{experiment}/seed{seed}/round{round}/similarity.parquet",
    log:
        "results/logs/{experiment}/seed{seed}/round{round}/compare_round.log",
    benchmark:
        "results/benchmarks/{experiment}/seed{seed}/round{round}/compare_round.tsv"
    conda:
        "../../envs/prunescope.yaml"
    threads: of_experiment(lambda this, _: this["similarity"]["threads"])
    resources:
        gpu=of_experiment(lambda this, _: int(this["similarity"]["gpu"])),
        mem_mb=comparison_mb,
        runtime=growing(60),
    params:
        provenance=provenance("compare_round"),
        similarity=of_experiment(lambda this, _: stages.similarity_params(this)),
        environment=stages.environment("compare_round", CONFIG["environment"]),
        code=code("compare_round"),
    script:
        "../scripts/compare_round.py"


rule compare_seeds:
    input:
        activations=of_experiment(
            lambda this, job: [
                network_file(job.experiment, seed, job.round, "activations.h5")
                for seed in seeds_with(this, job.round)
            ]
        ),
    output:
        similarity="results/{experiment}/across-seeds/round{round}/similarity.parquet",
    log:
        "results/logs/{experiment}/across-seeds/round{round}/compare_seeds.log",
    benchmark:
        "results/benchmarks/{experiment}/across-seeds/round{round}/compare_seeds.tsv"
    conda:
        "../../envs/prunescope.yaml"
    threads: of_experiment(lambda this, _: this["similarity"]["threads"])
    resources:
        gpu=of_experiment(lambda this, _: int(this["similarity"]["gpu"])),
        mem_mb=comparison_mb,
        runtime=growing(60),
    params:
        provenance=provenance("compare_seeds"),
        similarity=of_experiment(lambda this, _: stages.similarity_params(this)),
        environment=stages.environment("compare_seeds", CONFIG["environment"]),
        code=code("compare_seeds"),
    script:
        "../scripts/compare_seeds.py"


rule compare_untrained:
    input:
        activations=of_experiment(
            lambda this, job: [
                f"results/{job.experiment}/untrained/seed{seed}/activations.h5"
                for seed in stages.untrained_seeds(this)
            ]
        ),
    output:
        similarity="results/{experiment}/untrained/similarity.parquet",
    log:
        "results/logs/{experiment}/untrained/compare_untrained.log",
    benchmark:
        "results/benchmarks/{experiment}/untrained/compare_untrained.tsv"
    conda:
        "../../envs/prunescope.yaml"
    threads: of_experiment(lambda this, _: this["similarity"]["threads"])
    resources:
        gpu=of_experiment(lambda this, _: int(this["similarity"]["gpu"])),
        mem_mb=comparison_mb,
        runtime=growing(60),
    params:
        provenance=provenance("compare_untrained"),
        similarity=of_experiment(lambda this, _: stages.untrained_comparison_params(this)),
        environment=stages.environment("compare_untrained", CONFIG["environment"]),
        code=code("compare_untrained"),
    script:
        "../scripts/compare_untrained.py"


rule assemble_matrix:
    input:
        rows=rows,
    output:
        similarity="results/{experiment}/similarity.parquet",
    log:
        "results/logs/{experiment}/assemble_matrix.log",
    benchmark:
        "results/benchmarks/{experiment}/assemble_matrix.tsv"
    localrule: True
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        provenance=provenance("assemble_matrix"),
        environment=stages.environment("assemble_matrix", CONFIG["environment"]),
        code=code("assemble_matrix"),
    script:
        "../scripts/assemble_matrix.py"


rule assemble_spectrum:
    input:
        rows=rows,
    output:
        spectrum="results/{experiment}/spectrum.parquet",
    log:
        "results/logs/{experiment}/assemble_spectrum.log",
    benchmark:
        "results/benchmarks/{experiment}/assemble_spectrum.tsv"
    localrule: True
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        provenance=provenance("assemble_spectrum"),
        measures=of_experiment(lambda this, _: stages.with_spectrum(this)),
        environment=stages.environment("assemble_spectrum", CONFIG["environment"]),
        code=code("assemble_spectrum"),
    script:
        "../scripts/assemble_spectrum.py"


rule assemble_accuracy:
    input:
        metrics=of_all_networks("metrics.json"),
    output:
        accuracy="results/{experiment}/accuracy.parquet",
    log:
        "results/logs/{experiment}/assemble_accuracy.log",
    benchmark:
        "results/benchmarks/{experiment}/assemble_accuracy.tsv"
    localrule: True
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        provenance=provenance("assemble_accuracy"),
        environment=stages.environment("assemble_accuracy", CONFIG["environment"]),
        code=code("assemble_accuracy"),
    script:
        "../scripts/assemble_accuracy.py"
