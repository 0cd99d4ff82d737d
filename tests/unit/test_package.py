"""The library as a package, actually built and installed, and the files that catalogues read."""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import prunescope
from prunescope import cli, files, kinds
from wheels import REPOSITORY, build, install, run

LIBRARY = REPOSITORY / "workflow/scripts/prunescope"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """A folder with the sdist, the wheel made from it and, in ``direct``, the repository's wheel."""
    folder = tmp_path_factory.mktemp("dist")
    build(folder)
    build(folder / "direct", "--wheel")
    return folder


@pytest.fixture(scope="module")
def wheel(dist) -> dict[str, bytes]:
    """The wheel's files by name."""
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def installed(dist, tmp_path_factory) -> Path:
    """The programs of an environment with the wheel."""
    return install(next(dist.glob("*.whl")), tmp_path_factory.mktemp("clean"))


def python(programs: Path, code: str, folder: Path):
    """Run code in the environment, in another folder, and return the JSON that it prints."""
    return json.loads(run(programs / "python", "-c", code, cwd=folder))


# --- wheel and sdist -----------------------------------------------------------------------------------


def test_the_wheel_holds_the_whole_library(wheel):
    expected = {
        f"prunescope/{path.relative_to(LIBRARY)}": path.read_bytes()
        for path in LIBRARY.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    for path in (REPOSITORY / "workflow/schemas").iterdir():
        expected[f"prunescope/schemas/{path.name}"] = path.read_bytes()
    for path in [REPOSITORY / "config/config.yaml", *(REPOSITORY / "config/experiments").iterdir()]:
        expected[f"prunescope/{path.relative_to(REPOSITORY)}"] = path.read_bytes()
    assert {name: text for name, text in wheel.items() if ".dist-info/" not in name} == expected
    assert "prunescope/py.typed" in expected
    assert any(name.endswith(".j2") for name in expected)
    assert any(name.endswith(".schema.yaml") for name in expected)


def test_the_sdist_makes_the_same_wheel(dist):
    (from_sdist,), (direct,) = dist.glob("*.whl"), dist.glob("direct/*.whl")
    assert from_sdist.read_bytes() == direct.read_bytes()


def test_the_sdist_holds_the_library_and_what_describes_it(dist):
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "pyproject.toml"} <= names
    assert {name.rsplit("/", 1)[0] for name in names if "/" in name and "/prunescope/" not in name} == {
        "config",
        "config/experiments",
        "workflow/schemas",
    }


# --- installed -----------------------------------------------------------------------------------------


def test_importing_it_imports_nothing_else(installed, tmp_path):
    code = """
import json, sys
before, new = set(sys.modules), []
import prunescope
new.append({name.split(".")[0] for name in set(sys.modules) - before})
import prunescope.cli
new.append({name.split(".")[0] for name in set(sys.modules) - before})
print(json.dumps([prunescope.__file__, *(sorted(names - sys.stdlib_module_names) for names in new)]))
"""
    file, library, command = python(installed, code, tmp_path)
    assert Path(file).is_relative_to(installed.parent)
    assert library == ["prunescope"]
    assert command == ["click", "prunescope"]


def test_every_module_can_be_imported_from_elsewhere(installed, tmp_path):
    code = """
import importlib, json, pkgutil, sys
import prunescope
for module in pkgutil.walk_packages(prunescope.__path__, "prunescope."):
    importlib.import_module(module.name)
files = [module.__file__ for name, module in sys.modules.items() if name.startswith("prunescope")]
print(json.dumps([file for file in files if file]))
"""
    imported = {Path(file) for file in python(installed, code, tmp_path)}
    (package,) = {file.parent for file in imported if file.name == "cli.py"}
    assert imported == set(package.rglob("*.py"))


def test_an_installed_library_reads_its_schemas_and_uses_its_kinds(installed, tmp_path):
    code = """
import json
from pathlib import Path
import prunescope, yaml
from prunescope.networks.build import build
folder = Path(prunescope.__file__).parent / "schemas"
properties = sorted(yaml.safe_load((folder / "experiment.schema.yaml").read_text())["properties"])
print(json.dumps([properties, str(folder), type(build("lenet5", {}, (1, 28, 28), 10, 0)).__name__]))
"""
    keys, folder, network = python(installed, code, tmp_path)
    assert {"dataset", "network", "similarity"} <= set(keys) and network == "Sequential"
    assert Path(folder).is_relative_to(installed.parent)


