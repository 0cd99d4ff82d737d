"""Findings in words, for the report and for ``text`` in findings.json."""

from prunescope.findings.statistics import UNDECIDED

# The report asks whether the paper's finding holds. The answer to each verdict:
ANSWERS = {
    "holds": "yes",
    "does not hold": "no",
    UNDECIDED: "inconclusive",
    "not applicable": "not applicable",
}
BASELINE = {
    "stays similar": "Higher than the across-seed baseline",
    "less similar than seeds": "Lower than the across-seed baseline",
    UNDECIDED: "Inconclusive against the across-seed baseline",
}


def in_words(found: dict, labels: dict[str, str]) -> list[str]:
    """Put the findings of an experiment into sentences.

    Parameters
    ----------
    found : dict
        From `prunescope.findings.verdicts.conclude`, without its ``text``.
    labels : dict of str to str
        What to call each measure.

    Returns
    -------
    list of str
        One paragraph each. The first measure is described in full, of the others only the paper's finding.
    """
    count, last = len(found["seeds"]), found["last_round"]
    weights = f"{100 * found['last_density']:.3g} %"
    seeds = f"mean of {count} seeds, range in parentheses" if count > 1 else f"one seed, {found['seeds'][0]}"
    if not last:
        return [f"Only dense networks were trained ({seeds}), so there is nothing to compare."]
    numbers = found["accuracy"]
    change = {
        "higher": "it is higher",
        "lower": "it is lower",
        UNDECIDED: "too few seeds to tell whether it changed",
    }[numbers["verdict"]]
    sentences = [
        f"After {last} {'round' if last == 1 else 'rounds'}, {weights} of the prunable weights are left "
        f"({seeds}). "
        f"Test accuracy goes from {_percent(numbers['dense'])} to {_percent(numbers['last'])}: {change}."
    ]
    for place, (measure, one) in enumerate(found["measures"].items()):
        if place == 0:
            sentences += _about_layers(labels[measure], one, weights)
            sentences.append(_about_claim(labels[measure], one["claim"]))
    others = list(found["measures"].items())[1:]
    if others:
        answers = (f"By {labels[name]}: {ANSWERS[one['claim']['verdict']]}." for name, one in others)
        sentences.append(" ".join(answers))
    return sentences


def _about_layers(label: str, one: dict, weights: str) -> list[str]:
    rows = [row for row in one["layers"] if row["similarity"]]
    if not rows:
        return [
            f"No layer has a value of {label} in the last round; the matrix gives the reasons in `status`."
        ]
    ordered = sorted(rows, key=lambda row: -row["similarity"]["mean"])
    listed = ", ".join(f"{row['layer']} {_number(row['similarity'])}" for row in ordered)
    low = one["lowest"]
    return [
        f"Similarity to the dense network at {weights} of the weights ({label}), highest first: {listed}.",
        f"The lowest similarity is {_number(low['similarity'])}, in {low['layer']} at round {low['round']}.",
        _against_baseline(rows),
    ]


def _against_baseline(rows: list[dict]) -> str:
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row["ceiling"]:
            text = f"{row['layer']} ({row['similarity']['mean']:.3f} vs {row['ceiling']['mean']:.3f})"
            groups.setdefault(row["verdict"], []).append(text)
    if not groups:
        return (
            "Similarity between independently trained dense networks was not computed "
            "(similarity.across_seeds), so there is no baseline for these values."
        )
    listed = [
        f"{head}: {', '.join(groups[verdict])}." for verdict, head in BASELINE.items() if verdict in groups
    ]
    return " ".join(
        ["The across-seed baseline is the similarity between independently trained dense networks.", *listed]
    )


def _about_claim(label: str, claim: dict) -> str:
    question = "Is similarity higher in the first and output layers than between them (Ansuini et al. 2020)?"
    if "reason" in claim:
        return f"{question} Not applicable: {claim['reason']}."
    margin = claim["margin"]
    interval = f" (95 % interval {_pair(margin['interval'])})" if margin["interval"] else ""
    return (
        f"{question} By {label}: {ANSWERS[claim['verdict']]}. First ({', '.join(claim['first_layers'])}) "
        f"{_number(claim['first'])}, middle {_number(claim['middle'])}, last ({claim['output_layer']}) "
        f"{_number(claim['output'])}. The margin, the lower of first and last minus the middle, is "
        f"{_signed(margin['mean'])}{interval}."
    )


def _number(numbers: dict) -> str:
    return f"{numbers['mean']:.3f}" + (
        f" ({numbers['min']:.3f}–{numbers['max']:.3f})" if numbers["count"] > 1 else ""
    )


def _percent(numbers: dict) -> str:
    spread = f" ({100 * numbers['min']:.2f}–{100 * numbers['max']:.2f})" if numbers["count"] > 1 else ""
    return f"{100 * numbers['mean']:.2f} %{spread}"


def _signed(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def _pair(interval: list[float]) -> str:
    return f"{_signed(interval[0])} to {_signed(interval[1])}"
