"""The whole workflow, actually run: a tiny experiment from its data to the matrix and the figures."""

import json
import re
import shutil
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from projects import new_scripts

COLUMNS = [
    "seed_a", "round_a", "layer_a", "seed_b", "round_b", "layer_b", "measure",
    "value", "chance", "chance_high", "chance_classes", "low", "high",
    "density_a", "density_b", "n", "images", "width_a", "width_b", "rank_a", "rank_b", "status",
]  # fmt: skip


def results(built):
    return built.folder / "results/tiny"


def test_the_matrix_is_tidy_square_and_symmetric(built):
    matrix = pd.read_parquet(results(built) / "similarity.parquet")
    assert list(matrix.columns) == COLUMNS
    layers = list(matrix["layer_a"].unique())
    assert len(layers) == 5 and layers[-1] == "output"
    assert len(matrix) == 2 * 9 * len(layers) * 3  # seeds × ordered pairs × layers × measures
    for (_, layer, measure), part in matrix.groupby(["seed_a", "layer_a", "measure"]):
        square = part.pivot(index="round_a", columns="round_b", values="value").to_numpy()
        assert square.shape == (3, 3), (layer, measure)
        given = np.isfinite(square)
        assert given.all() or (part["status"] != "ok").any()
        assert np.allclose(np.diag(square)[np.diag(given)], 1, atol=1e-9)
        assert np.allclose(square, square.T, equal_nan=True, atol=1e-9)
        assert ((square >= 0) & (square <= 1 + 1e-9))[given].all()


def test_the_matrix_agrees_with_the_activations(built):
    """Mean CCA computed once more, from singular values of orthonormal bases in float64."""
    matrix = pd.read_parquet(results(built) / "similarity.parquet")
    layer = matrix["layer_a"].unique()[0]
    bases = []
    for round in (0, 2):
        with h5py.File(results(built) / f"seed1/round{round}/activations.h5") as file:
            x = file["layers"][layer][...].astype(np.float64)
        u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
        bases.append(u[:, s > 1e-5 * s[0]])
    correlations = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    row = matrix.query(
        "seed_a == 1 and round_a == 0 and round_b == 2 and layer_a == @layer and measure == 'cca'"
    )
    assert row["value"].item() == pytest.approx(correlations.mean(), abs=1e-6)


def test_pruning_is_exact_nested_and_zero(built):
    for seed in (0, 1):
        paths = [results(built) / f"seed{seed}/round{round}/checkpoint.pt" for round in (0, 1, 2)]
        dense, first, second = (torch.load(path, weights_only=True) for path in paths)
        survivors = sum(mask.numel() for mask in first["masks"].values())
        total = survivors
        for checkpoint, before in ((first, dense), (second, first)):
            for name, mask in checkpoint["masks"].items():
                assert not checkpoint["weights"][name][~mask].any()
                assert not (mask & ~before["masks"].get(name, torch.tensor(True))).any()
            kept = sum(int(mask.sum()) for mask in checkpoint["masks"].values())
            assert kept == survivors - survivors * 4 // 10
            assert checkpoint["density"] == kept / total
            survivors = kept


def test_accuracies_are_those_of_the_networks(built):
    accuracy = pd.read_parquet(results(built) / "accuracy.parquet")
    assert accuracy[["seed", "round"]].to_numpy().tolist() == [[s, r] for s in (0, 1) for r in (0, 1, 2)]
    assert accuracy["density"].iloc[:3].tolist() == sorted(accuracy["density"].iloc[:3], reverse=True)
    assert (accuracy["test_accuracy"] > 0.5).all(), "two epochs are enough to be far above chance (0.1)"
    metrics = json.loads((results(built) / "seed1/round2/metrics.json").read_text())
    assert accuracy["test_accuracy"].iloc[-1] == metrics["test_accuracy"]


def test_all_activations_are_of_the_same_examples(built):
    examples = set()
    for path in results(built).glob("seed*/round*/activations.h5"):
        with h5py.File(path) as file:
            examples.add(file["examples"][...].tobytes())
            assert file.attrs["dataset"] and file.attrs["round"] == int(
                path.parent.name.removeprefix("round")
            )
    assert len(examples) == 1


def test_every_job_has_a_log_and_a_benchmark(built):
    logs = {
        path.relative_to(built.folder / "results/logs").with_suffix("")
        for path in built.folder.glob("results/logs/**/*.log")
    }
    benchmarks = {
        path.relative_to(built.folder / "results/benchmarks").with_suffix("")
        for path in built.folder.glob("results/benchmarks/**/*.tsv")
    }
    assert logs == benchmarks and len(logs) == 1 + 2 * 9 + 6
    for log in built.folder.glob("results/logs/**/*.log"):
        assert "done in" in log.read_text(), log


