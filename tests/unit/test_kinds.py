"""Kinds are read from their source; a mistake in a file gives one line that names the file."""

from dataclasses import fields

import pytest

from prunescope import kinds
from prunescope.errors import InputError
from prunescope.similarity.measures import Measure


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty library; returns the folder of its schedules."""
    folder = tmp_path / kinds.FAMILIES["schedule"].folder
    folder.mkdir(parents=True)
    monkeypatch.setattr(kinds, "LIBRARY", tmp_path)
    kinds.known.cache_clear()
    yield folder
    kinds.known.cache_clear()


def test_facts_of_a_measure_are_its_attributes():
    family = kinds.FAMILIES["measure"]
    allowed = {"name", "url", *family.required, *family.optional}
    assert allowed == {field.name for field in fields(Measure)} - {"function"}


def test_facts_may_use_constants_of_the_file(folder):
    (folder / "new.py").write_text(
        'NUMBER: dict = {"type": "number"}\n'
        'TEXT = "A number" + "."\n'
        '@schedule(settings={"x": NUMBER | {"description": TEXT, "anyOf": [NUMBER, NUMBER]}})\n'
        'def new(epoch, epochs, warmup, x):\n    """New."""\n'
    )
    setting = kinds.known("schedule")["new"].settings["x"]
    assert setting == {"type": "number", "description": "A number.", "anyOf": [{"type": "number"}] * 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@schedule\ndef f(): ...", ["its decorator must be called", "@schedule()"]),
        ("@schedule(setings={})\ndef f(): ...", ["unknown fact setings", "did you mean 'settings'"]),
        ("@schedule(**{'a': 1})\ndef f(): ...", ["unknown fact None"]),
        ("@schedule(settings=make())\ndef f(): ...", ["settings cannot be read without running the file"]),
        ("S = S | {}\n@schedule(settings=S)\ndef f(): ...", ["settings cannot be read"]),
        ("@schedule(settings={'x': {}})\ndef f(): ...", ["setting 'x' has no description"]),
        ("@schedule()\ndef f(:", ["line 2", "invalid syntax", "correct or remove the file"]),
        ("@schedule()\ndef f(): ...\n@schedule(name='f')\ndef g(): ...", ["'f' is also defined in"]),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(folder, text, words):
    (folder / "mine.py").write_text(text + "\n")
    with pytest.raises(InputError) as caught:
        kinds.known("schedule")
    assert str(folder / "mine.py") in str(caught.value) and "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_file_of_another_encoding_is_named_and_hidden_files_are_left_out(folder):
    (folder / ".#mine.py").symlink_to(folder / "nowhere")
    assert kinds.known("schedule") == {}
    (folder / "mine.py").write_bytes('"""Größe."""\n'.encode("latin-1"))
    kinds.known.cache_clear()
    with pytest.raises(InputError, match=r"mine\.py"):
        kinds.known("schedule")


@pytest.mark.parametrize(
    ("family", "text", "words"),
    [
        ("source", "torchvision:NAME", ["unknown", "did you mean"]),
        ("source", "torchvision:MINST", ["did you mean 'torchvision:MNIST'"]),
        ("source", "MNIST", ["did you mean 'torchvision:MNIST'"]),
        ("network", "resnet50", ["did you mean 'timm/resnet50' or 'torchvision/resnet50'?"]),
        ("network", "googlenet", ["did you mean 'torchvision/googlenet'?", "file:PATH.py:NAME"]),
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
