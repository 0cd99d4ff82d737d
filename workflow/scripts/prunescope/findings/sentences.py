"""Findings in words, for the report and for ``text`` in findings.json: numbers first, then the verdict."""

from collections.abc import Iterable

from prunescope.errors import counted
from prunescope.findings.statistics import FEWEST_SEEDS, MOST_SEEDS, largest_share
from prunescope.findings.words import ABOVE, BELOW, FALLS, HOLDS, STAYS, TOO_FEW_SEEDS, UNDECIDED

RECOMMENDED, ASYMMETRIC = 6, "*"
CHANGE = {
    FALLS: "fall by more than the margin",
    STAYS: "stay similar within the margin",
    UNDECIDED: "undecided",
    TOO_FEW_SEEDS: "too few seeds with a value",
}
OTHERS = {
    ABOVE: "more similar than dense networks of different seeds are to each other",
    BELOW: "less similar than dense networks of different seeds are to each other",
    UNDECIDED: "undecided",
    TOO_FEW_SEEDS: "too few seeds with a value",
}
ACCURACY = {ABOVE: "it rises", BELOW: "it falls", UNDECIDED: "undecided whether it changes"}


def in_words(findings: dict) -> list[str]:
    """Put the findings of an experiment into paragraphs, without verdicts with one or two seeds."""
    if not findings["last_round"]:
        return ["There are only dense networks, so there is nothing to compare."]
    if not findings["measures"]:
        return ["The pruned networks have no layer in common with the dense network, so there is no verdict."]
    if findings["primary"] is None:
        return [
            "There are numbers but no verdicts, because no measure was chosen for them; set findings.measure "
            f"to one of {', '.join(findings['measures'])}."
        ]
    layers = findings["measures"][findings["primary"]]["layers"]
    if len(findings["seeds"]) < FEWEST_SEEDS:
        sentences = [_failed(findings), _described(layers, findings), _few(len(findings["seeds"]))]
    else:
        sentences = [_failed(findings), *_answers(findings)]
        if "with_failed" in findings:
            everything = _answers(findings | findings["with_failed"])
            sentences += [f"With the excluded seeds: {text}" for text in everything if text not in sentences]
    asymmetric = any(ASYMMETRIC in sentence for sentence in sentences)
    note = f"{ASYMMETRIC} The interval is not symmetric, because a similarity cannot exceed 1."
    return [one for one in [*sentences, note if asymmetric else "", _warnings(layers)] if one]


def _answers(findings: dict) -> list[str]:
    parts = (_change, _other_seeds, _accuracy, _middle, _finding, _beyond, _untrained)
    return [sentence for part in parts if (sentence := part(findings))]


def _failed(findings: dict) -> str:
    """Name the networks that do not classify."""
    networks = {"verdicts exclude these seeds": findings["failed"]}
    networks |= findings["failed_controls"]
    parts = []
    for what, failed in networks.items():
        rounds: dict[int, list[str]] = {}
        for seed, round in failed:
            rounds.setdefault(seed, []).append(str(round))
        names = [f"seed {seed} round {', '.join(numbers)}" for seed, numbers in rounds.items()]
        parts += [f"{'; '.join(names)} ({what})"] if names else []
    limit = f"{100 * findings['least_accuracy']:.3g} %"
    return (
        f"These networks do not classify (test accuracy below {limit}): {'; '.join(parts)}." if parts else ""
    )


def _described(layers: list[dict], findings: dict) -> str:
    """Describe the values of too few seeds for a verdict."""
    parts = [f"{one['layer']} {_range(one['similarity'])}" for one in layers]
    others = [f"{one['layer']} {_range(one['other_seeds'])}" for one in layers if one["other_seeds"]]
    label, values = findings["label"], ", ".join(parts)
    text = f"By {label}, the similarity to the dense network {_after(findings)} is {values}."
    if others:
        text += f" Between dense networks of different seeds it is {', '.join(others)}."
    dense, last = (_range(findings["accuracy"][key], 100, 2) for key in ("dense", "last"))
    return f"{text} The test accuracy in percent is {last}; that of the dense networks is {dense}."


def _range(numbers: dict | None, scale: float = 1, digits: int = 3) -> str:
    if numbers is None:
        return "not known"
    mean, low, high = (f"{scale * numbers[key]:.{digits}f}" for key in ("mean", "min", "max"))
    return f"{mean} ({low} to {high})" if numbers["count"] > 1 else mean


def _few(count: int) -> str:
    start = f"Ranges are over {count} seeds." if count > 1 else "There is one seed."
    return (
        f"{start} A verdict needs at least {FEWEST_SEEDS} seeds, and {RECOMMENDED} are recommended. The page "
        "docs/statistics.md lists how many seeds are needed to detect a difference of a given size."
    )


