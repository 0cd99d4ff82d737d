"""Table of sources of images."""

from prunescope.data.sizes import SIZES
from prunescope.kinds import Kind

SOURCES = {
    "ImageFolder": Kind(
        "data.sources.imagefolder:ImageFolder",
        "A folder or archive (.tar, .tar.gz, .tar.xz, .tar.bz2, .zip) of images: train/CLASS/* and "
        "test/CLASS/* (or val/CLASS/*), CLASS/*, or all in one folder without labels",
        prefix="imagefolder:",
        variable="PATH",
    ),
    "Numpy": Kind(
        "data.sources.npz:Numpy",
        "Arrays of a .npz file: x_train, y_train, x_test and y_test; or x and y; or x alone, without "
        "labels. An optional array `classes` holds the names of the classes. Images are uint8, or floats "
        "from 0 to 1",
        prefix="numpy:",
        variable="FILE",
    ),
    "Torchvision": Kind(
        "data.sources.torchvision:Torchvision",
        "A torchvision data set, downloaded into `data.root` if it is missing",
        prefix="torchvision:",
        names=tuple(SIZES),
    ),
    "sklearn:digits": Kind(
        "data.sources.sklearn:Digits",
        "scikit-learn's 1,797 handwritten digits, 8×8; every fifth one is a test image",
    ),
}
