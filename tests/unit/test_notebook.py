"""The library in a notebook: arrays, torch modules, and results, without a workflow."""

import ast
import copy
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import prunescope as ps
import synthetic
from prunescope.files import write_parquet
from prunescope.notebook.run import Run
from prunescope.settings.similarity import Similarity
from prunescope.similarity.matrix import COLUMNS

_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(400, 6)).astype(np.float32)
Y = X @ _RNG.normal(size=(6, 5)) + _RNG.normal(size=(400, 5))
LAYERS = ["relu1", "pool1", "output"]


def canonical_correlations(x, y) -> np.ndarray:
    """From orthonormal bases, as in the textbook."""
    u, v = (np.linalg.qr(z - z.mean(0))[0] for z in (np.float64(x), np.float64(y)))
    return np.linalg.svd(u.T @ v, compute_uv=False)


def network(seed=0, width=4, first="relu1") -> nn.Module:
    torch.manual_seed(seed)
    modules = {
        "conv1": nn.Conv2d(1, width, 3),
        first: nn.ReLU(),
        "norm": nn.BatchNorm2d(width),
        "pool1": nn.MaxPool2d(2),
        "flatten": nn.Flatten(),
        "drop": nn.Dropout(),
        "output": nn.Linear(9 * width, 10),
    }
    built = nn.Sequential()
    for name, module in modules.items():
        built.add_module(name, module)
    return built


A, B = network(0), network(1)
IMAGES = torch.randn(300, 1, 8, 8)


def outputs(model: nn.Module, name: str) -> np.ndarray:
    """The output of a module of a `network`, from running the modules up to it."""
    names = [own for own, _ in model.named_children()]
    with torch.no_grad():
        return copy.deepcopy(model).eval()[: names.index(name) + 1](IMAGES).numpy()


# --- compare ---------------------------------------------------------------------------------------------


def test_compare_gives_the_textbooks_values_in_the_order_asked_for():
    table = ps.compare(X, Y, measures=["cka", "cca"])
    x, y = (np.float64(z) - np.float64(z).mean(0) for z in (X, Y))
    cka = np.linalg.norm(x.T @ y) ** 2 / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y)
    assert table["measure"].tolist() == ["cka", "cca"]
    assert np.allclose(table["value"], [cka, canonical_correlations(X, Y).mean()], atol=1e-9)
    assert (
        table[["n", "width_a", "width_b", "rank_a", "rank_b"]].to_numpy().tolist() == [[400, 6, 5, 6, 5]] * 2
    )
    assert (table["chance"] < table["value"]).all() and (table["status"] == "ok").all()


def test_the_columns_are_those_of_the_matrix_in_its_order_and_the_measures_those_of_experiments():
    table = ps.compare(X, Y)
    assert list(table) == [name for name in COLUMNS.names if name in table.columns]
    assert table["measure"].tolist() == list(Similarity().measures)


@pytest.mark.parametrize(
    "x", [X.tolist(), torch.from_numpy(X), pd.DataFrame(X), np.asfortranarray(X), X.astype(np.float64)]
)
def test_what_can_be_an_array(x):
    assert ps.compare(x, Y, ["cca"])["value"][0] == pytest.approx(
        ps.compare(X, Y, ["cca"])["value"][0], abs=1e-12
    )


def test_an_ill_conditioned_array_is_whitened_to_full_precision():
    mixed = np.random.default_rng(1).normal(size=(6, 6))
    badly = np.float64(X) @ np.diag(np.geomspace(1, 1e-5, 6)) @ mixed
    expected = canonical_correlations(badly, Y).mean()
    assert ps.compare(badly, Y, ["cca"])["value"][0] == pytest.approx(expected, abs=1e-9)


def test_dead_constant_and_too_few_rows_have_a_reason_instead_of_a_value():
    padded = np.hstack([X, np.zeros((400, 1)), np.full((400, 1), 3.0)])
    table = ps.compare(padded, Y, ["cca"])
    assert (table["width_a"][0], table["rank_a"][0]) == (8, 6)
    assert table["value"][0] == pytest.approx(ps.compare(X, Y, ["cca"])["value"][0], abs=1e-12)
    for x, y, status in ((X[:9], Y[:9], "too few rows"), (np.ones((400, 2)), Y, "dead layer")):
        row = ps.compare(x, y, ["cca"]).iloc[0]
        assert np.isnan(row["value"]) and row["status"] == status


