"""Digests cover the code that a script can reach: definitions by name, and the named kinds."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from prunescope import digests, kinds, syntax

LIBRARY = digests.LIBRARY
SCRIPTS = LIBRARY.parent
# The kinds that the scripts are given in these tests.
NAMED = {
    "prepare_dataset": (("source", "sklearn:digits"),),
    "train_dense": (("network", "lenet5"), ("optimizer", "sgd"), ("schedule", "linear")),
    "prune_round": (
        ("network", "lenet5"),
        ("optimizer", "sgd"),
        ("schedule", "linear"),
        ("control", "none"),
        ("criterion", "magnitude"),
    ),
    "import_model": (("network", "lenet5"),),
    "extract_activations": (("network", "lenet5"), ("view", "channels")),
    "extract_untrained": (("network", "lenet5"), ("view", "channels")),
    "compare_round": (("measure", "cca"), ("measure", "svcca")),
    "compare_seeds": (("measure", "cca"), ("measure", "svcca")),
    "compare_untrained": (("measure", "cca"), ("measure", "svcca")),
}
TRAINING = {"train_dense", "prune_round"}
IMPORT = {"import_model"}
COMPARISON = {"compare_round", "compare_seeds", "compare_untrained"}
EXTRACTION = {"extract_activations", "extract_untrained"}
NETWORKS = TRAINING | IMPORT | EXTRACTION
REPORTS = {"draw_figures", "write_report", "write_overview"}
EVERY = {path.stem for path in SCRIPTS.glob("*.py")}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Copy the scripts, and compute digests from the copy."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for module in (digests, kinds):
        monkeypatch.setattr(module, "LIBRARY", tmp_path / "scripts/prunescope")
    kinds.known.cache_clear()
    yield tmp_path / "scripts"
    kinds.known.cache_clear()


def all_digests(scripts: Path) -> dict[str, str]:
    kinds.known.cache_clear()
    return {path.stem: digests.code(path, NAMED.get(path.stem, ())) for path in scripts.glob("*.py")}


ORIGINAL = all_digests(SCRIPTS)


def changed(scripts: Path) -> set[str]:
    after = all_digests(scripts)
    return {name for name in ORIGINAL if ORIGINAL[name] != after[name]}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1))


def test_the_place_of_the_checkout_does_not_count(copy):
    assert changed(copy) == set()


def test_comments_docstrings_annotations_and_formatting_do_not_count(copy):
    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node):
            node.returns = None
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                argument.annotation = None
            return self.generic_visit(node)

    for path in copy.rglob("*.py"):
        text = path.read_text().replace('"""', '"""Altered. ', 1)
        path.write_text("# a comment\n" + ast.unparse(Strip().visit(ast.parse(text))) + "\n\n# the end\n")
    assert changed(copy) == set()


class Reword(ast.NodeTransformer):
    """Replace every word in what is raised or logged, all docstrings, and all descriptions of kinds."""

    def __init__(self):
        self.count = 0

    def visit_Raise(self, node):
        if node.exc is not None:
            node.exc = self._words(node.exc)
        return node

    def visit_Call(self, node):
        name = node.func
        if isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name) and name.value.id == "log":
            return self._words(node)
        return self.generic_visit(node)

    def visit_keyword(self, node):
        if node.arg in ("remedy", "meaning"):
            node.value = self._words(node.value)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node):
        for decorator in node.decorator_list:
            for keyword in getattr(decorator, "keywords", []):
                if keyword.arg in ("label", "reference", "unchanged_by"):
                    keyword.value = self._words(keyword.value)
        return self.generic_visit(node)

    visit_ClassDef = visit_FunctionDef

    def _words(self, node):
        keys = {id(part.slice) for part in ast.walk(node) if isinstance(part, ast.Subscript)}
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and id(part) not in keys:
                part.value, self.count = f"other words, {part.value}", self.count + 1
        return node


def test_the_wording_of_errors_log_lines_and_labels_does_not_count(copy):
    reworded = 0
    for path in (copy / "prunescope").rglob("*.py"):
        rewording = Reword()
        tree = rewording.visit(ast.parse(path.read_text()))
        path.write_text(ast.unparse(tree))
        reworded += rewording.count
    assert reworded > 300
    assert changed(copy) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "scripts"),
    [
        # One network, and what several share.
        ("networks/lenet.py", "nn.Conv2d(channels, 6, 5)", "nn.Conv2d(channels, 7, 5)", NETWORKS),
        ("networks/lenet.py", "nn.Linear(64, 32)", "nn.Linear(64, 33)", set()),
        ("networks/layers.py", "network.add_module", "network.register_module", NETWORKS),
        ("networks/layers.py", "xavier_normal_", "xavier_uniform_", set()),
        # Criteria, controls, optimisers, schedules.
        ("pruning/controls/none.py", "settings.density", "None", {"prune_round"}),
        ("pruning/controls/shuffled_masks.py", "torch.randperm", "torch.arange", set()),
        ("pruning/criteria/magnitude.py", "abs()", "square()", {"prune_round"}),
        ("pruning/criteria/saliency.py", "abs()", "square()", set()),
        ("training/optimizers/sgd.py", "dampening=0.0", "dampening=0.1", TRAINING),
        ("training/optimizers/adam.py", "eps=1e-8", "eps=1e-7", set()),
        ("training/schedules/shapes.py", "(high - low)", "(low - high)", TRAINING),
        ("training/schedules/shapes.py", "math.cos", "math.sin", set()),
        # Measures: the value, the chance level, and facts that only describe the measure.
        ("similarity/measures/correlations.py", "pair.truncated.mean()", "pair.truncated.max()", COMPARISON),
        ("similarity/measures/alignment.py", "np.square", "np.abs", set()),
        # Sources and views.
        ("data/sources/sklearn.py", "% 5 == 0", "% 5 == 1", {"prepare_dataset"}),
        ("data/sources/torchvision.py", "SILENCE = 60", "SILENCE = 61", set()),
        ("activations/views/maps.py", "output.mean(", "output.amax(", set()),
        # Functions of a module that a script imports but cannot reach.
        ("pruning/rounds.py", "this.number - 1}", "this.number - 2}", {"prune_round"}),
        ("training/evaluate.py", "/ len(data.train)).backward()", ").backward()", {"prune_round"}),
        ("tables.py", "pd.concat(curves", "pd.concat(2 * curves", {"write_report"}),
        ("config/facts.py", "[:24]", "[:23]", set()),
        # What importing a module runs.
        ("report/drawing.py", '"axes.linewidth": 0.6', '"axes.linewidth": 0.7', {"draw_figures"}),
        # Imports from other packages, constants, facts of a measure.
        ("training/optimizers/sgd.py", "torch.optim.sgd import", "torch.optim.rmsprop import", TRAINING),
        ("similarity/whitening.py", "import numpy as np", "import numpy.ma as np", COMPARISON),
        ("similarity/whitening.py", "ILL = 1e-6", "ILL = 1e-5", COMPARISON),
        ("similarity/measures/correlations.py", "rows_per_unit=20", "rows_per_unit=21", COMPARISON),
        ("similarity/matrix.py", "pa.list_(pa.float64())", "pa.list_(pa.float32())", COMPARISON),
        # Everything uses it.
        ("files.py", "os.fsync(handle)", "os.fdatasync(handle)", EVERY),
        ("errors.py", "size //= 2", "size //= 3", COMPARISON | EXTRACTION),
    ],
)
def test_an_edit_counts_for_the_scripts_that_can_reach_it(copy, file, old, new, scripts):
    edit(copy / "prunescope" / file, old, new)
    assert changed(copy) == scripts


def test_a_new_function_constant_and_kind_change_no_digest(copy):
    for path in (copy / "prunescope").rglob("*.py"):
        path.write_text(path.read_text() + "\n\nADDED = 3\n\n\ndef added():\n    return ADDED\n")
    (copy / "prunescope/pruning/criteria/new.py").write_text(
        "from prunescope.kinds import criterion\n\n\n@criterion()\ndef new(weights):\n    return weights\n"
    )
    assert changed(copy) == set()


def test_a_module_level_statement_counts_for_scripts_that_import_the_module(copy):
    path = copy / "prunescope/similarity/whitening.py"
    path.write_text(path.read_text() + "\n\nnp.seterr(all='raise')\n")
    assert changed(copy) == COMPARISON


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("def f():\n    return None", 'def f():\n    return ""'),
        ("def f(x):\n    return x[1:]", "def f(x):\n    return x[:1]"),
        ("def f(x):\n    raise KeyError(x['a'])", "def f(x):\n    raise KeyError(x['b'])"),
        ("import a.b as f", "import a.c as f"),
        ("from a import f", "from b import f"),
        (
            "import warnings\nf = warnings.simplefilter('error')",
            "import warnings\nf = warnings.simplefilter('ignore')",
        ),
        ("def f(log):\n    return log.get('a')", "def f(log):\n    return log.get('b')"),
        (
            "def f(x):\n    problem = x['a']\n    return problem",
            "def f(x):\n    problem = x['b']\n    return problem",
        ),
        ("def g(): return 1\nf = g()", "def g(): return 2\nf = g()"),
        (
            "def g(x): return x\n@g\ndef h(): return 1\nf = 1",
            "def g(x): return x\n@g\ndef h(): return 2\nf = 1",
        ),
        ("if 1 < 2:\n    f = 1\nelse:\n    f = 2", "if 1 > 2:\n    f = 1\nelse:\n    f = 2"),
        ("def f(x=(1, 2)):\n    return x", "def f(x=(2, 1)):\n    return x"),
        ("f = lambda: 1", "f = lambda: 2"),
        ("class A:\n    x: int = 1\nf = A", "class A:\n    x: int = 2\nf = A"),
    ],
)
def test_code_that_differs_has_another_digest(tmp_path, monkeypatch, first, second):
    """A script uses two versions of `f` from a module."""
    for module in (digests, kinds):
        monkeypatch.setattr(module, "LIBRARY", tmp_path / "prunescope")
    found = set()
    for number, text in enumerate((first, second)):
        folder = tmp_path / str(number) / "prunescope"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "m.py").write_text(text + "\n")
        script = folder.parent / "script.py"
        script.write_text("from prunescope.m import f\n\nprint(f)\n")
        for module in (digests, kinds):
            monkeypatch.setattr(module, "LIBRARY", folder)
        found.add(digests.code(script))
    assert len(found) == 2


def test_a_changed_script_counts_for_itself_only(copy):
    edit(copy / "assemble_matrix.py", 'drop_columns("spectrum")', 'drop_columns("n")')
    assert changed(copy) == {"assemble_matrix"}


def test_every_string_that_ends_in_a_message_is_recognised():
    """A message in a variable of another name would change a digest; code that scripts reach has none."""
    found = []
    reached = {
        path
        for script in SCRIPTS.glob("*.py")
        for path, _ in digests.reach(script, NAMED.get(script.stem, ()))
    }
    for path in reached:
        if not (LIBRARY / path).is_file():
            continue
        for function in ast.walk(ast.parse((LIBRARY / path).read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            raised = {
                name.id
                for node in ast.walk(function)
                if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
                for name in ast.walk(node.exc)
                if isinstance(name, ast.Name)
            }
            found += [
                f"{path}: {target.id}"
                for node in ast.walk(function)
                if isinstance(node, ast.Assign) and _words(node.value)
                for target in node.targets
                if isinstance(target, ast.Name) and target.id in raised - syntax.MESSAGES
            ]
    assert found == []


def _words(node: ast.expr) -> bool:
    """Whether an expression contains text of more than one word."""
    return any(
        isinstance(part, ast.Constant) and isinstance(part.value, str) and re.search(r"\w \w", part.value)
        for part in ast.walk(node)
    )
