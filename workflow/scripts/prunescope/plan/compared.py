"""Controls of an experiment, and which networks are compared: its own, those that it controls, ends of lines.

`lineage` is from `prunescope.settings.load.load_lineage`: an experiment, last, after those that it extends.
"""

from collections.abc import Iterable

from prunescope.plan import sharing, stages
from prunescope.plan.sharing import Lineage
from prunescope.settings.load import NO_CONTROL

# Experiment, seed and round.
Network = tuple[str, int, int]


def controls(name: str, lineages: Iterable[Lineage], again: bool = False) -> dict[str, str]:
    """Return the controls of an experiment by kind: those that train its rounds again, or all others."""
    by_kind: dict[str, str] = {}
    for lineage in lineages:
        other, this = lineage[-1]
        if this["control"] != NO_CONTROL and lineage[-2][0] == name and stages.trains_again(this) == again:
            by_kind.setdefault(this["control"], other)
    return by_kind


def networks(lineage: Lineage) -> list[Network]:
    """Return the networks that the levels compare: an experiment's, then the same of the one it controls."""
    name, this = lineage[-1]
    every = stages.networks(this)
    compared = [(name, seed, round) for seed, round in every]
    if this["control"] == NO_CONTROL:
        return compared
    controlled, theirs = lineage[-2]
    both = [network for network in every if network in set(stages.networks(theirs))]
    return compared + [
        (controlled, seed, round)
        for seed, round in both
        if not sharing.is_of_controlled(lineage, seed, round)
    ]


def identities(name: str, networks: Iterable[Network]) -> list[list]:
    """Return networks as a parameter of a rule; null stands for the experiment itself."""
    return [[None if each == name else each, seed, round] for each, seed, round in networks]


def ends(lineage: Lineage, seed: int, round: int) -> list[Network]:
    """Return the networks to which lines lead from one network.

    Every line of an experiment belongs to one of its two networks only: the one of the later round or seed.
    """
    name, this = lineage[-1]
    pairs, others = this["landscape"]["pairs"], []
    # Rounds that are trained again do not follow from each other.
    if round and not stages.trains_again(this):
        others += [(name, seed, 0)] if "dense" in pairs else []
        others += [(name, seed, round - 1)] if "successive" in pairs else []
    if "seeds" in pairs:
        before = this["seeds"][: this["seeds"].index(seed)]
        others += [(name, other, round) for other in before if round <= stages.rounds_of(this, other)]
    controls = "control" in pairs and this["control"] != NO_CONTROL
    if controls and not sharing.is_of_controlled(lineage, seed, round):
        others.append((lineage[-2][0], seed, round))
    return list(dict.fromkeys(others))


def lines(lineage: Lineage) -> dict[tuple[int, int], list[Network]]:
    """Return the `ends` of each network that has any, by seed and round."""
    this = lineage[-1][1]
    if not this["landscape"]:
        return {}
    by_network = {network: ends(lineage, *network) for network in stages.networks(this)}
    return {network: others for network, others in by_network.items() if others}
