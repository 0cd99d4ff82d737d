"""Where a result comes from: seeds, code and environment."""

import ast
import hashlib
import os
import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

LIBRARY = Path(__file__).parent
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "h5py", "pandas", "snakemake")


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Derive a 63-bit seed for one purpose from an experiment's seed.

    Every use of randomness (initialisation, data order, augmentation, ...) has a seed of its own, so that
    drawing more numbers for one never shifts another.

    Parameters
    ----------
    seed : int
        The experiment's seed.
    *purpose : str or int
        What the numbers are for, e.g. ``"order", 3`` for the data order of round 3.

    Returns
    -------
    int
        In [0, 2**63).
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def code_digest(script: str | Path) -> str:
    """Digest of the code a script runs: itself and every library module it imports, however deep.

    Comments, docstrings and formatting do not count, nor does where the checkout lies: the digest is over
    the syntax trees. Imports inside functions count as well.

    Parameters
    ----------
    script : path
        A Python file.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for path in sorted(_closure(Path(script).resolve())):
        digest.update(f"{path.name}\0{_parsed(path, path.stat().st_mtime_ns)[0]}\0".encode())
    return digest.hexdigest()[:16]


def _closure(script: Path) -> set[Path]:
    found, todo = set(), [script]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo.extend(_parsed(path, path.stat().st_mtime_ns)[1])
    return found


@cache
def _parsed(path: Path, _mtime: int) -> tuple[str, tuple[Path, ...]]:
    """Digest of a module's syntax tree without docstrings, and the library modules it imports."""
    tree = ast.parse(path.read_text())
    imported: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = []
        imported.update(file for name in names for file in _library_files(name))
        body = getattr(node, "body", None)
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            body.pop(0)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(imported)


def _library_files(module: str) -> list[Path]:
    """Return the file of a library module; importing it runs its packages' __init__ files too."""
    parts = module.split(".")
    if parts[0] != LIBRARY.name:
        return []
    files = []
    for depth in range(len(parts)):
        base = LIBRARY.joinpath(*parts[1 : depth + 1])
        files += [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
    return files


def environment() -> dict:
    """Versions, processor and platform: everything besides settings and seed that can change a result's bits.

    Returns
    -------
    dict
        JSON-ready: ``python``, ``platform``, ``processor``, ``instruction_set`` (the widest vector
        instructions the processor offers) and one version for each package.
    """
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
        **_processor(),
        "cores": os.cpu_count(),
        "packages": versions,
    }


def _processor() -> dict:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {"processor": platform.processor() or platform.machine(), "instruction_set": None}
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    known = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "avx", "sve", "asimd")
    return {
        "processor": fields.get("model name", platform.machine()),
        "instruction_set": next((name for name in known if name in flags), None),
    }
