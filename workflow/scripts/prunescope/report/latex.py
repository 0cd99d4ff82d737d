"""Tables for papers, in LaTeX with the package booktabs: mean ± standard deviation over the seeds."""

import pandas as pd

from prunescope.findings import slices
from prunescope.report.experiment import Experiment

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#",
    "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def accuracy(experiment: Experiment) -> str:
    """Return the table of test accuracy in percent: rounds × the experiment and its controls."""
    tables = {experiment.series: experiment.accuracy}
    tables |= {name: table for name, (_, table) in experiment.controls.items()}
    rounds = experiment.rounds
    rows = [
        [
            rounds.name(round),
            rounds.texts[round],
            *(_cell(100 * table[table["round"] == round]["test_accuracy"], 2) for table in tables.values()),
        ]
        for round in rounds.percents
    ]
    return _table([rounds.word, "weights (%)", *tables], rows, "Test accuracy in percent")


def similarity(experiment: Experiment, measures: list[str], labels: dict[str, str]) -> str:
    """Return the table of similarity to the dense network in the last round.

    Layers are rows, for each measure; the experiment, its controls, other seeds and untrained networks are
    columns, as far as they were compared. Of pairs of networks, mean and deviation are over the pairs.
    """
    last = experiment.rounds.last
    parts = {experiment.series: _round(experiment.similarity, last)}
    parts |= {name: _round(matrix, last) for name, (matrix, _) in experiment.controls.items()}
    parts[slices.OTHER_SEEDS] = slices.each_pair_once(slices.other_seeds(experiment.similarity))
    if experiment.untrained is not None:
        parts[slices.UNTRAINED] = slices.each_pair_once(experiment.untrained)
    parts = {name: rows for name, rows in parts.items() if len(rows)}
    rows = []
    for measure in measures:
        for layer in experiment.layers:
            of_measure = [slices.of_measure(part, measure) for part in parts.values()]
            cells = [_cell(part[part["layer_a"] == layer]["value"], 3) for part in of_measure]
            rows.append([*([labels[measure]] if len(measures) > 1 else []), layer, *cells])
    first = ["measure", "layer"] if len(measures) > 1 else ["layer"]
    named = "" if len(measures) > 1 else f" by {labels[measures[0]]}"
    return _table([*first, *parts], rows, f"Similarity to the dense network {experiment.rounds.after}{named}")


def _round(matrix: pd.DataFrame, round: int) -> pd.DataFrame:
    rows = slices.to_dense(matrix)
    return rows[rows["round_a"] == round]


def _cell(values: pd.Series, digits: int) -> str:
    """Return mean ± standard deviation of the values that are known."""
    known = values.dropna()
    if not len(known):
        return "--"
    mean = f"{known.mean():.{digits}f}"
    return f"${mean}$" if len(known) == 1 else rf"${mean} \pm {known.std():.{digits}f}$"


def _table(columns: list[str], rows: list[list[str]], title: str) -> str:
    text = sum(1 for name in columns if name in ("measure", "layer", "model"))
    table = pd.DataFrame([map(_escaped, row) for row in rows], columns=list(map(_escaped, columns)))
    aligned = text * "l" + (len(columns) - text) * "r"
    return (
        f"% {title}: mean and standard deviation over the seeds. Needs \\usepackage{{booktabs}}.\n"
        + table.to_latex(index=False, escape=False, column_format=aligned)
    )


def _escaped(text: str) -> str:
    return text if text.startswith("$") else "".join(SPECIAL.get(letter, letter) for letter in text)
