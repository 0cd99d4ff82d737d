# Stage 4: every recorded layer's outputs on the same test images, for each seed and round.


rule extract_activations:
    input:
        dataset=dataset_of,
        checkpoint=of_network("checkpoint.pt"),
        receipts=receipts("extract_activations"),
    output:
        activations="results/{experiment}/seed{seed}/round{round}/activations.h5",
        units="results/{experiment}/seed{seed}/round{round}/units.json",
        receipt="results/{experiment}/seed{seed}/round{round}/receipts/extract_activations.json",
    log:
        "results/logs/{experiment}/seed{seed}/round{round}/extract_activations.log",
    benchmark:
        "results/benchmarks/{experiment}/seed{seed}/round{round}/extract_activations.tsv"
    conda:
        "../../envs/prunescope.yaml"
    threads: threads_of("activations")
    resources:
        gpu=1,
        mem_mb=bound(bounds.recording_mb),
        runtime=bound(60),
    params:
        activations=recording,
        threads=threads_of("activations"),
        code=code("extract_activations"),
        user_code=user_code("extract_activations"),
    script:
        "../scripts/extract_activations.py"


rule extract_untrained:
    input:
        dataset=dataset_of,
        receipts=receipts("extract_untrained"),
    output:
        activations="results/{experiment}/untrained/seed{seed}/activations.h5",
        receipt="results/{experiment}/untrained/seed{seed}/receipts/extract_untrained.json",
    log:
        "results/logs/{experiment}/untrained/seed{seed}/extract_untrained.log",
    benchmark:
        "results/benchmarks/{experiment}/untrained/seed{seed}/extract_untrained.tsv"
    conda:
        "../../envs/prunescope.yaml"
    threads: threads_of("activations")
    resources:
        gpu=1,
        mem_mb=bound(bounds.recording_mb),
        runtime=bound(60),
    params:
        settings=of_experiment(lambda this, _: stages.untrained_params(this)),
        threads=threads_of("activations"),
        code=code("extract_untrained"),
        user_code=user_code("extract_untrained"),
    script:
        "../scripts/extract_untrained.py"
