"""Measures. Each is a function of a pair, and an entry of `prunescope.similarity.table`.

``correlations``
    `cca`, `cca_r2`, `cca_cv`, `svcca`, `svcca_trim98`, `pwcca`, `regression_r2`
``alignment``, ``within``
    `cka`, `cka_debiased`, `nbs`; `cka_within`
``images``, ``neighbours``, ``units``
    `rsa`, `cka_rbf`; `knn_jaccard`; `units`, `soft_match`
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from itertools import count

from prunescope import kinds
from prunescope.errors import InputError, guess
from prunescope.similarity.images import smaller_half
from prunescope.similarity.statuses import DEAD, FEW, OK, RANK_LOST, TOO_FEW, UNDEFINED

# What is compared, see `Measure`; and fields of `Measure` that are not facts of a kind.
BASES = ("raw", "units", "components", "regression")
NEEDS = ("moments", "rows", "labels")
NOT_FACTS = ("name", "label", "reference", "url", "function", "chance", "unique")
# `rank lost` applies when the smaller rank is below this fraction of the larger one and of its own width.
RANK_KEPT = 0.5


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A similarity of two representations: 1 is identical, higher is more alike.

    Attributes
    ----------
    name : str
        Its name in configuration files and in the matrix.
    label : str
        Its name in figures and reports.
    reference : str
        Its source: authors, title, year.
    unchanged_by : str
        The maps of either side that leave it unchanged, in words.
    url : str, default ''
        Of the reference.
    needs : str, default 'moments'
        What of a `prunescope.similarity.pairs.Pair` it is computed from: ``moments``; ``rows`` of a sample of
        images, `prunescope.similarity.whitening.Representation.vectors`; or ``labels`` of another sample with
        `classes`, for measures of what is left within classes.
    basis : str, default 'raw'
        The data that it compares: the ``raw`` rows, the whitened independent ``units``, the whitened
        principal ``components`` that keep `similarity.variance` of the variance, or for a ``regression`` the
        raw rows of a and the whitened units of b. `rank_a` and `rank_b` count components if it compares
        them, otherwise independent units.
    symmetric : bool, default True
        Whether (b, a) has the value of (a, b). Otherwise it is computed for both.
    directions : bool, default False
        Whether it uses the canonical directions, which take twice as long as the correlations.
    spectrum : bool, default False
        Whether the canonical correlations are stored next to its values.
    saturates : bool, default False
        Whether it is 1 by construction when n ≤ rank_a + rank_b. No value is given then.
    fewest_rows : int, default 0
        With fewer rows, no value is given.
    rows_per_unit : int, default 0
        With fewer independent rows than this for each unit of the wider side, the value is biased and gets a
        warning. For the ``raw`` basis, units are the directions that hold the variance.
    halves : bool, default False
        Whether it is computed from halves of the images, so that `saturates` applies to the smaller half.
    intervals : bool, default False
        Whether the jackknife's interval is known to cover its expected value.
    robust : bool, default False
        Whether a few images that carry the variance hardly change it, so that it has no status ``leverage``.
    least : float, default -1
        The smallest value that it can have; an interval does not go below.
    rotation_suffices : bool, default True
        Whether the value is the same for an orthogonal rotation of the units. If not, no value is given if
        only a rotation is stored.
    centred : bool, default False
        Whether its mean is 0 when images are permuted.
    function : callable, optional
        Takes the pair and returns the value; NaN if it is undefined. None if the measure is only `described`.
    any_images : bool, default False
        Whether `chance` also holds for several rows of an image, and where few images carry the variance.
    chance : callable, optional
        Takes the pair and the two ranks and returns what the measure gives when images are permuted, for one
        row per image: its mean, or a tuple of the mean and the 95 % quantile; None if images have to be
        permuted. None if that is not known.
    unique : callable, optional
        Takes the pair and returns whether the value does not depend on a choice among ties.
    """

    name: str
    label: str
    reference: str
    unchanged_by: str
    url: str = ""
    needs: str = "moments"
    basis: str = "raw"
    symmetric: bool = True
    directions: bool = False
    spectrum: bool = False
    saturates: bool = False
    fewest_rows: int = 0
    rows_per_unit: int = 0
    halves: bool = False
    intervals: bool = False
    robust: bool = False
    least: float = -1.0
    rotation_suffices: bool = True
    centred: bool = False
    any_images: bool = False
    function: Callable[..., float] | None = None
    chance: Callable[..., float] | None = None
    unique: Callable[..., bool] | None = None

    @property
    def bases(self) -> tuple[str, str]:
        """The data that it compares, for each side."""
        return ("raw", "units") if self.basis == "regression" else (self.basis, self.basis)

    @property
    def biased(self) -> bool:
        """Whether few rows bias the value; if so, layers of unequal widths are not comparable."""
        return self.rows_per_unit > 0

    def value(self, pair, back: bool = False) -> float:
        """Return the value of (a, b), or with `back` of (b, a)."""
        return float(self.function(pair.swapped() if back else pair))

    def status(
        self,
        n: int,
        units: float,
        ranks: tuple[int, int],
        rotated: bool = False,
        rows: float | None = None,
        images: int | None = None,
        widths: tuple[int, int] | None = None,
    ) -> str:
        """Return whether a value can be given or needs a warning, as far as sizes determine this.

        Parameters
        ----------
        n : int
            Rows.
        units : float
            Stored columns of the wider side, or for the ``raw`` basis directions that hold the variance.
        ranks : tuple of int
            Of both sides, see `Measure.basis`.
        rotated : bool, optional
            Whether only a rotation of the units of a or b is stored.
        rows : float, optional
            Number of independent rows that the n rows are equivalent to; by default n.
        images : int, optional
            Number of images behind the rows; by default, every row is an image.
        widths : tuple of int, optional
            Stored columns of both sides; by default, both sides are as wide as the larger rank.

        Returns
        -------
        str
            One of `statuses.STATUSES`.
        """
        if min(ranks) == 0:
            return DEAD
        images = images or n
        # Centring a half at each position takes one row of each.
        least = n // images * (smaller_half(images) - 1) + 1 if self.halves else n
        if n < self.fewest_rows or (self.saturates and least <= sum(ranks)):
            return TOO_FEW
        if rotated and not self.rotation_suffices:
            return UNDEFINED
        rank, width = min(zip(ranks, widths or (max(ranks),) * 2, strict=True))
        if "raw" not in self.bases and rank < RANK_KEPT * min(max(ranks), width):
            return RANK_LOST
        return FEW if (n if rows is None else rows) < self.rows_per_unit * units else OK

    def foreseen(
        self,
        n: int,
        width_a: int,
        width_b: int | None = None,
        rotated: bool = False,
        images: int | None = None,
    ) -> tuple[str, str]:
        """Return the best and the worst status that follow from sizes.

        The best is for rows that are all independent, the worst for rows that are equal within an image.
        Units that do not vary can change either; sizes do not predict them.

        Parameters
        ----------
        n : int
            Rows.
        width_a, width_b : int
            Stored columns of both sides; `width_b` is `width_a` by default.
        rotated : bool, optional
            Whether only a rotation of the units of a or b is stored.
        images : int, optional
            Number of images behind the rows; by default, every row is an image.
        """
        widths = (width_a, width_a if width_b is None else width_b)
        full = tuple(max(1, min(width, n - 1)) for width in widths)
        least = max(widths) if self.basis != "raw" else 1
        best = self.status(n, least, (1, 1), rotated, images=images)
        # Equal ranks with the same sum: sizes do not determine which units are lost.
        worst = self.status(n, max(widths), (sum(full) / 2,) * 2, rotated, images, images)
        return best, worst

    def enough_rows(self, width: int) -> int:
        """Return the fewest rows, each an image, for which the sizes allow the status ``ok``.

        A dead layer has no value with any number of rows, nor has a rotation if the units are needed.
        """
        least = max(self.fewest_rows, self.rows_per_unit * width, 2 * width + 1 if self.saturates else 0)
        return next(n for n in count(least) if not self.halves or smaller_half(n) > 2 * width)