def test_figures_are_there_as_svg_and_png(built):
    names = {path.name for path in (results(built) / "figures").iterdir() if not path.name.startswith(".")}
    assert {
        "accuracy.svg",
        "accuracy.png",
        "accuracy.tex",
        "dense_cka_debiased.svg",
        "dense_cka_debiased.txt",
    } <= names
    assert {f"rounds_cka_debiased_{layer}.pdf" for layer in ("output",)} <= names
    assert all((results(built) / "figures" / name).stat().st_size > 200 for name in names)


def test_a_seed_run_again_from_nothing_gives_the_same_bytes(project):
    results = project.folder / "results"
    tables = ("similarity", "accuracy", "predictions", "exemplars", "classes", "weights", "channels")
    names = [f"{table}.parquet" for table in tables]
    names += ["findings.json", "report.html", "figures/accuracy.svg"]
    files = [results / "tiny" / name for name in names]
    # Curves and metrics contain times.
    files += [*results.glob("tiny/seed0/*/*.pt"), *results.glob("tiny/seed0/*/*.h5")]
    files += results.glob("tiny/seed0/*/*.parquet")
    before = {file: file.read_bytes() for file in files}
    assert len(before) == len(names) + 3 * 4 + 1, "checkpoint, predictions, activations, row; rewind.pt"
    for folder in ("tiny/seed0", "tiny/figures", "logs", "benchmarks"):
        shutil.rmtree(results / folder)
    for file in results.glob("tiny/*.*"):
        file.unlink()
    new_scripts()
    project.snakemake("--resources", "gpu=0")
    for file, content in before.items():
        assert file.read_bytes() == content, file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("training: {epocs: 3}", ["config/experiments/tiny.yaml", "training.epocs", "did you mean 'epochs'"]),
        ("activations: {layers: [relu9]}", ["activations.layers", "'relu9' matches no module"]),
    ],
)
def test_a_wrong_setting_stops_before_any_job_with_one_line(project, change, words):
    project.add_keys(change)
    done = project.snakemake(check=False)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    line = next(line for line in done.stdout.splitlines() if words[0] in line)
    assert all(word in line for word in words), done.stdout
    assert "rule " not in done.stdout


def test_a_missing_data_set_stops_with_one_line_when_downloads_are_forbidden_on_the_command_line(project):
    project.add_keys("network: {name: lenet5}\nactivations: {layers: [ReLU]}")
    data = "data={root: data, download: false, datasets: {digits: 'torchvision:KMNIST'}}"
    done = project.snakemake("--config", data, check=False)
    assert done.returncode != 0
    assert "data set KMNIST under data.root = data: missing or damaged" in done.stdout
    assert "or set data.download: true" in done.stdout, "nothing was tried"
    assert "Traceback" not in done.stdout.split("missing or damaged")[0].split("rule prepare_dataset")[-1]


def test_weights_and_channels_agree_with_the_metrics_of_each_network(built):
    weights, channels = (
        pd.read_parquet(results(built) / f"{name}.parquet") for name in ("weights", "channels")
    )
    for path in results(built).glob("seed*/round*/metrics.json"):
        metrics = json.loads(path.read_text())
        network = channels[(channels["seed"] == metrics["seed"]) & (channels["round"] == metrics["round"])]
        for layer in metrics["layers"]:
            rows = network[network["layer"] == layer["name"]]
            assert rows["density"].mean() == pytest.approx(layer["density"])
            assert rows["dead_by_weights"].sum() == layer["dead_channels"]
    within = weights[(weights["seed_a"] == weights["seed_b"]) & (weights["layer"] == "all layers")]
    masks = within[within["measure"] == "mask_iou"].set_index(["seed_a", "round_a", "round_b"])
    density = pd.read_parquet(results(built) / "accuracy.parquet").set_index(["seed", "round"])["density"]
    assert masks["value"][0, 1, 2] == pytest.approx(density[0, 2] / density[0, 1]), "masks are nested"
    assert (masks["status"] == "nested").all()


@pytest.mark.parametrize(
    ("options", "free"),
    [([], sys.maxsize), (["--max-jobs-per-timespan", "7/1s"], 7)],
    ids=["default", "user"],
)
def test_only_a_limit_of_the_user_keeps_snakemake_looking_for_jobs(project, options, free):
    """With a limit, Snakemake reconsiders all waiting jobs the more often per second the more have run."""
    data = "results/data/digits.h5"
    (project.folder / data).unlink()
    printed = project.snakemake("--verbose", *options, "--", data).stdout
    assert re.findall(r"Resources after job selection: .*'_job_count': (\d+)", printed) == [str(free)]
