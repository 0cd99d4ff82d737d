"""Keys of `similarity`."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from prunescope import kinds
from prunescope.settings.base import UNIQUE, Settings, either, named, problem


class Similarity(Settings):
    """How representations are compared."""

    measures: Annotated[list[named("measure")], *UNIQUE] = Field(
        ["cca", "cca_cv", "cka_debiased", "svcca"],
        min_length=1,
        description="Similarity measures, see docs/similarity.md. Their order has no effect.",
    )
    variance: float = Field(
        0.99, gt=0, le=1, description="Fraction of the variance that SVCCA's principal components keep."
    )
    pairs: Literal["same-layer", "all-layers"] = Field(
        "same-layer", description="Compare each layer with itself in other rounds, or with all layers."
    )
    intervals: bool = Field(
        False,
        description="Also give 95 % intervals (`low`, `high`) for the expected value on as many other "
        "images, for the measures whose intervals are right in simulations.",
    )
    across_seeds: either("true; false; dense", bool=bool, str=Literal["dense"]) = Field(
        False,
        description="Also compare the same round of different seeds; `dense` compares only round 0, which is "
        "enough for other seeds as a baseline.",
    )
    untrained: bool = Field(
        False,
        description="Also compare each layer of untrained networks: the initial weights of different seeds, "
        "on the same images. With a single seed s, seed s + 1 is used as well.",
    )
    spectrum: bool = Field(
        False, description="Also write the canonical correlations themselves, to spectrum.parquet."
    )
    gpu: bool = Field(
        False,
        description="Sum products on a GPU when one is granted, for many rows of wide layers; the values "
        "differ from the processor's by rounding (1e-6 at most).",
    )
    threads: int = Field(
        1,
        ge=1,
        description="Processor threads of a comparison job. Their number does not change the result.",
    )

    @model_validator(mode="after")
    def _check(self):
        measures = [kinds.find("measure", name) for name in self.measures]
        if self.spectrum and not any(measure.facts.get("spectrum") for measure in measures):
            able = [kind.name for kind in kinds.known("measure").values() if kind.facts.get("spectrum")]
            raise problem(f"needs {' or '.join(able)} among similarity.measures", "spectrum", value=True)
        names = [measure.name for measure in measures]
        for name in names:
            if names.count(name) > 1:
                raise problem(f"two measures are named {name}; rename your function", "measures")
        return self
