"""Architectures are as published, weights depend only on the seed, misfits give one clear line."""

import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from prunescope import kinds
from prunescope.errors import InputError
from prunescope.networks import build as building
from prunescope.networks import modules, preprocessing, torchvision
from prunescope.networks.inspect import inspect
from prunescope.networks.lenet import lenet5
from prunescope.networks.masks import census

COLOUR, GREY, SMALL = (3, 32, 32), (1, 28, 28), (1, 8, 8)


def convolution(width):
    """Multiply-accumulates of a 3×3 convolution from `width` to `width` channels on 32×32 maps.

    A convolution with twice the channels on maps of half the size takes as many, and one that doubles the
    channels half of it.
    """
    return width * width * 9 * 32**2


# Parameters as the papers and their published code count them (for 10 classes), and multiply-accumulates by
# hand: those of convolutions depend on paddings, strides and pools.
PARAMETERS = {
    "lenet5": (GREY, 44_426, 6 * 25 * 24**2 + 6 * 16 * 25 * 8**2 + 256 * 120 + 120 * 84 + 84 * 10),
    "lenet300": (GREY, 266_610, 784 * 300 + 300 * 100 + 100 * 10),
    "conv2": (COLOUR, 4_301_642, convolution(64) + 3 * 64 * 9 * 32**2 + (64 * 16**2 + 256 + 10) * 256),
    "conv4": (
        COLOUR,
        2_425_930,
        5 * convolution(64) // 2 + 3 * 64 * 9 * 32**2 + (128 * 8**2 + 256 + 10) * 256,
    ),
    "conv6": (COLOUR, 2_262_602, 4 * convolution(64) + 3 * 64 * 9 * 32**2 + (256 * 4**2 + 256 + 10) * 256),
    "vgg_svhn": (COLOUR, 586_154, 3 * 32 * 9 * 32**2 + 9 * convolution(32) // 2 + 256 * 10),
    "vgg16_bn": (COLOUR, 14_728_266, 3 * 64 * 9 * 32**2 + 33 * convolution(64) // 4 + 512 * 10),
    "resnet20": (COLOUR, 272_474, 3 * 16 * 9 * 32**2 + 17 * convolution(16) + 2 * 16 * 32 * 16**2 + 64 * 10),
    "resnet_cifar10_fast": (COLOUR, 6_573_120, 3 * 64 * 9 * 32**2 + 10 * convolution(64) + 512 * 10),
    "lenet_small": (SMALL, 7_818, 8 * 9 * 8**2 + 8 * 16 * 9 * 4**2 + 64 * 64 + 64 * 32 + 32 * 10),
}


def build(name, shape, classes=10, seed=0, **arguments):
    return building.build(name, arguments, shape, classes, seed)


def test_every_network_is_covered_here():
    assert set(PARAMETERS) | {"torchvision", "timm"} == set(kinds.known("network"))


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_structure(name):
    shape, parameters, operations = PARAMETERS[name]
    network = build(name, shape)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert census(network, {}, shape)["macs_dense"] == operations

    calls = dict.fromkeys((m for m in network.modules() if not list(m.children())), 0)

    def count(module, _inputs, _output):
        calls[module] += 1

    for module in calls:
        module.register_forward_hook(count)
    assert network(torch.zeros(2, *shape)).shape == (2, 10)
    assert set(calls.values()) == {1}, "a module that runs twice cannot be recorded"
    assert not any(getattr(module, "inplace", False) for module in calls)
    linear = [dotted for dotted, module in network.named_modules() if isinstance(module, nn.Linear)]
    assert linear[-1] == "output"


def test_lenet5_is_the_papers_256_120_84_10():
    sizes = [m.weight.shape for m in build("lenet5", GREY).modules() if isinstance(m, nn.Linear)]
    assert sizes == [(120, 256), (84, 120), (10, 84)]


def test_lottery_ticket_networks_start_from_glorot_normal_weights():
    weight = build("lenet300", GREY).linear1.weight
    assert float(weight.detach().std()) == pytest.approx((2 / (784 + 300)) ** 0.5, rel=0.02)
    assert not build("lenet300", GREY).linear1.bias.any()


@pytest.mark.parametrize("name", ["resnet20", "vgg16_bn"])
def test_networks_of_open_lth_start_from_he_normal_weights_and_uniform_scales(name):
    modules = list(build(name, COLOUR).modules())
    largest = max((m for m in modules if isinstance(m, nn.Conv2d)), key=lambda m: m.weight.numel())
    assert float(largest.weight.detach().std()) == pytest.approx(
        (2 / largest.weight[0].numel()) ** 0.5, rel=0.02
    )
    scales = torch.cat([m.weight.detach() for m in modules if isinstance(m, nn.BatchNorm2d)])
    assert 0 <= float(scales.min()) < 0.05 and 0.95 < float(scales.max()) <= 1
    assert float(scales.mean()) == pytest.approx(0.5, abs=0.05)


def test_outputs_of_cifar10_fast_are_an_eighth_of_those_of_its_last_layer():
    network, images = build("resnet_cifar10_fast", COLOUR).eval(), torch.ones(1, *COLOUR)
    assert torch.equal(network(images), network[:-1](images) / 8)


def test_seed_determines_the_weights_and_leaves_the_global_state_unchanged():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (
        build("lenet5", GREY, seed=1),
        build("lenet5", GREY, seed=1),
        build("lenet5", GREY, seed=2),
    )
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_all_random_numbers_of_a_network_depend_on_the_seed(monkeypatch):
    def drawing(shape, classes):
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
        network.drawn = random.random(), np.random.random(), float(torch.rand(()))  # noqa: NPY002
        return network

    monkeypatch.setattr(kinds, "load", lambda *_: drawing)
    drawn = [build("lenet_small", SMALL, seed=seed).drawn for seed in (1, 1, 65, 2**32 + 2)]
    assert drawn[0] == drawn[1] and all(len(set(numbers)) == 3 for numbers in zip(*drawn[1:], strict=True))


def test_builds_without_weights():
    with torch.device("meta"):
        network = build("vgg_svhn", COLOUR)
    assert all(parameter.is_meta for parameter in network.parameters())


def test_channels_size_and_classes_follow_the_data():
    assert build("lenet5", (3, 36, 32), classes=7)(torch.zeros(1, 3, 36, 32)).shape == (1, 7)
    assert build("resnet20", (1, 28, 28), classes=26)(torch.zeros(1, 1, 28, 28)).shape == (1, 26)


def test_torchvision_networks_by_name():
    network = build("torchvision/resnet18", GREY, classes=7, zero_init_residual=True)
    assert network(torch.zeros(2, *GREY)).shape == (2, 7)
    assert network.conv1.in_channels == 1
    assert not network.layer1[0].bn2.weight.any()


def test_torchvision_networks_for_colour_images_are_unchanged():
    """Only another number of channels replaces the first convolution, which draws its weights again."""
    torch.manual_seed(0)
    ours = torchvision.torchvision("squeezenet1_1", COLOUR, 10)
    torch.manual_seed(0)
    theirs = models.squeezenet1_1(num_classes=10)
    pairs = zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "shape", "arguments", "message"),
    [
        (
            "lenet",
            GREY,
            {},
            "network.name = 'lenet': unknown (did you mean 'lenet5'?); allowed: conv2, conv4, conv6",
        ),
        ("lenet5", GREY, {"width": 2}, "network.arguments: 'width' is not an argument of lenet5"),
        ("lenet5", SMALL, {}, "does not fit images of 1×8×8"),
        ("vgg_svhn", SMALL, {}, "does not fit images of 1×8×8"),
        ("resnet_cifar10_fast", (3, 64, 64), {}, "does not fit images of 3×64×64"),
        (
            "torchvision/resnet181",
            COLOUR,
            {},
            "torchvision.models has no classifier named 'resnet181' (did you",
        ),
        ("resnet50", COLOUR, {}, "unknown (did you mean 'timm/resnet50' or 'torchvision/resnet50'?)"),
        ("torchvision/vit_b_16", COLOUR, {"patch_size": 5}, "does not fit images of 3×32×32"),
        ("torchvision/resnet18", COLOUR, {"widht": 1}, "widht"),
        (
            "torchvision/googlenet",
            COLOUR,
            {"init_weights": False},
            "googlenet has auxiliary outputs; set aux_logits",
        ),
        ("torchvision/vgg11", SMALL, {}, "does not fit images of 1×8×8"),
    ],
)
def test_misfits_are_one_line(name, shape, arguments, message):
    with pytest.raises(InputError, match=r"^[^\n]*$") as caught:
        build(name, shape, **arguments)
    assert message in str(caught.value)


