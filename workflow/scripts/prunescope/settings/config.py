"""Keys of config/config.yaml."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from prunescope.settings.base import UNIQUE, Settings, absent, either, named, problem, spelled


def repeats(name: str) -> str:
    """Return why Snakemake takes a name for an endless recursion; empty if it does not."""
    lengths = range(1, len(name) // 20 + 1)
    end = next((name[-length:] for length in lengths if name.endswith(20 * name[-length:])), "")
    return f"ends in {end!r} 20 times, which Snakemake refuses; choose another name" if end else ""


def _check_repeats(name: str) -> str:
    if text := repeats(name):
        raise problem(text, value=name)
    return name


Name = Annotated[
    spelled(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", "letters, digits, _ . or -"), AfterValidator(_check_repeats)
]
Selected = Annotated[
    spelled(r"^[A-Za-z0-9][A-Za-z0-9_.=-]*$", "letters, digits, _ . = or -"), AfterValidator(_check_repeats)
]


class Source(Settings):
    """A source of images, and how they are resized and split."""

    source: named("source") = Field(description="Where the images come from.")
    resize: int = absent(
        ge=1,
        description="Side in pixels that images are resized to: the shorter side is scaled, the longer one "
        "is cut at both ends.",
    )
    test_fraction: float = absent(
        gt=0,
        lt=1,
        description="Fraction of the images that become test images, drawn once and stratified by class; "
        "for sources that do not split their images.",
    )


class Data(Settings):
    """Sources of images."""

    root: str = Field(
        "data",
        description="Folder in which torchvision looks for its files and stores them; relative paths of "
        "`imagefolder` and `numpy` start here.",
    )
    download: bool = Field(
        True, description="Whether missing data sets may be downloaded. With `false` nothing is downloaded."
    )
    datasets: dict[Name, either("a string; a mapping", str=named("source"), dict=Source)] = Field(
        {},
        description="Source of each data set that an experiment can name, in addition to those of the "
        "shipped config.yaml; or a mapping of the source and how its images are resized and split. See "
        "docs/data.md.",
    )


class Config(Settings):
    """The top-level configuration."""

    experiments: either(
        "a list; a mapping",
        list=Annotated[list[Selected], Field(min_length=1), *UNIQUE],
        dict=Annotated[dict[Name, dict[str, Any]], Field(min_length=1)],
    ) = Field(
        description="Experiments to build: names of files in config/experiments without .yaml, or a mapping "
        "of names to the experiments themselves. An experiment with a `grid` stands for all its "
        "combinations."
    )
    data: Data = Field(Data(), description="Sources of images.")
    code_folder: str = Field(
        ".",
        min_length=1,
        description="Folder of your own code: paths of `file:` start here, and only files below it are run. "
        "Relative to the folder in which Snakemake runs.",
    )
    gpu_share: int = Field(
        1,
        ge=1,
        description="How many jobs may use one GPU of a host at the same time; raise `--resources gpu=` "
        "with it.",
    )
    environment: Literal["warn", "rerun"] = Field(
        "warn",
        description="What happens when the version of torch, NumPy or another package that can change the "
        "results has changed: `warn` reports it before any job and reruns nothing; `rerun` recomputes what "
        "was made with another version.",
    )
