"""pyproject.toml, the lock and the conda environment contain the same packages."""

import ast
import importlib.util
import re
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
LOCK = (REPOSITORY / "envs/requirements.txt").read_text()
# What the library needs, and what the workflow needs as well.
DIRECT = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["workflow"]]


def requirement(text: str) -> tuple[str, tuple[int, ...]]:
    """Split ``name>=1.2`` or ``name[extra]>=1.2`` into its name and its lower bound."""
    name, bound = re.fullmatch(r"([a-z0-9-]+)(?:\[[a-z0-9-]+\])?>=([0-9.]+)", text).groups()
    return name, tuple(map(int, bound.split(".")))


def locked() -> dict[str, list[tuple[int, ...]]]:
    versions: dict[str, list[tuple[int, ...]]] = {}
    for name, version in re.findall(r"^([a-z0-9-]+)==([0-9.]+)", LOCK, re.MULTILINE):
        versions.setdefault(name, []).append(tuple(map(int, version.rstrip(".").split("."))))
    return versions


def test_every_direct_dependency_is_locked_above_its_lower_bound():
    for name, bound in map(requirement, DIRECT + PROJECT["dependency-groups"]["dev"]):
        assert all(version >= bound for version in locked()[name]), name


def test_what_the_build_needs_is_in_the_environment():
    assert set(PROJECT["build-system"]["requires"]) <= set(PROJECT["dependency-groups"]["dev"])


def test_the_lock_is_hashed_and_names_no_host():
    entries = re.findall(
        r"^[a-z0-9-]+==[^\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", LOCK, re.MULTILINE
    )
    assert len(entries) == len(re.findall(r"^[a-z0-9-]+==", LOCK, re.MULTILINE))
    assert "://" not in LOCK and "--index" not in LOCK and "--find-links" not in LOCK


def test_the_conda_environment_is_made_from_both():
    spec = importlib.util.spec_from_file_location("conda", REPOSITORY / "envs/conda.py")
    conda = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conda)
    text = (REPOSITORY / "envs/prunescope.yaml").read_text()
    assert text == conda.environment(), "run `make lock`"
    names = {requirement(item)[0] for item in DIRECT}
    assert set(re.findall(r'- "([a-z0-9-]+)==', text)) == names


def test_everything_the_project_imports_is_a_direct_dependency():
    modules = {
        "huggingface_hub": "huggingface-hub",
        "PIL": "pillow",
        "pydantic_core": "pydantic",
        "vl_convert": "vl-convert-python",
        "sklearn": "scikit-learn",
        "yaml": "pyyaml",
    }
    names = {requirement(item)[0] for item in DIRECT}
    known = {*names, "prunescope", *__import__("sys").stdlib_module_names}
    for path in (REPOSITORY / "workflow").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found = [node.module]
            else:
                continue
            for module in (name.split(".")[0] for name in found):
                assert modules.get(module, module) in known, f"{path}: {module}"
