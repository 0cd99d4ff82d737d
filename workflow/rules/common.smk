# Helpers of the rules: the experiment behind a job's wildcards, what it costs, the code it runs.
from functools import cache
from math import prod
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from prunescope import provenance, settings, sources
from prunescope.errors import InputError


@cache
def experiment(name):
    return settings.load_experiment(name)


@cache
def facts(name):
    """Sizes of an experiment's data set and network; checks that they fit together."""
    return settings.describe(experiment(name), name, CONFIG["data"])


@cache
def code(script):
    """Digest of a script and all it imports; nothing else about code causes a rerun."""
    return provenance.code_digest(ROOT / "workflow/scripts" / f"{script}.py")


def of_experiment(select):
    """A parameter or input that depends on the job's experiment (and its other wildcards)."""
    return lambda wildcards: select(experiment(wildcards.experiment), wildcards)


def round_file(wildcards, round, name):
    """A file of one round of the job's experiment and seed."""
    return f"results/{wildcards.experiment}/seed{wildcards.seed}/round{round}/{name}"


def dataset_of(wildcards):
    return f"results/data/{experiment(wildcards.experiment)['dataset']}.h5"


def products(name):
    """Everything `rule all` wants of one experiment."""
    names = ["similarity.parquet", "accuracy.parquet", "figures"]
    if experiment(name)["similarity"]["spectrum"]:
        names.append("spectrum.parquet")
    return [f"results/{name}/{file}" for file in names]


def mega(numbers, bytes_each=4):
    """Size in MB of so many numbers."""
    return int(numbers * bytes_each / 1e6) + 1


# What importing torch (with CUDA's libraries) needs before any work is done, in MB.
TORCH_MB = 2000


# A wrong configuration stops here, before any job, with one line and without the way that led to it.
try:
    CONFIG = settings.load_config(config)
    for name in CONFIG["experiments"]:
        facts(name)
except InputError as error:
    sys.exit(f"prunescope: {error}")


wildcard_constraints:
    experiment=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    dataset=r"[A-Za-z0-9][A-Za-z0-9_.-]*",
    seed=r"[0-9]+",
    round=r"[0-9]+",


def source_of(wildcards):
    return settings.source_of(wildcards.dataset, CONFIG["data"], "target results/data")


def stamp_of(wildcards):
    """What changes when an image folder or archive changes: path, sizes, times of change."""
    return sources.stamp(source_of(wildcards), CONFIG["data"]["root"])


def training_minutes(wildcards):
    """A generous bound from the arithmetic: three passes over each image at a slow core's 2 GMAC/s.

    It is a bound on a CPU; on a GPU it is only more generous.
    """
    this, sizes = experiment(wildcards.experiment), facts(wildcards.experiment)
    images = this["training"]["examples"] or sizes["dataset"]["train"]
    passes = this["training"]["epochs"] * images + sizes["dataset"]["test"]
    seconds = 3 * passes * sizes["network"]["macs"] / 2e9
    return 30 + int(seconds / 60)


def training_mb(wildcards):
    this, sizes = experiment(wildcards.experiment), facts(wildcards.experiment)
    images = (sizes["dataset"]["train"] + sizes["dataset"]["test"]) * 3
    batch = 4 * this["training"]["batch_size"] * sizes["network"]["floats"]
    return (
        TORCH_MB
        + mega(images * prod(sizes["dataset"]["shape"]), 1)
        + mega(batch)
        + mega(20 * sizes["network"]["parameters"])
    )


def extraction_mb(wildcards):
    this, sizes = experiment(wildcards.experiment)["activations"], facts(wildcards.experiment)
    images = this["examples"] or sizes["dataset"]["test"]
    batch = 2 * this["batch_size"] * sizes["network"]["floats"]
    # The view `flatten` rotates one wide layer at a time, in float64.
    widest = max(prod(shape) for shape in sizes["network"]["layers"].values())
    rotated = images * widest if this["view"] == "flatten" else 0
    return TORCH_MB + mega(batch) + mega(rotated, 16)


def comparison_mb(wildcards):
    """Second moments of the two widest layers, in float64, with the copies their factorisation makes."""
    this, sizes = experiment(wildcards.experiment), facts(wildcards.experiment)
    images = this["activations"]["examples"] or sizes["dataset"]["test"]
    flat = this["activations"]["view"] == "flatten"
    width = max(
        min(prod(shape), images) if flat else shape[0] for shape in sizes["network"]["layers"].values()
    )
    return 1000 + mega(width * width * 12, 8)


def rounds_of(name):
    return range(experiment(name)["rounds"] + 1)


def rows(wildcards):
    """The files the matrix is made of."""
    this = experiment(wildcards.experiment)
    base = f"results/{wildcards.experiment}"
    files = [
        f"{base}/seed{seed}/round{round}/similarity.parquet"
        for seed in this["seeds"]
        for round in rounds_of(wildcards.experiment)
    ]
    if this["similarity"]["across_seeds"] and len(this["seeds"]) > 1:
        files += [
            f"{base}/across-seeds/round{round}/similarity.parquet"
            for round in rounds_of(wildcards.experiment)
        ]
    return files
