"""torchvision's data sets for image classification."""

import inspect
import socket
from functools import partial

import numpy as np

from prunescope.data import pictures
from prunescope.data.images import channel_axes
from prunescope.data.sizes import SIZES
from prunescope.data.sources import Source
from prunescope.errors import InputError

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
    labels = next((getattr(part, name) for name in LABELS if hasattr(part, name)), None)
    return np.asarray([label for _, label in getattr(part, PAIRS)] if labels is None else labels)