def test_what_the_data_set_says_is_no_argument():
    for key in ("shape", "classes"):
        for name in ("lenet5", "torchvision/vgg11"):
            with pytest.raises(InputError, match=rf"'{key}' is set by the data set; allowed: none$"):
                building.build(name, {key: 3}, SMALL, 10, 0)


@pytest.mark.parametrize("bug", [ImportError, NameError, AttributeError])
def test_a_bug_of_this_library_is_no_mistake_of_the_user(monkeypatch, bug):
    def broken(shape, classes):
        raise bug("it")

    monkeypatch.setattr(kinds, "load", lambda *_: broken)
    with pytest.raises(bug, match=r"^it$"):
        build("lenet5", GREY)


def test_fewer_outputs_than_classes_is_an_error(monkeypatch):
    monkeypatch.setattr(kinds, "load", lambda *_: lambda shape, classes: lenet5(shape, 10))
    with pytest.raises(InputError, match=r"returns outputs of shape .*10.*, but the data set has 26 classes"):
        build("lenet5", GREY, classes=26)


def test_normalise_is_the_textbook_formula_and_keeps_the_memory_format():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 3, 6, 7), dtype=np.uint8)
    mean, std = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.3, 0.05])
    expected = (pixels / 255 - mean[:, None, None]) / std[:, None, None]
    images = torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)
    found = preprocessing.normalise(images, torch.from_numpy(mean), torch.from_numpy(std))
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(preprocessing.normalise(images, mean.tolist(), std.tolist()), found)


