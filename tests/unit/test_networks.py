"""Architectures are the published ones, weights come from the seed alone, misfits are one clear line."""

import numpy as np
import pytest
import torch
from torch import nn

from prunescope import kinds
from prunescope.errors import InputError
from prunescope.networks import build as building
from prunescope.networks.lenet import lenet5

COLOUR, GREY, SMALL = (3, 32, 32), (1, 28, 28), (1, 8, 8)

# Parameters as the papers and their published code count them (for 10 classes).
PARAMETERS = {
    "lenet5": (GREY, 44_426),
    "lenet300": (GREY, 266_610),
    "conv2": (COLOUR, 4_301_642),
    "conv4": (COLOUR, 2_425_930),
    "conv6": (COLOUR, 2_262_602),
    "vgg_svhn": (COLOUR, 586_154),
    "vgg16_bn": (COLOUR, 14_728_266),
    "resnet20": (COLOUR, 272_474),
    "resnet_cifar10_fast": (COLOUR, 6_573_120),
    "lenet_small": (SMALL, 7_818),
}


def build(name, shape, classes=10, seed=0, **arguments):
    return building.build(name, arguments, shape, classes, seed)


def test_every_network_is_covered_here():
    assert set(PARAMETERS) | {"torchvision"} == set(kinds.known("network"))


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_and_structure(name):
    shape, parameters = PARAMETERS[name]
    network = build(name, shape)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters

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


def test_seed_names_the_weights_and_leaves_the_global_state_alone():
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
        ("resnet50", COLOUR, {}, "unknown (did you mean 'torchvision/resnet50'?)"),
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


def test_fewer_outputs_than_classes_is_an_error(monkeypatch):
    monkeypatch.setattr(kinds, "load", lambda *_: lambda shape, classes: lenet5(shape, 10))
    with pytest.raises(InputError, match=r"gives outputs of shape .*10.*, the data set has 26 classes"):
        build("lenet5", GREY, classes=26)


def test_normalise_is_the_textbook_formula_and_keeps_the_memory_format():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 3, 6, 7), dtype=np.uint8)
    mean, std = np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.3, 0.05])
    expected = (pixels / 255 - mean[:, None, None]) / std[:, None, None]
    images = torch.from_numpy(pixels).contiguous(memory_format=torch.channels_last)
    found = building.normalise(images, torch.from_numpy(mean), torch.from_numpy(std))
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(building.normalise(images, mean.tolist(), std.tolist()), found)
