"""Hooks, views and files: what is recorded, in which order, and what cannot be recorded."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from prunescope import kinds
from prunescope.activations import record as recording
from prunescope.activations import store
from prunescope.activations.record import extract, rotate
from prunescope.errors import InputError
from prunescope.settings.activations import RecordingSettings
from prunescope.settings.similarity import Similarity
from prunescope.similarity import moments
from prunescope.similarity.matrix import compare_round
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.pairs import Pair
from prunescope.similarity.scores import compare
from prunescope.similarity.whitening import represent

VIEWS = list(kinds.known("view"))

ORIGIN = {
    "experiment": "x",
    "seed": 1,
    "round": 2,
    "network": "tiny",
    "density": 0.5,
    "dataset": "abc",
    "code": "c",
}
IMAGES = np.random.default_rng(0).integers(0, 256, (60, 1, 6, 6)).astype(np.uint8)
LABELS = np.arange(60) % 10


def tiny(seed=0):
    torch.manual_seed(seed)
    layers = {
        "conv": nn.Conv2d(1, 5, 3, padding=1),
        "norm": nn.BatchNorm2d(5),
        "relu": nn.ReLU(),
        "pool": nn.MaxPool2d(2),
        "flat": nn.Flatten(),
        "dropout": nn.Dropout(0.5),
        "output": nn.Linear(45, 10),
    }
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return network


def prepare(images):
    return images.float() / 255


def record(path, network=None, settings=None, images=IMAGES, **keywords):
    settings = settings or RecordingSettings(**{"layers": ["relu", "pool", "output"]} | keywords)
    extract(path, network or tiny(), images, LABELS, prepare, settings, ORIGIN)
    with h5py.File(path) as file:
        layers = {name: data[...] for name, data in file["layers"].items()}
        return layers, {name: dict(data.attrs) for name, data in file["layers"].items()}, dict(file.attrs)


def forward(until, network=None):
    network = (network or tiny()).eval()
    with torch.no_grad():
        x = prepare(torch.from_numpy(IMAGES))
        for name, layer in network.named_children():
            x = layer(x)
            if name == until:
                return x.numpy()


def test_views_on_a_known_tensor():
    output = torch.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2).float()
    view = {name: kinds.load("view", name) for name in VIEWS}
    channels = view["channels"].to_rows(output, 1)
    assert channels.shape == (8, 3)
    assert channels[1].tolist() == [1, 5, 9] and channels[4].tolist() == [12, 16, 20]
    assert view["channels"].to_rows(output, 1, torch.tensor([0, 3]))[:2].tolist() == [
        [0, 4, 8],
        [3, 7, 11],
    ]
    assert view["flatten"].to_rows(output, 1)[1].tolist() == list(range(12, 24))
    assert view["pooled"].to_rows(output, 1).tolist() == [[1.5, 5.5, 9.5], [13.5, 17.5, 21.5]]
    matrix = torch.ones(4, 7)
    assert all(torch.equal(this.to_rows(matrix, 1), matrix) for this in view.values())


@pytest.mark.parametrize("batch_size", [7, 60, 1000])
def test_channels(tmp_path, batch_size):
    layers, attributes, origin = record(tmp_path / "a.h5", examples=None, batch_size=batch_size)
    expected = forward("relu").transpose(0, 2, 3, 1).reshape(-1, 5)
    np.testing.assert_allclose(layers["relu"], expected, atol=1e-5)
    assert layers["relu"].dtype == np.float32
    assert layers["pool"].shape == (60 * 9, 5) and layers["output"].shape == (60, 10)
    np.testing.assert_allclose(layers["output"], forward("output"), atol=1e-5)
    assert attributes["relu"]["shape"].tolist() == [5, 6, 6] and attributes["relu"]["width"] == 5
    assert attributes["relu"]["positions"].tolist() == list(range(36))
    assert attributes["relu"]["grid"].tolist() == [6, 6] and attributes["output"]["grid"].tolist() == []
    assert sorted(attributes, key=lambda name: attributes[name]["order"]) == ["relu", "pool", "output"]
    assert origin == ORIGIN | {"schema": 3, "view": "channels", "positions": "all"}


def test_before_and_after_the_activation_function(tmp_path):
    layers, _, _ = record(tmp_path / "a.h5", layers=["BatchNorm2d", "ReLU"], examples=None)
    assert layers["norm"].min() < 0
    np.testing.assert_array_equal(np.maximum(layers["norm"], 0), layers["relu"])


def test_outputs_are_recorded_before_a_later_module_overwrites_them(tmp_path):
    network = tiny()
    network.relu = nn.ReLU(inplace=True)
    layers, _, _ = record(tmp_path / "a.h5", network, layers=["norm", "relu"], examples=None)
    expected = forward("norm").transpose(0, 2, 3, 1).reshape(-1, 5)
    np.testing.assert_allclose(layers["norm"], expected, atol=1e-5)
    assert layers["norm"].min() < 0 <= layers["relu"].min()


def test_sampled_positions_are_rows_of_all_positions(tmp_path):
    everything, _, _ = record(tmp_path / "all.h5", examples=None)
    sampled, attributes, _ = record(tmp_path / "some.h5", examples=None, positions=4)
    positions = attributes["relu"]["positions"]
    assert len(set(positions)) == 4 and list(positions) == sorted(positions)
    np.testing.assert_array_equal(
        sampled["relu"], everything["relu"].reshape(60, 36, 5)[:, positions].reshape(-1, 5)
    )
    _, attributes, _ = record(tmp_path / "other.h5", tiny(seed=5), examples=None, positions=4)
    assert np.array_equal(attributes["relu"]["positions"], positions)
    many, attributes, _ = record(tmp_path / "many.h5", examples=None, positions=10)
    assert many["pool"].shape == (60 * 9, 5) and many["relu"].shape == (60 * 10, 5)


def test_flatten_and_pooled(tmp_path):
    layers, _, _ = record(tmp_path / "a.h5", examples=None, view="flatten", layers=["pool", "output"])
    np.testing.assert_allclose(layers["pool"], forward("pool").reshape(60, 45), atol=1e-5)
    layers, _, _ = record(tmp_path / "a.h5", examples=None, view="pooled")
    np.testing.assert_allclose(layers["relu"], forward("relu").mean(axis=(2, 3)), atol=1e-5)
    assert layers["output"].shape == (60, 10)


def test_scratch_space_is_on_the_disk_of_the_result(tmp_path, monkeypatch):
    """The folder for temporary files is often small, or memory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    layers, _, _ = record(tmp_path / "a.h5", examples=20, view="flatten")
    assert layers["relu"].shape == (20, 20)


