"""Networks that do not do what one black image in evaluation mode shows."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

import prunescope as ps
from prunescope import kinds
from prunescope.activations import store
from prunescope.activations.record import extract
from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.networks.build import build, trace
from prunescope.networks.inspect import inspect
from prunescope.networks.outline import outline
from prunescope.plan import sizes
from prunescope.settings.activations import RecordingSettings

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 1, 6, 6)).astype(np.uint8)


class Call(nn.Module):
    """A module that computes any function."""

    def __init__(self, function):
        super().__init__()
        self.function, self.calls = function, 0

    def forward(self, x):
        self.calls += 1
        return self.function(self, x)


def network(*parts):
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *parts, nn.Flatten(), nn.LazyLinear(10))


@pytest.fixture
def planned(monkeypatch):
    """Inspect a network that a function makes, as a plan does."""

    load = kinds.load

    def planned(make, recorded, **options):
        monkeypatch.setattr(
            kinds, "load", lambda family, *n: make if family == "network" else load(family, *n)
        )
        return inspect(
            {"name": "lenet5", "arguments": {}}, [1, 6, 6], 10, ["Linear"], {}, recorded, **options
        )

    return planned


def recorded(net, layers, path):
    origin = {
        "experiment": "x",
        "seed": 1,
        "round": 2,
        "network": "n",
        "density": 1.0,
        "dataset": "d",
        "code": "c",
    }
    settings = RecordingSettings(layers=layers, view="flatten")
    extract(path, net, IMAGES, np.zeros(60, int), lambda images: images.float() / 255, settings, origin)


CHANCE, GROUPS = (
    "returns other values when the same images run again",
    "returns values that depend on the other images of a batch",
)
FAULTS = {
    "dropout": (partial(Call, lambda _, x: nn.functional.dropout(x, 0.05)), CHANCE),
    "noise": (partial(Call, lambda _, x: x + 0.1 * torch.randn_like(x)), CHANCE),
    "noise of NumPy": (partial(Call, lambda _, x: x * (1 + np.random.rand())), CHANCE),  # noqa: NPY002
    "noise of Python": (partial(Call, lambda _, x: x + random.random()), CHANCE),
    "counting": (partial(Call, lambda self, x: x + self.calls * x**2), CHANCE),
    "batch statistics": (partial(nn.BatchNorm2d, 4, track_running_stats=False), GROUPS),
    "mean of the batch": (partial(Call, lambda _, x: x - x.mean(0)), GROUPS),
    "order": (partial(Call, lambda _, x: x + x.roll(1, 0)), GROUPS),
    "images second": (partial(Call, lambda _, x: x.transpose(0, 1)), rf"({GROUPS}|returns \(4, 1, 6, 6\))"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_depends_on_chance_or_on_other_images_is_refused(fault, planned, tmp_path):
    """By the plan, by the job that records, and in a notebook."""
    module, words = FAULTS[fault]
    last = [Call(lambda _, x: x.transpose(0, 1))] if fault == "images second" else []
    make = partial(network, module(), *last)
    with pytest.raises(InputError, match=f"^activations.layers: module '1' {words}"):
        planned(make, ["1"])
    if not last:
        with pytest.raises(InputError, match=f"^network: Sequential {words}"):
            planned(make, ["0"])
    net = make()
    net(torch.zeros(2, 1, 6, 6))
    with pytest.raises(InputError, match=f"^activations.layers: module '?1'? {words}"):
        recorded(net, ["1"], tmp_path / "a.h5")
    with pytest.raises(InputError, match=f"^a: layers: module '?1'? {words}"):
        ps.compare_models(net, net, IMAGES / 255, {"1": "1"}, ["cka"], view="flatten")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "module",
    [
        *(nn.BatchNorm2d(4), nn.Dropout(), nn.GroupNorm(2, 4), nn.ReLU(inplace=True), nn.Softmax(0 + 1)),
        Call(lambda self, x: nn.functional.dropout(x, training=self.training)),
        Call(lambda _, x: x * 0),  # constant
        Call(lambda _, x: 1e3 + x),  # hardly varies
        Call(lambda _, x: x.half().float()),
        Call(lambda _, x: x / 0),  # not finite: an error of its own
    ],
)
def test_what_does_not_depend_on_chance_passes(module, planned):
    assert planned(partial(network, module), ["1"])["shapes"] == {"1": [4, 6, 6]}


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Call(lambda _, x: x * 1j), "returns complex numbers"),
        (Call(lambda _, x: x.to_sparse()), "returns a tensor of another kind (torch.sparse_coo)"),
        (Call(lambda _, x: [x]), "returns a list instead of one tensor"),
    ],
)
def test_outputs_that_are_no_array_of_real_numbers_are_refused(module, words, planned, tmp_path):
    def plain(_, x):
        x = x[0] if isinstance(x, list) else x
        return x.to_dense() if x.is_sparse else torch.view_as_real(x)[..., 0] if x.is_complex() else x

    net = network(module, Call(plain))
    net(torch.zeros(2, 1, 6, 6))
    with pytest.raises(InputError) as caught:
        planned(lambda: net, ["1"])
    assert f"activations.layers: module '1' {words}" in str(caught.value)
    with pytest.raises(InputError) as caught:
        recorded(net, ["1"], tmp_path / "a.h5")
    assert f"activations.layers: module 1 {words}" in str(caught.value)
    listed = outline(net, partial(trace, net, (1, 6, 6)))
    assert words in next(one for one in listed if one.name == "1").obstacle


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.BatchNorm2d])
@pytest.mark.parametrize(("images", "batch", "fails"), [(257, 128, True), (256, 128, False), (3, 1, True)])
def test_a_last_batch_of_one_image_is_refused_if_the_network_needs_two(norm, images, batch, fails, planned):
    make = partial(network, norm(4) if norm is nn.BatchNorm2d else nn.Sequential(nn.Flatten(), norm(144)))
    alone = planned(make, ["0"])["alone"]
    assert bool(alone) == (norm is nn.BatchNorm1d)
    experiment = {"training": {"examples": None, "validation": 10, "batch_size": batch}}
    data = {"train": images + 10}
    if fails and alone:
        with pytest.raises(
            InputError, match=f"^training.batch_size = {batch}: {images} training images leave"
        ):
            sizes._check_batches(experiment, data, alone)
    else:
        sizes._check_batches(experiment, data, alone)


def test_what_fails_in_training_mode_is_refused(planned):
    make = partial(network, Call(lambda self, x: None if self.training else x))
    with pytest.raises(InputError, match=r"^network: Sequential cannot be trained on a batch of 2 images"):
        planned(make, ["0"])


class Stubborn(nn.Sequential):
    """Its `train` and `to` return nothing."""

    def train(self, mode=True):
        super().train(mode)

    def to(self, *arguments, **options):
        super().to(*arguments, **options)


class Unmoved(nn.Sequential):
    """Its `train` does not reach its parts."""

    def train(self, mode=True):
        self.training = mode
        return self


def test_nothing_relies_on_what_train_returns(planned, tmp_path):
    make = partial(Stubborn, *network())
    assert planned(make, ["0"])["shapes"] == {"0": [4, 6, 6]}
    recorded(make(), ["0"], tmp_path / "a.h5")
    assert len(ps.compare_models(make(), make(), IMAGES / 255, {"0": "0"}, ["cka"], view="flatten"))
    with pytest.raises(InputError, match=CHANCE):
        planned(lambda: Unmoved(*network(nn.Dropout())), ["1"])


def boom(*_):
    raise AssertionError("compiled code ran")


class Wrapped(nn.Module):
    """What torch.compile(network) returns."""

    def __init__(self, network):
        super().__init__()
        self._orig_mod = network

    forward = boom


class Decorated(nn.Sequential):
    def forward(self, x):
        return boom()

    forward._torchdynamo_orig_callable = nn.Sequential.forward


def in_place():
    net = network()
    net._compiled_call_impl = net[0]._compiled_call_impl = boom
    return net


COMPILED = {
    "in place": in_place,
    "as a whole": lambda: Wrapped(network()),
    "a part": lambda: network(Wrapped(nn.ReLU())),
    "by a decorator": lambda: Decorated(*network()),
}


@pytest.mark.parametrize("form", COMPILED)
def test_compiled_networks_run_without_the_compiler(form, planned, tmp_path):
    """Compiled modules ignore hooks."""
    assert planned(COMPILED[form], ["0"])["shapes"] == {"0": [4, 6, 6]}
    net = build("lenet5", {}, [1, 6, 6], 10, 0)
    assert not [name for name in net.state_dict() if "_orig_mod" in name]
    recorded(net, ["0"], tmp_path / "a.h5")
    if form == "in place":
        net = in_place()
        net._compiled_call_impl = net[0]._compiled_call_impl = None
        net(torch.zeros(2, 1, 6, 6))
        net._compiled_call_impl = boom
        assert len(ps.compare_models(net, net, IMAGES / 255, {"0": "0"}, ["cka"], view="flatten"))
        assert net._compiled_call_impl is boom, "the network is not changed"


def test_torchscript_modules_can_be_planned(planned):
    """Their own modules take no hooks; a module around them does."""
    net = network()
    net(torch.zeros(2, 1, 6, 6))

    def make():
        return nn.Sequential(torch.jit.trace(net, torch.zeros(2, 1, 6, 6)), nn.Linear(10, 10))

    assert planned(make, ["1"])["shapes"] == {"1": [10]}
    assert planned(make, ["0"])["shapes"] == {"0": [10]}


@pytest.mark.slow
def test_torch_compiles_as_the_tests_above_do(planned):
    """Importing torch's compiler takes seconds."""

    class Compiled(nn.Sequential):
        @torch.compile(backend="eager")
        def forward(self, x):
            return super().forward(x)

    def make():
        net = Compiled(*network(torch.compile(nn.ReLU(), backend="eager")))
        net[0].compile(backend="eager")
        return torch.compile(net, backend="eager")

    before = torch._dynamo.utils.counters["frames"]["total"]
    assert planned(make, ["0", "1"])["shapes"] == {"0": [4, 6, 6], "1": [4, 6, 6]}
    assert torch._dynamo.utils.counters["frames"]["total"] == before


