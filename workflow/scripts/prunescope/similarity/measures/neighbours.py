"""Measures of neighbourhoods between images."""

import numpy as np
from scipy.stats import hypergeom

from prunescope.similarity.chance import NORMAL

K = 10
# Cosines that differ by rounding only are equal; of equal ones, the first images are taken.
DIGITS = 9
# Largest share of neighbours that may depend on which of equal images are taken.
TIED = 0.01


def knn_jaccard(pair):
    """Mean Jaccard index |A ∩ B| / |A ∪ B| of the 10 nearest images of each image, by cosine.

    Of a sample of images, each as one vector: the mean of its centred rows. NaN for 20 images or fewer.
    """
    if len(pair.a.vectors) <= 2 * K:
        return np.nan
    both = np.sum(_neighbours(pair.a) & _neighbours(pair.b), axis=1)
    return np.mean(both / (2 * K - both))


def chance(pair, _ranks: tuple[int, int]) -> tuple[float, float]:
    """Mean when images are shuffled, and about the 95 % quantile: neighbours become K random other images.

    The number in common is hypergeometric, whatever the neighbourhoods look like. Neighbours are mostly
    mutual, so each image in common counts twice in the variance of the mean.
    """
    common, images = np.arange(K + 1), len(pair.a.vectors)
    likely, index = hypergeom.pmf(common, images - 1, K, K), common / (2 * K - common)
    mean = likely @ index
    deviation = np.sqrt(2 * (likely @ (index - mean) ** 2) / images)
    return float(mean), float(mean + NORMAL * deviation)


def unique(pair) -> bool:
    """Whether the neighbours are determined: equal cosines hardly matter.

    Of images without any activation, or of a layer with one direction, all cosines are equal. The first ones
    are then the same in layers that have nothing in common.
    """
    if len(pair.a.vectors) <= 2 * K:
        return True
    return max(side.memo["tied"] for side in (pair.a, pair.b) if _neighbours(side).size) <= TIED


def _neighbours(side) -> np.ndarray:
    """Which images are among the K nearest of each image, shape (images, images)."""
    if "neighbours" not in side.memo:
        lengths = np.linalg.norm(side.vectors, axis=1, keepdims=True)
        unit = np.divide(side.vectors, lengths, out=np.zeros_like(side.vectors), where=lengths > 0)
        cosines = np.round(unit @ unit.T, DIGITS)
        np.fill_diagonal(cosines, -np.inf)
        last = -np.partition(-cosines, K - 1, axis=1)[:, K - 1 : K]
        nearer, equal = cosines > last, cosines == last
        room = K - nearer.sum(axis=1, keepdims=True)
        side.memo["tied"] = float(np.mean(np.where(equal.sum(axis=1, keepdims=True) > room, room, 0)) / K)
        side.memo["neighbours"] = nearer | (equal & (np.cumsum(equal, axis=1) <= room))
    return side.memo["neighbours"]
