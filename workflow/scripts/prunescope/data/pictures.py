"""Decoding and resizing images while a data set is prepared."""

import lzma
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from prunescope.data.images import Images
from prunescope.errors import InputError

# Formats that Pillow may detect, whatever the file's name: others run programs or are not useful here.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
# Exceptions that reading a damaged file or archive can raise.
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(ValueError, OverflowError),  # of tarfile, for invalid headers
    RuntimeError,  # of zipfile, for encryption and unknown compression; of endless recursion
)
# A small file can declare any size. 8192 × 8192 pixels take 200 MB.
MOST_PIXELS = 2**26


class Decoded(Images):
    """Images that are decoded one at a time.

    Parameters
    ----------
    decode : sequence of callable
        One for each image; returns uint8, shape (C, H, W), or (1, H, W) for a grey image among coloured ones.
    shape : sequence of int
        (C, H, W).
    """

    def __init__(self, decode: Sequence[Callable[[], np.ndarray]], shape: Sequence[int]):
        super().__init__((len(decode), *shape))
        self._decode = decode

    def take(self, rows: np.ndarray) -> np.ndarray:
        images = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for index, row in enumerate(rows):
            images[index] = self._decode[row]()
        return images


class Chosen(Images):
    """Some rows of other images, in another order or size.

    Parameters
    ----------
    images : ndarray or Images, shape (N, C, H, W)
    rows : ndarray of int, optional
        All rows by default.
    side : int, optional
        See `resized`. The size stays the same by default.
    """

    def __init__(self, images: np.ndarray | Images, rows: np.ndarray | None = None, side: int | None = None):
        self._images, self._side = images, side
        self._rows = np.arange(len(images)) if rows is None else rows
        size = images.shape[2:] if side is None else (side, side)
        super().__init__((len(self._rows), images.shape[1], *size))

    def take(self, rows: np.ndarray) -> np.ndarray:
        images = self._images[self._rows[rows]]
        if self._side is None:
            return images
        # Pillow does not support any number of channels, so each channel is a separate image.
        planes = [resized(Image.fromarray(plane), self._side) for image in images for plane in image]
        return np.array([np.asarray(plane) for plane in planes], self.dtype).reshape(
            len(rows), *self.shape[1:]
        )


def resized(image: Image.Image, side: int) -> Image.Image:
    """Scale an image's shorter side to `side` pixels, and crop the longer side at both ends.

    The same as torchvision's ``Resize(side)`` and ``CenterCrop(side)`` (bilinear, antialiased).
    """
    width, height = image.size
    shorter = min(width, height)
    width, height = (side * length // shorter for length in (width, height))
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (round((length - side) / 2) for length in (width, height))
    return image.crop((left, top, left + side, top + side))


def opened(file: Callable[[], BinaryIO], where: str) -> Image.Image:
    """Open an image; only its header is read.

    Parameters
    ----------
    file : callable
        Opens the file.
    where : str
        Name of the file, for messages.

    Raises
    ------
    InputError
        When it is not an image with 8 bits per channel.
    """
    try:
        with warnings.catch_warnings():
            # Warnings about unusual attributes, and about sizes that the check below handles.
            warnings.simplefilter("ignore")
            image = Image.open(file(), formats=FORMATS)
    except UnidentifiedImageError:
        raise InputError(f"{where} is not a readable image; remove or replace it") from None
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise InputError(f"{where} is not a readable image ({error}); remove or replace it") from None
    if image.width * image.height > MOST_PIXELS:
        raise InputError(
            f"{where} declares {image.width}×{image.height} pixels, more than the allowed {MOST_PIXELS:,}; "
            "make it smaller"
        )
    if image.mode.startswith(("I", "F")):
        raise InputError(f"{where} has more than 8 bits per channel; convert the images to 8 bits")
    return image


def shape(file: Callable[[], BinaryIO], where: str) -> tuple[int, int, int]:
    """Return the shape of the result of `decode` without resizing: 1 or 3 channels, height, width."""
    with opened(file, where) as image:
        return 1 if _is_grey(image) else 3, image.height, image.width


def decode(file: Callable[[], BinaryIO], where: str, side: int | None) -> np.ndarray:
    """Decode an image to uint8, (1, H, W) when it is grey, else (3, H, W); `side` as for `resized`."""
    try:
        # Reading an archive's member to its end verifies its checksum.
        with file() as stream:
            content = stream.read()
    except DAMAGE as error:
        raise InputError(f"{where} is not a readable image ({error}); remove or replace it") from None
    with opened(lambda: BytesIO(content), where) as image:
        try:
            return array(image, side)
        except DAMAGE as error:
            raise InputError(f"{where} is not a readable image ({error}); remove or replace it") from None


def array(image: Image.Image, side: int | None) -> np.ndarray:
    """Return an image as `decode` does."""
    grey = _is_grey(image)
    image = image.convert("L" if grey else "RGB")
    pixels = np.asarray(image if side is None else resized(image, side))
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L")
