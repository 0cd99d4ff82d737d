"""The statuses of values: whether there is a value, and whether it needs a warning."""

from collections.abc import Iterable
from dataclasses import dataclass

OK = "ok"
FEW = "few rows"
CHANCE = "chance unknown"
RANK_LOST = "rank lost"
NOT_UNIQUE = "not unique"
ILL = "ill-conditioned"
LEVERAGE = "leverage"
SILENT = "silent half"
TOO_FEW = "too few rows"
DEAD = "dead layer"
UNDEFINED = "undefined"
OTHER_POSITIONS = "other positions"


@dataclass(frozen=True)
class Status:
    """A value of the column `status`.

    Attributes
    ----------
    name : str
    given : bool
        Whether there is a value; otherwise it is NaN.
    meaning : str
        A sentence for users.
    """

    name: str
    given: bool
    meaning: str


# The most serious first. If several apply, the matrix has the first.
STATUSES = (
    Status(
        OTHER_POSITIONS,
        False,
        meaning="The rows of a and b are different positions of the images.",
    ),
    Status(DEAD, False, meaning="No unit varies in a or in b."),
    Status(TOO_FEW, False, meaning="There are so few rows that their number alone determines the value."),
    Status(UNDEFINED, False, meaning="The measure is not defined for these matrices."),
    Status(ILL, True, meaning="Some directions vary so little that they may be rounding errors."),
    Status(
        NOT_UNIQUE,
        True,
        meaning="The measure uses directions or neighbours that are not unique, because of ties.",
    ),
    Status(
        RANK_LOST,
        True,
        meaning="One side lost more than half of its directions; the other has more than twice as many.",
    ),
    Status(
        LEVERAGE, True, meaning="A few images carry the variance, so the value says little about the others."
    ),
    Status(SILENT, True, meaning="Directions that do not vary in both halves of the images are left out."),
    Status(FEW, True, meaning="There are too few images for the number of units, so the value is biased."),
    Status(
        CHANCE,
        True,
        meaning="Chance is not known within 5 %: few images carry the variance, or there are few units.",
    ),
    Status(OK, True, meaning="None of the other cases."),
)
GIVEN = tuple(status.name for status in STATUSES if status.given)
# A value with any other status must not be shown or used in the same way.
TRUSTED = (OK,)


def gravest(names: Iterable[str]) -> str:
    """Return the first of some statuses in the order of `STATUSES`; ``ok`` if there are none."""
    order = [status.name for status in STATUSES]
    return min(names, key=order.index, default=OK)
