"""No incomplete file under a final name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prunescope import files
from prunescope.errors import InputError


def test_a_finished_file_has_its_final_name_and_nothing_else_is_left(tmp_path):
    with files.atomic_path(tmp_path / "a/b.txt") as part:
        part.write_text("done")
        assert not (tmp_path / "a/b.txt").exists() and part.suffix == ".txt"
    assert (tmp_path / "a/b.txt").read_text() == "done"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_failure_leaves_the_old_result_and_no_temporary_file(tmp_path, folder):
    final = tmp_path / "result"
    for attempt in ("old", "new"):
        try:
            with files.atomic_path(final) as part:
                if folder:
                    part.mkdir()
                (part / "x" if folder else part).write_text(attempt)
                if attempt == "new":
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    assert (final / "x" if folder else final).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_named_in_one_line(tmp_path):
    """/dev/full fails as a full disk does."""
    with (
        pytest.raises(InputError, match=r"result\.csv: cannot be written: No space left on device; free"),
        files.atomic_path(tmp_path / "result.csv") as part,
    ):
        part.write_text("half of it")
        Path("/dev/full").write_text("the other half")
    assert not list(tmp_path.iterdir())


def test_kill_9_while_writing_leaves_no_final_file(tmp_path):
    program = (
        "import sys, time; from prunescope.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as part:\n"
        "    part.write_text('half'); print('writing', flush=True); time.sleep(60)"
    )
    library = str(files.Path(files.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "x.h5")],
        env={**os.environ, "PYTHONPATH": library},
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout.readline() == b"writing\n"
        finally:
            process.kill()
    assert not (tmp_path / "x.h5").exists()
    with files.atomic_path(tmp_path / "x.h5") as part:
        part.write_text("whole")
    assert (tmp_path / "x.h5").read_text() == "whole"


def test_csv_and_json(tmp_path):
    files.write_csv(tmp_path / "t.csv", [{"a": 1, "b": "x,y"}, {"a": 2, "b": ""}])
    assert (tmp_path / "t.csv").read_text().splitlines() == ["a,b", '1,"x,y"', "2,"]
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "t.json", {"loss": float("nan")})
    assert not (tmp_path / "t.json").exists()


def test_who_claims_a_file_last_writes_it(tmp_path):
    """To the first claim, the second looks like that of another process."""
    result = tmp_path / "result.json"
    with (
        files.claimed([result]),
        pytest.raises(InputError, match=r"result\.json: another job is writing this file"),
    ):
        files.write_json(result, {"by": "the first"})
        with files.atomic_path(result) as part:
            part.write_text("late")
            (tmp_path / ".result.json.owner").write_text("the second")
    assert files.read_json(result) == {"by": "the first"}
    with files.claimed([result]):
        (tmp_path / ".result.json.owner").unlink()  # the second has finished
        for write in (lambda: files.write_json(result, {}), lambda: files.discard(result)):
            with pytest.raises(InputError, match="this job stops without changing it"):
                write()
    assert files.read_json(result) == {"by": "the first"}
    assert {path.name for path in tmp_path.iterdir()} == {"result.json"}


def test_a_claim_removes_what_earlier_owners_left_and_nothing_else(tmp_path):
    keep = [
        "activations.h5",
        ".activations.more.12ab.part.h5",
        ".training-state.pt",
        ".activations.ab.part.pt",
    ]
    litter = [".activations.4711.part.h5", ".activations.00ff00ff00ff00ff.part.h5"]
    for name in [*keep, *litter]:
        (tmp_path / name).write_text("")
    (tmp_path / ".activations.1234.part.h5").mkdir()
    with files.claimed([tmp_path / "activations.h5"]):
        assert {path.name for path in tmp_path.iterdir()} == {*keep, ".activations.h5.owner"}
    assert {path.name for path in tmp_path.iterdir()} == set(keep)


def test_a_claim_ends_with_its_block(tmp_path):
    with files.claimed([tmp_path / "a"]):
        pass
    files.write_text(tmp_path / "a", "no claim, no check")
    assert (tmp_path / "a").read_text() == "no claim, no check"


def test_equal_tables_have_equal_bytes_and_any_reader_reads_them(tmp_path):
    import pandas as pd

    table = pd.DataFrame({"x": [1.5, float("nan")], "y": ["a", None], "z": [[1.0], []]})
    for name in ("a.parquet", "b.parquet"):
        files.write_parquet(tmp_path / name, table)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    for found in (files.read_parquet(tmp_path / "a.parquet"), pd.read_parquet(tmp_path / "a.parquet")):
        assert found["x"].equals(table["x"]) and found["y"].isna().tolist() == [False, True]
        assert [list(item) for item in found["z"]] == [[1.0], []]
