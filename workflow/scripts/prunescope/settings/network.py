"""Keys of `network` and `models`."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from prunescope.settings.base import Settings, absent, named
from prunescope.settings.normalisation import Normalisation

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class Architecture(Settings):
    """A network without its weights."""

    name: named("network") = Field(
        description="Network: one of those in the table below, or a class or function in a file of your "
        "own, see docs/networks.md."
    )
    arguments: dict[str, JsonValue] = Field(
        {},
        description="Keyword arguments of the network's function. Input channels, size and classes come "
        "from the data set.",
    )
    classes: int = absent(
        ge=1,
        description="Number of outputs, only with `models`: networks that were trained elsewhere may have "
        "different classes from the data set. If the number of classes differs, accuracy is not measured.",
    )


class Network(Architecture):
    """The network of an experiment."""

    weights: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Trained weights that round 0 starts from: a file with a state dict (`.pt`, `.pth`, "
        "`.safetensors`, or a checkpoint.pt of this workflow), or `DEFAULT` for those that torchvision or "
        "timm offers. null draws new ones.",
    )


class Model(Settings):
    """A network that was trained elsewhere."""

    weights: str = Field(
        min_length=1,
        description="File with the weights: a state dict, a checkpoint from PyTorch Lightning or this "
        "workflow, or `.safetensors`.",
    )
    lineage: Seed = Field(
        0,
        description="Networks of one lineage descend from its first network, the dense one, and are "
        "compared with each other. The lineage takes the place of the seed.",
    )
    zeros: Literal["all"] = absent(
        description="`all` counts every weight that is zero as pruned. Otherwise, weights of a layer without "
        "a mask in the file count only if at least 1 % of them are zero.",
    )
    label: str = Field("", description="Name of the network in reports and figures.")
    network: Architecture = absent(
        description="The network of this file, if it differs from the `network` of the experiment."
    )
    normalisation: Normalisation = absent(
        description="Scaling of the pixels for this network; `training.normalisation` if not given."
    )
    layers: dict[str, Annotated[str, Field(min_length=1)]] = Field(
        {},
        description="Modules of this network by the name of the recorded layer that they correspond to, "
        "e.g. `{relu1: features.1}`.",
    )
