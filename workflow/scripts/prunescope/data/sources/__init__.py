"""Sources of images. Each is a subclass of `Source` in a file of this folder.

Only the preparation stage calls `fetch`, so libraries for reading images are imported only there.
"""

from pathlib import Path

import numpy as np

from prunescope import kinds
from prunescope.data.datasets import UNLABELLED, Dataset
from prunescope.errors import InputError


class Source:
    """The origin of a data set.

    Parameters
    ----------
    text : str
        As in the configuration, e.g. ``torchvision:MNIST``.
    name : str
        The variable part of the text: ``MNIST``.
    root : str
        ``data.root`` of the configuration.
    resize : int, optional
        Side in pixels to which images will be resized. Images of a source that decodes them may then differ
        in size.
    """

    def __init__(self, text: str, name: str, root: str, resize: int | None = None):
        self.text, self.name, self.root, self.resize = text, name, root, resize

    def stamp(self) -> list:
        """Return a list that changes whenever the files change; empty if they never change.

        The first item is their path.
        """
        return []

    def describe(self) -> dict:
        """Return the data set's sizes without preparing it.

        Returns
        -------
        dict
            ``shape`` (channels, height, width), ``classes``, ``train`` and ``test`` (numbers of images). A
            source that does not split its images has no test images; without labels, it has no classes and
            no training images. Height and width may already be `resize`.
        """
        raise NotImplementedError

    def expected(self) -> dict | None:
        """Return the sizes that `read` must find, as `describe` gives them; None if they are not known."""
        return None

    def read(self, download: bool) -> tuple:
        """Return training images (N, C, H, W) and labels, test images and labels, and class names.

        Images are arrays of uint8 or `prunescope.data.images.Images`. Sizes are those of `describe`.
        """
        raise NotImplementedError

    def local(self, suffixes: tuple[str, ...], what: str) -> Path:
        """Return the path `name`, relative to `root`.

        Raises
        ------
        InputError
            When it does not exist, or is a file without one of the suffixes; the message uses `what`.
        """
        path = Path(self.root, self.name)
        where = f"data.datasets: {self.text!r}"
        if not path.exists():
            raise InputError(
                f"{where}: no {what} {path}; correct the path (a relative path starts at data.root)"
            )
        if path.is_file() and not path.name.endswith(suffixes):
            raise InputError(f"{where}: {path} is not a {what}; allowed: {', '.join(suffixes)}")
        return path


def options(given: str | dict) -> dict:
    """Return a value of ``data.datasets`` with all its keys: ``source``, ``resize``, ``test_fraction``."""
    given = {"source": given} if isinstance(given, str) else given
    return {"resize": None, "test_fraction": None} | given


def find(given: str | dict, root: str) -> Source:
    """Return the source that a configuration value names.

    Raises
    ------
    InputError
        When there is no such source.
    """
    given = options(given)
    kind = kinds.find("source", given["source"])
    source = kinds.load("source", given["source"])
    return source(given["source"], kinds.rest(kind, given["source"]), root, given["resize"])


def check_stamp(given: str | dict, root: str, planned: list) -> None:
    """Refuse a source whose files have changed since its stamp was taken.

    Raises
    ------
    InputError
        When they have.
    """
    if find(given, root).stamp() != planned:
        raise InputError(f"{planned[0]}: changed after this run was planned; run the same command again")


def describe(given: str | dict, root: str) -> dict:
    """Return a data set's sizes, resized and split, without preparing it; see `Source.describe`.

    Raises
    ------
    InputError
        When the files are missing or inconsistent, or do not fit the options.
    """
    origin = find(given, root)
    return _adapted(origin.describe(), origin, options(given))


