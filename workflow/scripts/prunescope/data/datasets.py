"""The prepared data set: one HDF5 file that every later stage reads.

``/train/images`` and ``/test/images`` are uint8 (N, C, H, W), ``/train/labels`` and ``/test/labels`` int64;
file attributes: ``schema``, ``name``, ``source``, ``checksum`` of images, labels and classes, ``classes``,
``mean`` and ``std`` per channel of the training images scaled to [0, 1]. Checksums are at the end of the
file, see `prunescope.hdf5`. Images without labels have the label -1, and there are no classes.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from prunescope import hdf5
from prunescope.data.images import Images, blocks
from prunescope.errors import InputError
from prunescope.files import atomic_path

SCHEMA = 2
UNLABELLED = -1


@dataclass(frozen=True)
class Dataset:
    """A data set, in memory or read piece by piece.

    Attributes
    ----------
    name, source : str
        As in the configuration, e.g. ``mnist`` and ``torchvision:MNIST``.
    train_images, test_images : ndarray or Images of uint8, shape (N, C, H, W)
    train_labels, test_labels : ndarray of int64, shape (N,)
    classes : tuple of str
        Class names; a label is a position in it. Empty for images without labels.
    """

    name: str
    source: str
    train_images: np.ndarray | Images
    train_labels: np.ndarray
    test_images: np.ndarray | Images
    test_labels: np.ndarray
    classes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return tuple(self.test_images.shape[1:])


def save(path: str | Path, dataset: Dataset) -> None:
    """Write a data set to `path`, atomically. Each image is read once."""
    with atomic_path(path) as part:
        with h5py.File(part, "w") as file:
            checksum = _write(dataset, file)
            # Decoding may be slow, so the statistics are computed from the written images.
            stored = [file[f"{split}/images"] for split in ("train", "test")]
            mean, std = _statistics(next(images for images in stored if len(images)))
            file.attrs.update(
                schema=SCHEMA,
                name=dataset.name,
                source=dataset.source,
                checksum=checksum,
                classes=list(dataset.classes),
                mean=mean,
                std=std,
            )
        hdf5.seal(part)


def _write(dataset: Dataset, file: h5py.File) -> str:
    """Write images and labels, and return the checksum of these and the class names."""
    digest = hashlib.sha256("\0".join(dataset.classes).encode())
    for split, images, labels in (
        ("train", dataset.train_images, dataset.train_labels),
        ("test", dataset.test_images, dataset.test_labels),
    ):
        stored = file.create_dataset(f"{split}/images", images.shape, np.uint8)
        digest.update(f"{images.shape}{images.dtype}".encode())
        for start, block in blocks(images):
            digest.update(block)
            stored[start : start + len(block)] = block
        file[f"{split}/labels"] = labels
        digest.update(f"{labels.shape}{labels.dtype}".encode())
        digest.update(np.ascontiguousarray(labels))
    return digest.hexdigest()


def _statistics(images: h5py.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each channel, on the scale [0, 1].

    They follow exactly from how often each of the 256 values occurs, so the size of the blocks does not
    change them.
    """
    counts = np.zeros((images.shape[1], 256), np.int64)
    for _, block in blocks(images):
        for channel, of_channel in enumerate(counts):
            of_channel += np.bincount(block[:, channel].reshape(-1), minlength=256)
    values = np.arange(256) / 255
    mean, std = [], []
    for of_channel in counts:
        mean.append(np.dot(of_channel, values) / of_channel.sum())
        std.append(np.sqrt(np.dot(of_channel, (values - mean[-1]) ** 2) / of_channel.sum()))
    return np.array(mean), np.array(std)


class Stored(Images):
    """Images in a prepared file; they are read when they are indexed.

    Parameters
    ----------
    data : h5py.Dataset of uint8, shape (N, C, H, W)
        The file stays open as long as this object exists.
    """

    def __init__(self, data: h5py.Dataset):
        super().__init__(data.shape)
        self._data = data

    def take(self, rows: np.ndarray) -> np.ndarray:
        try:
            first, end = (int(rows.min()), int(rows.max()) + 1) if len(rows) else (0, 0)
            if end - first <= 2 * len(rows):
                images = self._data[first:end]
                return images if np.array_equal(rows, np.arange(first, end)) else images[rows - first]
            images = np.empty((len(rows), *self.shape[1:]), self.dtype)
            for index, row in enumerate(rows.tolist()):
                images[index] = self._data[row]
            return images
        except OSError as error:
            raise InputError(
                f"{self._data.file.filename}: images cannot be read ({error}); {hdf5.REMEDY}"
            ) from None


@dataclass(frozen=True)
class Prepared(Dataset):
    """A data set read from its prepared file, with statistics computed when it was written.

    Attributes
    ----------
    mean, std : ndarray of float64, shape (C,)
        Of the training images on the scale [0, 1].
    digest : str
        The checksum at the time of writing.
    """

    mean: np.ndarray
    std: np.ndarray
    digest: str


def load(path: str | Path) -> Prepared:
    """Open a prepared data set and verify its checksums. Images stay in the file until they are indexed."""
    with hdf5.opening(path, "data set") as (file, _):
        if file.attrs.get("schema") != SCHEMA:
            raise InputError(
                f"{path}: data set schema {file.attrs.get('schema')}, but this version reads {SCHEMA}; "
                f"{hdf5.REMEDY}"
            )
        return Prepared(
            name=file.attrs["name"],
            source=file.attrs["source"],
            train_images=Stored(file["train/images"]),
            train_labels=file["train/labels"][...],
            test_images=Stored(file["test/images"]),
            test_labels=file["test/labels"][...],
            classes=tuple(file.attrs["classes"]),
            mean=file.attrs["mean"],
            std=file.attrs["std"],
            digest=file.attrs["checksum"],
        )
