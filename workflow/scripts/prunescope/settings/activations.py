"""Keys of `activations`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from prunescope.settings.base import Settings, either, named, problem

EXAMPLES = 500
Pattern = Annotated[str, Field(min_length=1)]
Axis = Literal["first", "last"]


class Activations(Settings):
    """What is recorded."""

    layers: list[Pattern] = Field(
        min_length=1,
        description="Modules whose outputs are recorded, by name or type pattern. `*` also matches dots: "
        "`blocks.*` chooses everything inside the blocks, `blocks.?` the blocks 0 to 9 themselves.",
    )
    examples: Annotated[int, Field(ge=2)] | None = Field(
        EXAMPLES,
        description="Number of test images, drawn once; the same for every round and seed. null uses all, "
        "and so does the default if there are fewer.",
    )
    view: named("view") = Field("channels", description="How a layer's output becomes a matrix.")
    axes: either(
        "first; last; a mapping from patterns to first or last", str=Axis, dict=dict[Pattern, Axis]
    ) = Field(
        {},
        description="Which axis of an output holds the units, where the network does not show it: `first` "
        "for (n, c, t), `last` for (n, t, d), for all such outputs or by pattern, see docs/networks.md.",
    )
    positions: either(
        "an integer of at least 1; all", int=Annotated[int, Field(ge=1)], str=Literal["all"]
    ) = Field(
        "all",
        description="Sampled positions per image, pixels or tokens, for the view `channels`: their number, "
        "fixed once per layer shape, or `all`.",
    )
    token: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="Record only this position, counted from 0, for the view `channels`; 0 is often the "
        "class token. null records all.",
    )
    dtype: Literal["float32", "float16"] = Field(
        "float32", description="Number format of the stored activations."
    )
    compression: Literal["none", "lzf", "gzip"] = Field(
        "none", description="HDF5 filter of the stored activations."
    )
    batch_size: int = Field(250, ge=1, description="Images per forward pass.")
    threads: int = Field(
        1,
        ge=1,
        description="Processor threads of an extraction job. A different number can round differently.",
    )

    @model_validator(mode="after")
    def _check(self):
        if self.token is not None:
            if self.view not in ("channels", "tokens"):
                raise problem("needs activations.view: channels", "token", value=self.token)
            if self.positions != "all":
                advice = "cannot be combined with activations.token; keep one of them"
                raise problem(advice, "positions", value=self.positions)
        return self

    @property
    def sampled(self) -> int | str | list[int]:
        """The positions of a layer's output that are recorded: their number, ``all``, or a list."""
        return self.positions if self.token is None else [self.token]


class RecordingSettings(Activations):
    """What one job records: `layers` can also be modules by the name of their layer."""

    layers: list[Pattern] | dict[str, Pattern]
