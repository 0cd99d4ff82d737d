"""Whose files an experiment uses: those of a shared round 0, and those that later rounds start from.

Experiments with the same dense training share round 0. If several experiments in one chain of `extends` would
produce the same file, it belongs to the one that the others extend. Which experiments are selected, and their
order, does not matter.
"""

from prunescope.plan import stages
from prunescope.settings.load import NO_CONTROL

Lineage = list[tuple[str, dict]]


def _recording(this: dict) -> list:
    return [stages.activation_params(this), this["activations"]["threads"]]


def _comparison(this: dict) -> list:
    return [stages.similarity_params(this)]


# Settings that the files of round 0 depend on besides the training.
ROUND0 = {
    "checkpoint.pt": (),
    "rewind.pt": (),
    "training.csv": (),
    "metrics.json": (),
    "predictions.h5": (),
    "activations.h5": (_recording,),
    "units.json": (_recording,),
    "similarity.parquet": (_recording, _comparison),
}


def trainer(lineage: Lineage, seed: int) -> str:
    """Return the experiment that trains the dense network of a seed.

    `lineage` is from `prunescope.settings.load.load_lineage`, here and below.
    """
    name, this = lineage[-1]
    for length, (other, theirs) in enumerate(lineage[:-1], 1):
        if (
            seed in theirs["seeds"]
            and _same_training(this, theirs)
            and trainer(lineage[:length], seed) == other
        ):
            return other
    return name


def _same_training(this: dict, theirs: dict) -> bool:
    """Whether the other experiment's dense training produces all that this one needs of round 0."""
    # Networks that were trained elsewhere are imported again, which takes only seconds.
    if "models" in this or "models" in theirs:
        return False
    needed, produced = stages.train_params(this), stages.train_params(theirs)
    if this["pruning"]["retraining"] != "rewind":
        produced["rewind"] = needed["rewind"]
    same = this["dataset"] == theirs["dataset"]
    return same and needed == produced and this["training"]["threads"] == theirs["training"]["threads"]


def owner(lineage: Lineage, seed: int, file: str) -> str:
    """Return the experiment whose folder contains a file of round 0, a key of `ROUND0`."""
    name, this = lineage[-1]
    trained_by = trainer(lineage, seed)
    shared = (
        other
        for length, (other, theirs) in enumerate(lineage, 1)
        if seed in theirs["seeds"]
        and trainer(lineage[:length], seed) == trained_by
        and _alike(this, theirs, *ROUND0[file])
    )
    return next(shared, name)


def owner_across_seeds(lineage: Lineage) -> str:
    """Return the experiment whose folder contains the comparison of dense networks of different seeds."""
    this = lineage[-1][1]
    return next(
        other
        for length, (other, theirs) in enumerate(lineage, 1)
        if theirs["seeds"] == this["seeds"]
        and all(trainer(lineage[:length], seed) == trainer(lineage, seed) for seed in this["seeds"])
        and _alike(this, theirs, _recording, _comparison)
    )


def owner_of_untrained(lineage: Lineage) -> str:
    """Return the experiment whose folder contains the comparison of untrained networks.

    A control uses the comparison of the experiment that it controls, if the settings are the same.
    """
    name, this = lineage[-1]
    if this["control"] == NO_CONTROL:
        return name
    above, theirs = lineage[-2]
    same = this["seeds"] == theirs["seeds"] and _alike(this, theirs, _recording, _comparison)
    return above if same else name


def _alike(this: dict, theirs: dict, *parts) -> bool:
    return all(part(this) == part(theirs) for part in parts)


def network_file(lineage: Lineage, seed: int, round: int, file: str) -> str:
    """Return the path of a file of one network."""
    name = owner(lineage, seed, file) if round == 0 else lineage[-1][0]
    return f"results/{name}/seed{seed}/round{round}/{file}"


def is_of_controlled(lineage: Lineage, seed: int, round: int) -> bool:
    """Whether a network of a control is also one of the experiment that it controls: the dense one."""
    files = {network_file(part, seed, round, "checkpoint.pt") for part in (lineage, lineage[:-1])}
    return len(files) == 1


def starting_files(lineage: Lineage, seed: int, round: int) -> dict[str, str]:
    """Return the files that a later round starts from, by the names in `stages.starts_from`."""
    this, controlled = lineage[-1][1], lineage[:-1]
    start = controlled if stages.trains_again(this) else lineage
    needed, files = stages.starts_from(this), {}
    if "origin" in needed:
        files["origin"] = network_file(start, seed, stages.origin_of(this, round), "checkpoint.pt")
    if "rewind" in needed:
        files["rewind"] = network_file(start, seed, 0, "rewind.pt")
    if "masks" in needed:
        files["masks"] = network_file(controlled, seed, round, "checkpoint.pt")
    return files


def rows(lineage: Lineage) -> list[str]:
    """Return the files that the matrix is assembled from: of every network, and of seeds with each other."""
    (name, this), file = lineage[-1], "similarity.parquet"
    files = [network_file(lineage, seed, round, file) for seed, round in stages.networks(this)]
    across_seeds = this["similarity"]["across_seeds"]
    if not across_seeds or len(this["seeds"]) == 1:
        return files
    pruned = [] if across_seeds == "dense" else [name] * this["rounds"]
    return files + [
        f"results/{owner}/across-seeds/round{round}/{file}"
        for round, owner in enumerate([owner_across_seeds(lineage), *pruned])
        if len(stages.seeds_with(this, round)) > 1
    ]


def untrained_rows(lineage: Lineage) -> list[str]:
    """Return the file with the comparison of untrained networks; none if the experiment asks for none."""
    if not lineage[-1][1]["similarity"]["untrained"]:
        return []
    return [f"results/{owner_of_untrained(lineage)}/untrained/similarity.parquet"]
