"""Every configuration either makes a whole graph of jobs or is refused with one line; never a traceback."""

import copy
import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

from prunescope import kinds
from prunescope.errors import InputError
from prunescope.plan import reference, sizes
from prunescope.settings.load import EXPERIMENTS, Catalogue, load_config, load_experiment

REPOSITORY = Path(__file__).parents[2]
CONFIG = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())
SCHEMA = reference.schema("experiment")
BASE = yaml.safe_load((REPOSITORY / "config/experiments/digits-lenet.yaml").read_text())
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(-2, 2),
    st.sampled_from(["", "cca", "ReLU", "*", "x.y"]),
    st.lists(st.integers(-1, 2), max_size=2),
    st.dictionaries(st.sampled_from(["name", "a"]), st.integers(0, 1), max_size=1),
)


def values(part: dict) -> st.SearchStrategy:
    """Values that a schema allows, and occasionally one that it does not allow."""
    return st.one_of(*[allowed(part)] * 6, JUNK)


def allowed(part: dict) -> st.SearchStrategy:
    if "kind" in part:
        return st.sampled_from([kind.form for kind in kinds.known(part["kind"]).values()])
    if "enum" in part:
        return st.sampled_from(part["enum"])
    if "const" in part:
        return st.just(part["const"])
    if options := part.get("anyOf") or part.get("oneOf"):
        return st.one_of(*map(allowed, options))
    return of_kind(part.get("type", "string"), part)


def of_kind(kind: str, part: dict) -> st.SearchStrategy:
    low, high = (
        part.get("minimum", part.get("exclusiveMinimum", 0)),
        part.get("maximum", part.get("exclusiveMaximum")),
    )
    if kind == "integer":
        return st.integers(low, 4 if high is None else high)
    if kind == "number":
        return st.floats(low, 4 if high is None else high, allow_nan=False)
    if kind == "array":
        return st.lists(values(part["items"]), min_size=part.get("minItems", 0), max_size=3)
    if kind == "object":
        return mappings(part)
    return {"boolean": st.booleans(), "null": st.none()}.get(
        kind,
        st.sampled_from(["digits", "ReLU", "Conv2d", "output", "conv*", "torchvision/resnet18", "nothing"]),
    )


def mappings(part: dict) -> st.SearchStrategy:
    """Mappings with keys from anywhere in a schema, and sometimes with an unknown key."""
    options = {key: values(value) for key, value in part.get("properties", {}).items()}
    options |= {"misspelled": JUNK}
    return st.fixed_dictionaries({}, optional=options)


@pytest.fixture(scope="module")
def tried(create, tmp_path_factory):
    """A project with many random experiments: valid ones, each with some of its parts changed.

    Return the project and two mappings: the accepted experiments by name, and the error lines of the others.
    """
    project = create(tmp_path_factory.mktemp("fuzz") / "project")
    accepted, refused = {}, {}

    @settings(
        max_examples=int(os.environ.get("PRUNESCOPE_FUZZ", "150")),
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(changes=mappings(SCHEMA), keep=st.sets(st.sampled_from(sorted(BASE))))
    def attempt(changes, keep):
        name = f"x{len(accepted) + len(refused)}"
        changed = {**BASE, **{key: value for key, value in changes.items() if key not in keep}}
        (EXPERIMENTS / f"{name}.yaml").write_text(yaml.safe_dump(changed))
        try:
            experiment = load_experiment(name)
            sizes.describe(experiment, f"config/experiments/{name}.yaml", CONFIG["data"])
            for combination in Catalogue().selected(name):
                load_experiment(combination)
            accepted[name] = experiment
        except InputError as error:
            refused[name] = str(error)
        target(float(name in accepted))

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        attempt()
    return project, accepted, refused


def test_refused_with_one_line_that_names_the_file(tried):
    _, accepted, refused = tried
    assert len(accepted) > 20 and len(refused) > 20
    for name, line in refused.items():
        assert line.startswith(f"config/experiments/{name}.yaml: ") and len(line.splitlines()) == 1


def test_the_accepted_ones_make_whole_graphs(tried):
    project, accepted, _ = tried
    jobs = project.jobs("--config", f"experiments=[{','.join(accepted)}]")
    for name, experiment in accepted.items():
        rows = len(experiment["seeds"]) * (experiment["rounds"] + 1)
        assert sum(job.startswith(f"compare_round {name} ") for job in jobs) == rows
        assert f"write_report {name}" in jobs


def test_the_command_line_refuses_with_the_same_line(tried):
    """Only a few, with different errors, because each one starts Snakemake."""
    project, _, refused = tried
    for name in list({line.split(": ")[-1]: name for name, line in refused.items()}.values())[:5]:
        done = project.snakemake("--dry-run", "--config", f"experiments=[{name}]", check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("prunescope:")]
        assert lines == [f"prunescope: {refused[name]}"]
        assert done.returncode != 0 and "Traceback" not in done.stdout


@settings(max_examples=int(os.environ.get("PRUNESCOPE_FUZZ", "150")), deadline=None, derandomize=True)
@given(
    st.dictionaries(
        st.sampled_from([(key,) for key in CONFIG] + [("data", key) for key in CONFIG["data"]] + [("typo",)]),
        JUNK | st.sampled_from([["tiny"], ["digits-lenet"], {"digits": "sklearn:digits"}, "nowhere"]),
        max_size=3,
    )
)
def test_the_top_level_configuration_is_accepted_or_refused_with_one_line(tried, changes):
    project, _, _ = tried
    config = copy.deepcopy(CONFIG)
    for path, value in sorted(changes.items(), key=lambda item: len(item[0]), reverse=True):
        (config["data"] if len(path) == 2 else config)[path[-1]] = value
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        try:
            checked = load_config(config, CONFIG, (EXPERIMENTS,))
            for name in checked["experiments"]:
                sizes.describe(
                    load_experiment(name, checked["catalogue"]),
                    f"config/experiments/{name}.yaml",
                    checked["data"],
                )
        except InputError as error:
            assert re.match(r"config/(config|experiments/\S+)\.yaml: ", str(error))
            assert len(str(error).splitlines()) == 1