def test_chance_permutes_whole_images():
    """Rows of one image are similar, so unrelated arrays have more in common than independent rows."""
    rng = np.random.default_rng(2)
    x, y = (np.repeat(rng.normal(size=(100, 4)), 4, axis=0) + 0.1 * rng.normal(size=(400, 4)) for _ in "xy")
    alone, together = (ps.compare(x, y, ["cka"], images=images).iloc[0] for images in (None, 100))
    assert (alone["images"], together["images"]) == (400, 100)
    assert together["value"] == pytest.approx(alone["value"], abs=1e-12)
    assert together["chance"] > 3 * alone["chance"]
    blocks = [y.reshape(100, 4, 4)[rng.permutation(100)].reshape(400, 4) for _ in range(30)]
    permuted = np.mean([ps.compare(x, block, ["cka"])["value"][0] for block in blocks])
    assert together["chance"] == pytest.approx(permuted, rel=0.2)


def test_intervals_are_given_when_asked_for():
    assert not {"low", "high"} & set(ps.compare(X, Y, ["cca_cv"]))
    row = ps.compare(X, Y, ["cca_cv"], intervals=True).iloc[0]
    assert 0 < row["low"] < row["value"] < row["high"] < 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e5m2])
def test_tensors_of_low_precision_are_compared(dtype):
    """NumPy has no bfloat16."""
    low = torch.from_numpy(X).to(dtype)
    pd.testing.assert_frame_equal(ps.compare(low, Y, ["cka"]), ps.compare(low.float().numpy(), Y, ["cka"]))


WRONG = {
    "three dimensions": (X.reshape(100, 4, 6), Y, None, ["x: has shape (100, 4, 6)", "must be (n, p)"]),
    "other rows": (X, Y[:-1], None, ["x has 400 rows, y has 399", "same example"]),
    "nothing": (X, Y[:, :0], None, ["y: has shape (400, 0)", "empty"]),
    "text": ([["a"]], Y, None, ["x: has type", "real numbers"]),
    "complex numbers": (X, Y * 1j, None, ["y: has type complex128"]),
    "ragged lists": ([[1, 2], [3]], Y, None, ["x: not an array of numbers"]),
    "a tensor with a gradient": (
        torch.ones(400, 2, requires_grad=True),
        Y,
        None,
        ["x: not an array", "detach"],
    ),
    "not a number": (X, np.where(Y > 2, np.nan, Y), None, ["y: ", " of 2000 numbers are NaN or infinite"]),
    "masked": (np.ma.masked_greater(X, 2), Y, None, ["x: has masked values"]),
    "other index": (
        pd.DataFrame(X),
        pd.DataFrame(Y)[::-1],
        None,
        ["x and y are DataFrames with different indexes"],
    ),
    "an unknown measure": (X, Y, ["ccca"], ["measures = 'ccca'", "did you mean 'cca'"]),
    "no measure": (X, Y, [], ["measures = []"]),
    "a name for a list": (X, Y, "cca", ["measures = 'cca'", "write ['cca']"]),
}


@pytest.mark.parametrize("images", [0, -4, 399, 401, 100.0, "100"])
def test_a_wrong_number_of_images_is_one_line(images):
    words = f"images = {images}: must be an integer that divides the number of rows, 400"
    with pytest.raises(ps.InputError, match=words):
        ps.compare(X, Y, ["cca"], images=images)


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_a_value_error_of_one_line(case):
    x, y, measures, words = WRONG[case]
    with pytest.raises(ValueError) as caught:
        ps.compare(x, y, measures)
    assert isinstance(caught.value, ps.InputError) and "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# --- compare_models --------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["channels", "pooled", "flatten"])
