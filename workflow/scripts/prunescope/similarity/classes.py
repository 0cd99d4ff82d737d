"""What measures give for other images of the same classes: networks that share nothing but labels.

Image i of a meets another image of its class in b. With N images in C classes, B = Σ n_c m_c^a (m_c^b)ᵀ of
the class means and R the rest of Σ x_i y_iᵀ, cross-moments have the mean (B - R C / (N - C)) / N, because no
image meets itself. Around it they vary as rows within classes do. Images without a label, and classes of one
image, are left out.
"""

from collections.abc import Sequence

import numpy as np

from prunescope.similarity.moments import Cross


def members(labels: np.ndarray) -> np.ndarray:
    """Return a class from 0 for each image, -1 for images that are left out."""
    names, found, counts = np.unique(labels, return_inverse=True, return_counts=True)
    used = (names >= 0) & (counts > 1)
    return np.where(used, np.cumsum(used) - 1, -1)[found]


def means(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Class means of images, shape (images, ...) to (classes, ...)."""
    sums = np.zeros((classes.max(initial=-1) + 1, *rows.shape[1:]))
    np.add.at(sums, classes[classes >= 0], rows[classes >= 0])
    return sums / np.bincount(classes[classes >= 0], minlength=len(sums)).reshape(-1, *[1] * (rows.ndim - 1))


def levels(pair, measures: Sequence) -> dict[str, list[float]]:
    """Return measures for other images of the same classes: of (a, b), and of (b, a) if not symmetric.

    Empty if there are no labels.
    """
    measures = [measure for measure in measures if measure.needs == "moments"]
    if pair.a.labels is None or not measures:
        return {}
    crosses = _other_images(pair)
    return {
        measure.name: [
            float(np.mean([measure.value(pair.with_cross(cross), back) for cross in crosses]))
            for back in range(2 - measure.symmetric)
        ]
        for measure in measures
        if crosses
    }


def _other_images(pair) -> list[Cross]:
    """Two cross-moments whose deviations from the mean are opposite."""
    unrelated, sides = pair.unrelated, (pair.a, pair.b)
    if unrelated.a is not pair.a:
        sides = sides[::-1]
    classes = pair.a.sample.classes(pair.a.labels)
    sizes = np.bincount(classes[classes >= 0])
    free = sizes.sum() - sizes.size
    if not sizes.size or free < 1:
        return []
    rows, scale = pair.a.moments.positions * sizes.sum(), sizes[:, None, None]
    a, b = (side.class_means * np.sqrt(scale) for side in sides)
    together = _product(a, b) / rows
    kept = classes >= 0
    if kept.all() and pair.a.sample.complete:
        total = pair.cross.covariance - unrelated.mean
    else:
        total = _product(*(side.sample.rows[side.sample.order][kept] for side in sides)) / rows
    mean = unrelated.mean + together - (total - together) * (sizes.size / free)
    overlap = unrelated.variance("raw") / (unrelated.varying or 1.0)
    images = pair.a.moments.images * free / sizes.sum()
    roots = [
        _root(side.varying - _product(means, means) / rows) for side, means in zip(sides, (a, b), strict=True)
    ]
    noise = np.random.default_rng(0).standard_normal((2, len(roots[0]), len(roots[1])))
    first, second = roots[0] @ noise @ roots[1].T * np.sqrt(overlap / images)
    squares = [side.sample.lengths(side, "raw")[kept] ** 2 for side in sides]
    met = [means_of[classes[kept]] for means_of in (means(square, classes[kept]) for square in squares)]
    centred = mean - unrelated.mean
    return [
        Cross(
            mean + sign * (first + second) / np.sqrt(2),
            float(met[0] @ met[1]) / kept.sum(),
            np.array([centred + sign * np.sqrt(2) * one for one in (first, second)]),
        )
        for sign in (1, -1)
    ]


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a.reshape(-1, a.shape[2]).T @ b.reshape(-1, b.shape[2])


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0, None))
