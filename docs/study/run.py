"""Run the study of docs/study.md, part by part, then write its tables, figures and numbers: `make study`.

What is already there is not computed again.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]
# Experiments of each part, and its hours on two cores that do nothing else.
PARTS = {
    "mnist": [
        (["study-mnist", "study-mnist-retrain", "study-mnist-other-seeds"], 1.1),
        (["study-mnist-siblings"], 0.5),
        (["study-mnist-shuffled-masks", "study-mnist-new-weights"], 0.3),
        (
            [
                "study-mnist-sgd",
                "study-mnist-sgd-flatten",
                "study-mnist-adam",
                "study-mnist-adam-flatten",
            ],
            0.2,
        ),
    ],
    "cifar10": [
        (["study-cifar10", "study-cifar10-retrain"], 1.6),
        (["study-cifar10-siblings"], 0.6),
    ],
}


def main():
    """Run all parts. The reports of earlier parts are written again with the controls of later ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=PARTS)
    parser.add_argument("--cores", default="2")
    parser.add_argument(
        "--data", help="the key `data` of config/config.yaml, e.g. '{root: /data, download: false}'"
    )
    given = parser.parse_args()
    parts, selected, failed = PARTS[given.study], [], False
    for number, (experiments, hours) in enumerate(parts, 1):
        print(
            f"part {number} of {len(parts)}: {', '.join(experiments)}: {hours} hours on two cores", flush=True
        )
    for experiments, _ in parts:
        selected += experiments
        command = ["snakemake", "--cores", given.cores, "--keep-going", "--quiet", "rules", "--config"]
        command += [f"experiments=[{','.join(selected)}]", *([f"data={given.data}"] if given.data else [])]
        failed |= subprocess.run(command, cwd=REPOSITORY).returncode != 0
    if failed:
        sys.exit("some jobs failed, see above; run the same command again to continue")
    # The tables consist of many small products, which several threads slow down.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for script, *arguments in (["tables.py", given.study], ["figures.py"], ["claims.py"]):
        command = [sys.executable, FOLDER / script, *arguments]
        subprocess.run(command, cwd=REPOSITORY, env=environment, check=True)


if __name__ == "__main__":
    main()
