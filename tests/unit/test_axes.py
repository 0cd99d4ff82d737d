"""Which axis of an output holds the units: never guessed, and the same for recording and planning."""

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import prunescope as ps
from prunescope.activations.record import extract
from prunescope.errors import InputError
from prunescope.networks.outline import outline
from prunescope.settings.activations import RecordingSettings

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 1, 6, 6)).astype(np.uint8)
ORIGIN = {
    "experiment": "x",
    "seed": 0,
    "round": 0,
    "network": "n",
    "density": 1.0,
    "dataset": "d",
    "code": "",
}


class Raw(nn.Module):
    """A block without modules that tell about its axes: (n, t, d) with 5 tokens."""

    def __init__(self, width, tokens=5):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(36, tokens * width))
        self.sizes = tokens, width

    def forward(self, images):
        return (images.flatten(1) @ self.weight).unflatten(1, self.sizes)


class Mixed(nn.Module):
    """Maps, sequences of both kinds, tokens and vectors."""

    def __init__(self):
        super().__init__()
        self.conv2d = nn.Conv2d(1, 4, 3, padding=1)
        self.act = nn.ReLU()
        self.conv1d = nn.Conv1d(4, 8, 3)
        self.norm = nn.BatchNorm1d(8)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool1d(2)
        self.stem = nn.Identity()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.gelu = nn.GELU()
        self.raw = Raw(7)
        self.after = nn.Identity()
        self.output = nn.Linear(8, 3)

    def forward(self, images):
        sequence = self.act(self.conv2d(images)).flatten(2)
        sequence = self.pool(self.relu(self.norm(self.conv1d(sequence))))
        tokens = self.gelu(self.layer(self.stem(sequence.transpose(1, 2))))
        raw = self.after(self.raw(images))
        return self.output(tokens.mean(1)) + raw.sum((1, 2))[:, None]


def mixed():
    torch.manual_seed(0)
    return Mixed().eval()


def axes_of(network, axes=None, images=IMAGES):
    run = lambda: network(torch.from_numpy(images[:1]).float())  # noqa: E731
    return {one.name: (one.axis, one.obstacle) for one in outline(network, run, axes)}


def outputs(network, *layers):
    found = {}
    for layer in layers:
        network.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: found.update({layer: output.detach().numpy()})
        )
    with torch.no_grad():
        network(torch.from_numpy(IMAGES).float() / 255)
    return found


def record(path, network, **settings):
    settings = RecordingSettings(**{"examples": None, "batch_size": 16} | settings)
    extract(path, network, IMAGES, np.zeros(40, int), lambda x: x.float() / 255, settings, ORIGIN)
    with h5py.File(path) as file:
        return {
            name: (data[...], data.attrs["grid"].tolist(), data.attrs["width"])
            for name, data in file["layers"].items()
        }


CHANNELS_FIRST = ("conv2d", "act", "conv1d", "norm", "relu", "pool")
TOKENS = ("stem", "layer", "gelu")


def test_axes_come_from_the_modules():
    found = axes_of(mixed())
    assert {found[name] for name in CHANNELS_FIRST} == {(1, "")}
    assert {found[name] for name in TOKENS} == {(2, "")}
    assert found["output"] == (1, "") and found["raw"] == found["after"] == (None, "")


@pytest.mark.parametrize(
    "axes", ["last", {"Raw": "last", "after": "last"}, {"*": "first", "a*": "last", "Raw": "last"}]
)
def test_axes_of_the_user_apply_where_the_network_shows_nothing(axes):
    found = axes_of(mixed(), axes)
    assert found["raw"] == found["after"] == (2, "")
    assert {found[name] for name in CHANNELS_FIRST if name != "act"} == {(1, "")}
    assert found["layer"] == (2, "")
    if axes == "last":
        assert found["act"] == (1, ""), "the convolution before it has the same shape"
    assert axes_of(mixed(), {"after": "first"})["raw"] == (None, "")


def test_one_experiment_records_maps_sequences_tokens_and_vectors(tmp_path):
    layers = [*CHANNELS_FIRST, *TOKENS, "raw", "output"]
    found = record(tmp_path / "a.h5", mixed(), layers=layers, axes={"Raw": "last"})
    expected = outputs(mixed(), *layers)
    for name in layers:
        output = expected[name]
        units_last = np.moveaxis(output, 1, -1) if name in CHANNELS_FIRST else output
        rows, grid, width = found[name]
        np.testing.assert_allclose(
            rows, units_last.reshape(-1, units_last.shape[-1]), atol=1e-5, err_msg=name
        )
        assert (grid, width) == ([*units_last.shape[1:-1]], units_last.shape[-1])
    pooled = record(tmp_path / "b.h5", mixed(), layers=layers, axes="last", view="pooled")
    for name in ("norm", "layer", "raw"):
        mean = expected[name].mean(axis=2 if name == "norm" else 1)
        np.testing.assert_allclose(pooled[name][0], mean, atol=1e-5)
    named = record(tmp_path / "c.h5", mixed(), layers=["norm", "layer", "output"], token=3)
    np.testing.assert_allclose(named["norm"][0], expected["norm"][:, :, 3], atol=1e-5)
    np.testing.assert_allclose(named["layer"][0], expected["layer"][:, 3], atol=1e-5)
    assert {tuple(grid) for _, grid, _ in named.values()} == {()}


