"""Nothing is lost or silently wrong: killed jobs, full disks, damaged files, two runs at once."""

import ctypes
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import h5py
import pandas as pd
import pytest

from forked import SECONDS
from processes import kill, scripts_of

KILLS = int(os.environ.get("PRUNESCOPE_KILLS", "20"))
SEED = int(os.environ.get("PRUNESCOPE_KILL_SEED", "0"))
MATRIX = "results/tiny/similarity.parquet"


@pytest.mark.slow
def test_killed_again_and_again_it_ends_in_the_same_bytes(create, built, tmp_path):
    """SIGKILL at random moments: of the running script, or of Snakemake itself (its scripts keep running)."""
    project = create(tmp_path / "project")
    chance, victims = random.Random(SEED), {"script": 0, "snakemake": 0}
    with ExitStack() as started:  # scripts without their Snakemake go on until the end of the test
        for _ in range(5 * KILLS):
            process = started.enter_context(project.running())
            whole_workflow = chance.random() < 0.3
            while not scripts_of(process.pid) and process.poll() is None:
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 3))
            scripts = scripts_of(process.pid)
            if whole_workflow and process.poll() is None:
                kill(process)
                victims["snakemake"] += 1
            elif scripts:
                kill(chance.choice(scripts))
                victims["script"] += 1
            process.wait(timeout=SECONDS)
            if whole_workflow:
                project.snakemake("--unlock")
            if sum(victims.values()) >= KILLS:
                break
            if (project.folder / MATRIX).exists():  # finished: start again from somewhere in the middle
                for pattern in ("*.parquet", "seed*/round1/*", "seed1/round2/*"):
                    for file in (project.folder / "results/tiny").glob(pattern):
                        if file.is_file():
                            file.unlink()
    project.snakemake("--resources", "gpu=0")
    assert min(victims.values()) > 0, victims
    for path in [
        "similarity.parquet",
        "accuracy.parquet",
        *(f"seed{s}/round2/checkpoint.pt" for s in (0, 1)),
    ]:
        assert (project.folder / "results/tiny" / path).read_bytes() == (
            built.folder / "results/tiny" / path
        ).read_bytes()
    assert project.jobs() == set()


