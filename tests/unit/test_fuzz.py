"""Every configuration is either accepted or refused with one line; never a traceback."""

import copy
import os
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings, target
from hypothesis import strategies as st

from prunescope import settings as configuration
from prunescope.errors import InputError

REPOSITORY = Path(__file__).parents[2]
DATA = yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())["data"]
SCHEMA = configuration.schema("experiment")
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
    """Values a schema allows, now and then one that it does not."""
    return st.one_of(*[allowed(part)] * 6, JUNK)


def allowed(part: dict) -> st.SearchStrategy:
    part = configuration.deref(part, SCHEMA)
    if "enum" in part:
        return st.sampled_from(part["enum"])
    if "const" in part:
        return st.just(part["const"])
    if "anyOf" in part:
        return st.one_of(*map(allowed, part["anyOf"]))
    kinds = part.get("type", "string")
    return st.one_of(*[of_kind(kind, part) for kind in ([kinds] if isinstance(kinds, str) else kinds)])


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
    """Mappings with any of the keys a schema knows anywhere, and now and then one that it does not."""
    properties = {key: value for key, value in part.get("properties", {}).items() if value is not True}
    for condition in part.get("allOf", []):
        properties |= {
            key: value for key, value in condition["then"]["properties"].items() if value is not True
        }
    options = {key: values(value) for key, value in properties.items()} | {"misspelled": JUNK}
    return st.fixed_dictionaries({}, optional=options)


@settings(
    max_examples=int(os.environ.get("PRUNESCOPE_FUZZ", "150")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(changes=mappings(SCHEMA), keep=st.sets(st.sampled_from(sorted(BASE))))
def test_accepted_or_refused_with_one_line(changes, keep, tmp_path_factory):
    """Start from a good experiment and change some of its parts."""
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    (folder / configuration.EXPERIMENTS).mkdir(parents=True, exist_ok=True)
    experiment = copy.deepcopy({**BASE, **{key: value for key, value in changes.items() if key not in keep}})
    (folder / configuration.EXPERIMENTS / "x.yaml").write_text(yaml.safe_dump(experiment))
    here = Path.cwd()
    os.chdir(folder)
    try:
        loaded = configuration.load_experiment("x")
        configuration.describe(loaded, "x", DATA)
        for round in range(1, loaded["rounds"] + 1):
            configuration.prune_params(loaded, round)
        accepted = True
    except InputError as error:
        assert "\n" not in str(error) and str(error).startswith("config/experiments/x.yaml")
        accepted = False
    finally:
        os.chdir(here)
    target(float(accepted))
