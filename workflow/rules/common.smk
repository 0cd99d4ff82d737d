# Helpers of the rules: the experiment behind a job's wildcards, what it costs, the code it runs.
import gc
import re
from functools import cache
from math import prod
from pathlib import Path

# A graph's jobs and files live to the end. Looking for garbage among them again and again takes a fifth of
# the time of a large `snakemake -n`; after every million new objects is often enough.
gc.set_threshold(1_000_000)

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from prunescope import files, provenance, settings, sources
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
    names = ["similarity.parquet", "accuracy.parquet", "figures", "report.html", "findings.json"]
    if experiment(name)["similarity"]["spectrum"]:
        names.append("spectrum.parquet")
    return [f"results/{name}/{file}" for file in names]


def mega(numbers, bytes_each=4):
    """Size in MB of so many numbers."""
    return int(numbers * bytes_each / 1e6) + 1


def growing(amount):
    """A bound that grows with Snakemake's attempt, so that --retries gives a job more."""
    return lambda wildcards, attempt: amount * attempt


# What importing torch (with CUDA's libraries) needs before any work is done, in MB.
TORCH_MB = 2000


# A wrong configuration stops here, before any job, with one line and without the way that led to it.
try:
    files.check_writable(".snakemake")
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


def training_minutes(wildcards, attempt):
    """A generous bound from the arithmetic: three passes over each image at a slow core's 2 GMAC/s.

    It is a bound on a CPU; on a GPU it is only more generous.
    """
    this, sizes = experiment(wildcards.experiment), facts(wildcards.experiment)
    images = this["training"]["examples"] or sizes["dataset"]["train"]
    passes = this["training"]["epochs"] * images + sizes["dataset"]["test"]
    seconds = 3 * passes * sizes["network"]["macs"] / 2e9
    return attempt * (30 + int(seconds / 60))


def training_mb(wildcards, attempt):
    this, sizes = experiment(wildcards.experiment), facts(wildcards.experiment)
    images = (sizes["dataset"]["train"] + sizes["dataset"]["test"]) * 3
    batch = 4 * this["training"]["batch_size"] * sizes["network"]["floats"]
    pixels = mega(images * prod(sizes["dataset"]["shape"]), 1)
    return attempt * (TORCH_MB + pixels + mega(batch) + mega(20 * sizes["network"]["parameters"]))


def extraction_mb(wildcards, attempt):
    this, sizes = experiment(wildcards.experiment)["activations"], facts(wildcards.experiment)
    images = this["examples"] or sizes["dataset"]["test"]
    batch = 2 * this["batch_size"] * sizes["network"]["floats"]
    # The view `flatten` rotates one wide layer at a time, in float64.
    widest = max(prod(shape) for shape in sizes["network"]["layers"].values())
    rotated = images * widest if this["view"] == "flatten" else 0
    return attempt * (TORCH_MB + mega(batch) + mega(rotated, 16))


def comparison_mb(wildcards, attempt):
    """The bound of docs/similarity.md, and the interpreter's own memory."""
    this, sizes = experiment(wildcards.experiment), facts(wildcards.experiment)
    images = this["activations"]["examples"] or sizes["dataset"]["test"]
    flat = this["activations"]["view"] == "flatten"
    shapes = sizes["network"]["layers"].values()
    widths = [min(prod(shape), images) if flat else shape[0] for shape in shapes]
    widest = max(widths)
    own = widths if this["similarity"]["pairs"] == "all-layers" else [widest]
    together = min(sum(own) * (this["rounds"] + 1), 2**26 // sum(own) + sum(own))
    chunk = max(2**23, 1024 * together)
    sums = 2 * max(2**26, (sum(own) + widest) * widest) + sum(own) ** 2 + 3 * sum(width**2 for width in own)
    work = this["similarity"]["threads"] * (8 * widest**2 + 1536**2)
    base = TORCH_MB if this["similarity"]["gpu"] else 500
    return attempt * (base + mega(chunk + sums + work, 8) + mega(chunk))


def rounds_of(name):
    return range(experiment(name)["rounds"] + 1)


def of_all_networks(name):
    """One file of every seed and round of the job's experiment, seed by seed."""
    return lambda wildcards: [
        f"results/{wildcards.experiment}/seed{seed}/round{round}/{name}"
        for seed in experiment(wildcards.experiment)["seeds"]
        for round in rounds_of(wildcards.experiment)
    ]


def rows(wildcards):
    """The files the matrix is made of."""
    this = experiment(wildcards.experiment)
    base = f"results/{wildcards.experiment}"
    files = of_all_networks("similarity.parquet")(wildcards)
    if this["similarity"]["across_seeds"] and len(this["seeds"]) > 1:
        files += [
            f"{base}/across-seeds/round{round}/similarity.parquet"
            for round in rounds_of(wildcards.experiment)
        ]
    return files


def failed_logs(paths):
    """The logs of failed jobs that Snakemake's own log names, each once."""
    text = "".join(Path(path).read_text() for path in ([paths] if isinstance(paths, str) else paths))
    return dict.fromkeys(re.findall(r"^ +log: (\S+) \(check log file", text, re.MULTILINE))
