"""Titles of figures, from their file names."""

import re

KINDS = {
    "accuracy": "Test accuracy",
    "density": "Density of each layer",
    "profile": "Similarity by layer in the last round",
    "layers": "Similarity while weights are removed",
    "dense": "Similarity to the dense network",
    "rounds": "Similarity between rounds",
}


def file_name(*parts: str) -> str:
    """Join kind, measure and layer of a figure to its file name, without the suffix."""
    return re.sub(r"[^\w.-]", "_", "_".join(parts))


def labels(name: str, measures: dict[str, dict[str, str]], layers: list[str]) -> dict[str, str]:
    """Return the labels of a figure in `snakemake --report`: its kind, measure and layer.

    Parameters
    ----------
    name : str
        Name of the file, without its suffix.
    measures : dict of str to dict
        From `prunescope.findings.labels.shown`; only ``label`` is used.
    layers : list of str

    Returns
    -------
    dict of str to str
    """
    known = {file_name(kind): (kind, "", "") for kind in KINDS}
    for kind in KINDS:
        for measure, facts in measures.items():
            known[file_name(kind, measure)] = (kind, facts["label"], "")
            known |= {file_name(kind, measure, layer): (kind, facts["label"], layer) for layer in layers}
    kind, measure, layer = known[name]
    # Snakemake fills in wildcards and knows no escape: an invisible character makes {x} no wildcard.
    layer = layer.replace("{", "{\u2060")
    return {"figure": KINDS[kind], "measure": measure, "layer": layer}
