"""A sentence on the levels for each round, and a note on its uncertainty and its verdicts."""

import re
from collections.abc import Sequence

import pandas as pd

from prunescope.errors import counted, listed
from prunescope.findings.levels import LEVELS, Tables, compared_layers, distances
from prunescope.findings.levels_over_seeds import LANDSCAPE, summary
from prunescope.findings.slices import OTHER_SEEDS, PRUNED, RETRAINED, SIBLINGS
from prunescope.findings.statistics import FEWEST_FOR_INTERVALS
from prunescope.findings.words import BEYOND, LESS, NOT_APART

Spans = list[tuple[str, str | None]]
# Of each level: the text before and after its number.
CHANGED = {
    "predictions": ("", " of predictions changed"),
    "representations": ("the layers moved ", " from the dense network"),
    "landscape": ("the error barrier is ", ""),
    "weights": ("the weights moved ", " from the dense network in cosine distance"),
}
# How two dense networks of different seeds differ.
APART = {
    "predictions": ("two dense networks of different seeds label ", " of the test images differently"),
    "representations": ("the layers of two dense networks of different seeds have a distance of ", ""),
    "landscape": ("the error barrier between two dense networks of different seeds is ", ""),
}
VERDICTS = {BEYOND: f"moved {BEYOND}", LESS: f"moved {LESS}", NOT_APART: NOT_APART}
TITLES = {
    "weights": "weights",
    "predictions": "predictions",
    "landscape": "loss landscape",
    "representations": "representations",
}


def with_levels(
    findings: dict,
    tables: dict[str, Tables],
    layers: Sequence[str],
    untrained: pd.DataFrame | None = None,
    names: dict[int, str] | None = None,
) -> dict:
    """Add the levels to the findings of an experiment, with a sentence and a note for each round.

    Those of the last round are also at the start of ``text``.
    """
    which = (tables, findings["primary"], layers, findings["least_accuracy"])
    left_out = compared_layers(*which)[1]
    levels = summary(distances(*which, untrained), tables, findings["label"], left_out, names)
    sentences = {
        str(round): {
            "sentence": [list(span) for span in sentence(levels, round)],
            "note": note(levels, round),
        }
        for round in range(findings["last_round"] + 1)
    }
    last = sentences[str(findings["last_round"])]
    text = ["".join(part for part, _ in last["sentence"]), last["note"], *findings["text"]]
    return findings | {"levels": levels, "sentences_by_round": sentences, "text": text}


def sentence(levels: dict, round: int) -> Spans:
    """Put one round into a sentence, in parts, each with the series whose number it is, or None."""
    parts = _of_dense(levels) if round == 0 else _changes(levels, round)
    spans: Spans = [] if round == 0 else [(f"{_at(levels, round)}, ", None)]
    for index, part in enumerate(parts, 1):
        if index > 1:
            spans.append((", and " if index == len(parts) else ", ", None))
        spans += part
    first, series = spans[0]
    return [(first[0].upper() + first[1:], series), *spans[1:], (".", None)]


def note(levels: dict, round: int) -> str:
    """Explain the parentheses; list the levels that moved beyond retraining, and those that are missing."""
    sentences = [_uncertainty(levels, round), _verdicts(levels, round), _failed(levels["failed"])]
    left_out = levels["representations"]["left_out"]
    if left_out and levels["representations"]["available"]:
        which = ", ".join(f"{layer} ({status})" for layer, status in left_out.items())
        sentences.append(f"The mean over the layers excludes {which}.")
    return " ".join([one for one in (*sentences, _additions(levels)) if one])


def _at(levels: dict, round: int) -> str:
    """Name the network."""
    series, names = levels["series"], levels["names"]
    densities = {
        number: one["density"]
        for level in ("accuracy", *LEVELS)
        for number, one in levels[level]["rounds"].items()
    }
    density = densities.get(str(round))
    if series == RETRAINED:
        return f"after {counted(round, 'round')} of retraining without pruning"
    weights = "" if density is None else f"{100 * density:.3g} % of the weights"
    if names or list(densities.values()).count(density) > 1:
        return f"in {names.get(str(round), f'round {round}')}" + (f", with {weights}" if weights else "")
    text = f"at {weights}" if weights else f"after {counted(round, 'round')}"
    return text if series == PRUNED else f"{text} ({series})"


def _changes(levels: dict, round: int) -> list[Spans]:
    """Return the parts of the sentence on a network that was pruned."""
    accuracy = levels["accuracy"]["rounds"].get(str(round))
    parts = [_accuracy_changed(accuracy, levels["series"])] if accuracy else []
    order = ["predictions", "representations", "landscape"]
    if not levels["representations"]["available"]:
        order[1] = "weights"
    parts += [part for level in order if (part := _changed(levels, level, round))]
    return parts or [[("nothing can be compared with the dense network", None)]]


def _changed(levels: dict, level: str, round: int) -> Spans:
    """Return the part on one level, or nothing."""
    numbers = levels[level]["rounds"].get(str(round))
    if numbers is None:
        return []
    series, (before, after) = levels["series"], CHANGED[level]
    after += f" in {levels[level]['measure']}" if levels[level]["measure"] else ""
    spans: Spans = [(before, None)] if before else []
    spans.append((number(level, numbers["series"][series]["estimate"]), series))
    spans += [(after, None)] if after else []
    mark = " ("
    for name in (RETRAINED, SIBLINGS, OTHER_SEEDS):
        if name in numbers["series"] and name != series:
            estimate = numbers["series"][name]["estimate"]
            spans += [(mark, None), (f"{name}: {number(level, estimate)}", name)]
            mark = "; "
    return spans + ([(")", None)] if mark == "; " else [])


