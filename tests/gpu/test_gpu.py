"""Tests that need a GPU: agreement with the CPU, no waiting steps, lack of memory, recorded use.

`make test-gpu`; skips without CUDA. With PRUNESCOPE_GPU=0, the CPU replaces the GPU, which tests the
comparisons themselves without a GPU.
"""

import csv
import json
import logging
import os

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from prunescope import kinds
from prunescope.activations.record import extract
from prunescope.checkpoints import Checkpoint
from prunescope.data import datasets
from prunescope.levels import landscape
from prunescope.networks import modules
from prunescope.networks.build import build
from prunescope.pruning.dense import initial
from prunescope.pruning.imp import Offered
from prunescope.pruning.rounds import Round
from prunescope.settings.activations import RecordingSettings
from prunescope.settings.landscape import LineSettings
from prunescope.settings.similarity import Similarity
from prunescope.settings.training import Training
from prunescope.similarity.matrix import compare_round
from prunescope.training import loop
from prunescope.training.data import place
from prunescope.training.evaluate import reproducible

GPU = os.environ.get("PRUNESCOPE_GPU", "1")
DEVICE = torch.device("cpu" if GPU == "0" else "cuda")
pytestmark = pytest.mark.skipif(
    DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="needs a GPU that torch can use (CUDA)"
)
card = pytest.mark.skipif(DEVICE.type == "cpu", reason="only a GPU can show this")
# Columns that differ by rounding; ranks count directions down to rounding, so they may differ by a few.
LOOSE = {"value", "chance", "chance_high", "chance_classes", "rank_a", "rank_b", "spectrum"}
KEYS = """
seeds: [0]
rounds: 1
training: {epochs: 12, schedule: {name: linear, points: [[0, 0.2], [3, 1], [12, 0]]}}
similarity: {measures: [cca, cca_r2, svcca, pwcca, cka, cka_debiased, nbs, svcca_trim98]}
"""
ON_GPU = ("train_dense", "prune_round", "extract_activations")


@pytest.fixture(scope="module")
def on_cpu(create, tmp_path_factory):
    project = create(tmp_path_factory.mktemp("cpu") / "project")
    project.add_keys(KEYS)
    project.snakemake("--resources", "gpu=0")
    return project


@pytest.fixture(scope="module")
def on_gpu(create, tmp_path_factory):
    project = create(tmp_path_factory.mktemp("gpu") / "project")
    project.add_keys(KEYS)
    project.snakemake("--resources", f"gpu={GPU}")
    return project


def table(project, name: str) -> pd.DataFrame:
    return pd.read_parquet(project.folder / f"results/tiny/{name}.parquet")


@pytest.mark.parametrize("view", ["channels", "flatten", "pooled"])
def test_the_same_checkpoints_give_the_same_activations_and_similarities(on_cpu, tmp_path, view):
    projects = {}
    for name, gpu in (("cpu", "0"), ("gpu", GPU)):
        projects[name] = project = on_cpu.copy(tmp_path / name)
        project.add_keys(f"{{activations: {{view: {view}, examples: 200}}}}")
        project.snakemake("--resources", f"gpu={gpu}", "--forcerun", "extract_activations")
    for round in (0, 1):
        files = [
            project.folder / f"results/tiny/seed0/round{round}/activations.h5"
            for project in projects.values()
        ]
        with h5py.File(files[0]) as cpu, h5py.File(files[1]) as gpu:
            assert list(cpu["layers"]) == list(gpu["layers"])
            for name in cpu["layers"]:
                a, b = (np.asarray(file["layers"][name], dtype=np.float64) for file in (cpu, gpu))
                if cpu["layers"][name].attrs["width"] > a.shape[1]:
                    a, b = a @ a.T, b @ b.T  # rotated: the axes may differ, distances may not
                np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4 * np.abs(a).max())
    cpu, gpu = (table(project, "similarity") for project in projects.values())
    same = [column for column in cpu if column not in LOOSE]
    pd.testing.assert_frame_equal(gpu[same], cpu[same])
    np.testing.assert_allclose(gpu["value"], cpu["value"], atol=2e-3)


