"""Similarity of what is left when the mean of each class is subtracted."""

import numpy as np

from prunescope.similarity.chance import NORMAL
from prunescope.similarity.classes import sums

# Of all variance, a fraction below which variance within classes is rounding error.
LOST = 1e-12


def cka_within(pair):
    """Debiased CKA of rows minus the mean of their class, at each position.

    H(a,b) / √(H(a,a) H(b,b)), where H(a,b) = Σ R₁(a,b) R₂(a,b), the sum over all entries, and R_h(a,b) is
    Σ_i x_i y_iᵀ over the rows of a random half of the images, minus the means of their classes in this half.
    The halves are independent, so each H is unbiased, also if an image has several rows. NaN without labels,
    and where nothing varies within classes in a half of the images.
    """
    if pair.a.labels is None:
        return np.nan
    of_a, of_b = (_with_itself(side) for side in (pair.a, pair.b))
    if min(of_a, of_b) <= 0:
        return np.nan
    between = np.sum(_scatter(pair.a, pair.b, 0) * _scatter(pair.a, pair.b, 1))
    return between / np.sqrt(of_a) / np.sqrt(of_b)


def chance(pair, _ranks: tuple[int, int]) -> tuple[float, float]:
    """Mean and 95 % quantile when images are shuffled within classes.

    With one row per image and classes of the same shape, the variance is the product over both halves of
    Σ_c s_c t_c / (n_c - 1) / (Σ_c s_c Σ_c t_c), where s_c and t_c are sums of squares within a class of a and
    of b. With several rows, it is at most that.
    """
    variance = 1.0
    for half in (0, 1):
        (counts, _, of_a), (_, _, of_b) = (_classes(side, half) for side in (pair.a, pair.b))
        variance *= np.sum(of_a * of_b / np.maximum(counts - 1, 1)) / (of_a.sum() * of_b.sum())
    return 0.0, float(NORMAL * np.sqrt(variance))


def _with_itself(side) -> float:
    """H(a,a); 0 if only rounding remains."""
    if "within" not in side.sample_memo:
        scatters = [_scatter(side, side, half) for half in (0, 1)]
        known = np.sum(scatters[0] * scatters[1])
        size = np.prod([np.linalg.norm(scatter) for scatter in scatters])
        total = [np.square(_rows(side, half)).sum() for half in (0, 1)]
        lost = any(np.trace(one) <= LOST * every for one, every in zip(scatters, total, strict=True))
        side.sample_memo["within"] = 0.0 if lost or known <= LOST * size else float(known)
    return side.sample_memo["within"]


def _scatter(a, b, half: int) -> np.ndarray:
    """R of a half, shape (p_a, p_b)."""
    rows, means = (
        [one.reshape(-1, one.shape[2]) for one in both]
        for both in zip(*((_rows(side, half), _classes(side, half)[1]) for side in (a, b)), strict=True)
    )
    return rows[0].T @ rows[1] - means[0].T @ means[1]


def _chosen(side, half: int) -> np.ndarray:
    return (side.sample.half == half) & (side.classes >= 0)


def _rows(side, half: int) -> np.ndarray:
    """Images of a half that have a class, shape (images, positions, p)."""
    return side.sample.rows[side.sample.order[_chosen(side, half)]]


def _classes(side, half: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each class in a half: number of images; mean times its root; sum of squares within the class."""
    if ("within", half) not in side.sample_memo:
        rows, here = _rows(side, half), side.classes[_chosen(side, half)]
        counts = np.bincount(here)
        means = sums(rows, here) / np.sqrt(np.maximum(counts, 1))[:, None, None]
        squares = np.bincount(here, np.square(rows).sum(axis=(1, 2)))
        within = np.clip(squares - np.square(means).sum(axis=(1, 2)), 0, None) * (counts > 1)
        side.sample_memo["within", half] = counts, means, within
    return side.sample_memo["within", half]
