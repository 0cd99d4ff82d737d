"""The library's structure: imports go one way, files are short, and light imports stay light."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[2] / "workflow/scripts/prunescope"
FILES = sorted(LIBRARY.rglob("*.py"))


def imports(path: Path) -> set[Path]:
    """The files of the library that a file imports, also within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "prunescope":
            base = LIBRARY.joinpath(*node.module.split(".")[1:])
            for name in (alias.name for alias in node.names):
                inner = [base / f"{name}.py", base / name / "__init__.py"]
                own = [base.with_suffix(".py"), base / "__init__.py"]
                found.add(next(file for file in [*inner, *own] if file.is_file()))
    return found


def room(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0]


def test_rooms_and_files_have_no_circles():
    files = {path: imports(path) - {path} for path in FILES}
    graphlib.TopologicalSorter(files).prepare()
    rooms: dict[str, set[str]] = {}
    for path, others in files.items():
        rooms.setdefault(room(path), set()).update(
            room(other) for other in others if room(other) != room(path)
        )
    order = list(graphlib.TopologicalSorter(rooms).static_order())
    assert order.index("networks") < order.index("training") < order.index("pruning") < order.index("plan")
    above = {name for name, others in rooms.items() if "plan" in others}
    assert above <= {"notebook", "cli.py"}, "what jobs compute does not read the configuration"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_files_and_functions_are_of_a_size_to_read(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            code = node.end_lineno - node.lineno - len((ast.get_docstring(node) or "").splitlines())
            arguments = [a for a in [*node.args.args, *node.args.kwonlyargs] if a.arg not in ("self", "cls")]
            assert code <= 80, node.name
            assert len(arguments) <= 10, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_imports_can_be_followed_in_the_text(path):
    """The library imports nothing in a way that `prunescope.digests` cannot follow."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            assert all(alias.name != "*" for alias in node.names), "import of everything"
        by_text = getattr(node, "attr", getattr(node, "id", "")) in ("import_module", "__import__")
        # Names for notebooks, kinds, and the user's own files.
        assert not by_text or str(path.relative_to(LIBRARY)) in (
            "__init__.py",
            "kinds.py",
            "user_code/__init__.py",
        )
    if path.name == "__init__.py":
        modules = {other.stem for other in path.parent.iterdir()} - {"__init__"}
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert not defined & modules, "a definition hides a module"


# Settings that several stages have, and those that only the plan reads.
SHARED, PLANNED = (
    {"base", "training"},
    {"__init__", "experiment", "config", "reading", "load", "elsewhere"},
)


@pytest.mark.parametrize("path", sorted((LIBRARY / "settings").glob("*.py")), ids=lambda path: path.stem)
def test_settings_of_one_stage_import_those_of_no_other(path):
    """A rule's digest is that of the files that its script can import."""
    imported = {
        node.module.removeprefix("prunescope.settings.")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("prunescope.settings.")
    }
    assert path.stem in PLANNED or imported <= SHARED


@pytest.mark.parametrize("path", sorted(LIBRARY.parent.glob("*.py")), ids=lambda path: path.stem)
def test_scripts_import_jobs_before_torch(path):
    """`jobs` makes importing torch faster."""
    imported = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
    first = next(node for node in imported if node.module.split(".")[0] == "prunescope")
    names = [alias.name for alias in first.names]
    assert first.module == "prunescope" and "jobs" in names and set(names) <= {"files", "jobs", "tables"}


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import prunescope", {"torch", "numpy", "pandas", "snakemake", "scipy"}),
        ("import prunescope.settings.experiment", {"torch", "numpy", "scipy", "pandas", "h5py", "snakemake"}),
        ("import prunescope.plan.reference", {"torch", "scipy", "pandas", "h5py"}),
        ("import prunescope.plan.sizes, prunescope.plan.notes", {"torch", "scipy", "pandas", "pyarrow"}),
        ("import prunescope.similarity.matrix", {"torch", "pandas", "matplotlib"}),
        ("import prunescope.report.figures", {"torch", "matplotlib"}),
        # Planning imports it.
        ("import prunescope.report.names", {"torch", "pandas", "altair", "vl_convert", "jinja2"}),
        ("import prunescope.activations.store", {"torch", "scipy", "pandas"}),
        ("import prunescope.tables", {"torch", "scipy", "matplotlib"}),
        ("import prunescope; prunescope.compare", {"torch", "matplotlib", "snakemake"}),
        ("import prunescope; prunescope.load", {"torch", "scipy", "matplotlib", "snakemake"}),
    ],
)
def test_what_an_import_does_not_cost(statement, heavy):
    code = f"import sys; {statement}; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=LIBRARY.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_the_soak_can_start():
    """No other test imports it, and `make soak` takes an hour."""
    root = LIBRARY.parents[2]
    (line,) = [line.strip() for line in (root / "Makefile").read_text().splitlines() if "soak.py" in line]
    command = line.partition(" --kills")[0].replace("$(BIN)/python", sys.executable)
    subprocess.run(["bash", "-c", f"{command} --help"], cwd=root, check=True, capture_output=True)
