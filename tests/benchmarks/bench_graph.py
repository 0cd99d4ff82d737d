"""Seconds of `snakemake -n` when nothing is to be done, for graphs of 1,000 and 10,000 jobs.

The experiment is synthetic: its files are empty and were marked as made with `snakemake --touch`. The
start-up of Snakemake itself (`snakemake --version`) is measured beside it: it is the floor.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FILES = ("checkpoint.pt", "training.csv", "metrics.json", "activations.h5", "similarity.parquet")


def snakemake(folder: Path, *arguments: str) -> tuple[float, str]:
    start = time.perf_counter()
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout + done.stderr


def build(folder: Path, seeds: int, rounds: int) -> None:
    for part in ("Snakefile", "workflow", "config", "envs", "profiles"):
        source = REPOSITORY / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / part)
    experiment = f"extends: digits-lenet\nseeds: {list(range(seeds))}\nrounds: {rounds}\n"
    (folder / "config/experiments/synthetic.yaml").write_text(experiment)
    config = folder / "config/config.yaml"
    config.write_text(config.read_text().replace("[digits-lenet]", "[synthetic]"))
    made = [folder / "results/data/digits.h5"]
    for seed in range(seeds):
        for round in range(rounds + 1):
            made += [folder / f"results/synthetic/seed{seed}/round{round}/{name}" for name in FILES]
        made.append(folder / f"results/synthetic/seed{seed}/round0/rewind.pt")
    made += [
        folder / f"results/synthetic/{name}"
        for name in ("similarity.parquet", "accuracy.parquet", "findings.json")
    ]
    made.append(folder / "results/synthetic/report.html")
    (folder / "results/synthetic/figures").mkdir(parents=True)
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def main() -> None:
    for seeds, rounds, bound in ((10, 32, 3), (50, 66, 15)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            build(folder, seeds, rounds)
            snakemake(folder, "--touch")
            times = []
            for _ in range(3):
                seconds, output = snakemake(folder, "--dry-run")
                assert "Nothing to be done" in output, output[-3000:]
                times.append(seconds)
            floor, _ = snakemake(folder, "--version")
            jobs = seeds * (3 * (rounds + 1))
            print(f"{jobs:,} jobs: {min(times):.1f} s (bound {bound} s), start-up alone {floor:.1f} s")


if __name__ == "__main__":
    main()
