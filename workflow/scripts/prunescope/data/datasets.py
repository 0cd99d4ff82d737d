"""The prepared data set: one HDF5 file that every later stage reads.

``/train/images`` and ``/test/images`` are uint8 (N, C, H, W), ``/train/labels`` and ``/test/labels`` int64;
file attributes: ``schema``, ``name``, ``source``, ``checksum`` of images, labels and classes, ``classes``,
``mean`` and ``std`` per channel of the training images scaled to [0, 1] and ``recipe`` (see
`prunescope.provenance`). Checksums of the file follow at its end, see `prunescope.hdf5`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from prunescope import hdf5, provenance
from prunescope.errors import InputError
from prunescope.files import atomic_path
from prunescope.links import refuse_links

SCHEMA = 2


@dataclass(frozen=True)
class Dataset:
    """A data set in memory.

    Attributes
    ----------
    name, source : str
        As in the configuration, e.g. ``mnist`` and ``torchvision:MNIST``.
    train_images, test_images : ndarray of uint8, shape (N, C, H, W)
    train_labels, test_labels : ndarray of int64, shape (N,)
    classes : tuple of str
        Class names; a label is a position in it.
    """

    name: str
    source: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.train_images.shape[1:]

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each channel of the training images, on the scale [0, 1].

        Computed exactly from the counts of the 256 values, so neither chunking nor threads can change a bit.
        """
        values = np.arange(256) / 255
        mean, std = [], []
        for channel in range(self.shape[0]):
            counts = np.bincount(self.train_images[:, channel].reshape(-1), minlength=256)
            mean.append(np.dot(counts, values) / counts.sum())
            std.append(np.sqrt(np.dot(counts, (values - mean[-1]) ** 2) / counts.sum()))
        return np.array(mean), np.array(std)

    def checksum(self) -> str:
        """SHA-256 over images, labels and class names."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for array in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()


def save(path: str | Path, dataset: Dataset) -> None:
    """Write a data set to `path`, atomically."""
    mean, std = dataset.statistics()
    with atomic_path(path) as part:
        with h5py.File(part, "w") as file:
            file.attrs.update(
                schema=SCHEMA,
                name=dataset.name,
                source=dataset.source,
                checksum=dataset.checksum(),
                classes=list(dataset.classes),
                mean=mean,
                std=std,
                recipe=provenance.mark(path).get("recipe", ""),
            )
            for split in ("train", "test"):
                file[f"{split}/images"] = getattr(dataset, f"{split}_images")
                file[f"{split}/labels"] = getattr(dataset, f"{split}_labels")
        hdf5.seal(part)


@dataclass(frozen=True)
class Prepared(Dataset):
    """A data set read from its prepared file, with what was computed when it was written.

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
    """Read a prepared data set and verify its checksums.

    Raises
    ------
    InputError
        When the file is missing, damaged, of another schema, or not the one that the running job expects.
    """
    try:
        hdf5.verify(path)
        with h5py.File(path) as file:
            refuse_links(path, file)
            if file.attrs.get("schema") != SCHEMA:
                raise InputError(
                    f"{path}: data set schema {file.attrs.get('schema')}, this version reads {SCHEMA}; "
                    "delete the file and run again"
                )
            provenance.check(path, {"dataset": file.attrs["name"], "recipe": file.attrs["recipe"]})
            return Prepared(
                name=file.attrs["name"],
                source=file.attrs["source"],
                train_images=file["train/images"][...],
                train_labels=file["train/labels"][...],
                test_images=file["test/images"][...],
                test_labels=file["test/labels"][...],
                classes=tuple(file.attrs["classes"]),
                mean=file.attrs["mean"],
                std=file.attrs["std"],
                digest=file.attrs["checksum"],
            )
    except (InputError, MemoryError):
        raise
    except Exception as error:  # damaged bytes make the reader fail in any way
        raise InputError(
            f"{path}: not a readable data set ({error}); delete the file and run again"
        ) from None
