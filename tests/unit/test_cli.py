"""The command: what it lists and computes, its help, completion, and errors of one line."""

import re

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import prunescope as ps
from prunescope import cli, kinds

EXPERIMENT = """\
extends: digits-lenet
activations: {layers: [ReLU, "relu9"]}
pruning: {prunable: [Linear]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with arrays and an experiment whose pattern relu9 matches nothing."""
    (tmp_path / "config/experiments").mkdir(parents=True)
    (tmp_path / "config/config.yaml").write_text("experiments: [mine]\n")
    (tmp_path / "config/experiments/mine.yaml").write_text(EXPERIMENT)
    rng = np.random.default_rng(0)
    for name, shape in {"a": (300, 4), "b": (300, 6), "short": (200, 4), "cube": (3, 4, 5)}.items():
        np.save(tmp_path / f"{name}.npy", rng.normal(size=shape))
    (tmp_path / "text.npy").write_text("1 2 3")
    np.savez(tmp_path / "several.npz", x=np.ones((300, 4)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments], catch_exceptions=False)


def listed(*arguments) -> dict[str, list[str]]:
    """The columns that `layers` lists, by module."""
    done = run("layers", *arguments)
    assert done.exit_code == 0, done.output
    rows = [re.split("  +", line.strip()) for line in done.output.splitlines()]
    assert rows[0] == ["module", "type", "output", "recordable", "prunable weights"]
    return {row[0]: row[1:] for row in rows[1:]}


def test_the_layers_of_a_network():
    found = listed("torchvision/resnet18", "--shape", 3, 32, 32)
    assert found["conv1"] == ["Conv2d", "64×16×16", "yes", "9,408"]
    assert found["bn1"] == ["BatchNorm2d", "64×16×16", "yes"]
    assert found["layer1.0.relu"] == ["ReLU", "64×8×8", "no: runs more than once"]
    assert found["fc"] == ["Linear", "10", "yes", "5,120"]


def test_the_arguments_of_a_network():
    assert [*listed("lenet300", "--shape", 1, 8, 8, "--classes", 7).values()][-1][1:] == ["7", "yes", "700"]
    found = listed("torchvision/vit_b_16", "--shape", 3, 32, 32, "-a", "image_size=32")
    assert (
        found["encoder.layers.encoder_layer_0.self_attention"][2]
        == "no: returns a tuple instead of one tensor"
    )
    assert found["conv_proj"][3] == "589,824"


def test_the_layers_of_an_experiment_and_which_it_records_and_prunes(folder):
    found = listed("mine")
    assert found["relu1"] == ["ReLU", "8×8×8", "yes *"]
    assert found["conv1"] == ["Conv2d", "8×8×8", "yes", "72"]
    assert found["output"] == ["Linear", "10", "yes", "320 *"]


def test_the_layers_of_an_experiment_that_resizes_its_images(folder):
    np.savez("colour.npz", x=np.zeros((4, 3, 40, 40), np.uint8))
    (folder / "config/config.yaml").write_text(
        "{experiments: [mine], data: {root: ., datasets: {colour: 'numpy:colour.npz'}}}"
    )
    own = "{dataset: colour, network: {name: torchvision/resnet18, classes: 9}, activations: {layers: [bn1]}"
    models = "training: {normalisation: weights}, models: [{weights: a.pt}]}"
    (folder / "config/experiments/mine.yaml").write_text(f"{own}, {models}")
    found = listed("mine")
    assert found["conv1"] == ["Conv2d", "64×112×112", "yes", "9,408"], "not pruned here, so without *"
    assert found["bn1"] == ["BatchNorm2d", "64×112×112", "yes *"] and found["fc"][1] == "9"


def test_compare_prints_the_table(folder):
    lines = run("compare", "a.npy", "b.npy", "-m", "cka", "-m", "cca").output.splitlines()
    expected = ps.compare(np.load("a.npy"), np.load("b.npy"), ["cka", "cca"])
    assert lines[0].split() == list(expected)
    assert [line.split()[0] for line in lines[1:]] == ["cka", "cca"]
    assert float(lines[2].split()[1]) == pytest.approx(expected["value"][1], rel=1e-5)
    assert run("compare", "a.npy", "a.npy", "-m", "cca").output.splitlines()[1].split()[:2] == ["cca", "1"]


