"""Checkpoints: one network after one round, in a file with everything needed to use it."""

import copy
import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from prunescope.errors import InputError
from prunescope.files import atomic_path, damaged, damaged_member
from prunescope.networks.build import build

SCHEMA = 3


@dataclass(frozen=True)
class Checkpoint:
    """A network after one round of pruning and training.

    Attributes
    ----------
    experiment : str
    seed, round : int
    network : dict
        ``name``, ``arguments``, ``shape`` (channels, height, width) and ``classes``. The optional ``more``
        has ``code``, the digest of a user's file; ``weights`` and ``digest``, which identify the weights that
        training started from; and ``resizing``, see `prunescope.networks.preprocessing.Preprocessing`.
    mean, std : list of float, length C
        Normalisation of pixels / 255.
    weights : dict of str to Tensor
        The network's state, on the CPU. Pruned weights are exactly zero.
    masks : dict of str to Tensor of bool
        By parameter name; True means kept. Empty for the dense network.
    density : float
        Fraction of the prunable weights that remains.
    accuracy : float
        On the test images.
    dataset : str
        Checksum of the data set.
    """

    experiment: str
    seed: int
    round: int
    network: dict
    mean: list[float]
    std: list[float]
    weights: dict[str, Tensor]
    masks: dict[str, Tensor]
    density: float
    accuracy: float
    dataset: str

    @property
    def resizing(self) -> dict | None:
        """How images are resized for this network."""
        return self.network.get("more", {}).get("resizing")

    def build(self) -> nn.Module:
        """Return the network with these weights, in evaluation mode, on the CPU."""
        network = build(**self.network, seed=0)
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            problem = " ".join(str(error).split("\n")[1:2]).strip() or str(error)
            raise InputError(
                f"network: {self.network['name']} is not the network of the checkpoint of seed {self.seed}, "
                f"round {self.round} ({problem}); its code must build the same layers every time, whatever "
                "the random numbers"
            ) from None
        network.eval()
        return network


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """Copy a network's state to the CPU, in the default memory format."""
    return {
        name: value.detach().to("cpu").clone(memory_format=torch.contiguous_format)
        if isinstance(value, Tensor)
        else copy.deepcopy(value)  # what a module's get_extra_state returns
        for name, value in network.state_dict().items()
    }


def save(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically; the same contents give the same bytes."""
    write(path, {"schema": SCHEMA, **vars(checkpoint)})


def load(path: str | Path, mapped: bool = False) -> Checkpoint:
    """Read a checkpoint; if `mapped`, weights and masks stay in the file until they are used."""
    content = read(path, "checkpoint", mapped)
    fields = {field.name for field in dataclasses.fields(Checkpoint)}
    if content.pop("schema", None) != SCHEMA or set(content) != fields:
        raise InputError(f"{path}: not a checkpoint of this version; delete it and run again")
    return Checkpoint(**content)


def save_rewind(path: str | Path, step: int, weights: dict[str, Tensor]) -> None:
    """Write the weights that the network of round 0 had at `step`."""
    write(path, {"schema": SCHEMA, "step": step, "weights": weights})


def load_rewind(path: str | Path) -> tuple[int, dict[str, Tensor]]:
    """Read a step and the weights at that step."""
    content = read(path, "file of rewind weights")
    if content.get("schema") != SCHEMA:
        raise InputError(f"{path}: not a file of this version; delete it and run again")
    return content["step"], content["weights"]


def write(path: str | Path, content: dict) -> None:
    """Write nested dictionaries and lists of tensors, strings and numbers, atomically."""
    content = _canonical(content)
    # Through an open file: given a path, torch writes the temporary file's name into the archive.
    with atomic_path(path) as part, open(part, "wb") as file:
        torch.save(content, file)


def _canonical(value):
    """Make equal contents pickle to equal bytes: pickle writes a repeated string object as a reference."""
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, dict):
        return {_canonical(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return value


def read(path: str | Path, kind: str, mapped: bool = False) -> dict:
    """Read a file that `write` wrote and verify its checksums; `kind` is what it should be."""
    try:
        intact = damaged_member(path) is None
        options = {"map_location": "cpu", "weights_only": True, "mmap": mapped}
        content = torch.load(path, **options) if intact else None
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can make the reader raise anything
        problem = (
            error.strerror
            if isinstance(error, OSError) and error.strerror
            else "damaged or in another format"
        )
        raise InputError(f"{path}: not a readable {kind} ({problem}); delete it and run again") from None
    if not intact:
        raise damaged(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a {kind} of this version; delete it and run again")
    return content
