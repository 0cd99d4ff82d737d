"""Several experiments side by side: the page that compares them, and one table of their numbers."""

import json

import pandas as pd

from prunescope.findings import slices, words
from prunescope.report import network_charts, page_tables, representations
from prunescope.report.experiment import Experiment
from prunescope.report.page import Page, Section, measure_menu, render

# The questions of `prunescope.findings`, as column heads.
QUESTIONS = {
    "change": "pruning changes a layer",
    "finding": "first and output layers stay more similar than the middle",
    "beyond_retrain": "beyond retraining without pruning",
    "untrained": "untrained networks show it too",
    "grows_apart": "middle layers grow apart",
    "stays_similar": "middle layers stay similar",
}
SYMBOLS = {
    words.HOLDS: "✓",
    words.FAILS: "✗",
    words.UNDECIDED: "?",
    words.TOO_FEW_SEEDS: "…",
    words.NOT_APPLICABLE: "–",
}

# --- the page ---------------------------------------------------------------------------------------------


def overview_page(experiments: list[Experiment], measures: dict[str, dict[str, str]]) -> str:
    """Make the page that compares experiments; `measures` are those of all of them, with their labels."""
    names = [one.name for one in experiments]
    accuracies = pd.concat(
        [_first_shown(page_tables.accuracy_table(one.accuracy, series=one.name), one) for one in experiments],
        ignore_index=True,
    )
    data = {"accuracy": accuracies}
    for one in experiments:
        profile = page_tables.similarity_tables(one.similarity, failed=one.failed, series=one.series)[
            "profile"
        ]
        profile = _first_shown(profile[profile["series"] == one.series], one)
        data[f"profile-{one.name}"] = profile.drop(columns="seed")
    labels = {measure: facts["label"] for measure, facts in measures.items()}
    title = "Test accuracy against weights remaining, by experiment"
    measured = accuracies["mean"].notna().any()
    sections = [
        Section(
            "experiments",
            "Experiments",
            tables=(
                ("Verdicts", _verdicts(experiments)),
                ("Settings that differ", _differences(experiments)),
            ),
            links=tuple((f"Report of {name}", f"{name}/report.html") for name in names),
        ),
        Section(
            "accuracy",
            "Accuracy",
            tables=(("Test accuracy: mean (range over the seeds)", _summary(experiments)),),
            charts=(network_charts.accuracy(names, accuracies, None, False, title),) if measured else (),
        ),
        Section(
            "dense",
            "Similarity to the dense network",
            charts=tuple(
                representations.to_dense(one.layers, one.rounds, one.colormap, one.name, one.series)
                for one in experiments
            ),
            grid=True,
        ),
    ]
    menu = measure_menu(labels, experiments[0].measure)
    return render(Page("Experiments side by side", ", ".join(names), [menu], sections, data))


def _first_shown(table: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """Select the rows over all seeds, or of the only seed."""
    return table[table["seed"].astype(str) == experiment.first_seed]


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
                row[question] = f"{SYMBOLS[word]} {word}"
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


# --- the table --------------------------------------------------------------------------------------------


def overview_table(experiments: list[Experiment]) -> pd.DataFrame:
    """Combine similarities to the dense network and metrics: a row for each network, layer and measure.

    Columns are ``experiment``, the settings of `differing`, those of the accuracy table, ``layer``, and those
    of the matrix that do not belong to one side.
    """
    changed = differing({one.name: one.settings for one in experiments})
    parts = []
    for one in experiments:
        rows = slices.to_dense(one.similarity)
        sides = {"seed_a": "seed", "round_a": "round", "layer_a": "layer"}
        kept = [*sides, *(name for name in rows if not name.endswith(("_a", "_b")))]
        part = one.accuracy.merge(rows[kept].rename(columns=sides), on=["seed", "round"])
        part.insert(0, "experiment", one.name)
        for column, key in enumerate(changed, 1):
            part.insert(column, key, changed.loc[one.name, key])
        parts.append(part)
    return pd.concat(parts, ignore_index=True).astype(changed.dtypes.to_dict())


def differing(settings: dict[str, dict]) -> pd.DataFrame:
    """Return the settings that are not the same in all experiments: a column for each dotted key.

    If all values of a key are numbers, they stay numbers; other values are text, as in configuration files.
    Missing if an experiment lacks the key.
    """
    texts = {name: dict(page_tables.flat(one).to_numpy()) for name, one in settings.items()}
    keys = dict.fromkeys(key for one in texts.values() for key in one)
    several = [key for key in keys if len({one.get(key) for one in texts.values()}) > 1]
    table = pd.DataFrame(
        {key: [one.get(key) for one in texts.values()] for key in several}, index=list(texts), dtype=object
    )
    return table.apply(_numbers)


def _numbers(column: pd.Series) -> pd.Series:
    """Convert a column of text to numbers; leave it unchanged if any text is not a number."""
    values = [json.loads(text) if _is_number(text) else None for text in column.dropna()]
    if None in values:
        return column
    return pd.to_numeric(column)


def _is_number(text: str) -> bool:
    try:
        return type(json.loads(text)) in (int, float)
    except ValueError:
        return False
