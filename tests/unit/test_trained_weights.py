"""Trained initial weights: files, misfits, and weights from torchvision and timm."""

import math
import socket
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from prunescope import checkpoints
from prunescope.data.datasets import Prepared
from prunescope.errors import InputError
from prunescope.networks import modules, weights
from prunescope.networks import timm as timm_networks
from prunescope.networks.build import build
from prunescope.networks.inspect import inspect
from prunescope.networks.preprocessing import input_shape, normalise, preprocessing_of, resize
from prunescope.pruning.dense import train_dense
from prunescope.pruning.imp import prune
from prunescope.pruning.rounds import Round
from prunescope.settings.pruning import PruningSettings
from prunescope.settings.training import Training

SHAPE = (1, 8, 8)
NETWORK = {"name": "lenet_small", "arguments": {}, "shape": SHAPE, "classes": 10}
COLOUR = {"arguments": {}, "shape": (3, 64, 64), "classes": 10}


@pytest.fixture(autouse=True)
def one_thread():
    """Waiting threads make small operations slow on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def start(path, **network):
    return weights.initial(NETWORK | network | {"more": {"weights": str(path)}}, seed=1)


@pytest.fixture(scope="module")
def state():
    return build(**NETWORK, seed=5).state_dict()


def equal(network, state) -> bool:
    return all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


# --- files -----------------------------------------------------------------------------------------------


def test_state_dicts_safetensors_and_our_checkpoints_are_read(state, tmp_path):
    torch.save(state, tmp_path / "a.pt")
    save_file(state, tmp_path / "a.safetensors")
    ours = checkpoints.Checkpoint("e", 0, 0, NETWORK, [0.0], [1.0], state, {}, 1.0, 0.5, "d")
    checkpoints.save(tmp_path / "checkpoint.pt", ours)
    for name in ("a.pt", "a.safetensors", "checkpoint.pt"):
        assert equal(start(tmp_path / name), state)
    assert not equal(build(**NETWORK, seed=1), state)


def test_another_number_of_classes_draws_the_last_layer(state, tmp_path):
    torch.save(state, tmp_path / "a.pt")
    network, fresh = start(tmp_path / "a.pt", classes=7), build(**NETWORK | {"classes": 7}, seed=1)
    own = network.state_dict()
    for name, value in own.items():
        expected = fresh.state_dict() if name.startswith("output.") else state
        assert torch.equal(value, expected[name])


class Evil:
    def __reduce__(self):
        return print, ("code of the file ran",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("conv1.weight"), ["missing: conv1.weight"]),
        (lambda state: state.update(extra=torch.zeros(1)), ["unexpected: extra"]),
        (
            lambda state: state.update({"conv1.weight": torch.zeros(3, 1, 3, 3), "x": torch.zeros(1)}),
            ["unexpected: x; of another shape: conv1.weight (3×1×3×3 instead of "],
        ),
        (lambda state: [state.update({f"x{i}": torch.zeros(1)}) for i in range(9)], ["x4 and 4 more"]),
    ],
)
def test_keys_that_do_not_fit_are_named_in_one_line(state, tmp_path, change, words):
    state = dict(state)
    change(state)
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"^network\.weights = [^\n]*$") as caught:
        start(tmp_path / "a.pt")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_files_that_hold_something_else_are_refused_and_run_nothing(tmp_path, capfd):
    torch.save(build(**NETWORK, seed=0), tmp_path / "module.pt")
    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    torch.save({"a": 1}, tmp_path / "number.pt")
    (tmp_path / "text.pt").write_text("weights")
    (tmp_path / "text.safetensors").write_text("weights")
    advice = {
        "module.pt": "torch.save(network.state_dict(), FILE)",
        "evil.pt": "could run code",
        "number.pt": "holds no state dict",
        "text.pt": "",
        "text.safetensors": "cannot be read",
        "none.pt": "no such file",
    }
    for name, words in advice.items():
        with pytest.raises(InputError, match=r"^network\.weights[^\n]*$") as caught:
            start(tmp_path / name)
        assert words in str(caught.value) and name in str(caught.value)
        assert ("not a file of torch.save" in str(caught.value)) == (name == "text.pt")
    assert "ran" not in capfd.readouterr().out


def test_a_file_that_changed_after_planning_is_refused(state, tmp_path):
    torch.save(state, tmp_path / "a.pt")
    more = {"weights": str(tmp_path / "a.pt"), "digest": "0" * 64}
    with pytest.raises(InputError, match="changed since the workflow was planned"):
        weights.initial(NETWORK | {"more": more}, 0)


# --- what torchvision and timm offer ---------------------------------------------------------------------


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No network, and empty caches."""

    def refuse(*_):
        raise OSError("Network is unreachable")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between attempts
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(
    ("name", "download"),
    [("torchvision/resnet18", True), ("torchvision/resnet18", False), ("timm/test_vit", True)],
)
def test_without_a_connection_default_weights_are_one_clear_line(offline, name, download):
    network = {"name": name, **COLOUR, "more": {"weights": "DEFAULT"}}
    with pytest.raises(InputError, match=r"^network\.weights = DEFAULT: [^\n]*$") as caught:
        weights.initial(network, 0, download)
    message = str(caught.value)
    assert "cannot be downloaded" in message and "give the path of" in message
    if name == "torchvision/resnet18":
        assert "resnet18-f37072fd.pth" in message
        assert ("data.download is false" in message) != download


