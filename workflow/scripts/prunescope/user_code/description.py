"""What a file of the user's own project says about a kind that it defines.

The file is imported in a process of its own, because a plan must not import torch, and once for the same
content of the file and of all that it imports.
"""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

from prunescope import records, user_code
from prunescope.errors import InputError

LIBRARY = Path(__file__).resolve().parents[1]
MARK = "prunescope-description: "
WORDS = ("label", "reference", "url")


def described(**facts):
    """Describe a kind in a file of your own project: a decorator that keeps `facts` beside it.

    Parameters
    ----------
    label, reference, url : str, optional
        Its name in figures and reports, and what to cite. A measure needs a label and a reference.
    **facts
        Facts of its family, see docs/extending.md.

    Examples
    --------
    >>> import prunescope as ps
    >>> @ps.described(label="first CCA", reference="H. Hotelling, 1936.", unchanged_by="linear maps")
    ... def first(pair):
    ...     return pair.correlations[0]
    """

    def keep(definition):
        definition.described = facts
        return definition

    return keep


def description(path: Path, definition: str, given: int, base: str, code: str) -> dict:
    """Return what a user's file says about a function or class; `given` and `base` as in `kinds.Family`.

    `code` is the digest of the file and of all that it imports. The result has ``facts``; ``summary``, a
    sentence; of its settings, ``defaults`` by name and the names of those that are ``required``.
    """
    key = [definition, given, base, code]
    return records.remember("kind", key, lambda: _ask(path, definition, given, base))


def _ask(*question) -> dict:
    """Describe a definition in a process of its own, because a plan must not import torch."""
    paths = [str(LIBRARY.parent), os.environ.get("PYTHONPATH")]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "prunescope.user_code.description", *map(str, question)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            user_code.FOLDER: str(user_code.root()),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise InputError((done.stderr.splitlines() or ["cannot be imported"])[-1])
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if not lines:
        raise InputError(f"{question[0].name} ends Python when it is imported")
    return json.loads(lines[-1].removeprefix(MARK))


def _describe(path: Path, definition: str, given: int, base: str) -> dict:
    """Import the file and describe the definition."""
    defined = user_code.load(path, definition)
    if base:
        classes = inspect.getmro(defined) if inspect.isclass(defined) else ()
        bases = [f"{one.__module__}:{one.__qualname__}" for one in classes]
        if f"prunescope.{base}" not in bases:
            raise InputError(f"{definition} must be a class that extends prunescope.{base.replace(':', '.')}")
    elif inspect.isclass(defined) or not callable(defined):
        raise InputError(f"{definition} must be a function, not a {type(defined).__name__}")
    parameters = list(inspect.signature(defined).parameters.values())
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    further = [one for one in parameters if one not in positional[:given]]
    named = [one for one in further if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if len(positional) < given or any(one.kind == one.POSITIONAL_ONLY for one in further):
        raise InputError(f"{definition} must take {given} arguments and then only parameters with names")
    defaults = {one.name: one.default for one in named if one.default is not one.empty}
    facts = dict(getattr(defined, "described", {}))
    for key, value in [*facts.items(), *defaults.items()]:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise InputError(
                f"{definition}: {key} must be text, true, false or a finite number, not {value!r}"
            ) from None
    for key in WORDS:
        if not isinstance(facts.get(key, ""), str) or "\n" in facts.get(key, ""):
            raise InputError(f"{definition}: {key} must be a text of one line")
    return {
        "facts": facts,
        "summary": " ".join((inspect.getdoc(defined) or "").split("\n\n")[0].split()).rstrip("."),
        "defaults": defaults,
        "required": [one.name for one in named if one.default is one.empty],
    }


if __name__ == "__main__":
    try:
        answer = _describe(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
    except InputError as error:
        sys.exit(str(error))
    print(f"\n{MARK}{json.dumps(answer)}", flush=True)
