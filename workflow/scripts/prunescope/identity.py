"""What each job read and wrote: the identity and integrity of results.

Every job leaves a receipt: a JSON file in the folder ``receipts`` beside its outputs, with its rule,
wildcards, settings (the rule's parameters, including the digest of its code) and the SHA-256 of every input
and output.

- A job believes an input only if it has the hash that the receipt of its maker holds, see `verified`.
- A plan believes an output only if its receipt describes what would be made now, see
  `prunescope.plan.history` and workflow/rules/identity.smk. Snakemake's own records are not used.

For a sealed HDF5 file, the hash is that of its seal, which covers all its data; reading verifies the data.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prunescope import files
from prunescope.errors import InputError

FOLDER = "receipts"


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


def leaves(settings: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield each value of nested settings with its dotted key."""
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def receipt_beside(path: str | Path) -> Path | None:
    """Return the receipt that names a file; None if there is none."""
    path = Path(path)
    receipts = sorted(path.parent.glob(f"{FOLDER}/*.json"))
    return next((one for one in receipts if path.name in (read(one) or {"outputs": ()})["outputs"]), None)


def check(path: str | Path) -> None:
    """Refuse a file that is not the one that its job wrote. A file without a receipt is accepted."""
    receipt = receipt_beside(path)
    if receipt and content(path) != read(receipt)["outputs"][Path(path).name]:
        raise files.damaged(path)


def verified(inputs: Iterable[str | Path], receipts: Iterable[str | Path]) -> list[dict]:
    """Return path and hash of each input after comparing it with the receipt of the job that wrote it.

    A receipt in the folder of another network than its own, such as a copy, does not count.
    """
    written = {}
    for receipt in map(Path, receipts):
        if (job := read(receipt)) and _belongs(job, receipt):
            written |= {receipt.parents[1] / name: digest for name, digest in job["outputs"].items()}
    identities = []
    for path in map(Path, inputs):
        if path not in written:
            raise InputError(f"{path}: has no receipt of the job that wrote it; delete it and run again")
        if content(path) != written[path]:
            raise files.damaged(path)
        identities.append({"path": str(path), "sha256": written[path]})
    return identities


def _belongs(job: Mapping, receipt: Path) -> bool:
    """Whether the wildcards of a job are in its receipt's path: no folder of another network was copied."""
    parts = receipt.with_suffix("").parts
    return all({value, f"{key}{value}"} & {*parts} for key, value in job["wildcards"].items())


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
