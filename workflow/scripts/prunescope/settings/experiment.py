"""A whole experiment: the keys of config/experiments/NAME.yaml, and the rules between stages.

Keys that a stage's jobs read are in a module of their own: a job depends on the files that it imports.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator

from prunescope import kinds
from prunescope.settings.activations import Activations
from prunescope.settings.base import UNIQUE, Settings, absent, load, named, problem
from prunescope.settings.landscape import Landscape
from prunescope.settings.pruning import Pruning
from prunescope.settings.reading import merge
from prunescope.settings.similarity import Similarity
from prunescope.settings.training import Normalisation, Training, check_length

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


WIDTHS = [5.5, 3.25, 6.75]


class Findings(Settings):
    """What verdicts are about."""

    measure: named("measure") | None = Field(
        None,
        description="The one measure that verdicts are about, chosen before the run. null means the only "
        "measure, or `cka_debiased` if it is one of several; otherwise there are numbers but no verdicts.",
    )
    margin: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Smallest difference between similarities that is of interest; smaller ones do not "
        "count as a finding.",
    )
    least_accuracy: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Test accuracy below which a network does not classify: verdicts leave out its seed. "
        "null means a fifth of the way from 1 / classes to 1, e.g. 0.28 for ten classes.",
    )


def _offered(width: float) -> float:
    if width not in WIDTHS:
        raise problem(f"unknown; allowed: {', '.join(map(str, WIDTHS))}", value=width)
    return width


class Figures(Settings):
    """Which figures for papers are drawn, and how they look."""

    measures: Annotated[list[named("measure")], Field(min_length=1), *UNIQUE] | None = Field(
        None,
        description="Measures with figures and a part of similarity.tex, some of `similarity.measures`. null "
        "means the measure that the report shows first: `findings.measure`.",
    )
    layers: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1), *UNIQUE] | None = Field(
        None,
        description="Layers with a heatmap of their rounds, by patterns of their recorded names. null means "
        "all.",
    )
    formats: Annotated[list[Literal["svg", "pdf", "png"]], *UNIQUE] = Field(
        ["svg", "pdf", "png"],
        description="File formats of the figures; [] draws none. `snakemake --report` shows the SVG files.",
    )

    colormap: Literal["viridis", "cividis", "magma", "inferno", "plasma", "Greys"] = Field(
        "viridis",
        description="Colour scheme of the heatmaps, one of those that are uniform and safe for colour-blind "
        "readers.",
    )
    width: Annotated[float, AfterValidator(_offered)] = Field(
        5.5,
        description="Width of the figures in inches: 5.5 (NeurIPS), 3.25 and 6.75 (ICML, one and two "
        "columns).",
        json_schema_extra={"enum": WIDTHS},
    )
    dpi: int = Field(300, ge=50, le=1200, description="Resolution of the PNG figures, in dots per inch.")


# Which values of `pruning` and `control` do not go together, and why. All others do.
# The first key is the one that a message is about; what follows is the message.
REFUSED: tuple[tuple[dict[str, tuple[str, ...]], str], ...] = (
    (
        {"criterion": ("grasp", "snip", "synflow"), "at": ("training",)},
        "scores untrained networks; set pruning.at: initialisation",
    ),
    (
        {"criterion": ("saliency",), "at": ("initialisation",)},
        "scores trained networks; choose snip, the same score of untrained ones",
    ),
    (
        {"criterion": ("wanda",), "at": ("initialisation",)},
        "scores trained networks; set pruning.at: training",
    ),
    (
        {"criterion": ("wanda",), "scope": ("global",)},
        "compares only weights of the same output; set pruning.scope: layer or erk",
    ),
    (
        {"scope": ("erk",), "unit": ("channel",)},
        "distributes single weights; set pruning.scope: global or layer",
    ),
    (
        {"criterion": ("grasp",), "unit": ("channel",)},
        "scores have signs, which the norm of a channel ignores; choose snip or synflow",
    ),
    (
        {"criterion": ("wanda",), "unit": ("channel",)},
        "compares the weights of a channel, not channels; set pruning.unit: weight",
    ),
    (
        {"criterion": ("random",), "unit": ("channel",), "scope": ("global",)},
        "would remove the channels of small layers first; set pruning.scope: layer",
    ),
    (
        {"retraining": ("finetune", "rewind"), "at": ("initialisation",)},
        "there is no earlier training to continue or to go back to; set pruning.retraining: lr-rewind",
    ),
    (
        {"retraining": ("none",), "at": ("initialisation",)},
        "no pruned network would ever be trained; set pruning.retraining: lr-rewind",
    ),
    (
        {"control": ("new-weights", "retrain", "siblings"), "retraining": ("none",)},
        "does nothing without training; choose shuffled-masks, or another pruning.retraining",
    ),
)


def refused(values: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the key and the message of the first combination that is refused; None if there is none.

    Parameters
    ----------
    values : mapping of str to str
        ``control`` and keys of `pruning`.
    """
    for parts, why in REFUSED:
        if all(values[key] in options for key, options in parts.items()):
            return next(iter(parts)), why
    return None


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

    @model_validator(mode="before")
    @classmethod
    def _complete_finetuning(cls, value: Any) -> Any:
        """What `pruning.finetune` does not say of an optimiser or schedule is as in `training`."""
        training, pruning = value.get("training"), value.get("pruning")
        finetune = pruning.get("finetune") if isinstance(pruning, dict) else None
        if not (isinstance(training, dict) and isinstance(finetune, dict)):
            return value
        default = {"schedule": Training.model_fields["schedule"].default.plain()}
        inherited = {key: part for key, part in (default | training).items() if finetune.get(key)}
        return value | {"pruning": pruning | {"finetune": merge(inherited, finetune)}}

    @model_validator(mode="after")
    def _check_network(self):
        for key, needed in (("classes", True), ("weights", False)):
            value = getattr(self.network, key)
            if value is not None and (self.models is not None) != needed:
                advice = "is only for experiments with models; remove it"
                if not needed:
                    advice = "is not used with models; give each entry of models its own"
                raise problem(advice, f"network.{key}", value=value)
        return self

    @model_validator(mode="after")
    def _check_rounds(self):
        pruning, training = self.pruning, self.training
        values = pruning.plain() | {"control": self.control}
        if combination := refused(values):
            key, why = combination
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
        return self

    @model_validator(mode="after")
    def _check_measures(self):
        measures = self.similarity.measures
        if self.findings.measure not in (None, *measures):
            advice = f"must be one of similarity.measures: {', '.join(measures)}"
            raise problem(advice, "findings.measure", value=self.findings.measure)
        if not set(self.figures.measures or ()) <= set(measures):
            advice = f"must be some of similarity.measures: {', '.join(measures)}"
            raise problem(advice, "figures.measures", value=self.figures.measures)
        return self

    @model_validator(mode="after")
    def _check_finetuning(self):
        if finetune := self.pruning.finetune.schedule:
            epochs = self.pruning.finetune.epochs or self.training.epochs
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