def test_compare_takes_folders_with_a_matrix_for_each_layer(folder):
    rng = np.random.default_rng(1)
    for name in ("dense", "pruned"):
        (folder / name).mkdir()
        np.save(folder / name / "ids.npy", np.arange(300))
        for layer in ("conv", "head"):
            np.save(folder / name / f"{layer}.npy", rng.normal(size=(300, 4)))
    rows = [line.split() for line in run("compare", "dense", "pruned", "-m", "cka").output.splitlines()]
    assert [row[:2] for row in rows] == [["layer", "measure"], ["conv", "cka"], ["head", "cka"]]
    expected = ps.compare(np.load("dense/head.npy"), np.load("pruned/head.npy"), ["cka"])["value"][0]
    assert float(rows[2][2]) == pytest.approx(expected, rel=1e-5)
    (folder / "dense").rename(folder / "other")
    (folder / "dense").mkdir()
    for file in (folder / "other").iterdir():
        np.save(folder / "dense" / file.name, np.load(file)[::-1])
    np.save(folder / "dense/ids.npy", np.arange(300))
    lines = run("compare", "dense", "pruned", "other", "-m", "cka").output.splitlines()
    assert [line.split()[:3] for line in lines][::2] == [
        ["a", "b", "layer"],
        ["dense", "pruned", "head"],
        ["dense", "other", "head"],
        ["pruned", "other", "head"],
    ]
    assert float(lines[-1].split()[4]) == pytest.approx(expected, rel=1e-5)
    for name, read in (("all.csv", pd.read_csv), ("all.parquet", pd.read_parquet)):
        assert run("compare", "dense", "pruned", "other", "-m", "cka", "-o", name).output == ""
        table = read(folder / name)
        assert len(table) == 3 * 3 * 2 and set(table["layer_a"]) == {"conv", "head"}
        pair = table.query("round_a == 1 and round_b == 2 and layer_a == 'head'")
        assert pair["value"].item() == pytest.approx(expected, rel=1e-5)
    assert run("compare", "dense", "pruned", "-m", "cka", "--report", "page.html").output == ""
    assert "pruned – dense" in (folder / "page.html").read_text()
    np.save(folder / "pruned/ids.npy", np.arange(1, 301))
    done = run("compare", "dense", "pruned")
    assert done.exit_code == 1 and "image 1 has id 0 in one and 1 in the other" in done.output


WRONG = {
    "an unknown network": (
        ["layers", "torchvision/resnet19"],
        ["layers = 'torchvision/resnet19': unknown", "'torchvision/resnet18'"],
    ),
    "a network without a shape": (["layers", "lenet5"], ["lenet5 is a network", "add --shape C H W"]),
    "no receipts": (["provenance", "mine"], ["results/mine: no receipts", "run the experiment first"]),
    "no workflow": (["accept", "mine", "--code"], ["no Snakefile here", "in the folder of the workflow"]),
    "no such experiment": (["layers", "mime"], ["no experiment 'mime'", "did you mean 'mine'"]),
    "no such network": (["layers", "lenet7", "--shape", 1, 8, 8], ["'lenet7'", "did you mean 'lenet5'"]),
    "too small": (["layers", "lenet5", "--shape", 1, 8, 8], ["does not fit images of 1×8×8"]),
    "an argument of an experiment": (["layers", "mine", "-a", "x=1"], ["needs --shape"]),
    "an argument without a value": (["layers", "lenet5", "--shape", 1, 28, 28, "-a", "x"], ["KEY=VALUE"]),
    "other rows": (["compare", "a.npy", "short.npy"], ["a.npy has 300 rows, short.npy has 200"]),
    "other shape": (["compare", "cube.npy", "a.npy"], ["cube.npy: has shape (3, 4, 5)"]),
    "no array": (["compare", "text.npy", "a.npy"], ["text.npy: not a .npy file"]),
    "no file": (["compare", "a.npy", "none.npy"], ["none.npy: No such file"]),
    "no folder": (["compare", ".", "none"], ["none: No such file or folder"]),
    "a file and a folder": (["compare", "a.npy", "."], ["a.npy and .: a file and a folder"]),
    "three arrays": (["compare", "a.npy", "b.npy", "short.npy"], ["short.npy: only two .npy files"]),
    "another format": (["compare", "a.npy", "b.npy", "-o", "a.xlsx"], ["must end in .parquet or .csv"]),
    "a page of arrays": (["compare", "a.npy", "b.npy", "--report", "a.html"], ["a .npy file has none"]),
    "a page in another format": (["compare", "a.npy", "b.npy", "--report", "a.pdf"], ["must end in .html"]),
    "several arrays": (["compare", "a.npy", "several.npz"], ["several.npz: not a .npy file of numbers"]),
    "no such measure": (["compare", "a.npy", "b.npy", "-m", "ccca"], ["did you mean 'cca'"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line_and_status_1(folder, case):
    arguments, words = WRONG[case]
    done = run(*arguments)
    assert done.exit_code == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("prunescope: ")
    assert all(word in done.stderr for word in words), done.stderr


@pytest.mark.parametrize("arguments", [["kinds", "nonsense"], ["nonsense"], ["layers"], ["compare", "a.npy"]])
def test_a_command_that_cannot_be_parsed(arguments):
    done = run(*arguments)
    assert done.exit_code == 2 and "Usage: prunescope" in done.stderr


@pytest.mark.parametrize("command", [[], *([name] for name in cli.main.commands)])
def test_help_has_an_example_of_the_command(command):
    text = run(*command, "--help").output
    assert re.search(rf"Examples?:\n +prunescope {' '.join(command)}", text), text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("prunescope ", {"accept", "compare", "kinds", "layers", "provenance"}),
        ("prunescope layers mi", {"mine"}),
        ("prunescope layers vgg", {"vgg16_bn", "vgg_svhn"}),
        ("prunescope kinds ", {*kinds.FAMILIES}),
        ("prunescope compare a.npy b.npy -m cka", {"cka", "cka_debiased", "cka_rbf", "cka_within"}),
    ],
)
def test_completion_of_commands_experiments_networks_and_measures(folder, words, expected):
    environment = {
        "_PRUNESCOPE_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = CliRunner(env=environment).invoke(cli.main, [], prog_name="prunescope")
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == expected