def test_wide_flatten_is_rotated_and_nothing_is_lost(tmp_path):
    networks = [tiny(0), tiny(1)]
    stored, full = [], []
    for i, network in enumerate(networks):
        path = tmp_path / f"{i}.h5"
        layers, attributes, _ = record(path, network, examples=None, view="flatten", batch_size=25)
        assert layers["relu"].shape == (60, 60) and attributes["relu"]["width"] == 180
        assert layers["pool"].shape == (60, 45)
        stored.append(layers["relu"])
        full.append(forward("relu", networks[i]).reshape(60, 180))
    centred = full[0] - full[0].mean(axis=0)
    np.testing.assert_allclose(stored[0] @ stored[0].T, centred @ centred.T, atol=1e-4)
    spread = stored[0].var(axis=0)
    assert (np.diff(spread) <= 1e-9).all()
    measures = ["svcca", "svcca_trim98", "cka", "cka_debiased", "nbs"]

    def scores(matrices):
        gram = moments.all_pairs(matrices)
        pair = Pair(*(represent(gram.moments(i), 0.9) for i in (0, 1)), gram.cross(0, 1))
        return [score.value for score in compare(pair, [load_measure(name) for name in measures])]

    assert scores(stored) == pytest.approx(scores(full), abs=1e-6)
    frame = compare_round([tmp_path / "0.h5", tmp_path / "1.h5"], Similarity(measures=["cka"])).to_pandas()
    assert set(frame[frame.layer_a == "relu"].width_a) == {180}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0.h5", "1.h5"]


