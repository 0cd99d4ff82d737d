"""The notebook, the examples of the docstrings and the page of the library, run on real results."""

import doctest
import json
import re
import shlex
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import prunescope as ps
from prunescope import checkpoints, cli
from prunescope.networks.preprocessing import normalise
from prunescope.notebook import arrays, models, run

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/library.md").read_text()


@pytest.fixture
def folder(built, tmp_path, monkeypatch):
    """The working directory of the demo, whose results are those of the tiny experiment."""
    shutil.copytree(built.folder / "config", tmp_path / "config")
    shutil.copytree(built.folder / "results/data", tmp_path / "results/data")
    shutil.copytree(built.folder / "results/tiny", tmp_path / "results/digits-lenet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_notebook_runs_from_top_to_bottom(folder, monkeypatch):
    matplotlib.use("Agg")
    notebook = json.loads((REPOSITORY / "docs/notebook.ipynb").read_text())
    (folder / "docs").mkdir()
    monkeypatch.chdir(folder / "docs")
    names: dict = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["square"].shape == (5, 5) and names["square"].notna().all(axis=None)
    assert names["to_dense"].index.tolist() == [0, 1, 2]


@pytest.mark.parametrize("module", [arrays, models, run], ids=lambda module: module.__name__)
def test_the_examples_of_the_docstrings_give_what_they_say(folder, module):
    result = doctest.testmod(module, report=True)
    assert result.attempted >= 5 and result.failed == 0


@pytest.mark.parametrize("name", ["compare", "compare_models", "load"])
def test_every_public_function_has_an_example_and_its_parameters(name):
    text = getattr(ps, name).__doc__
    for section in ("Parameters", "Returns", "Raises", "Examples"):
        assert f"    {section}\n    {'-' * len(section)}\n" in text, section


def test_the_page_of_the_library_can_be_copied(folder):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    first = [line for line in blocks[0].splitlines() if line]
    assert len(first) == 5 and first[0] == "import prunescope as ps"
    rng = np.random.default_rng(0)
    modules = [("conv1", nn.Conv2d(1, 4, 3)), ("relu1", nn.ReLU())]
    names: dict = {
        "x": rng.normal(size=(200, 5)),
        "y": rng.normal(size=(200, 4)),
        "images": torch.randn(200, 1, 8, 8),
    }
    for name in "ab":
        names[name] = nn.Sequential()
        for own, module in modules:
            names[name].add_module(own, module)
    names["loader"] = DataLoader(TensorDataset(names["images"]), batch_size=64)
    names["maps"] = rng.normal(size=(200, 4, 1, 1))
    for block in blocks:
        exec(block, names)
    for name in "ab":
        np.save(f"{name}.npy", names["x"])
    for name in ("dense", "pruned"):
        recorded = folder / "runs" / name
        recorded.mkdir(parents=True)
        np.save(recorded / "relu1.npy", names["x"])
        np.save(recorded / "ids.npy", np.arange(len(names["x"])))
    (commands,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    for command in commands.splitlines():
        done = CliRunner().invoke(cli.main, shlex.split(command, comments=True)[1:], catch_exceptions=False)
        assert done.exit_code == 0, done.output


def test_networks_from_checkpoints_give_the_values_of_the_matrix(folder):
    """The same images, layers and view as in the experiment."""
    import h5py

    results = ps.load("results/digits-lenet")
    own = checkpoints.load("results/digits-lenet/seed1/round0/checkpoint.pt")
    with h5py.File("results/data/digits.h5") as file:
        images = normalise(torch.from_numpy(file["test/images"][...]), own.mean, own.std)
    pruned, dense = results.network(seed=1, round=2), results.network(seed=1, round=0)
    found = ps.compare_models(pruned, dense, images, ["ReLU", "output"], ["cca"])
    expected = results.to_dense("cca").loc[(1, 2)]
    assert found["layer_a"].tolist() == list(expected.index)
    assert np.allclose(found["value"], expected, atol=1e-6, equal_nan=True)
    rows = results.similarity.query("seed_a == 1 and round_a == 2 and round_b == 0 and measure == 'cca'")
    for column in ("n", "images", "width_a", "rank_a", "rank_b", "status"):
        assert found[column].tolist() == rows[column].tolist(), column
    assert np.allclose(found["chance"], rows["chance"], atol=1e-6, equal_nan=True)


def test_activations_are_those_of_the_matrix(folder):
    results = ps.load("results/digits-lenet")
    x, y = (results.activations(0, round, "relu3") for round in (1, 2))
    value = results.matrix("svcca", layer="relu3").loc[(0, 1), (0, 2)]
    assert ps.compare(x, y, ["svcca"])["value"][0] == pytest.approx(value, abs=1e-12)