def test_default_weights_that_are_there_need_no_connection(offline, tmp_path):
    from torchvision import models

    trained = models.resnet18(weights=None)
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    torch.save(trained.state_dict(), tmp_path / "hub/checkpoints/resnet18-f37072fd.pth")
    network = {"name": "torchvision/resnet18", **COLOUR, "more": {"weights": "DEFAULT"}}
    built = weights.initial(network, 0, download=False)
    assert torch.equal(built.layer1[0].conv1.weight, trained.layer1[0].conv1.weight)
    assert built.fc.weight.shape == (10, 512)


def test_planning_downloads_no_weights(offline):
    network = {"name": "torchvision/squeezenet1_1", "arguments": {}, "more": {"weights": "DEFAULT"}}
    assert inspect(network, [3, 64, 64], 10, ["Conv2d"], {}, ["features"])["shapes"] == {
        "features": [512, 3, 3]
    }


def test_other_networks_offer_none(state):
    with pytest.raises(InputError, match="lenet_small has no trained weights of its own"):
        weights.initial(NETWORK | {"more": {"weights": "DEFAULT"}}, 0)
    with pytest.raises(InputError, match="lenet_small has no preprocessing of its own"):
        preprocessing_of("lenet_small")


@pytest.mark.parametrize("size", [(32, 32), (256, 256), (40, 70), (300, 231)])
@pytest.mark.parametrize("name", ["resnet18", "vit_b_16", "swin_v2_t"])
def test_preprocessing_is_torchvisions(name, size):
    from torchvision import models

    expected = models.get_model_weights(name).DEFAULT.transforms()
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, *size), dtype=np.uint8))
    ours = preprocessing_of(f"torchvision/{name}")
    found = normalise(pixels, ours.mean, ours.std, ours.resizing)
    # torchvision rounds resized pixels to integers.
    wanted = expected(pixels)
    assert found.shape == wanted.shape == (2, *input_shape((3, *size), ours.resizing))
    assert float((found - wanted).abs().max()) < 0.51 / 255 / min(ours.std) + 1e-5


@pytest.mark.parametrize("crop", [(25, 38), (15, 38), (25, 30), (15, 31)])
@pytest.mark.parametrize("size", [20, (20, 35)])
def test_images_smaller_than_the_crop_get_a_black_margin_as_in_torchvision(size, crop):
    from torchvision.transforms import functional

    pixels = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (1, 3, 16, 28))).float()
    wanted = functional.center_crop(functional.resize(pixels, size), crop)
    torch.testing.assert_close(resize(pixels, size, crop, "bilinear"), wanted, atol=1e-3, rtol=0)


