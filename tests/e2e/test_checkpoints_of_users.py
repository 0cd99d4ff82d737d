"""The page docs/checkpoints.md, tested with files of other programs in a user's own folder."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

import prunescope as ps
from prunescope.settings.reading import merge

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/checkpoints.md").read_text()
LINES = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[1])
NET = """
from torch import nn

class MyNet(nn.Module):
    def __init__(self, classes, width=6):
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, 8, 3, padding=1)
        self.relu2 = nn.ReLU()
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        x = self.relu2(self.conv2(self.relu1(self.conv1(x))))
        return self.head(x.mean((2, 3)))
"""
OTHER = """
from torch import nn

def other(classes):
    layers = [nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(12, classes))
"""
REPORT = "results/mine/report.html"


def make(seed: int) -> nn.Module:
    found: dict = {}
    exec(NET, found)
    torch.manual_seed(seed)
    return found["MyNet"](10)


def write(project, **keys) -> None:
    own = {"dataset": "digits", "training": {"normalisation": {"mean": [0.3], "std": [0.4]}}}
    own |= {"activations": {"layers": ["ReLU", "head"], "examples": 100}}
    text = yaml.safe_dump(merge(merge(LINES, own), keys))
    (project.folder / "config/experiments/mine.yaml").write_text(text)


@pytest.fixture(scope="module")
def run(create, tmp_path_factory):
    """The page's experiment with files of other programs, completely run."""
    project = create(tmp_path_factory.mktemp("models") / "project")
    for name in ("nets", "runs"):
        (project.folder / name).mkdir()
    (project.folder / "nets/mine.py").write_text(NET + OTHER)
    runs, dense = project.folder / "runs", make(0)
    torch.save(dense.state_dict(), runs / "dense.pt")
    for module in (dense.conv1, dense.conv2, dense.head):
        prune.l1_unstructured(module, "weight", amount=0.5)
    torch.save(nn.DataParallel(dense).state_dict(), runs / "pruned50.pt")
    state = {f"model.{name}": value for name, value in make(1).state_dict().items()}
    lightning = {
        "epoch": 1,
        "state_dict": state | {"loss.weight": torch.ones(2)},
        "hyper_parameters": {"lr": 0.1},
    }
    torch.save(lightning, runs / "seed1.ckpt")
    save_file(make(2).state_dict(), runs / "seed2.safetensors")
    write(project, models=[*LINES["models"], {"lineage": 2, "weights": "runs/seed2.safetensors"}])
    project.edit("config/config.yaml", "[tiny]", "[mine]")
    project.files = {path.name: path.read_bytes() for path in runs.iterdir()}
    project.output = project.snakemake("--resources", "gpu=0").stdout
    return project


@pytest.fixture
def copy(run, tmp_path):
    return run.copy(tmp_path / "project")


def test_every_file_is_read_as_it_was_meant(run):
    results = ps.load(run.folder / "results/mine")
    for (seed, round), expected in {(0, 0): make(0), (1, 0): make(1), (2, 0): make(2)}.items():
        state = results.network(seed, round).state_dict()
        assert all(torch.equal(state[name], value) for name, value in expected.state_dict().items())
    pruned = results.network(0, 1).state_dict()
    for name, value in make(0).state_dict().items():
        kept = pruned[name] != 0
        assert torch.equal(pruned[name][kept], value[kept])
        if name.endswith("weight"):
            assert abs(int(kept.sum()) - value.numel() / 2) <= 0.5
    accuracy = results.accuracy.set_index(["seed", "round"])
    assert accuracy["density"].round(2).tolist() == [1, 0.5, 1, 1] and accuracy["test_accuracy"].notna().all()
    log = (run.folder / "results/logs/mine/seed1/round0/import_model.log").read_text()
    assert "removed the prefix model. from all names" in log and "loss.weight" in log


