"""Activations that were recorded elsewhere: a folder of matrices with an id for each row.

A folder holds

- ``LAYER.npy``, one n × p matrix per layer, and ``ids.npy`` or ``ids.txt`` (one id per line); or
- ``*.h5`` files with a data set for each layer and one called ``ids``;
- or both. A single ``.h5`` file can replace the folder.

An id identifies the image behind a row, as an integer or as text. An id that is repeated in s consecutive
rows is an image with s positions or tokens; s may differ between layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from prunescope.activations import store
from prunescope.errors import InputError
from prunescope.hdf5 import refuse_links

IDS = "ids"
# Compression makes data at most about this many times smaller.
MOST_COMPRESSED = 1100
# Numbers to copy at a time.
BLOCK = 2**21
# Measures need fourth powers of the numbers, which float64 has for those in this range.
RANGE = np.finfo(np.float32)


@dataclass(frozen=True)
class Foreign:
    """Activations from elsewhere.

    Attributes
    ----------
    path : pathlib.Path
    ids : ndarray, shape (images,)
        Ids of the images, in the order of the rows.
    layers : dict of str to ndarray or h5py.Dataset, shape (n, p)
        By name, in alphabetical order; not in memory.
    """

    path: Path
    ids: np.ndarray
    layers: dict[str, np.ndarray | h5py.Dataset]


def read(path: str | Path) -> Foreign:
    """Open a folder of matrices, or an HDF5 file.

    Raises
    ------
    InputError
        When there are no matrices or no ids, or they do not correspond to each other.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such folder or file; correct the path")
    layers, rows = {}, {}
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.suffix == ".h5":
            matrices, ids = _from_hdf5(file)
        elif file.suffix == ".npy" and file.stem != IDS:
            matrices, ids = {file.stem: read_npy(file)}, _ids_of(path)
        else:
            continue
        for name in matrices.keys() & layers.keys():
            raise InputError(f"{file}: layer {name!r} exists twice; rename one of them")
        layers |= matrices
        rows |= dict.fromkeys(matrices, ids)
    if not layers:
        raise InputError(f"{path}: contains no matrices; expected LAYER.npy and ids.npy, or .h5 files")
    images = {name: _images(path, name, layers[name], rows[name]) for name in sorted(layers)}
    first, *others = images
    for other in others:
        _same(images[first], images[other], f"{path}: layer {first}", f"layer {other}")
    return Foreign(path, images[first], {name: layers[name] for name in images})


def check_correspondence(folders: Sequence[Foreign]) -> None:
    """Check that row i of every matrix belongs to the same image, and that the layers are the same.

    Raises
    ------
    InputError
        With both folders and the difference.
    """
    first, *others = folders
    for other in others:
        _same(first.ids, other.ids, str(first.path), str(other.path))
        for name in sorted(first.layers.keys() ^ other.layers.keys()):
            lacking = other if name in first.layers else first
            raise InputError(f"{lacking.path}: layer {name!r} is only in the other folder; add or remove it")
        for name, matrix in first.layers.items():
            if len(matrix) != len(other.layers[name]):
                raise InputError(
                    f"{first.path} and {other.path}: layer {name!r} has {len(matrix)} and "
                    f"{len(other.layers[name])} rows for the same images; record the same positions in both"
                )


def bring(foreign: Foreign, path: str | Path, round: int, seed: int = 0) -> None:
    """Write activations from elsewhere as an activation file, atomically.

    Numbers are stored as float32, or as float64 where they are float64 or large integers. A matrix with one
    row for each image is rotated if it has more columns than rows, as with the view ``flatten``.

    Parameters
    ----------
    foreign : Foreign
    path : path
    round, seed : int
        Round and seed of the network in the results.

    Raises
    ------
    InputError
        When activations are not finite, or beyond the range of float32.
    """
    attributes = {
        "experiment": "",
        "seed": seed,
        "round": round,
        "network": str(foreign.path),
        "density": float("nan"),
        "dataset": "",
        "code": "",
    }
    ids = foreign.ids.astype(h5py.string_dtype()) if foreign.ids.dtype.kind == "U" else foreign.ids
    no_labels = np.full(len(ids), -1)
    with store.writing(path, "rows", "all", ids, no_labels, attributes) as group:
        for order, name in enumerate(foreign.layers):
            _write(group, order, name, foreign)


