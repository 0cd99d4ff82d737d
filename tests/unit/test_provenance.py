"""Independent seeds; the environment that changes bits; files that record their identity."""

import re
from pathlib import Path

import pandas as pd
import pytest

from prunescope import files, provenance
from prunescope.errors import InputError

RULES = Path(__file__).parents[2] / "workflow/rules"


def test_seeds_are_stable_and_separate():
    assert provenance.derive_seed(0, "order", 1) == provenance.derive_seed(0, "order", 1)
    seeds = {
        provenance.derive_seed(s, p, r)
        for s in range(20)
        for p in ("order", "augmentation")
        for r in range(20)
    }
    assert len(seeds) == 800 and all(0 <= seed < 2**63 for seed in seeds)


def test_environment_names_what_changes_bits():
    found = provenance.environment()
    assert found["packages"]["torch"] and found["packages"]["numpy"] and found["python"]


MARK = {"experiment": "tiny", "seed": 0, "round": 1, "recipe": "ab12"}


@pytest.fixture(params=["t.json", "t.parquet"])
def written(request, tmp_path):
    """A file of a job, and the function that reads it."""
    path = tmp_path / request.param
    with provenance.declared({str(path): MARK}, {}):
        if path.suffix == ".json":
            files.write_json(path, {"accuracy": 0.9})
            return path, files.read_json
        files.write_parquet(path, pd.DataFrame({"accuracy": [0.9]}))
        return path, files.read_parquet


@pytest.mark.parametrize(
    ("expected", "line"),
    [
        (
            {"seed": 1},
            "this file belongs to experiment tiny, seed 0, round 1; expected .* tiny, seed 1, round 1",
        ),
        (
            {"experiment": "other", "recipe": "cd"},
            "this file belongs to .*; expected experiment other, seed 0, round 1",
        ),
        (
            {"recipe": "cd34"},
            r"made with settings, code or data that have changed since \(recipe ab12, expected cd34\)",
        ),
    ],
)
def test_a_job_refuses_what_is_not_its_input(written, expected, line):
    path, read = written
    with provenance.declared({}, {str(path): MARK}):
        read(path)
    with (
        provenance.declared({}, {str(path): MARK | expected}),
        pytest.raises(InputError, match=rf"^[^\n]*{path.name}: {line}[^\n]*; delete the file and run again$"),
    ):
        read(path)
    read(path)  # outside a job nothing is expected


def test_every_rule_declares_what_it_makes_and_reads():
    text = "".join(path.read_text() for path in sorted(RULES.glob("*.smk")))
    names = re.findall(r"^rule (\w+):", text, re.MULTILINE)
    assert re.findall(r'provenance=provenance\("(\w+)"\)', text) == names