def _after(findings: dict) -> str:
    rounds = counted(findings["last_round"], "round")
    return f"after {rounds}, with {100 * findings['last_density']:.3g} % of the prunable weights left,"


def _change(findings: dict) -> str:
    """List the layers that pruning changes, beyond retraining if there is a control."""
    answers = {layer: one["change"] for layer, one in findings["layers"].items() if one["change"]}
    if not answers:
        return ""
    control = findings["claims"]["beyond_retrain"] is not None
    text = (
        "Change of each layer's similarity to the dense network while weights are removed"
        f"{', relative to networks retrained without pruning' if control else ''} ({findings['label']}; 90 % "
        f"intervals; margin {findings['margin']:g}). {_by_verdict(answers, findings, CHANGE, -1)}"
    )
    if not control and FALLS in {one["verdict"] for one in answers.values()}:
        text += (
            " There is no control that retrains without pruning, so this may be an effect of longer training."
        )
    return text


def _other_seeds(findings: dict) -> str:
    """Compare the layers with those of other seeds."""
    answers = {layer: one["other_seeds"] for layer, one in findings["layers"].items() if one["other_seeds"]}
    if not answers:
        return (
            "Dense networks of different seeds were not compared, because similarity.across_seeds is not set."
        )
    return (
        f"The similarity to the dense network {_after(findings)} minus the similarity of dense networks of "
        f"different seeds (95 % intervals). {_by_verdict(answers, findings, OTHERS)}"
    )


def _by_verdict(answers: dict[str, dict], findings: dict, words: dict[str, str], sign: int = 1) -> str:
    """List the layers of each verdict with their estimates, and the seeds behind them."""
    parts = []
    for word, text in words.items():
        here = {layer: one for layer, one in answers.items() if one["verdict"] == word}
        numbers = [
            f"{layer} {_estimate(*one['contrasts'].values(), sign, name='')}" if "contrasts" in one else layer
            for layer, one in here.items()
        ]
        if numbers:
            needed = _needed(here.values()) if word == UNDECIDED else ""
            parts.append(f"{text}{needed}: {', '.join(numbers)}")
    seeds = {layer: _seeds(one, findings) for layer, one in answers.items()}
    if len(set(seeds.values())) == 1:
        behind = f"Each value is from {next(iter(seeds.values()))}"
    else:
        behind = f"Seeds: {', '.join(f'{layer} {count}' for layer, count in seeds.items())}"
    corrected = "; verdicts are corrected for the number of layers" if len(answers) > 1 else ""
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}. {behind}{corrected}."


def _needed(answers: Iterable[dict]) -> str:
    """Return about how many seeds a verdict needs, where that is known."""
    counts = [
        one["seeds_needed"] or MOST_SEEDS + 1
        for one in answers
        # Lost layers can prevent a verdict, and equal contrasts have no spread.
        if not (one["lost"] and one["seeds_needed"] is None)
        and all(contrast["interval"] for contrast in one["contrasts"].values())
    ]
    if not counts:
        return ""
    few, many = min(counts), max(counts)
    texts = [f"more than {MOST_SEEDS}" if count > MOST_SEEDS else f"{count}" for count in (few, many)]
    about = "" if few > MOST_SEEDS else "about "
    return f" (a verdict needs {about}{' to '.join(dict.fromkeys(texts))} seeds)"


def _accuracy(findings: dict) -> str:
    numbers = findings["accuracy"]
    if "contrasts" not in numbers:
        return ""
    dense, last = numbers["dense"], numbers["last"]
    low, high = (f"{100 * last[key]:.2f}" for key in ("min", "max"))
    change = _estimate(numbers["contrasts"]["change"], 100, 2, "95 % interval ")
    return (
        f"The test accuracy of the typical seed is {100 * last['typical']:.2f} % {_after(findings)} and "
        f"{100 * dense['typical']:.2f} % in the dense network. It changes by {change} points. After the last "
        f"round, the seeds have {low} to {high} % ({_seeds(numbers, findings)}). Verdict: "
        f"{_verdict(numbers, ACCURACY)}."
    )


