"""Keys of `pruning`."""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from prunescope.networks import PRUNABLE
from prunescope.settings.base import Settings, absent, named, problem
from prunescope.settings.training import SCHEDULE, OptimizerOf, ScheduleOf

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Finetune(Settings):
    """Changes of `training` in rounds ≥ 1."""

    epochs: int = absent(ge=1, description="Passes over the training images in rounds ≥ 1.")
    optimizer: OptimizerOf = absent()
    schedule: ScheduleOf = absent(description=SCHEDULE)


class Selection(Settings):
    """The keys that every round reads."""

    criterion: named("criterion") = Field(
        "magnitude", description="Score of the weights; those with the lowest scores are removed."
    )
    origin: Literal["previous", "dense"] = Field(
        "previous",
        alias="from",
        description="What each round is pruned from: the `previous` round, or the `dense` network, at the "
        "density of the round. `dense` is one-shot pruning at several densities.",
    )
    at: Literal["training", "initialisation"] = Field(
        "training",
        description="Whether trained networks are scored and pruned, or the untrained one, which is then "
        "trained like round 0.",
    )
    unit: Literal["weight", "channel"] = Field(
        "weight",
        description="Whether single weights or whole output channels are pruned. The score of a channel is "
        "the Euclidean norm of its weights' scores; its bias and batch norm are pruned with it. With "
        "`channel`, `rate` and `densities` are fractions of channels.",
    )
    scope: Literal["global", "layer", "erk"] = Field(
        "global",
        description="How many weights each layer loses: as many as are below one threshold for all "
        "(`global`); the same fraction (`layer`); or so that its density is proportional to the sum of its "
        "dimensions over their product (`erk`).",
    )
    prunable: list[Annotated[str, Field(min_length=1)]] = Field(
        PRUNABLE,
        min_length=1,
        description="Modules whose weights are pruned, by name or type pattern; or parameters, by name "
        "pattern.",
    )
    rate: Fraction = Field(0.2, description="Fraction of the surviving weights that each round removes.")
    rates: dict[str, Fraction] = Field(
        {},
        description="Other rates for single modules, by pattern (scope `layer`); the last pattern that "
        "matches applies.",
    )
    retraining: Literal["lr-rewind", "rewind", "finetune", "none"] = Field(
        "lr-rewind",
        description="What a round starts from and how it is trained: `lr-rewind` keeps the weights and "
        "repeats the schedule, `rewind` goes back to the weights of `rewind_epoch` or `rewind_step`, "
        "`finetune` keeps the weights and follows `finetune`, `none` keeps them and trains nothing.",
    )

    @model_validator(mode="after")
    def _check_rates(self):
        if self.rates and self.scope != "layer":
            raise problem("needs pruning.scope: layer", "rates", value=self.rates)
        return self


class PruningSettings(Selection):
    """What one round reads; `density` is its entry of `densities`, `control` the experiment's key."""

    density: Fraction | None = None
    control: named("control") = "none"


class Pruning(Selection):
    """How every round chooses the weights to remove, and what it starts from."""

    densities: Annotated[list[Fraction], Field(min_length=1)] | None = Field(
        None,
        description="Fraction of prunable weights left after round 1, 2, ... instead of a constant rate; "
        "must decrease and have one entry for each round.",
    )
    rewind_epoch: int = Field(
        0, ge=0, description="Epoch of round 0 whose weights `rewind` goes back to; 0 is the initial weights."
    )
    rewind_step: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Step (batch) of round 0 to go back to, instead of an epoch."
    )
    finetune: Finetune = Field(
        Finetune(),
        description="With `retraining: finetune`, where it is required: changes of `training`, key by key. "
        "An optimiser or schedule of another name replaces the whole mapping.",
    )

    @model_validator(mode="after")
    def _check(self):
        if self.densities is not None:
            if any(after >= before for before, after in pairwise(self.densities)):
                raise problem("must decrease from round to round", "densities", value=self.densities)
            if self.rates:
                advice = "cannot be combined with pruning.densities; keep one of them"
                raise problem(advice, "rates", value=self.rates)
        if self.retraining == "rewind" and self.rewind_step is not None and self.rewind_epoch:
            advice = "cannot be combined with pruning.rewind_epoch; keep one of them"
            raise problem(advice, "rewind_step", value=self.rewind_step)
        if self.retraining == "finetune" and not self.finetune.plain():
            advice = "with pruning.retraining: finetune, set at least one of epochs, optimizer, schedule"
            raise problem(advice, "finetune", value={})
        return self
