"""The page that puts several experiments side by side."""

import pandas as pd

from prunescope.report import network_charts, page_tables, similarity_charts
from prunescope.report.experiment import Experiment, measure_menu
from prunescope.report.page import Section, render


def overview_page(experiments: list[Experiment], measures: dict[str, dict[str, str]]) -> str:
    """Put experiments side by side.

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
        [one.accuracy.assign(experiment=one.name) for one in experiments], ignore_index=True
    )
    data = {"accuracy": page_tables.in_percent(accuracies)}
    for one in experiments:
        data[f"dense-{one.name}"] = page_tables.similarity_tables(one.similarity)["dense"]
    sections = [
        Section(
            "experiments",
            "Experiments",
            tables=(
                ("Mean (lowest to highest seed)", _summary(experiments)),
                ("Settings that differ", _differences(experiments)),
            ),
            links=tuple((f"Report of {name}", f"{name}/report.html") for name in names),
        ),
        Section("accuracy", "Accuracy", charts=(network_charts.accuracies(names),)),
        Section(
            "dense",
            "Similarity to the dense network",
            charts=tuple(
                similarity_charts.to_dense(one.layers, one.percents, one.colormap, one.name)
                for one in experiments
            ),
            grid=True,
        ),
    ]
    return render("Experiments side by side", ", ".join(names), [measure_menu(measures)], sections, data)


def _summary(experiments: list[Experiment]) -> pd.DataFrame:
    rows = []
    for one in experiments:
        found = one.findings
        row = {
            "experiment": one.name,
            "description": one.settings["description"],
            "seeds": len(found["seeds"]),
            "rounds": found["last_round"],
            "weights left (%)": f"{100 * found['last_density']:.3g}",
            "dense accuracy (%)": _range(found["accuracy"]["dense"]),
            "last accuracy (%)": _range(found["accuracy"]["last"]),
        }
        if "claims" in found:
            row["first and output layers more similar than the middle"] = (
                f"{found['claims']['finding']['verdict']} ({found['label']})"
            )
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def _range(numbers: dict) -> str:
    mean, low, high = (f"{100 * numbers[key]:.2f}" for key in ("mean", "min", "max"))
    return f"{mean} ({low}–{high})" if numbers["count"] > 1 else mean


def _differences(experiments: list[Experiment]) -> pd.DataFrame:
    columns = {one.name: dict(page_tables.flat(one.settings).to_numpy()) for one in experiments}
    keys = dict.fromkeys(key for settings in columns.values() for key in settings)
    rows = [
        {"setting": key} | {name: settings.get(key, "") for name, settings in columns.items()} for key in keys
    ]
    return pd.DataFrame(
        [row for row in rows if len(set(list(row.values())[1:])) > 1], columns=["setting", *columns]
    )
