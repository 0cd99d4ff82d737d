"""Which networks of an experiment are compared, and the columns that name both."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import pandas as pd


class Network(NamedTuple):
    """One network of an experiment or of a control; round 0 is dense."""

    experiment: str
    seed: int
    round: int


# Statuses: of a value that needs no warning; why there is no value.
OK, OTHER_CLASSES, NOT_FINITE = "ok", "other classes", "not finite"
# Of both networks of a pair, in front of the columns of a level.
COLUMNS = [f"{key}_{side}" for side in "ab" for key in Network._fields]


def identified(networks: Sequence[Sequence], name: str) -> list[Network]:
    """Return networks from experiment, seed and round; an experiment of None is the one of this `name`."""
    return [Network(experiment or name, seed, round) for experiment, seed, round in networks]


def pairs(networks: Sequence[Network], name: str, lineage: bool = True) -> list[tuple[int, int]]:
    """Return the pairs of networks that are compared, as indices of `networks`, each pair once.

    Compared are the rounds of one seed, the same round of different seeds, and the same round and seed of a
    control and of the experiment that it controls.

    Parameters
    ----------
    networks : sequence of Network
    name : str
        Of the experiment; the networks of any other one are only compared with its networks.
    lineage : bool, default True
        Whether the rounds of the experiment follow from each other; those of siblings do not.

    Returns
    -------
    list of (int, int)
    """

    def compared(a: Network, b: Network) -> bool:
        if name not in (a.experiment, b.experiment):
            return False
        if a.experiment != b.experiment:
            return (a.seed, a.round) == (b.seed, b.round)
        return (lineage and a.seed == b.seed) or (a.seed != b.seed and a.round == b.round)

    every = combinations(range(len(networks)), 2)
    return [(i, j) for i, j in every if compared(networks[i], networks[j])]


def both_orders(compared: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return every pair of indices as (i, j) and (j, i)."""
    return [order for i, j in compared for order in ((i, j), (j, i))]


def named(rows: Sequence[tuple[Network, Network]], columns: dict[str, Sequence]) -> pd.DataFrame:
    """Return a table whose first columns are `COLUMNS`, with one row for each pair in `rows`."""
    both = pd.DataFrame([(*a, *b) for a, b in rows], columns=COLUMNS)
    kinds = {column: "object" if column.startswith("experiment") else "int64" for column in COLUMNS}
    return pd.concat([both.astype(kinds), pd.DataFrame(columns)], axis=1)
