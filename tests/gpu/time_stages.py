"""Time every stage of the shipped experiment cifar10-resnet as the workflow runs it; print a Markdown table.

    python tests/gpu/time_stages.py ARCHIVE [--epochs N] [--rounds N] [--images N] [--gpu N]

ARCHIVE, a file or a folder, holds CIFAR-10 as train/CLASS/* and test/CLASS/*. Everything but the number of
epochs (which the schedule follows) and of rounds is the experiment's own; one seed. The figures are means
over a stage's jobs, from Snakemake's benchmark files and the `.gpu.tsv` files next to them. `--gpu 0` runs on
the CPU, to try the script.
"""

import argparse
import csv
import datetime
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import yaml

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "workflow/scripts")]

from conftest import Project  # noqa: E402

COLUMNS = {
    "s": "seconds",
    "gpu_seconds": "GPU seconds",
    "peak_gpu_mb": "peak GPU MiB",
    "cpu_time": "CPU seconds",
    "max_rss": "peak MiB",
}


def read(path: Path) -> dict[str, str]:
    with open(path) as file:
        return next(csv.DictReader(file, delimiter="\t"))


def measure(folder: Path) -> tuple[dict[str, list[dict]], str | None]:
    """Return the measurements of each stage's jobs, in the order of the workflow, and the GPU's name."""
    stages, card = {}, None
    for path in sorted(folder.rglob("*.tsv"), key=lambda path: path.stat().st_mtime):
        if path.suffixes == [".tsv"]:
            took, gpu = read(path), path.with_suffix(".gpu.tsv")
            if gpu.exists():
                took |= read(gpu)
                card = took["gpu"]
            stages.setdefault(path.stem, []).append(took)
    return stages, card


def markdown(stages: dict[str, list[dict]]) -> str:
    """Return the table: a line per stage, means over its jobs."""

    def mean(jobs: list[dict], column: str) -> str:
        values = [float(job[column]) for job in jobs if job.get(column, "NA") not in ("NA", "-")]
        return f"{statistics.mean(values):,.1f}" if values else ""

    lines = [
        "| " + " | ".join(["stage", "jobs", *COLUMNS.values()]) + " |",
        "|---" * (len(COLUMNS) + 2) + "|",
    ]
    for stage, jobs in stages.items():
        cells = [stage, str(len(jobs)), *(mean(jobs, column) for column in COLUMNS)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--images", type=int, help="train and record only so many images, to try the script")
    parser.add_argument("--gpu", type=int, default=1)
    given = parser.parse_args()
    experiment = {"extends": "cifar10-resnet", "seeds": [0], "rounds": given.rounds}
    points = [[0, 0], [given.epochs / 5, 1], [given.epochs, 0]]
    schedule = {"name": "linear", "points": points}
    experiment["training"] = {"epochs": given.epochs, "schedule": schedule}
    if given.images:
        experiment["training"]["examples"] = given.images
        experiment["activations"] = {"examples": given.images}
    with tempfile.TemporaryDirectory() as folder:
        project = Project.create(Path(folder) / "project")
        (project.folder / "config/experiments/tiny.yaml").write_text(yaml.safe_dump(experiment))
        source = f"data={{datasets: {{cifar10: 'imagefolder:{given.archive.resolve()}'}}}}"
        command = [sys.executable, "-m", "snakemake", "--cores", "all", "--resources", f"gpu={given.gpu}"]
        subprocess.run([*command, "--config", source], cwd=project.folder, check=True, stdout=sys.stderr)
        stages, card = measure(project.folder / "results/benchmarks")
    where = f"{datetime.date.today()}, {card or 'CPU'}, torch {torch.__version__}"
    print(f"{where}: {given.rounds} pruning rounds, ", end="")
    print(f"{given.epochs} epochs each of {given.images or 'all'} images\n\n{markdown(stages)}")


if __name__ == "__main__":
    main()
