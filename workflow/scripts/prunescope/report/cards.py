"""The first screen of a report: the findings on each level in each round."""

from prunescope.findings import levels_in_words, slices
from prunescope.findings.levels import LEVELS
from prunescope.findings.words import NOT_APART
from prunescope.report.base import Chart
from prunescope.report.page import Card, Number

# What the series of the legend are, in a few words.
MEANINGS = {
    slices.PRUNED: "",
    slices.RETRAINED: "trained as long, not pruned",
    slices.SIBLINGS: "the same rounds, with the images in another order",
    "shuffled masks": "the same number of weights removed from each layer, at random positions",
    "new weights": "the same masks on reinitialised weights",
    slices.OTHER_SEEDS: "two dense networks",
    slices.UNTRAINED: "two untrained networks",
}


def cards(levels: dict, charts: dict[str, Chart]) -> list[Card]:
    """Make the card of each level.

    Parameters
    ----------
    levels : dict
        ``levels`` of findings.json.
    charts : dict of str to Chart
        By level.
    """
    return [
        Card(
            level,
            levels_in_words.TITLES[level].capitalize(),
            levels[level]["question"],
            {
                str(round): _number(level, levels[level], one, levels["series"])
                for round, one in levels[level]["rounds"].items()
            },
            charts.get(level) if levels[level]["available"] else None,
            levels[level]["missing"] or "",
        )
        for level in LEVELS
    ]


def legend(names: list[str]) -> dict[str, str]:
    """Return what these series are, in the order of the legend."""
    return {name: text for name, text in MEANINGS.items() if name in names}


def reading(names: list[str], levels: dict) -> tuple[tuple[str, str], ...]:
    """Return remarks on how to read the first screen, for the series that it shows."""
    retrained = slices.RETRAINED in names and levels["series"] != slices.RETRAINED
    remarks = [
        (
            "The top line of a card",
            "is the dense network. Lower points are further away from it. Each card has its own scale.",
        ),
        (
            "Compare pruned with retrained.",
            "Retrained networks were trained for as long, without pruning. The difference between the two "
            "estimates the effect of pruning.",
        )
        if retrained
        else levels["series"] == slices.PRUNED
        and (
            "Longer training also moves a network.",
            "Without the control “retrained”, this effect cannot be separated from that of pruning.",
        ),
        (
            "Other seeds",
            "are dense networks trained with a different seed. They show how much independent solutions of "
            "the same task differ.",
        )
        if slices.OTHER_SEEDS in names
        else None,
        (
            "Point at a layer",
            "to mark it in all charts. The distances do not show whether a change matters. For that, look at "
            "the images that are labelled differently.",
        ),
    ]
    return tuple(one for one in remarks if one)


def _number(level: str, found: dict, round: dict, series: str) -> Number:
    own, write = round["series"][series], levels_in_words.number
    value = write(level, own["estimate"])
    if own["seeds"] == 1:
        interval = "one seed"
    elif own["low"] == own["high"]:
        interval = ""
    else:
        # Only the estimate has a unit.
        low, high = (write(level, own[key]).split(" ")[0] for key in ("low", "high"))
        interval = f"{low} to {high}"
    return Number(
        value, found["quantity"], interval, _chip(round["beyond"]), _way(round["of_other_seed"], level)
    )


def _chip(beyond: dict | None) -> str:
    """Compare with retrained networks: the verdict, or in how many seeds pruned networks are further away."""
    if beyond is None:
        return ""
    if beyond["verdict"] == NOT_APART:
        return "no difference detected"  # the full verdict does not fit into one line
    return (
        beyond["verdict"]
        or f"{beyond['higher_in']} of {beyond['of']} seed{'s' * (beyond['of'] > 1)} beyond retraining"
    )


def _way(found: dict | None, level: str) -> str:
    """Compare with the distance to another seed; units of different seeds do not correspond."""
    if found is None and level == "weights":
        return "not comparable with other seeds"
    if not found or not found["share"]:
        return ""
    if found["share"] >= 1:
        return "at least as far as another seed"
    limits = f" ({_percent(found['low'])} to {_percent(found['high'])})" if found["low"] is not None else ""
    return f"{_percent(found['share'])} %{limits} of the distance to another seed"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.095 else f"{100 * share:.1g}"
