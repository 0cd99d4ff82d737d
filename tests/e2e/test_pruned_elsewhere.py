"""ResNet-20 checkpoints that others trained and pruned on CIFAR-10 (IntelLabs/distiller)."""

import json
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


@pytest.fixture(scope="module")
def results(create, tmp_path_factory):
    """Both networks, imported and compared on 200 test images."""
    project = create(tmp_path_factory.mktemp("elsewhere") / "project")
    (project.folder / "nets").mkdir()
    (project.folder / "nets/plain.py").write_text(NET)
    with np.load(FOLDER / "cifar10-lossless-200.npz") as images:
        x, y = images["x"], images["y"]
    # No network is trained here, so all images are test images, and training needs one of each class.
    first = np.unique(y, return_index=True)[1]
    np.savez(project.folder / "cifar.npz", x_train=x[first], y_train=y[first], x_test=x, y_test=y)
    experiment = {
        "dataset": "lossless",
        "network": {"name": "file:nets/plain.py:ResNet"},
        "models": [{"weights": str(DENSE)}, {"weights": str(REMOVED)}],
        "training": {"normalisation": {"mean": 3 * [0.5], "std": 3 * [0.5]}},
        "activations": {"layers": ["Conv2d"], "positions": 16},
        "similarity": {"measures": ["cka", "cka_debiased"]},
    }
    (project.folder / "config/experiments/distiller.yaml").write_text(yaml.safe_dump(experiment))
    project.edit("config/config.yaml", "[tiny]", "[distiller]")
    source = f"data={{datasets: {{lossless: 'numpy:{project.folder}/cifar.npz'}}}}"
    wanted = [f"results/distiller/seed0/round{n}/metrics.json" for n in (0, 1)]
    project.snakemake("--config", source, "--", *wanted, "results/distiller/similarity.parquet")
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
