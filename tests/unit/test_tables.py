"""Tables of all rounds: a row for each network or pair, in one order, from files that belong together."""

import json
import math

import pyarrow as pa
import pytest

from prunescope import files, tables
from prunescope.errors import InputError


def test_accuracy_has_a_sorted_row_for_each_network_and_nan_where_nothing_was_measured(tmp_path):
    paths = []
    for seed, number in ((1, 0), (0, 1), (0, 0)):
        values = dict.fromkeys(tables.ACCURACY, 0.25) | {"seed": seed, "round": number, "test_loss": None}
        paths.append(tmp_path / f"{seed}-{number}.json")
        files.write_json(paths[-1], values | {"seconds": 3.0})
    table = tables.accuracy(paths)
    assert list(table.columns) == list(tables.ACCURACY) and list(table.index) == [0, 1, 2]
    assert list(zip(table["seed"], table["round"], strict=True)) == [(0, 0), (0, 1), (1, 0)]
    assert table["test_loss"].dtype == float and table["test_loss"].isna().all()
    assert (table["density"] == 0.25).all()


def test_rows_of_the_matrix_keep_the_order_of_the_files(tmp_path):
    paths = []
    for name, dataset, value in (("b", "one", 0.5), ("a", "one", math.nan)):
        paths.append(tmp_path / f"{name}.parquet")
        layers = {"relu1": [4], **({"head": [2]} if name == "a" else {"output": [3], "relu1": [5]})}
        metadata = {"dataset": dataset, "layers": json.dumps(layers)}
        files.write_parquet(paths[-1], pa.table({"value": [value]}).replace_schema_metadata(metadata))
    assert tables.concatenate(paths).column("value").to_pylist() == pytest.approx(
        [0.5, math.nan], nan_ok=True
    )
    files.write_parquet(tmp_path / "all.parquet", tables.concatenate(paths))
    found = tables.layers(tmp_path / "all.parquet")
    assert list(found.items()) == [("relu1", [5]), ("output", [3]), ("head", [2])], "new layers come last"
    files.write_parquet(tmp_path / "old.parquet", pa.table({"value": [0.0]}))
    with pytest.raises(InputError, match=r"old\.parquet: does not contain the order of the layers"):
        tables.layers(tmp_path / "old.parquet")


def test_training_curves_are_those_of_each_network_after_its_seed_and_round(tmp_path):
    networks, paths = [], []
    for seed, number in ((0, 0), (0, 1), (3, 0)):
        paths.append(tmp_path / f"{seed}-{number}.csv")
        files.write_csv(paths[-1], [{"epoch": epoch, "lr": 0.1 * seed + number} for epoch in (1, 2)])
        networks.append({"seed": seed, "round": number})
    table = tables.training_curves(networks, paths)
    assert list(table.columns) == ["seed", "round", "epoch", "lr"] and list(table.index) == list(range(6))
    assert table["seed"].tolist() == [0, 0, 0, 0, 3, 3] and table["round"].tolist() == [0, 0, 1, 1, 0, 0]
    assert table["epoch"].tolist() == [1, 2] * 3
    assert table["lr"].tolist() == pytest.approx([0, 0, 1, 1, 0.3, 0.3])
    assert tables.training_curves(networks, []).empty, "networks that were trained elsewhere have no curves"
