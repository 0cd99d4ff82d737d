"""Keys of `training`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from prunescope.settings.base import Settings, problem
from prunescope.settings.normalisation import MEANING, Normalisation
from prunescope.settings.optimization import SCHEDULE, OptimizerOf, Schedule, ScheduleOf, check_length


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

    normalisation: Normalisation = Field("dataset", description=MEANING)
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