def test_a_project_elsewhere_extends_the_shipped_experiments(installed, tmp_path):
    (tmp_path / "config/experiments").mkdir(parents=True)
    (tmp_path / "config/experiments/mine.yaml").write_text("extends: digits-lenet\nrounds: 1\n")
    assert "conv1" in run(installed / "prunescope", "layers", "mine", cwd=tmp_path)


def test_make_env_installs_the_library_and_not_the_scripts_beside_it(tmp_path):
    """Run in the project's own environment, from another folder."""
    code = """
import importlib.util, json, prunescope
print(json.dumps([prunescope.__file__, importlib.util.find_spec("train_dense") is None]))
"""
    file, hidden = python(Path(sys.executable).parent, code, tmp_path)
    assert Path(file).is_file() and file.endswith("workflow/scripts/prunescope/__init__.py") and hidden


def test_the_version_has_one_place(installed, tmp_path):
    code = """
import importlib.metadata, json, prunescope
print(json.dumps([prunescope.__version__, importlib.metadata.version("prunescope")]))
"""
    assert python(installed, code, tmp_path) == [prunescope.__version__] * 2
    assert "version" in PROJECT["dynamic"]


def test_the_metadata_is_that_of_the_project(wheel):
    (metadata,) = (text.decode() for name, text in wheel.items() if name.endswith("/METADATA"))
    assert f"License-Expression: {PROJECT['license']}\n" in metadata
    extra = {f"{item}; extra == 'workflow'" for item in PROJECT["optional-dependencies"]["workflow"]}
    expected = extra | set(PROJECT["dependencies"])
    assert set(re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)) == expected
    assert re.findall(r"^Provides-Extra: (.*)$", metadata, re.MULTILINE) == ["workflow"]
    assert any(name.endswith("/licenses/LICENSE") for name in wheel)


def test_the_command(installed, tmp_path):
    command = installed / "prunescope"
    assert run(command, "--version", cwd=tmp_path) == f"prunescope {prunescope.__version__}\n"
    assert "Example:\n    prunescope layers " in run(command, "--help", cwd=tmp_path)
    assert run(command, "kinds", cwd=tmp_path) == CliRunner().invoke(cli.main, ["kinds"]).output


def test_an_installed_library_compares_arrays_and_lists_layers(installed, tmp_path):
    """Outside any checkout, without experiments and without a configuration."""
    code = """
import json, numpy as np, prunescope as ps
x = np.random.default_rng(0).normal(size=(100, 3))
print(json.dumps([ps.compare(x, 2 * x, ["cca"])["value"][0], issubclass(ps.InputError, ValueError)]))
"""
    value, is_value_error = python(installed, code, tmp_path)
    assert value == pytest.approx(1) and is_value_error
    listed = run(installed / "prunescope", "layers", "lenet5", "--shape", 1, 28, 28, cwd=tmp_path)
    assert listed.splitlines()[1].split() == ["conv1", "Conv2d", "6×24×24", "yes", "150"]
    refused = subprocess.run(
        [installed / "prunescope", "layers", "x"], cwd=tmp_path, capture_output=True, text=True
    )
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1
    assert refused.stderr.startswith("prunescope: layers: no experiment 'x'")


# --- without the packages of the workflow ---------------------------------------------------------------

