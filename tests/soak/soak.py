"""Kills, edits and flipped bits at random: no result may be wrong without an error.

``make soak`` runs it. It prints how many trials of each kind passed, and for every failed trial what is
needed to repeat it. The exit status is 1 if any trial failed.

- *kills*: an experiment is changed and run; a script, or Snakemake itself, is killed at a random moment; the
  same command then has to end in the matrix of an undisturbed run, byte for byte.
- *edits*: the same without a kill; half of them change the file while the workflow is running.
- *flips*: one bit of one product is flipped and the product is read, as the rule that uses it does. It has to
  be refused with an `InputError`, or to give the same content.
"""

import argparse
import collections
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from processes import kill, scripts_of
from projects import Project
from prunescope import checkpoints, files, identity, logits
from prunescope.activations import store
from prunescope.data import datasets
from prunescope.errors import InputError

TARGET = "results/tiny/similarity.parquet"
# Variants of one experiment: each changes another stage.
VARIANTS = {
    "as it is": "{}",
    "learning rate": "training: {optimizer: {name: sgd, lr: 0.05, momentum: 0.9}}",
    "densities": "pruning: {densities: [0.6, 0.3]}",
    "rate": "pruning: {rate: 0.4}",
    "one round": "rounds: 1",
    "layers": "activations: {layers: [ReLU]}",
    "measures": "similarity: {measures: [cka]}",
}


# --- kills and edits --------------------------------------------------------------------------------------


def change(project: Project, variant: str) -> None:
    text = "extends: digits-lenet\nseeds: [0]\nrounds: 2\ntraining: {epochs: 2, schedule: {name: constant}}\n"
    (project.folder / "config/experiments/tiny.yaml").write_text(text)
    project.add_keys(VARIANTS[variant])


def start(project: Project) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--resources", "gpu=0", "--", TARGET]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=project.folder, start_new_session=True, **quiet)


def disturb(project: Project, chance: random.Random, kind: str, variant: str) -> None:
    """Start the workflow and, at a random moment, kill something or change the experiment."""
    process, other = start(project), chance.choice([name for name in VARIANTS if name != variant])
    time.sleep(chance.uniform(0, 25))
    if kind == "edits":
        change(project, other)
    elif chance.random() < 0.5:
        process.kill()
    elif scripts := scripts_of(process.pid):
        kill(chance.choice(scripts))
    process.wait()
    project.snakemake("--unlock")
    change(project, variant)


def disturbances(folder: Path, chance: random.Random, kinds: list[str]) -> collections.Counter:
    """Run trials one after another in the same folder, each from the state that the previous ones left."""
    held: collections.Counter = collections.Counter()
    references: dict[str, bytes] = {}
    project = Project.create(folder / "soak")
    for number, kind in enumerate(kinds):
        variant = chance.choice(list(VARIANTS))
        if variant not in references:
            clean = Project.create(folder / f"clean{len(references)}")
            change(clean, variant)
            clean.snakemake("--resources", "gpu=0", "--", TARGET)
            references[variant] = (clean.folder / TARGET).read_bytes()
        change(project, variant)
        if kind == "kills" or chance.random() < 0.5:
            disturb(project, chance, kind, variant)
        done = project.snakemake("--resources", "gpu=0", "--rerun-incomplete", "--", TARGET, check=False)
        same = done.returncode == 0 and (project.folder / TARGET).read_bytes() == references[variant]
        held[kind, same] += 1
        if not same:
            print(
                f"{kind}, trial {number}, {variant!r}: exit status {done.returncode}, another matrix or none"
            )
            print("\n".join(done.stdout.splitlines()[-10:]), flush=True)
    return held


# --- flips ------------------------------------------------------------------------------------------------


def activations(path: Path) -> list:
    with store.recordings([path]) as (recording,):
        found = [recording.seed, recording.round, recording.dataset, recording.view, recording.positions]
        found.append(recording.examples[...])
        for name, matrix in recording.matrices.items():
            found += [name, matrix.density, matrix.width, matrix.positions, matrix[0 : matrix.shape[0]]]
    return found


