"""The first screen of a report: the verdict, key figures, the chart's finding, and the table of layers."""

from dataclasses import dataclass
from html import escape

import pandas as pd

from prunescope.findings import words
from prunescope.findings.slices import OTHER_SEEDS, PRUNED
from prunescope.report import palette
from prunescope.report.base import ALL
from prunescope.report.page import Fact, Verdict

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


def verdict(found: dict) -> Verdict:
    """Return whether pruning changes a layer, as a statement that the verdict follows.

    Parameters
    ----------
    found : dict
        From `prunescope.findings.verdicts.conclude`.
    """
    claims = found.get("claims", {})
    word = claims.get("change", {"verdict": words.NOT_APPLICABLE})["verdict"]
    if word in (words.NOT_APPLICABLE, words.TOO_FEW_SEEDS):
        return Verdict(SIGNS[word], word, found["text"][0])
    beyond = " beyond retraining" if claims["beyond_retrain"] else ""
    falling = [name for name, one in found["layers"].items() if one["change"]["verdict"] == words.FALLS]
    which = ", ".join(falling) or "at least one layer"
    seeds = len(found["seeds"]) - len({seed for seed, _ in found["failed"]})
    how = f"By {found['label']}, {seeds} of {len(found['seeds'])} seeds"
    return Verdict(
        SIGNS[word], word, f"{how}: pruning changes {which}{beyond} by more than {found['margin']:g}:"
    )


def facts(experiment, profile: pd.DataFrame, label: str) -> list[Fact]:
    """Return the key figures of an experiment.

    Parameters
    ----------
    experiment : prunescope.report.experiment.Experiment
    profile : pandas.DataFrame
        From `prunescope.report.page_tables.similarity_tables`.
    label : str
        Of the page's first measure.
    """
    found = experiment.findings
    rows = final(profile, experiment, experiment.measure)
    low = lowest(rows)
    every = experiment.similarity[experiment.similarity["round_a"] > experiment.similarity["round_b"]]
    missing = int(every["value"].isna().sum())
    warned = int((every["status"] != "ok").sum()) - missing
    count = len(found["seeds"])
    pairs = count * (count - 1) // 2
    others = bool((profile["series"] == OTHER_SEEDS).any())
    return [
        Fact("Weights left", f"{100 * found['last_density']:.3g}\u00a0%", experiment.rounds.after),
        _accuracy(found["accuracy"], count),
        Fact("Least similar layer", *(_low(low, label) if low is not None else ("–", "no value"))),
        Fact("Seeds", str(count), "6 are recommended" if count >= 3 else "verdicts need at least 3"),
        Fact("Missing values", f"{missing:,}", f"of {len(every):,}; {warned:,} with a warning"),
        Fact(
            "Other seeds",
            _many(pairs, "pair") if others else "none",
            "of dense networks" if others else "needs similarity.across_seeds",
        ),
    ]


def headline(experiment, profile: pd.DataFrame, measure: str, label: str) -> str:
    """Return the main chart's finding for a measure: the layer with the lowest similarity above chance."""
    after = experiment.rounds.after
    low = lowest(final(profile, experiment, measure))
    if low is None:
        return f"{label}: no layer has a value {after}"
    if pd.isna(low["chance"]):
        return f"{label}: {low['layer']} is least similar {after} ({low['mean']:.3f})"
    numbers = f"{low['mean']:.3f}, chance {low['chance']:.3f}"
    if low["mean"] <= low["chance_high"]:
        return f"{label}: {low['layer']} is not above chance {after} ({numbers})"
    return f"{label}: {low['layer']} has the lowest similarity above chance {after} ({numbers})"


def final(profile: pd.DataFrame, experiment, measure: str) -> pd.DataFrame:
    """Return the last round's rows of one measure over all seeds, with the column `above` chance."""
    seeds = experiment.seeds
    rows = profile[
        (profile["measure"] == measure)
        & (profile["series"] == PRUNED)
        & (profile["round"].astype(str) == str(experiment.findings["last_round"]))
        & (profile["seed"].astype(str) == (ALL if len(seeds) > 1 else str(seeds[0])))
    ]
    return rows.assign(above=rows["mean"] - rows["chance"].fillna(0))


def lowest(rows: pd.DataFrame) -> pd.Series | None:
    """Return the row with the lowest value above chance, or None if no row has a value."""
    known = rows[rows["mean"].notna()]
    return known.loc[known["above"].idxmin()] if len(known) else None


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
        & (profile["series"] == PRUNED)
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
                "last round": _value(row["mean"]),
                "chance": _value(row["chance"]),
                "chance within classes": _value(row["chance_classes"]),
                OTHER_SEEDS: _value(others.get(layer)),
                "against other seeds": (answers.get("other_seeds") or NO_ANSWER)["verdict"],
                "change": (answers.get("change") or NO_ANSWER)["verdict"],
                "while pruning": Sparkline(layer, tuple(curve)),
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
            f'stroke="{palette.color("pruned")}" stroke-width="1.5"/></svg>'
        )


def _low(row: pd.Series, label: str) -> tuple[str, str]:
    chance = "chance not known" if pd.isna(row["chance"]) else f"{row['above']:.3f} above chance"
    return row["layer"], f"{label} {row['mean']:.3f}, {chance}"


def _value(value) -> str:
    return "×" if value is None or pd.isna(value) else f"{value:.3f}"


def _accuracy(numbers: dict, seeds: int) -> Fact:
    if not (numbers["dense"] and numbers["last"]):
        return Fact("Test accuracy", "–", "not measured")
    dense, last = (100 * numbers[key]["mean"] for key in ("dense", "last"))
    count = numbers["last"]["count"]
    over = f"mean over {'seeds' if count == seeds else f'{count} of {seeds} seeds'}"
    explained = "dense → last" + (f", {over}" if seeds > 1 else "")
    return Fact("Test accuracy", f"{dense:.2f} → {last:.2f}\u00a0%", explained)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
