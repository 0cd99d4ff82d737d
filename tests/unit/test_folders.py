"""Activations from elsewhere are compared like recorded ones, and only if their rows correspond."""

import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from prunescope.activations import folder, record, store
from prunescope.errors import InputError
from prunescope.notebook.folders import compare_folders
from prunescope.settings.activations import RecordingSettings
from prunescope.settings.similarity import Similarity
from prunescope.similarity.matrix import compare_round

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 1, 6, 6), dtype=np.uint8)
IDS = [f"photo {number:02}" for number in range(40)]
MEASURES = ["cca", "cka", "cka_debiased", "nbs", "pwcca", "svcca"]


@pytest.fixture
def recorded(tmp_path):
    """Two networks, recorded by the workflow: a convolution, and two linear layers, one wide."""
    files = []
    for round in range(2):
        torch.manual_seed(round)
        network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(48, 5), nn.Linear(5, 60))
        settings = RecordingSettings(
            layers=["Conv2d", "Linear"], examples=None, view="channels", batch_size=16
        )
        attributes = {"experiment": "x", "seed": 0, "round": round, "network": "n", "density": 1.0}
        attributes |= {"dataset": "d", "code": "c"}
        files.append(tmp_path / f"recorded{round}.h5")
        labels = np.zeros(40, int)
        record.extract(files[-1], network, IMAGES, labels, lambda x: x.float() / 255, settings, attributes)
    return files