def _middle(findings: dict) -> str:
    grows, stays = findings["claims"]["grows_apart"], findings["claims"]["stays_similar"]
    if "reason" in grows:
        return ""
    margin = f"the margin of {findings['margin']:g}"
    if "contrasts" not in grows:
        statement = f"The similarity of the middle layers falls by more than {margin}"
        return f"{statement}: {grows['verdict']}. {_reason(grows, findings)}"
    fall = grows["contrasts"]["fall"]
    against = ", relative to retrained networks," if findings["claims"]["beyond_retrain"] else ""
    text = (
        f"While weights are removed, the mean similarity of the middle layers to the dense network{against} "
        f"changes by {_estimate(fall, -1)} ({_seeds(grows, findings)}). It falls by more than {margin}: "
        f"{_verdict(grows)}. It stays similar within the margin: {_verdict(stays)}."
    )
    if 2 * fall["above"] < fall["count"]:
        most = 100 * largest_share(fall["above"], fall["count"])
        text += (
            f" It falls by more than the margin in {fall['above']} of {fall['count']} seeds. With 95 % "
            f"confidence, this happens in at most {most:.0f} % of all possible seeds."
        )
    return text


def _finding(findings: dict) -> str:
    claim = findings["claims"]["finding"]
    statement = (
        "The first and the output layers stay more similar to the dense network than the layers between them "
        f"(Ansuini et al. 2020), by more than the margin of {findings['margin']:g}"
    )
    if "contrasts" not in claim:
        return f"{statement}: {claim['verdict']}. {_reason(claim, findings)}"
    text = f"After pruning: {_contrasts(claim, findings)}. {statement}: {_verdict(claim)}."
    if claim["left_out"]:
        left_out = (f"{layer} ({status})" for layer, status in claim["left_out"].items())
        text += f" Excluded: {', '.join(left_out)}."
    if claim["above_classes"]:
        above = _estimate(claim["above_classes"]["output"])
        text += f" After subtracting chance within classes (chance_classes), output − middle is {above}."
    if claim["rows_per_unit"]:
        few, many = claim["rows_per_unit"]
        text += (
            f" With few rows, {findings['label']} is biased upwards. The layers have between {few:.0f} and "
            f"{many:.0f} rows per unit, so part of the difference may be bias. cka_debiased has no such bias."
        )
    return text


def _beyond(findings: dict) -> str:
    claim = findings["claims"]["beyond_retrain"]
    if claim is None or "reason" in claim:
        return ""  # the sentence on the finding gives the reason
    statement = "The finding beyond the effect of retraining without pruning"
    if "contrasts" not in claim:
        return f"{statement}: {claim['verdict']}. {_reason(claim, findings)}"
    return f"Relative to retrained networks: {_contrasts(claim, findings)}. {statement}: {_verdict(claim)}."


def _untrained(findings: dict) -> str:
    claim = findings["claims"]["untrained"]
    if claim is None or "contrasts" not in claim:
        return ""
    text = (
        f"Untrained networks of different seeds: {_contrasts(claim, findings)}. The finding in these "
        f"networks: {_verdict(claim)}."
    )
    return text + (" So the finding may not come from training." if claim["verdict"] == HOLDS else "")


def _warnings(layers: list[dict]) -> str:
    parts = [
        f"{row['layer']}: {status} in {counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))})"
        for row in layers
        for status, seeds in row["warnings"].items()
    ]
    return f"Values with a warning in the last round: {'; '.join(parts)}." if parts else ""


def _verdict(claim: dict, words: dict[str, str] | None = None) -> str:
    needed = _needed([claim]) if claim["verdict"] == UNDECIDED else ""
    return (words or {}).get(claim["verdict"], claim["verdict"]) + needed


def _seeds(claim: dict, findings: dict) -> str:
    lost = f", dead or rank lost in {len(claim['lost'])}" if claim["lost"] else ""
    return f"{len(claim['seeds'])} of {len(findings['seeds'])} seeds{lost}"


def _reason(claim: dict, findings: dict) -> str:
    reason = claim["reason"] if "reason" in claim else f"all the values exist in {_seeds(claim, findings)}"
    return f"{reason[0].upper()}{reason[1:]}."


def _contrasts(claim: dict, findings: dict) -> str:
    parts = [f"{name} − middle {_estimate(one)}" for name, one in claim["contrasts"].items()]
    return f"{', '.join(parts)} ({_seeds(claim, findings)})"


def _estimate(contrast: dict, scale: float = 1, digits: int = 3, name: str = "90 % interval ") -> str:
    """Write an estimate with its interval."""
    value, *limits = (
        f"{scale * number:+.{digits}f}".replace("-", "−")
        for number in (contrast["estimate"], *(contrast["interval"] or ())[:: 1 if scale > 0 else -1])
    )
    if not limits:
        return f"{value} (the same in all seeds)"
    low, high = contrast["interval"]
    off_centre = abs(2 * contrast["estimate"] - low - high) > (high - low) / 2
    return f"{value} ({name}{limits[0]} to {limits[1]}{ASYMMETRIC if off_centre else ''})"