@pytest.mark.parametrize("view", ["channels", "tokens", "pooled"])
def test_an_axis_that_nothing_shows_is_not_guessed(tmp_path, view):
    with pytest.raises(InputError, match=r"'raw' has shape \(n, 5, 7\).*activations.axes to \{raw: first\}"):
        record(tmp_path / "a.h5", mixed(), layers=["raw"], view=view)
    flat = record(tmp_path / "a.h5", mixed(), layers=["raw"], view="flatten")["raw"]
    assert flat[0].shape == (40, 35) and flat[2] == 35


def test_a_square_output_may_be_transposed_so_other_modules_show_nothing():
    network = nn.Sequential(nn.Conv1d(6, 6, 1), nn.ReLU(), nn.BatchNorm1d(6), nn.Flatten(), nn.Linear(36, 2))
    found = axes_of(network.eval(), images=IMAGES[:, 0])
    assert [axis for axis, _ in found.values()] == [1, None, 1, 1, 1]


def test_modules_whose_outputs_disagree_show_nothing():
    network = nn.Sequential(nn.Conv1d(6, 4, 2), nn.ReLU(), nn.LayerNorm(5), nn.Flatten(), nn.Linear(20, 2))
    assert axes_of(network.eval(), images=IMAGES[:, 0])["1"] == (None, "")


class Channelwise(nn.LayerNorm):
    def forward(self, images):
        return super().forward(images.movedim(1, -1)).movedim(-1, 1)


def test_a_class_derived_from_layer_norm_may_normalise_channels():
    network = nn.Sequential(nn.Conv2d(1, 6, 3), Channelwise(6), nn.Flatten(), nn.Linear(96, 2))
    assert axes_of(network.eval())["1"] == (1, "")
    assert axes_of(nn.Sequential(nn.Unflatten(2, (2, 3)), nn.LayerNorm(6)).eval())["1"] == (4, "")


def test_the_first_axis_must_be_that_of_the_images():
    """TransformerEncoderLayer has (tokens, n, width) by default."""
    network = mixed()
    network.layer = nn.TransformerEncoderLayer(8, 2, 16)
    network.stem.register_forward_hook(lambda _module, _inputs, output: output.transpose(0, 1))
    network.gelu.register_forward_pre_hook(lambda _module, inputs: inputs[0].transpose(0, 1))
    assert "its first axis is not that of the images" in axes_of(network.eval())["layer"][1]


class Once(nn.Module):
    """Runs its module only for a full batch, or twice."""

    def __init__(self, passes):
        super().__init__()
        self.linear, self.passes = nn.Linear(36, 4), passes

    def forward(self, images):
        images = images.flatten(1)
        for _ in range(self.passes if len(images) == 16 else 1):
            output = self.linear(images)
        return output if self.passes else images


@pytest.mark.parametrize("passes", [0, 2])
def test_a_module_must_run_once_in_every_batch(tmp_path, passes):
    with pytest.raises(
        InputError, match=rf"layer linear of round 0 has outputs for {8 + 32 * passes} instead"
    ):
        record(tmp_path / "a.h5", Once(passes), layers=["linear"])
    assert not list(tmp_path.iterdir())


def test_models_in_a_notebook():
    """Conv1d is not transposed, in any view; all pairs of layers whose positions correspond have values."""
    a, b, images = mixed(), Mixed().eval(), torch.from_numpy(IMAGES).float() / 255
    x, y = outputs(a, "conv1d")["conv1d"], outputs(b, "conv1d")["conv1d"]
    rows = [np.moveaxis(output, 1, 2).reshape(-1, 8) for output in (x, y)]
    table = ps.compare_models(a, b, images, ["conv1d"], ["cka"])
    assert table["width_a"][0] == 8 and table["n"][0] == 40 * 34
    assert table["value"][0] == pytest.approx(ps.compare(*rows, ["cka"], images=40)["value"][0], abs=1e-5)
    table = ps.compare_models(a, b, images, ["conv1d"], ["cka"], view="pooled")
    expected = ps.compare(x.mean(2), y.mean(2), ["cka"])
    assert table["value"][0] == pytest.approx(expected["value"][0], abs=1e-5)
    with pytest.raises(InputError, match=r"a: layers: .* set axes to \{raw: first\}"):
        ps.compare_models(a, b, images, ["raw"], ["cka"])
    layers = ["conv2d", "conv1d", "relu", "pool", "layer", "raw", "output"]
    every = ps.compare_models(a, b, images, layers, ["cka"], pairs="all-layers", axes={"raw": "last"})
    groups = [{"conv2d"}, {"conv1d", "relu"}, {"pool", "layer"}, {"raw"}, {"output"}]
    same = [
        any({one, other} <= group for group in groups)
        for one, other in every[["layer_a", "layer_b"]].to_numpy()
    ]
    assert len(every) == len(layers) ** 2 and list(dict.fromkeys(every["layer_a"])) == layers
    assert every["value"].notna().tolist() == same
    assert (every["status"] == "other positions").tolist() == [not one for one in same]
    none = ps.compare_models(a, b, images, {"conv2d": "conv1d"}, ["cka"], pairs="all-layers")
    assert list(none) == list(every) and none["status"].tolist() == ["other positions"]