def test_models_are_compared_by_the_rows_of_their_outputs(view):
    table = ps.compare_models(A, B, IMAGES, ["relu1", "Linear"], ["cca"], view=view)
    assert table["layer_a"].tolist() == table["layer_b"].tolist() == ["relu1", "output"]
    for row in table.to_dict("records"):
        x, y = (outputs(model, row["layer_a"]) for model in (A, B))
        if x.ndim == 4:
            to_rows = {
                "channels": lambda z: np.moveaxis(z, 1, 3).reshape(-1, z.shape[1]),
                "pooled": lambda z: z.mean((2, 3)),
                "flatten": lambda z: z.reshape(len(z), -1),
            }[view]
            x, y = to_rows(x), to_rows(y)
        expected = ps.compare(x, y, ["cca"]).iloc[0]
        assert (row["n"], row["width_a"]) == x.shape
        assert row["value"] == pytest.approx(expected["value"], abs=1e-6)


def test_fewer_images_than_units_are_rotated():
    few = IMAGES[:100]
    with torch.no_grad():
        x, y = (model[:2](few).flatten(1).numpy() for model in (A, B))
    table = ps.compare_models(A, B, few, ["relu1"], ["cka"], view="flatten")
    assert table["width_a"][0] == 144 > 100
    assert table["value"][0] == pytest.approx(ps.compare(x, y, ["cka"])["value"][0], abs=1e-5)


def test_layers_of_other_names_by_a_mapping_and_all_with_all():
    other = network(1, first="act")
    by_name = ps.compare_models(
        A, other, IMAGES, {"output": "output", "relu1": "act"}, ["cka"], view="pooled"
    )
    assert by_name[["layer_a", "layer_b"]].to_numpy().tolist() == [["relu1", "act"], ["output", "output"]]
    every = ps.compare_models(
        A, other, IMAGES, ["ReLU", "output"], ["cka"], view="pooled", pairs="all-layers"
    )
    pairs = every[["layer_a", "layer_b"]].to_numpy().tolist()
    assert pairs == [["relu1", "act"], ["relu1", "output"], ["output", "act"], ["output", "output"]]
    both = every[(every["layer_a"] == "output") == (every["layer_b"] == "output")]
    assert both["value"].to_numpy() == pytest.approx(by_name["value"].to_numpy(), abs=1e-9)


def test_networks_are_left_as_they_were():
    a, b = network(2), network(3)
    prune.l1_unstructured(a.conv1, "weight", 0.5)  # its weight is a tensor that cannot be copied
    a.train(), b.train()
    b.norm.eval()
    modes = [module.training for model in (a, b) for module in model.modules()]
    before = [value.clone() for model in (a, b) for value in model.state_dict().values()]
    hooks = [len(module._forward_hooks) for module in a.modules()]
    ps.compare_models(a, b, IMAGES.double().numpy(), ["ReLU"], ["cca"])
    assert modes == [module.training for model in (a, b) for module in model.modules()]
    assert all(map(torch.equal, before, [v for model in (a, b) for v in model.state_dict().values()]))
    assert hooks == [len(module._forward_hooks) for module in a.modules()]
    a(IMAGES).sum().backward()
    assert a.conv1.weight_orig.grad is not None


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.relu, self.idle, self.pair = nn.ReLU(), nn.ReLU(), nn.GRU(64, 8)

    def forward(self, images):
        return self.relu(self.relu(self.pair(images.flatten(1))[0]))


