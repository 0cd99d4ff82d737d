"""Sources of images. Each is a subclass of `Source` in a file of this folder.

Only the preparation stage calls `fetch`, so libraries for reading images are imported only there.
"""

import numpy as np

from prunescope import kinds
from prunescope.data.datasets import Dataset
from prunescope.errors import InputError


class Source:
    """Where a data set comes from.

    Parameters
    ----------
    text : str
        As in the configuration, e.g. ``torchvision:MNIST``.
    name : str
        What the text adds to the fixed part of the source's form: ``MNIST``.
    root : str
        ``data.root`` of the configuration.
    """

    def __init__(self, text: str, name: str, root: str):
        self.text, self.name, self.root = text, name, root

    def stamp(self) -> list:
        """Return what changes when the files change, JSON-ready. Nothing for a source that never changes."""
        return []

    def describe(self) -> dict:
        """Return the data set's sizes without preparing it.

        Returns
        -------
        dict
            ``shape`` (channels, height, width), ``classes``, ``train`` and ``test`` (numbers of images).
        """
        raise NotImplementedError

    def expected(self) -> dict | None:
        """Return the sizes that `read` must find, as `describe` gives them; None if they are not known."""
        return None

    def read(self, download: bool) -> tuple:
        """Return training images (N, C, H, W) and labels, test images and labels, and class names."""
        raise NotImplementedError


def find(text: str, root: str) -> Source:
    """Return the source that a configuration value names.

    Raises
    ------
    InputError
        When there is no such source.
    """
    kind = kinds.find("source", text)
    return kinds.load("source", text)(text, kinds.rest(kind, text), root)


def fetch(name: str, text: str, root: str, download: bool) -> Dataset:
    """Read a data set from where it comes from.

    Parameters
    ----------
    name : str
        Its name in the configuration.
    text : str
        Its source, e.g. ``torchvision:MNIST``, ``sklearn:digits`` or ``imagefolder:PATH``.
    root : str
        Folder of torchvision's files; relative paths of image folders start there.
    download : bool
        Whether missing files may be downloaded.

    Raises
    ------
    InputError
        When the data is missing or damaged.
    """
    origin = find(text, root)
    train_images, train_labels, test_images, test_labels, classes = origin.read(download)
    dataset = Dataset(
        name,
        text,
        np.ascontiguousarray(train_images, dtype=np.uint8),
        np.asarray(train_labels, dtype=np.int64),
        np.ascontiguousarray(test_images, dtype=np.uint8),
        np.asarray(test_labels, dtype=np.int64),
        tuple(map(str, classes)),
    )
    _check(dataset, origin)
    return dataset


def _check(dataset: Dataset, origin: Source) -> None:
    """Compare with the sizes that the source expects: a damaged file must not become a result."""
    found = {
        "shape": list(dataset.shape),
        "classes": len(dataset.classes),
        "train": len(dataset.train_labels),
        "test": len(dataset.test_labels),
    }
    known = origin.expected() or found
    labels = np.concatenate([dataset.train_labels, dataset.test_labels])
    images = [len(dataset.train_images), len(dataset.test_images)]
    whole = set(np.unique(labels)) == set(range(len(dataset.classes)))
    if found != known or images != [found["train"], found["test"]] or not whole:
        raise InputError(
            f"data set {dataset.name!r} ({dataset.source}) under {origin.root}: damaged: shape, classes, "
            f"training and test images are {tuple(found.values())}, expected {tuple(known.values())}; "
            "delete its files there and run again"
        )