def test_comparisons_are_those_of_networks_trained_here(run):
    matrix = pd.read_parquet(run.folder / "results/mine/similarity.parquet")
    pairs = {tuple(row) for row in matrix[["seed_a", "round_a", "seed_b", "round_b"]].to_numpy()}
    assert {(0, 1, 0, 0), (0, 0, 1, 0), (1, 0, 2, 0)} <= pairs and (0, 1, 1, 0) not in pairs
    assert set(matrix["layer_a"]) == {"relu1", "relu2", "head"} and matrix["value"].notna().all()
    images = torch.from_numpy(ps.load(run.folder / "results/mine").activations(0, 1, "head"))
    assert images.shape == (100, 10)
    again = ps.compare(
        *(ps.load(run.folder / "results/mine").activations(0, round, "head") for round in (1, 0)),
        measures=["cca"],
    )
    found = matrix.query("seed_a == seed_b == 0 and round_a == 1 and round_b == 0 and layer_a == 'head'")
    assert found.set_index("measure")["value"]["cca"] == pytest.approx(again["value"][0], abs=1e-9)


def test_reports_show_labels_and_settings_that_run_again(run):
    page = (run.folder / REPORT).read_text()
    assert "50 %" in page and "in “50 %”" in page
    assert '"Training"' not in page and "training curves" not in page
    assert "A verdict needs at least 3 seeds" not in page, "there are three lineages"
    found = json.loads((run.folder / "results/mine/findings.json").read_text())
    assert found["claims"]["finding"]["verdict"] == "too few seeds", "only one of them is pruned"


def test_the_files_of_the_user_are_left_as_they_are(run):
    runs = run.folder / "runs"
    assert {path.name: path.read_bytes() for path in runs.iterdir()} == run.files


def test_only_what_changed_runs_again(copy):
    assert copy.jobs() == set()
    mine = copy.folder / "config/experiments/mine.yaml"
    mine.write_text(mine.read_text().replace("50 %", "half"))
    assert {job.split()[0] for job in copy.jobs()} == {"draw_figures", "write_report"}
    mine.write_text(mine.read_text().replace("half", "50 %"))
    shutil.copy(copy.folder / "runs/dense.pt", copy.folder / "runs/seed1.ckpt")
    assert {job for job in copy.jobs() if job.startswith(("import", "extract", "compare_round"))} == {
        "import_model mine 1 0",
        "extract_activations mine 1 0",
        "compare_round mine 1 0",
    }


def test_another_model_runs_alone(copy):
    given = yaml.safe_load((copy.folder / "config/experiments/mine.yaml").read_text())
    given["models"].append({"lineage": 1, "weights": "runs/pruned50.pt", "label": "50 %"})
    (copy.folder / "config/experiments/mine.yaml").write_text(yaml.safe_dump(given))
    jobs = {job for job in copy.jobs() if job.startswith(("import", "extract", "compare"))}
    assert jobs == {
        "import_model mine 1 1",
        "extract_activations mine 1 1",
        "compare_round mine 1 1",
        "compare_seeds mine 1",
        "compare_predictions mine",
        "compare_weights mine",
    }


def test_different_networks_without_a_layer_in_common(copy):
    torch.manual_seed(5)
    found: dict = {}
    exec(OTHER, found)
    torch.save(found["other"](7).state_dict(), copy.folder / "runs/other.pt")
    other = {
        "weights": "runs/other.pt",
        "label": "<script>alert(1)</script> $x$",
        "network": {"name": "file:nets/mine.py:other", "classes": 7},
        "layers": {"maps": "1", "logits": "4"},
    }
    write(
        copy,
        models=[LINES["models"][0], other],
        similarity={"pairs": "all-layers"},
        activations={"view": "pooled"},
    )
    copy.snakemake("--resources", "gpu=0")
    matrix = pd.read_parquet(copy.folder / "results/mine/similarity.parquet")
    between = matrix.query("round_a == 1 and round_b == 0")
    assert set(between["layer_a"]) == {"maps", "logits"} and set(between["layer_b"]) == {
        "relu1",
        "relu2",
        "head",
    }
    page = (copy.folder / REPORT).read_text()
    assert "<script>alert(1)" not in page and "&lt;script&gt;" in page
    assert "no layer in common with the dense network" in page


def test_a_mistake_is_one_line_before_any_job(copy):
    torch.save(nn.Linear(2, 2), copy.folder / "runs/seed1.ckpt")
    done = copy.snakemake("--dry-run", check=False)
    assert done.returncode == 1 and "Traceback" not in done.stdout
    line = done.stdout.strip().splitlines()[-1]
    assert "mine.yaml: models[2]: weights = 'runs/seed1.ckpt': the file holds a Python object" in line
    assert "torch.save(network.state_dict(), FILE)" in line
