# Stage 1: one HDF5 file per data set, shared by all experiments.


rule prepare_dataset:
    input:
        receipts=receipts("prepare_dataset"),
    output:
        dataset="results/data/{dataset}.h5",
        receipt="results/data/receipts/{dataset}.json",
    log:
        "results/logs/data/{dataset}/prepare_dataset.log",
    benchmark:
        "results/benchmarks/data/{dataset}/prepare_dataset.tsv"
    # Runs where snakemake runs, even on a cluster: it is short, and login nodes have a network connection.
    localrule: True
    conda:
        "../../envs/prunescope.yaml"
    threads: 1
    resources:
        mem_mb=bound(4000),
        runtime=bound(60),
    params:
        source=source_of,
        # The user's own files are tracked by path, sizes and times, and by content where these differ.
        stamp=stamp_of,
        code=lambda wildcards: digest("prepare_dataset", (sizes.source_kind(source_of(wildcards)),)),
    script:
        "../scripts/prepare_dataset.py"
