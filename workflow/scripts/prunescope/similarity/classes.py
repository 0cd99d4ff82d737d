"""What measures give for other images of the same classes: networks that share nothing but labels.

Image i of a meets another image of its class in b. With N images in C classes, B = Σ n_c m_c^a (m_c^b)ᵀ of
the class means and R the rest of Σ x_i y_iᵀ, cross-moments have the mean (B - R C / (N - C)) / N, because no
image meets itself. They vary around this mean as rows vary within classes. Images without a label, and
classes of one image, are left out.
"""

from collections.abc import Sequence

import numpy as np

from prunescope.similarity.moments import Cross


def members(labels: np.ndarray) -> np.ndarray:
    """Return a class from 0 for each image, -1 for images that are left out."""
    names, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    used = (names >= 0) & (counts > 1)
    return np.where(used, np.cumsum(used) - 1, -1)[numbers]


def sums(rows: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Sums of the images of each class, shape (images, positions, p) to (classes, positions, p)."""
    member = (classes == np.arange(classes.max(initial=-1) + 1)[:, None]).astype(float)
    return np.tensordot(member, rows, 1)


def levels(pair, measures: Sequence) -> dict[str, list[float]]:
    """Return measures for other images of the same classes: of (a, b), and of (b, a) if not symmetric.

    Empty if there are no labels. 0 for centred measures of what is left within classes.
    """
    centred = {measure.name: [0.0] for measure in measures if measure.needs == "labels" and measure.centred}
    measures = [measure for measure in measures if measure.needs == "moments"]
    if pair.a.labels is None or not measures:
        return centred
    # Measures share what they compute of a pair.
    others = [pair.with_cross(cross) for cross in _other_images(pair)]
    return centred | {
        measure.name: [
            float(np.mean([measure.value(other, back) for other in others]))
            for back in range(2 - measure.symmetric)
        ]
        for measure in measures
        if others
    }


def _other_images(pair) -> list[Cross]:
    """Two cross-moments whose deviations from the mean are opposite."""
    unrelated, sides = pair.unrelated, (pair.a, pair.b)
    if unrelated.a is not pair.a:
        sides = sides[::-1]
    classes = pair.a.classes
    kept = classes >= 0
    sizes = np.bincount(classes[kept])
    free = int(sizes.sum()) - sizes.size
    if free < 1:
        return []
    together = _product(*(side.class_means for side in sides))
    if kept.all() and pair.a.sample.complete:
        total = pair.cross.covariance - unrelated.mean
    else:
        rows = pair.a.moments.positions * sizes.sum()
        total = _product(*(side.sample.rows[side.sample.order][kept] for side in sides)) / rows
    centred = together - (total - together) * (sizes.size / free)
    mean = centred + unrelated.mean
    overlap = unrelated.variance(("raw", "raw")) / (unrelated.varying or 1.0)
    images = pair.a.moments.images * free / sizes.sum()
    noise = np.random.default_rng(0).standard_normal((2, together.shape[0], together.shape[1]))
    first, second = sides[0].within_root @ noise @ sides[1].within_root.T * np.sqrt(overlap / images)
    squares = [side.sample.lengths(side, "raw")[kept] ** 2 for side in sides]
    met = [np.bincount(classes[kept], square) for square in squares]
    return [
        Cross(
            mean + sign * (first + second) / np.sqrt(2),
            float(np.sum(met[0] * met[1] / sizes)) / sizes.sum(),
            np.array([centred + sign * np.sqrt(2) * one for one in (first, second)]),
        )
        for sign in (1, -1)
    ]


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a.reshape(-1, a.shape[2]).T @ b.reshape(-1, b.shape[2])