def exported(file, path, form: str, ids=IDS):
    """Write recorded activations in a format that other programs could produce."""
    path.mkdir()
    with h5py.File(file) as source:
        layers = {name: data[...] for name, data in source["layers"].items()}
    for name, matrix in layers.items():
        rows = np.repeat(ids, len(matrix) // len(ids))
        if form == "h5":
            with h5py.File(path / f"layer{name}.h5", "w") as out:
                out[name] = matrix
                out["ids"] = rows.astype(h5py.string_dtype()) if rows.dtype.kind == "U" else rows
        elif len(rows) == len(ids):
            np.save(path / f"{name}.npy", matrix)
    if form == "npy":
        np.save(path / "ids.npy", np.array(ids))
    if form == "txt":
        (path / "ids.txt").write_text("\n".join(ids) + "\n")
    return path


@pytest.mark.parametrize("form", ["npy", "txt", "h5"])
@pytest.mark.parametrize("numbers", [False, True])
def test_values_are_those_of_recorded_activations(recorded, tmp_path, form, numbers):
    ids = IDS if form == "txt" or not numbers else list(range(100, 140))
    folders = [exported(file, tmp_path / f"folder{i}", form, ids) for i, file in enumerate(recorded)]
    found = compare_folders(folders, MEASURES)
    settings = Similarity(measures=MEASURES)
    rows = [compare_round(recorded[:last], settings).to_pandas() for last in (1, 2)]
    expected = pd.concat(rows)[found.columns]
    assert set(found.layer_a) == ({"0", "2", "3"} if form == "h5" else {"2", "3"})
    expected = expected[expected.layer_a.isin(found.layer_a)].reset_index(drop=True)
    unknown = ["density_a", "density_b", "chance_classes"]
    narrow = (
        expected.layer_a != "3"
    )  # the view `channels` does not rotate the layer that has more columns than rows
    pd.testing.assert_frame_equal(found[narrow].drop(columns=unknown), expected[narrow].drop(columns=unknown))
    cka = ~narrow & (expected.measure == "cka")
    assert np.allclose(found[cka].value, expected[cka].value, atol=1e-5) and cka.any()


def test_all_layers_compares_layers_with_equally_many_rows(recorded, tmp_path):
    folders = [exported(file, tmp_path / f"folder{i}", "h5") for i, file in enumerate(recorded)]
    found = compare_folders(folders, ["cka"], pairs="all-layers")
    apart = (found.layer_a == "0") != (found.layer_b == "0")
    assert {("2", "3"), ("3", "2")} <= {*zip(found.layer_a, found.layer_b, strict=True)}
    assert (found.status == "other positions").equals(apart) and found.value.isna().equals(apart)


@pytest.fixture
def plain(tmp_path):
    """Two folders of one layer each."""
    rng = np.random.default_rng(1)
    paths = tmp_path / "a", tmp_path / "b"
    for path in paths:
        path.mkdir()
        np.save(path / "relu.npy", rng.normal(size=(40, 3)))
        np.save(path / "ids.npy", np.array(IDS))
    return paths


def other_order(path):
    np.save(path / "ids.npy", np.array([*IDS[:-2], IDS[-1], IDS[-2]]))


def other_ids(path):
    np.save(path / "ids.npy", np.array(["photo 50", *IDS[1:]]))


def numbers_for_texts(path):
    np.save(path / "ids.npy", np.arange(40))


def fewer(path):
    np.save(path / "relu.npy", np.ones((20, 3)))
    np.save(path / "ids.npy", np.array(IDS[:20]))


def more_positions(path):
    np.save(path / "relu.npy", np.ones((80, 3)))
    np.save(path / "ids.npy", np.repeat(IDS, 2))


def one_twice(path):
    np.save(path / "ids.npy", np.array([*IDS[:-1], IDS[-2]]))


def scattered(path):
    np.save(path / "ids.npy", np.array([*IDS[:20], *IDS[:20]]))


def too_few_ids(path):
    np.save(path / "ids.npy", np.array(IDS[:-1]))


def no_ids(path):
    (path / "ids.npy").unlink()


def both_ids(path):
    (path / "ids.txt").write_text("1\n")


def no_matrix(path):
    np.save(path / "relu.npy", np.ones(40))


def another_layer(path):
    np.save(path / "pool.npy", np.ones((40, 3)))


def pickled(path):
    np.save(path / "relu.npy", np.array([{}], dtype=object))


def unpickled(path):
    (path / "relu.npy").write_bytes(pickle.dumps(np.ones((40, 3))))


def not_hdf5(path):
    (path / "x.h5").write_text("no")


def not_finite(path):
    matrix = np.ones((40, 3))
    matrix[3, 1] = np.nan
    np.save(path / "relu.npy", matrix)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_order, ["image 39", "'photo 38' in one and 'photo 39'", "a different order; sort"]),
        (other_ids, ["image 1", "'photo 50'", "record the same images"]),
        (numbers_for_texts, ["image 1", "'photo 00' in one and 0 in the other"]),
        (fewer, ["ids of 40 and 20 images"]),
        (more_positions, ["'relu' has 40 and 80 rows", "same positions"]),
        (one_twice, ["'photo 38' is not repeated like the others"]),
        (scattered, ["'photo 00' is not repeated like the others"]),
        (too_few_ids, ["40 rows, but 39 ids"]),
        (no_ids, ["expected either ids.npy or ids.txt"]),
        (both_ids, ["expected either ids.npy or ids.txt"]),
        (no_matrix, ["'relu' has shape (40,)"]),
        (another_layer, ["a: layer 'pool' is only in the other folder"]),
        (pickled, ["relu.npy: not a .npy file of numbers"]),
        (unpickled, ["relu.npy: not a .npy file of numbers"]),
        (not_hdf5, ["x.h5: not a readable HDF5 file"]),
        (not_finite, ["b: layer 'relu': activations of image 'photo 03' are NaN"]),
    ],
)
def test_rows_that_do_not_correspond_are_refused(plain, change, words):
    compare_folders(plain, ["cka"])
    change(plain[1])
    with pytest.raises(InputError) as caught:
        compare_folders(plain, ["cka"])
    line = str(caught.value)
    assert "\n" not in line and all(word in line for word in words), line


@pytest.mark.parametrize("block", [1, 37, 500])
def test_values_do_not_depend_on_how_many_images_are_copied_at_a_time(plain, monkeypatch, block):
    """With a block of 1, each image is larger than a block."""
    rng = np.random.default_rng(0)
    for path in plain:
        np.save(path / "relu.npy", rng.normal(size=(80, 3)))
        np.save(path / "ids.npy", np.repeat(IDS, 2))
    expected = compare_folders(plain, ["cca", "cka"])
    monkeypatch.setattr(folder, "BLOCK", block)
    pd.testing.assert_frame_equal(compare_folders(plain, ["cca", "cka"]), expected)
    matrix = np.ones((80, 3))
    matrix[75, 1] = np.inf
    np.save(plain[0] / "relu.npy", matrix)
    with pytest.raises(InputError, match="activations of image 'photo 37' are NaN"):
        compare_folders(plain, ["cka"])


