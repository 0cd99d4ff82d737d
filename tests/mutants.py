"""Do the tests notice faults? Change the library at random places and run the tests that execute the line.

Each change (a mutant) is made in a temporary copy of the project. This process has imported torch and other
packages but nothing of ours, and forks for each mutant. The fork runs the fast unit tests that execute the
line, quickest first, until one fails. If none fails, the mutant has survived: a test is missing, or the
change makes no difference. Lines that only other processes execute (Snakemake, scripts) are not reached.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import argparse
import ast
import gc
import itertools
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGES = """altair click filelock h5py hypothesis.strategies jinja2 jsonschema matplotlib.pyplot numpy
    pandas PIL.Image psutil pyarrow.parquet safetensors.torch scipy.linalg scipy.special scipy.stats
    sklearn.datasets threadpoolctl timm torch torchvision yaml"""
REPOSITORY = Path(__file__).parents[1]
LIBRARY = Path("workflow/scripts/prunescope")
ROOMS = """similarity/**/*.py findings/**/*.py pruning/**/*.py training/**/*.py activations/**/*.py
    data/**/*.py networks/**/*.py levels/**/*.py plan/compared.py plan/stages.py checkpoints.py tables.py"""
QUICK = 2.0  # seconds, when lines are recorded
# A test may take its usual time multiplied by this, plus seconds: processor time, and elapsed time.
FACTOR, PROCESSOR, ELAPSED = 10, 20, 200

SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or,
    ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    "min": "max", "max": "min", "any": "all", "all": "any",
}  # fmt: skip
# Messages, types and decorators are not results. `strict` of zip is an assertion, `encoding` the usual one.
UNCHANGED, FIELDS = (ast.JoinedStr, ast.Raise), ("annotation", "returns", "decorator_list")
MESSAGES, KEYWORDS = ("log", "warnings"), ("strict", "repr", "encoding")
# Lines outside of functions are executed once, when a file is imported. Tests that execute any other line are
# said to execute this one, and so are quick tests in a process that has imported the file.
MODULE = range(1)


class Mutant(NamedTuple):
    file: str
    line: int
    executed: list[range]  # lines; the first range that any test executes selects the tests
    change: str
    text: bytes  # of the changed file


def changes(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield a node to replace, and what replaces it."""
    match node:
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                swapped = [*ops[:place], SWAPS[type(op)](), *ops[place + 1 :]]
                yield node, ast.Compare(node.left, swapped, node.comparators)
        case ast.BinOp() | ast.BoolOp() | ast.AugAssign() if type(node.op) in SWAPS and not joins_text(node):
            yield node, type(node)(**{**dict(ast.iter_fields(node)), "op": SWAPS[type(node.op)]()})
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node, node.operand
        case ast.Constant(value=bool() as value):
            yield node, ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield node, ast.Constant(value + 1)
        case ast.Constant(value=float() as value):
            yield node, ast.Constant(1000 * value if 0 < value < 1e-3 else 2 * value or 1.0)
        case ast.Expr(value=ast.Call()):
            yield node, ast.Pass()
        case ast.Call(func=function, args=args, keywords=keywords):
            for keyword in keywords:
                if keyword.arg and keyword.arg not in KEYWORDS:
                    yield (
                        node,
                        ast.Call(function, args, [other for other in keywords if other is not keyword]),
                    )
            if isinstance(function, ast.Name) and function.id in SWAPS:
                yield function, ast.Name(SWAPS[function.id])
            if isinstance(function, ast.Attribute) and function.attr in SWAPS:
                yield function, ast.Attribute(function.value, SWAPS[function.attr])
    for test in [getattr(node, "test", None), *getattr(node, "ifs", ())]:
        if test is not None:
            yield test, ast.Constant(False)
            if not isinstance(node, ast.While):
                yield test, ast.Constant(True)


def joins_text(node: ast.AST) -> bool:
    """Whether an operation joins strings or paths: a test that fails with its TypeError proves little."""
    if isinstance(node, ast.BinOp | ast.AugAssign):
        return any(
            joins_text(getattr(node, name)) for name in ("left", "right", "value") if hasattr(node, name)
        )
    return isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), str)


def is_message(node: ast.AST) -> bool:
    """Whether a statement only reports something."""
    if isinstance(node, ast.If):
        return all(map(is_message, node.body + node.orelse))
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[0] in MESSAGES


