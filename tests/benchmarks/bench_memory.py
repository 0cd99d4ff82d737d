"""Memory and time of preparing and training on 5,000 images of 224 × 224 pixels.

    python tests/benchmarks/bench_memory.py [--images N] [--network NAME] [--batch-size N]

JPEG files of different sizes are made in a temporary folder, prepared with ``resize: 224`` and trained on for
one epoch. Each stage runs in a process of its own. The result is the peak beyond that of a process that only
imports torch. The same with few images shows how much of it the network needs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
SIDE = 224
START = """
import json, sys, time
start = time.monotonic()
folder, network, batch_size = sys.argv[1], sys.argv[2], int(sys.argv[3])
"""
END = """
lines = open("/proc/self/status").read().splitlines()
peak = int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
print(json.dumps([peak, time.monotonic() - start]))
"""
STAGES = {
    "only importing torch": "import torch",
    "preparing": """
from prunescope.data import datasets, sources
given = {"source": "imagefolder:images", "resize": 224, "test_fraction": 0.2}
datasets.save(f"{folder}/x.h5", sources.fetch("x", given, folder, False))
""",
    "training": """
import torch
from prunescope.data import datasets
from prunescope.networks.build import build
from prunescope.settings.training import Training
from prunescope.training.data import place
from prunescope.training.loop import Task, train
settings = Training(epochs=1, optimizer={"name": "sgd", "lr": 0.01}, batch_size=batch_size)
prepared = datasets.load(f"{folder}/x.h5")
model = build(network, {}, prepared.shape, len(prepared.classes), 0)
train(model, place(prepared, settings, torch.device("cpu")), settings, Task(seed=0, round=0))
""",
}


def make(folder: Path, count: int) -> None:
    """Write JPEG files of ten classes, 240 to 400 pixels wide and high."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8))
    for index in range(count):
        path = folder / f"images/class{index % 10}/{index:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise.rotate(index % 360).resize(tuple(rng.integers(240, 400, 2).tolist())).save(path)


def measure(code: str, *arguments: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", START + code + END, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--network", default="torchvision/mobilenet_v3_small")
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    for count in (options.images // 20, options.images):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.monotonic()
            make(Path(folder), count)
            size = count * 3 * SIDE**2 / 1e6
            print(f"{count:,} images, {size:,.0f} MB of pixels (made in {time.monotonic() - begin:.0f} s)")
            base = 0.0
            for name, code in STAGES.items():
                peak, seconds = measure(code, folder, options.network, str(options.batch_size))
                base = base or peak
                beyond = f", {peak - base:+.0f} MB beyond torch (goal: < 1,000)" if peak != base else ""
                print(f"  {name:<22}{peak:>7,.0f} MB{beyond}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
