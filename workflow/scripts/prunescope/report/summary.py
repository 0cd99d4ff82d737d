"""The main chart's finding, and the table of layers."""

from dataclasses import dataclass
from html import escape

import pandas as pd

from prunescope.findings import words
from prunescope.findings.slices import OTHER_SEEDS
from prunescope.report import palette
from prunescope.report.base import ALL

SIGNS = {
    words.HOLDS: "yes",
    words.FAILS: "no",
    words.UNDECIDED: "open",
    words.TOO_FEW_SEEDS: "few",
    words.NOT_APPLICABLE: "none",
}
NO_ANSWER = {"verdict": "–"}
# Symbols for verdicts where there is no room for words.
SYMBOLS = {"yes": "✓", "no": "✗", "open": "?", "few": "…", "none": "–"}


def headlines(experiment, profile: pd.DataFrame, labels: dict[str, str]) -> dict[str, str]:
    """Return the main chart's finding, the layer with the lowest similarity, for all that its menus select.

    Parameters
    ----------
    experiment : prunescope.report.experiment.Experiment
    profile : pandas.DataFrame
        From `prunescope.report.page_tables.similarity_tables`.
    labels : dict of str to str
        Of the measures.

    Returns
    -------
    dict of str to str
        By measure, seed and round, joined by ``|``.
    """
    rows = profile[(profile["series"] == experiment.series) & (profile["measure"].isin(list(labels)))]
    found = {}
    for (measure, seed, round), part in rows.groupby(["measure", "seed", "round"], sort=False):
        known = part[part["mean"].notna()]
        when = experiment.rounds.when(int(round))
        if not len(known):
            text = f"no layer has a value {when}"
        elif not int(round):
            text = f"similarity of each layer to itself, {when}"
        else:
            low = known.loc[known["mean"].idxmin()]
            text = f"{low['layer']} is least similar to dense {when} ({low['mean']:.3f})"
        found[f"{measure}|{seed}|{round}"] = f"{labels[measure]}: {text}"
    return found


def counts(experiment) -> str:
    """Say how many values are missing or need a warning."""
    every = experiment.similarity[experiment.similarity["round_a"] > experiment.similarity["round_b"]]
    missing = int(every["value"].isna().sum())
    warned = int((every["status"] != "ok").sum()) - missing
    return f"Of {len(every):,} values, {missing:,} are missing and {warned:,} need a warning."


def final(profile: pd.DataFrame, experiment, measure: str) -> pd.DataFrame:
    """Return the last round's rows of one measure over all seeds."""
    seeds = experiment.seeds
    rows = profile[
        (profile["measure"] == measure)
        & (profile["series"] == experiment.series)
        & (profile["round"].astype(str) == str(experiment.findings["last_round"]))
        & (profile["seed"].astype(str) == (ALL if len(seeds) > 1 else str(seeds[0])))
    ]
    return rows


def layer_table(experiment, profile: pd.DataFrame, label: str) -> tuple[str, pd.DataFrame]:
    """Make the table of layers by the page's first measure: value, chance, other seeds, verdict, ... ."""
    found = experiment.findings
    measure = experiment.measure
    # Networks that were trained elsewhere need not have all layers.
    rows = final(profile, experiment, measure).set_index("layer").reindex(experiment.layers)
    others = profile[
        (profile["measure"] == measure) & (profile["series"] == OTHER_SEEDS) & (profile["seed"] == ALL)
    ]
    others = others.set_index("layer")["mean"]
    curves = profile[
        (profile["measure"] == measure)
        & (profile["series"] == experiment.series)
        & (profile["seed"].astype(str) == (ALL if len(experiment.seeds) > 1 else str(experiment.seeds[0])))
    ]
    lines = []
    for layer in experiment.layers:
        row = rows.loc[layer]
        curve = curves[curves["layer"] == layer].sort_values("weights", ascending=False)["mean"]
        answers = found.get("layers", {}).get(layer, {})
        lines.append(
            {
                "layer": layer,
                "last round": _value(row["mean"], "×" if isinstance(row["status"], str) else "–"),
                "chance": _value(row["chance"]),
                "chance within classes": _value(row["chance_classes"]),
                OTHER_SEEDS: _value(others.get(layer)),
                "against other seeds": (answers.get("other_seeds") or NO_ANSWER)["verdict"],
                "change": (answers.get("change") or NO_ANSWER)["verdict"],
                "while pruning": Sparkline(layer, tuple(curve), palette.color(experiment.series)),
                "status": row["status"] if isinstance(row["status"], str) else "not compared",
            }
        )
    seeds = ", mean over seeds" if len(experiment.seeds) > 1 else ""
    return f"Layers by {label}{seeds}", pd.DataFrame(lines)


@dataclass(frozen=True)
class Sparkline:
    """Values from 0 to 1 as a small line in a table."""

    name: str
    values: tuple[float, ...]
    color: str

    def __html__(self) -> str:
        step = 90 / max(len(self.values) - 1, 1)
        points = " ".join(
            f"{5 + step * place:.1f},{22 - 20 * max(0.0, value):.1f}"
            for place, value in enumerate(self.values)
            if not pd.isna(value)
        )
        return (
            f'<svg role="img" aria-label="{escape(self.name)} while pruning" width="100" height="24" '
            f'viewBox="0 0 100 24"><polyline points="{points}" fill="none" '
            f'stroke="{self.color}" stroke-width="1.5"/></svg>'
        )


def _value(value, missing: str = "–") -> str:
    return missing if value is None or pd.isna(value) else f"{value:.3f}"
