"""Notes on an experiment before anything runs: sizes, and what will not work as expected."""

import math
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prunescope import kinds, provenance
from prunescope.errors import InputError, counted
from prunescope.files import read_json
from prunescope.plan import bounds, stages
from prunescope.plan.compared import Network
from prunescope.plan.stages import LEARNING
from prunescope.pruning.amounts import idle_round
from prunescope.similarity.measures import described
from prunescope.similarity.statuses import FEW, OK

GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
# The files of a network that take almost all disk space.
LARGE = ("activations.h5", "predictions.h5", "checkpoint.pt")


def notes(name: str, experiment: dict, facts: dict, files: list[str]) -> list[str]:
    """Return the notes to print before an experiment runs, one line each.

    `facts` are from `prunescope.plan.sizes.describe`; `files` are the experiment's files named in `LARGE`.
    """
    sizes = bounds.matrices(experiment, facts)
    lines = [
        _disk(name, experiment, facts, sizes, files),
        _time(name, experiment),
        *_rows(name, experiment, facts, sizes),
        _idle(name, experiment, facts),
    ]
    return [line for line in lines if line]


def _disk(name: str, experiment: dict, facts: dict, sizes: dict[str, bounds.Size], files: list[str]) -> str:
    """Return a note on the disk space that missing files will take."""
    number = 2 if experiment["activations"]["dtype"] == "float16" else 4
    outputs = experiment["network"].get("classes") or facts["dataset"]["classes"]
    each = {
        "activations.h5": number * sum(size.rows * size.columns for size in sizes.values()),
        "predictions.h5": 4 * facts["dataset"]["test"] * outputs,
        # Weights are float32, masks one byte for each weight.
        "checkpoint.pt": 4 * facts["network"]["parameters"]
        + sum(math.prod(shape) for shape in facts["network"]["prunable"].values()),
    }
    needed = sum(each[Path(file).name] for file in files if not Path(file).exists())
    free = shutil.disk_usage(
        next(path for path in Path("results/x").absolute().parents if path.exists())
    ).free
    if not needed:
        return ""
    text = f"{name}: activations, predictions and networks will take {_bytes(needed)} of disk space"
    if needed <= free:
        return text
    return (
        f"{text}, but only {_bytes(free)} is free; lower activations.examples or "
        "activations.positions, or record fewer layers"
    )


