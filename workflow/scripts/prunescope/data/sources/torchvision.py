"""torchvision's data sets for image classification."""

import inspect
import socket
from functools import partial

import numpy as np

from prunescope.data import pictures
from prunescope.data.images import channel_axes
from prunescope.data.sources import Source
from prunescope.errors import InputError
from prunescope.kinds import source

# Channels, height, width (None: images differ in size); classes; training and test images. Without test
# images, torchvision does not split the data set.
SIZES = {
    "Caltech101": ((3, None, None), 101, 8_677, 0),
    "Caltech256": ((3, None, None), 257, 30_607, 0),
    "CIFAR10": ((3, 32, 32), 10, 50_000, 10_000),
    "CIFAR100": ((3, 32, 32), 100, 50_000, 10_000),
    "Country211": ((3, None, None), 211, 31_650, 21_100),
    "DTD": ((3, None, None), 47, 1_880, 1_880),
    "EuroSAT": ((3, 64, 64), 10, 27_000, 0),
    "FashionMNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "FGVCAircraft": ((3, None, None), 100, 6_667, 3_333),
    "Flowers102": ((3, None, None), 102, 1_020, 6_149),
    "Food101": ((3, None, None), 101, 75_750, 25_250),
    "GTSRB": ((3, None, None), 43, 26_640, 12_630),
    "ImageNet": ((3, None, None), 1_000, 1_281_167, 50_000),
    "Imagenette": ((3, None, None), 10, 9_469, 3_925),
    "KMNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "MNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "OxfordIIITPet": ((3, None, None), 37, 3_680, 3_669),
    "RenderedSST2": ((3, None, None), 2, 6_920, 1_821),
    "SEMEION": ((1, 16, 16), 10, 1_593, 0),
    "StanfordCars": ((3, None, None), 196, 8_144, 8_041),
    "STL10": ((3, 96, 96), 10, 5_000, 8_000),
    "SUN397": ((3, None, None), 397, 108_754, 0),
    "SVHN": ((3, 32, 32), 10, 73_257, 26_032),
    "USPS": ((1, 16, 16), 10, 7_291, 2_007),
}
# Names of the splits, if they are not train and test.
SPLITS = {
    "FGVCAircraft": ("trainval", "test"),
    "ImageNet": ("train", "val"),
    "Imagenette": ("train", "val"),
    "OxfordIIITPet": ("trainval", "test"),
}
# Attributes with the labels, or with pairs of file and label.
LABELS = ("targets", "labels", "_labels", "y")
PAIRS = "_samples"
SILENCE = 60  # seconds without a byte after which a download is given up


@source(form="torchvision:NAME", names=SIZES)
class Torchvision(Source):
    """A torchvision data set, downloaded into `data.root` if it is missing"""

    def describe(self) -> dict:
        shape, classes, train, test = SIZES[self.name]
        return {"shape": list(shape), "classes": classes, "train": train, "test": test}

    expected = describe

    def read(self, download: bool) -> tuple:
        from torchvision import datasets

        kind = getattr(datasets, self.name)
        parameters = inspect.signature(kind.__init__).parameters
        options = {"download": download} if "download" in parameters else {}
        if "train" in parameters:
            splits = [{"train": True}, {"train": False}]
        elif "split" in parameters:
            splits = [{"split": name} for name in SPLITS.get(self.name, ("train", "test"))]
        else:
            splits = [{}]
        patience = socket.getdefaulttimeout()
        socket.setdefaulttimeout(SILENCE)
        try:
            parts = [kind(self.root, **options, **split) for split in splits]
        except Exception as error:  # torchvision passes on any exception of its parsers and urllib
            problem = " ".join(str(error).split()) or type(error).__name__
            advice = (
                "run again to fetch what is damaged or missing; if that does not help, delete its files there"
                if options.get("download")
                else "put torchvision's files there, or set data.download: true"
            )
            raise InputError(
                f"data set {self.name} under data.root = {self.root}: missing or damaged ({problem}); "
                f"{advice}"
            ) from None
        finally:
            socket.setdefaulttimeout(patience)
        arrays = [array for part in parts for array in (self._images(part), _labels(part))]
        if len(parts) == 1:
            arrays += [arrays[0][:0], arrays[1][:0]]
        names = getattr(parts[0], "classes", range(SIZES[self.name][1]))
        # Each class of ImageNet has several names.
        return *arrays, [name[0] if isinstance(name, tuple) else name for name in names]

    def _images(self, part):
        """Return the images; an array if torchvision keeps them in memory."""
        if hasattr(part, "data"):
            images = np.asarray(part.data)
            images = images[:, None] if images.ndim == 3 else images
            axes = [1 + axis for axis in channel_axes(images.shape[1:])]
            return np.ascontiguousarray(images.transpose(0, *axes), dtype=np.uint8)
        channels, *size = SIZES[self.name][0]
        shape = (channels, *size) if self.resize is None else (channels, self.resize, self.resize)
        return pictures.Decoded([partial(self._decode, part, index) for index in range(len(part))], shape)

    def _decode(self, part, index: int) -> np.ndarray:
        try:
            return pictures.array(part[index][0], self.resize)
        except pictures.DAMAGE as error:
            raise InputError(
                f"data set {self.name} under data.root = {self.root}: image {index} cannot be read "
                f"({error}); delete its files there and run again"
            ) from None


def _labels(part) -> np.ndarray:
    found = next((getattr(part, name) for name in LABELS if hasattr(part, name)), None)
    return np.asarray([label for _, label in getattr(part, PAIRS)] if found is None else found)
