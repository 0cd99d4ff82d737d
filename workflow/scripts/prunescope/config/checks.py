"""Checks that involve more than one key of an experiment."""

import json
from itertools import pairwise

from prunescope import kinds
from prunescope.errors import InputError


def primary_measure(experiment: dict) -> str | None:
    """Return the measure that verdicts use; None if the experiment has to name one."""
    measures = experiment["similarity"]["measures"]
    if experiment["findings"]["measure"] is not None:
        return experiment["findings"]["measure"]
    return measures[0] if len(measures) == 1 else "cka_debiased" if "cka_debiased" in measures else None


def check(experiment: dict, where: str) -> None:
    """Check a complete experiment; `where` is its file, for messages.

    Raises
    ------
    InputError
        With file, key, value and what is allowed.
    """
    training, pruning = experiment["training"], experiment["pruning"]
    kinds.find("control", experiment["control"], "control")
    kinds.find("criterion", pruning["criterion"], "pruning.criterion")
    view = kinds.find("view", experiment["activations"]["view"])
    epochs = pruning["finetune"].get("epochs", training["epochs"])

    def refuse(key: str, problem: str):
        value = experiment
        for part in key.split("."):
            value = value[part]
        raise InputError(f"{where}: {key} = {json.dumps(value)}: {problem}")

    for key, needed in (("classes", True), ("weights", False)):
        if experiment["network"].get(key) is not None and ("models" in experiment) != needed:
            refuse(
                f"network.{key}",
                "is only for experiments with models; remove it"
                if needed
                else "is not used with models; give each entry of models its own",
            )
    densities = pruning["densities"]
    if densities is not None:
        if len(densities) != experiment["rounds"]:
            refuse(
                "pruning.densities", f"must have one entry for each round, {experiment['rounds']} in total"
            )
        if any(after >= before for before, after in pairwise(densities)):
            refuse("pruning.densities", "must decrease from round to round")
        if pruning["rates"]:
            refuse("pruning.rates", "cannot be combined with pruning.densities; keep one of them")
    if pruning["rates"] and pruning["scope"] != "layer":
        refuse("pruning.rates", "needs pruning.scope: layer")
    if pruning["retraining"] == "rewind":
        if pruning["rewind_epoch"] >= training["epochs"]:
            refuse("pruning.rewind_epoch", f"must be less than training.epochs = {training['epochs']}")
        if pruning["rewind_step"] is not None and pruning["rewind_epoch"]:
            refuse("pruning.rewind_step", "cannot be combined with pruning.rewind_epoch; keep one of them")
    if pruning["retraining"] == "finetune" and not pruning["finetune"]:
        refuse(
            "pruning.finetune",
            "with pruning.retraining: finetune, set at least one of epochs, optimizer, schedule",
        )
    if experiment["similarity"]["pairs"] == "all-layers" and not view.facts["aligned"]:
        aligned = [kind.name for kind in kinds.known("view").values() if kind.facts["aligned"]]
        refuse(
            "similarity.pairs",
            f"needs rows that correspond between layers; set activations.view to {' or '.join(aligned)}",
        )
    if experiment["activations"]["token"] is not None:
        if experiment["activations"]["view"] != "tokens":
            refuse("activations.token", "needs activations.view: tokens")
        if experiment["activations"]["positions"] != "all":
            refuse("activations.positions", "cannot be combined with activations.token; keep one of them")
    if primary_measure(experiment) not in experiment["similarity"]["measures"]:
        refuse(
            "findings.measure",
            f"must be one of similarity.measures: {', '.join(experiment['similarity']['measures'])}",
        )
    spectra = [kind.name for kind in kinds.known("measure").values() if kind.facts.get("spectrum")]
    if experiment["similarity"]["spectrum"] and not set(spectra) & set(experiment["similarity"]["measures"]):
        refuse("similarity.spectrum", f"needs {' or '.join(spectra)} among similarity.measures")
    for place, schedule, last in (
        ("training", training["schedule"], training["epochs"]),
        ("pruning.finetune", pruning["finetune"].get("schedule"), epochs),
    ):
        if schedule and (problem := _schedule_problem(schedule, last)):
            refuse(f"{place}.schedule.{problem[0]}", problem[1])
    if training["augmentation"]["scale"][0] > training["augmentation"]["scale"][1]:
        refuse("training.augmentation.scale", "must be [smallest, largest]")


# Keys that masks and training depend on. A control must have the same values.
CONTROLLED = ("dataset", "network", "training", "pruning")


def check_control(control: dict, experiment: dict, name: str, where: str) -> None:
    """Check that a control differs from the experiment that it controls only in permitted keys.

    Parameters
    ----------
    control, experiment : dict
        Both complete.
    name : str
        Of the experiment.
    where : str
        File of the control, for messages.

    Raises
    ------
    InputError
        With file, key, value and what is allowed.
    """
    for key in CONTROLLED:
        if control[key] != experiment[key]:
            key, own, other = _first_difference(key, control[key], experiment[key])
            raise InputError(
                f"{where}: {key} = {json.dumps(own)}: a control of {name} must have the same value, "
                f"{json.dumps(other)}; remove the key"
            )
    for seed in control["seeds"]:
        if seed not in experiment["seeds"]:
            raise InputError(
                f"{where}: seeds = {json.dumps(control['seeds'])}: a control of {name} can only use its "
                f"seeds, {', '.join(map(str, experiment['seeds']))}"
            )
    if control["rounds"] > experiment["rounds"]:
        raise InputError(
            f"{where}: rounds = {control['rounds']}: the controlled experiment {name} ends after round "
            f"{experiment['rounds']}; lower rounds"
        )


def _first_difference(key: str, own, other) -> tuple[str, object, object]:
    """Return the first dotted key at which two values differ, and both plain values."""
    while isinstance(own, dict) and isinstance(other, dict):
        name = next(name for name in {**own, **other} if own.get(name) != other.get(name))
        key, own, other = f"{key}.{name}", own.get(name), other.get(name)
    return key, own, other


def _schedule_problem(schedule: dict, last: int) -> tuple[str, str] | None:
    """Return a key of a schedule that does not fit `last` epochs of training, and the problem."""
    for key, setting in kinds.find("schedule", schedule["name"]).settings.items():
        if "epochs" not in setting:
            continue
        times = [item[0] if isinstance(item, list) else item for item in schedule[key]]
        if any(after <= before for before, after in pairwise(times)):
            return key, "epochs must increase"
        if times[-1] > last or (setting["epochs"] == "before the end" and times[-1] == last):
            return key, (
                f"the schedule runs to epoch {times[-1]:g}, but training ends after epoch {last}; "
                "change one of them"
            )
    return None