def _adapted(sizes: dict, origin: Source, given: dict) -> dict:
    """Apply `resize` and `test_fraction` to a source's sizes."""
    side, fraction, where = given["resize"], given["test_fraction"], f"data.datasets: {origin.text!r}"
    channels, *size = sizes["shape"]
    if side is not None:
        size = [side, side]
    elif None in size:
        raise InputError(
            f"{where}: the images differ in size; set resize, e.g. {{source: '{origin.text}', resize: 64}}"
        )
    train, test = sizes["train"], sizes["test"]
    if fraction is None and not test:
        raise InputError(
            f"{where}: there are no separate test images; set test_fraction, e.g. {{source: '{origin.text}', "
            "test_fraction: 0.2}"
        )
    if fraction is not None:
        if test:
            problem = (
                "the source already has test images"
                if sizes["classes"]
                else "images without labels cannot be split"
            )
            raise InputError(f"{where}: test_fraction = {fraction}: {problem}; remove it")
        test = round(fraction * train)
        train -= test
        if not test or not train:
            raise InputError(
                f"{where}: test_fraction = {fraction} leaves {train} training and {test} test images; "
                "choose another fraction"
            )
    return {"shape": [channels, *size], "classes": sizes["classes"], "train": train, "test": test}


def fetch(name: str, given: str | dict, root: str, download: bool) -> Dataset:
    """Open a data set from its source.

    Parameters
    ----------
    name : str
        Its name in the configuration.
    given : str or dict
        Its source, e.g. ``torchvision:MNIST``, ``sklearn:digits`` or ``imagefolder:PATH``; or a mapping of
        ``source``, ``resize`` and ``test_fraction``.
    root : str
        Folder of torchvision's files; relative paths of other files start there.
    download : bool
        Whether missing files may be downloaded.

    Returns
    -------
    Dataset
        Some sources decode images when they are indexed.

    Raises
    ------
    InputError
        When the data is missing or damaged.
    """
    from prunescope.data.pictures import Chosen

    origin, given = find(given, root), options(given)
    train, train_labels, test, test_labels, classes = origin.read(download)
    train_labels, test_labels = (np.asarray(labels, dtype=np.int64) for labels in (train_labels, test_labels))
    read = {
        "shape": list(test.shape[1:]),
        "classes": len(classes),
        "train": len(train_labels),
        "test": len(test_labels),
    }
    sizes = _adapted(read, origin, given)
    if given["test_fraction"] is not None:
        kept, held_out = split(train_labels, given["test_fraction"])
        train, test = Chosen(train, kept), Chosen(train, held_out)
        train_labels, test_labels = train_labels[kept], train_labels[held_out]
    if list(test.shape[1:]) != sizes["shape"]:
        train, test = (Chosen(images, side=given["resize"]) for images in (train, test))
    changes = [f"{key} {value}" for key, value in given.items() if key != "source" and value is not None]
    text = ", ".join([origin.text, *changes])
    dataset = Dataset(name, text, train, train_labels, test, test_labels, tuple(map(str, classes)))
    expected = origin.expected()
    _check(dataset, sizes, expected and _adapted(expected, origin, given), root)
    return dataset


def split(labels: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Choose test images in proportion to the classes, up to rounding.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
    fraction : float
        Fraction of the N images that become test images.

    Returns
    -------
    tuple of ndarray of int
        Indices of the other images and of the test images, each in ascending order; the same in every run.
    """
    shuffled = np.random.default_rng(0).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    count = round(fraction * len(labels))
    # Evenly spaced in an order by class; rounding per class would favour some classes.
    chosen = by_class[((np.arange(count) + 0.5) * len(labels) / count).astype(int)]
    return np.setdiff1d(np.arange(len(labels)), chosen), np.sort(chosen)


def _check(dataset: Dataset, sizes: dict, known: dict | None, root: str) -> None:
    """Compare with the sizes that the source expects: a damaged file must not be used."""
    known = known or sizes
    labels = set(np.unique(np.concatenate([dataset.train_labels, dataset.test_labels])))
    images = [len(dataset.train_images), len(dataset.test_images)]
    whole = labels == (set(range(len(dataset.classes))) or {UNLABELLED})
    if sizes != known or images != [sizes["train"], sizes["test"]] or not whole:
        raise InputError(
            f"data set {dataset.name!r} ({dataset.source}) under {root}: damaged: shape, classes, "
            f"training and test images are {tuple(sizes.values())}, expected {tuple(known.values())}; "
            "delete its files there and run again"
        )
