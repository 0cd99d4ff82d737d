"""Keys of `training`, with optimisers and schedules, which `pruning.finetune` can replace.

The models of optimisers and schedules have the keys of every kind. A kind's own keys are in a subclass, which
its entry in `prunescope.training.table` names.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, SerializeAsAny, WrapValidator, create_model, model_validator

from prunescope import kinds
from prunescope.errors import InputError
from prunescope.settings.base import Settings, either, named, problem


class Scaling(Settings):
    """How pixels are scaled: values for each channel."""

    mean: list[float] = Field(min_length=1, description="Mean of each channel, on the scale [0, 1].")
    std: list[Annotated[float, Field(gt=0)]] = Field(
        min_length=1, description="Standard deviation of each channel, on the scale [0, 1]."
    )


Normalisation = either(
    "dataset, symmetric, weights; a mapping",
    str=Literal["dataset", "symmetric", "weights"],
    dict=Scaling,
)
NORMALISATION = (
    "Scaling of the pixels: `dataset` subtracts the training images' channel means and divides by their "
    "standard deviations, `symmetric` maps [0, 255] to [-1, 1], `weights` normalises and resizes images as "
    "the trained weights of a torchvision or timm network require. `{mean: [...], std: [...]}` gives the "
    "values for each channel, on the scale [0, 1]."
)


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
    fields = {key: (TYPES.get(type(default), JsonValue), default) for key, default in kind.settings.items()}
    return create_model(kind.name, __base__=base, **fields)


OptimizerOf, ScheduleOf = _of_kind("optimizer", Optimizer), _of_kind("schedule", Schedule)


class Augmentation(Settings):
    """Random changes of the training images."""

    crop: int = Field(
        0,
        ge=0,
        description="Zero padding in pixels on each side before a random crop back to the image's size.",
    )
    flip: bool = Field(False, description="Mirror half of the images left to right.")
    cutout: int = Field(0, ge=0, description="Side in pixels of a square set to the mean colour.")
    rotate: float = Field(0.0, ge=0, le=180, description="Largest rotation, in degrees either way.")
    translate: float = Field(0.0, ge=0, lt=1, description="Largest shift, as a fraction of the image's side.")
    scale: list[Annotated[float, Field(gt=0)]] = Field(
        [1.0, 1.0], min_length=2, max_length=2, description="Range of random scaling factors."
    )

    @model_validator(mode="after")
    def _check(self):
        if self.scale[0] > self.scale[1]:
            raise problem("must be [smallest, largest]", "scale", value=self.scale)
        return self

    @property
    def affine(self) -> bool:
        """Whether images are resampled."""
        return self.rotate > 0 or self.translate > 0 or self.scale != [1.0, 1.0]


class Forward(Settings):
    """The keys that also a network that is only measured needs."""

    normalisation: Normalisation = Field("dataset", description=NORMALISATION)
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Arithmetic of the forward and backward pass; weights and optimiser stay float32.",
    )
    channels_last: bool = Field(
        True, description="Use the channels-last memory format for images and convolutions; usually faster."
    )


class Training(Forward):
    """How a network is trained."""

    epochs: int = Field(
        ge=0,
        description="Passes over the training images, in each round. With 0, round 0 has the weights of "
        "`network.weights`.",
    )
    batch_size: int = Field(
        128, ge=1, description="Images per step. The last, smaller batch of an epoch is kept."
    )
    examples: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Use only this many training images, drawn once (the same for all seeds); null uses all.",
    )
    validation: int = Field(
        0, ge=0, description="Number of training images held out and measured after every epoch."
    )
    optimizer: OptimizerOf
    schedule: ScheduleOf = Field(
        Schedule.model_construct(name="constant", warmup_epochs=0.0),
        description=SCHEDULE,
    )
    decay_norm_and_bias: bool = Field(
        True, description="Whether weight decay also applies to batch norm and biases."
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Probability mass spread evenly over all classes."
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Largest Euclidean norm of the whole gradient; null does not clip."
    )
    augmentation: Augmentation = Field(
        Augmentation(),
        description="Random changes of the training images, applied to whole batches on the training device.",
    )
    threads: int = Field(
        1,
        ge=1,
        description="Processor threads of a training job. A different number rounds differently, so "
        "training runs again.",
    )

    @model_validator(mode="after")
    def _check(self):
        if self.epochs:
            check_length(self.schedule, self.epochs, "schedule")
        return self
