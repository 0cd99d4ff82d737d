"""Measures. Each one is a function of a pair with the decorator `measure`, in a file of this folder.

Nothing here imports NumPy, so sizes can be checked before anything is computed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from prunescope import kinds

OK = "ok"
FEW = "few rows"
TOO_FEW = "too few rows"
DEAD = "dead layer"
UNDEFINED = "undefined"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A similarity of two representations: 1 is identical, higher is more alike.

    Attributes
    ----------
    name : str
        What configuration files and the matrix call it.
    label : str
        What figures and reports call it.
    reference : str
        Where it is from: authors, title, year.
    unchanged_by : str
        The maps of either side that do not change it, in words.
    url : str, default ''
        Of the reference.
    needs : str, default 'moments'
        What it is computed from; ``moments``: a `prunescope.similarity.pairs.Pair`.
    ranks : str, default 'units'
        The directions that it uses, of which the matrix has the numbers `rank_a` and `rank_b`: independent
        ``units``, or the principal ``components`` that keep `similarity.variance` of the variance.
    symmetric : bool, default True
        Whether (b, a) has the value of (a, b). Otherwise it is computed for both.
    directions : bool, default False
        Whether it uses the canonical directions, which cost twice the correlations.
    spectrum : bool, default False
        Whether the canonical correlations are stored next to its values.
    saturates : bool, default False
        Whether it is 1 by construction when n ≤ rank_a + rank_b. No value is given then.
    fewest_rows : int, default 0
        No value is given for fewer rows.
    rows_per_unit : int, default 0
        With fewer than this number of rows for each unit of the wider side, the value is high by chance alone
        and gets a warning.
    rotation_suffices : bool, default True
        Whether the value is the same for an orthogonal rotation of the units. If not, no value is given where
        only a rotation is stored.
    function : callable, optional
        Takes the pair and returns the value; NaN where it is undefined. None when the measure is only
        `described`.
    chance : callable, optional
        Takes the pair and the two ranks and returns what unrelated representations score on average. None
        where that is not known.
    """

    name: str
    label: str
    reference: str
    unchanged_by: str
    url: str = ""
    needs: str = "moments"
    ranks: str = "units"
    symmetric: bool = True
    directions: bool = False
    spectrum: bool = False
    saturates: bool = False
    fewest_rows: int = 0
    rows_per_unit: int = 0
    rotation_suffices: bool = True
    function: Callable[..., float] | None = None
    chance: Callable[..., float] | None = None

    def status(self, n: int, width: int, ranks: tuple[int, int], rotated: bool = False) -> str:
        """Return whether a value can be given, and if not, why.

        Parameters
        ----------
        n : int
            Rows.
        width : int
            Stored columns of the wider side.
        ranks : tuple of int
            Of both sides, see `Measure.ranks`.
        rotated : bool, optional
            Whether only a rotation of the units of a or b is stored.

        Returns
        -------
        str
            ``ok``; ``few rows``: the value needs a warning; or, without a value, ``dead layer``, ``too few
            rows`` or ``undefined``.
        """
        if min(ranks) == 0:
            return DEAD
        if n < self.fewest_rows or (self.saturates and n <= sum(ranks)):
            return TOO_FEW
        if rotated and not self.rotation_suffices:
            return UNDEFINED
        return FEW if n < self.rows_per_unit * width else OK

    def foreseen(
        self, n: int, width_a: int, width_b: int | None = None, rotated: bool = False
    ) -> tuple[str, str]:
        """Return the best and the worst status that matrices of these sizes can have, unless a layer is dead.

        Where both are the same, the status is certain.

        Parameters
        ----------
        n : int
            Rows.
        width_a, width_b : int
            Stored columns of both sides; `width_b` is `width_a` by default.
        rotated : bool, optional
            Whether only a rotation of the units of a or b is stored.
        """
        widths = (width_a, width_a if width_b is None else width_b)
        full = tuple(max(1, min(width, n - 1)) for width in widths)
        best, worst = (self.status(n, max(widths), ranks, rotated) for ranks in ((1, 1), full))
        return best, worst

    def enough_rows(self, width: int) -> int:
        """Return the fewest rows with which the status is ``ok`` for sure, for matrices of so many columns.

        A dead layer, or a rotation where the units are needed, has no value with any number of rows.
        """
        saturated = 2 * width + 1 if self.saturates else 0
        return max(self.fewest_rows, saturated, self.rows_per_unit * width)


def measure(**facts) -> Callable[[Callable[..., float]], Measure]:
    """Make a function of a pair a `Measure`; the facts are its attributes.

    `label`, `reference` and `unchanged_by` are required. All but `chance` must be literals, because they are
    also read from the source (`prunescope.kinds`). The name is the function's unless `name` is given.
    """

    def decorate(function: Callable[..., float]) -> Measure:
        return Measure(**{"name": function.__name__, "function": function} | facts)

    return decorate


def described(name: str) -> Measure:
    """Return a measure without its functions, read from the source: nothing is imported.

    Raises
    ------
    InputError
        When there is no such measure.
    """
    kind = kinds.find("measure", name, "similarity.measures")
    return Measure(**{"name": kind.name} | kind.facts)


def table() -> str:
    """Return the measures as a Markdown table: name, label, what does not change them, reference."""
    lines = ["| measure | label | unchanged by | reference |", "|---|---|---|---|"]
    for name in kinds.known("measure"):
        this = described(name)
        reference = f"[{this.reference}]({this.url})" if this.url else this.reference
        lines.append(f"| `{name}` | {this.label} | {this.unchanged_by} | {reference} |")
    return "\n".join(lines)
