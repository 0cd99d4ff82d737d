"""Optimisers and schedules: keys of `training` and of `pruning.finetune`.

The models here have the keys of every kind. A kind's own keys are in a subclass, which its entry in
`prunescope.training.table` names.
"""

from typing import Annotated, Any

from pydantic import Field, JsonValue, SerializeAsAny, WrapValidator, create_model

from prunescope import kinds
from prunescope.errors import InputError
from prunescope.settings.base import Settings, either, named, problem

SCHEDULE = "Factor on the base learning rate as a function of the epoch."


class Optimizer(Settings):
    """An optimiser."""

    name: named("optimizer") = Field(description="Optimiser.")
    lr: float = Field(gt=0, description="Base learning rate, for a loss averaged over the batch.")


class Schedule(Settings):
    """A learning-rate schedule."""

    name: named("schedule") = Field(description="Shape of the schedule.")
    warmup_epochs: float = Field(
        0.0, ge=0, description="Epochs over which the factor first rises linearly from 0."
    )

    def misfit(self, epochs: int) -> tuple[str, float] | None:
        """Return a key with an epoch after the end of the training, and this epoch."""
        return None


def check_length(schedule: Schedule, epochs: int, where: str) -> None:
    """Refuse a schedule that runs longer than the training; `where` is its key."""
    if wrong := schedule.misfit(epochs):
        key, last = wrong
        advice = f"the schedule runs to epoch {last:g}, but training ends after epoch {epochs}"
        raise problem(f"{advice}; change one of them", f"{where}.{key}", value=getattr(schedule, key))


def _of_kind(family: str, base: type[Settings]) -> Any:
    """Return the type of a key whose own keys depend on its `name`."""

    def check(value: Any, handler) -> Settings:
        name = value.get("name") if isinstance(value, dict) else None
        try:
            kind = kinds.find(family, name) if isinstance(name, str) else None
        except InputError:  # the check of the name explains it
            kind = None
        if kind is None and isinstance(value, dict):
            # Without a known name, there are only the common keys.
            value = {key: value[key] for key in value if key in base.model_fields}
        return _model(kind, base).model_validate(value) if kind else handler(value)

    extra = Field(json_schema_extra={"family": family})
    return Annotated[SerializeAsAny[base], WrapValidator(check), extra]


# Type of a user's setting, by the type of its default.
TYPES = {bool: bool, int: either("a number", int=int, float=float), float: float, str: str}


def _model(kind: kinds.Kind, base: type[Settings]) -> type[Settings]:
    if not kind.file:
        return kind.settings
    for key in kind.settings:
        if key.startswith("_") or hasattr(base, key) or key in base.model_fields:
            raise problem(f"{kind.name} has a parameter {key}, which has another meaning; rename it", "name")
    own = {key: (TYPES.get(type(default), JsonValue), default) for key, default in kind.settings.items()}
    return create_model(kind.name, __base__=base, **own)


OptimizerOf, ScheduleOf = _of_kind("optimizer", Optimizer), _of_kind("schedule", Schedule)
