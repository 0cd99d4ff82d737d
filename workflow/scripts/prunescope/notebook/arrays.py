"""Compare two arrays of activations, without files and without torch."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from prunescope.errors import InputError
from prunescope.settings.similarity import Similarity
from prunescope.similarity.engine import engine
from prunescope.similarity.measures import Measure, load

# Of those of the matrix of an experiment, the columns that a comparison here has; and with intervals.
COLUMNS = [
    "measure",
    "value",
    "chance",
    "chance_high",
    "n",
    "images",
    "width_a",
    "width_b",
    "rank_a",
    "rank_b",
]
COLUMNS += ["status"]
INTERVALS = ["low", "high"]
# Numbers up to this power of two, or its inverse, are not scaled. Float32 has none beyond.
LARGEST_EXPONENT = 150

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def compare(
    x: "ArrayLike",
    y: "ArrayLike",
    measures: Sequence[str] | None = None,
    images: int | None = None,
    intervals: bool = False,
) -> pd.DataFrame:
    """Compare two arrays of activations with corresponding rows.

    Computes in float64, on all cores. The result does not depend on the number of cores.

    Parameters
    ----------
    x : array-like, shape (n, p)
        Row i is the output of one layer for example i. Feature maps (n, c, h, w) become (n, c·h·w), or
        (n·h·w, c) with one row for each position. Tensors on the CPU are accepted, bfloat16 included.
    y : array-like, shape (n, q)
        The same for another layer; row i belongs to the same example.
    measures : sequence of str, optional
        Names of measures, see docs/similarity.md; ``prunescope kinds measure`` lists them. By default, the
        default measures of experiments.
    images : int, optional
        Number of images (or other examples) that the rows come from. Each has the same number of consecutive
        rows. By default, every row is a separate image. Rows of one image are not independent, which `chance`
        and the warning about few rows take into account.
    intervals : bool, default False
        Whether to add 95 % intervals over samples of images, for the measures whose intervals are known to be
        valid.

    Returns
    -------
    pandas.DataFrame
        One row for each measure, in the order of `measures`, with some of the columns of
        ``similarity.parquet``: ``measure``; ``value``, 1 if x and y are identical up to the measure's
        invariances; ``chance`` and ``chance_high``, the mean and the 95 % quantile when the images are
        permuted; ``low`` and ``high``, the interval, if requested; ``n`` rows of ``images``; ``width_a`` and
        ``width_b``, the columns of x and y; ``rank_a`` and ``rank_b``, how many of them are linearly
        independent (or the principal components used); ``status``, which is ``ok``, a warning (``few rows``),
        or the reason why `value` is NaN. For a measure that is not symmetric the value is that of (x, y).

    Raises
    ------
    InputError
        A `ValueError`, when an array is not a matrix of finite numbers, the numbers of rows or the indexes of
        two DataFrames differ, or a measure is unknown.

    See Also
    --------
    compare_models : Compare the layers of two torch modules.

    Examples
    --------
    >>> import numpy as np
    >>> import prunescope as ps
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(1000, 20))
    >>> y = x @ rng.normal(size=(20, 20))  # another basis: the same to CCA, not to CKA
    >>> table = ps.compare(x, y, measures=["cca", "cka"])
    >>> table[["measure", "rank_a", "rank_b", "status"]]
      measure  rank_a  rank_b status
    0     cca      20      20     ok
    1     cka      20      20     ok
    >>> bool(np.isclose(table["value"][0], 1)), bool(table["value"][1] < 0.9)
    (True, True)

    With too few rows, the value would be 1 by construction, so it is NaN:

    >>> ps.compare(x[:30], y[:30], measures=["cca"])[["value", "status"]]
       value        status
    0    NaN  too few rows
    """
    return compare_named({"x": x, "y": y}, measures, images, intervals)


def compare_named(
    arrays: Mapping[str, "ArrayLike"],
    measures: Sequence[str] | None = None,
    images: int | None = None,
    intervals: bool = False,
) -> pd.DataFrame:
    """Compare two arrays as `compare` does. Messages use their names."""
    (one, a), (other, b) = ((name, _matrix(values, name)) for name, values in arrays.items())
    if len(a) != len(b):
        raise InputError(
            f"{one} has {len(a)} rows, {other} has {len(b)}: row i of both must be the same example"
        )
    tables = [values for values in arrays.values() if isinstance(values, pd.DataFrame)]
    if len(tables) == 2 and not tables[0].index.equals(tables[1].index):
        raise InputError(
            f"{one} and {other} are DataFrames with different indexes, but rows are compared in their order; "
            "sort them alike, then call reset_index(drop=True) or to_numpy() on both"
        )
    if images is not None and (not isinstance(images, Integral) or images < 1 or len(a) % images):
        raise InputError(f"images = {images}: must be an integer that divides the number of rows, {len(a)}")
    chosen = load_measures(measures)
    positions = len(a) // (images or len(a))
    first, second = Rows(one, a, a.shape[1], positions), Rows(other, b, b.shape[1], positions)
    with engine(chosen, Similarity().variance, cores(), intervals) as compared:
        pair = compared.group([first, second], positions=positions).pair(0, 1)
        rows = compared.rows_of_pair(first, second, pair)
    columns = COLUMNS[:4] + INTERVALS + COLUMNS[4:] if intervals else COLUMNS
    return pd.DataFrame(rows, columns=columns)


@dataclass(frozen=True)
class Rows:
    """A matrix to compare; slicing it returns arrays.

    Attributes
    ----------
    name : str
        For messages.
    data : array-like, shape (n, p)
        Any object whose slices are arrays.
    width : int
        Number of units. It differs from the number of columns if these are a rotation of the units.
    rows_per_image : int
        Number of consecutive rows that belong to one image.
    places : tuple, optional
        What the rows of an image are, see `prunescope.activations.store.places`.
    ragged : bool, optional
        Whether images have different numbers of rows; then each row counts as an image.
    """

    name: str
    data: Any
    width: int
    rows_per_image: int
    places: tuple = ()
    ragged: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        return self.data.shape

    @property
    def rotated(self) -> bool:
        return self.width != self.shape[1]

    @property
    def table_columns(self) -> dict:
        """What a table has of it."""
        return {"layer": self.name}

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.data[rows]

    def not_finite(self) -> str:
        """Return a message that says how many numbers are NaN or infinite."""
        broken, total = int(np.sum(~np.isfinite(self[:]))), int(np.prod(self.shape))
        return f"{self.name}: {broken} of {total} numbers are NaN or infinite; remove these rows"


def load_measures(names: Sequence[str] | None) -> list[Measure]:
    """Return measures by name, in the order given; by default those of experiments.

    Raises
    ------
    InputError
        When there is no such measure, it needs labels, or `names` is empty.
    """
    if isinstance(names, str):
        raise InputError(f"measures = {names!r}: must be a list of names; write [{names!r}]")
    names = list(dict.fromkeys(Similarity().measures if names is None else names))
    if not names:
        raise InputError("measures = []: must name at least one measure")
    measures = [load(name, "measures") for name in names]
    for measure in measures:
        if measure.needs == "labels":
            raise InputError(
                f"measures = {measure.name!r}: needs the classes of the images, which are unknown here; "
                "name it in similarity.measures of an experiment"
            )
    return measures


def _matrix(values: "ArrayLike", name: str) -> np.ndarray:
    if np.ma.is_masked(values):
        raise InputError(f"{name}: has masked values; remove these rows")
    dtype = str(getattr(values, "dtype", ""))
    try:
        # NumPy has no such types.
        if dtype.startswith(("torch.bfloat16", "torch.float8")):
            values = values.float()
        elif dtype == "bfloat16":  # of ml_dtypes, which JAX uses
            values = values.astype(np.float32)
        matrix = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # e.g. a tensor on a GPU
        raise InputError(f"{name}: not an array of numbers ({str(error).splitlines()[0]})") from None
    if not (np.issubdtype(matrix.dtype, np.number) or matrix.dtype == bool) or np.iscomplexobj(matrix):
        raise InputError(f"{name}: has type {matrix.dtype}, must contain real numbers")
    if matrix.ndim != 2:
        raise InputError(
            f"{name}: has shape {matrix.shape}, must be (n, p); give one row for each example, "
            "or for each position of each example"
        )
    if not matrix.size:
        raise InputError(f"{name}: has shape {matrix.shape}: must not be empty")
    return matrix if matrix.dtype != np.float64 else _scaled(matrix)


def _scaled(matrix: np.ndarray) -> np.ndarray:
    """Multiply very large or small numbers by a power of two: measures need their fourth powers."""
    exponent = int(np.frexp(max(matrix.max(), -matrix.min()))[1])
    return matrix if abs(exponent) <= LARGEST_EXPONENT else np.ldexp(matrix, -exponent)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
