"""Targets: those of an experiment, and a check that some rule produces those given by name."""

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from prunescope.errors import InputError, guess
from prunescope.plan import compared, sharing, stages
from prunescope.plan.sizes import source_of
from prunescope.settings.load import Catalogue, load_experiment, load_lineage

# Suffixes of the files that rules write below results/.
PRODUCTS = (".h5", ".pt", ".csv", ".json", ".parquet", ".html", ".log", ".tsv")

# Files that only training writes.
TRAINED = ("training.csv", "rewind.pt")


def of_experiment(lineage: sharing.Lineage) -> list[str]:
    """Return the files that `rule all` makes of an experiment."""
    name, this = lineage[-1]
    levels = ["predictions.parquet", "weights.parquet", "channels.parquet"]
    levels += ["barriers.parquet"] if compared.lines(lineage) else []
    if stages.trains_again(this):
        return [f"results/{name}/{file}" for file in ("siblings.parquet", "accuracy.parquet", *levels)]
    files = ["similarity.parquet", "accuracy.parquet", *levels, "report.html", "findings.json"]
    files += ["figures"] if this["figures"]["formats"] else []
    files += ["spectrum.parquet"] if this["similarity"]["spectrum"] else []
    return [f"results/{name}/{file}" for file in files] + sharing.untrained_rows(lineage)


def check(targets: Iterable[str], patterns: list[str], catalogue: Catalogue, data: dict) -> None:
    """Refuse targets below results/ that no rule produces, or that are not part of their experiment.

    Parameters
    ----------
    targets : iterable of str
        As given on the command line; names of rules and other files are left to Snakemake.
    patterns : list of str
        Outputs of the rules, with wildcards as in ``results/{experiment}/similarity.parquet``.
    catalogue : Catalogue
    data : dict
        ``data`` of the top-level configuration.
    """
    # With a storage provider, outputs are the local copies.
    patterns = [re.sub(r"^\.snakemake/storage/.*/(?=results/)", "", pattern) for pattern in patterns]
    for target in map(os.path.normpath, targets):
        if target.startswith("results/"):
            _check(target, patterns, catalogue, data)


def check_results(folders: Iterable[Path]) -> None:
    """Refuse folders, pipes, devices and circular links in place of results: reading them may never end."""
    for start in folders:
        for folder, inner, names in os.walk(start):
            for path in (Path(folder, name) for name in (*inner, *names)):
                if path.suffix in PRODUCTS or path.name in names:
                    _check_file(path)


def _check_file(path: Path) -> None:
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:  # a broken link, or a temporary file that is gone: treated as missing
        return
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); delete it and run again") from None
    if not regular:
        kind = "folder" if path.is_dir() else "pipe or device"
        raise InputError(f"{path}: must be a file, not a {kind}; delete it and run again")


def _check(target: str, patterns: list[str], catalogue: Catalogue, data: dict) -> None:
    matches = [match for pattern in patterns if (match := _regex(pattern).fullmatch(target))]
    if not matches:
        folders = target.split("/")[1:-1]
        filled = [_fill(pattern, folders) for pattern in patterns]
        likely = [text for text in filled if "" not in text.split("/")]
        raise InputError(
            f"target {target}: no rule makes this file{guess(target, likely)}; see results/README.md"
        )
    # A data set's file also matches the patterns of an experiment named data: take the most literal pattern.
    wildcards = min((match.groupdict() for match in matches), key=len)
    if "dataset" in wildcards:
        source_of(wildcards["dataset"], data, f"target {target}: data set")
    if "experiment" not in wildcards:
        return
    name, seed, round = (wildcards.get(key) for key in ("experiment", "seed", "round"))
    catalogue.check(name, f"target {target}")
    experiment, where = load_experiment(name, catalogue), catalogue.where(name)
    untrained = target.startswith(f"results/{name}/untrained/")
    seeds = stages.untrained_seeds(experiment) if untrained else experiment["seeds"]
    if seed and seed not in map(str, seeds):
        raise InputError(
            f"target {target}: {where} has seeds {', '.join(map(str, seeds))}; add {seed} to seeds"
        )
    rounds = stages.rounds_of(experiment, int(seed)) if seed else experiment["rounds"]
    if round and round not in map(str, range(rounds + 1)):
        remedy = "add one to models" if "models" in experiment else "increase rounds"
        raise InputError(f"target {target}: {where} has rounds 0 to {rounds}; {remedy}")
    *_, folder, file = target.split("/")
    if "models" in experiment and seed and file in TRAINED:
        raise InputError(
            f"target {target}: nothing is trained in {name}, which has models; choose another file"
        )
    if seed and folder == "round0" and file in sharing.ROUND0:
        shared = sharing.network_file(load_lineage(name, catalogue), int(seed), 0, file)
        if shared != target:
            raise InputError(
                f"target {target}: {name} shares this file with an experiment that it extends; request "
                f"{shared}"
            )


def _regex(pattern: str) -> re.Pattern:
    """Return a regular expression for a Snakemake pattern; a repeated wildcard must match the same text."""
    parts, seen = [], set()
    for text, name in re.findall(r"([^{]*)(?:\{(\w+)[^}]*\}+)?", pattern):
        parts.append(re.escape(text))
        if name:
            digits = r"\d+" if name in ("seed", "round") else r"[^/]+"
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{digits})")
            seen.add(name)
    return re.compile("".join(parts))


def _fill(pattern: str, folders: list[str]) -> str:
    """Insert the target's experiment, seed and round into a pattern, to compare names."""
    text = "/".join(folders)
    numbers = {key: (re.search(rf"{key}(\d+)", text) or [0, "0"])[1] for key in ("seed", "round")}
    values = {"experiment": folders[0] if folders else "", "dataset": "", **numbers}
    return re.sub(r"\{(\w+)[^}]*\}+", lambda match: values.get(match[1], ""), pattern)
