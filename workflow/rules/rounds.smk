# Stages 2 and 3: round 0 is the dense network, round r ≥ 1 is pruned from an earlier round and retrained.
# Experiments with the same dense training share round 0; prunescope/plan/sharing.py finds its owner. With the key
# `models`, `import_model` writes the checkpoints of all rounds instead.

# Some experiments train their networks here; others use networks that were trained elsewhere.
NAMES = "|".join(map(re.escape, sorted(IMPORTED))) or "(?!)"
FROM_ELSEWHERE = f"(?:{NAMES})(?=/)"
TRAINED_HERE = rf"(?!(?:{NAMES})/){EXPERIMENT}"


rule train_dense:
    input:
        dataset=dataset_of,
        receipts=receipts("train_dense"),
    output:
        checkpoint="results/{experiment}/seed{seed}/round0/checkpoint.pt",
        training="results/{experiment}/seed{seed}/round0/training.csv",
        metrics="results/{experiment}/seed{seed}/round0/metrics.json",
        predictions="results/{experiment}/seed{seed}/round0/predictions.h5",
        rewind="results/{experiment}/seed{seed}/round0/rewind.pt",
        receipt="results/{experiment}/seed{seed}/round0/receipts/train_dense.json",
    log:
        "results/logs/{experiment}/seed{seed}/round0/train_dense.log",
    benchmark:
        "results/benchmarks/{experiment}/seed{seed}/round0/train_dense.tsv"
    wildcard_constraints:
        experiment=TRAINED_HERE,
    conda:
        "../../envs/prunescope.yaml"
    threads: threads_of("training")
    resources:
        gpu=1,
        mem_mb=bound(bounds.training_mb),
        runtime=bound(bounds.training_minutes),
    params:
        settings=of_experiment(lambda this, _: stages.train_params(this)),
        # Another number of threads rounds differently.
        threads=threads_of("training"),
        code=code("train_dense"),
        user_code=user_code("train_dense"),
    script:
        "../scripts/train_dense.py"


rule prune_round:
    input:
        dataset=dataset_of,
        # Empty where a round does not need them.
        origin=starting_file("origin"),
        rewind=starting_file("rewind"),
        masks=starting_file("masks"),
        receipts=receipts("prune_round"),
    output:
        checkpoint="results/{experiment}/seed{seed}/round{round}/checkpoint.pt",
        training="results/{experiment}/seed{seed}/round{round}/training.csv",
        metrics="results/{experiment}/seed{seed}/round{round}/metrics.json",
        predictions="results/{experiment}/seed{seed}/round{round}/predictions.h5",
        receipt="results/{experiment}/seed{seed}/round{round}/receipts/prune_round.json",
    log:
        "results/logs/{experiment}/seed{seed}/round{round}/prune_round.log",
    benchmark:
        "results/benchmarks/{experiment}/seed{seed}/round{round}/prune_round.tsv"
    wildcard_constraints:
        experiment=TRAINED_HERE,
        round="[1-9][0-9]*",
    conda:
        "../../envs/prunescope.yaml"
    threads: threads_of("training")
    resources:
        gpu=1,
        mem_mb=bound(bounds.training_mb),
        runtime=bound(bounds.training_minutes),
    params:
        settings=of_experiment(lambda this, job: stages.prune_params(this, int(job.round))),
        threads=threads_of("training"),
        code=code("prune_round"),
        user_code=user_code("prune_round"),
    script:
        "../scripts/prune_round.py"


rule import_model:
    input:
        dataset=dataset_of,
        receipts=receipts("import_model"),
    output:
        checkpoint="results/{experiment}/seed{seed}/round{round}/checkpoint.pt",
        metrics="results/{experiment}/seed{seed}/round{round}/metrics.json",
        predictions="results/{experiment}/seed{seed}/round{round}/predictions.h5",
        receipt="results/{experiment}/seed{seed}/round{round}/receipts/import_model.json",
    log:
        "results/logs/{experiment}/seed{seed}/round{round}/import_model.log",
    benchmark:
        "results/benchmarks/{experiment}/seed{seed}/round{round}/import_model.tsv"
    wildcard_constraints:
        experiment=FROM_ELSEWHERE,
    conda:
        "../../envs/prunescope.yaml"
    threads: threads_of("activations")
    resources:
        gpu=1,
        mem_mb=bound(bounds.recording_mb),
        runtime=bound(bounds.import_minutes),
    params:
        settings=of_experiment(lambda this, job: stages.import_params(this, int(job.seed), int(job.round))),
        threads=threads_of("activations"),
        code=code("import_model"),
        user_code=user_code("import_model"),
    script:
        "../scripts/import_model.py"
