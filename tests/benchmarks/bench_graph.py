"""Seconds of `snakemake -n` when nothing is to be done, for graphs of 1,000 and 10,000 jobs.

    python tests/benchmarks/bench_graph.py [--quick]

The experiment is synthetic: its files are empty, and the receipts of its jobs are written straight away.
Rounds make a graph dense: the row of round r reads r + 1 files, so 10,000 jobs are measured with the
twenty rounds of the paper and with 66. The start-up of Snakemake itself, `snakemake -n` of a workflow of
one rule, is measured in turns with it. The goal for 1,000 jobs (``--quick`` measures only them) is twice
the start-up.

A grid of 12 combinations without any results is planned in turns with one of them. The goal is less than
twice the time. Processor time is measured, because a busy machine disturbs it less.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FILES = (
    "checkpoint.pt",
    "training.csv",
    "metrics.json",
    "activations.h5",
    "units.json",
    "similarity.parquet",
)
GRID = """\
extends: digits-lenet
grid: {pruning.rate: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], pruning.scope: [global, layer]}
"""
# A dry run that leaves the receipt of each job of its graph.
LEAVE_RECEIPTS = """
import sys
from snakemake import cli, workflow

build = workflow.Workflow._build_dag

def build_and_leave(self):
    build(self)
    from prunescope import identity

    for job in self.dag.jobs:
        if receipt := job.output.get("receipt"):
            read = [path for path in job.input if path not in job.input.receipts]
            identity.write(
                receipt,
                [path for path in job.output if path != receipt],
                {
                    "rule": job.rule.name,
                    "wildcards": job.wildcards_dict,
                    "settings": dict(job.params.items()),
                    "environment": {"packages": {}},
                    "inputs": [{"path": str(path), "sha256": identity.content(path)} for path in read],
                },
            )

workflow.Workflow._build_dag = build_and_leave
cli.main(["--cores", "1", "--dry-run"])
"""


def snakemake(folder: Path, *command: str) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout + done.stderr


def copy_workflow(folder: Path) -> Path:
    folder.mkdir()
    for part in ("Snakefile", "workflow", "config", "envs", "profiles"):
        source = REPOSITORY / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / part)
    return folder


def build(folder: Path, seeds: int, rounds: int) -> None:
    """Create the project, empty files for all of its results, and the receipts of its jobs."""
    folder.mkdir()
    for part in ("Snakefile", "workflow", "config", "envs", "profiles"):
        source = REPOSITORY / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / part)
    # Trained in another way, so that it does not share the round 0 of digits-lenet.
    own = "training: {batch_size: 64}"
    experiment = f"extends: digits-lenet\nseeds: {list(range(seeds))}\nrounds: {rounds}\n{own}\n"
    (folder / "config/experiments/synthetic.yaml").write_text(experiment)
    config = folder / "config/config.yaml"
    config.write_text(config.read_text().replace("[digits-lenet]", "[synthetic]"))
    results = folder / "results/synthetic"
    made = [folder / "results/data/digits.h5"]
    for seed in range(seeds):
        made += [results / f"seed{seed}/round{round}/{name}" for round in range(rounds + 1) for name in FILES]
        made.append(results / f"seed{seed}/round0/rewind.pt")
    made += [
        results / name for name in ("similarity.parquet", "accuracy.parquet", "findings.json", "report.html")
    ]
    (results / "figures").mkdir(parents=True)
    now = time.time()
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (now, now))
    os.utime(results / "figures", (now, now))
    snakemake(folder, "-c", LEAVE_RECEIPTS)


def grid() -> None:
    """Compare the plans of 12 combinations and of one."""

    def processor_time() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    with tempfile.TemporaryDirectory() as name:
        folder = copy_workflow(Path(name) / "project")
        (folder / "config/experiments/sweep.yaml").write_text(GRID)
        times: dict[str, list[float]] = {"sweep-rate=0.1-scope=global": [], "sweep": []}
        for _ in range(4):
            for selected, found in times.items():
                start = processor_time()
                snakemake(
                    folder, "-m", "snakemake", "--cores", "1", "-n", "--config", f"experiments=[{selected}]"
                )
                found.append(processor_time() - start)
        one, all_of_them = map(min, times.values())
    print(
        f"grid: 12 combinations {all_of_them:.1f} s = {all_of_them / one:.2f} × one ({one:.1f} s); goal: < 2"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1,000 jobs only")
    quick = parser.parse_args().quick
    grid()
    for seeds, rounds in ((10, 32), (159, 20), (50, 66))[: 1 if quick else None]:
        with tempfile.TemporaryDirectory() as name:
            folder, trivial = Path(name) / "project", Path(name) / "trivial"
            build(folder, seeds, rounds)
            trivial.mkdir()
            (trivial / "Snakefile").write_text("rule all:\n    input: []\n")
            times, floors = [], []
            for _ in range(3):
                floors.append(snakemake(trivial, "-m", "snakemake", "--cores", "1", "--dry-run")[0])
                seconds, output = snakemake(folder, "-m", "snakemake", "--cores", "1", "--dry-run")
                assert "Nothing to be done" in output, output[-3000:]
                times.append(seconds)
            jobs, floor = seeds * 3 * (rounds + 1), min(floors)
            print(
                f"{jobs:,} jobs, {rounds} rounds: {min(times):.1f} s = {min(times) / floor:.1f} × start-up "
                f"({floor:.1f} s)",
                flush=True,
            )


if __name__ == "__main__":
    main()
