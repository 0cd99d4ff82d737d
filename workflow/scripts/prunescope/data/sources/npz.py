"""Arrays in a NumPy archive."""

import math
import zipfile
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from prunescope.data.datasets import UNLABELLED
from prunescope.data.images import Images, blocks, channel_axes
from prunescope.data.sources import Source
from prunescope.errors import InputError

FORMS = ({"x_train", "y_train", "x_test", "y_test"}, {"x", "y"}, {"x"})
# Deflate makes data at most 1,032 times smaller.
MOST_COMPRESSED = 1100
LONGEST_NAME = 1000
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Numpy(Source):
    """Arrays of a .npz file: x_train, y_train, x_test and y_test; or x and y; or x alone, without labels. An
    optional array `classes` holds the names of the classes. Images are uint8, or floats from 0 to 1
    """

    @cached_property
    def path(self) -> Path:
        """The file."""
        return self.local((".npz",), "file")

    def stamp(self) -> list:
        path = self.path
        return [str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns]

    def describe(self) -> dict:
        train, train_labels, test, test_labels, classes = self.read(download=False)
        for images in (train, test):
            if isinstance(images, Members) and images.stored != np.uint8:
                for _ in blocks(images):  # refuses floats out of range
                    pass
        return {
            "shape": list(test.shape[1:]),
            "classes": len(classes),
            "train": len(train_labels),
            "test": len(test_labels),
        }

    def read(self, download: bool) -> tuple:
        try:
            with zipfile.ZipFile(self.path) as file:
                keys = {name.removesuffix(".npy") for name in file.namelist()}
            if keys - {"classes"} not in FORMS:
                raise InputError(
                    f"{self.path}: contains the arrays {', '.join(sorted(keys)) or 'none'}; expected "
                    "x_train, y_train, x_test and y_test, or x and y, or x alone (images without labels)"
                )
            headers = {key: self._header(key) for key in sorted(keys)}
            images = {key: self._images(key, *headers[key]) for key in headers if key.startswith("x")}
            for key in headers:
                self._check_labels(key, *headers[key][:3], images)
            with np.load(self.path, allow_pickle=False) as file:
                labels = {key: self._labels(key, file[key]) for key in sorted(keys) if key.startswith("y")}
                names = self._names(file["classes"]) if "classes" in keys else None
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.path}: not a readable .npz file ({error}); write it again") from None
        return self._parts(images, labels, names)

    def _parts(self, images: dict, labels: dict, names: list[str] | None) -> tuple:
        first, *others = images
        for other in others:
            if images[other].shape[1:] != images[first].shape[1:]:
                shapes = " and ".join("×".join(map(str, images[key].shape[1:])) for key in (first, other))
                raise InputError(
                    f"{self.path}: images of {first} and {other} have different shapes, {shapes}; make them "
                    "equal"
                )
        classes, labels = self._classes(labels, names)
        nothing = np.zeros((0, *images[first].shape[1:]), np.uint8), np.zeros(0, np.int64)
        if "x_train" in images:
            return images["x_train"], labels["y_train"], images["x_test"], labels["y_test"], classes
        if "y" in labels:
            return images["x"], labels["y"], *nothing, classes
        return *nothing, images["x"], np.full(len(images["x"]), UNLABELLED), []

    def _header(self, key: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
        """Return shape, order and type of an array, and the position of its first number.

        Raises
        ------
        InputError
            When the array cannot be as large as its header declares, before memory is allocated for it.
        """
        with zipfile.ZipFile(self.path) as archive:
            member = archive.getinfo(f"{key}.npy")
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                shape, fortran, dtype = HEADERS[version](file) if version in HEADERS else ((), False, None)
                start = file.tell()
        size = 0 if dtype is None else math.prod(shape) * dtype.itemsize
        declared, stored = member.file_size - start, member.compress_size
        if dtype is None:
            raise InputError(
                f"{self.path}: {key} is in an unknown version of the .npy format; write it again"
            )
        if not dtype.hasobject and (
            any(length < 0 for length in shape) or size != declared or declared > MOST_COMPRESSED * stored
        ):
            raise InputError(
                f"{self.path}: {key} declares shape {shape} and type {dtype}, but its {stored:,} bytes "
                "cannot hold that; write the file again"
            )
        return shape, fortran, dtype, start

    def _check_labels(self, key: str, shape: tuple, _fortran: bool, dtype, images: dict) -> None:
        """Refuse labels and names that would take much memory."""
        if key.startswith("x"):
            return
        if dtype.itemsize > 4 * LONGEST_NAME:
            raise InputError(
                f"{self.path}: {key} has type {dtype}; names may have at most {LONGEST_NAME:,} characters"
            )
        partner = "x" + key[1:]
        if partner in images and shape and shape[0] != len(images[partner]):
            raise InputError(
                f"{self.path}: {partner} has {len(images[partner])} images, but {key} has {shape[0]} "
                "labels; write one label for each image"
            )

    def _images(self, key: str, shape: tuple[int, ...], fortran: bool, dtype, start: int) -> "Members":
        problem = None
        if dtype != np.uint8 and dtype.kind != "f":
            problem = f"has type {dtype}; save pixels as uint8 from 0 to 255, or as floats from 0 to 1"
        elif len(shape) not in (3, 4) or 0 in shape:
            problem = f"has shape {shape}; expected (N, H, W), (N, H, W, C) or (N, C, H, W)"
        elif fortran:
            problem = "is in Fortran order; convert it with np.ascontiguousarray"
        elif len(shape) == 4 and shape[1] == shape[3]:
            problem = f"has shape {shape}, so the channel axis is ambiguous; save it as (N, C, H, W)"
        if problem:
            raise InputError(f"{self.path}: {key} {problem}")
        return Members(self.path, f"{key}.npy", start, shape, dtype)

    def _labels(self, key: str, labels: np.ndarray) -> np.ndarray:
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1 or labels.dtype.kind not in "iuU":
            raise InputError(
                f"{self.path}: {key} has shape {labels.shape} and type {labels.dtype}; expected one integer "
                "or name for each image"
            )
        return labels

    def _names(self, names: np.ndarray) -> list[str]:
        if names.ndim != 1 or names.dtype.kind != "U":
            raise InputError(
                f"{self.path}: classes must be a list of names, one for each label, starting at 0"
            )
        return names.tolist()

    def _classes(self, labels: dict, names: list[str] | None) -> tuple[list[str], dict]:
        """Return the class names, and labels as indices into them."""
        if not labels:
            return [], {}
        if len({array.dtype.kind == "U" for array in labels.values()}) > 1:
            types = " and ".join(f"{key} has type {array.dtype}" for key, array in labels.items())
            raise InputError(f"{self.path}: {types}; write both as integers or both as names")
        if "y_test" in labels and len(only := np.setdiff1d(labels["y_test"], labels["y_train"])):
            raise InputError(
                f"{self.path}: class {str(only[0])!r} is in y_test but not in y_train; remove its images or "
                "add some to train on"
            )
        values = np.unique(np.concatenate(list(labels.values())))
        if names is None:
            return values.astype(str).tolist(), {
                key: np.searchsorted(values, array) for key, array in labels.items()
            }
        if values.dtype.kind == "U" or values.tolist() != list(range(len(names))):
            raise InputError(
                f"{self.path}: classes has {len(names)} names, but the labels are "
                f"{', '.join(map(str, values[:5]))}{', ...' if len(values) > 5 else ''}; expected 0 to "
                f"{len(names) - 1}, each at least once"
            )
        return names, labels


class Members(Images):
    """Images of an array in an archive; they are read one after another. Floats become round(255 x).

    Parameters
    ----------
    path : pathlib.Path
        The archive.
    name : str
        The member that holds the array.
    start : int
        Byte position of the first image in the member.
    shape : sequence of int
        (N, H, W), (N, H, W, C) or (N, C, H, W), see `channel_axes`.
    stored : dtype
        Type of the array: uint8 or floats.
    """

    def __init__(self, path: Path, name: str, start: int, shape: Sequence[int], stored: np.dtype):
        self._path, self._name, self._start, self.stored = path, name, start, stored
        self._file, self._next = None, 0
        self._shape = tuple(shape[1:]) if len(shape) == 4 else (1, *shape[1:])
        self._axes = channel_axes(self._shape) if len(shape) == 4 else (0, 1, 2)
        super().__init__((shape[0], *(self._shape[axis] for axis in self._axes)))

    def take(self, rows: np.ndarray) -> np.ndarray:
        images = np.empty((len(rows), *self.shape[1:]), self.dtype)
        try:
            # In the order of the file: seeking backwards in a compressed file would read it again from the
            # start.
            for index in np.argsort(rows, kind="stable"):
                row = int(rows[index])
                pixels = np.frombuffer(self._read(row), self.stored)
                if self.stored != np.uint8:
                    pixels = self._scaled(pixels, row)
                images[index] = pixels.reshape(self._shape).transpose(self._axes)
        except InputError:
            raise
        except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise InputError(
                f"{self._path}: {self._name} cannot be read ({error}); write the file again"
            ) from None
        return images

    def _scaled(self, pixels: np.ndarray, row: int) -> np.ndarray:
        """Return round(255 x).

        Raises
        ------
        InputError
            When a value is not from 0 to 1.
        """
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):  # false for NaN, too
            raise InputError(
                f"{self._path}: {self._name}: image {row} has values from {low:.4g} to {high:.4g}; floats "
                "must be from 0 to 1: undo a normalisation, or divide by the largest possible value"
            )
        return np.rint(255 * pixels.astype(np.float64))

    def _read(self, row: int) -> bytes:
        """Return the bytes of one image. Skipped bytes are read too: the checksum covers the whole member."""
        if self._file is None or row < self._next:
            self._file = zipfile.ZipFile(self._path).open(self._name)  # noqa: SIM115
            self._file.read(self._start)
            self._next = 0
        length = int(np.prod(self._shape)) * self.stored.itemsize
        while self._next < row:
            self._file.read(length)
            self._next += 1
        self._next += 1
        return self._file.read(length)
