"""Loss and error along lines: by hand, at the ends, with batch norm; which lines there are."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from prunescope import checkpoints, user_code
from prunescope.checkpoints import Checkpoint
from prunescope.data import datasets
from prunescope.errors import InputError
from prunescope.files import sha256
from prunescope.levels import landscape
from prunescope.levels.pairs import COLUMNS, Network
from prunescope.networks.build import build
from prunescope.plan import bounds, compared, notes, stages
from prunescope.plan.sizes import describe as described
from prunescope.pruning import dense, imported
from prunescope.pruning.rounds import Round
from prunescope.settings.landscape import LineSettings
from prunescope.settings.load import Catalogue, load_experiment, load_lineage
from prunescope.settings.training import Forward, Training
from prunescope.training.data import place as training_data

NETS = """
from torch import nn

def linear(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], classes))

def normalised(shape, classes):
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(), nn.Flatten(),
        nn.Linear(3 * (shape[1] - 2) * (shape[2] - 2), 8), nn.BatchNorm1d(8), nn.Linear(8, classes),
    )
"""
CLASSES, SHAPE = 4, (1, 6, 6)
A, B = Network("mine", 0, 1), Network("mine", 0, 0)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """The folder of the user's code."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "nets.py").write_text(NETS)
    with user_code.used(folder):
        yield folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Images of classes that differ in brightness, sorted by class."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "made_up.h5"
    labels = [np.sort(rng.integers(0, CLASSES, count)) for count in (300, 90)]
    images = [rng.integers(0, 100, (len(own), *SHAPE)) + 40 * own[:, None, None, None] for own in labels]
    images = [own.astype(np.uint8) for own in images]
    names = tuple("abcd"[:CLASSES])
    datasets.save(path, datasets.Dataset("x", "x", images[0], labels[0], images[1], labels[1], names))
    return datasets.load(path)


def how(**changes) -> LineSettings:
    given = {"points": 5, "split": "test", "precision": "float32", "channels_last": True}
    return LineSettings(**{**given, "examples": None, "validation": 0, **changes})


def checkpoint(prepared, name: str, seed: int, round: int = 0, scale: float = 1.0) -> Checkpoint:
    """A network with random weights; with statistics of batch norm, they are random as well."""
    network = build(f"file:nets.py:{name}", {}, SHAPE, CLASSES, seed)
    rng, state = np.random.default_rng(seed), network.state_dict()
    for key, value in state.items():
        if value.is_floating_point():
            state[key] = torch.from_numpy(scale * rng.uniform(0.5, 1.5, value.shape)).float() * value.sign()
        else:
            state[key] = value + 10 * seed
    for key in [key for key in state if key.endswith(("running_mean", "running_var"))]:
        state[key] = torch.from_numpy(rng.uniform(0.5, 1.5, state[key].shape)).float()
    described = {"name": f"file:nets.py:{name}", "arguments": {}, "shape": SHAPE, "classes": CLASSES}
    mean, std = prepared.mean.tolist(), prepared.std.tolist()
    return Checkpoint("mine", seed, round, described, mean, std, state, {}, 1.0, 0.5, prepared.digest)


def images_of(network: Checkpoint, prepared, **changes) -> landscape.Images:
    return landscape.images_for(network, prepared, how(**changes), torch.device("cpu"))


# --- by hand ----------------------------------------------------------------------------------------------


