"""Findings in words, for the report and for ``text`` in findings.json. The verdict comes first."""

from prunescope.findings.statistics import FEWEST_SEEDS
from prunescope.findings.words import (
    ABOVE,
    BELOW,
    FAILS,
    HOLDS,
    NO_DIFFERENCE,
    NOT_APPLICABLE,
    TOO_FEW_SEEDS,
    UNDECIDED,
)

CEILING = {
    ABOVE: "More similar to their own dense network than dense networks of different seeds are to each other",
    BELOW: "Less similar to their own dense network than dense networks of different seeds are to each other",
    NO_DIFFERENCE: "No detectable difference from dense networks of different seeds",
}
UNTRAINED = {
    HOLDS: "Untrained networks of different seeds show the same shape, so it may not come from training",
    FAILS: "Untrained networks of different seeds do not show this shape",
    UNDECIDED: "Whether untrained networks show the same shape is undecided",
}
ACCURACY = {ABOVE: "is higher", BELOW: "is lower", NO_DIFFERENCE: "shows no detectable difference"}


def in_words(found: dict) -> list[str]:
    """Put the findings of an experiment into sentences.

    Parameters
    ----------
    found : dict
        From `prunescope.findings.verdicts.conclude`, without its ``text``.

    Returns
    -------
    list of str
        Paragraphs; a single sentence if there are too few seeds for any verdict.
    """
    count = len(found["seeds"])
    if not found["last_round"]:
        return ["There are only dense networks, so there is nothing to compare."]
    if not found["measures"]:
        return ["The pruned networks have no layer in common with the dense network, so there is no verdict."]
    if found["primary"] is None:
        return [
            "There are numbers but no verdicts, because no measure was chosen for them; set findings.measure "
            f"to one of {', '.join(found['measures'])}."
        ]
    if count < FEWEST_SEEDS:
        return [
            f"Verdicts need at least {FEWEST_SEEDS} seeds, and this experiment has {count}; "
            "docs/statistics.md lists how many seeds each size of difference needs."
        ]
    claims = found["claims"]
    sentences = [
        _finding(claims["finding"], found),
        _beyond(claims),
        _untrained(claims["untrained"]),
        _trend(claims["grows_apart"], claims["stays_similar"], found),
        _ceiling(found["layers"]),
        _accuracy(found["accuracy"], found),
        _warnings(found["measures"][found["primary"]]["layers"]),
    ]
    return [sentence for sentence in sentences if sentence]


def _finding(claim: dict, found: dict) -> str:
    head = (
        f"{claim['verdict'].capitalize()} (by {found['label']}, {len(found['seeds'])} seeds, margin "
        f"{found['margin']:g}): after pruning, the first and the output layers stay more similar to the "
        "dense network than the layers between them (Ansuini et al. 2020)."
    )
    if claim["verdict"] in (NOT_APPLICABLE, TOO_FEW_SEEDS):
        return f"{head} {_reason(claim)}"
    unequal = claim["rows_per_unit"]
    bias = (
        f" {found['label']} is biased upwards when rows are few. The layers have between {unequal[0]:.0f} "
        f"and {unequal[1]:.0f} rows per unit, so part of the difference may be bias; cka_debiased has no "
        "such bias."
        if unequal
        else ""
    )
    return f"{head} Estimates: {_contrasts(claim)}.{bias}"


def _beyond(claims: dict) -> str:
    claim = claims["beyond_retrain"]
    if claim is None:
        shown = HOLDS in (claims["finding"]["verdict"], claims["grows_apart"]["verdict"])
        text = "No control retrains unpruned networks, so this may be an effect of longer training."
        return text if shown else ""
    if claim["verdict"] == NOT_APPLICABLE:
        return ""  # the sentence on the finding gives the reason
    head = f"{claim['verdict'].capitalize()}: the same, beyond the effect of retraining without pruning."
    if claim["verdict"] == TOO_FEW_SEEDS:
        return f"{head} {_reason(claim)}"
    return f"{head} Estimates: {_contrasts(claim)}."


def _untrained(claim: dict | None) -> str:
    return (
        f"{UNTRAINED[claim['verdict']]}: {_contrasts(claim)}."
        if claim and claim["verdict"] in UNTRAINED
        else ""
    )


def _trend(grows: dict, stays: dict, found: dict) -> str:
    if "contrasts" not in grows:
        return ""
    against = " relative to retrained networks" if found["claims"]["beyond_retrain"] else ""
    text = (
        f"{grows['verdict'].capitalize()}: while weights are removed, the similarity of the middle layers "
        f"to the dense network falls by more than the margin{against}: by "
        f"{_estimate(grows['contrasts']['fall'])}."
    )
    if stays["verdict"] == HOLDS:
        text += " It stays similar within the margin."
    layers = [name for name, one in found["layers"].items() if one["stays_similar"] == HOLDS]
    return text + (f" Layers that stay similar within the margin: {', '.join(layers)}." if layers else "")


def _ceiling(layers: dict[str, dict]) -> str:
    groups: dict[str, list[str]] = {}
    for name, one in layers.items():
        if one["ceiling"]:
            groups.setdefault(one["ceiling"]["verdict"], []).append(name)
    if not groups:
        return (
            "Dense networks of different seeds were not compared (similarity.across_seeds), so there is no "
            "baseline for these values."
        )
    return " ".join(f"{head}: {', '.join(groups[word])}." for word, head in CEILING.items() if word in groups)


def _accuracy(numbers: dict, found: dict) -> str:
    if numbers["verdict"] not in ACCURACY:
        return ""
    return (
        f"Test accuracy {ACCURACY[numbers['verdict']]} with {100 * found['last_density']:.3g} % of the "
        f"prunable weights: {100 * numbers['last']['mean']:.2f} % after round {found['last_round']}, "
        f"{100 * numbers['dense']['mean']:.2f} % before."
    )


def _warnings(layers: list[dict]) -> str:
    parts = [
        f"{row['layer']}: {status} in {_seeds(seeds)}"
        for row in layers
        for status, seeds in row["warnings"].items()
    ]
    return f"Values with a warning in the last round: {'; '.join(parts)}." if parts else ""


def _seeds(seeds: list[int]) -> str:
    return f"{len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'} ({', '.join(map(str, seeds))})"


def _reason(claim: dict) -> str:
    if claim["verdict"] == TOO_FEW_SEEDS:
        return f"Fewer than {FEWEST_SEEDS} seeds have all the values."
    return f"{claim['reason'][0].upper()}{claim['reason'][1:]}."


def _contrasts(claim: dict) -> str:
    return ", ".join(f"{name} − middle {_estimate(one)}" for name, one in claim["contrasts"].items())


def _estimate(contrast: dict) -> str:
    if contrast["interval"] is None:
        return f"{_signed(contrast['estimate'])} (the same in all seeds)"
    low, high = map(_signed, contrast["interval"])
    return f"{_signed(contrast['estimate'])} (90 % interval {low} to {high})"


def _signed(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")