@pytest.mark.parametrize(("block", "blocks"), [(2**23, 1), (40 * 120, 5), (39, 500)])
def test_rotation_in_column_blocks(monkeypatch, block, blocks):
    matrix, read = np.random.default_rng(0).standard_normal((40, 500)) + 50, []

    class Columns:
        shape = matrix.shape

        def __getitem__(self, place):
            read.append(place)
            return matrix[place]

    assert recording.BLOCK == 2**23, "64 MB"
    monkeypatch.setattr(recording, "BLOCK", block)
    rotated = rotate(Columns())
    assert len(read) == blocks
    centred = matrix - matrix.mean(axis=0)
    np.testing.assert_allclose(rotated @ rotated.T, centred @ centred.T, atol=1e-9)
    gram = rotated.T @ rotated
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9)


def test_examples_are_the_same_for_every_network(tmp_path):
    chosen = []
    for seed in (0, 1):
        record(tmp_path / "a.h5", tiny(seed), examples=20)
        with h5py.File(tmp_path / "a.h5") as file:
            chosen.append(file["examples"][...])
            np.testing.assert_array_equal(file["labels"], LABELS[chosen[-1]])
    np.testing.assert_array_equal(*chosen)
    assert len(set(chosen[0])) == 20 and list(chosen[0]) == sorted(chosen[0])
    everything, _, _ = record(tmp_path / "all.h5", examples=None)
    some, _, _ = record(tmp_path / "some.h5", examples=20)
    np.testing.assert_allclose(some["output"], everything["output"][chosen[0]], atol=1e-5)


def test_convolutions_are_deterministic_and_precise_while_they_are_recorded(tmp_path, monkeypatch):
    """Otherwise GPU and CPU would differ in the third digit."""
    seen, cudnn = [], torch.backends.cudnn
    network = tiny()
    network.norm.register_forward_hook(
        lambda *_: seen.append((cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32))
    )
    before = cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32
    record(tmp_path / "a.h5", network, examples=None)
    assert set(seen) == {(True, False, True, False)}
    assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32) == before


def test_evaluation_mode_and_hooks_removed(tmp_path):
    network = tiny().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, _, _ = record(tmp_path / "a.h5", network, examples=None)
    second, _, _ = record(tmp_path / "a.h5", network, examples=None)
    np.testing.assert_array_equal(first["output"], second["output"])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_a_batch_that_does_not_fit_into_memory_is_halved(tmp_path):
    def narrow(images):
        if len(images) > 20:
            raise MemoryError
        return prepare(images)

    settings = RecordingSettings(layers=["relu", "output"], examples=60, batch_size=50)
    extract(tmp_path / "a.h5", tiny(), IMAGES, LABELS, narrow, settings, ORIGIN)
    record(tmp_path / "b.h5", layers=["relu", "output"], examples=60, batch_size=12)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_hooks_are_removed_after_an_error(tmp_path):
    network = tiny()
    with pytest.raises(RuntimeError):
        record(tmp_path / "a.h5", network, examples=None, images=IMAGES[:, :, :2, :2])
    assert not any(module._forward_hooks for module in network.modules())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compression", ["none", "lzf", "gzip"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_formats(tmp_path, compression, dtype):
    plain, _, _ = record(tmp_path / "plain.h5", examples=None)
    layers, _, _ = record(tmp_path / "a.h5", examples=None, compression=compression, dtype=dtype)
    assert layers["relu"].dtype == dtype
    np.testing.assert_array_equal(layers["relu"], plain["relu"].astype(dtype))
    few = {"images": IMAGES[:2], "examples": None, "batch_size": 1}
    single, _, _ = record(tmp_path / "b.h5", compression=compression, dtype=dtype, **few)
    np.testing.assert_allclose(single["output"], layers["output"][:2], rtol=2e-3, atol=1e-3)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["layers/relu"].compression == (None if compression == "none" else compression)


