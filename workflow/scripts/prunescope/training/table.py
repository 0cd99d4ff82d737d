"""Tables of optimisers and learning-rate schedules, and the models of their settings."""

from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from prunescope.kinds import Kind
from prunescope.settings.base import problem
from prunescope.settings.training import Optimizer, Schedule

Decay = Annotated[float, Field(ge=0, lt=1)]
Coordinate = Annotated[float, Field(ge=0)]


class Adam(Optimizer):
    betas: list[Decay] = Field(
        [0.9, 0.999], min_length=2, max_length=2, description="Decay rates of the two moment estimates."
    )
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty.")


class AdamW(Adam):
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay.")


class SGD(Optimizer):
    momentum: Decay = Field(0.0, description="Momentum.")
    nesterov: bool = Field(False, description="Nesterov momentum.")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty.")


OPTIMIZERS = {
    "adam": Kind(
        "training.optimizers:Adam",
        "Adam",
        reference="D. Kingma, J. Ba: Adam. ICLR 2015.",
        settings=Adam,
    ),
    "adamw": Kind(
        "training.optimizers:AdamW",
        "Adam with decoupled weight decay",
        reference="I. Loshchilov, F. Hutter: Decoupled Weight Decay Regularization. ICLR 2019.",
        settings=AdamW,
    ),
    "sgd": Kind("training.optimizers:SGD", "Stochastic gradient descent", settings=SGD),
}


def _increasing(values: list) -> list:
    """Check epochs, or points that start with an epoch."""
    epochs = [value[0] if isinstance(value, list) else value for value in values]
    if any(after <= before for before, after in pairwise(epochs)):
        raise problem("epochs must increase", value=values)
    return values


class Cosine(Schedule):
    final: float = Field(0.0, ge=0, le=1, description="Factor at the end.")


class Linear(Schedule):
    points: Annotated[
        list[Annotated[list[Coordinate], Field(min_length=2, max_length=2)]], AfterValidator(_increasing)
    ] = Field(
        min_length=2,
        description="Pairs of epoch and factor, joined by lines, e.g. [[0, 0], [5, 1], [24, 0]].",
    )

    def misfit(self, epochs):
        last = self.points[-1][0]
        return ("points", last) if last > epochs else None


class Steps(Schedule):
    milestones: Annotated[list[Annotated[float, Field(gt=0)]], AfterValidator(_increasing)] = Field(
        min_length=1, description="Epochs after which the factor is multiplied by `gamma`."
    )
    gamma: float = Field(0.1, gt=0, lt=1, description="Multiplier at each milestone.")

    def misfit(self, epochs):
        last = self.milestones[-1]
        return ("milestones", last) if last >= epochs else None


SCHEDULES = {
    "constant": Kind("training.schedules:constant", "The base learning rate throughout", settings=Schedule),
    "cosine": Kind(
        "training.schedules:cosine",
        "Half a cosine from 1 to `final`, without restarts",
        reference="I. Loshchilov, F. Hutter: SGDR. ICLR 2017.",
        settings=Cosine,
    ),
    "linear": Kind(
        "training.schedules:linear", "Straight lines between points, constant outside", settings=Linear
    ),
    "steps": Kind("training.schedules:steps", "Multiplied by `gamma` at each milestone", settings=Steps),
}
