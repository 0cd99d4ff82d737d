"""Which networks of an experiment are connected by lines, and what measuring them costs."""

from pathlib import Path

from prunescope.plan import sharing, stages
from prunescope.settings.landscape import ESTIMATED
from prunescope.settings.load import NO_CONTROL


def others(lineage: sharing.Lineage, seed: int, round: int) -> list[tuple[str, int, int]]:
    """Return the networks to which lines lead from one network: experiment, seed and round of each.

    Every line of an experiment belongs to one of its two networks only: the one of the later round or seed.
    `lineage` is from `prunescope.settings.load.load_lineage`.
    """
    name, this = lineage[-1]
    pairs, found = this["landscape"]["pairs"], []
    # Rounds that are trained again do not follow from each other.
    if round and not stages.control_facts(this).get("again"):
        found += [(name, seed, 0)] if "dense" in pairs else []
        found += [(name, seed, round - 1)] if "successive" in pairs else []
    if "seeds" in pairs:
        before = this["seeds"][: this["seeds"].index(seed)]
        found += [(name, other, round) for other in before if round <= stages.rounds_of(this, other)]
    controls = "control" in pairs and this["control"] != NO_CONTROL
    if controls and not sharing.is_of_controlled(lineage, seed, round):
        found.append((lineage[-2][0], seed, round))
    return list(dict.fromkeys(found))


def lines(lineage: sharing.Lineage) -> dict[tuple[int, int], list[tuple[str, int, int]]]:
    """Return `others` of each network that has any, by seed and round."""
    if not lineage[-1][1]["landscape"]:
        return {}
    found = {network: others(lineage, *network) for network in stages.networks(lineage[-1][1])}
    return {network: ends for network, ends in found.items() if ends}


def images_per_line(experiment: dict, sizes: dict) -> int:
    """Return how many images pass through networks for one line; `sizes` are from `plan.sizes.describe`."""
    available, landscape = sizes["dataset"]["train"], experiment["landscape"]
    used = trained_on(experiment, sizes) if landscape["split"] == "train" else sizes["dataset"]["test"]
    if sizes["network"]["batch_norm"] and available:
        used = 2 * used + min(ESTIMATED, trained_on(experiment, sizes))
    return landscape["points"] * used


def trained_on(experiment: dict, sizes: dict) -> int:
    """Return the number of training images that an experiment uses."""
    training = experiment["training"]
    return training["examples"] or sizes["dataset"]["train"] - training["validation"]


def notes(name: str, experiment: dict, sizes: dict, found: dict) -> list[str]:
    """Return the notes to print before the landscape of an experiment is measured.

    `found` are its `lines`. The cost is that of files that do not exist yet.
    """
    if not experiment["landscape"]:
        return []
    if not found:
        pairs = ", ".join(experiment["landscape"]["pairs"])
        return [f"{name}: landscape.pairs: [{pairs}] connects no two of its networks; add another kind"]
    path = "results/{}/seed{}/round{}/barriers.parquet"
    count = sum(
        len(ends) for network, ends in found.items() if not Path(path.format(name, *network)).exists()
    )
    if not count:
        return []
    images, points = count * images_per_line(experiment, sizes), experiment["landscape"]["points"]
    lines_of_points = f"{count} line{'s' * (count > 1)} of {points} points"
    text = f"{name}: barriers need {images:,} images, forward ({lines_of_points})"
    if "models" in experiment:
        return [text]
    epochs = experiment["training"]["epochs"]
    later = stages.prune_params(experiment, 1)["training"]["epochs"] if experiment["rounds"] else 0
    epochs = len(experiment["seeds"]) * (epochs + experiment["rounds"] * later)
    trained = epochs * trained_on(experiment, sizes)
    return [f"{text}; training needs {trained:,}, forward and backward"]