def _bytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def _time(name: str, experiment: dict) -> str:
    """Return a note on how long missing rounds will take if they take as long as those in the benchmarks."""
    folders = [
        f"{name}/seed{seed}/round{round}"
        for seed, round in stages.networks(experiment)
        if round or "models" in experiment
    ]
    missing = sum(not Path(f"results/{folder}/checkpoint.pt").exists() for folder in folders)
    taken: dict[str, list[float]] = {}
    for folder in folders if missing else ():
        for path in sorted(Path("results/benchmarks", folder).glob("*.tsv")):
            with suppress(OSError, ValueError, LookupError):  # unfinished, damaged, or of a GPU
                header, values, *_ = path.read_text().splitlines()
                seconds = float(values.split("\t")[header.split("\t").index("s")])
                taken.setdefault(path.stem, []).append(seconds)
    if not taken:
        return ""
    means = {rule: sum(seconds) / len(seconds) for rule, seconds in taken.items()}
    total, parts = sum(means.values()), sorted(means.items(), key=lambda item: -item[1])
    each = ", ".join(f"{rule} {_duration(seconds)}" for rule, seconds in parts)
    return (
        f"{name}: last time, one round of one seed took {_duration(total)} ({each}); at that "
        f"rate, {counted(missing, 'missing round')}: {_duration(missing * total)}, one job at a time"
    )


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _rows(name: str, experiment: dict, facts: dict, sizes: dict[str, bounds.Size]) -> list[str]:
    """Name the measures whose values will be missing or biased because there are too few rows."""
    lines: dict[str, list[str]] = {}
    unbiased = ", ".join(name for name in kinds.known("measure") if not described(name).biased)
    images = stages.images(experiment, facts["dataset"]["test"])
    for measure in sorted(experiment["similarity"]["measures"]):
        this = described(measure)
        best = {
            layer: this.foreseen(size.rows, size.columns, rotated=size.rotated)[0]
            for layer, size in sizes.items()
        }
        for status in sorted({*best.values()} - {OK}):
            short = {layer: size for layer, size in sizes.items() if best[layer] == status}
            layers = f"{len(short)} of {len(sizes)} layers: {status} ({', '.join(short)})"
            wanted = max(-(-this.enough_rows(size.columns) * images // size.rows) for size in short.values())
            # A rotated matrix gains columns with more images, so no number of images is enough.
            if any(size.rotated for size in short.values()) or wanted > facts["dataset"]["test"]:
                advice = "record narrower layers" + (
                    f", choose a view with fewer columns or add a measure without this bias ({unbiased})"
                    if status == FEW
                    else " or choose a view with fewer columns"
                )
            else:
                advice = f"set activations.examples to {wanted} or more"
            lines.setdefault(f"{layers}; {advice}", []).append(measure)
    return [f"{name}: {', '.join(measures)}: {text}" for text, measures in lines.items()]


def _idle(name: str, experiment: dict, facts: dict) -> str:
    """Return a note on the first round from which nothing more is pruned."""
    if not stages.prunes(experiment):
        return ""
    network = facts["network"]
    shapes = network["prunable"]
    if experiment["pruning"]["unit"] == "channel":
        shapes = {name: shape[:1] for name, shape in shapes.items()}
    first = idle_round(shapes, network["rates"], experiment["pruning"], experiment["rounds"])
    if first is None:
        return ""
    return f"{name}: from round {first} on, pruning removes nothing; set rounds to {first - 1}"


def landscape_notes(
    name: str, experiment: dict, facts: dict, lines: dict[tuple[int, int], list[Network]]
) -> list[str]:
    """Return the notes to print before the landscape of an experiment is measured.

    `lines` are from `prunescope.plan.compared.lines`. The cost is that of files that do not exist yet.
    """
    if not experiment["landscape"]:
        return []
    if not lines:
        pairs = ", ".join(experiment["landscape"]["pairs"])
        return [f"{name}: landscape.pairs: [{pairs}] connects no two of its networks; add another kind"]
    path = "results/{}/seed{}/round{}/barriers.parquet"
    count = sum(
        len(ends) for network, ends in lines.items() if not Path(path.format(name, *network)).exists()
    )
    if not count:
        return []
    images, points = count * bounds.images_per_line(experiment, facts), experiment["landscape"]["points"]
    text = f"{name}: barriers need {images:,} images, forward ({counted(count, 'line')} of {points} points)"
    if "models" in experiment:
        return [text]
    epochs = experiment["training"]["epochs"]
    later = stages.prune_params(experiment, 1)["training"]["epochs"] if experiment["rounds"] else 0
    epochs = len(experiment["seeds"]) * (epochs + experiment["rounds"] * later)
    trained = epochs * bounds.trained_on(experiment, facts)
    return [f"{text}; training needs {trained:,}, forward and backward"]


def environment_note(name: str, paths: Iterable[str]) -> str:
    """Return a note on networks that were trained with other versions of packages.

    The versions are read from each network's metrics.json; `paths` are these files. Packages that are not
    installed where Snakemake runs are not compared.
    """
    here = {key: value for key, value in provenance.versions(LEARNING).items() if value}
    networks, different = 0, []
    for path in paths:
        try:
            then = read_json(path)["environment"]["packages"]
        except (InputError, LookupError, TypeError):
            continue  # missing or damaged: reported elsewhere
        networks += 1
        if packages := {key: then.get(key) for key in here if then.get(key) != here[key]}:
            different.append(packages)
    if not different:
        return ""
    versions = {key: sorted({str(one[key]) for one in different if key in one}) for key in here}
    there = ", ".join(f"{key} {' and '.join(others)}" for key, others in versions.items() if others)
    now = ", ".join(f"{key} {here[key]}" for key, others in versions.items() if others)
    return (
        f"{name}: {len(different)} of {networks} networks were trained with {there}, but {now} is installed: "
        "new results may differ from theirs in the last bits; set environment: rerun in config/config.yaml "
        "to recompute them"
    )


def machine_notes(resources: dict, local: bool) -> list[str]:
    """Return notes on how this machine is used, one line each.

    `resources` are Snakemake's global resources; `local` says whether jobs run on this machine.
    """
    gpus, cores = (getattr(resources.get(key), "value", resources.get(key)) for key in ("gpu", "_cores"))
    if not local or not gpus or not cores or gpus >= cores or any(map(os.path.exists, GPUS)):
        return []
    return [
        f"no GPU was found, and --resources gpu={gpus} limits training and recording to {gpus} at a time; "
        f"with --resources gpu=0, up to {cores} run on the CPU",
    ]
