"""Data sets that stay in their file: same numbers as in memory, with little memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from prunescope.data import datasets
from prunescope.errors import InputError
from prunescope.networks.build import build
from prunescope.plan import sizes
from prunescope.settings.training import Training
from prunescope.training import data as placing
from prunescope.training.data import Gathered, place
from prunescope.training.evaluate import gradients, predict, score
from prunescope.training.loop import Task, train

LIBRARY = Path(__file__).parents[2] / "workflow/scripts"
CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
SETTINGS = Training(
    epochs=2,
    optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9},
    batch_size=16,
    examples=90,
    validation=20,
    augmentation={"crop": 1, "flip": True},
)


@pytest.fixture
def prepared(tmp_path) -> datasets.Prepared:
    images = RNG.integers(0, 256, (170, 3, 8, 8), dtype=np.uint8)
    labels = np.arange(170) % 5
    data = datasets.Dataset(
        "noise", "", images[:130], labels[:130], images[130:], labels[130:], tuple("abcde")
    )
    datasets.save(tmp_path / "noise.h5", data)
    return datasets.load(tmp_path / "noise.h5")


def test_a_training_from_the_file_gives_the_same_bits(prepared, monkeypatch):
    assert placing.IN_MEMORY == 512 * 2**20, "as docs/data.md says"
    found, size = [], (90 + 40 + 20) * 3 * 8 * 8
    for room, kind in ((size, torch.Tensor), (size - 1, Gathered)):
        monkeypatch.setattr(placing, "IN_MEMORY", room)
        data = place(prepared, SETTINGS, CPU)
        assert all(isinstance(split.images, kind) for split in (data.train, data.test, data.validation))
        assert [len(split) for split in (data.train, data.test, data.validation)] == [90, 40, 20]
        network = build("lenet_small", {}, (3, 8, 8), 5, 0)
        train(network, data, SETTINGS, Task(seed=1, round=0))
        numbers = score(predict(network, data.validation, data, SETTINGS), data.validation.labels)
        found.append((network.state_dict(), gradients(network, ["conv1.weight"], data, SETTINGS), numbers))
    (weights, slopes, numbers), (again, same, equal) = found
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert torch.equal(slopes["conv1.weight"], same["conv1.weight"]) and numbers == equal


def test_rows_of_a_file_are_those_of_the_array(prepared):
    whole = np.asarray(prepared.train_images)
    for rows in ([], [3], [5, 4, 4, 129, 0], list(range(7, 90)), [*range(40, 60, 2)], [-1]):
        assert np.array_equal(prepared.train_images[np.array(rows, int)], whole[np.array(rows, int)]), rows
    assert np.array_equal(prepared.train_images[100:500], whole[100:])


def test_large_images_are_evaluated_a_few_at_a_time():
    labels = torch.zeros(600, dtype=torch.int64)
    small = placing.Split(torch.zeros(600, 32, 32, 3, dtype=torch.uint8), labels)
    large = placing.Split(torch.zeros(30, 1, 1, 3, dtype=torch.uint8).expand(30, 224, 224, 3), labels[:30])
    assert [len(images) for images, _ in small.batches()] == [512, 88]
    assert [tuple(images.shape) for images, _ in large.batches()] == [(27, 3, 224, 224), (3, 3, 224, 224)]


MEASURE = """
import json, sys
import numpy as np, torch
from prunescope.data import datasets, sources
from prunescope.training import data as placing
from prunescope.training.loop import batches

def peak():
    # A child's ru_maxrss starts at its parent's; this does not.
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

folder, placing.IN_MEMORY = sys.argv[1], int(sys.argv[2])
peaks = [peak()]
datasets.save(f"{folder}/x.h5", sources.fetch("x", "numpy:x.npz", folder, False))
peaks.append(peak())
settings = placing.Training(epochs=1, optimizer={"name": "sgd", "lr": 0.1}, batch_size=32)
data = placing.place(datasets.load(f"{folder}/x.h5"), settings, torch.device("cpu"))
total = sum(int(images.sum()) for _, images, _ in batches(data, settings, 0, 0, 0, 0))
peaks.append(peak())
print(json.dumps([*np.diff(peaks), total]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_data_set_takes_little_memory(tmp_path):
    """100 MB of images; tests/benchmarks/bench_memory.py uses 5,000 images of 224 × 224 pixels."""
    x = np.zeros((700, 3, 224, 224), np.uint8)
    x += RNG.integers(0, 256, (700, 1, 1, 1), dtype=np.uint8)
    y = np.arange(700) % 2
    np.savez(tmp_path / "x.npz", x_train=x[:600], y_train=y[:600], x_test=x[600:], y_test=y[600:])
    found = []
    for room in (0, 2**29):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(tmp_path), str(room)],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": "1", "PATH": ""},
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    (preparing, streamed, total), (_, loaded, same) = found
    assert total == same == x[:600].sum(dtype=np.int64)
    assert preparing < 75 and streamed < 75 and loaded > 105, found


def test_an_experiment_is_refused_while_planning_when_nothing_can_be_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 8, 8), np.uint8))
    experiment = {"dataset": "photos", "activations": {"examples": None}, "training": {}, "pruning": {}}
    experiment["landscape"] = None
    data = {"datasets": {"photos": "numpy:x.npz"}, "root": str(tmp_path)}
    with pytest.raises(InputError, match=r"x\.yaml: dataset = 'photos': its images have no labels"):
        sizes.describe(experiment, "x.yaml", data)
