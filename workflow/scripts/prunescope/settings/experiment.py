"""A whole experiment: the keys of config/experiments/NAME.yaml, and the rules between stages."""

from typing import Annotated

from pydantic import Field, JsonValue, model_validator

from prunescope import kinds
from prunescope.settings.activations import Activations
from prunescope.settings.base import UNIQUE, Settings, absent, load, named, problem
from prunescope.settings.combinations import refused
from prunescope.settings.findings import Figures, Findings
from prunescope.settings.landscape import Landscape
from prunescope.settings.network import Model, Network, Seed
from prunescope.settings.optimization import check_length
from prunescope.settings.pruning import Pruning
from prunescope.settings.similarity import Similarity
from prunescope.settings.training import Training

Grid = Annotated[dict[str, Annotated[list[JsonValue], Field(min_length=1), *UNIQUE]], Field(min_length=1)]


class Experiment(Settings):
    """An experiment, complete."""

    description: str = Field("", description="Short description of the experiment, shown in reports.")
    control: named("control") = Field(
        "none",
        description="Makes the experiment a control of the one that it extends, round by round, see "
        "docs/controls.md. It shares that experiment's round 0, except for `siblings`.",
    )
    grid: Grid = absent(
        description="Values by dotted key, e.g. `{pruning.rate: [0.2, 0.5]}`: one experiment for each "
        "combination, see docs/sweeps.md.",
    )
    dataset: str = Field(description="Data set, a key of `data.datasets` in config/config.yaml.")
    seeds: Annotated[list[Seed], *UNIQUE] = Field(
        [0],
        min_length=1,
        description="Seeds. Each gives a network with its own initialisation, data order and augmentation.",
    )
    rounds: int = Field(5, ge=0, description="Number of pruning rounds after the dense round 0.")
    network: Network
    models: Annotated[list[Model], Field(min_length=1)] = absent(
        description="Networks that were trained elsewhere, in the order in which they were pruned, see "
        "docs/checkpoints.md. They replace `seeds`, `rounds`, `control`, `pruning` and all of `training` "
        "except `normalisation`."
    )
    training: Training = Field(
        description="How round 0 is trained, and how every later round is retrained unless "
        "`pruning.finetune` says otherwise."
    )
    pruning: Pruning = Pruning()
    activations: Activations
    similarity: Similarity = Similarity()
    landscape: Landscape | None = Field(
        None,
        description="Loss and error along the line between two networks, in barriers.parquet, see "
        "docs/levels.md; `{}` uses the defaults below, null measures nothing.",
    )
    findings: Findings = Findings()
    figures: Figures = Figures()

    @model_validator(mode="after")
    def _check(self):
        pruning, training, similarity = self.pruning, self.training, self.similarity
        for key, needed in (("classes", True), ("weights", False)):
            value = getattr(self.network, key)
            if value is not None and (self.models is not None) != needed:
                advice = "is only for experiments with models; remove it"
                if not needed:
                    advice = "is not used with models; give each entry of models its own"
                raise problem(advice, f"network.{key}", value=value)
        values = pruning.plain() | {"control": self.control}
        if found := refused(values):
            key, why = found
            raise problem(why, key if key == "control" else f"pruning.{key}", value=values[key])
        if not training.epochs:
            if self.network.weights is None:
                raise problem("must be at least 1 without network.weights", "training.epochs", value=0)
            retrained = pruning.retraining == "finetune" and pruning.finetune.epochs
            if not retrained and pruning.retraining != "none":
                advice = "needs training.epochs of 1 or more; choose none, or finetune with epochs"
                raise problem(advice, "pruning.retraining", value=pruning.retraining)
            if kinds.find("control", self.control).facts.get("fresh"):
                raise problem("needs training.epochs of 1 or more", "control", value=self.control)
        if pruning.densities is not None and len(pruning.densities) != self.rounds:
            advice = f"must have one entry for each round, {self.rounds} in total"
            raise problem(advice, "pruning.densities", value=pruning.densities)
        if pruning.retraining == "rewind" and pruning.rewind_epoch >= training.epochs:
            advice = f"must be less than training.epochs = {training.epochs}"
            raise problem(advice, "pruning.rewind_epoch", value=pruning.rewind_epoch)
        if self.findings.measure not in (None, *similarity.measures):
            advice = f"must be one of similarity.measures: {', '.join(similarity.measures)}"
            raise problem(advice, "findings.measure", value=self.findings.measure)
        for name in self.figures.measures or ():
            if name not in similarity.measures:
                advice = f"must be some of similarity.measures: {', '.join(similarity.measures)}"
                raise problem(advice, "figures.measures", value=self.figures.measures)
        if finetune := pruning.finetune.schedule:
            epochs = pruning.finetune.epochs or training.epochs
            check_length(finetune, epochs, "pruning.finetune.schedule")
        return self


class Written(Settings):
    """The part of an experiment that is read before the rest is complete."""

    grid: Grid


def validated(written: dict, where: str) -> dict:
    """Return a complete experiment as JSON values, with defaults filled in; `where` is its file.

    The key ``activations.examples`` is left out unless it is written: its default means at most as many.
    """
    experiment = load(Experiment, written, where)
    complete = experiment.plain()
    if "examples" not in experiment.activations.model_fields_set:
        del complete["activations"]["examples"]
    return complete
