"""Digests cover the files that a script can import, and the kinds that an experiment names."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from projects import copy_from_repository
from prunescope import closure, digests, kinds, records

LIBRARY = closure.LIBRARY
SCRIPTS = LIBRARY.parent
TRAINING_KINDS = (("network", "lenet5"), ("optimizer", "sgd"), ("schedule", "linear"))
COMPARISON_KINDS = (("measure", "cca"), ("measure", "svcca"))
# The kinds that the scripts are given in these tests.
NAMED = {
    "prepare_dataset": (("source", "sklearn:digits"),),
    "train_dense": TRAINING_KINDS,
    "prune_round": (*TRAINING_KINDS, ("control", "none"), ("criterion", "magnitude")),
    "import_model": (("network", "lenet5"),),
    "extract_activations": (("network", "lenet5"), ("view", "channels")),
    "extract_untrained": (("network", "lenet5"), ("view", "channels")),
    "compare_weights": (("network", "lenet5"),),
    "measure_barriers": (("network", "lenet5"),),
    "compare": COMPARISON_KINDS,
}
TRAINING = {"train_dense", "prune_round"}
COMPARISON = {"compare"}
EXTRACTION = {"extract_activations", "extract_untrained"}
NETWORKS = TRAINING | EXTRACTION | {"import_model", "compare_weights", "measure_barriers"}
EVERY = {path.stem for path in SCRIPTS.glob("*.py")}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Copy the scripts, and compute digests from the copy."""
    copy_from_repository("workflow/scripts", tmp_path / "scripts")
    monkeypatch.setattr(closure, "LIBRARY", tmp_path / "scripts/prunescope")
    return tmp_path / "scripts"


def all_digests(scripts: Path) -> dict[str, str]:
    return {path.stem: digests.code(path, NAMED.get(path.stem, ())) for path in scripts.glob("*.py")}


ORIGINAL = all_digests(SCRIPTS)


def changed(scripts: Path) -> set[str]:
    after = all_digests(scripts)
    return {name for name in ORIGINAL if ORIGINAL[name] != after[name]}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1))


def test_where_the_checkout_is_does_not_count(copy):
    assert changed(copy) == set()


def test_comments_docstrings_and_formatting_do_not_count(copy):
    for path in copy.rglob("*.py"):
        text = path.read_text().replace('"""', '"""Altered. ', 1)
        path.write_text("# a comment\n" + ast.unparse(ast.parse(text)) + "\n\n# the end\n")
    assert changed(copy) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "scripts"),
    [
        # What an experiment names, and what it does not name.
        ("networks/lenet.py", "nn.Conv2d(channels, 6, 5)", "nn.Conv2d(channels, 7, 5)", NETWORKS),
        ("networks/resnet.py", "Scale(0.125)", "Scale(0.25)", set()),
        ("networks/timm.py", "return timm.create_model", "return timm.create", set()),
        ("networks/layers.py", "network.add_module", "network.register_module", NETWORKS),
        ("pruning/imp.py", "settings.density", "None", {"prune_round"}),
        ("pruning/controls.py", "torch.randperm", "torch.arange", set()),
        ("pruning/criteria.py", "abs()", "square()", {"prune_round"}),
        ("training/optimizers.py", "dampening=0.0", "dampening=0.1", TRAINING),
        ("training/schedules.py", "(high - low)", "(low - high)", TRAINING),
        ("similarity/measures/correlations.py", "pair.truncated.mean()", "pair.truncated.max()", COMPARISON),
        ("similarity/measures/alignment.py", "np.square", "np.abs", set()),
        ("data/sources/sklearn.py", "% 5 == 0", "% 5 == 1", {"prepare_dataset"}),
        ("data/sources/torchvision.py", "SILENCE = 60", "SILENCE = 61", set()),
        ("activations/views/maps.py", "output.mean(", "output.amax(", EXTRACTION),
        # What a criterion or a control imports.
        ("pruning/selection.py", "ranked.kthvalue(count)", "ranked.kthvalue(count + 1)", {"prune_round"}),
        # What only plans and people need.
        ("plan/sizes.py", "max(network[key]", "min(network[key]", set()),
        ("networks/table.py", "LeNet for 8×8 images", "A LeNet", set()),
        ("__init__.py", "__version__ = ", "__version__ = '1' + ", set()),
        # Imported within a function.
        ("similarity/moments_gpu.py", "total.addmm_", "total.add_", COMPARISON),
        ("report/paper.py", "POINTS, TEXT = 7, 12", "POINTS, TEXT = 8, 12", {"draw_figures"}),
        ("files.py", "os.fsync(handle)", "os.fdatasync(handle)", EVERY),
    ],
)
def test_an_edit_counts_for_the_scripts_that_can_import_the_file(copy, file, old, new, scripts):
    edit(copy / "prunescope" / file, old, new)
    assert changed(copy) == scripts