@pytest.mark.parametrize("share", [0.0, 0.009, 0.011])
def test_few_zeros_are_an_accident_unless_the_user_or_a_mask_says_otherwise(share, caplog):
    """Training in half precision leaves some weights at zero."""
    caplog.set_level("INFO", "prunescope")
    network = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 10))
    count = round(share * 10_000)
    with torch.no_grad():
        network[0].weight.view(-1)[:count] = 0
        network[1].weight[0] = 0
    zero = {name: network.get_parameter(name) != 0 for name in ("0.weight", "1.weight")}
    masks = weights.zeros(network, trained_further=False)
    assert torch.equal(masks["1.weight"], zero["1.weight"]), "a tenth of the layer"
    assert int((~masks["0.weight"]).sum()) == (count if share > 0.01 else 0)
    assert (f"{count} zeros are not" in caplog.text) == (0 < share < 0.01)
    assert torch.equal(weights.zeros(network, False, few=True)["0.weight"], zero["0.weight"])
    given = {"0.weight": zero["0.weight"]}
    assert torch.equal(weights.zeros(network, False, given)["0.weight"], zero["0.weight"])


def test_a_matrix_of_zeros_is_pruned_unless_the_network_is_trained_further():
    """Some networks initialise a whole matrix to zero."""
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with torch.no_grad():
        network[0].weight.zero_()
        network[1].weight[0, 1] = 0
    expected = torch.ones(2, 4, dtype=torch.bool)
    expected[0, 1] = False
    for trained_further in (True, False):
        masks = weights.zeros(network, trained_further)
        assert torch.equal(masks["1.weight"], expected)
        assert bool(masks["0.weight"].all()) == bool(masks["0.weight"].any()) == trained_further


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18", "mixer_b16_224.miil_in21k_ft_in1k"])
def test_preprocessing_is_timms(name):
    import timm.data
    from torchvision.transforms import CenterCrop, Resize

    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    ours = preprocessing_of(f"timm/{name}")
    assert (ours.mean, ours.std) == (tuple(config["mean"]), tuple(config["std"]))
    resize, crop = (
        next(step for step in timm.data.create_transform(**config).transforms if isinstance(step, kind))
        for kind in (Resize, CenterCrop)
    )
    assert ours.resizing["size"] == resize.size == math.floor(224 / config["crop_pct"])
    assert tuple(ours.resizing["crop"]) == tuple(crop.size)
    assert ours.resizing["interpolation"] == config["interpolation"]


def test_preprocessing_of_timm_that_is_squashed_or_not_square(monkeypatch):
    from types import SimpleNamespace as Config

    import timm

    for more, size in (
        ({"input_size": (3, 224, 112), "crop_pct": 0.9}, [248, 124]),
        ({"input_size": (3, 224, 224), "crop_pct": 0.9, "crop_mode": "squash"}, [248, 248]),
        ({"input_size": (3, 224, 224), "crop_pct": 0.9, "interpolation": "bilinear"}, 248),
    ):
        config = {"mean": (0.5,), "std": (0.2,), "crop_mode": "center", "interpolation": "bicubic", **more}
        monkeypatch.setattr(timm, "get_pretrained_cfg", lambda _, config=config: Config(**config))
        found = timm_networks.preprocessing("x")
        assert found.resizing == {
            "size": size,
            "crop": list(config["input_size"][1:]),
            "interpolation": config["interpolation"],
        }
        assert (found.mean, found.std) == ((0.5,), (0.2,))
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda _: None)
    with pytest.raises(InputError, match="normalisation = weights: timm has no trained weights for 'x'"):
        timm_networks.preprocessing("x")


# --- rounds ----------------------------------------------------------------------------------------------


