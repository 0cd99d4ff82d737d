"""Files that every job writes besides its outputs."""

import csv
import os
import re
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.iocontainers import Namedlist

from prunescope import digests, files, identity, jobs, provenance, user_code
from prunescope.errors import InputError
from prunescope.files import atomic_path
from prunescope.plan import history
from synthetic import JOB

RULES = Path(__file__).parents[2] / "workflow/rules"


def test_every_rule_has_log_and_benchmark_under_the_same_path():
    """`jobs.gpu_benchmark` derives one path from the other."""
    text = "".join(path.read_text() for path in RULES.glob("*.smk"))
    logs = re.findall(r'"(results/logs/.*)\.log"', text)
    benchmarks = re.findall(r'"(results/benchmarks/.*)\.tsv"', text)
    assert len(logs) == len(re.findall(r"^(?:use )?rule ", text, re.MULTILINE))
    assert [jobs.gpu_benchmark(f"{log}.log") for log in logs] == [Path(f"{b}.gpu.tsv") for b in benchmarks]


@pytest.mark.parametrize(
    "resources, granted",
    [({"gpu": 1}, True), ({"gpu": 0}, False), ({}, False), ({"gpu": 0, "gres": "gpu:a100:1"}, True)],
)
def test_gpu_is_granted_in_either_way(resources, granted):
    assert jobs.granted_gpu(SimpleNamespace(**resources)) == granted


def test_gpu_benchmark_is_a_table_of_one_line(tmp_path):
    path = tmp_path / "new/train_dense.gpu.tsv"
    jobs.write_gpu_benchmark(path, "NVIDIA A100", 12.34567, 3 * 2**20)
    with open(path) as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert rows == [{"gpu": "NVIDIA A100", "gpu_seconds": "12.3457", "peak_gpu_mb": "3.00"}]


def of_a_job(log: Path, *outputs: Path) -> SimpleNamespace:
    """The object that Snakemake passes to the script of a job without inputs."""
    return SimpleNamespace(
        input=Namedlist(),
        output=Namedlist(toclone=[str(path) for path in outputs]),
        log=[str(log)],
        rule="rule",
        wildcards=Namedlist(fromdict={"experiment": "a"}),
        threads=1,
        params=Namedlist(),
        resources=SimpleNamespace(gpu=0),
        config={},
    )


def test_a_job_without_a_gpu_leaves_no_gpu_benchmark_not_even_an_old_one(tmp_path):
    log = tmp_path / "logs/rule.log"
    path = jobs.gpu_benchmark(log)
    jobs.write_gpu_benchmark(path, "of an earlier run", 1, 1)
    given = of_a_job(log)
    with jobs.job(given):
        jobs.device(given)
    assert path.parent.is_dir() and not path.exists()


def test_sigterm_ends_a_job_with_one_line_and_without_temporary_files(tmp_path):
    """Ctrl-C and a cancelled cluster job send SIGTERM; the shell reports 130, as for Ctrl-C."""
    given = of_a_job(tmp_path / "logs/rule.log")
    with pytest.raises(SystemExit) as ended, jobs.job(given), atomic_path(tmp_path / "result") as part:
        part.write_text("half")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert ended.value.code == 130
    assert not list(tmp_path.glob("*result*")) and not list(tmp_path.glob(".*"))
    lines = (tmp_path / "logs/rule.log").read_text().splitlines()
    assert len(lines) == 2 and "rule a: interrupted after" in lines[1]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_signal_does_not_disturb_the_end_of_a_job(tmp_path):
    """Ctrl-C reaches a job from the terminal and from Snakemake, at almost the same time."""
    given = of_a_job(tmp_path / "logs/rule.log")
    with pytest.raises(SystemExit) as ended, jobs.job(given):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            (tmp_path / "cleared").touch()
    assert ended.value.code == 130 and (tmp_path / "cleared").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_lack_of_memory_is_one_line_with_the_bound_of_the_rule(tmp_path):
    given = of_a_job(tmp_path / "logs/rule.log")
    given.resources.mem_mb = 2345
    with pytest.raises(SystemExit) as ended, jobs.job(given):
        bytearray(10**17)
    assert str(ended.value).startswith("rule a: not enough memory (MemoryError); the job may need 2,345 MB")
    assert str(ended.value).partition(": ")[2] in Path(given.log[0]).read_text()
    assert "Traceback" not in Path(given.log[0]).read_text()


def test_a_job_does_not_run_code_that_was_edited_after_the_plan(tmp_path, monkeypatch):
    given = of_a_job(tmp_path / "logs/rule.log")
    monkeypatch.setenv(provenance.SOURCES, provenance.sources())
    with jobs.job(given):
        pass
    monkeypatch.setattr(provenance, "SCRIPTS", tmp_path)
    (tmp_path / "edited.py").touch()
    with pytest.raises(SystemExit, match="was edited after this run was planned"), jobs.job(given):
        pytest.fail("the body ran")


def test_a_job_refuses_a_users_file_that_was_edited_after_the_plan_or_while_it_ran(tmp_path):
    (tmp_path / "blocks.py").write_text("x = 1\n")
    (tmp_path / "mine.py").write_text("import blocks\n\ndef net(): ...\n")
    with user_code.used(tmp_path):
        given = of_a_job(tmp_path / "logs/rule.log")
        given.params = Namedlist(
            fromdict={"user_code": digests.user_files([("network", "file:mine.py:net")])}
        )
        given.config = {"code_folder": str(tmp_path)}
        with jobs.job(given):
            pass
        line = r"blocks.py: edited after this run was planned; run the same command again"
        with pytest.raises(SystemExit, match=line), jobs.job(given):
            (tmp_path / "blocks.py").write_text("x = 2\n")
        with pytest.raises(SystemExit, match=line), jobs.job(given):
            pytest.fail("the body ran")


def test_a_job_leaves_a_receipt_only_if_it_succeeds(tmp_path):
    (tmp_path / "in.csv").write_text("a")
    identity.write(tmp_path / "receipts/before.json", [tmp_path / "in.csv"], JOB)
    receipt = tmp_path / "receipts/rule.json"
    given = of_a_job(tmp_path / "logs/rule.log")
    given.input = Namedlist(fromdict={"table": str(tmp_path / "in.csv")})
    given.output = Namedlist(fromdict={"table": str(tmp_path / "out.csv"), "receipt": str(receipt)})
    given.params = Namedlist(fromdict={"code": "ab12", "width": 3})
    with pytest.raises(SystemExit), jobs.job(given):
        raise InputError("no")
    assert not receipt.exists()
    with jobs.job(given):
        (tmp_path / "out.csv").write_text("b")
    found = identity.read(receipt)
    assert history.difference(found, {"experiment": "a"}, {"code": "ab12", "width": 3}, {}) == ""
    assert found["outputs"] == {"out.csv": files.sha256(tmp_path / "out.csv")}
    assert [one["sha256"] for one in found["inputs"]] == [files.sha256(tmp_path / "in.csv")]
    (tmp_path / "in.csv").write_text("c")
    with pytest.raises(SystemExit, match=r"rule a: [^\n]*in.csv: damaged or another file"), jobs.job(given):
        pytest.fail("the body ran")
