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


def test_the_log_of_a_failed_attempt_survives_the_next(project):
    checkpoint = project.folder / "results/tiny/seed0/round2/checkpoint.pt"
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    (project.folder / "results/tiny/seed0/round2/activations.h5").unlink()
    done = project.snakemake("--retries", "1", "results/tiny/seed0/round2/activations.h5", check=False)
    assert done.returncode != 0
    folder = project.folder / "results/logs/tiny/seed0/round2"
    logs = sorted(path.name for path in folder.glob("extract_activations*"))
    assert logs[:2] == ["extract_activations.attempt1.log", "extract_activations.attempt2.log"]
    assert "checkpoint.pt" in (folder / logs[0]).read_text()


@pytest.mark.parametrize(
    ("damaged", "wanted"),
    [
        ("seed0/round1/checkpoint.pt", "seed0/round1/activations.h5"),
        ("seed0/round1/activations.h5", "seed0/round1/similarity.parquet"),
        ("seed0/round1/similarity.parquet", "similarity.parquet"),
        ("../data/digits.h5", "seed0/round1/activations.h5"),
    ],
)
def test_a_truncated_file_is_named_and_never_used(project, damaged, wanted):
    folder = project.folder / "results/tiny"
    content, times = (folder / damaged).read_bytes(), (folder / damaged).stat()
    (folder / damaged).write_bytes(content[: len(content) * 2 // 3])
    os.utime(folder / damaged, ns=(times.st_atime_ns, times.st_mtime_ns))
    (folder / wanted).unlink()
    done = project.snakemake(f"results/tiny/{wanted}", check=False)
    assert done.returncode != 0 and not (folder / wanted).exists()
    line = next(line for line in done.stdout.splitlines() if Path(damaged).name in line and ": " in line)
    assert Path(damaged).name in line
    assert "Traceback (most recent call last)" not in done.stdout


@pytest.mark.parametrize(
    ("job", "name", "size", "first"),
    [
        ("extract_activations", "activations.h5", 200_000, "activations.h5"),
        ("prune_round", "checkpoint.pt", 30_000, ".training-state.pt"),
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
    checkpoint = results / "seed0/round2/checkpoint.pt"
    times = checkpoint.stat()
    checkpoint.write_bytes(b"broken")
    os.utime(checkpoint, ns=(times.st_atime_ns, times.st_mtime_ns))
    done = project.snakemake("--keep-going", check=False)
    assert done.returncode != 0
    assert (results / "seed1/round2/similarity.parquet").exists()
    end = done.stdout.splitlines()[-12:]
    assert any("results/logs/tiny/seed0/round2/extract_activations.log" in line for line in end), done.stdout


def test_files_from_a_clock_that_was_ahead_are_named_and_touching_them_is_enough(project):
    """They look newer than everything derived from them; up to a megabyte, Snakemake compares content."""
    future = time.time() + 3600
    for name in ("activations.h5", "checkpoint.pt", "metrics.json", "training.csv"):
        os.utime(project.folder / "results/tiny/seed0/round2" / name, (future, future))
    row = {"compare_round tiny 0 2", "assemble_matrix tiny", "draw_figures tiny", "write_report tiny"}
    assert project.jobs() == row, "of these files only activations.h5 is larger"
    before = (project.folder / MATRIX).read_bytes()
    refused = project.snakemake(MATRIX, check=False)
    assert refused.returncode != 0 and "Traceback" not in refused.stdout
    assert re.search(r"than input results/tiny/seed0/round2/activations\.h5 .* clock skew", refused.stdout)
    subprocess.run("find results/ -newermt now -exec touch {} +", shell=True, cwd=project.folder, check=True)
    project.snakemake(MATRIX)
    assert (project.folder / MATRIX).read_bytes() == before


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


def test_a_read_only_folder_is_named_and_making_it_writable_is_enough(project):
    before = (project.folder / MATRIX).read_bytes()
    (project.folder / MATRIX).unlink()
    kept = {path: path.stat().st_mtime_ns for path in (project.folder / "results/tiny").rglob("*.*")}
    for folder, line in (
        ("results/tiny", "assemble_matrix tiny: results/tiny: folder is not writable"),
        ("results/logs", "prunescope: results/logs: folder is not writable"),
        ("results/benchmarks", "prunescope: results/benchmarks: folder is not writable"),
        (".snakemake", "prunescope: .snakemake: folder is not writable"),
    ):
        (project.folder / "snakemake.out").unlink(missing_ok=True)
        (project.folder / folder).chmod(0o555)
        try:
            if may_write(project.folder / folder):
                pytest.skip("root may write anywhere here, and this cannot be taken from it")
            with project.running(MATRIX, preexec_fn=obey_permissions) as process:
                assert process.wait(timeout=SECONDS) != 0
        finally:
            (project.folder / folder).chmod(0o755)
        (reason,) = (text for text in project.printed.splitlines() if "not writable" in text)
        assert reason.startswith(line) and "Traceback" not in project.printed
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
                victims = scripts_of(process.pid, stage)
            for victim in victims:
                kill(victim)
            assert process.wait(timeout=SECONDS) != 0
        assert any(job.startswith(stage) for job in project.jobs(MATRIX)), f"{stage} was killed"
    assert not (project.folder / MATRIX).exists(), "the job that writes it was killed"
    project.snakemake("--resources", "gpu=0", "--", MATRIX)
    assert set(pd.read_parquet(project.folder / MATRIX)["density_a"].round(3)) == {1, 0.8, 0.5}
    assert project.jobs(MATRIX) == set()


def test_a_valid_file_of_another_seed_is_named_and_never_used(project):
    results = project.folder / "results/tiny"
    swapped = {
        "seed0/round2/checkpoint.pt": ("seed1/round2/checkpoint.pt", "seed0/round2/activations.h5"),
        "seed1/round1/activations.h5": ("seed1/round0/activations.h5", "seed1/round1/similarity.parquet"),
        "seed1/round0/metrics.json": ("seed0/round0/metrics.json", "accuracy.parquet"),
        "seed0/round0/similarity.parquet": ("seed1/round0/similarity.parquet", "similarity.parquet"),
    }
    right = {file: (results / file).read_bytes() for file in swapped}
    rows = (results / "seed1/round1/similarity.parquet").read_bytes()
    for file, (other, wanted) in swapped.items():
        times = (results / file).stat()
        shutil.copy(results / other, results / file)
        os.utime(results / file, ns=(times.st_atime_ns, times.st_mtime_ns))
        (results / wanted).unlink()
    targets = [f"results/tiny/{wanted}" for _, wanted in swapped.values()]
    first = project.snakemake("--keep-going", "--resources", "gpu=0", "--", *targets[:3], check=False)
    assert not any((project.folder / target).exists() for target in targets[:3])
    # Only the last file is wrong now.
    for file in list(swapped)[:3]:
        (results / file).write_bytes(right[file])
    (results / "seed1/round1/similarity.parquet").write_bytes(rows)
    second = project.snakemake(
        "--resources", "gpu=0", "--rerun-triggers", "code", "--", targets[3], check=False
    )
    printed = first.stdout + second.stdout
    assert first.returncode != 0 and second.returncode != 0 and "Traceback" not in printed
    for file, (other, _) in swapped.items():
        is_, should = (
            "experiment tiny, seed {}, round {}".format(*re.findall(r"\d", path)) for path in (other, file)
        )
        line = f"{file}: this file belongs to {is_}; expected {should}; delete the file and run again"
        assert line in printed, printed
    assert not (project.folder / targets[3]).exists()