def _write(group: h5py.Group, order: int, name: str, foreign: Foreign) -> None:
    """Write one layer."""
    matrix, images = foreign.layers[name], len(foreign.ids)
    rows, units = matrix.shape
    each = rows // images
    columns = min(units, rows) if each == 1 else units
    grid = (each,) if each > 1 else ()
    layout = store.Layout(order, (units, *grid), grid, np.arange(each), images, units, columns)
    count = max(1, BLOCK // (units * each))
    dtype = "float32" if np.can_cast(matrix.dtype, np.float32) else "float64"
    writer, largest = store.Writer(group, name, layout, count, dtype, "none"), 0.0
    for image in range(0, images, count):
        part = np.asarray(matrix[image * each : (image + count) * each], dtype=dtype)
        sizes = np.abs(part)
        if not sizes.max() <= RANGE.max:
            odd = foreign.ids[image + int(np.argwhere(~(sizes <= RANGE.max))[0, 0]) // each]
            raise InputError(
                f"{foreign.path}: layer {name!r}: activations of image {str(odd)!r} are NaN, "
                "infinite or too large for float32; leave out this image or layer"
            )
        writer.write(part, image)
        largest = max(largest, sizes.max())
    if 0 < largest < RANGE.tiny:
        raise InputError(
            f"{foreign.path}: layer {name!r}: all activations are too small for float32; "
            "multiply them by a constant"
        )
    writer.finish(_rotate)


def _rotate(matrix: np.ndarray) -> np.ndarray:
    from prunescope.activations.record import rotate

    return rotate(matrix)


def read_npy(file: Path) -> np.ndarray:
    """Map the array of a .npy file."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("an archive, such as .npz or a file of torch.save")
        return array
    except (OSError, ValueError, EOFError) as error:
        problem = getattr(error, "strerror", None) or "not a .npy file of numbers"
        raise InputError(f"{file}: {problem}; write it with numpy.save") from None


def _ids_of(folder: Path) -> np.ndarray:
    numbers, text = folder / f"{IDS}.npy", folder / f"{IDS}.txt"
    if numbers.exists() == text.exists():
        raise InputError(f"{folder}: expected either ids.npy or ids.txt, with one id for each row")
    if numbers.exists():
        return np.array(read_npy(numbers))
    try:
        return np.array(text.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{text}: cannot be read ({error}); write it again") from None


def _from_hdf5(file: Path) -> tuple[dict[str, h5py.Dataset], np.ndarray]:
    data: dict[str, h5py.Dataset] = {}

    def keep(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            data[name.replace("/", ".")] = item

    try:
        opened = h5py.File(file)
        refuse_links(file, opened, "write the numbers themselves into this file")
        opened.visititems(keep)
        ids = data.pop(IDS, None)
        if ids is None:
            raise InputError(f"{file}: data set 'ids' is missing; add it, with one id for each row")
        # A small file can declare any number of values that were never written.
        if ids.shape is None or ids.nbytes > MOST_COMPRESSED * ids.id.get_storage_size():
            raise InputError(f"{file}: data set 'ids' is empty or incomplete; write one id for each row")
        return data, ids.asstr("utf-8")[...].astype(str) if h5py.check_string_dtype(ids.dtype) else ids[...]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not a readable HDF5 file ({error}); write it again") from None


def _images(path: Path, name: str, matrix, ids: np.ndarray) -> np.ndarray:
    """Return the id of each image behind the rows of a matrix.

    Raises
    ------
    InputError
        When the matrix or the ids are invalid.
    """
    where = f"{path}: layer {name!r}"
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or 0 in matrix.shape:
        raise InputError(
            f"{where} has shape {matrix.shape} and type {matrix.dtype}; expected a matrix of numbers, one "
            "row for each id"
        )
    if ids.ndim != 1 or ids.dtype.kind not in "iuU":
        raise InputError(
            f"{where}: its ids have shape {ids.shape} and type {ids.dtype}; expected a list of integers or "
            "strings"
        )
    if len(ids) != len(matrix):
        raise InputError(f"{where} has {len(matrix)} rows, but {len(ids)} ids; write one id for each row")
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    lengths, images = np.diff(np.append(starts, len(ids))), ids[starts]
    if len(np.unique(images)) != len(images) or len(np.unique(lengths)) > 1:
        odd = next((i for i in range(len(images)) if lengths[i] != lengths[0]), None)
        seen, counts = np.unique(images, return_counts=True)
        named = seen[counts.argmax()] if odd is None else images[odd]
        raise InputError(
            f"{where}: id {str(named)!r} is not repeated like the others; keep the rows of each image "
            "together, the same number for every image"
        )
    return images


def _same(mine: np.ndarray, theirs: np.ndarray, first: str, second: str) -> None:
    # A program that writes ids.txt turns numbers into text, and another one counts in another type.
    if np.array_equal(mine.astype(str), theirs.astype(str)):
        return
    both = f"{first} and {second}"
    if len(mine) != len(theirs):
        raise InputError(f"{both}: ids of {len(mine)} and {len(theirs)} images; record the same images")
    pairs = zip(mine.tolist(), theirs.tolist(), strict=True)
    image, (one, other) = next((i, pair) for i, pair in enumerate(pairs) if str(pair[0]) != str(pair[1]))
    advice = (
        "the ids are the same but in a different order; sort the rows by id"
        if sorted(map(str, mine)) == sorted(map(str, theirs))
        else "record the same images"
    )
    raise InputError(f"{both}: image {image + 1} has id {one!r} in one and {other!r} in the other; {advice}")
