"""A file of activations or images that reads another file is refused."""

import h5py
import numpy as np
import pytest

from prunescope import hdf5
from prunescope.activations import store
from prunescope.data import datasets
from prunescope.errors import InputError

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def soft(group, folder):
    group["again"] = h5py.SoftLink("/elsewhere")


def external_link(group, folder):
    group["other"] = h5py.ExternalLink(str(folder / "other.h5"), "/x")


def external_storage(group, folder):
    (folder / "raw").write_bytes(ROWS.tobytes())
    group.create_dataset(
        "raw", ROWS.shape, ROWS.dtype, external=[(str(folder / "raw"), 0, h5py.h5f.UNLIMITED)]
    )


def virtual(group, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        other["x"] = ROWS
    layout = h5py.VirtualLayout(ROWS.shape, ROWS.dtype)
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", ROWS.shape)
    group.create_virtual_dataset("virtual", layout)


@pytest.fixture
def activations(tmp_path):
    path = tmp_path / "activations.h5"
    about = {"seed": 0, "round": 0, "density": 1.0, "dataset": "x"}
    with store.writing(path, "channels", 4, np.arange(4), np.arange(4), about) as group:
        layout = store.Layout(0, (3,), (), np.array([0]), 4, 3, 3)
        store.Writer(group, "relu", layout, 4, "float32", "none").write(ROWS, 0)
    return path


@pytest.fixture
def images(tmp_path):
    path, pixels = tmp_path / "data.h5", np.zeros((2, 1, 4, 4), np.uint8)
    labels = np.arange(2)
    datasets.save(path, datasets.Dataset("x", "y", pixels, labels, pixels, labels, ("a", "b")))
    return path


@pytest.mark.parametrize("add", [soft, external_link, external_storage, virtual])
def test_links_to_other_files_are_refused(add, activations, images, tmp_path):
    for path, group, read in (
        (activations, "layers", lambda: store.recordings([activations]).__enter__()),
        (images, "train", lambda: datasets.load(images)),
    ):
        read()
        with h5py.File(path, "r+") as file:
            add(file[group], tmp_path)
        hdf5.seal(path)  # such a file can also be sealed
        with pytest.raises(InputError, match=rf"{path.name}: /{group}/\w+ is .*not allowed"):
            read()


def test_a_group_that_contains_itself_ends_the_search(images):
    with h5py.File(images, "r+") as file:
        file["train/again"] = file["train"]
    hdf5.seal(images)
    datasets.load(images)
