"""Labels and references of measures, for findings and reports."""

from collections.abc import Iterable

from prunescope import kinds


def shown(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Collect the labels and references of measures, without importing them.

    Parameters
    ----------
    names : iterable of str
        As in ``similarity.measures`` of an experiment. Their order has no meaning.

    Returns
    -------
    dict of str to dict
        For each measure in alphabetical order: ``label`` (its name in charts and sentences), ``reference``
        (what to cite) and, where there is one, ``url`` of the reference.

    Raises
    ------
    prunescope.errors.InputError
        When there is no such measure.
    """
    found = {
        kind.name: kind for kind in (kinds.find("measure", name, "similarity.measures") for name in names)
    }
    return {
        name: {"label": kind.label, "reference": kind.reference} | ({"url": kind.url} if kind.url else {})
        for name, kind in sorted(found.items())
    }