def _accuracy_changed(accuracy: dict, series: str) -> Spans:
    fall, retrained = accuracy["fall"], accuracy["retrained"]
    value, unchanged = fall["estimate"], fall["low"] == fall["high"] == 0
    sign = -1 if value < 0 else 1
    limits = sorted(sign * fall[key] for key in ("low", "high"))
    verb = _direction(value) or "changed"
    spans: Spans = [(f"test accuracy {verb} ", None), (_points(abs(value)), series)]
    if unchanged:
        spans = [("test accuracy is unchanged", None)]
    beside: Spans = []
    if fall["of"] > 1 and not unchanged:
        apart = fall["interval"] and limits[0] <= 0
        low, high = (_signed(limit) for limit in limits)
        beside.append((f"{low} to {high}{', no change detected' if apart else ''}", None))
    if retrained:
        beside += [("; ", None)] if beside else []
        change = retrained["estimate"]
        word = "" if _direction(change) in ("", verb) else f"{_direction(change)} "
        beside.append((f"{RETRAINED}: {word}{_digits(100 * abs(change))}", RETRAINED))
    return [*spans, (" (", None), *beside, (")", None)] if beside else spans


def _direction(fall: float) -> str:
    return "fell" if fall > 0 else "rose" if fall < 0 else ""


def _of_dense(levels: dict) -> list[Spans]:
    """Return the parts of the sentence on dense networks."""
    parts: list[Spans] = []
    several = levels["seeds"] > 1
    accuracy = levels["accuracy"]["rounds"].get("0")
    if accuracy:
        value = accuracy["value"]
        spans: Spans = [("the dense networks have " if several else "the dense network has ", None)]
        spans += [(f"{100 * value['estimate']:.1f} %", levels["series"]), (" test accuracy", None)]
        if value["seeds"] > 1:
            spans.append((f" ({100 * value['low']:.1f} to {100 * value['high']:.1f})", None))
        parts.append(spans)
    for level, (before, after) in APART.items():
        numbers = levels[level]["rounds"].get("0", {}).get("series", {}).get(OTHER_SEEDS)
        if numbers:
            parts.append([(before, None), (number(level, numbers["estimate"]), OTHER_SEEDS), (after, None)])
    return parts or [[("this is the dense network" if not several else "these are the dense networks", None)]]


def _uncertainty(levels: dict, round: int) -> str:
    """Explain the numbers in parentheses."""
    accuracy = levels["accuracy"]["rounds"].get(str(round))
    numbers = [levels[level]["rounds"].get(str(round)) for level in LEVELS]
    estimates = [one["series"][levels["series"]] for one in numbers if one]
    estimates += [accuracy["value"]] if accuracy else []
    seeds = max((one["seeds"] for one in estimates), default=0)
    if not seeds:
        return ""
    if seeds == 1:
        return "One seed illustrates; it proves nothing."
    if seeds < FEWEST_FOR_INTERVALS:
        start = f"Based on {seeds} seeds" + (", with their range in parentheses" if accuracy else "")
        return f"{start}; {FEWEST_FOR_INTERVALS} seeds give 95 % intervals."
    return f"Based on {seeds} seeds" + (", with 95 % intervals in parentheses." if accuracy else ".")


def _verdicts(levels: dict, round: int) -> str:
    """List the levels that moved further than in retrained networks."""
    groups: dict[str, list[str]] = {}
    for level in LEVELS:
        beyond = (levels[level]["rounds"].get(str(round)) or {}).get("beyond")
        if round == 0 or not beyond:
            continue
        count = f"in {beyond['higher_in']} of {counted(beyond['of'], 'seed')}"
        groups.setdefault(beyond["verdict"] or count, []).append(TITLES[level])
    sentences = [
        f"{VERDICTS[text]}: {listed(names)}"
        if text in VERDICTS
        else f"{text}, {listed(names)} moved further than in retrained networks"
        for text, names in groups.items()
    ]
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in sentences)


def _failed(failed: dict[str, list[int]]) -> str:
    if not failed:
        return ""
    parts = [f"{name} seed {', '.join(map(str, seeds))}" for name, seeds in failed.items()]
    reason = "Excluded, because the test accuracy of a network is too low (it does not classify)"
    return f"{reason}: {'; '.join(parts)}."


def _additions(levels: dict) -> str:
    """Name the keys that add what is missing."""
    parts = []
    if levels["series"] == PRUNED and not levels["retrained"] and not levels["elsewhere"]:
        extends = f"`extends: {levels['experiment']}`"
        parts.append(
            f"Add an experiment with {extends} and `control: retrain` to measure the effect of longer "
            "training without pruning."
        )
    if levels["landscape"]["needs"]:
        parts.append(f"Add `{LANDSCAPE}` to the experiment's file to measure the loss landscape.")
    return " ".join(parts)


def number(level: str, value: float) -> str:
    """Write a distance of a level, with its unit if it has one."""
    if level == "predictions":
        return f"{_digits(100 * value)} %"
    return _points(value) if level == "landscape" else re.sub(r"^0(?=\.)", "", _digits(value, 2))


def _points(value: float) -> str:
    text = _digits(100 * value)
    return f"{text} point{'' if text == '1.0' else 's'}"


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else ''}{_digits(100 * abs(value))}"


def _digits(value: float, places: int = 1) -> str:
    """Write a number with some decimal places; more for small ones, none for large ones."""
    if value == 0:
        return "0"
    if value < 0.95 * 10**-places:
        return f"{value:.1g}" if value >= 1e-6 else "0"
    return f"{value:.0f}" if value >= 10 else f"{value:.{places}f}"
