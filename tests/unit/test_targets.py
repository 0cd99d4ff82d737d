"""Folders, pipes and loops in place of results are refused before Snakemake opens them."""

import os
import re

import pytest

from prunescope.errors import InputError
from prunescope.plan import targets
from prunescope.settings.load import Catalogue

IN_PLACE = {
    "must be a file, not a pipe or device": os.mkfifo,
    "must be a file, not a folder": lambda path: (path / "inside").mkdir(parents=True),
    "Too many levels of symbolic links": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("line", IN_PLACE)
@pytest.mark.parametrize(
    "name", ["similarity.parquet", "seed0/round1/checkpoint.pt", "seed0/round0/.training-state.pt"]
)
def test_no_product_can_be_a_folder_a_pipe_or_a_loop(line, name, tmp_path):
    path = tmp_path / "tiny" / name
    path.parent.mkdir(parents=True)
    (path.parent / "log").touch()
    (path.parent / "leads_nowhere.h5").symlink_to("nothing")
    folders = [tmp_path / "data", tmp_path / "tiny"]
    targets.check_results(folders)
    IN_PLACE[line](path)
    with pytest.raises(InputError, match=rf"^{re.escape(str(path))}: .*{line}.*; delete it and run again$"):
        targets.check_results(folders)


def test_an_error_is_one_line_whatever_a_library_says():
    assert str(InputError("x: cannot be read (time = 1\n , errno = 21); delete it")).count("\n") == 0


@pytest.mark.parametrize(
    "folder", ["", ".snakemake/storage/s3/bucket/", ".snakemake/storage/fs/my/results/of/"]
)
def test_targets_are_known_wherever_they_are_stored(folder):
    patterns, data = [f"{folder}results/data/{{dataset}}.h5"], {"datasets": {"digits": "sklearn:digits"}}
    targets.check(["results/data/digits.h5"], patterns, Catalogue(), data)
    with pytest.raises(InputError, match=r"did you mean 'digits'"):
        targets.check(["results/data/digit.h5"], patterns, Catalogue(), data)
    with pytest.raises(InputError, match=r"target results/digits\.h5: no rule makes this file"):
        targets.check(["results/digits.h5"], patterns, Catalogue(), data)