@pytest.mark.parametrize(("columns", "each"), [(256, 1024), (2**18, 1), (2**19, 1), (768, 320), (16, 2048)])
def test_chunks_of_compressed_layers_are_a_megabyte(tmp_path, columns, each):
    """Or a batch, or a row, or a part of a batch that divides it evenly; 768 · 4 · 320 is just below."""
    images = 2560 if columns == 768 else 2048
    layout = store.Layout(0, (columns,), (), np.arange(1), 2 * images, columns, columns)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        writer = store.Writer(file, "x", layout, images, "float32", "lzf")
        assert writer.data.chunks == (each, columns)


def test_float16_changes_measures_little(tmp_path):
    values = []
    for dtype in ("float32", "float16"):
        paths = [tmp_path / f"{dtype}{seed}.h5" for seed in (0, 1)]
        for seed, path in enumerate(paths):
            record(path, tiny(seed), examples=None, dtype=dtype)
        frame = compare_round(paths, Similarity(measures=list(kinds.known("measure")))).to_pandas()
        values.append(frame.value)
    np.testing.assert_allclose(*values, atol=2e-3)


@pytest.mark.parametrize("view", ["channels", "flatten"])
def test_same_bytes(tmp_path, view):
    for name in ("a.h5", "b.h5"):
        record(tmp_path / name, examples=40, view=view, compression="gzip")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.flat, self.linear, self.relu = nn.Flatten(), nn.Linear(36, 36), nn.ReLU()
        self.unused = nn.Linear(3, 3)
        self.pair = TwoTensors()

    def forward(self, x):
        x = self.relu(self.linear(self.flat(x)))
        return self.pair(self.relu(self.linear(x)))[0].flatten(1)


class TwoTensors(nn.Module):
    def __init__(self):
        super().__init__()
        self.fold = nn.Unflatten(1, (6, 6))

    def forward(self, x):
        x = self.fold(x)
        return x, x


@pytest.mark.parametrize(
    "layer, words",
    [
        ("relu", ["more than once"]),
        ("pair", ["returns a tuple instead of one tensor"]),
        ("pair.fold", ["(n, 6, 6)", "activations.axes to {pair.fold: first}"]),
        ("unused", ["never runs"]),
        ("rleu", ["'rleu'", "matches no module"]),
    ],
)
def test_modules_that_cannot_be_recorded(tmp_path, layer, words):
    with pytest.raises(InputError) as error:
        record(tmp_path / "a.h5", Twice(), layers=[layer], examples=None)
    message = str(error.value)
    assert "\n" not in message and "activations.layers" in message
    assert all(word in message for word in [layer, *words])
    assert not list(tmp_path.iterdir())


def test_too_few_examples(tmp_path):
    with pytest.raises(InputError, match=r"activations\.examples = 61: there are only 60 test images"):
        record(tmp_path / "a.h5", examples=61)