def by_hand(weight, bias, prepared) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy and error of a linear network for each test image."""
    pixels = prepared.test_images[:].reshape(len(prepared.test_labels), -1).astype(float)
    logits = (pixels / 255 - prepared.mean) / prepared.std @ weight.T + bias
    normaliser = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
    loss = normaliser - logits[np.arange(len(logits)), prepared.test_labels]
    return loss, logits.argmax(1) != prepared.test_labels


def test_a_linear_network_by_hand(prepared, code):
    a, b = (checkpoint(prepared, "linear", seed) for seed in (1, 2))
    found = landscape.line(a, b, images_of(a, prepared), 5)
    weights = [[one.weights[f"1.{key}"].double().numpy() for key in ("weight", "bias")] for one in (a, b)]
    expected = [
        by_hand(*(alpha * one + (1 - alpha) * other for one, other in zip(*weights, strict=True)), prepared)
        for alpha in (0, 0.25, 0.5, 0.75, 1)
    ]
    assert list(found) == ["none"]
    n = len(prepared.test_labels)
    for place, metric in enumerate(("loss", "error")):
        curve, single = found["none"][metric], np.array([one[place] for one in expected], float)
        assert np.allclose(curve.values, single.mean(1), atol=1e-5)
        assert np.allclose(curve.images, single, atol=1e-4)
        assert np.allclose(curve.errors, single.std(1, ddof=1) / n**0.5, atol=1e-5)
        top = single.mean(1).argmax()
        above = single[top] - (single[0] + single[-1]) / 2
        assert np.allclose(curve.barrier, (above.mean(), above.std(ddof=1) / n**0.5), atol=1e-5)
    # The loss of a linear network is convex, so its maximum is at an end.
    loss = found["none"]["loss"]
    assert loss.barrier[0] == pytest.approx(abs(loss.values[0] - loss.values[-1]) / 2)
    assert loss.barrier[0] > 0.01


@pytest.mark.parametrize("name", ["linear", "normalised"])
def test_a_network_and_itself_have_no_barrier(prepared, code, name):
    a = checkpoint(prepared, name, 1)
    found = landscape.line(a, a, images_of(a, prepared), 4)
    assert list(found) == (["none"] if name == "linear" else ["interpolated", "re-estimated"])
    for curve in (curve for metrics in found.values() for curve in metrics.values()):
        assert np.ptp(curve.values) == 0 and curve.barrier == (0, 0)


def test_pruned_weights_stay_zero_and_the_ends_are_exact(prepared, code):
    a, b = (checkpoint(prepared, "normalised", seed) for seed in (1, 2))
    for one in (a, b):
        one.weights["0.weight"][0] = 0
        one.weights["extra"] = f"of seed {one.seed}"
    a.weights["0.weight"][1] = 0
    for alpha in np.linspace(0, 1, 11).tolist():
        state = landscape.between(a, b, alpha)
        assert not state["0.weight"][0].any()
        assert state["0.weight"][1].any() == (alpha < 1)
        expected = alpha * a.weights["0.bias"].double() + (1 - alpha) * b.weights["0.bias"].double()
        assert torch.allclose(state["0.bias"].double(), expected, atol=1e-6)
        assert state["1.num_batches_tracked"] == (10 if alpha >= 0.5 else 20)
        assert state["extra"] == ("of seed 1" if alpha >= 0.5 else "of seed 2")
    for alpha, end in ((0, b), (1, a)):
        state = landscape.between(a, b, alpha)
        assert all(torch.equal(state[key], value) for key, value in end.weights.items() if key != "extra")


# --- batch norm -------------------------------------------------------------------------------------------


def test_statistics_of_batch_norm_are_means_over_batches(prepared, code, monkeypatch):
    monkeypatch.setattr(landscape, "BATCH", 60)
    a = checkpoint(prepared, "normalised", 1)
    images, network = images_of(a, prepared), a.build().train()
    landscape.estimate_batch_norm(network, images)
    state, found = {key: value.double() for key, value in a.weights.items()}, {}
    # 300 images, in five batches.
    for batch in images.estimated.reshape(5, 60, 1, *SHAPE[1:]):
        pixels = (batch.double() / 255 - torch.tensor(a.mean)) / torch.tensor(a.std)
        maps = torch.nn.functional.conv2d(pixels, state["0.weight"], state["0.bias"])
        rows = maps.transpose(0, 1).flatten(1)
        scaled = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        scaled = scaled * state["1.weight"][:, None] + state["1.bias"][:, None]
        # Dropout is off.
        flat = scaled.reshape(3, 60, -1).transpose(0, 1).relu().flatten(1)
        hidden = flat @ state["5.weight"].T + state["5.bias"]
        for name, values in (("1", rows), ("6", hidden.T)):
            found.setdefault(f"{name}.running_mean", []).append(values.mean(1))
            found.setdefault(f"{name}.running_var", []).append(values.var(1))
    for key, values in found.items():
        assert torch.allclose(network.state_dict()[key].double(), torch.stack(values).mean(0), rtol=1e-4), key
    assert not network.training and not any(module.training for module in network.modules())


def test_networks_on_the_line_are_measured_with_both_statistics(prepared, code):
    a, b = (checkpoint(prepared, "normalised", seed) for seed in (1, 2))
    images = images_of(a, prepared)
    found = landscape.line(a, b, images, 3)
    network = a.build()
    network.load_state_dict(landscape.between(a, b, 0.5))
    loss, _ = landscape.measure(network, images)["loss"]
    assert found["interpolated"]["loss"].values[1] == loss
    landscape.estimate_batch_norm(network, images)
    loss, _ = landscape.measure(network, images)["loss"]
    assert found["re-estimated"]["loss"].values[1] == loss != found["interpolated"]["loss"].values[1]


def test_images_for_batch_norm_are_training_images_in_random_order(prepared, code, monkeypatch):
    a = checkpoint(prepared, "normalised", 1)
    every, measured = {}, {}
    for split in ("test", "train"):
        images = images_of(a, prepared, split=split, examples=200, validation=50)
        every[split], measured[split] = images.estimated.numpy(), images.measured
    assert np.array_equal(every["test"], every["train"]) and len(every["test"]) == 200
    scaled = images_of(a, prepared, channels_last=False, precision="bfloat16").settings
    assert (scaled.channels_last, scaled.precision) == (False, "bfloat16")
    assert images_of(a, prepared).data.resizing is None
    resizing = {"size": 9}
    resized = dataclasses.replace(a, network=a.network | {"more": {"resizing": resizing}})
    assert images_of(resized, prepared).data.resizing == resizing
    assert landscape.obstacle(a, resized, CLASSES) == "other network"
    assert len(measured["test"]) == 90 and len(measured["train"]) == 200
    settings = Training(epochs=1, optimizer={"name": "sgd", "lr": 1.0}, examples=200, validation=50)
    data = training_data(prepared, settings, torch.device("cpu"))
    assert torch.equal(measured["train"].images, data.train.images)
    trained = {image.tobytes() for image in measured["train"].images.numpy()}
    assert {image.tobytes() for image in every["test"]} == trained
    # They are sorted by class in the file, and brighter from class to class.
    brightness = every["test"].reshape(4, 50, -1).mean((1, 2))
    assert np.ptp(brightness) < 15
    monkeypatch.setattr(landscape, "ESTIMATED", 30)
    assert len(images_of(a, prepared).estimated) == 30


def test_without_training_images_statistics_are_only_interpolated(prepared, code):
    few = dataclasses.replace(prepared, train_images=prepared.train_images[:0], train_labels=np.empty(0, int))
    a = checkpoint(few, "normalised", 1)
    assert list(landscape.line(a, a, images_of(a, few), 3)) == ["interpolated"]


# --- the table --------------------------------------------------------------------------------------------


@pytest.fixture
def saved(prepared, code, tmp_path):
    """Save networks, and measure the lines from the first to the others."""

    def measure(*networks: Checkpoint, data=prepared, **changes):
        paths = [tmp_path / f"{place}.pt" for place in range(len(networks))]
        for path, network in zip(paths, networks, strict=True):
            checkpoints.save(path, network)
        names = [Network("mine", network.seed, network.round) for network in networks]
        return landscape.measure_lines(names, paths, data, how(**changes))

    return measure


@pytest.mark.parametrize("settings", [{}, {"precision": "bfloat16"}, {"channels_last": False}])
def test_the_ends_are_the_loss_and_accuracy_that_were_measured_after_training(
    prepared, saved, settings, tmp_path
):
    metrics, networks = [], []
    for seed in (0, 1):
        training = Training(epochs=1, optimizer={"name": "sgd", "lr": 0.05}, batch_size=30, **settings)
        named = {"name": "file:nets.py:normalised", "arguments": {}}
        outcome = dense.train_dense(Round("mine", seed, 0, named, training, prepared))
        metrics.append(json.loads(json.dumps(outcome.metrics)))
        networks.append(outcome.checkpoint)
    table = saved(*networks, **settings)
    table = table[(table["batch_norm"] == "interpolated") & (table["seed_a"] == 0)]
    for alpha, measured in zip((1, 0), metrics, strict=True):
        end = table[table["alpha"] == alpha].set_index("metric")["value"]
        assert end["loss"] == measured["test_loss"]
        assert end["error"] == 1 - measured["test_accuracy"]


def test_the_ends_are_the_loss_and_accuracy_of_imported_networks(prepared, saved, tmp_path):
    given = {"normalisation": {"mean": [0.4], "std": [0.3]}}
    metrics, networks = [], []
    for place in (0, 1):
        path = tmp_path / f"weights{place}.pt"
        torch.save(checkpoint(prepared, "normalised", place).weights, path)
        named = {"name": "file:nets.py:normalised", "arguments": {}}
        named["more"] = {"weights": str(path), "digest": sha256(path)}
        this = Round("mine", 0, place, named, Forward(**given), prepared)
        made, measured, *_ = imported.bring(this)
        metrics.append(measured)
        networks.append(made)
    table = saved(*networks)
    table = table[(table["batch_norm"] == "interpolated") & (table["round_a"] == 0)]
    for alpha, measured in zip((1, 0), metrics, strict=True):
        end = table[table["alpha"] == alpha].set_index("metric")["value"]
        assert end["loss"] == measured["test_loss"]
        assert end["error"] == 1 - measured["test_accuracy"]


def test_both_directions_are_in_the_table(prepared, saved):
    a, b, c = (checkpoint(prepared, "normalised", 1, round) for round in (2, 0, 1))
    for other, seed in ((b, 2), (c, 3)):
        other.weights.update(checkpoint(prepared, "normalised", seed).weights)
    table = saved(a, b, c, points=4)
    assert list(table) == [*COLUMNS, "batch_norm", "split", "metric", "alpha", "value", "se", "n", "status"]
    assert len(table) == 2 * 2 * 2 * 2 * (4 + 1) and table.index.is_unique
    keys = ["batch_norm", "metric", "alpha"]
    for other in (0, 1):
        there = table[(table["round_a"] == 2) & (table["round_b"] == other)].set_index(keys)
        back = table[(table["round_b"] == 2) & (table["round_a"] == other)].set_index(keys)
        for name, metric, alpha in there.index:
            place = alpha if np.isnan(alpha) else np.linspace(0, 1, 4)[3 - round(3 * alpha)]
            one, same = there.loc[(name, metric, alpha)], back.loc[(name, metric, place)]
            assert (one["value"], one["se"], one["n"]) == (same["value"], same["se"], 90)
    barriers = table[table["alpha"].isna() & (table["round_a"] == 2) & (table["round_b"] == 0)]
    curves = landscape.line(a, b, images_of(a, prepared), 4)
    expected = [curve.barrier for metrics in curves.values() for curve in metrics.values()]
    assert barriers[["value", "se"]].to_numpy().tolist() == [list(one) for one in expected]
    assert {*table["status"]} == {"ok"} and {*table["split"]} == {"test"}


def test_one_image_has_no_standard_error():
    images = np.array([[0.0, 4], [1, 1]])
    curve = landscape.Curve(images.mean(1), images)
    assert curve.errors.tolist() == [2, 0] and curve.barrier == (0.5, 1)
    assert np.isnan(landscape.Curve(images[:, 0], images[:, :1]).errors).all()


def test_networks_without_a_line_have_a_status(prepared, saved):
    a, other = checkpoint(prepared, "linear", 1), checkpoint(prepared, "normalised", 1, 1)
    scaled = dataclasses.replace(checkpoint(prepared, "linear", 2), mean=[0.1])
    table = saved(a, other, scaled, points=3)
    assert {*table["status"]} == {"other network"} and len(table) == 2 * 2 * 2 * 4
    assert table["value"].isna().all() and {*table["n"]} == {0} and {*table["batch_norm"]} == {"none"}
    renamed = dataclasses.replace(prepared, classes=("a", "b"))
    table = saved(a, checkpoint(prepared, "linear", 2), data=renamed)
    assert {*table["status"]} == {"other classes"} and table["value"].isna().all()


def test_outputs_that_are_not_finite_have_no_loss(prepared, saved):
    a, b = checkpoint(prepared, "linear", 1), checkpoint(prepared, "linear", 2)
    b.weights["1.weight"][0, 0] = 3e38
    b.weights["1.weight"][0, 1] = 3e38
    table = saved(a, b, points=3)
    table = table[(table["seed_a"] == 1) & (table["metric"] == "error")]
    assert table["status"].tolist() == ["not finite", "not finite", "ok", "not finite"]
    assert table["value"].isna().tolist() == [True, True, False, True]


# --- which lines ------------------------------------------------------------------------------------------

EXPERIMENT = {
    "dataset": "digits",
    "seeds": [3, 4, 5],
    "rounds": 2,
    "network": {"name": "lenet_small"},
    "training": {"epochs": 4, "optimizer": {"name": "sgd", "lr": 0.1}},
    "activations": {"layers": ["ReLU"]},
}


def lines(pairs: list[str], **control) -> dict:
    inline = {"y": EXPERIMENT, "x": {"extends": "y", "landscape": {"pairs": pairs}}}
    inline["x"]["training"] = {"epochs": 3}
    if control:
        inline["c"] = {"extends": "x", **control}
    return compared.lines(load_lineage("c" if control else "x", Catalogue((), inline)))


def test_lines_within_and_across_seeds():
    seeds = (3, 4, 5)
    assert lines(["dense"]) == {(s, r): [("x", s, 0)] for s in seeds for r in (1, 2)}
    assert lines(["successive"]) == {(s, r): [("x", s, r - 1)] for s in seeds for r in (1, 2)}
    both = lines(["successive", "dense"])
    assert both[3, 1] == [("x", 3, 0)], "the dense network is the round before"
    assert both[3, 2] == [("x", 3, 0), ("x", 3, 1)] and (3, 0) not in both
    across = lines(["seeds"])
    assert across.keys() == {(s, r) for s in (4, 5) for r in range(3)}, (
        "each pair once, also of dense networks"
    )
    assert across[4, 2] == [("x", 3, 2)] and across[5, 0] == [("x", 3, 0), ("x", 4, 0)]
    assert lines(["control"]) == {}


def test_lines_of_controls():
    retrain = lines(["dense", "control"], control="retrain", seeds=[4], rounds=1)
    assert retrain == {(4, 1): [("c", 4, 0), ("x", 4, 1)]}, "round 0 is the same network"
    again = lines(["dense", "successive", "control"], control="siblings", seeds=[4])
    assert again == {(4, r): [("x", 4, r)] for r in range(3)}, "rounds of siblings do not follow each other"


def test_lines_of_models_of_lineages_of_unequal_length():
    models = [{"weights": "w.pt", "lineage": lineage} for lineage in (0, 0, 7, 7, 7)]
    given = {key: EXPERIMENT[key] for key in ("dataset", "network", "activations")}
    inline = {"x": given | {"models": models, "landscape": {"pairs": ["dense", "seeds"]}}}
    found = compared.lines(load_lineage("x", Catalogue((), inline)))
    assert found == {
        (0, 1): [("x", 0, 0)],
        (7, 0): [("x", 0, 0)],
        (7, 1): [("x", 7, 0), ("x", 0, 1)],
        (7, 2): [("x", 7, 0)],
    }
    (note,) = notes.landscape_notes("x", load_experiment("x", Catalogue((), inline)), sizes(), found)
    assert note == "x: barriers need 22,000 images, forward (5 lines of 11 points)"


def load(**changes) -> dict:
    return load_experiment("x", Catalogue((), {"x": EXPERIMENT | changes}))


def sizes(batch_norm: int = 0, **dataset) -> dict:
    given = {"train": 6000, "test": 400, "classes": 10} | dataset
    return {"dataset": given, "network": {"batch_norm": batch_norm}}


def test_no_landscape_no_lines():
    assert load()["landscape"] is None
    assert compared.lines(load_lineage("x", Catalogue((), {"x": EXPERIMENT}))) == {}
    assert notes.landscape_notes("x", load(), sizes(), {}) == []
    inline = {"x": EXPERIMENT | {"landscape": {}}, "off": {"extends": "x", "landscape": None}}
    assert load_experiment("off", Catalogue((), inline))["landscape"] is None


def test_the_plan_names_the_cost_in_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measured = load(landscape={"points": 5})
    found = {(3, 1): [("x", 3, 0)], (3, 2): [("x", 3, 0), ("x", 3, 1)]}
    (note,) = notes.landscape_notes("x", measured, sizes(), found)
    # 3 lines × 5 points × 400 images; 3 seeds × 3 rounds × 4 epochs × 6,000 images.
    assert note == (
        "x: barriers need 6,000 images, forward (3 lines of 5 points); "
        "training needs 216,000, forward and backward"
    )
    path = tmp_path / "results/x/seed3/round2/barriers.parquet"
    path.parent.mkdir(parents=True)
    path.touch()
    (note,) = notes.landscape_notes("x", measured, sizes(), found)
    assert "2,000 images, forward (1 line of 5 points)" in note
    assert notes.landscape_notes("x", measured, sizes(), {(3, 2): found[3, 2]}) == []
    finetuned = load(landscape={}, pruning={"retraining": "finetune", "finetune": {"epochs": 1}})
    assert "training needs 108,000," in notes.landscape_notes("x", finetuned, sizes(), found)[0]
    dense = load(landscape={"pairs": ["seeds"]}, rounds=0)
    assert "training needs 72,000," in notes.landscape_notes("x", dense, sizes(), {(4, 0): [("x", 3, 0)]})[0]
    (note,) = notes.landscape_notes("x", load(landscape={"pairs": ["control"]}), sizes(), {})
    assert note == "x: landscape.pairs: [control] connects no two of its networks; add another kind"


@pytest.mark.parametrize(
    ("changes", "given", "expected"),
    [
        ({}, {}, 400),
        ({}, {"batch_norm": 2}, 400 + 400 + 2500),
        ({}, {"batch_norm": 2, "train": 1000}, 400 + 400 + 1000),
        ({}, {"batch_norm": 2, "train": 0}, 400),
        ({"split": "train"}, {}, 6000),
        ({"split": "train"}, {"batch_norm": 1, "train": 3000}, 3000 + 3000 + 2500),
    ],
)
def test_images_of_a_point(changes, given, expected):
    experiment = load(landscape={"points": 7, **changes})
    assert bounds.images_per_line(experiment, sizes(**given)) == 7 * expected


def test_images_without_a_loss_are_refused_while_planning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train/a/0", "test/a/0", "test/b/1"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / f"photos/{name}.png")
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 8, 8), np.uint8))
    data = {"datasets": {"photos": "imagefolder:photos", "array": "numpy:x.npz"}, "root": str(tmp_path)}

    def refused(dataset: str, split: str) -> str:
        experiment = {"dataset": dataset, "activations": {"examples": None}, "landscape": {"split": split}}
        with pytest.raises(InputError) as caught:
            described(experiment, "x.yaml", data)
        return str(caught.value)

    assert refused("array", "test").startswith("x.yaml: landscape: the images of array have no labels")
    (tmp_path / "photos/train/a/0.png").unlink()
    expected = "x.yaml: landscape.split = 'train': photos has no training images; choose test"
    assert refused("photos", "train") == expected


@pytest.mark.parametrize(("training", "used"), [({"validation": 5}, 5995), ({"examples": 50}, 50)])
def test_only_images_that_networks_are_trained_on_are_training_images(training, used):
    experiment = load(landscape={"split": "train"}, training=EXPERIMENT["training"] | training)
    assert bounds.images_per_line(experiment, sizes()) == 11 * used


def test_a_slow_core_has_time_for_all_lines_and_memory_for_all_losses():
    given = sizes(batch_norm=1, shape=[1, 10, 10])
    given["network"] |= {"macs": 10**8, "floats": 100, "parameters": 1000}
    found = {points: load(landscape={"points": points, "pairs": ["seeds"]}) for points in (10, 1000)}
    # Two lines to other seeds; three times as long as 2 × 10⁹ operations per second take.
    needed = 2 * bounds.images_per_line(found[10], given) * 10**8 / 2e9 / 60
    assert 3 * needed < bounds.landscape_minutes(found[10], given) < 12 * needed
    more = [bounds.landscape_mb(one, given) - bounds.training_mb(one, given) for one in found.values()]
    # Loss and error of at most 6,000 images, float64, for both kinds of batch norm.
    assert more == [pytest.approx(2 * 2 * 8 * points * 6000 / 1e6, abs=1) for points in found]


def test_what_a_job_reads_is_all_that_evaluations_depend_on():
    params = stages.landscape_params(load(landscape={"points": 7}))
    assert params == {**how(points=7).plain()}
