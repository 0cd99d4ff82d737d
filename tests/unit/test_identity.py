"""Receipts: what a job read and wrote, and who believes it."""

import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from prunescope import identity, records
from prunescope.errors import InputError
from prunescope.plan import history

RULES = Path(__file__).parents[2] / "workflow/rules"
JOB = {
    "rule": "train",
    "wildcards": {"experiment": "tiny", "seed": "0"},
    "settings": {"training": {"lr": 0.1, "epochs": 2}, "code": "ab12"},
    "environment": {"packages": {"torch": "2.0", "numpy": "1.0"}},
    "inputs": [],
}


@pytest.fixture
def receipt(tmp_path):
    """The receipt of a job that wrote a file and a folder."""
    folder = tmp_path / "tiny/seed0"
    (folder / "figures").mkdir(parents=True)
    (folder / "network.bin").write_bytes(bytes(1000))
    (folder / "figures/a.svg").write_text("a")
    identity.write(folder / "receipts/train.json", [folder / "network.bin", folder / "figures"], JOB)
    return folder / "receipts/train.json"


@pytest.mark.parametrize("damage", ["network.bin", "figures/a.svg", "figures/b.svg"])
def test_a_job_refuses_an_input_that_is_not_what_its_job_wrote(receipt, damage):
    folder = receipt.parents[1]
    inputs = [folder / "network.bin", folder / "figures"]
    found = identity.verified(inputs, [receipt])
    assert [one["path"] for one in found] == list(map(str, inputs)) and len(
        {one["sha256"] for one in found}
    ) == 2
    (folder / damage).write_bytes(bytes(999) + b"\1")
    with pytest.raises(
        InputError, match=r"^[^\n]*: damaged or another file: [^\n]*; delete it and run again$"
    ):
        identity.verified(inputs, [receipt])
    named = folder / Path(damage).parts[0]
    with pytest.raises(InputError, match="damaged or another file"):
        identity.check(named)


def test_a_job_refuses_an_input_without_a_receipt(receipt):
    other = receipt.parents[1] / "other.bin"
    other.touch()
    with pytest.raises(InputError, match=r"other.bin: has no receipt of the job that wrote it; delete it"):
        identity.verified([other], [receipt])
    receipt.write_text("{")
    with pytest.raises(InputError, match=r"network.bin: has no receipt"):
        identity.verified([receipt.parents[1] / "network.bin"], [receipt])
    identity.check(other)  # outside a job, files without a receipt are accepted


@pytest.mark.parametrize("copy", ["tiny/seed1", "tiny/seed00", "other/seed0"])
def test_a_job_refuses_a_copy_of_another_networks_folder(receipt, copy):
    other = receipt.parents[3] / copy
    shutil.copytree(receipt.parents[1], other)
    with pytest.raises(InputError, match=r"network.bin: has no receipt of the job that wrote it; delete it"):
        identity.verified([other / "network.bin"], [other / "receipts/train.json"])
    identity.check(other / "network.bin")  # outside a job, results may be kept under another name


def difference(**changes) -> str:
    now = {"wildcards": JOB["wildcards"], "settings": JOB["settings"], "versions": {}} | changes
    return history.difference({**JOB, "outputs": {}}, **now)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"wildcards": {"experiment": "other", "seed": "0"}}, "it belongs to experiment tiny, seed 0"),
        (
            {"settings": {"training": {"lr": 0.2, "epochs": 2}, "code": "ab12"}},
            "training.lr was 0.1, is 0.2",
        ),
        (
            {"settings": {"training": {"lr": 0.2}, "code": "cd34"}},
            "training.lr was 0.1, is 0.2; training.epochs was 2, is null",
        ),
        ({"settings": {**JOB["settings"], "code": "cd34"}}, "its code has changed"),
        ({"versions": {"torch": "2.0"}}, ""),
        ({"versions": {"torch": "2.1"}}, 'torch was "2.0", is "2.1"'),
        ({"settings": {**JOB["settings"], "spectrum": False}}, "spectrum was null, is false"),
    ],
)
def test_how_a_receipt_differs_from_what_would_be_made_now(changes, words):
    assert difference(**changes) == words