def test_the_default_number_of_examples_is_at_most_as_many(tmp_path):
    record(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["examples"][:].tolist() == list(range(60))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_activations_that_are_not_finite(tmp_path, bad):
    network = tiny()
    with torch.no_grad():
        network.output.bias[3] = bad
    with pytest.raises(
        InputError,
        match=r"layer output of round 2: 60 of 600 activations are NaN or infinite; check its training$",
    ):
        record(tmp_path / "a.h5", network, examples=None, batch_size=7)
    assert not list(tmp_path.iterdir())


def test_values_too_large_for_float16(tmp_path):
    network = tiny()
    with torch.no_grad():
        network.output.bias[3] = 1e5
    with pytest.raises(InputError, match=r"60 of 600 .* use float32"):
        record(tmp_path / "a.h5", network, examples=None, dtype="float16")
    record(tmp_path / "a.h5", network, examples=None)


def test_a_rotation_too_large_for_float16(tmp_path):
    """Every activation is within the range of float16, but not their norm over many units."""
    network, wide = tiny(), {"examples": 10, "layers": ["relu"], "view": "flatten"}
    images = np.broadcast_to((np.arange(60) % 2 * 255).astype(np.uint8)[:, None, None, None], IMAGES.shape)
    every = {"examples": None, "layers": ["relu"], "images": images}
    largest = np.abs(record(tmp_path / "a.h5", network, **every)[0]["relu"]).max()
    with torch.no_grad():
        for parameter in network.conv.parameters():
            parameter *= 6e4 / largest
    record(tmp_path / "b.h5", network, **every, dtype="float16")
    wide["images"] = images
    assert np.abs(record(tmp_path / "c.h5", network, **wide)[0]["relu"]).max() > 65504
    with pytest.raises(InputError, match=r"dtype = float16: layer relu .* rotated, .* use float32"):
        record(tmp_path / "d.h5", network, **wide, dtype="float16")
    assert not (tmp_path / "d.h5").exists()


def test_a_full_disk_is_one_line_whatever_the_format(tmp_path):
    """In a separate process with files limited to 20 kB: no deferred write may kill it later."""
    formats = [{"compression": "lzf"}, {"compression": "gzip"}, {"view": "flatten"}]
    program = f"""
import resource, sys
from test_activations import record
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for settings in {formats}:
    try:
        record(sys.argv[1], examples=None, **settings)
    except Exception as error:
        print(f"{{type(error).__name__}}: {{error}}", flush=True)
"""
    path = tmp_path / "a.h5"
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{here}:{here.parents[1] / 'workflow/scripts'}"},
    )
    assert done.returncode == 0 and not list(tmp_path.iterdir()), done.stderr
    line = f"InputError: {path}: cannot be written: File too large"
    assert [text[: len(line)] for text in done.stdout.splitlines()] == len(formats) * [line]


@pytest.mark.parametrize("view", VIEWS)
def test_units_that_never_vary(tmp_path, view):
    """They are constant in all positions of the output, whichever are recorded."""
    network = tiny()
    with torch.no_grad():
        network.norm.bias[1] = -100  # so the unit is zero behind the activation function
        network.conv.weight[2] = 0
        network.norm.running_mean[3] = 1e4  # so the unit is constant up to rounding
        network.norm.weight[3] = 1e-5
        network.output.weight[4] = 0
    layers = ["conv", "relu", "pool", "output"]
    settings = RecordingSettings(layers=layers, view=view, positions=3, batch_size=7)
    found = extract(tmp_path / "a.h5", network, IMAGES, LABELS, prepare, settings, ORIGIN)
    assert {layer: one["constant"] for layer, one in found.items()} == {
        "conv": [2],
        "relu": [1, 2, 3],
        "pool": [1, 2, 3],
        "output": [4],
    }
    assert [found[layer]["units"] for layer in layers] == [5, 5, 5, 10]


def test_units_on_the_last_axis_and_units_that_are_not_known(tmp_path):
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.odd, self.output = nn.Linear(6, 4), nn.Identity(), nn.Linear(24, 10)

        def forward(self, x):
            x = self.embed(x[:, 0])
            return self.output(self.odd(x.flatten(1).unflatten(1, (3, 8))).flatten(1))

    network = Tokens()
    with torch.no_grad():
        network.embed.weight[3] = 0
    settings = RecordingSettings(layers=["embed", "odd"], view="flatten")
    found = extract(tmp_path / "a.h5", network, IMAGES, LABELS, prepare, settings, ORIGIN)
    assert found == {"embed": {"units": 4, "constant": [3]}}