def flip_a_number(path: Path) -> None:
    """Change a bit that only the reader of the data can notice."""
    with h5py.File(path) as file:
        place = file["layers/relu2"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[place + 100] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_named_by_its_reader_and_the_log_survives_the_next_attempt(project):
    folder = project.folder / "results/tiny/seed0/round2"
    flip_a_number(folder / "activations.h5")
    (folder / "similarity.parquet").unlink()
    done = project.snakemake("--retries", "1", "results/tiny/seed0/round2/similarity.parquet", check=False)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    folder = project.folder / "results/logs/tiny/seed0/round2"
    logs = sorted(path.name for path in folder.glob("compare_round*"))
    assert logs[:2] == ["compare_round.attempt1.log", "compare_round.attempt2.log"]
    assert "activations.h5: layer relu2: damaged" in (folder / logs[0]).read_text()


@pytest.mark.parametrize(
    ("damaged", "wanted"),
    [
        ("seed0/round1/checkpoint.pt", "seed0/round1/activations.h5"),
        ("seed0/round1/activations.h5", "seed0/round1/similarity.parquet"),
        ("seed0/round1/similarity.parquet", "similarity.parquet"),
        ("../data/digits.h5", "seed0/round1/activations.h5"),
    ],
)
def test_a_truncated_file_is_named_and_made_again(project, damaged, wanted):
    folder = project.folder / "results/tiny"
    before = (folder / wanted).read_bytes()
    content, times = (folder / damaged).read_bytes(), (folder / damaged).stat()
    (folder / damaged).write_bytes(content[: len(content) * 2 // 3])
    os.utime(folder / damaged, ns=(times.st_atime_ns, times.st_mtime_ns))
    (folder / wanted).unlink()
    done = project.snakemake(f"results/tiny/{wanted}", "--resources", "gpu=0")
    line = next(line for line in done.stdout.splitlines() if "is not the file that the job wrote" in line)
    assert Path(damaged).name in line
    assert (folder / damaged).read_bytes() == content and (folder / wanted).read_bytes() == before


@pytest.mark.parametrize(
    ("job", "name", "size", "first"),
    [
        ("extract_activations", "activations.h5", 200_000, "activations.h5"),
        pytest.param("prune_round", "checkpoint.pt", 30_000, ".training-state.pt", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_leaves_no_incomplete_file_and_freeing_space_is_enough(project, job, name, size, first):
    file = f"results/tiny/seed0/round1/{name}"
    before = (project.folder / file).read_bytes()
    (project.folder / file).unlink()

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    with project.running(file, preexec_fn=small_files_only) as process:
        assert process.wait(timeout=SECONDS) != 0
    assert not (project.folder / file).exists()
    assert not list((project.folder / file).parent.glob(".*.part*")), "no litter"
    line = f"{job} tiny 0 1: results/tiny/seed0/round1/{first}: cannot be written: File too large; "
    assert line in project.printed and "Traceback" not in project.printed
    project.snakemake(file, "--resources", "gpu=0")
    assert (project.folder / file).read_bytes() == before


@pytest.mark.slow
def test_two_snakemakes_at_once_the_second_steps_back(project):
    (project.folder / MATRIX).unlink()
    for path in (project.folder / "results/tiny").glob("seed*/round2/*"):
        if path.is_file():
            path.unlink()
    with project.running() as first:
        while not scripts_of(first.pid):
            assert first.poll() is None
            time.sleep(0.05)
        # The first one is stopped meanwhile: files that it deletes or writes would end the second one sooner.
        os.killpg(first.pid, signal.SIGSTOP)
        second = project.snakemake(check=False)
        os.killpg(first.pid, signal.SIGCONT)
        assert second.returncode != 0 and "lock" in second.stdout.lower()
        assert first.wait(timeout=SECONDS) == 0
    assert (project.folder / MATRIX).exists()


def test_keep_going_finishes_the_other_seed_and_names_the_failed_one(project):
    results = project.folder / "results/tiny"
    (project.folder / MATRIX).unlink()
    for seed in (0, 1):
        for name in ("activations.h5", "similarity.parquet"):
            (results / f"seed{seed}/round2/{name}").unlink()
    flip_a_number(results / "seed0/round1/activations.h5")
    done = project.snakemake("--keep-going", check=False)
    assert done.returncode != 0
    assert (results / "seed1/round2/similarity.parquet").exists()
    end = done.stdout.splitlines()[-12:]
    assert any("results/logs/tiny/seed0/round2/compare_round.log" in line for line in end), done.stdout


def test_files_from_a_clock_that_was_ahead_are_named_and_touching_them_is_enough(project):
    """Times do not count in the plan, but Snakemake runs no job with inputs from the future."""
    future = time.time() + 3600
    results = project.folder / "results/tiny"
    for name in ("activations.h5", "checkpoint.pt", "metrics.json", "training.csv"):
        os.utime(results / "seed0/round2" / name, (future, future))
    assert project.jobs() == set()
    row = "results/tiny/seed0/round2/similarity.parquet"
    before = (project.folder / row).read_bytes()
    (project.folder / row).unlink()
    refused = project.snakemake(row, check=False)
    assert refused.returncode != 0 and "Traceback" not in refused.stdout
    assert re.search(r"than input results/tiny/seed0/round2/activations\.h5 .* clock skew", refused.stdout)
    subprocess.run("find results/ -newermt now -exec touch {} +", shell=True, cwd=project.folder, check=True)
    project.snakemake(row)
    assert (project.folder / row).read_bytes() == before


def test_a_download_without_a_network_is_refused_in_one_line(tmp_path, create):
    project, nobody = create(tmp_path / "project"), "http://127.0.0.1:9"
    done = project.snakemake(
        "results/data/mnist.h5", check=False, http_proxy=nobody, https_proxy=nobody, no_proxy=""
    )
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert [line.split(" (")[0] for line in done.stdout.splitlines() if "MNIST" in line] == [
        "prepare_dataset mnist: data set MNIST under data.root = data: missing or damaged"
    ]
    assert not list((project.folder / "results/data").glob("*"))


def obey_permissions():
    """Remove root's capability to write anywhere, for the process that is about to start."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, 1)  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE


def may_write(folder: Path) -> bool:
    program = "import os, sys; sys.exit(not os.access(sys.argv[1], os.W_OK))"
    return not subprocess.call([sys.executable, "-c", program, folder], preexec_fn=obey_permissions)


READ_ONLY = {
    "results/tiny": "assemble_matrix tiny: results/tiny: folder is not writable",
    "results/logs": "prunescope: results/logs: folder is not writable",
    "results/benchmarks": "prunescope: results/benchmarks: folder is not writable",
    ".snakemake": "prunescope: .snakemake: folder is not writable",
}


@pytest.mark.parametrize(
    "folder",
    [
        "results/tiny",
        ".snakemake",
        *(pytest.param(f"results/{name}", marks=pytest.mark.slow) for name in ("logs", "benchmarks")),
    ],
)
def test_a_read_only_folder_is_named_and_making_it_writable_is_enough(project, folder):
    before = (project.folder / MATRIX).read_bytes()
    (project.folder / MATRIX).unlink()
    (project.folder / "results/tiny/receipts/assemble_matrix.json").unlink()
    kept = {path: path.stat().st_mtime_ns for path in (project.folder / "results/tiny").rglob("*.*")}
    (project.folder / folder).chmod(0o555)
    try:
        if may_write(project.folder / folder):
            pytest.skip("root may write anywhere here, and this cannot be taken from it")
        with project.running(MATRIX, preexec_fn=obey_permissions) as process:
            assert process.wait(timeout=SECONDS) != 0
    finally:
        (project.folder / folder).chmod(0o755)
    (reason,) = (text for text in project.printed.splitlines() if "not writable" in text)
    assert reason.startswith(READ_ONLY[folder]) and "Traceback" not in project.printed
    found = {path: path.stat().st_mtime_ns for path in (project.folder / "results/tiny").rglob("*.*")}
    assert found == kept
    project.snakemake(MATRIX)
    assert (project.folder / MATRIX).read_bytes() == before


@pytest.mark.slow
def test_after_a_kill_at_any_stage_no_old_matrix_is_taken_for_a_new_one(project):
    """An existing target must not hide that a job before it was killed."""
    project.add_keys("{seeds: [0], pruning: {densities: [0.8, 0.5]}}")
    for stage in ("prune_round", "extract_activations", "compare_round", "assemble_matrix"):
        with project.running(MATRIX) as process:
            victims = []
            while not victims:
                assert process.poll() is None, f"{stage} never ran"
                time.sleep(0.01)
                # Rules that compare share a script.
                victims = scripts_of(
                    process.pid, stage.removesuffix("_round") if "compare" in stage else stage
                )
            for victim in victims:
                kill(victim)
            assert process.wait(timeout=SECONDS) != 0
        assert any(job.startswith(stage) for job in project.jobs(MATRIX)), f"{stage} was killed"
    assert not (project.folder / MATRIX).exists(), "the job that writes it was killed"
    project.snakemake("--resources", "gpu=0", "--", MATRIX)
    assert set(pd.read_parquet(project.folder / MATRIX)["density_a"].round(3)) == {1, 0.8, 0.5}
    assert project.jobs(MATRIX) == set()


def test_files_of_other_seeds_and_rounds_are_made_again(project):
    results = project.folder / "results/tiny"
    swapped = {
        "seed0/round2/checkpoint.pt": "seed1/round2/checkpoint.pt",
        "seed1/round1/activations.h5": "seed1/round0/activations.h5",
        "seed0/round0/similarity.parquet": "seed1/round0/similarity.parquet",
        "accuracy.parquet": "similarity.parquet",
    }
    right = {file: (results / file).read_bytes() for file in (*swapped, "similarity.parquet")}
    for file, other in swapped.items():
        times = (results / file).stat()
        shutil.copy(results / other, results / file)
        os.utime(results / file, ns=(times.st_atime_ns, times.st_mtime_ns))
    # Without figures and report, which take longer than all the rest.
    project.snakemake(*(f"results/tiny/{file}" for file in right), "--resources", "gpu=0")
    assert {file: (results / file).read_bytes() for file in right} == right