# The extra's packages that have another name when imported.
MODULES = {"scikit-learn": "sklearn"}
BLOCKING = """
import runpy, sys
from importlib.machinery import PathFinder
class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in BLOCKED else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


def without_the_workflow(code: str, *arguments, **options) -> subprocess.CompletedProcess:
    """Run code where nothing of the extra ``workflow`` but filelock, which torch needs, can be imported."""
    names = [re.match(r"[a-z0-9-]+", item)[0] for item in PROJECT["optional-dependencies"]["workflow"]]
    blocked = {MODULES.get(name, name.replace("-", "_")) for name in names} - {"filelock"}
    assert {"snakemake", "sklearn"} <= blocked
    program = f"BLOCKED = {blocked}{BLOCKING}{code}"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, **options
    )


def test_a_notebook_needs_nothing_of_the_workflow(built):
    script = REPOSITORY / "tests/notebook_side.py"
    code = f"runpy.run_path({str(script)!r}, run_name='__main__')"
    done = without_the_workflow(code, built.folder / "results/tiny")
    assert done.returncode == 0, done.stderr[-3000:]


def test_accepting_results_without_snakemake_says_what_to_install(tmp_path):
    code = "sys.argv[1:] = ['accept', 'x', '--code']; from prunescope import cli; cli.main()"
    done = without_the_workflow(code, cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "Snakemake is not installed; run pip install 'prunescope[workflow]'" in done.stderr


# --- the command, the public names ---------------------------------------------------------------------


def test_kinds_are_listed_by_family():
    listed = CliRunner().invoke(cli.main, ["kinds", "control"]).output
    assert listed.splitlines()[:2] == [
        "control",
        f"  new-weights     {kinds.known('control')['new-weights'].summary}",
    ]
    everything = CliRunner().invoke(cli.main, ["kinds"]).output
    assert re.findall(r"^\S+", everything, re.MULTILINE) == list(kinds.FAMILIES)
    assert listed in everything and "  torchvision/NAME  " in everything
    assert everything.count(f"  {kinds.FILE}  ") == sum(one.files for one in kinds.FAMILIES.values())


def test_public_names_are_imported_when_used(monkeypatch):
    monkeypatch.setitem(prunescope._PUBLIC, "read_json", "prunescope.files")
    assert prunescope.read_json is files.read_json
    assert "read_json" in dir(prunescope)
    with pytest.raises(AttributeError, match="'prunescope' has no attribute 'write_nonsense'"):
        _ = prunescope.write_nonsense


def test_every_public_name_exists():
    for name in prunescope._PUBLIC:
        assert getattr(prunescope, name).__doc__, name


# --- what catalogues, citation tools and GitHub read -----------------------------------------------------


def read_yaml(name: str):
    return yaml.safe_load((REPOSITORY / name).read_text())


def test_the_citation_agrees_with_the_package():
    citation = read_yaml("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert (citation["title"], citation["version"]) == (PROJECT["name"], prunescope.__version__)
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == PROJECT["authors"]
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= set(paper)
    assert f"https://doi.org/{paper['doi']}" in (REPOSITORY / "README.md").read_text()


def test_the_changelog_ends_with_this_version():
    headings = re.findall(r"^## (.*)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = [re.fullmatch(r"(\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d", text)[1] for text in headings[1:]]
    assert headings[0] == "Unreleased"
    assert released[0] == prunescope.__version__


def test_the_catalogue_entry_agrees_with_the_rules():
    deployment = read_yaml(".snakemake-workflow-catalog.yml")["usage"]["software-stack-deployment"]
    rules = "".join(path.read_text() for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    assert deployment == {
        "conda": False,  # a plan needs packages that `--sdm conda` does not install
        "apptainer": "container:" in rules,
        "apptainer+conda": "container:" in rules,
        "report": "report(" in rules,
    }


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / ".github/workflows").glob("*.yml")), ids=lambda p: p.name
)
def test_continuous_integration_runs_targets_of_the_makefile(path):
    targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    jobs = read_yaml(path)["jobs"].values()
    steps = [step for job in jobs for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    assert {f"make {name}" for name in ("lint", "test", "dist", "demo")} <= set(commands)
    assert set(commands) <= {f"make {target}" for target in targets}
    for step in steps:
        assert "run" in step or re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]), step
    for job in jobs:
        for version in job.get("strategy", {}).get("matrix", {}).get("python-version", []):
            low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
            assert int(low) <= int(version.split(".")[1]) < int(high)


def test_every_profile_is_explained():
    text = (REPOSITORY / "profiles/README.md").read_text()
    for path in (REPOSITORY / "profiles").glob("*/config.yaml"):
        assert f"[{path.parent.name}]({path.parent.name}/config.yaml)" in text
