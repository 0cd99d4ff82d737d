"""Write prunescope.yaml, the conda environment, from pyproject.toml and the lock.

Python comes from conda-forge; the packages come at the locked versions from the same place as with
`make demo`, so that both environments compute the same numbers.
"""

import re
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
# The lock marks every package for Linux or macOS, the only systems that are supported.
PLATFORM = re.compile(r" (;|and) \(?sys_platform == 'darwin' or sys_platform == 'linux'\)?")


def environment() -> str:
    """Return the text of prunescope.yaml: each direct dependency at its locked version."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    direct = [*project["dependencies"], *project["optional-dependencies"]["workflow"]]
    names = sorted(re.match(r"[A-Za-z0-9._-]+", item)[0] for item in direct)
    lines = (HERE / "requirements.txt").read_text().splitlines()
    pins = []
    for name in names:
        locked = [
            line.removesuffix("\\").strip() for line in lines if re.match(rf"{re.escape(name)}==", line)
        ]
        pins += [f'      - "{PLATFORM.sub("", pin)}"' for pin in locked]
    return "\n".join(
        [
            "# Made by `make lock` from pyproject.toml and requirements.txt; do not edit.",
            "name: prunescope",
            "channels:",
            "  - conda-forge",
            "dependencies:",
            f"  - python {project['requires-python']}",
            "  - pip",
            "  - pip:",
            *pins,
            "",
        ]
    )


if __name__ == "__main__":
    (HERE / "prunescope.yaml").write_text(environment())