@pytest.mark.parametrize("form", ["text", "uint8", "int32"])
def test_ids_of_another_type_are_the_same(plain, form):
    for path in plain:
        np.save(path / "ids.npy", np.arange(40))
    expected = compare_folders(plain, ["cka"])
    if form == "text":
        (plain[1] / "ids.npy").unlink()
        (plain[1] / "ids.txt").write_text("".join(f"{number}\n" for number in range(40)))
    else:
        np.save(plain[1] / "ids.npy", np.arange(40, dtype=form))
    pd.testing.assert_frame_equal(compare_folders(plain, ["cka"]), expected)


def test_groups_of_hdf5_files_are_parts_of_names(plain, tmp_path):
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file["block/relu"], file["ids"] = np.load(plain[0] / "relu.npy"), np.arange(40)
    assert list(folder.read(tmp_path / "all.h5").layers) == ["block.relu"]


@pytest.mark.parametrize("each", [1, 2])
def test_a_wide_matrix_is_rotated_if_its_rows_are_images(tmp_path, each):
    matrix = np.random.default_rng(0).standard_normal((6 * each, 50))
    np.save(tmp_path / "x.npy", matrix)
    np.save(tmp_path / "ids.npy", np.repeat(np.arange(6), each))
    folder.bring(folder.read(tmp_path), tmp_path / "x.h5", round=2, seed=3)
    with store.recordings([tmp_path / "x.h5"]) as (found,):
        stored = found.matrices["x"]
        assert (found.round, found.seed, stored.width, stored.rows_per_image) == (2, 3, 50, each)
        assert stored.rotated == (each == 1) and stored.shape == (6 * each, 6 if each == 1 else 50)
        assert np.array_equal(found.examples, np.arange(6))
        if each == 2:
            np.testing.assert_array_equal(stored[:], matrix)


@pytest.mark.parametrize("columns", [3, 60])
def test_float64_stays_float64(plain, columns):
    """An offset of 1e6 does not change CKA; float32 would round it to a sixteenth."""
    for number, path in enumerate(plain):
        np.save(path / "relu.npy", np.random.default_rng(number).random((40, columns)))
    expected = compare_folders(plain, ["cka"])["value"]
    for path in plain:
        np.save(path / "relu.npy", np.load(path / "relu.npy") + 1e6)
    np.testing.assert_allclose(compare_folders(plain, ["cka"])["value"], expected, atol=1e-9)


def test_numbers_beyond_float32_are_refused(plain):
    matrix = np.load(plain[0] / "relu.npy").astype(float)
    for factor, words in ((1e-80, "layer 'relu': all activations are too small"), (1e80, "too large")):
        np.save(plain[0] / "relu.npy", matrix * factor)
        with pytest.raises(InputError, match=words):
            compare_folders(plain, ["cka"])
    np.save(plain[0] / "relu.npy", 0 * matrix)
    assert "dead layer" in set(compare_folders(plain, ["cka"])["status"])


def test_a_folder_without_matrices(tmp_path):
    for path, words in ((tmp_path, "contains no matrices"), (tmp_path / "x", "no such folder or file")):
        with pytest.raises(InputError, match=words):
            folder.read(path)


WRITTEN_ELSEWHERE = {
    "ids that were never written": lambda file: file.create_dataset("ids", (10**12,), "i8", chunks=(1000,)),
    "texts that were never written": lambda file: file.create_dataset(
        "ids", (10**11,), h5py.string_dtype(), chunks=(1000,)
    ),
    "no ids": lambda file: file.create_dataset("ids", data=h5py.Empty("i8")),
    "text of another encoding": lambda file: file.create_dataset("ids", data=np.array([b"\xff", b"a"])),
    "a link": lambda file: file.__setitem__("ids", h5py.SoftLink("/a")),
    "a link to another file": lambda file: file.__setitem__("ids", h5py.ExternalLink("/etc/passwd", "/x")),
    "data in another file": lambda file: file.create_dataset(
        "ids", (2,), "i8", external=[("/etc/passwd", 0, 16)]
    ),
}


@pytest.mark.parametrize("fault", WRITTEN_ELSEWHERE)
def test_hdf5_files_that_hold_no_ids_of_their_own_are_refused(fault, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"] = np.zeros((2, 3))
        WRITTEN_ELSEWHERE[fault](file)
    with pytest.raises(InputError, match=r"x\.h5: [^\n]*(write|; add)[^\n]*$") as caught:
        folder.read(tmp_path)
    assert "delete" not in str(caught.value), "it is the user's file"
