"""The page that compares several experiments."""

import pandas as pd

from prunescope.report import network_charts, page_tables, similarity_charts
from prunescope.report.experiment import Experiment, measure_menu
from prunescope.report.page import Page, Section, render
from prunescope.report.side_by_side import differing
from prunescope.report.summary import SIGNS, SYMBOLS

# The questions of `prunescope.findings`, as column heads.
QUESTIONS = {
    "change": "pruning changes a layer",
    "finding": "first and output layers stay more similar than the middle",
    "beyond_retrain": "beyond retraining without pruning",
    "untrained": "untrained networks show it too",
    "grows_apart": "middle layers grow apart",
    "stays_similar": "middle layers stay similar",
}


def overview_page(experiments: list[Experiment], measures: dict[str, dict[str, str]]) -> str:
    """Make the page that compares experiments.

    Parameters
    ----------
    experiments : list of Experiment
    measures : dict of str to dict
        From `prunescope.findings.labels.shown`, for the measures of all of them.

    Returns
    -------
    str
        HTML. The same arguments give the same text.
    """
    names = [one.name for one in experiments]
    accuracies = pd.concat(
        [
            page_tables.accuracy_table(one.accuracy)
            .assign(series=one.name)
            .query(_ALL_SEEDS[len(one.seeds) > 1])
            for one in experiments
        ],
        ignore_index=True,
    )
    data = {"accuracy": accuracies}
    for one in experiments:
        profile = page_tables.similarity_tables(one.similarity, failed=one.failed, own=one.series)["profile"]
        shown = profile[profile["series"] == one.series].query(_ALL_SEEDS[len(one.seeds) > 1])
        data[f"profile-{one.name}"] = shown.drop(columns="seed")
    links = tuple((f"Report of {name}", f"{name}/report.html") for name in names)
    labels = {measure: facts["label"] for measure, facts in measures.items()}
    sections = [
        Section(
            "experiments",
            "Experiments",
            tables=(
                ("Verdicts", _verdicts(experiments)),
                ("Settings that differ", _differences(experiments)),
            ),
            links=links,
        ),
        Section(
            "accuracy",
            "Accuracy",
            tables=(("Test accuracy: mean (range over the seeds)", _summary(experiments)),),
            charts=(
                network_charts.accuracy(
                    names, accuracies, None, False, "Test accuracy against weights remaining, by experiment"
                ),
            )
            if accuracies["mean"].notna().any()
            else (),
        ),
        Section(
            "dense",
            "Similarity to the dense network",
            charts=tuple(
                similarity_charts.to_dense(one.layers, one.rounds, one.colormap, one.name, one.series)
                for one in experiments
            ),
            grid=True,
        ),
    ]
    primary = experiments[0].measure
    return render(
        Page("Experiments side by side", ", ".join(names), [measure_menu(labels, primary)], sections, data)
    )


# Filter for the rows over all seeds, or of the only seed; the key is whether there are several.
_ALL_SEEDS = {True: "seed == 'all'", False: "seed != 'all'"}


def _verdicts(experiments: list[Experiment]) -> pd.DataFrame:
    rows = []
    for one in experiments:
        claims = one.findings.get("claims", {})
        row = {
            "experiment": one.name,
            "measure": one.findings["label"] or "–",
            "seeds": len(one.findings["seeds"]),
        }
        for name, question in QUESTIONS.items():
            if claims.get(name):
                word = claims[name]["verdict"]
                row[question] = f"{SYMBOLS[SIGNS[word]]} {word}"
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def _summary(experiments: list[Experiment]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "experiment": one.name,
                "description": one.settings["description"],
                "rounds": one.findings["last_round"],
                "weights left (%)": f"{100 * one.findings['last_density']:.3g}",
                "dense (%)": _range(one.findings["accuracy"]["dense"]),
                "last round (%)": _range(one.findings["accuracy"]["last"]),
            }
            for one in experiments
        ]
    )


def _range(numbers: dict | None) -> str:
    if numbers is None:
        return "not measured"
    mean, low, high = (f"{100 * numbers[key]:.2f}" for key in ("mean", "min", "max"))
    return f"{mean} ({low}–{high})" if numbers["count"] > 1 else mean


def _differences(experiments: list[Experiment]) -> pd.DataFrame:
    """List the settings that differ: one row per key, or per experiment if there are many of them."""
    table = differing({one.name: one.settings for one in experiments}).astype(object)
    table = table.where(table.notna(), "")
    if len(table) > max(4, len(table.columns)):
        return table.reset_index(names="experiment")
    return table.T.reset_index(names="setting")
