"""Keys of `landscape`."""

from typing import Annotated, Literal

from pydantic import Field

from prunescope.settings.base import UNIQUE, Settings

Pair = Literal["dense", "successive", "seeds", "control"]
# Training images from which the statistics of batch norm are estimated again, or all if there are fewer. The
# running averages of training depend on about as many images, with batches of 128.
ESTIMATED = 2500


class Line(Settings):
    """What is measured on the line between two networks."""

    points: int = Field(
        11, ge=3, description="Number of networks on the line between two networks, both ends included."
    )
    split: Literal["test", "train"] = Field(
        "test", description="The images whose loss and error are measured: all test or all training images."
    )


class Landscape(Line):
    """Which networks are connected by a line."""

    pairs: Annotated[list[Pair], *UNIQUE] = Field(
        ["dense", "successive"],
        min_length=1,
        description="Lines from each network to others: `dense`, the dense network of its seed; "
        "`successive`, the round before; `seeds`, the same round of the other seeds; `control`, in a "
        "control, the same network of the experiment that it controls.",
    )


class LineSettings(Line):
    """What one job reads; the last four are keys of `training`."""

    precision: str
    channels_last: bool
    examples: int | None
    validation: int
