"""Errors name the cause and a remedy that works."""

import pytest

from prunescope.errors import InputError
from prunescope.notebook import layers
from prunescope.plan import sizes


def test_one_class_cannot_be_trained_on():
    for classes in (0, 1):
        with pytest.raises(
            InputError, match=r"^dataset = 'd': .* put the images of each class into their own"
        ):
            sizes._check_trainable("d", {"classes": classes, "train": 10})
    sizes._check_trainable("d", {"classes": 2, "train": 10})


def test_a_network_in_an_empty_folder_is_not_a_missing_configuration(monkeypatch):
    def missing():
        raise InputError("config/config.yaml: cannot be read")

    monkeypatch.setattr(layers, "configuration_of", missing)
    with pytest.raises(InputError, match=r"^layers = 'torchvision/nope': unknown"):
        layers.layers_of_experiment("torchvision/nope")
    with pytest.raises(InputError, match=r"^lenet5 is a network, not an experiment; add --shape C H W$"):
        layers.layers_of_experiment("lenet5")
    with pytest.raises(InputError, match=r"^config/config\.yaml: cannot be read$"):
        layers.layers_of_experiment("mine")