# --- what can be pruned ----------------------------------------------------------------------------------

VIT = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}


class Mixed(nn.Module):
    """Weights with many names: attention, recurrence, parametrisations, a class token, a custom matrix."""

    def __init__(self):
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 2))
        self.old = nn.utils.weight_norm(nn.Linear(8, 8))
        self.spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.split = nn.MultiheadAttention(8, 2, kdim=4, vdim=4)
        self.lstm = nn.LSTM(8, 4)
        self.norm = nn.LayerNorm(8)
        self.inner = Inner()


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.mixing = nn.Parameter(torch.ones(8, 8))


@pytest.fixture(scope="module")
def mixed():
    with pytest.warns(FutureWarning, match="weight_norm"):
        return Mixed()


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("Conv2d", {"conv.parametrizations.weight.original1"}),
        (
            "Linear",
            {
                "old.weight_v",
                "spectral.parametrizations.weight.original",
                "attention.out_proj.weight",
                "split.out_proj.weight",
            },
        ),
        (
            "MultiheadAttention",
            {"attention.in_proj_weight", "split.q_proj_weight", "split.k_proj_weight", "split.v_proj_weight"},
        ),
        ("MultiheadAttention:att*", {"attention.in_proj_weight"}),
        ("*.in_proj_weight", {"attention.in_proj_weight"}),
        ("LSTM", {"lstm.weight_ih_l0", "lstm.weight_hh_l0"}),
        ("inner.mixing", {"inner.mixing"}),
    ],
)
def test_patterns_reach_weights_of_any_name(mixed, pattern, names):
    found = modules.prunable(mixed, [pattern])
    assert set(found) == names
    assert modules.layer_rates(mixed, list(found), {pattern: 0.3}) == dict.fromkeys(names, 0.3)


def test_rates_of_no_weight_are_refused_with_what_could_be_named(mixed):
    names = list(modules.prunable(mixed, ["Conv2d", "inner.mixing"]))
    with pytest.raises(
        InputError, match=r"'nothing' matches no prunable module; prunable: conv, inner\.mixing$"
    ):
        modules.layer_rates(mixed, names, {"nothing": 0.3})


@pytest.mark.parametrize("pattern", ["inner", "LayerNorm", "norm"])
def test_what_is_no_weight_is_not_pruned(mixed, pattern):
    with pytest.raises(InputError, match="matches no module with a prunable weight"):
        modules.prunable(mixed, [pattern])


def test_zeros_of_a_parametrisation_are_zeros_of_the_weight(mixed):
    class Symmetric(nn.Module):
        def forward(self, weight):
            return weight + weight.T

    modules.check_zeros(mixed, modules.prunable(mixed, ["*"]))
    before = mixed.conv.weight.detach().clone()
    assert torch.equal(mixed.conv.weight, before), "the check leaves the weights alone"
    linear = nn.Sequential(nn.Linear(4, 4))
    nn.utils.parametrize.register_parametrization(linear[0], "weight", Symmetric())
    with pytest.raises(InputError, match=r"pruning\.prunable: 0\.weight has a parametrisation that does not"):
        modules.check_zeros(linear, modules.prunable(linear, ["Linear"]))


def test_all_weights_of_a_vision_transformer_can_be_pruned():
    network = build("torchvision/vit_b_16", COLOUR, **VIT)
    some, every = (
        modules.prunable(network, patterns)
        for patterns in (["Conv2d", "Linear"], ["Conv2d", "Linear", "MultiheadAttention"])
    )
    assert set(every) - set(some) == {
        f"encoder.layers.encoder_layer_{i}.self_attention.in_proj_weight" for i in (0, 1)
    }
    masks = {name: torch.ones(weight.shape, dtype=torch.bool) for name, weight in some.items()}
    counts = census(network, masks, COLOUR)
    left_out = counts["unpruned"]
    assert left_out["MultiheadAttention.in_proj_weight"]["parameters"] == 2 * 3 * 16 * 16
    parameters = sum(part["parameters"] for part in left_out.values())
    assert parameters == counts["parameters"] - counts["prunable"]
    assert sum(part["share"] for part in left_out.values()) == pytest.approx(
        parameters / counts["parameters"]
    )
    assert "Encoder.pos_embedding" in left_out and "VisionTransformer.class_token" in left_out
    assert census(network, {}, COLOUR)["unpruned"] == {}, "round 0 prunes nothing"
    # Arithmetic: 16 patches of 3·8·8, 17 tokens in two blocks of 3d² + d² + 2·d·32, and the head.
    dense = 16 * 16 * 3 * 64 + 2 * 17 * (4 * 16 * 16 + 2 * 16 * 32) + 16 * 10
    assert counts["macs_dense"] == dense


