"""Notes on an experiment before anything runs: sizes, and what will not work as expected."""

import math
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from prunescope import kinds, provenance
from prunescope.activations import views
from prunescope.errors import InputError
from prunescope.files import read_json
from prunescope.plan import stages
from prunescope.plan.stages import LEARNING
from prunescope.pruning.amounts import idle_round
from prunescope.settings.activations import Activations
from prunescope.similarity.measures import FEW, OK, described

GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
# The files of a network that take almost all disk space.
LARGE = ("activations.h5", "predictions.h5", "checkpoint.pt")


@dataclass(frozen=True)
class Size:
    """Size of one layer's matrix in an activation file.

    It has rows, images behind the rows, units of the layer, and stored columns: fewer than the units if it is
    rotated.
    """

    rows: int
    images: int
    units: int
    columns: int

    @property
    def rotated(self) -> bool:
        """Whether a rotation of the units is stored."""
        return self.columns != self.units


def matrices(experiment: dict, facts: dict) -> dict[str, Size]:
    """Return the size of each recorded layer's matrix; `facts` are from `sizes.describe`."""
    activations = Activations(**experiment["activations"])
    view = kinds.load("view", activations.view)
    images = stages.images(experiment, facts["dataset"]["test"])
    found = {}
    for name, shape in facts["network"]["shapes"].items():
        _, positions = views.sample(activations.view, shape, activations.sampled)
        rows = images * len(positions)
        found[name] = Size(rows, images, view.units(shape), view.stored(shape, images))
    return found


def notes(name: str, experiment: dict, facts: dict, files: list[str]) -> list[str]:
    """Return the notes to print before an experiment runs, one line each.

    `facts` as in `matrices`; `files` are the files in `LARGE` that belong to the experiment.
    """
    sizes = matrices(experiment, facts)
    lines = [
        _disk(name, experiment, facts, sizes, files),
        _time(name, experiment),
        *_rows(name, experiment, facts, sizes),
        _idle(name, experiment, facts),
    ]
    return [line for line in lines if line]


def _disk(name: str, experiment: dict, facts: dict, sizes: dict[str, Size], files: list[str]) -> str:
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
    means = {rule: sum(found) / len(found) for rule, found in taken.items()}
    total, parts = sum(means.values()), sorted(means.items(), key=lambda item: -item[1])
    each = ", ".join(f"{rule} {_duration(seconds)}" for rule, seconds in parts)
    return (
        f"{name}: last time, one round of one seed took {_duration(total)} ({each}); at that "
        f"rate, {missing} missing round{'s' * (missing > 1)}: {_duration(missing * total)}, one job at a time"
    )


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _rows(name: str, experiment: dict, facts: dict, sizes: dict[str, Size]) -> list[str]:
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


def environment_note(name: str, paths: Iterable[str]) -> str:
    """Return a note on networks that were trained with other versions of packages.

    The versions are read from each network's metrics.json; `paths` are these files. Packages that are not
    installed where Snakemake runs are not compared.
    """
    here = {key: value for key, value in provenance.versions(LEARNING).items() if value}
    made, others = 0, {}
    for path in paths:
        try:
            then = read_json(path)["environment"]["packages"]
        except (InputError, LookupError, TypeError):
            continue  # missing or damaged: reported elsewhere
        made += 1
        if other := {key: then.get(key) for key in here if then.get(key) != here[key]}:
            others[path] = other
    if not others:
        return ""
    packages = {key: sorted({str(other[key]) for other in others.values() if key in other}) for key in here}
    there = ", ".join(f"{key} {' and '.join(found)}" for key, found in packages.items() if found)
    now = ", ".join(f"{key} {here[key]}" for key, found in packages.items() if found)
    return (
        f"{name}: {len(others)} of {made} networks were trained with {there}, but {now} is installed: new "
        "results may differ from theirs in the last bits; set environment: rerun in config/config.yaml to "
        "recompute them"
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
