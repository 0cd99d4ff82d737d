# Identity and origin of every file: the settings and code of its rule and of all rules before it.
#
# A job's parameter `provenance` contains this for its output and for each input. Scripts write it into their outputs
# and compare it with the values in their inputs. It also makes a target out of date as soon as anything before it has
# changed, even if a file in between is missing: Snakemake alone does not look past a target that exists.
import hashlib
import json

from snakemake.io import apply_wildcards
from snakemake.rules import Wildcards

# The names of experiments, and the modification times of a source's files, must not affect the bytes of a result.
ONLY_HERE = {"provenance", "owners"}
STAMP = "stamp"
# Rules with the parameter `provenance`.
STAGES = []


@cache
def producer(path):
    """The rule that makes a file, and the values of its wildcards."""
    for name in STAGES:
        stage = getattr(rules, name).rule
        if stage.is_producer(path):
            return name, Wildcards(fromdict=stage.get_wildcards(path))
    raise WorkflowError(f"no rule makes {path}")


@cache
def identity(path):
    """Experiment, seed, round or data set of a file, and its recipe."""
    wildcards = producer(path)[1]
    numbers = {key: int(wildcards[key]) for key in ("seed", "round") if key in wildcards.keys()}
    # The rule that trains round 0 has no wildcard for the round.
    if Path(path).parent.name == "round0":
        numbers["round"] = 0
    return {**dict(wildcards.items()), **numbers, "recipe": recipes(path)[0]}


@cache
def recipes(path):
    """Two digests of the settings and code behind a file, without and with the stamps of sources.

    They do not depend on the experiment's name.
    """
    name, wildcards = producer(path)
    settings = {
        key: value(wildcards) if callable(value) else value
        for key, value in getattr(rules, name).params.items()
        if key not in ONLY_HERE
    }
    place = {key: value for key, value in wildcards.items() if key != "experiment"}
    inputs = [recipes(file) for file in inputs_of(name, wildcards)]
    plain = {key: value for key, value in settings.items() if key != STAMP}
    return tuple(
        digest_of([name, place, own, [pair[which] for pair in inputs]])
        for which, own in enumerate((plain, settings))
    )


def digest_of(values):
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def inputs_of(name, wildcards):
    """The files that a rule reads, in order."""
    found = []
    for item in getattr(rules, name).input:
        files = item(wildcards) if callable(item) else apply_wildcards(str(item), wildcards)
        found += [files] if isinstance(files, str) else files
    return found


def provenance(name):
    """The parameter `provenance` of a rule's jobs. It depends on wildcards alone: no other is a reason to rerun."""

    def of_job(wildcards):
        path = apply_wildcards(str(getattr(rules, name).output[0]), wildcards)
        return {
            "own": identity(path),
            "inputs": [identity(file) for file in inputs_of(name, wildcards)],
            "stamped": recipes(path)[1],
        }

    STAGES.append(name)
    return of_job