@pytest.mark.parametrize(
    ("name", "arguments", "recorded", "shape"),
    [
        ("torchvision/resnet18", {}, "ReLU", [512, 1, 1]),
        ("torchvision/mobilenet_v3_small", {}, "Hardswish", [1024]),
        ("torchvision/vit_b_16", VIT, "encoder.layers.*_1", [17, 16]),
        ("timm/vit_tiny_patch16_224", {"img_size": 32, "patch_size": 8, "depth": 2}, "blocks.1", [17, 192]),
    ],
)
def test_networks_of_torchvision_and_timm_can_be_planned(name, arguments, recorded, shape):
    network = {"name": name, "arguments": arguments}
    if recorded == "ReLU":
        with pytest.raises(InputError, match=r"layer1\.0\.relu' runs more than once"):
            inspect(network, [3, 32, 32], 10, ["Conv2d", "Linear"], {}, ["ReLU"])
        recorded = "layer4"
    facts = inspect(network, [3, 32, 32], 10, ["Conv2d", "Linear"], {}, [recorded])
    assert list(facts["shapes"].values())[-1] == shape
    assert facts["macs"] > 0 and sum(map(math.prod, facts["prunable"].values())) < facts["parameters"]


def test_facts_of_a_network_by_hand():
    facts = inspect(
        {"name": "lenet_small", "arguments": {}}, [1, 8, 8], 10, ["Conv2d"], {"conv2": 0.1}, ["pool*"]
    )
    outputs = [2 * 8 * 8**2, 8 * 4**2, 2 * 16 * 4**2, 2 * 16 * 2**2, 2 * 64, 2 * 32, 10]
    assert facts == {
        "parameters": 7_818,
        "prunable": {"conv1.weight": [8, 1, 3, 3], "conv2.weight": [16, 8, 3, 3]},
        "rates": {"conv2.weight": 0.1},
        "macs": PARAMETERS["lenet_small"][2],
        "floats": sum(outputs),
        "shapes": {"pool1": [8, 4, 4], "pool2": [16, 2, 2]},
        "axes": {"pool1": 1, "pool2": 1},
        "batch_norm": 0,
        "alone": "",
        "channels": "",
        "unusual": "",
    }
    with pytest.raises(
        InputError, match=r"^pruning\.rates: pattern 'conv7' matches no .* \(did you mean 'conv"
    ):
        inspect(
            {"name": "lenet_small", "arguments": {}}, [1, 8, 8], 10, ["Conv2d"], {"conv7": 0.1}, ["pool*"]
        )


def test_a_network_itself_is_no_module_to_choose(mixed):
    assert "" not in modules.select(mixed, ["*"], "key")
    with pytest.raises(InputError, match="'Sequential' matches no module of Sequential"):
        modules.select(nn.Sequential(nn.ReLU()), ["Sequential"], "key")


def test_vision_transformers_are_torchvisions():
    names = [name for name in models.list_models(module=models) if name.startswith("vit_")]
    assert len(names) == 5
    with torch.device("meta"):
        for name in names:
            ours = torchvision.torchvision(name, (3, 224, 224), 10).state_dict()
            theirs = models.get_model(name, num_classes=10).state_dict()
            assert {key: value.shape for key, value in ours.items()} == {
                key: value.shape for key, value in theirs.items()
            }


def test_timm_fits_channels_and_classes_and_refuses_what_it_cannot():
    assert build("timm/test_vit", (1, 160, 160), classes=7)(torch.zeros(1, 1, 160, 160)).shape == (1, 7)
    for name, arguments, words in (
        ("timm/test_vitt", {}, "timm has no model named 'test_vitt' (did you mean 'test_vit'?)"),
        ("timm/hf-hub:a/b", {}, "timm has no model named"),
        ("timm/test_vit", {"checkpoint_path": "x"}, "checkpoint_path cannot be set here"),
        ("timm/vit_tiny_patch16_224", {"depth": 1}, "does not fit images of 3×32×32"),
    ):
        with pytest.raises(InputError, match=r"^[^\n]*$") as caught:
            build(name, COLOUR, **arguments)
        assert words in str(caught.value)
