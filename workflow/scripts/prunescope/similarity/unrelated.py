"""What remains between two representations when the images of one are permuted.

Images are exchangeable; rows of one image are not. With rows as (image, position t) and m_t the mean over the
images at position t of centred columns, permuting the images of b leaves C_ab with

    mean      D = Σ_t m_t^a (m_t^b)ᵀ / positions,
    variance  v = E‖C_ab - D‖_F²,

in raw, whitened or principal coordinates. With one row per image, D = 0 and v = tr C_aa tr C_bb / (N - 1).
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from prunescope.similarity.moments import Cross
from prunescope.similarity.whitening import Representation

# Evenness, multiplied over both sides, below which the law of C_ab depends on the largest images: with one
# row per image, and with several.
EVEN, EVEN_MAPS = 0.1, 0.5
# Images per permutation of maps without leverage: their positions are many rows.
LEAST_IMAGES, IMAGES_PER_UNIT = 128, 4
# With more positions, their agreement is estimated instead of computed.
FEW_POSITIONS = 64
# Pairs of images that tell how their positions agree: as many as have this number of products.
PRODUCTS, LEAST_PRODUCTS = 2**17, 16


class Unrelated:
    """Moments between two representations when the images of one are permuted.

    Parameters
    ----------
    a, b : Representation

    `bases` are those of both sides, see `Representation.coordinates`.
    """

    def __init__(self, a: Representation, b: Representation):
        self.a, self.b = a, b
        self.positions = a.moments.positions

    @property
    def leveraged(self) -> bool:
        """Whether few images carry so much of the variance that the law of C_ab depends on them."""
        return self.evenness < (EVEN if self.positions == 1 else EVEN_MAPS)

    @property
    def sized(self) -> bool:
        """Whether `expected` is precise."""
        return self.positions <= FEW_POSITIONS or not self.leveraged

    @property
    def drawn(self) -> bool:
        """Whether images are really permuted, instead of formulas."""
        return self.positions > 1 or self.leveraged

    def rows(self, bases: tuple[str, str]) -> float:
        """Return how many independent rows would vary as much: the number of images, if each has one row."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.divide(self.a.size(bases[0]) * self.b.size(bases[1]), self.variance(bases))) + 1

    @cached_property
    def mean(self) -> np.ndarray:
        """D in raw coordinates."""
        return self.a.moments.map.T @ self.b.moments.map / self.positions

    def permuted(self, start: int, stop: int) -> Iterator[Cross]:
        """Yield cross-moments after permutations number `start` to `stop`, as far as there are any.

        Image i in random order meets image i + shift; for each shift, its negative comes next, so that (b, a)
        has the same permutations.
        """
        for number in range(start, min(stop, 2 * self._shifts.size)):
            yield self._permuted(self._shifts[number // 2], number % 2)

    def products(self, bases: tuple[str, str], power: int) -> tuple[np.ndarray, np.ndarray]:
        """Return Σ_i (|x_i| |y_π(i)|)^power for the permutations in their order, and for each shift."""
        one, other = (side.sample.lengths(side, basis) ** power for side, basis in self._both(bases))
        every = np.fft.irfft(np.conj(np.fft.rfft(one)) * np.fft.rfft(other), one.size)
        return every[np.stack([self._shifts, -self._shifts], axis=1).ravel()], every[1:]

    @cached_property
    def evenness(self) -> float:
        """Of both sides, multiplied: near 0, only few meetings of images matter."""
        return float(np.prod([self._evenness(side) for side in (self.a, self.b)]))

    def _evenness(self, side: Representation) -> float:
        if self.positions == 1:
            return side.evenness
        lengths = side.sample.lengths(side, "raw"), side.sample.lengths(side, "units", LEAST_IMAGES)
        return min(evenness(length**2) for length in lengths)

    def _both(self, bases: tuple[str, str]) -> list[tuple[Representation, str]]:
        return [(self.a, bases[0]), (self.b, bases[1])]

    def size(self, covariance: np.ndarray, bases: tuple[str, str]) -> float:
        """Return ‖C‖_F²."""
        covariance = self.a.coordinates(bases[0], self.b.coordinates(bases[1], covariance).T)
        return float(np.square(covariance).sum())

    def expected(self, bases: tuple[str, str]) -> float:
        """Return its mean, ‖D‖_F² + v."""
        return self.size(self.mean, bases) + self.variance(bases)

    @property
    def varying(self) -> float:
        """v in raw coordinates if the positions of an image were one."""
        images = max(self.a.moments.images - 1, 1)
        return float(np.trace(self.a.within_positions) * np.trace(self.b.within_positions) / images)

    def variance(self, bases: tuple[str, str]) -> float:
        """v: as for one row per image, times tr(G^a G^b) / (tr G^a tr G^b) with G_tu = Σ_i ⟨x_it, x_iu⟩."""
        if bases not in self._variances:
            varying_a, varying_b = (
                max(side.size(basis) - np.square(means).sum() / self.positions, 0.0)
                for side, basis in self._both(bases)
                for means in [side.coordinates(basis, side.moments.map)]
            )
            of_one_row = varying_a * varying_b / max(self.a.moments.images - 1, 1)
            self._variances[bases] = of_one_row * (self._overlap(bases) if self.positions > 1 else 1.0)
        return self._variances[bases]

    @cached_property
    def _variances(self) -> dict[tuple[str, str], float]:
        return {}

    def _overlap(self, bases: tuple[str, str]) -> float:
        """tr(G^a G^b) / (tr G^a tr G^b).

        With many positions, it is estimated from pairs of images: ‖X_iᵀX_j‖_F² / (|X_i|² |X_j|²).
        """
        if self.positions <= FEW_POSITIONS:
            one, other = (side.sample.agreement(side, basis) for side, basis in self._both(bases))
            return float(np.sum(one * other))
        order = self.a.sample.order
        count = int(np.clip(PRODUCTS // (self.a.rank * self.b.rank + 1), LEAST_PRODUCTS, len(order)))
        met = apart = 0.0
        for start in (0, len(order) // 2):
            left, right = (
                side.coordinates(
                    basis, side.sample.rows[np.take(order, np.arange(first, first + count), mode="wrap")]
                )
                for (side, basis), first in zip(
                    self._both(bases), (start, len(order) // 2 - start), strict=True
                )
            )
            met += np.square(left.transpose(0, 2, 1) @ right).sum()
            apart += np.einsum("itj,itj->i", left, left) @ np.einsum("itj,itj->i", right, right)
        return float(met / apart) if apart else 0.0

    @cached_property
    def _shifts(self) -> np.ndarray:
        """In random order."""
        return np.random.default_rng(1).permutation(np.arange(1, (len(self.a.sample.rows) + 1) // 2))

    def _permuted(self, shift: int, back: bool) -> Cross:
        a, b = self.a.sample, self.b.sample
        used = len(a.rows)
        if not self.leveraged:
            used = min(used, max(LEAST_IMAGES, IMAGES_PER_UNIT * max(self.a.rank, self.b.rank)))
        here, there = ((start + np.arange(used)) % len(a.order) for start in (shift, 2 * shift))
        here, there = (there, here) if back else (here, there)
        # As if there were as many images as behind the moments.
        scale = np.sqrt(used / self.a.moments.images) / self.positions
        covariance, halves = self.mean, []
        for half in (0, 1):
            chosen = a.half[here] == half
            left, right = a.rows[a.order[here[chosen]]], b.rows[b.order[there[chosen]]]
            products = left.reshape(-1, left.shape[2]).T @ right.reshape(-1, right.shape[2])
            covariance = covariance + products * (scale / used)
            images = max(len(left), 1)
            centre = left.sum(axis=0).T @ right.sum(axis=0) / images
            halves.append((products - centre) * (scale / images))
        squares = [side.sample.lengths(side, "raw") ** 2 for side in (self.a, self.b)]
        # Of rows, for measures of one row per image.
        lengths = float(squares[0][here] @ squares[1][there]) / used
        return Cross(covariance, lengths, np.array(halves))


def evenness(squares: np.ndarray) -> float:
    """How many images carry the variance, as a fraction of all: (Σ|x|²)² / (N Σ|x|⁴).

    `squares` are the squared lengths of the images' centred rows. It is 1 if all are equal, and 1 / N if one
    image has all variance.
    """
    fourth = np.square(squares).sum()
    return float(squares.sum() ** 2 / fourth / squares.size) if fourth else 1.0
