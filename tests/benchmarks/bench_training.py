"""Speed of training against a plain PyTorch loop, the cost of masks, and a job's time outside its loop.

    python tests/benchmarks/bench_training.py [--mnist FOLDER] [--repeats N] [--only PART ...]

Only ratios are meaningful: everything is measured in one run, in turns; every figure is the best of its
repeats. The plain loop is a `DataLoader` with torchvision transforms for each image, float32, as in
tutorials. FOLDER contains MNIST as torchvision stores it; without it, random images of the same shape are
used. On a busy machine, only the figures per second of processor time are meaningful.
"""

import argparse
import dataclasses
import json
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))

import torch  # noqa: E402
from snakemake.rules import Namedlist  # noqa: E402
from torch import nn  # noqa: E402

from prunescope import identity  # noqa: E402
from prunescope.data import datasets  # noqa: E402
from prunescope.networks import modules  # noqa: E402
from prunescope.networks.build import build  # noqa: E402
from prunescope.networks.masks import apply_masks  # noqa: E402
from prunescope.settings.training import Training  # noqa: E402
from prunescope.training import loop  # noqa: E402
from prunescope.training.data import Split, place  # noqa: E402
from prunescope.training.loop import Task, train  # noqa: E402

SHAPES = {"lenet5": (1, 28, 28), "lenet300": (1, 28, 28), "vgg_svhn": (3, 32, 32)}
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4}
BATCH = 128
CORES = 2


def prepare(name: str, count: int, mnist: str | None) -> datasets.Prepared:
    """Return images of the network's shape: MNIST when its folder is known and fits, else noise."""
    shape = SHAPES[name]
    if mnist and shape == (1, 28, 28):
        from torchvision.datasets import MNIST

        parts = [MNIST(mnist, train=train) for train in (True, False)]
        images = [part.data.numpy()[:, None] for part in parts]
        labels = [part.targets.numpy() for part in parts]
        images[0], labels[0] = images[0][:count], labels[0][:count]
    else:
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 256, (size, *shape), dtype=np.uint8) for size in (count, 512)]
        labels = [rng.integers(0, 10, size) for size in (count, 512)]
    pairs = [*zip(images, labels, strict=True)]
    half = np.full(shape[0], 0.5)
    return datasets.Prepared("bench", "", *pairs[0], *pairs[1], tuple("0123456789"), half, half, "")


# --- measurements, each run in a separate process ---------------------------------------------------------


def plain(name: str, count: int, mnist: str | None, workers: int) -> list[float]:
    """Images per second of the plain loop, and per second of processor time."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    data = prepare(name, count, mnist)
    half = (0.5,) * data.shape[0]
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(half, half)])
    images = data.train_images.transpose(0, 2, 3, 1).squeeze()

    class Images(Dataset):
        def __len__(self):
            return count

        def __getitem__(self, index):
            return transform(Image.fromarray(images[index])), int(data.train_labels[index])

    if mnist and data.shape == (1, 28, 28):
        from torchvision.datasets import MNIST

        plain_data = torch.utils.data.Subset(MNIST(mnist, transform=transform), range(count))
    else:
        plain_data = Images()
    network = build(name, {}, data.shape, 10, 0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(plain_data, batch_size=BATCH, shuffle=True, num_workers=workers)
    rates, work = [], []
    for _ in range(3):
        start, spent = time.perf_counter(), time.process_time()
        for batch, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(batch), labels).backward()
            optimizer.step()
        rates.append(count / (time.perf_counter() - start))
        work.append(count / (time.process_time() - spent))
    return [max(rates), max(work)]


def ours(name: str, count: int, mnist: str | None, precision: str) -> list[float]:
    """The same for this project's loop, with half of the weights pruned."""
    data = prepare(name, count, mnist)
    settings = Training(epochs=1, optimizer=SGD, batch_size=BATCH, precision=precision)
    network = build(name, {}, data.shape, 10, 0)
    masks = {key: torch.rand(weight.shape) < 0.5 for key, weight in modules.prunable(network, ["*"]).items()}
    apply_masks(network, masks)
    placed = place(data, settings, torch.device("cpu"))
    nothing = Split(placed.test.images[:1], placed.test.labels[:1])
    placed = dataclasses.replace(placed, test=nothing)
    rates, work = [], []
    for round in range(3):
        spent = time.process_time()
        progress = train(network, placed, settings, Task(seed=0, round=round, masks=masks))
        rates.append(progress.history[0]["images_per_second"])
        work.append(count / (time.process_time() - spent))
    return [max(rates), max(work)]


def mask_cost(name: str, batch_size: int, optimizer: dict, precision: str) -> float:
    """Time of multiplying the weights by their masks as a fraction of a whole step without."""
    data = prepare(name, batch_size * 20, None)
    settings = Training(epochs=3, optimizer=optimizer, batch_size=batch_size, precision=precision)
    network = build(name, {}, data.shape, 10, 0)
    placed = place(data, settings, torch.device("cpu"))
    progress = train(network, placed, settings, Task(seed=0, round=0))
    step = min(entry["seconds"] for entry in progress.history) / 20
    masks = {key: torch.rand(weight.shape) < 0.5 for key, weight in modules.prunable(network, ["*"]).items()}
    weights, kept = loop._masked_weights(network, masks)
    times = []
    for _ in range(300):
        start = time.perf_counter()
        torch._foreach_mul_(weights, kept)
        times.append(time.perf_counter() - start)
    return statistics.median(times) / step


