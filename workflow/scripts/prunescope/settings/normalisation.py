"""How pixels are scaled: a key of `training`, and of each entry of `models`."""

from typing import Annotated, Literal

from pydantic import Field

from prunescope.settings.base import Settings, either


class Scaling(Settings):
    """Values for each channel."""

    mean: list[float] = Field(min_length=1, description="Mean of each channel, on the scale [0, 1].")
    std: list[Annotated[float, Field(gt=0)]] = Field(
        min_length=1, description="Standard deviation of each channel, on the scale [0, 1]."
    )


Normalisation = either(
    "dataset, symmetric, weights; a mapping",
    str=Literal["dataset", "symmetric", "weights"],
    dict=Scaling,
)
MEANING = (
    "Scaling of the pixels: `dataset` subtracts the training images' channel means and divides by their "
    "standard deviations, `symmetric` maps [0, 255] to [-1, 1], `weights` normalises and resizes images as "
    "the trained weights of a torchvision or timm network require. `{mean: [...], std: [...]}` gives the "
    "values for each channel, on the scale [0, 1]."
)