def mutants(file: str, source: bytes) -> Iterator[Mutant]:
    """Yield every mutant of a file."""
    starts = [0, *itertools.accumulate(map(len, source.splitlines(keepends=True)))]
    whole = range(1, len(starts))

    def visit(node: ast.AST, statement: range, default: bool = False) -> Iterator[Mutant]:
        """`statement` is the innermost one within a function; elsewhere, the whole file."""
        if isinstance(node, UNCHANGED) or is_message(node):
            return
        if isinstance(node, ast.keyword) and node.arg in KEYWORDS:
            return
        if isinstance(node, ast.FunctionDef) or (isinstance(node, ast.stmt) and statement != whole):
            statement = range(node.lineno, node.end_lineno + 1)
        for old, new in changes(node):
            lines = range(old.lineno, old.end_lineno + 1)
            start, end = starts[lines[0] - 1] + old.col_offset, starts[lines[-1] - 1] + old.end_col_offset
            before, after = ast.unparse(old), ast.unparse(ast.fix_missing_locations(new))
            same = sum(itertools.takewhile(bool, map(str.__eq__, before, after)))
            change = " -> ".join(text[max(0, same - 25) :][:60] for text in (before, after))
            text = f"({after})" if isinstance(new, ast.expr) else after
            # A default is evaluated when the function is defined, but used when it is called.
            executed = [MODULE] if statement == whole else [statement] if default else [lines, statement]
            yield Mutant(file, lines[0], executed, change, source[:start] + text.encode() + source[end:])
        for field, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and field not in FIELDS:
                    yield from visit(child, statement, default or isinstance(child, ast.arguments))

    return visit(ast.parse(source), whole)


class Job(NamedTuple):
    """Tests to run: those of a mutant, with durations, or those of a file to see which lines they execute."""

    tests: dict[str, float]
    mutant: Mutant | None = None


class Plugin:
    """Writes a line of JSON for each test: its name; without a mutant also duration, lines and imports."""

    def __init__(self, job: Job, files: dict[str, str], output):
        self.job, self.files, self.output = job, files, output
        self.lines, self.fixtures = set(), defaultdict(set)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        if self.job.mutant:
            items[:] = [item for item in items if item.nodeid in self.job.tests]
            items.sort(key=lambda item: self.job.tests[item.nodeid])
        else:
            sys.settrace(self.trace)
            threading.settrace(self.trace)

    def pytest_runtest_logstart(self, nodeid):
        if self.job.mutant:
            print(json.dumps(nodeid), file=self.output, flush=True)
            limit(self.job.tests[nodeid])
            return
        self.lines, self.passed, self.start = set(), True, time.perf_counter()
        for module in list(sys.modules.values()):
            if getattr(module, "__file__", None) in self.files:
                for value in vars(module).values():
                    getattr(value, "cache_clear", lambda: None)()

    def pytest_runtest_logreport(self, report):
        if not self.job.mutant:
            self.passed &= report.passed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item):
        result = yield
        lines = self.lines.union(*(self.fixtures[name] for name in item.fixturenames))
        if not self.job.mutant and self.passed:
            imported = {
                self.files.get(getattr(module, "__file__", None)) for module in [*sys.modules.values()]
            }
            duration = time.perf_counter() - self.start
            report = (item.nodeid, duration, sorted(lines), sorted(imported - {None}))
            print(json.dumps(report), file=self.output, flush=True)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        """What a shared fixture executes counts for each test that uses it."""
        if fixturedef.scope == "function":
            return (yield)
        lines, self.lines = self.lines, self.fixtures[fixturedef.argname]
        try:
            return (yield)
        finally:
            self.lines = lines

    def trace(self, frame, event, argument):
        file = self.files.get(frame.f_code.co_filename)
        if file is None:
            return None
        self.lines.add((file, frame.f_lineno))
        return self.trace


def limit(duration: float) -> None:
    """End this process by a signal if a test takes much longer than usual."""
    signal.setitimer(signal.ITIMER_PROF, PROCESSOR + FACTOR * duration)
    signal.setitimer(signal.ITIMER_REAL, ELAPSED + FACTOR * duration)


def become_pytest(job: Job, project: Path, files: Iterable[str], output):
    """Run the tests of a job in this process, a fork, and end it."""
    status = 1
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.chdir(project)
        os.environ["TMPDIR"] = tempfile.tempdir = f"{project}.tmp"
        Path(tempfile.tempdir).mkdir(exist_ok=True)
        sys.path.remove(str(REPOSITORY / "tests"))
        for stream in range(3):
            os.dup2(os.open(os.devnull, os.O_RDWR), stream)
        limit(0 if job.mutant else 60)
        plugin = Plugin(job, {str(project / LIBRARY / file): file for file in files}, output)
        options = ["-p", "no:cacheprovider", "--hypothesis-seed=0", "--tb=no", *["-x"] * bool(job.mutant)]
        names = dict.fromkeys(name.split("::")[0] for name in job.tests)
        status = int(pytest.main([*options, *names], [plugin]))
    finally:
        os._exit(status)


