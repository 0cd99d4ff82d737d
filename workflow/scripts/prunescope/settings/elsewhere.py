"""Networks that were trained elsewhere: the key `models` of an experiment, in place of training and pruning.

The lineage of a model replaces the seed, and its position in the lineage replaces the round.
"""

from contextlib import suppress

from prunescope.errors import InputError, guess
from prunescope.settings.experiment import validated

# Keys that define how networks are trained and pruned.
REPLACED = ("seeds", "rounds", "control", "pruning")
# Keys of `training` that a trained network still needs.
KEPT = ("normalisation",)


def given(name: str, catalogue) -> bool:
    """Return whether the networks of an experiment were trained elsewhere."""
    chain = [name]
    while chain.count(chain[-1]) == 1:
        written = catalogue.read(chain[-1])
        if "models" in written or "extends" not in written:
            return "models" in written
        catalogue.check(written["extends"], "extends")
        chain.append(written["extends"])
    return False


def trained_elsewhere(catalogue) -> set[str]:
    """Return the experiments whose networks were trained elsewhere, including those that grids define.

    Experiments that cannot be read are left out.
    """
    written, imported = catalogue.names(), set()
    for name in written:
        with suppress(InputError):
            if given(name, catalogue):
                imported.add(name)
            # In a grid, an experiment comes after the one that it extends.
            for child, changes in catalogue.grid(name).experiments.items():
                if child not in written and ("models" in changes or changes["extends"] in imported):
                    imported.add(child)
    return imported


def without_training(experiment: dict) -> dict:
    """Return the part of an experiment that one with `models` takes from the experiment it extends."""
    kept = {key: value for key, value in experiment.items() if key not in REPLACED}
    if isinstance(training := kept.pop("training", None), dict):
        kept["training"] = {key: value for key, value in training.items() if key in KEPT}
    return kept


def validate(experiment: dict, where: str) -> dict:
    """Return a complete experiment with `models`: defaults, and the keys that follow from `models`.

    It has all keys of an experiment that is trained here. ``seeds`` are the lineages, ``rounds`` the number
    of models after the first in the longest lineage. `where` is its file, for messages.
    """
    training = experiment.get("training")
    wrong = [key for key in REPLACED if key in experiment]
    wrong += [f"training.{key}" for key in training if key not in KEPT] if isinstance(training, dict) else []
    if wrong:
        raise InputError(
            f"{where}: {wrong[0]}: nothing is trained or pruned in an experiment with models; remove the key"
        )
    # The required keys of `training` follow from `models`, too.
    unused = {"epochs": 1, "optimizer": {"name": "sgd", "lr": 1.0}}
    training = unused | training if isinstance(training, dict) else unused if training is None else training
    complete = validated(experiment | {"training": training}, where)
    seeds = sorted({model["lineage"] for model in complete["models"]})
    complete |= {"seeds": seeds, "rounds": 0}
    complete["rounds"] = max(len(lineage(complete, seed)) for seed in seeds) - 1
    complete["training"] |= {"epochs": 0, "optimizer": {"name": "none"}}
    return complete


def lineage(experiment: dict, seed: int) -> list[dict]:
    """Return the models of a lineage, the dense network first."""
    return [model for model in experiment["models"] if model["lineage"] == seed]


def find(experiment: dict, seed: int, round: int) -> dict:
    """Return the model that replaces a round of a seed."""
    models = lineage(experiment, seed)
    if round >= len(models):
        raise InputError(f"round {round}: lineage {seed} ends at round {len(models) - 1}; add one to models")
    return models[round]


def network_of(experiment: dict, model: dict) -> dict:
    """Return the network of a model, with its weights, in the form of the key `network`."""
    network = model.get("network", experiment["network"])
    return network | {key: model[key] for key in ("weights", "zeros") if key in model}


def normalisation_of(experiment: dict, model: dict) -> str | dict:
    """Return how pixels are scaled for a model."""
    return model.get("normalisation", experiment["training"]["normalisation"])


def recorded(experiment: dict, model: dict, layers: list[str]) -> list[str] | dict[str, str]:
    """Return which modules of a model are recorded: patterns, or modules by the name of their layer.

    `layers` are the recorded layers of the first model; none for the first one.
    """
    patterns, modules = experiment["activations"]["layers"], model["layers"]
    if not layers or experiment["similarity"]["pairs"] == "all-layers":
        return modules or patterns
    first = experiment["models"][0]
    if not modules and model.get("network") == first.get("network"):
        return first["layers"] or patterns
    for name in modules:
        if name not in layers:
            raise InputError(
                f"layers: {name!r} is not a recorded layer of the first model{guess(name, layers)}; "
                f"recorded: {', '.join(layers)}"
            )
    return {name: modules.get(name, name) for name in layers}
