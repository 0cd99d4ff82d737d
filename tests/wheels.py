"""The library as a package: built, and installed into an environment of its own."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
UV = Path(sys.executable).parent / "uv"


def run(*command, **options) -> str:
    """Run a command without this process's Python settings and return its output."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    result = subprocess.run(
        [str(part) for part in command], env=environment, text=True, capture_output=True, **options
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def build(folder: Path, *options: str) -> Path:
    """Build the sdist and a wheel from it, or what `options` say; return the wheel."""
    command = (UV, "build", "--offline", "--no-cache", "--no-build-isolation", "--python", sys.executable)
    run(*command, *options, "--out-dir", folder, REPOSITORY)
    return next(folder.glob("*.whl"))


def install(wheel: Path, folder: Path) -> Path:
    """Make an environment with a wheel, and with this environment's dependencies; return its programs."""
    venv.create(folder, symlinks=True)
    programs = folder / "bin"
    command = (UV, "pip", "install", "--offline", "--no-cache", "--no-deps", "--python", programs / "python")
    run(*command, wheel)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs
