"""Checkpoints: round trip, equal bytes for equal contents, and one clear line for any error."""

import dataclasses
import pickle

import pytest
import torch

from prunescope import checkpoints, files
from prunescope.errors import InputError
from prunescope.networks.build import build


@pytest.fixture
def checkpoint():
    network = build("lenet_small", {}, (1, 8, 8), 10, 3)
    return checkpoints.Checkpoint(
        experiment="tiny",
        seed=3,
        round=1,
        network={"name": "lenet_small", "arguments": {}, "shape": [1, 8, 8], "classes": 10},
        mean=[0.3],
        std=[0.4],
        weights=checkpoints.snapshot(network),
        masks={"conv1.weight": network.conv1.weight.detach() > 0},
        density=0.5,
        accuracy=0.75,
        dataset="abc",
    )


def test_round_trip(checkpoint, tmp_path):
    path = tmp_path / "round1/checkpoint.pt"
    checkpoints.save(path, checkpoint)
    loaded = checkpoints.load(path)
    for field in dataclasses.fields(loaded):
        found, saved = getattr(loaded, field.name), getattr(checkpoint, field.name)
        if field.name in ("weights", "masks"):
            assert list(found) == list(saved)
            assert all(torch.equal(found[name], saved[name]) for name in saved)
        else:
            assert found == saved
    assert loaded.masks["conv1.weight"].dtype == torch.bool
    network = loaded.build()
    images = torch.rand(4, 1, 8, 8)
    assert not network.training
    assert torch.equal(network(images), build("lenet_small", {}, (1, 8, 8), 10, 3)(images)), (
        "built with the saved weights, not with new ones"
    )


def test_weights_of_another_network_are_one_line(checkpoint):
    other = dict(checkpoint.weights, **{"conv1.weight": torch.zeros(2, 1, 3, 3)})
    with pytest.raises(
        InputError, match=r"^network: lenet_small is not .* seed 3, round 1 \(size mismatch"
    ) as caught:
        dataclasses.replace(checkpoint, weights=other).build()
    assert "\n" not in str(caught.value)


def test_equal_contents_are_equal_bytes(checkpoint, tmp_path):
    """File name, memory format and the identity of equal strings must not affect the bytes."""
    checkpoints.save(tmp_path / "a.pt", checkpoint)
    network = checkpoint.build().to(memory_format=torch.channels_last)
    other = dataclasses.replace(
        checkpoints.load(tmp_path / "a.pt"),
        experiment="".join(["ti", "ny"]),
        weights=checkpoints.snapshot(network),
        masks={"".join(["conv1", ".weight"]): checkpoint.masks["conv1.weight"].clone()},
    )
    checkpoints.save(tmp_path / "deeper/another-name.pt", other)
    assert files.sha256(tmp_path / "a.pt") == files.sha256(tmp_path / "deeper/another-name.pt")


class Harmful:
    def __reduce__(self):
        return (print, ("this must never run",))


@pytest.mark.parametrize("damage", ["missing", "truncated", "text", "code", "foreign", "folder"])
def test_unreadable_files_are_one_line(checkpoint, tmp_path, damage, capsys):
    path = tmp_path / "checkpoint.pt"
    checkpoints.save(path, checkpoint)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "text":
        path.write_text("not a checkpoint")
    elif damage == "code":
        path.write_bytes(pickle.dumps(Harmful(), protocol=2))
    elif damage == "foreign":
        torch.save({"state_dict": {}}, path)
    else:
        path.unlink()
        path.mkdir()
    with pytest.raises(InputError, match=r"^[^\n]*checkpoint.pt: [^\n]*delete it and run again$"):
        checkpoints.load(path)
    assert "never" not in capsys.readouterr().out


def test_a_flipped_bit_of_a_weight_or_a_missing_field_is_refused(checkpoint, tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoints.save(path, checkpoint)
    weight = checkpoint.weights["conv1.weight"].numpy().tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(weight)] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^[^\n]*checkpoint.pt: damaged[^\n]*delete it and run again$"):
        checkpoints.load(path)
    fields = {name: value for name, value in vars(checkpoint).items() if name != "accuracy"}
    checkpoints.write(path, {"schema": checkpoints.SCHEMA, **fields})
    with pytest.raises(InputError, match=r"checkpoint.pt: not a checkpoint of this version"):
        checkpoints.load(path)


def test_rewind_weights_are_read_as_written(checkpoint, tmp_path):
    path = tmp_path / "rewind.pt"
    checkpoints.save_rewind(path, 12, checkpoint.weights)
    step, weights = checkpoints.load_rewind(path)
    assert step == 12
    assert torch.equal(weights["output.weight"], checkpoint.weights["output.weight"])
    checkpoints.write(path, {"schema": 1, "step": step, "weights": weights})
    with pytest.raises(InputError, match=r"rewind.pt: not a file of this version; delete it and run again"):
        checkpoints.load_rewind(path)


def test_weights_that_do_not_fit_the_network_of_today_are_one_line_with_the_first_problem(checkpoint):
    other = dataclasses.replace(checkpoint, network=checkpoint.network | {"classes": 7})
    with pytest.raises(InputError) as caught:
        other.build()
    text = str(caught.value)
    assert text.startswith("network: lenet_small is not the network of the checkpoint of seed 3, round 1 (")
    assert text.count("size mismatch") == 1 and "for output.weight" in text and "\n" not in text
