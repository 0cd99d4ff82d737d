"""Where results come from: seeds, versions, the processor, and the code of a run."""

import hashlib
import os
import platform
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from prunescope.errors import InputError

SCRIPTS = Path(__file__).parents[1]
# Environment variable that holds the value of `sources` from when the workflow was planned.
SOURCES = "PRUNESCOPE_SOURCES"
PACKAGES = (
    *("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "h5py", "pandas", "pyarrow"),
    "snakemake",
)


def derive_seed(seed: int, *purpose: str | int) -> int:
    """Derive a 63-bit seed for one purpose from an experiment's seed.

    Every use of randomness (initialisation, data order, augmentation, ...) has its own seed, so drawing more
    numbers for one purpose never shifts another. The purpose is, e.g., ``"order", 3`` for the data order of
    round 3.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def sources() -> str:
    """Digest of the code in workflow/scripts as it is on disk now."""
    digest = hashlib.sha256()
    for path in sorted(SCRIPTS.rglob("*.py")):
        digest.update(f"{path.relative_to(SCRIPTS)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def check_sources() -> None:
    """Refuse to run code that was edited after planning: the digests describe the earlier code."""
    now = sources()
    if os.environ.get(SOURCES, now) != now:
        raise InputError(
            f"the code in {SCRIPTS} was edited after this run was planned; run the same command again"
        )


def environment() -> dict:
    """Return what can change a result's bits besides settings and seed: versions, processor and platform."""
    return {
        "python": platform.python_version(),
        "platform": f"{sys.platform}-{platform.machine()}",
        **_processor(),
        "cores": os.cpu_count(),
        "packages": versions(PACKAGES),
    }


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the installed version of each package; None for one that is not installed."""
    installed: dict[str, str | None] = {}
    for package in packages:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            installed[package] = None
    return installed


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
        # The widest vector instructions that the processor offers.
        "instruction_set": next((name for name in known if name in flags), None),
    }