def prepared(shape, classes=3, images=12) -> Prepared:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 256, (images, *shape), dtype=np.uint8), rng.integers(0, classes, images)] * 2
    names = tuple(map(str, range(classes)))
    mean, std = np.full(shape[0], 0.5), np.full(shape[0], 0.25)
    return Prepared("made", "up", *parts, names, mean=mean, std=std, digest="d")


def training(**more) -> Training:
    optimizer = {"name": "sgd", "lr": 0.01, "momentum": 0.9}
    return Training(epochs=1, optimizer=optimizer, batch_size=4, **more)


def test_a_sparse_network_stays_sparse_and_is_pruned_further(tmp_path):
    network = {"name": "lenet_small", "arguments": {}}
    sparse = build(**network, shape=SHAPE, classes=3, seed=3)
    with torch.no_grad():
        sparse.conv2.weight.flatten()[::2] = 0
        sparse.output.weight.flatten()[::4] = 0
        sparse.output.bias.zero_()
    torch.save(sparse.state_dict(), tmp_path / "sparse.pt")
    zero = {name: value == 0 for name, value in sparse.state_dict().items() if value.ndim > 1}
    this = Round(
        "e", 0, 0, network | {"more": {"weights": str(tmp_path / "sparse.pt")}}, training(), prepared(SHAPE)
    )
    dense = train_dense(this)
    for name, gone in zero.items():
        assert torch.equal(dense.checkpoint.weights[name] == 0, gone), "zeros stay, no other weight is zero"
    assert dense.checkpoint.weights["output.bias"].any(), "biases are not pruned"
    start = sum(int(gone.sum()) for gone in zero.values())
    assert dense.metrics["prunable"] - dense.metrics["prunable_kept"] == start

    settings = PruningSettings(prunable=["Conv2d"], rate=0.5)
    later = Round("e", 0, 1, this.network, training(), prepared(SHAPE))
    pruned = prune(later, settings, dense.checkpoint).checkpoint
    convolutions = [name for name in zero if name.startswith("conv")]
    left = sum(int((~zero[name]).sum()) for name in convolutions)
    gone = sum(int((pruned.weights[name] == 0).sum() - zero[name].sum()) for name in convolutions)
    assert gone == left // 2
    assert torch.equal(pruned.weights["output.weight"] == 0, zero["output.weight"]), (
        "not prunable, still zero"
    )


def test_rounds_see_images_as_the_weights_expect_them():
    """Training, checkpoint and counts use the network's input size."""
    network = {"name": "torchvision/mobilenet_v3_small", "arguments": {"width_mult": 0.3}}
    data = prepared((3, 12, 10), images=2)
    this = Round("e", 0, 0, network, training(normalisation="weights"), data)
    outcome = train_dense(this)
    entry = outcome.checkpoint.network
    expected = preprocessing_of("torchvision/mobilenet_v3_small")
    assert entry["shape"] == [3, 224, 224] and entry["more"] == {"resizing": expected.resizing}
    assert outcome.checkpoint.mean == list(expected.mean)
    assert isinstance(outcome.checkpoint.build(), nn.Module)
    with pytest.raises(InputError, match="values for 3 channels, but the images have 1"):
        train_dense(Round("e", 0, 0, network, this.training, prepared((1, 12, 10))))


def test_a_weight_whose_first_name_is_another_parameter_has_its_mask():
    """The output layer shares its weight with a table that is no layer's weight."""

    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.randn(10, 8))

    network = nn.Sequential(Table(), nn.Linear(8, 8), nn.Linear(8, 10, bias=False))
    network[2].weight = network[0].table
    with torch.no_grad():
        network[0].table[:5] = 0
    assert {name: [*of_layer] for name, of_layer in modules.weighted(network).items()} == {
        "1": ["1.weight"],
        "2": ["0.table"],
    }
    masks = weights.zeros(network, trained_further=True)
    assert [*masks] == ["1.weight", "0.table"] and masks["0.table"].float().mean() == 0.5