@pytest.mark.parametrize("pairs", ["same-layer", "all-layers"])
def test_the_same_activations_give_the_same_similarities(on_cpu, pairs):
    project = on_cpu.copy(on_cpu.folder.with_name(pairs))
    view = "channels" if pairs == "same-layer" else "pooled"
    project.add_keys(f"{{activations: {{view: {view}}}}}")
    paths = [f"results/tiny/seed0/round{round}/activations.h5" for round in (0, 1)]
    project.snakemake(*paths, "--resources", "gpu=0")
    settings = Similarity(measures=list(kinds.known("measure")), pairs=pairs)
    found = [
        compare_round([project.folder / path for path in paths], settings, device=device).to_pandas()
        for device in ("cpu", DEVICE)
    ]
    same = [column for column in found[0] if column not in LOOSE - {"rank_a", "rank_b"}]
    pd.testing.assert_frame_equal(found[0][same], found[1][same])
    np.testing.assert_allclose(found[1]["value"], found[0]["value"], atol=1e-6, rtol=0)


def test_training_reaches_the_same_accuracy(on_cpu, on_gpu):
    cpu, gpu = table(on_cpu, "accuracy"), table(on_gpu, "accuracy")
    assert cpu["test_accuracy"].min() > 0.9
    np.testing.assert_allclose(gpu["test_accuracy"], cpu["test_accuracy"], atol=0.02)
    np.testing.assert_array_equal(gpu["density"], cpu["density"])
    metrics = json.loads((on_gpu.folder / "results/tiny/seed0/round1/metrics.json").read_text())
    assert (metrics["device"] == "cpu") == (DEVICE.type == "cpu")


def test_a_second_run_on_the_same_device_gives_the_same_bytes(on_gpu, tmp_path):
    again = on_gpu.copy(tmp_path / "again")
    again.snakemake("--resources", f"gpu={GPU}", "--forcerun", "train_dense")
    for name in ("seed0/round1/checkpoint.pt", "seed0/round1/activations.h5", "similarity.parquet"):
        first, second = (part.folder / "results/tiny" / name for part in (on_gpu, again))
        assert first.read_bytes() == second.read_bytes(), name


