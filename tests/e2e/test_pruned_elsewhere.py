"""ResNet-20 checkpoints that others trained and pruned on CIFAR-10 (IntelLabs/distiller)."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

FOLDER = Path(__file__).parents[2].parent / "shared/data/pruned-elsewhere"
DENSE, REMOVED = (
    FOLDER / f"checkpoint_trained_{name}.pth.tar" for name in ("dense", "4D_regularized_5Lremoved")
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="needs shared/data/pruned-elsewhere"),
]
NET = """
from torch import nn


class Block(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.downsample = nn.Sequential()
        if stride > 1:
            projection = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(width))

    def forward(self, x):
        return self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))) + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), *(Block(32, 32, 1) for _ in range(2)))
        self.layer3 = nn.Sequential(Block(32, 64, 2), *(Block(64, 64, 1) for _ in range(2)))
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))
"""


NORMALISATION = {"mean": 3 * [0.5], "std": 3 * [0.5]}


def prepare(project) -> None:
    """Write the network and 200 test images into a project."""
    (project.folder / "nets").mkdir()
    (project.folder / "nets/plain.py").write_text(NET)
    with np.load(FOLDER / "cifar10-lossless-200.npz") as images:
        x, y = images["x"], images["y"]
    # No network is trained here, so all images are test images, and training needs one of each class.
    first = np.unique(y, return_index=True)[1]
    np.savez(project.folder / "cifar.npz", x_train=x[first], y_train=y[first], x_test=x, y_test=y)


def run(project, name: str, experiment: dict, wanted: list[str]) -> None:
    """Make files of an experiment."""
    (project.folder / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(experiment))
    project.edit("config/config.yaml", "[tiny]", f"[{name}]")
    source = f"data={{datasets: {{lossless: 'numpy:{project.folder}/cifar.npz'}}}}"
    project.snakemake("--config", source, "--", *wanted)


@pytest.fixture(scope="module")
def results(create, tmp_path_factory):
    """Both networks, imported and compared on 200 test images."""
    project = create(tmp_path_factory.mktemp("elsewhere") / "project")
    prepare(project)
    experiment = {
        "dataset": "lossless",
        "network": {"name": "file:nets/plain.py:ResNet"},
        "models": [{"weights": str(DENSE)}, {"weights": str(REMOVED)}],
        "training": {"normalisation": NORMALISATION},
        "activations": {"layers": ["Conv2d"], "positions": 16},
        "similarity": {"measures": ["cka", "cka_debiased"]},
    }
    wanted = [f"results/distiller/seed0/round{n}/metrics.json" for n in (0, 1)]
    run(project, "distiller", experiment, [*wanted, "results/distiller/similarity.parquet"])
    return project.folder / "results"


def test_figures_of_networks_that_others_pruned(results):
    dense, removed = (
        json.loads((results / f"distiller/seed0/round{n}/metrics.json").read_text()) for n in (0, 1)
    )
    # The published accuracy is .9178. Of 200 images, one standard error is .019.
    assert abs(dense["test_accuracy"] - 0.925) < 0.019 and abs(dense["test_accuracy"] - 0.9178) < 2 * 0.019
    assert dense["macs_dense"] == removed["macs_dense"] == 40_813_184
    assert (dense["prunable"], dense["prunable_kept"]) in ((0, 0), (270_896, 270_896))
    assert (removed["prunable"], removed["prunable"] - removed["prunable_kept"]) == (270_896, 18_432)

    state = torch.load(REMOVED, map_location="cpu", weights_only=True)["state_dict"]
    zero = {name[7:-7] for name, value in state.items() if value.ndim == 4 and not value.any()}
    assert sum(state[f"module.{name}.weight"].numel() for name in zero) == 18_432
    assert {layer["name"] for layer in removed["layers"] if not layer["kept"]} == zero
    table = pd.read_parquet(results / "distiller/similarity.parquet")
    between = table[(table["round_a"] == 0) & (table["round_b"] == 1)]
    dead = between["layer_b"].isin(zero)
    assert set(between[dead]["status"]) == {"dead layer"} and between[dead]["value"].isna().all()
    assert set(between[dead]["layer_b"]) == zero
    assert "dead layer" not in set(between[~dead]["status"]) and between[~dead]["value"].notna().all()


# Published test accuracy, of 10,000 images, and the fraction of conv1 that is left.
PUBLISHED = {1.0: 0.9171, 0.5: 0.9134, 0.1: 0.7544}


def test_one_shot_pruning_of_one_layer_agrees_with_the_published_table(create, tmp_path):
    """The trained network is round 0; its first convolution is pruned by magnitude, without retraining."""
    project = create(tmp_path / "project")
    prepare(project)
    experiment = {
        "dataset": "lossless",
        "rounds": 2,
        "network": {"name": "file:nets/plain.py:ResNet", "weights": str(DENSE)},
        "training": {"epochs": 0, "optimizer": {"name": "sgd", "lr": 1.0}, "normalisation": NORMALISATION},
        "pruning": {"from": "dense", "retraining": "none", "prunable": ["conv1"], "densities": [0.5, 0.1]},
        "activations": {"layers": ["Conv2d"], "positions": 16},
        "similarity": {"measures": ["cka_debiased"]},
    }
    run(project, "one-shot", experiment, [f"results/one-shot/seed0/round{n}/metrics.json" for n in range(3)])
    folder = project.folder / "results/one-shot/seed0"
    dense = torch.load(folder / "round0/checkpoint.pt", weights_only=True)["weights"]["conv1.weight"]
    smallest = dense.abs().flatten().argsort(stable=True)
    for number, (density, published) in enumerate(PUBLISHED.items()):
        pruned = torch.load(folder / f"round{number}/checkpoint.pt", weights_only=True)
        expected = torch.ones(dense.numel(), dtype=torch.bool)
        expected[smallest[: dense.numel() - math.ceil(density * dense.numel())]] = False
        assert torch.equal(pruned["weights"]["conv1.weight"], dense * expected.view(dense.shape))
        if number:
            assert torch.equal(pruned["masks"]["conv1.weight"], expected.view(dense.shape))
        # Of 200 images, one standard error is .019 for the dense network and .030 at a density of .1.
        error = math.sqrt(published * (1 - published) / 200)
        assert abs(pruned["accuracy"] - published) < 2 * error, (density, pruned["accuracy"])
