"""torchvision's data sets."""

import socket

import numpy as np

from prunescope.data.sources import Source
from prunescope.errors import InputError
from prunescope.kinds import source

# Channels, height, width; classes; training and test images.
SIZES = {
    "MNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "FashionMNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "KMNIST": ((1, 28, 28), 10, 60_000, 10_000),
    "CIFAR10": ((3, 32, 32), 10, 50_000, 10_000),
    "CIFAR100": ((3, 32, 32), 100, 50_000, 10_000),
    "SVHN": ((3, 32, 32), 10, 73_257, 26_032),
}
SILENCE = 60  # seconds without a byte after which a download is given up


@source(form="torchvision:NAME", names=SIZES)
class Torchvision(Source):
    """A data set of torchvision, downloaded into `data.root` when it is not there."""

    def describe(self) -> dict:
        shape, classes, train, test = SIZES[self.name]
        return {"shape": list(shape), "classes": classes, "train": train, "test": test}

    expected = describe

    def read(self, download: bool) -> tuple:
        from torchvision import datasets

        kind = getattr(datasets, self.name)
        svhn = self.name == "SVHN"
        splits = [{"split": "train"}, {"split": "test"}] if svhn else [{"train": True}, {"train": False}]
        patience = socket.getdefaulttimeout()
        socket.setdefaulttimeout(SILENCE)
        try:
            train, test = (kind(self.root, download=download, **split) for split in splits)
        except Exception as error:  # torchvision raises whatever its parsers and urllib raise
            problem = " ".join(str(error).split()) or type(error).__name__
            advice = (
                "run again to fetch what is damaged or missing; if that does not help, delete its files there"
                if download
                else "put torchvision's files there, or set data.download: true"
            )
            raise InputError(
                f"data set {self.name} under data.root = {self.root}: missing or damaged ({problem}); "
                f"{advice}"
            ) from None
        finally:
            socket.setdefaulttimeout(patience)
        arrays = []
        for part in (train, test):
            images = np.asarray(part.data)
            if svhn:
                labels = part.labels
            else:
                labels = np.asarray(part.targets)
                images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
            arrays += [images, labels]
        return *arrays, getattr(train, "classes", range(10))