def run(
    jobs: Iterable[Job], projects: list[Path], sources: dict[str, bytes]
) -> Iterator[tuple[Job, int, list]]:
    """Run each job in a fork, one at a time in each project; yield it with its exit status and its report."""
    jobs, free, running = iter(jobs), list(projects), {}
    try:
        while True:
            while free and (job := next(jobs, None)):
                project, output = free.pop(), tempfile.TemporaryFile("w+")  # noqa: SIM115
                if job.mutant:
                    write(project / LIBRARY / job.mutant.file, job.mutant.text)
                if not (child := os.fork()):
                    become_pytest(job, project, sources, output)
                running[child] = job, project, output
            if not running:
                return
            child, status = os.wait()
            kill(child)
            job, project, output = running.pop(child)
            if job.mutant:
                write(project / LIBRARY / job.mutant.file, sources[job.mutant.file])
            free.append(project)
            output.seek(0)
            yield job, os.waitstatus_to_exitcode(status), [json.loads(line) for line in output]
    finally:
        for child in running:
            kill(child)


def kill(group: int) -> None:
    """End what is left of a process group."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def write(path: Path, text: bytes, stamps=itertools.count(10**9)) -> None:  # noqa: B008
    """Write a file with a new modification time: Python's compiled files are valid for a time in seconds."""
    path.write_bytes(text)
    os.utime(path, (stamp := next(stamps), stamp))


def copy_to(project: Path) -> None:
    """Copy what Git lists, with uncommitted changes."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    for name in subprocess.check_output(command, cwd=REPOSITORY, text=True).splitlines():
        if (REPOSITORY / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, project / name)


def executions(projects: list[Path], sources: dict[str, bytes]) -> dict[tuple[str, int], dict[str, float]]:
    """Return the tests that execute each line, with their durations, except tests that fail."""
    tests = sorted(path.name for path in (projects[0] / "tests/unit").glob("test_*.py"))
    found = defaultdict(dict)
    for job, status, report in run([Job({f"tests/unit/{name}": 0}) for name in tests], projects, sources):
        if status:
            print(f"{min(job.tests)}: exit status {status} without any mutant", flush=True)
        for test, duration, lines, imported in report:
            for file, line in lines:
                found[file, line][test] = found[file, MODULE[0]][test] = duration
            for file in imported if duration < QUICK else ():
                found[file, MODULE[0]][test] = duration
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    start, results = time.monotonic(), defaultdict(Counter)
    library = REPOSITORY / LIBRARY
    paths = sorted(path for room in ROOMS.split() for path in library.glob(room))
    sources = {str(path.relative_to(library)): path.read_bytes() for path in paths}
    sites = [mutant for file, source in sources.items() for mutant in mutants(file, source)]
    sample = random.Random(arguments.seed).sample(sites, arguments.mutants)
    print(f"{len(sample)} of {len(sites)} mutants, seed {arguments.seed}")
    for package in PACKAGES.split():
        import_module(package)
    gc.freeze()
    with tempfile.TemporaryDirectory() as folder:
        projects = [Path(folder, name) for name in "ab"]
        for project in projects:
            copy_to(project)
        executed = executions(projects, sources)
        print(f"{time.monotonic() - start:.0f} s for the lines that tests execute", flush=True)
        jobs = []
        for mutant in sample:
            choices = [[executed.get((mutant.file, line), {}) for line in lines] for lines in mutant.executed]
            chosen = {test: time for tests in next(filter(any, choices), []) for test, time in tests.items()}
            jobs.append(Job(dict(sorted(chosen.items(), key=lambda item: item[1])), mutant))
        for job, status, report in run(jobs, projects, sources):
            outcome = "killed" if status not in (0, 5) else "survived" if job.tests else "not reached"
            results[job.mutant.file.split("/")[0]][outcome] += 1
            by = (report[-1] if report else "import") if outcome == "killed" else f"{len(job.tests)} tests"
            signalled = f" {signal.Signals(-status).name}" if status < 0 else ""
            print(
                f"{job.mutant.file}:{job.mutant.line}  {job.mutant.change}  {outcome}: {by}{signalled}",
                flush=True,
            )
    for room, counts in [*sorted(results.items()), ("all", sum(results.values(), Counter()))]:
        print(f"{room:15}", *(f"{counts[name]:4} {name}" for name in ("killed", "survived", "not reached")))
    print(f"{time.monotonic() - start:.0f} s", flush=True)
    os._exit(0)  # without what packages print when Python ends


if __name__ == "__main__":
    main()
