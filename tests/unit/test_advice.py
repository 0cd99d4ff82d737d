"""Errors name the cause and a remedy that works."""

import pytest

from prunescope.config import facts
from prunescope.errors import InputError
from prunescope.notebook import layers


@pytest.mark.parametrize(
    ("view", "output", "advice"),
    [
        ("channels", [5, 4], r"choose activations\.view = (\w+ or )*tokens( or \w+)*, or other layers"),
        ("tokens", [3, 8, 8], r"choose activations\.view = channels( or \w+)*, or other layers"),
        ("channels", [2, 3, 4, 5], r"cannot record; choose other layers$"),
    ],
)
def test_views_that_accept_an_output_are_named(view, output, advice):
    with pytest.raises(InputError, match=advice):
        facts._check_outputs({"view": view, "token": None}, {"x": output})


def test_one_class_cannot_be_trained_on():
    for classes in (0, 1):
        with pytest.raises(
            InputError, match=r"^dataset = 'd': .* put the images of each class into their own"
        ):
            facts._check_trainable("d", {"classes": classes, "train": 10})
    facts._check_trainable("d", {"classes": 2, "train": 10})


def test_a_network_in_an_empty_folder_is_not_a_missing_configuration(monkeypatch):
    def missing():
        raise InputError("config/config.yaml: cannot be read")

    monkeypatch.setattr(layers, "configuration_of", missing)
    with pytest.raises(
        InputError, match=r"^torchvision/nope is a network, not an experiment; add --shape C H W$"
    ):
        layers.layers_of_experiment("torchvision/nope")
    with pytest.raises(InputError, match=r"^config/config\.yaml: cannot be read$"):
        layers.layers_of_experiment("mine")