def described(name: str, where: str = "similarity.measures") -> Measure:
    """Return a measure without its functions: nothing is imported.

    Raises
    ------
    InputError
        When there is no such measure.
    """
    kind = kinds.find("measure", name, where)
    known = {one.name: type(one.default) for one in fields(Measure) if one.name not in NOT_FACTS}
    for fact, value in kind.facts.items():
        if fact not in known:
            hint = guess(fact, list(known))
            raise InputError(f"{where} = {name!r}: {kind.name} has the unknown fact {fact}{hint}")
        if fact != "unchanged_by" and type(value) is not known[fact]:
            raise InputError(
                f"{where} = {name!r}: the fact {fact} of {kind.name} is {value!r}, which is not "
                f"{'true or false' if known[fact] is bool else f'of type {known[fact].__name__}'}"
            )
    for fact, allowed in (("basis", BASES), ("needs", NEEDS)):
        if kind.facts.get(fact, allowed[0]) not in allowed:
            raise InputError(
                f"{where} = {name!r}: the fact {fact} of {kind.name} must be {' or '.join(allowed)}"
            )
    return Measure(name=kind.name, label=kind.label, reference=kind.reference, url=kind.url, **kind.facts)


def load(name: str, where: str = "similarity.measures") -> Measure:
    """Return a measure with its functions.

    Raises
    ------
    InputError
        When there is no such measure.
    """
    functions = kinds.find("measure", name, where).functions
    return replace(
        described(name),
        function=kinds.load("measure", name),
        **{key: kinds.imported(function) for key, function in functions.items()},
    )
