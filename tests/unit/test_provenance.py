"""Seeds that do not shift each other, digests that follow meaning."""

import shutil
from pathlib import Path

import pytest

from prunescope import provenance

SCRIPTS = provenance.LIBRARY.parent


def test_seeds_are_stable_and_separate():
    assert provenance.derive_seed(0, "order", 1) == provenance.derive_seed(0, "order", 1)
    seeds = {
        provenance.derive_seed(s, p, r)
        for s in range(20)
        for p in ("order", "augmentation")
        for r in range(20)
    }
    assert len(seeds) == 800 and all(0 <= seed < 2**63 for seed in seeds)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Copy the scripts, with the digests looking at the copy."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    monkeypatch.setattr(provenance, "LIBRARY", tmp_path / "scripts/prunescope")
    return tmp_path / "scripts"


def digests(scripts: Path) -> dict[str, str]:
    return {path.stem: provenance.code_digest(path) for path in scripts.glob("*.py")}


ORIGINAL = digests(SCRIPTS)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_place_of_the_checkout_does_not_count(copy):
    assert digests(copy) == ORIGINAL


def test_comments_docstrings_and_formatting_do_not_count(copy):
    before = digests(copy)
    for path in copy.rglob("*.py"):
        text = path.read_text()
        path.write_text("# a comment\n" + text.replace('"""', '"""Altered. ', 1) + "\n\n# the end\n")
    assert digests(copy) == before


@pytest.mark.parametrize(
    ("module", "scripts"),
    [
        ("sources", {"prepare_dataset"}),
        ("figures", {"draw_figures"}),
        ("similarity", {"compare_round", "compare_seeds"}),
        ("pruning", {"prune_round"}),
        ("masks", {"train_dense", "prune_round"}),
        ("training", {"train_dense", "prune_round"}),
        ("activations", {"extract_activations"}),
    ],
)
def test_an_edit_counts_for_the_scripts_that_import_it(copy, module, scripts):
    before = digests(copy)
    path = copy / f"prunescope/{module}.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    after = digests(copy)
    assert {name for name in before if before[name] != after[name]} == scripts


def test_a_changed_script_counts_for_itself_only(copy):
    before = digests(copy)
    edit(copy / "assemble_matrix.py", "%d rows", "%d lines")
    after = digests(copy)
    assert {name for name in before if before[name] != after[name]} == {"assemble_matrix"}


def test_environment_names_what_changes_bits():
    found = provenance.environment()
    assert found["packages"]["torch"] and found["packages"]["numpy"] and found["python"]
