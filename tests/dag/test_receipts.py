"""Receipts over the life of results: code that is accepted, and what is printed."""

import json

from click.testing import CliRunner
from test_dag import LIBRARY, TABLES, TRAINED, jobs

from prunescope import cli

MEASURE = f"{LIBRARY}/similarity/measures/correlations.py", "pair.truncated.mean()", "pair.truncated.max()"
COMPARED = jobs("compare_round", "assemble_matrix", "draw_figures", "write_report")


def run(project, monkeypatch, *arguments: str) -> str:
    monkeypatch.chdir(project.folder)
    done = CliRunner().invoke(cli.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_results_of_older_code_are_accepted_and_keep_both_digests(project, monkeypatch):
    before = json.loads(run(project, monkeypatch, "provenance", "tiny"))
    project.edit(*MEASURE)
    assert project.jobs() == COMPARED
    assert run(project, monkeypatch, "accept", "tiny", "--code").endswith("accepted: 6\n")
    assert project.jobs() == jobs("write_report", "draw_figures"), "it lists both digests"
    project.snakemake()
    assert project.jobs() == set()
    report = (project.folder / "results/tiny/report.html").read_text()
    after = {job["receipt"]: job for job in json.loads(run(project, monkeypatch, "provenance", "tiny"))}
    assert len(after) == len(before)
    for job in before:
        new = after[job["receipt"]].pop("accepted_code", [None])[0]
        assert (new is not None) == (job["rule"] == "compare_round")
        if job["rule"] not in ("write_report", "draw_figures"):
            assert after[job["receipt"]] == job
        if new:
            assert f"{job['settings']['code']} as {new}" in report
    # The next edit counts again.
    project.edit(MEASURE[0], MEASURE[2], "pair.truncated.min()")
    assert project.jobs() == COMPARED


def test_other_settings_are_not_accepted_with_the_code(project, monkeypatch):
    project.edit(*MEASURE)
    project.add_keys("similarity: {variance: 0.9}")
    assert run(project, monkeypatch, "accept", "tiny", "--code") == "accepted: 0\n"
    assert project.jobs() == COMPARED


def test_provenance_reaches_from_the_data_set_to_the_report(project, monkeypatch):
    found = json.loads(run(project, monkeypatch, "provenance", "tiny"))
    assert {job["rule"] for job in found} == {"prepare_dataset", *TRAINED}
    assert len(found) == len(jobs("prepare_dataset", *TRAINED)) and set(TABLES) <= {
        job["rule"] for job in found
    }
    written = {digest for job in found for digest in job["outputs"].values()}
    assert {one["sha256"] for job in found for one in job["inputs"]} <= written
    assert all(job["environment"]["packages"]["torch"] and job["device"] for job in found)
