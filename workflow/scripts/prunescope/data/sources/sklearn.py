"""scikit-learn's handwritten digits: part of the package, no download."""

import numpy as np

from prunescope.data.sources import Source


class Digits(Source):
    """scikit-learn's 1,797 handwritten digits, 8×8; every fifth one is a test image."""

    def describe(self) -> dict:
        return {"shape": [1, 8, 8], "classes": 10, "train": 1_437, "test": 360}

    expected = describe

    def read(self, download: bool) -> tuple:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]  # values are 0 to 16
        test = np.arange(len(images)) % 5 == 0
        return images[~test], digits.target[~test], images[test], digits.target[test], digits.target_names
