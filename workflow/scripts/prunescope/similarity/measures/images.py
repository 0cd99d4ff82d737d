"""Measures of how similar images are to each other, in a and in b.

Each layer gives a symmetric matrix of similarities between the images of a sample. A measure is the cosine of
two such matrices, without their diagonals. Their mean over all pairs of images is 0, so the measure is 0 on
average when images are shuffled.
"""

import numpy as np
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from prunescope.similarity.chance import stretch

# Bandwidth of the Gaussian kernel, as a fraction of the median distance of two images.
BANDWIDTH = 0.4
# Correlations that differ by rounding only are equal.
DIGITS = 12
# Squared lengths below this fraction of the variance are rounding errors, and so are kernels below it.
LOST = 1e-12
# With a smaller skewness, the distribution is normal.
SYMMETRIC = 1e-3


def rsa(pair):
    """Representational similarity analysis: Spearman correlation of the similarities of all pairs of images.

    Of a sample of images, each as one vector: the mean of its centred rows. Two images are as similar as the
    correlation of their vectors over the units; units that do not vary are left out. NaN for fewer than 4
    images, and if all pairs are equally similar, as with one unit.
    """
    return _cosine(pair, _ranks)


def cka_rbf(pair):
    """CKA with a Gaussian kernel and unbiased estimates of HSIC, of a sample of images.

    exp(-d² / (2 σ²)) of the distances d between images, with σ = 0.4 times the median distance of images that
    differ. NaN for fewer than 4 images, and if all are equally far from each other.
    """
    return _cosine(pair, _kernel)


def rsa_chance(pair, _ranks_of_units: tuple[int, int]) -> tuple[float, float]:
    """Chance of `rsa`, see `_levels`."""
    return _levels(pair, _ranks)


def cka_rbf_chance(pair, _ranks_of_units: tuple[int, int]) -> tuple[float, float]:
    """Chance of `cka_rbf`, see `_levels`."""
    return _levels(pair, _kernel)


def _levels(pair, similarities) -> tuple[float, float]:
    """Mean when images are shuffled, and about the 95 % quantile.

    A matrix is the sum of an additive part, α_i + α_j, and one whose rows have mean 0. When m images are
    shuffled, both parts are uncorrelated, and products of parts with norm 1 have the variances 1 / (m - 1)
    and 2 / (m (m - 3)). The variance is exact, the skewness of the Gamma distribution approximate.
    """
    images = len(pair.a.vectors)
    (_, additive_a, cubes_a), (_, additive_b, cubes_b) = (
        _known(side, similarities) for side in (pair.a, pair.b)
    )
    additive = additive_a * additive_b / (images - 1)
    rest = (1 - additive_a) * (1 - additive_b) * 2 / (images * (images - 3))
    skewness = np.sqrt(8) * cubes_a * cubes_b * (rest / (additive + rest)) ** 1.5
    shape = 4 / max(skewness, SYMMETRIC) ** 2
    return 0.0, float(np.sqrt((additive + rest) * shape) * (stretch(shape) - 1))


def _cosine(pair, similarities) -> float:
    if len(pair.a.vectors) < 4:
        return np.nan
    one, other = (_known(side, similarities)[0] for side in (pair.a, pair.b))
    return float(one @ other)


def _known(side, similarities) -> tuple[np.ndarray, float, float]:
    """Similarities of all pairs of images with norm 1; what chance depends on, see `_levels`.

    That is the fraction of the additive part, and Σ_ijk c_ij c_jk c_ki of the other part with norm 1.
    """
    name = similarities.__name__
    if name not in side.memo:
        matrix = similarities(side)
        size, images = np.square(matrix).sum(), len(matrix)
        additive = matrix.sum(axis=1) / (images - 2)
        fraction = 2 * (images - 2) * np.square(additive).sum() / size if size else 0.0
        pairs = squareform(matrix, checks=False) / (np.sqrt(size / 2) or np.nan)
        matrix -= additive[:, None] + additive
        np.fill_diagonal(matrix, 0)
        norm = np.linalg.norm(matrix) or 1.0
        side.memo[name] = pairs, float(fraction), float(np.sum((matrix @ matrix) * matrix) / norm**3)
    return side.memo[name]


def _ranks(side) -> np.ndarray:
    """Ranks of the correlations between images, minus their mean; 0 on the diagonal."""
    rows = side.vectors[:, side.varying]
    centred = rows - rows.mean(axis=1, keepdims=True)
    squares = np.square(centred).sum(axis=1, keepdims=True)
    varies = squares > LOST * side.variance
    centred = np.divide(centred, np.sqrt(squares), out=np.zeros_like(centred), where=varies)
    correlations = squareform(np.round(centred @ centred.T, DIGITS), checks=False)
    ranks = rankdata(correlations)
    return squareform(ranks - ranks.mean())


def _kernel(side) -> np.ndarray:
    """Gaussian kernel of the distances between images, centred without its diagonal: rows have mean 0."""
    rows = side.vectors
    lengths = np.einsum("ij,ij->i", rows, rows)
    squares = np.clip(lengths[:, None] + lengths - 2 * rows @ rows.T, 0, None)
    squares[squares <= LOST * side.variance] = 0
    apart = squares[squares > 0]
    if not apart.size:
        return squares
    kernel = np.exp(squares / (-2 * BANDWIDTH**2 * np.median(apart)))
    np.fill_diagonal(kernel, 0)
    images, sums = len(kernel), kernel.sum(axis=1)
    means = (sums - sums.sum() / (2 * (images - 1))) / (images - 2)
    kernel -= means[:, None] + means
    np.fill_diagonal(kernel, 0)
    return kernel if np.abs(kernel).max() > LOST else np.zeros_like(kernel)
