"""Keys of `findings` and `figures`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from prunescope.settings.base import UNIQUE, Settings, named, problem

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
