"""Where a result comes from: seeds and environment."""

import hashlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

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
