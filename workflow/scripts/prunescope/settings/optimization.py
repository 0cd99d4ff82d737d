"""Optimisers and schedules: keys of `training` and of `pruning.finetune`."""

from itertools import pairwise
from typing import ClassVar

from pydantic import Field

from prunescope import kinds
from prunescope.settings.base import OfKind, chosen, named


class Optimizer(OfKind):
    """An optimiser; its own settings are those of its kind."""

    family: ClassVar[str] = "optimizer"
    name: named("optimizer") = Field(description="Optimiser.")
    lr: float = Field(gt=0, description="Base learning rate, for a loss averaged over the batch.")


class Schedule(OfKind):
    """A schedule; its own settings are those of its kind."""

    family: ClassVar[str] = "schedule"
    name: named("schedule") = Field(description="Shape of the schedule.")
    warmup_epochs: float = Field(
        0.0, ge=0, description="Epochs over which the factor first rises linearly from 0."
    )

    def misfit(self, last: int) -> tuple[str, list, str] | None:
        """Return a key that does not fit `last` epochs of training, its value and the problem."""
        for key, setting in kinds.find("schedule", self.name).settings.items():
            if "epochs" not in setting:
                continue
            value = getattr(self, key)
            times = [item[0] if isinstance(item, list) else item for item in value]
            if any(after <= before for before, after in pairwise(times)):
                return key, value, "epochs must increase"
            if times[-1] > last or (setting["epochs"] == "before the end" and times[-1] == last):
                advice = f"the schedule runs to epoch {times[-1]:g}, but training ends after epoch {last}"
                return key, value, f"{advice}; change one of them"
        return None


OptimizerOf, ScheduleOf = chosen(Optimizer), chosen(Schedule)
SCHEDULE = "Factor on the base learning rate as a function of the epoch."