@pytest.mark.parametrize("criterion", ["saliency", "snip", "grasp", "synflow", "wanda"])
def test_criteria_give_the_same_scores(criterion):
    """Scores for one network on both devices, and twice on the same one; ranks of `wanda` may swap."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (300, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, 300)
    half = np.full(3, 0.5)
    noise = datasets.Prepared(
        "noise", "", images, labels, images, labels, tuple("0123456789"), half, half, ""
    )
    training, found = Training(epochs=1, optimizer={"name": "sgd", "lr": 0.1}), []
    for device in (torch.device("cpu"), DEVICE, DEVICE):
        this = Round("x", 0, 1, {"name": "resnet20", "arguments": {}}, training, noise, device)
        network, _ = initial(this)
        weights = modules.prunable(network, ["Conv2d", "Linear"])
        reproducible(device)
        offer = Offered(this, network, weights, place(noise, training, device))
        found.append(kinds.call("criterion", criterion, offer))
    for name, score in found[0].items():
        assert torch.equal(found[1][name], found[2][name]), name
        near = torch.isclose(found[1][name], score, rtol=1e-3, atol=1e-4 * float(score.abs().max()))
        assert near.float().mean() > 0.99, name


@card
def test_jobs_on_the_gpu_record_their_use_of_it(on_cpu, on_gpu):
    found = {path.name.split(".")[0]: path for path in on_gpu.folder.glob("results/benchmarks/**/*.gpu.tsv")}
    assert set(found) == set(ON_GPU)
    for path in found.values():
        with open(path) as file, open(path.with_name(path.name.replace(".gpu", ""))) as whole:
            (took,), (job,) = (list(csv.DictReader(part, delimiter="\t")) for part in (file, whole))
        assert took["gpu"] == torch.cuda.get_device_name()
        assert 0 < float(took["gpu_seconds"]) < float(job["s"])
        assert float(took["peak_gpu_mb"]) > 0
    assert not list(on_cpu.folder.glob("results/benchmarks/**/*.gpu.tsv"))


@card
def test_no_step_of_cifar10_resnet_waits_for_the_device(create, tmp_path, monkeypatch):
    """Sixteen real steps, augmentation and masks included; the end of an epoch may wait."""
    project = create(tmp_path / "project")
    this = yaml.safe_load((project.folder / "config/experiments/cifar10-resnet.yaml").read_text())
    settings = Training(**this["training"] | {"epochs": 2, "batch_size": 128, "clip_norm": 1.0})
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (1024, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, 1024)
    half = np.full(3, 0.5)
    noise = datasets.Prepared(
        "noise", "", images, labels, images, labels, tuple("0123456789"), half, half, ""
    )
    network = build(this["network"]["name"], {}, (3, 32, 32), 10, seed=0)
    weights = modules.prunable(network.to(DEVICE), ["Conv2d"])
    masks = {name: torch.rand_like(weight) > 0.2 for name, weight in weights.items()}
    batches, steps = loop.batches, []

    def watched(*arguments):
        for batch in batches(*arguments):
            torch.cuda.set_sync_debug_mode("error")
            yield batch
            steps.append(batch[0])
        torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(loop, "batches", watched)
    try:
        task = loop.Task(seed=0, round=1, masks=masks)
        loop.train(network, place(noise, settings, DEVICE), settings, task)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert steps == 2 * list(range(8))


def test_lines_between_networks_are_the_same():
    rng, half = np.random.default_rng(0), np.full(3, 0.5)
    images, labels = rng.integers(0, 256, (300, 3, 32, 32), dtype=np.uint8), np.arange(300) % 10
    noise = datasets.Prepared(
        "noise", "", images, labels, images, labels, tuple("0123456789"), half, half, ""
    )
    described = {"name": "resnet20", "arguments": {}, "shape": (3, 32, 32), "classes": 10}
    ends = [
        Checkpoint("x", seed, 0, described, [0.5] * 3, [0.5] * 3, build(**described, seed=seed).state_dict(),
                   {}, 1.0, 0.1, "")
        for seed in (0, 1)
    ]  # fmt: skip
    settings = LineSettings(
        points=3, split="test", precision="float32", channels_last=True, examples=None, validation=0
    )
    cpu, gpu = (
        landscape.line(*ends, landscape.images_for(ends[0], noise, settings, torch.device(device)), 3)
        for device in ("cpu", DEVICE)
    )
    assert list(gpu) == ["interpolated", "re-estimated"]
    for name, metrics in cpu.items():
        loss, other = metrics["loss"], gpu[name]["loss"]
        np.testing.assert_allclose(other.values, loss.values, rtol=2e-3)
        np.testing.assert_allclose(other.barrier, loss.barrier, rtol=0.05, atol=2e-3)


@card
def test_extraction_halves_its_batch_when_the_gpu_is_full(tmp_path, caplog):
    """One layer's output of 2,000 images takes 0.5 GB; the process may have 0.4."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.ReLU())
    images = np.zeros((2000, 3, 32, 32), dtype=np.uint8)
    settings = RecordingSettings(layers=["1"], examples=None, view="pooled", batch_size=2000)

    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.4e9 / torch.cuda.mem_get_info()[1])
    try:
        with caplog.at_level(logging.INFO, "prunescope"):
            extract(
                tmp_path / "activations.h5",
                network,
                images,
                np.zeros(2000, dtype=np.int64),
                lambda batch: batch.float() / 255,
                settings,
                {"round": 0},
                DEVICE,
            )
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory: retrying with 1000 images at a time" in caplog.text
    with h5py.File(tmp_path / "activations.h5") as file:
        assert file["layers/1"].shape == (2000, 64)