def dense_job(folder: str) -> None:
    """Run the script of round 0 as Snakemake would."""
    work = Path(folder)
    settings = {"epochs": 1, "batch_size": BATCH, "optimizer": SGD}
    names = {"checkpoint": "checkpoint.pt", "training": "training.csv", "metrics": "metrics.json"}
    names["rewind"] = "rewind.pt"
    params = {"network": {"name": "lenet5", "arguments": {}}, "training": settings, "code": ""}
    receipt = work / "receipts/data.json"
    job = {"rule": "", "wildcards": {}, "settings": {}, "environment": {"packages": {}}, "inputs": []}
    identity.write(receipt, [work / "data.h5"], job)
    params["rewind"] = {"epoch": 0, "step": None}
    job = SimpleNamespace(
        rule="train_dense",
        log=[str(work / "log")],
        threads=1,
        config={"data": {"download": False}},
        wildcards=Namedlist(fromdict={"experiment": "bench", "seed": "0", "round": "0"}),
        resources=SimpleNamespace(gpu=0),
        input=Namedlist(fromdict={"dataset": str(work / "data.h5")}),
        output=Namedlist(fromdict={key: str(work / name) for key, name in names.items()}),
        params=Namedlist(fromdict=params),
    )
    runpy.run_path(str(SCRIPTS / "train_dense.py"), init_globals={"snakemake": job})


# The figures -----------------------------------------------------------------------------------------------


def start(threads: int, function: str, *arguments) -> subprocess.Popen:
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import bench_training as b; "
    code += f"b.torch.set_num_threads({threads}); import json; "
    code += f"print(json.dumps(b.{function}(*{arguments!r})))"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def result(process: subprocess.Popen) -> float:
    output, _ = process.communicate()
    if process.returncode:
        sys.exit(f"a measurement failed: {process.args[-1]}")
    return json.loads(output.splitlines()[-1])


def speed(name: str, precision: str, count: int, goal: float, options) -> None:
    """Print images per second on two cores, of this project and of the plain loop, and their ratios."""
    best: dict[str, float] = {}

    def note(label: str, rate: float) -> None:
        best[label] = max(best.get(label, 0), rate)

    for _ in range(options.repeats):
        common = (name, count, options.mnist)
        note("plain loop, two threads", result(start(CORES, "plain", *common, 0))[0])
        note("plain loop, two workers", result(start(CORES, "plain", *common, CORES))[0])
        note("one job, two threads", result(start(CORES, "ours", *common, precision))[0])
        pair = [start(1, "ours", *common, precision) for _ in range(CORES)]
        note("two jobs, one thread each", sum(result(job)[0] for job in pair))
        note("plain loop, processor time", result(start(1, "plain", *common, 0))[1])
        note("one job, processor time", result(start(1, "ours", *common, precision))[1])
    print(f"{name}, {precision}, batch {BATCH}, {count} images (goal: {goal} × the plain loop)")
    for label, rate in best.items():
        baseline = best[f"plain loop, {'processor time' if 'processor' in label else 'two threads'}"]
        print(f"  {label:<28}{rate:>9,.0f} images/s{rate / baseline:>7.2f} ×", flush=True)


def outside(options) -> None:
    """Print the time of an MNIST-sized job outside training and evaluation, including imports."""
    with tempfile.TemporaryDirectory() as folder:
        datasets.save(Path(folder) / "data.h5", prepare("lenet5", 60_000, options.mnist))
        seconds = []
        for _ in range(options.repeats):
            begin = time.perf_counter()
            result(start(1, "dense_job", folder))
            spent = time.perf_counter() - begin
            metrics = json.loads((Path(folder) / "metrics.json").read_text())
            seconds.append(spent - metrics["training_seconds"] - metrics["evaluation_seconds"])
    print(f"time of an MNIST job outside its loop: {min(seconds):.2f} s (goal: 4 s)", flush=True)


def masks(options) -> None:
    """Print the cost of keeping pruned weights at zero."""
    adam = {"name": "adam", "lr": 1.2e-3}
    cases = [
        ("vgg_svhn", 128, SGD, "float32", 2),
        ("vgg_svhn", 128, SGD, "bfloat16", 2),
        ("lenet300", 128, SGD, "float32", 5),
        ("lenet300", 60, adam, "float32", 5),
    ]
    for name, batch_size, optimizer, precision, goal in cases:
        cost = min(
            result(start(1, "mask_cost", name, batch_size, optimizer, precision))
            for _ in range(options.repeats)
        )
        label = f"{name}, {precision}, batch {batch_size}, {optimizer['name']}"
        print(f"masks, {label:<40}{100 * cost:>6.2f} % of a step (goal: {goal} %)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist", help="folder of MNIST in torchvision's layout")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=["lenet5", "vgg", "masks", "outside"])
    options = parser.parse_args()
    parts = {
        "lenet5": lambda: speed("lenet5", "float32", 20_480, 5, options),
        "vgg": lambda: speed("vgg_svhn", "bfloat16", 1_920, 2.4, options),
        "masks": lambda: masks(options),
        "outside": lambda: outside(options),
    }
    for name, part in parts.items():
        if not options.only or name in options.only:
            part()


if __name__ == "__main__":
    main()
