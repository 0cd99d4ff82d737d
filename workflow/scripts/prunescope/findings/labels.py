"""Labels and references of measures, for findings and reports."""

from collections.abc import Iterable

from prunescope import kinds


def shown(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Collect the labels and references of measures by name, in alphabetical order, without importing them.

    A measure has ``label`` (its name in charts and sentences), ``reference`` (what to cite) and, if there is
    one, ``url`` of the reference.
    """
    measures = (kinds.find("measure", name, "similarity.measures") for name in names)
    return {
        kind.name: {"label": kind.label, "reference": kind.reference}
        | ({"url": kind.url} if kind.url else {})
        for kind in sorted(measures, key=lambda kind: kind.name)
    }
