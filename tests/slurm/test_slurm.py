"""The workflow on a real SLURM: `make test-slurm` starts one on loopback, with a simulated GPU."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

REPOSITORY = Path(__file__).parents[2]
CLUSTER = Path(__file__).with_name("cluster.sh")
FOREIGN = 3
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
QUICK = "--seconds-between-status-checks 2 --slurm-init-seconds-before-status-checks 2 --latency-wait 5"
PROFILE = (
    f"--workflow-profile profiles/slurm --slurm-status-command squeue --slurm-no-account {QUICK}".split()
)
FILES = (
    "similarity.parquet",
    "accuracy.parquet",
    "seed0/round1/checkpoint.pt",
    "seed0/round1/activations.h5",
)


@pytest.fixture(scope="module")
def cluster():
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"a real SLURM needs root and {', '.join(missing or PROGRAMS)}: run `make test-slurm` as root"
        )
    started = subprocess.run([CLUSTER, "start"], stderr=subprocess.PIPE, text=True, timeout=60)
    if started.returncode == FOREIGN:
        pytest.skip(started.stderr.strip())
    assert started.returncode == 0, started.stderr
    yield
    subprocess.run([CLUSTER, "stop"], check=True, timeout=60)


@pytest.fixture(scope="module")
def short(create, tmp_path_factory):
    """One seed and one pruning round, not yet run; and the same project run without SLURM."""
    project = create(tmp_path_factory.mktemp("slurm") / "project")
    project.add_keys("{seeds: [0], rounds: 1}")
    local = project.copy(tmp_path_factory.mktemp("local") / "project")
    local.snakemake("--resources", "gpu=0")
    return project, local


def option(name: str) -> list[str]:
    """The options in a comment of profiles/slurm/config.yaml, from the line that begins with this one."""
    text = (REPOSITORY / "profiles/slurm/config.yaml").read_text()
    options = re.search(rf"^# ({name} .*)$", text, re.MULTILINE)[1]
    assert f"`{options}`" in (REPOSITORY / "docs/clusters.md").read_text()
    return options.split()


def numbers() -> set[int]:
    return {job["job_id"] for found in jobs().values() for job in found}


def jobs() -> dict[str, dict]:
    """Jobs that SLURM knows, finished ones included, by the rule in their comment."""
    found = {}
    for job in json.loads(subprocess.check_output(["squeue", "--json", "--states=all"]))["jobs"]:
        found.setdefault(re.sub(r"^(rule_)?|_wildcards.*$", "", job["comment"]), []).append(job)
    return found


def same_bytes(project, local) -> bool:
    folders = [part.folder / "results/tiny" for part in (project, local)]
    return all(len({(folder / name).read_bytes() for folder in folders}) == 1 for name in FILES)


def test_the_profile_asks_for_what_each_job_needs_and_gives_the_same_bytes(cluster, short, tmp_path):
    project, local = short
    project = project.copy(tmp_path / "project")
    project.snakemake(*PROFILE)
    assert same_bytes(project, local)
    asked = {
        rule: [bool(job["tres_per_job"] or job["tres_per_node"]) for job in found]
        for rule, found in jobs().items()
    }
    assert {rule for rule, gpus in asked.items() if any(gpus)} == {
        "train_dense",
        "prune_round",
        "extract_activations",
    }
    assert all(all(gpus) for rule, gpus in asked.items() if rule in ("train_dense", "prune_round"))
    assert "compare_round" in asked
    assert "prepare_dataset" not in asked and "assemble_matrix" not in asked, "they run where snakemake runs"
    limits = {job["time_limit"] for job in jobs()["train_dense"]}
    assert limits and 0 not in limits


def test_a_whole_chain_is_one_job_per_seed_with_one_gpu_and_gives_the_same_bytes(cluster, short, tmp_path):
    project, local = short
    project = project.copy(tmp_path / "project")
    project.add_keys("{seeds: [0, 1]}")
    project.edit("profiles/slurm/config.yaml", "# groups:", "groups:")
    last = [f"results/tiny/seed{seed}/round1/checkpoint.pt" for seed in (0, 1)]
    before = numbers()
    project.snakemake(*last, *PROFILE)
    chains = [job for found in jobs().values() for job in found if job["job_id"] not in before]
    assert [(job["tres_per_job"], job["time_limit"]) for job in chains] == 2 * [("gres:gpu:1", 2 * 30)]
    assert (project.folder / last[0]).read_bytes() == (local.folder / last[0]).read_bytes()
    assert (project.folder / last[1]).is_file()


def test_a_gpu_can_be_asked_for_with_gres(cluster, short, tmp_path):
    project, _ = short
    project = project.copy(tmp_path / "project")
    profile = project.folder / "profiles/slurm/config.yaml"
    lines = re.sub(r"^# (set-resources:|  \w+: {gpu: 0)", r"\1", profile.read_text(), flags=re.MULTILINE)
    profile.write_text(lines)
    before = numbers()
    project.snakemake("results/tiny/seed0/round0/activations.h5", *PROFILE)
    asked = [job for found in jobs().values() for job in found if job["job_id"] not in before]
    assert [(job["tres_per_node"], job["tres_per_job"]) for job in asked] == 2 * [("gres:gpu:1", "")]


def test_extraction_goes_as_one_array_and_gives_the_same_bytes(cluster, short, tmp_path):
    _, local = short
    project = local.copy(tmp_path / "project")
    before = numbers()
    project.snakemake(*PROFILE, *option("--slurm-array-jobs"), "--forcerun", "extract_activations")
    tasks = [job for job in jobs()["extract_activations"] if job["job_id"] not in before]
    assert sorted(job["array_task_id"] for job in tasks) == [1, 2]
    assert len({job["array_job_id"] for job in tasks}) == 1
    assert same_bytes(project, local)


def test_a_cancelled_and_a_killed_job_are_run_again(cluster, short, tmp_path):
    project, local = short
    project = project.copy(tmp_path / "project")
    with open(tmp_path / "output", "w") as output:
        command = [sys.executable, "-m", "snakemake", *PROFILE]
        process = subprocess.Popen(command, cwd=project.folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        subprocess.run(["scancel", str(wait_for(process, "train_dense")["job_id"])], check=True)
        wait_for(process, "prune_round")
        script = wait_for_script(process, project, "prune_round")
        script.kill()
        assert process.wait(timeout=600) == 0, (tmp_path / "output").read_text()[-3000:]
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
    assert same_bytes(project, local)


def wait_for(process, rule: str) -> dict:
    """Wait until a job of this rule runs that did not run before."""
    before = {job["job_id"] for job in jobs().get(rule, [])}
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        for job in jobs().get(rule, []):
            if job["job_id"] not in before and job["job_state"] == "RUNNING":
                return job
        time.sleep(0.2)
    raise AssertionError(f"{rule} never ran")


def wait_for_script(process, project, rule: str) -> psutil.Process:
    """Wait until the script of a job runs in this project."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        for candidate in psutil.process_iter(["cmdline"]):
            line = " ".join(candidate.info["cmdline"] or [])
            if line.endswith(f".{rule}.py") and str(project.folder) in line and "bash" not in line:
                return candidate
        time.sleep(0.05)
    raise AssertionError(f"the script of {rule} never ran")


def test_another_executor_needs_no_change_of_rules(cluster, short, tmp_path):
    """The generic executor submits each job as a script, here with plain sbatch."""
    project, local = short
    project = project.copy(tmp_path / "project")
    generic = "--executor cluster-generic --jobs 4 --latency-wait 5 --seconds-between-status-checks 1"
    submit = "sbatch --parsable --cpus-per-task={threads} --mem={resources.mem_mb}"
    project.snakemake(*generic.split(" "), "--cluster-generic-submit-cmd", submit)
    assert same_bytes(project, local)
