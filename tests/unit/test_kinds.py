"""The tables of kinds: every entry has a definition, and names in configurations are understood."""

import subprocess
import sys
from dataclasses import fields
from inspect import Parameter, signature

import pytest

from prunescope import closure, kinds
from prunescope.errors import InputError
from prunescope.similarity.measures import Measure

EVERY = [(family, name) for family in kinds.FAMILIES for name in kinds.known(family)]


@pytest.mark.parametrize(("family", "name"), EVERY)
def test_an_entry_names_what_is_defined(family, name):
    kind = kinds.known(family)[name]
    for place in (kind.definition, *kind.functions.values()):
        assert callable(kinds.imported(place))
    assert kind.summary and not kind.summary.endswith(".")
    assert isinstance(kind.names, tuple) or callable(kinds.imported(kind.names))
    if family in ("optimizer", "schedule"):
        assert all(field.description for field in kind.settings.model_fields.values())
        parameters = signature(kinds.imported(kind.definition)).parameters
        given = {key: parameters[key].default for key in list(parameters)[kinds.FAMILIES[family].given :]}
        common = {"name", "lr"} if family == "optimizer" else {"name", "warmup_epochs"}
        fields = {key: field for key, field in kind.settings.model_fields.items() if key not in common}
        assert given.keys() == fields.keys()
        for key, field in fields.items():
            default = Parameter.empty if field.is_required() else field.default
            assert default == (list(given[key]) if isinstance(given[key], tuple) else given[key])


def test_entries_with_labels_have_different_ones():
    labels = [kinds.known(family)[name].label for family, name in EVERY]
    assert len(set(filter(None, labels))) == len(list(filter(None, labels)))


def test_measures_state_facts_of_a_measure():
    known = {field.name for field in fields(Measure)} - {
        "name",
        "label",
        "reference",
        "url",
        "function",
        "chance",
    }
    for kind in kinds.known("measure").values():
        assert "unchanged_by" in kind.facts and kind.facts.keys() <= known
        assert kind.label and kind.reference


def test_tables_need_no_heavy_import():
    program = (
        "import sys; from prunescope import kinds\n"
        "for family in kinds.FAMILIES: kinds.known(family)\n"
        "print([name for name in ('numpy', 'torch', 'scipy', 'h5py', 'pandas') if name in sys.modules])"
    )
    library = {"PYTHONPATH": str(closure.LIBRARY.parent)}
    assert subprocess.check_output([sys.executable, "-c", program], env=library, text=True) == "[]\n"


@pytest.mark.parametrize(
    ("family", "text", "words"),
    [
        ("source", "torchvision:NAME", ["unknown", "did you mean"]),
        ("source", "torchvision:MINST", ["did you mean 'torchvision:MNIST'"]),
        ("source", "MNIST", ["did you mean 'torchvision:MNIST'"]),
        ("network", "resnet50", ["did you mean 'timm/resnet50' or 'torchvision/resnet50'?"]),
        ("network", "googlenet", ["did you mean 'torchvision/googlenet'?", "file:PATH.py:NAME"]),
        ("network", "timm", ["unknown", "timm/NAME"]),
        ("measure", "ccca", ["did you mean 'cca'", "allowed: cca, cca_cv, cca_r2"]),
    ],
)
def test_unknown_names_are_refused_with_a_guess(family, text, words):
    with pytest.raises(InputError) as caught:
        kinds.find(family, text)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("text", ["torchvision:MNIST", "imagefolder:image", "imagefolder:/a b/ö.tar.gz"])
def test_forms_take_what_they_name(text):
    kind = kinds.find("source", text)
    assert kinds.rest(kind, text) == text.partition(":")[2]


def test_a_kind_is_called_with_what_its_parameters_name(monkeypatch):
    def mine(weights, data):
        return weights + data

    monkeypatch.setattr(kinds, "load", lambda *_: mine)

    class Offered:
        weights, data = 1, 2

        @property
        def gradients(self):
            pytest.fail("not needed")

    assert kinds.call("criterion", "mine", Offered()) == 3