def test_a_receipt_with_a_part_missing_is_none(receipt):
    whole = identity.read(receipt)
    assert history.difference(whole, JOB["wildcards"], JOB["settings"], {}) == ""
    for key in whole:
        rest = {name: value for name, value in whole.items() if name != key}
        receipt.write_text(json.dumps(rest))
        assert identity.read(receipt) is None, key
    assert history.difference(None, {}, {}, {}) == "its receipt is missing or damaged"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("outputs", None),
        ("outputs", ["network.bin"]),
        ("outputs", {"network.bin": 1}),
        ("wildcards", ["tiny"]),
        ("settings", []),
        ("environment", None),
        ("environment", {"packages": []}),
        ("inputs", 3),
        ("inputs", ["a"]),
        ("inputs", [None]),
        ("inputs", [{"path": "a"}]),
        ("accepted_code", 5),
        ("accepted_code", [5]),
    ],
)
def test_a_receipt_of_another_form_is_none(receipt, key, value):
    whole = identity.read(receipt)
    receipt.write_text(json.dumps(whole | {key: value}))
    assert (
        identity.read(receipt) is None and identity.receipt_beside(receipt.parents[1] / "network.bin") is None
    )
    receipt.write_text("[" * 100_000)
    assert identity.read(receipt) is None


def test_a_receipt_takes_the_place_of_those_of_other_rules_for_the_same_files(receipt):
    other = receipt.with_name("imported.json")
    identity.write(other, [receipt.parents[1] / "network.bin"], JOB)
    assert not receipt.exists() and identity.receipt_beside(receipt.parents[1] / "network.bin") == other


def test_of_a_users_file_only_the_code_counts():
    params = {"lr": 0.1, "user_code": {"mine.py": ["sha of the bytes", "digest of the code"]}}
    assert identity.settings(params) == {"lr": 0.1, "user_code": {"mine.py": "digest of the code"}}
    assert identity.settings({"lr": 0.1}) == {"lr": 0.1}


def test_the_settings_of_a_stage_are_recorded_one_by_one():
    assert identity.settings({"settings": {"lr": 0.1}, "code": "1"}) == {"lr": 0.1, "code": "1"}


def test_hashes_are_kept_and_computed_again_when_a_file_may_have_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records.FOLDER.mkdir(parents=True)
    path, kept = tmp_path / "network.bin", records.FOLDER / "hashes.json"
    path.write_bytes(bytes(10))
    hashes = history.Hashes()
    first = hashes.of(str(path))
    assert first == identity.content(path) and hashes.of(str(tmp_path / "missing")) is None
    hashes.save()
    content = identity.content
    monkeypatch.setattr(identity, "content", lambda _: pytest.fail("computed again"))
    assert history.Hashes().of(str(path)) == first
    monkeypatch.setattr(identity, "content", content)
    # A restored modification time does not hide a change.
    times = path.stat()
    path.write_bytes(bytes(9) + b"\1")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert history.Hashes().of(str(path)) == identity.content(path) != first
    kept.write_text("damaged")
    assert history.Hashes().of(str(path)) == identity.content(path)


def test_a_receipt_is_json_with_the_names_of_its_outputs(receipt):
    found = json.loads(receipt.read_text())
    assert set(found["outputs"]) == {"network.bin", "figures"} and found["settings"] == JOB["settings"]
    assert identity.receipt_beside(receipt.parents[1] / "figures") == receipt


def test_every_rule_leaves_a_receipt_and_reads_those_of_its_inputs():
    text = "".join(path.read_text() for path in sorted(RULES.glob("*.smk")))
    names = re.findall(r"^(?:use )?rule (?:\w+ as )?(\w+)", text, re.MULTILINE)
    assert re.findall(r'receipts=receipts\("(\w+)"\)', text) == names
    assert len(re.findall(r'receipt="results/[^"]*receipts/[^"]*\.json"', text)) == len(names)


def test_a_flipped_bit_in_a_receipt_never_ends_in_a_traceback(receipt):
    """It is noticed wherever it matters: a plan then runs the job again."""
    whole, generator = receipt.read_bytes(), np.random.default_rng(0)
    inputs = [receipt.parents[1] / "network.bin"]
    for place, bit in zip(generator.integers(0, len(whole), 300), generator.integers(0, 8, 300), strict=True):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        receipt.write_bytes(damaged)
        found = identity.read(receipt)
        why = history.difference(found, JOB["wildcards"], JOB["settings"], {"torch": "2.0"})
        if not why:
            assert [found["wildcards"], found["settings"]] == [JOB["wildcards"], JOB["settings"]]
        with suppress(InputError):
            identity.verified(inputs, [receipt])
            assert found["outputs"]["network.bin"] == json.loads(whole)["outputs"]["network.bin"]