WRONG_MODELS = {
    "no such layer": (A, B, IMAGES, ["relu2"], {}, ["layers: pattern 'relu2' matches no module", "relu1"]),
    "other names": (A, network(first="act"), IMAGES, ["ReLU"], {}, ["act, relu1 are in", "{'relu1': 'act'}"]),
    "other positions": (A, B, IMAGES, {"relu1": "pool1"}, {}, ["relu1 and pool1 have rows at different"]),
    "a pattern in a mapping": (A, B, IMAGES, {"Re*": "relu1"}, {}, ["has no module 'Re*'", "not patterns"]),
    "a name for a list": (A, B, IMAGES, "ReLU", {}, ["write ['ReLU']"]),
    "no layer": (A, B, IMAGES, [], {}, ["at least one layer"]),
    "runs twice": (A, Twice(), IMAGES, {"relu1": "relu"}, {}, ["b: layers: module relu runs more than once"]),
    "never runs": (A, Twice(), IMAGES, {"relu1": "idle"}, {}, ["b: layers: module idle never runs"]),
    "no tensor": (Twice(), B, IMAGES, {"pair": "relu1"}, {}, ["a: ", "pair returns a tuple", "e.g. pair[0]"]),
    "other images": (A, B, IMAGES[:, :, :5], ["ReLU"], {}, ["a: fails on inputs of shape (1, 5, 8)"]),
    "no images": (A, B, IMAGES[:0], ["ReLU"], {}, ["inputs: has shape (0, 1, 8, 8)"]),
    "broken": (A, B, IMAGES * torch.nan, ["ReLU"], {}, ["a: layer relu1: 43200 of 43200 activations"]),
    "no such view": (A, B, IMAGES, ["ReLU"], {"view": "rows"}, ["view = 'rows'", "channels"]),
    "other axes": (A, B, IMAGES, ["ReLU"], {"axes": "second"}, ["axes", "second", "first, last"]),
    "no position": (A, B, IMAGES, ["ReLU"], {"positions": 0}, ["positions = 0: must be 'all' or"]),
    "text for a number": (A, B, IMAGES, ["ReLU"], {"positions": "4"}, ["positions = '4': must be 'all' or"]),
    "weights": (A, B.state_dict(), IMAGES, ["ReLU"], {}, ["b: must be a torch.nn.Module, not a OrderedDict"]),
    "a list of images": (A, B, list(IMAGES), ["ReLU"], {}, ["inputs: a list is not an array of numbers"]),
    "no such pairs": (A, B, IMAGES, ["ReLU"], {"pairs": "all"}, ["pairs = 'all'", "same-layer"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_MODELS)
def test_a_mistake_with_models_is_a_value_error_of_one_line(case):
    a, b, images, layers, options, words = WRONG_MODELS[case]
    with pytest.raises(ValueError) as caught:
        ps.compare_models(a, b, images, layers, ["cca"], **options)
    assert isinstance(caught.value, ps.InputError) and "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# --- load ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Results with two seeds, all pairs of layers, and dense networks compared across seeds."""
    folder = tmp_path_factory.mktemp("results") / "made-up"
    table = synthetic.similarity(3, LAYERS, [0, 7], ["cca", "cka"])
    table = synthetic.across_seeds(synthetic.all_layers(table), 0.4)
    for seed in (0, 7):
        for round in (0, 1, 2):
            (folder / f"seed{seed}/round{round}").mkdir(parents=True)
    # The order of the layers is not that of the rows.
    write_parquet(folder / "similarity.parquet", synthetic.stored(table[::-1], LAYERS))
    write_parquet(folder / "accuracy.parquet", synthetic.accuracy(3, [0, 7]))
    return ps.load(folder)


def test_tables_are_those_of_the_files(run):
    assert run.similarity.equals(pd.read_parquet(run.folder / "similarity.parquet"))
    assert run.accuracy.equals(pd.read_parquet(run.folder / "accuracy.parquet"))
    for name, read in (("weights", lambda: run.weights), ("channels", run.channels)):
        with pytest.raises(ps.InputError, match=rf"{name}.parquet: does not exist yet; finish running"):
            read()
        write_parquet(run.folder / f"{name}.parquet", synthetic.accuracy(2, [0]))
        assert read().equals(synthetic.accuracy(2, [0]))
    assert repr(str(run.folder)) in repr(run)


def test_to_dense_has_one_row_for_each_network_and_the_layers_of_the_network_in_order(run):
    found = run.to_dense("cka")
    assert list(found) == LAYERS
    assert found.index.tolist() == [(seed, round) for seed in (0, 7) for round in (0, 1, 2)]
    tidy = run.similarity.query(
        "seed_a == seed_b and round_b == 0 and layer_a == layer_b and measure == 'cka'"
    )
    values = tidy.set_index(["seed_a", "round_a", "layer_a"])["value"]
    assert len(values) == found.size
    assert all(found.loc[(seed, round), layer] == value for (seed, round, layer), value in values.items())


def test_to_dense_leaves_out_layers_that_the_dense_network_does_not_have(run, tmp_path):
    """Networks that were trained elsewhere need no layer in common with the first one."""
    own = run.similarity
    dense = [((own[f"round_{side}"] == 0) & (own[f"layer_{side}"] == "output")) for side in "ab"]
    left = own[~(dense[0] | dense[1])].reset_index(drop=True)
    write_parquet(tmp_path / "similarity.parquet", synthetic.stored(left, LAYERS))
    assert list(ps.load(tmp_path).to_dense("cka")) == LAYERS[:-1]


def test_the_matrix_of_a_layer_compares_all_networks(run):
    found = run.matrix("cca", layer="pool1")
    assert found.shape == (6, 6) and np.array_equal(np.diag(found), np.ones(6))
    assert np.allclose(found, found.T, equal_nan=True)
    # Across seeds only the dense networks were compared.
    assert found.notna().to_numpy().sum() == 2 * 9 + 2
    assert found.loc[(0, 0), (7, 0)] == pytest.approx(0.4 + 0.007)
    square = run.matrix("cca", layer="pool1", seed=7)
    assert square.index.tolist() == square.columns.tolist() == [0, 1, 2]
    assert square.loc[2, 0] == run.to_dense("cca").loc[(7, 2), "pool1"]
    assert np.array_equal(square, found.loc[7].xs(7, axis=1))


def test_the_matrix_of_all_layers_keeps_the_order_of_the_network(run):
    found = run.matrix("cca")
    assert found.shape == (18, 18)
    assert found.index.tolist() == found.columns.tolist()
    assert [layer for seed, round, layer in found.index if (seed, round) == (7, 1)] == LAYERS
    assert run.matrix("cca", seed=7).index.tolist()[:4] == [*((0, layer) for layer in LAYERS), (1, LAYERS[0])]
    same = run.matrix("cca", layer="relu1")
    assert found.xs("relu1", level="layer_a").xs("relu1", level="layer_b", axis=1).equals(same)


WRONG_RUNS = {
    "measure": (lambda run: run.to_dense("cka2"), ["measure = 'cka2'", "did you mean 'cka'", "cca, cka"]),
    "layer": (lambda run: run.matrix("cka", layer="relu9"), ["layer = 'relu9'", "relu1, pool1, output"]),
    "seed": (lambda run: run.network(1, 0), ["seed = 1", "available: 0, 7"]),
    "seed of the matrix": (lambda run: run.matrix("cka", seed=1), ["seed = 1", "available: 0, 7"]),
    "round": (lambda run: run.activations(7, 3, "relu1"), ["round = 3", "available: 0, 1, 2"]),
    "file": (lambda run: run.network(7, 1), ["seed7/round1/checkpoint.pt: does not exist yet"]),
    "name": (lambda run: ps.load(run.folder.parent / "made-out"), ["made-out: no such folder", "'made-up'"]),
    "folder": (lambda run: ps.load(run.folder.parent), ["contains no results"]),
}


@pytest.mark.parametrize("case", WRONG_RUNS)
def test_what_is_not_there_is_a_value_error_of_one_line(run, case):
    call, words = WRONG_RUNS[case]
    with pytest.raises(ValueError) as caught:
        call(run)
    assert isinstance(caught.value, ps.InputError) and "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


# --- types -----------------------------------------------------------------------------------------------


def test_type_checkers_see_the_public_names():
    stub = ast.parse(Path(ps.__file__).with_name("__init__.pyi").read_text())
    named = {
        alias.asname: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert named == ps._PUBLIC


@pytest.mark.parametrize(
    "function",
    [ps.compare, ps.compare_models, ps.load, *dict(inspect.getmembers(Run, inspect.isfunction)).values()],
)
def test_public_functions_are_typed(function):
    signature = inspect.signature(function)
    parameters = [each for each in signature.parameters.values() if each.name != "self"]
    assert all(each.annotation is not each.empty for each in parameters)
    assert signature.return_annotation is not signature.empty or function.__name__ == "__init__"
