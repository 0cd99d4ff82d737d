"""What a notebook and the command do, in an environment that may lack the packages of the workflow.

usage: notebook_side.py [RESULTS]     with the results of an experiment, these are read as well
"""

import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import prunescope as ps
from prunescope import cli, kinds


def command(*arguments: str) -> str:
    """Run the command ``prunescope`` in this process; return what it prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        cli.main(arguments, standalone_mode=False)
    return printed.getvalue()


def compare() -> None:
    """Compare arrays, networks and recorded activations."""
    x = np.random.default_rng(0).normal(size=(200, 4))
    measures = [name for name in kinds.known("measure") if name != "cka_within"]  # which needs classes
    assert set(ps.compare(x, 2 * x, measures)["measure"]) == set(measures)
    network, images = nn.Sequential(nn.Linear(4, 3), nn.ReLU()), torch.from_numpy(x).float()
    assert ps.compare_models(network, network, images, ["ReLU"], ["cka"])["value"].iloc[0] > 0.999
    for name in ("a", "b"):
        Path(name).mkdir()
        np.save(f"{name}/relu.npy", x)
        np.save(f"{name}/ids.npy", np.arange(200))
    assert "relu" in command("compare", "a", "b")
    command("compare", "a/relu.npy", "b/relu.npy", "-o", "table.parquet")
    command("compare", "a/relu.npy", "b/relu.npy", "-o", "table.csv")


def show() -> None:
    """List kinds, and the layers of experiments and of networks of every family."""
    assert "cka_debiased" in command("kinds")
    for target in ("digits-lenet", "mnist-lenet5"):
        assert "conv1" in command("layers", target)
    for network in ("lenet5", "torchvision/resnet18", "timm/resnet18"):
        assert "conv1" in command("layers", network, "--shape", "3", "32", "32")


def read(folder: Path) -> None:
    """Read the results of an experiment."""
    run = ps.load(folder)
    to_dense = run.to_dense("cca")
    assert to_dense.loc[(0, 0)].sub(1).abs().max() < 1e-6 and len(run.accuracy) and len(run.weights)
    layer = to_dense.columns[0]
    assert run.activations(0, 1, layer).ndim == 2 and isinstance(run.network(0, 1), nn.Module)
    os.chdir(folder.parents[1])
    assert "train_dense" in command("provenance", folder.name)


with tempfile.TemporaryDirectory() as temporary:
    os.chdir(temporary)
    compare()
    show()
    for argument in sys.argv[1:]:
        read(Path(argument))
    os.chdir("/")
