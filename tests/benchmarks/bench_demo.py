"""Time of `make demo`, in units of `import torch` from the same run, and by stage.

    python tests/benchmarks/bench_demo.py [--clone]

The workflow of the demo runs in a copy of the repository without results, on all cores. With ``--clone`` the
repository is cloned and ``make demo`` is timed, its environment included (this downloads packages). Processor
time is given next to wall time, because other programs disturb it less. A job's time is Snakemake's, around
its process; the body is what follows the imports.
"""

import argparse
import csv
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "config", "envs", "profiles")
GOAL = 40


def seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; return its wall time and the processor time of all its processes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def stages(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Return seconds of each stage's jobs: all, and in the script's body."""
    found: dict[str, list[tuple[float, float]]] = {}
    for path in sorted(folder.glob("results/benchmarks/**/*.tsv"), key=lambda path: path.stat().st_mtime):
        log = Path(str(path).replace("/benchmarks/", "/logs/")).with_suffix(".log")
        with open(path) as file:
            whole = float(next(csv.DictReader(file, delimiter="\t"))["s"])
        body = float(re.search(r"done in ([\d.]+) s", log.read_text())[1])
        found.setdefault(path.stem, []).append((whole, body))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clone", action="store_true", help="time git clone and make demo")
    options = parser.parse_args()
    cores = os.cpu_count()
    times = [seconds([sys.executable, "-c", "import torch"], REPOSITORY) for _ in range(3)]
    wall, processor = (statistics.median(values) for values in zip(*times, strict=True))
    print(f"import torch: {wall:.2f} s, processor {processor:.2f} s", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "prunescope"
        if options.clone:
            subprocess.run(["git", "clone", "--quiet", REPOSITORY, folder], check=True)
            spent = {
                "environment": seconds(["make", "env", f"PYTHON={sys.executable}"], folder),
                "make demo after it": seconds(["make", "demo"], folder),
            }
        else:
            for part in PARTS:
                source = REPOSITORY / part
                folder.mkdir(exist_ok=True)
                (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / part)
            command = ["-m", "snakemake", "--cores", str(cores), "--resources", "gpu=0", "--quiet", "rules"]
            spent = {"workflow of the demo": seconds([sys.executable, *command], folder)}
        for what, (took, worked) in spent.items():
            ratios = f"{took / wall:.1f} × import torch, processor {worked / processor:.1f} ×"
            print(f"{what}: {took:.1f} s on {cores} cores, {ratios}")
        total = sum(took for took, _ in spent.values()) / wall
        print(f"together {total:.1f} × import torch (goal, with the environment: {GOAL} ×)")
        for stage, jobs in stages(folder).items():
            whole, body = (sum(values) for values in zip(*jobs, strict=True))
            print(
                f"  {stage:<20}{len(jobs):>3} jobs {whole:>6.1f} s, of which start and imports "
                f"{(whole - body) / len(jobs):.2f} s each, work {body / len(jobs):.2f} s each"
            )


if __name__ == "__main__":
    main()
