"""What earlier jobs have left: how their receipts differ from the jobs of now, and hashes of their files."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from prunescope import identity, records
from prunescope.errors import InputError
from prunescope.files import read_json, write_json

MOST_DIFFERENCES = 3
CODE = "its code has changed"
# Environment variable that lets a plan accept results of older code.
ACCEPT = "PRUNESCOPE_ACCEPT"


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
    before, now = (
        dict(identity.leaves(one)) for one in (given, json.loads(json.dumps({**versions, **settings})))
    )
    if now.get("code") in receipt.get("accepted_code", ()):
        before["code"] = now["code"]
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if keys == ["code"]:
        return CODE
    keys = [key for key in keys if key != "code"]
    lines = [f"{key} was {_short(before.get(key))}, is {_short(now.get(key))}" for key in keys]
    return "; ".join(lines[:MOST_DIFFERENCES] + ["..."] * (len(keys) > MOST_DIFFERENCES))


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def accept(receipt: str | Path, code: str) -> None:
    """Note in a receipt that its outputs stand for what other code would write; `code` is its digest.

    The digest of the code that wrote the outputs stays in the settings.
    """
    job = read_json(receipt)
    write_json(receipt, {**job, "accepted_code": [*job.get("accepted_code", []), code]})


def receipts(folder: str | Path) -> list[dict]:
    """Return the receipts behind the results in a folder, and behind their inputs, in order of path."""
    todo, jobs = sorted(Path(folder).glob(f"**/{identity.FOLDER}/*.json")), {}
    if not todo:
        raise InputError(f"{folder}: no receipts; run the experiment first, in the folder that has results/")
    while todo:
        path = todo.pop()
        if str(path) not in jobs and (job := identity.read(path)):
            jobs[str(path)] = {"receipt": str(path), **job}
            makers = (identity.receipt_beside(one["path"]) for one in job["inputs"])
            todo += [maker for maker in makers if maker]
    return [jobs[path] for path in sorted(jobs)]


class Hashes:
    """The hashes of files, kept between plans: computed again when a file's size, times or inode change."""

    def __init__(self):
        self._kept = records.read("hashes") or {}
        self._changed = False

    def of(self, path: str) -> str | None:
        """Return the hash of a file or folder; None if it does not exist."""
        stamp = list(_stamps(Path(path)))
        if not stamp:
            return None
        if self._kept.get(path, [None])[0] != stamp:
            self._kept[path], self._changed = [stamp, identity.content(path)], True
        return self._kept[path][1]

    def save(self) -> None:
        """Keep the hashes for the next plan, if any is new."""
        if self._changed:
            records.write("hashes", self._kept)


def _stamps(path: Path) -> Iterator[list[int]]:
    for part in identity.files_in(path) if path.is_dir() else [path]:
        try:
            stat = part.stat()
        except OSError:
            return
        # The time of the last change of the inode cannot be set, so a restored modification time is noticed.
        yield [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