def test_what_was_found_in_sources_is_kept_for_the_next_plan(tmp_path, monkeypatch):
    def digest() -> str:
        closure._parse.cache_clear()
        closure._sources.cache_clear()
        return digests.code(SCRIPTS / "assemble_matrix.py")

    monkeypatch.chdir(tmp_path)
    records.FOLDER.mkdir(parents=True)
    expected = digest()
    (kept,) = records.FOLDER.glob("sources-*.json")
    with monkeypatch.context() as patch:
        patch.setattr(closure, "_read", lambda *_: pytest.fail("it is kept"))
        assert digest() == expected
    kept.write_text(kept.read_text().replace("1", "2", 1))
    assert digest() == expected == ORIGINAL["assemble_matrix"]


def test_a_changed_script_counts_for_itself_only(copy):
    edit(copy / "assemble_matrix.py", 'drop_columns("spectrum")', 'drop_columns("n")')
    assert changed(copy) == {"assemble_matrix"}


def test_a_new_file_changes_no_digest(copy):
    (copy / "prunescope/pruning/new.py").write_text("def new(weights):\n    return weights\n")
    assert changed(copy) == set()


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"label": "CCA", "reference": "A book.", "url": "https://example.org", "summary": "Mean."}, False),
        ({"settings": {"x": {"description": "A number."}}}, False),
        ({"facts": {"unchanged_by": "nothing", "rows_per_unit": 21}}, True),
        ({"functions": {"chance": "similarity.chance:nuclear"}}, True),
        ({"definition": "similarity.measures.correlations:svcca"}, True),
    ],
)
def test_of_an_entry_of_a_table_counts_what_jobs_use(monkeypatch, change, counts):
    table = dict(kinds.known("measure"))
    table["cca"] = replace(table["cca"], **change)
    monkeypatch.setattr(
        kinds, "known", {**{name: kinds.known(name) for name in kinds.FAMILIES}, "measure": table}.get
    )
    assert changed(SCRIPTS) == (COMPARISON if counts else set())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("def f():\n    return None", 'def f():\n    return ""'),
        ("def f(x):\n    raise KeyError(x['a'])", "def f(x):\n    raise KeyError(x['b'])"),
        ("import a.b as f", "import a.c as f"),
        ("from a import f", "from b import f"),
        ("def g(): return 1\nf = g()", "def g(): return 2\nf = g()"),
        ("if 1 < 2:\n    f = 1\nelse:\n    f = 2", "if 1 > 2:\n    f = 1\nelse:\n    f = 2"),
        ("def f(x=(1, 2)):\n    return x", "def f(x=(2, 1)):\n    return x"),
        ("class A:\n    x: int = 1\nf = A", "class A:\n    x: int = 2\nf = A"),
        ("f = '''text'''", "f = '''other text'''"),
    ],
)
def test_code_that_differs_has_another_digest(tmp_path, monkeypatch, first, second):
    """A script uses two versions of `f` from a module."""
    found = set()
    for number, text in enumerate((first, second)):
        folder = tmp_path / str(number) / "prunescope"
        folder.mkdir(parents=True)
        (folder / "m.py").write_text(text + "\n")
        script = folder.parent / "script.py"
        script.write_text("def main():\n    from prunescope.m import f\n")
        monkeypatch.setattr(closure, "LIBRARY", folder)
        found.add(digests.code(script))
    assert len(found) == 2


@pytest.mark.parametrize(
    "line",
    [
        "from prunescope.room.m import f",
        "from prunescope.room import m",
        "import prunescope.room.m",
        "import prunescope.room.m as n",
        "if True:\n    from prunescope.room import (\n        m as n,\n    )",
    ],
)
def test_every_form_of_an_import_is_followed(tmp_path, monkeypatch, line):
    folder = tmp_path / "prunescope"
    (folder / "room").mkdir(parents=True)
    monkeypatch.setattr(closure, "LIBRARY", folder)
    for file in ("room/__init__.py", "room/m.py", "room/other.py"):
        (folder / file).write_text("f = 1\n")
    (tmp_path / "script.py").write_text(line + "\n")
    found = {str(path.relative_to(tmp_path)) for path in digests.files(tmp_path / "script.py")}
    assert found == {"script.py", "prunescope/room/__init__.py", "prunescope/room/m.py"}