def predictions(path: Path) -> list:
    with logits.opened([path]) as (stored,):
        return [stored.labels, stored.classes, stored[0 : len(stored)]]


def dataset(path: Path) -> dict:
    prepared = vars(datasets.load(path))
    return prepared | {name: prepared[name][:] for name in ("train_images", "test_images")}


# The readers that rules use for a product, by the end of its name.
READERS = {
    "activations.h5": activations,
    "predictions.h5": predictions,
    "digits.h5": dataset,
    "rewind.pt": checkpoints.load_rewind,
    "checkpoint.pt": lambda path: vars(checkpoints.load(path)),
    "metrics.json": files.read_json,
    "training.csv": lambda path: files.read_csv(path).to_csv(),
    ".parquet": lambda path: files.read_parquet(path).to_csv(),
}


def digest(value) -> str:
    """Digest of nested content; numbers by their bits."""
    if isinstance(value, dict):
        return digest([[key, value[key]] for key in sorted(value)])
    if isinstance(value, list | tuple):
        return hashlib.sha256("".join(map(digest, value)).encode()).hexdigest()
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        text = f"{value.dtype} {value.shape}".encode()
        return hashlib.sha256(text + np.ascontiguousarray(value).tobytes()).hexdigest()
    return hashlib.sha256(repr(value).encode()).hexdigest()


OUTCOMES = ("the same", "refused", "WRONG", "TRACEBACK")


def read_in_child(read, path: Path, expected: str) -> str:
    """Read a damaged file as a job does, in a separate process: a library may crash or never return."""
    child = os.fork()
    if not child:
        code = 3
        try:
            signal.alarm(30)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            identity.check(path)
            code = 0 if digest(read(path)) == expected else 2
        except InputError:
            code = 1
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return OUTCOMES[status] if status >= 0 else signal.Signals(-status).name


def flips(results: Path, chance: random.Random, number: int) -> collections.Counter:
    """Repeatedly flip one bit of one product and read it, for each kind of product in turn."""
    found = {
        name: sorted(path for path in results.rglob(f"*{name}") if "logs" not in path.parts)
        for name in READERS
    }
    outcomes: collections.Counter = collections.Counter()
    for trial in range(number):
        name = list(READERS)[trial % len(READERS)]
        path = chance.choice(found[name])
        content, read = path.read_bytes(), READERS[name]
        expected, bit = digest(read(path)), chance.randrange(8 * len(content))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            outcome = read_in_child(read, path, expected)
        finally:
            path.write_bytes(content)
        outcomes[name, outcome] += 1
        if outcome not in OUTCOMES[:2]:
            print(f"flips: bit {bit} of {path.relative_to(results)}: {outcome}", flush=True)
    return outcomes


# --- all --------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("kills", 20), ("edits", 20), ("flips", 2000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    kinds = ["kills"] * given.kills + ["edits"] * given.edits
    chance.shuffle(kinds)
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        held = disturbances(Path(folder), chance, kinds)
        project = Project.create(Path(folder) / "flips")
        if given.flips:
            change(project, "as it is")
            project.snakemake("--resources", "gpu=0", "--", TARGET, "results/tiny/accuracy.parquet")
        outcomes = flips(project.folder / "results", chance, given.flips)
    for kind in dict.fromkeys(kinds):
        print(f"{kind}: {held[kind, True]} of {held[kind, True] + held[kind, False]} passed")
    for name in READERS if given.flips else ():
        parts = {outcome: count for (which, outcome), count in sorted(outcomes.items()) if which == name}
        print(f"flips in {name}: " + ", ".join(f"{count} {outcome}" for outcome, count in parts.items()))
    good = sum(count for (_, outcome), count in outcomes.items() if outcome in OUTCOMES[:2])
    print(f"flips: {good} of {given.flips} passed")
    return int(good < given.flips or any(not same for _, same in held))


if __name__ == "__main__":
    sys.exit(main())