# --- names -----------------------------------------------------------------------------------------------

NAMES = ["a[0]", "conv:1", "*", "{x}", "<b>", 'q"q', "Conv2d", "é 🙂", "a\nb", "%s", "-", "x" * 300]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_modules_are_not_read_as_patterns(name, planned, tmp_path):
    def make():
        net = network()
        block = nn.Sequential()
        block.add_module(name, nn.Conv2d(4, 4, 3, padding=1))
        block.add_module("other", nn.Conv2d(4, 4, 3, padding=1))
        net.insert(1, block)
        return net

    full = f"1.{name}"
    for patterns in ([full], {"x": full}):
        layer = full if isinstance(patterns, list) else "x"
        if patterns == ["1.*"]:
            continue
        assert planned(make, patterns)["shapes"] == {layer: [4, 6, 6]}
        net = build("lenet5", {}, [1, 6, 6], 10, 0)
        recorded(net, patterns, tmp_path / "a.h5")
        with store.recordings([tmp_path / "a.h5"]) as (one,):
            assert list(one.matrices) == [layer]
    for pattern in (full, f"{full}.weight"):
        assert name == "*" or [*modules.prunable(net, [pattern])] == [f"{full}.weight"]
    table = ps.compare_models(net, net, IMAGES / 255, {full: full}, ["cka"], view="flatten")
    assert list(table["layer_a"]) == [full]


@pytest.mark.parametrize("name", ["a/b", "a\0b"])
def test_names_that_no_file_can_hold_are_refused(name, planned, tmp_path):
    def make():
        net = network()
        net.add_module(name, nn.Identity())
        return net

    with pytest.raises(InputError, match="contains a slash or a null character"):
        planned(make, [name])
    net = build("lenet5", {}, [1, 6, 6], 10, 0)
    with pytest.raises(InputError, match="contains a slash or a null character"):
        recorded(net, [name], tmp_path / "a.h5")
    assert planned(make, {"x": name})["shapes"] == {"x": [10]}, "a layer can have another name"
