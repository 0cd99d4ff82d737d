"""One flipped bit in any product causes an error, or does not change what a job reads."""

import os
import random
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from prunescope import checkpoints, files, identity
from prunescope.activations import store
from prunescope.data import datasets
from prunescope.errors import InputError
from prunescope.networks.build import build
from prunescope.training.resume import Progress, State
from synthetic import JOB

FLIPS = int(os.environ.get("PRUNESCOPE_FLIPS", "12"))
SEED = int(os.environ.get("PRUNESCOPE_FLIP_SEED", "0"))


def write_checkpoint(path: Path, rewind: bool = False) -> None:
    network = build("lenet_small", {}, (1, 8, 8), 10, 3)
    checkpoint = checkpoints.Checkpoint(
        experiment="tiny",
        seed=3,
        round=1,
        network={"name": "lenet_small", "arguments": {}, "shape": [1, 8, 8], "classes": 10},
        mean=[0.3],
        std=[0.4],
        weights=checkpoints.snapshot(network),
        masks={"conv1.weight": network.conv1.weight.detach() > 0},
        density=0.5,
        accuracy=0.75,
        dataset="abc",
    )
    if rewind:
        checkpoints.save_rewind(path, 7, checkpoint.weights)
    else:
        checkpoints.save(path, checkpoint)


def write_state(path: Path) -> None:
    network = build("lenet_small", {}, (1, 8, 8), 10, 3)
    optimizer = type("Optimizer", (), {"state": {"step": 3, "momentum": checkpoints.snapshot(network)}})
    State(path, "this job").save(network, optimizer, Progress(5, torch.rand(7), torch.tensor(3)))


def write_activations(path: Path, compression: str) -> None:
    facts = {"experiment": "tiny", "seed": 0, "round": 1, "network": "n", "density": 0.5, "dataset": "abc"}
    rng = np.random.default_rng(0)
    with store.writing(path, "channels", "all", np.arange(30), np.arange(30) % 3, facts) as group:
        for order, (units, positions) in enumerate([(6, 49), (5, 9), (10, 1)]):
            layout = store.Layout(
                order, [units, positions], [positions], np.arange(positions), 30, units, units
            )
            writer = store.Writer(group, f"layer{order}.relu", layout, 30, "float32", compression)
            writer.write(rng.standard_normal((30 * positions, units)).astype(np.float32).round(1), 0)


def write_dataset(path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (60, 1, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 3
    datasets.save(
        path,
        datasets.Dataset(
            "blobs", "made up", images[:40], labels[:40], images[40:], labels[40:], tuple("abc")
        ),
    )


def write_table(path: Path) -> None:
    import pyarrow as pa

    rng = np.random.default_rng(0)
    columns = {
        "seed_a": np.arange(200) % 3,
        "layer_a": [f"relu{i % 4}" for i in range(200)],
        "value": np.where(np.arange(200) % 7, rng.random(200), np.nan),
        "spectrum": [None if i % 3 else list(rng.random(i % 5)) for i in range(200)],
    }
    files.write_parquet(path, pa.table(columns).replace_schema_metadata({"dataset": "abc"}))


def write_metrics(path: Path) -> None:
    layers = [{"name": f"relu{i}", "density": 0.1 * i, "kept": i} for i in range(9)]
    files.write_json(path, {"seed": 1, "round": 2, "test_accuracy": 1 / 3, "layers": layers, "none": None})


def read_activations(path: Path) -> list:
    with store.recordings([path]) as (recording,):
        layers = [
            (name, matrix.positions, matrix[0 : matrix.shape[0]])
            for name, matrix in recording.matrices.items()
        ]
        facts = [recording.seed, recording.round, recording.dataset, recording.view, recording.positions]
        return [*facts, recording.examples[...], *layers]


PRODUCTS = {
    "checkpoint.pt": (write_checkpoint, lambda path: vars(checkpoints.load(path))),
    "rewind.pt": (lambda path: write_checkpoint(path, True), lambda path: checkpoints.read(path, "rewind")),
    ".training-state.pt": (write_state, lambda path: checkpoints.read(path, "training state")),
    "activations.h5": (lambda path: write_activations(path, "none"), read_activations),
    "activations-gzip.h5": (lambda path: write_activations(path, "gzip"), read_activations),
    "digits.h5": (write_dataset, lambda path: vars(datasets.load(path))),
    "similarity.parquet": (write_table, lambda path: files.read_table(path).to_pylist()),
    "metrics.json": (write_metrics, files.read_json),
}


def plain(value) -> str:
    """All numbers to the last bit."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {plain(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(plain, value)) + "]"
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.tolist() if value.dtype == object else value.tobytes()!r}"
    return repr(value)


@pytest.mark.parametrize("name", PRODUCTS)
def test_no_flipped_bit_changes_what_is_read_without_an_error(tmp_path, name):
    write, read = PRODUCTS[name]
    path = tmp_path / name
    write(path)
    # The state of unfinished training is no product: only its own job reads it.
    receipt = tmp_path / "receipts/job.json"
    identity.write(receipt, [path], JOB)
    content, expected = path.read_bytes(), plain(read(path))
    chance, refused = random.Random(f"{SEED} {name}"), 0
    for _ in range(FLIPS):
        place, bit = chance.randrange(len(content)), chance.randrange(8)
        damaged = bytearray(content)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            if name != ".training-state.pt":
                identity.verified([path], [receipt])
            found = plain(read(path))
        except InputError as error:
            assert re.match(rf"[^\n]*{re.escape(name)}: [^\n]*run again$", str(error)), str(error)
            refused += 1
        else:
            assert found == expected, f"bit {bit} of byte {place}"
    assert refused >= FLIPS / 4, "most bytes of a file matter"
    with h5py.File(tmp_path / "unrelated.h5", "w") as file:
        file["x"] = 1  # HDF5 still works after reading damaged files
