"""What each job read and wrote: the identity and integrity of results.

Every job leaves a receipt: a JSON file in the folder ``receipts`` beside its outputs, with its rule,
wildcards, settings (the rule's parameters, including the digest of its code) and the SHA-256 of every input
and output.

- A job believes an input only if it has the hash that the receipt of its maker holds, see `verified`.
- A plan believes an output only if its receipt describes what would be made now, see `difference` and
  workflow/rules/identity.smk. Snakemake's own records are not used.

For a sealed HDF5 file, the hash is that of its seal, which covers all its data; reading verifies the data.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prunescope import files
from prunescope.errors import InputError

FOLDER = "receipts"
MOST_DIFFERENCES = 3
CODE = "its code has changed"
# Environment variable that lets a plan accept results of older code.
ACCEPT = "PRUNESCOPE_ACCEPT"


def content(path: str | Path) -> str:
    """Return the SHA-256 of a file or of all files of a folder; an empty text if it cannot be read."""
    path = Path(path)
    try:
        if path.is_dir():
            parts = [[str(part.relative_to(path)), files.sha256(part)] for part in files_in(path)]
            return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        if path.suffix == ".h5":
            from prunescope import hdf5

            return hdf5.digest_of_seal(path)
        return files.sha256(path)
    except OSError:
        return ""


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder, without Snakemake's hidden time stamp."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def read(path: str | Path) -> dict | None:
    """Return a receipt; None if it is missing or damaged."""
    try:
        receipt = files.read_json(path)
        # Anything may be in a file that was edited or damaged.
        texts = [receipt["rule"], *(one[key] for one in receipt["inputs"] for key in ("path", "sha256"))]
        texts += [*receipt["wildcards"].values(), *receipt["outputs"].values()]
        texts += receipt.get("accepted_code", [])
        tables = [receipt["settings"], receipt["environment"]["packages"]]
    except (InputError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    right = all(isinstance(text, str) for text in texts) and all(isinstance(table, dict) for table in tables)
    return receipt if right else None


def settings(params: Mapping) -> dict:
    """Return a rule's parameters as settings, those of its parameter `settings` one by one.

    Of the user's files, the code without comments counts.
    """
    flat = {**params.get("settings", {}), **params}
    flat.pop("settings", None)
    user_code = {path: code for path, (_, code) in params.get("user_code", {}).items()}
    return flat | {"user_code": user_code} if user_code else flat


def receipt_beside(path: str | Path) -> Path | None:
    """Return the receipt that names a file; None if there is none."""
    path = Path(path)
    receipts = sorted(path.parent.glob(f"{FOLDER}/*.json"))
    return next((one for one in receipts if path.name in (read(one) or {"outputs": ()})["outputs"]), None)


def check(path: str | Path) -> None:
    """Refuse a file that is not the one that its job wrote. A file without a receipt is accepted."""
    if receipt := receipt_beside(path):
        verified([path], [receipt])


def verified(inputs: Iterable[str | Path], receipts: Iterable[str | Path]) -> list[dict]:
    """Return path and hash of each input after comparing it with the receipt of the job that wrote it."""
    written = {}
    for receipt in map(Path, receipts):
        outputs = (read(receipt) or {"outputs": {}})["outputs"]
        written |= {receipt.parents[1] / name: digest for name, digest in outputs.items()}
    identities = []
    for path in map(Path, inputs):
        if path not in written:
            raise InputError(f"{path}: has no receipt of the job that wrote it; delete it and run again")
        if content(path) != written[path]:
            raise files.damaged(path)
        identities.append({"path": str(path), "sha256": written[path]})
    return identities


def write(receipt: str | Path, outputs: Iterable[str | Path], job: Mapping) -> None:
    """Write the receipt of a job: ``rule``, ``wildcards``, ``settings``, ``inputs`` and what else is known.

    The `outputs`, which exist, are in the folder above the receipt's.
    """
    made = {Path(path).name: content(path) for path in outputs}
    # Another rule may have made these files before.
    for other in Path(receipt).parent.glob("*.json"):
        if made.keys() & (read(other) or {"outputs": {}})["outputs"].keys():
            other.unlink()
    files.write_json(receipt, {**job, "outputs": made})


def accept(receipt: str | Path, code: str) -> None:
    """Note in a receipt that its outputs stand for what other code would write; `code` is its digest.

    The digest of the code that wrote the outputs stays in the settings.
    """
    job = files.read_json(receipt)
    files.write_json(receipt, {**job, "accepted_code": [*job.get("accepted_code", []), code]})


def history(folder: str | Path) -> list[dict]:
    """Return the receipts behind the results in a folder, and behind their inputs, in order of path."""
    todo, jobs = sorted(Path(folder).glob(f"**/{FOLDER}/*.json")), {}
    if not todo:
        raise InputError(f"{folder}: no receipts; run the experiment first, in the folder that has results/")
    while todo:
        path = todo.pop()
        if str(path) not in jobs and (job := read(path)):
            jobs[str(path)] = {"receipt": str(path), **job}
            makers = (receipt_beside(one["path"]) for one in job["inputs"])
            todo += [maker for maker in makers if maker]
    return [jobs[path] for path in sorted(jobs)]


def difference(receipt: Mapping | None, wildcards: Mapping, settings: Mapping, versions: Mapping) -> str:
    """Say how a receipt differs from the job that would be run now; an empty text if it does not.

    The settings of a job are its parameters; `versions` are those of the packages that matter.
    """
    if not receipt:
        return "its receipt is missing or damaged"
    if receipt["wildcards"] != dict(wildcards):
        whose = ", ".join(f"{key} {value}" for key, value in receipt["wildcards"].items())
        return f"it belongs to {whose or 'another job'}"
    packages = receipt["environment"]["packages"]
    given = {key: packages.get(key) for key in versions} | receipt["settings"]
    before, now = (dict(_flat(one)) for one in (given, json.loads(json.dumps({**versions, **settings}))))
    if now.get("code") in receipt.get("accepted_code", ()):
        before["code"] = now["code"]
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if keys == ["code"]:
        return CODE
    keys = [key for key in keys if key != "code"]
    lines = [f"{key} was {_short(before.get(key))}, is {_short(now.get(key))}" for key in keys]
    return "; ".join(lines[:MOST_DIFFERENCES] + ["..."] * (len(keys) > MOST_DIFFERENCES))


def _flat(settings: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
