"""A grid is one experiment for each combination; names and ancestors do not depend on other values."""

import json
from itertools import product

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import synthetic
from prunescope.errors import InputError
from prunescope.plan import sharing
from prunescope.report.experiment import Experiment
from prunescope.report.overview import differing, overview_table
from prunescope.settings.load import Catalogue, expand, load_config, load_experiment, load_lineage
from prunescope.settings.reading import merge, read_yaml

RATES = {"pruning.rate": [0.2, 0.5], "pruning.scope": ["global", "layer"]}
NAMES = ["mine-rate=0.2-scope=global", "mine-rate=0.2-scope=layer", "mine-rate=0.5-scope=global",
         "mine-rate=0.5-scope=layer"]  # fmt: skip


def catalogue(grid, **keys) -> Catalogue:
    """The shipped experiments and one with a grid, `mine`."""
    return Catalogue(inline={"mine": {"extends": "digits-lenet", "grid": grid} | keys})


def test_each_combination_is_the_experiment_with_its_values():
    found = catalogue(RATES, rounds=2)
    assert found.selected("mine") == NAMES
    for name, (rate, scope) in zip(NAMES, product(*RATES.values()), strict=True):
        own = {"pruning": {"rate": rate, "scope": scope}}
        assert load_experiment(name, found) == merge(load_experiment("mine", found), own)
    assert load_experiment("mine", found) == merge(load_experiment("digits-lenet", found), {"rounds": 2})


def test_naming_the_grid_selects_all_combinations_once():
    plain = {"extends": "digits-lenet"}
    config = {"experiments": {"mine": plain | {"grid": RATES}, "plain": plain}}
    found = load_config(config, {"data": {"datasets": {}}}, ())
    assert found["experiments"] == [*NAMES, "plain"]


def test_a_grid_in_a_file_and_single_combinations(tmp_path):
    (tmp_path / "base.yaml").write_text("dataset: digits\nrounds: 3\n")
    (tmp_path / "mine.yaml").write_text("extends: base\ngrid: {pruning.rate: [0.2, 1e-3]}\n")
    (tmp_path / "child.yaml").write_text("extends: mine-rate=0.001\nrounds: 4\n")
    found = Catalogue((tmp_path,))
    assert found.names() == ["base", "child", "mine"]
    assert found.selected("mine") == ["mine-rate=0.2", "mine-rate=0.001"]
    assert found.selected("mine-rate=0.2") == ["mine-rate=0.2"]
    assert found.where("mine-rate=0.2") == f"{tmp_path}/mine.yaml: mine-rate=0.2"
    assert found.parent("child") == "mine-rate=0.001" and found.parent("mine-rate=0.001") == "mine"
    found.check("mine-rate=0.001", "experiments")
    with pytest.raises(InputError, match=r"did you mean 'mine-rate=0\.2'"):
        found.check("mine-rate=0.3", "experiments")
    # An edited file is read again.
    (tmp_path / "mine.yaml").write_text("extends: base\ngrid: {pruning.rate: [0.2, 0.3, 0.4]}\n")
    assert len(found.selected("mine")) == 3
    assert "grid" not in found.read("mine")
    read_yaml(tmp_path / "mine.yaml").clear()
    assert found.parent("mine") == "base", "what was read cannot be changed by who read it"


VALUES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(),
    st.text(min_size=1),
    st.booleans(),
    st.none(),
    st.lists(st.floats(0, 1), min_size=1),
    st.fixed_dictionaries({"name": st.text(min_size=1), "lr": st.floats(0, 1)}),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(VALUES, min_size=1, max_size=4, unique_by=json.dumps), VALUES, st.data())
def test_names_are_safe_and_do_not_depend_on_other_values_or_orders(values, more, data):
    import re

    grid = {"pruning.rate": values, "pruning.scope": ["global", "layer"]}
    try:
        before = expand("mine", grid, "here")
        shuffled = data.draw(st.permutations([*values, *([more] if more not in values else [])]))
        after = expand("mine", {"pruning.scope": ["layer", "global"], "pruning.rate": shuffled}, "here")
    except InputError as error:
        assert "same name" in str(error)
        return
    for name in before.combinations:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.=-]*", name) and len(name) < 200
        assert name in after.combinations
        assert before.experiments[name] == after.experiments[name]


def test_keys_that_end_alike_have_their_whole_name():
    grid = {"training.optimizer.lr": [0.1], "pruning.finetune.optimizer.lr": [0.01], "pruning.rate": [0.2]}
    (name,) = expand("mine", grid, "here").combinations
    assert name == "mine-training.optimizer.lr=0.1-pruning.finetune.optimizer.lr=0.01-rate=0.2"


def test_combinations_share_the_dense_training_that_is_the_same():
    grid = {"pruning.rate": [0.2, 0.5], "training.optimizer.lr": [0.05, 0.1]}
    found = catalogue(grid)
    trainers = {name: sharing.trainer(load_lineage(name, found), 0) for name in found.selected("mine")}
    # 0.05 is the learning rate of digits-lenet itself.
    assert trainers == {
        "mine-lr=0.05-rate=0.2": "digits-lenet",
        "mine-lr=0.05-rate=0.5": "digits-lenet",
        "mine-lr=0.1-rate=0.2": "mine-lr=0.1",
        "mine-lr=0.1-rate=0.5": "mine-lr=0.1",
    }


def test_controls_of_a_grid_extend_what_they_control():
    found = catalogue({"control": ["none", "retrain"], "pruning.rate": [0.2, 0.5]})
    assert found.selected("mine") == [
        "mine-rate=0.2", "mine-rate=0.2-control=retrain", "mine-rate=0.5", "mine-rate=0.5-control=retrain",
    ]  # fmt: skip
    assert found.parent("mine-rate=0.5-control=retrain") == "mine-rate=0.5"
    assert load_experiment("mine-rate=0.5-control=retrain", found)["control"] == "retrain"
    assert catalogue({"control": ["none", "retrain"]}).selected("mine") == ["mine", "mine-control=retrain"]


WRONG = {
    "no list": ({"pruning.rate": 0.2}, ["grid.pruning.rate = 0.2: must be a list"]),
    "no value": ({"pruning.rate": []}, ["grid.pruning.rate = []: must not be empty"]),
    "nothing": ({}, ["grid = {}: must not be empty"]),
    "no mapping": ([0.2], ["grid = [0.2]: must be a mapping"]),
    "twice": ({"pruning.rate": [0.2, 0.2]}, ["grid.pruning.rate = [0.2, 0.2]"]),
    "one name": ({"network.name": ["a/b", "a_b"]}, ["grid.network.name", '"a/b", "a_b" have the same name']),
    "overlap": ({"pruning": [{}], "pruning.rate": [0.2]}, ["pruning and pruning.rate overlap"]),
    "extends": ({"extends": ["a", "b"]}, ["grid.extends"]),
    "too long": ({f"{'k' * 70}{n}": ["v" * 40] for n in "abc"}, ["too long for a folder"]),
    "unknown key": (
        {"pruning.rat": [0.2]},
        ["mine-rat=0.2: pruning.rat: unknown key", "'rate'"],
    ),
    "wrong value": ({"pruning.rate": [0.2, 2]}, ["mine-rate=2: pruning.rate = 2: must be less than 1"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_one_line_with_the_experiment_key_and_value(case):
    grid, words = WRONG[case]
    found = catalogue(grid)
    with pytest.raises(InputError) as caught:
        for name in found.selected("mine"):
            load_experiment(name, found)
    text = str(caught.value)
    assert text.startswith("experiments.mine: ") and "\n" not in text
    assert all(word in text for word in words), text


# --- side by side ----------------------------------------------------------------------------------------


def test_settings_that_differ_keep_their_types():
    table = differing(
        {
            "a": {"rounds": 3, "pruning": {"rate": 0.2, "scope": "global", "densities": None}, "same": 1},
            "b": {"rounds": 4, "pruning": {"rate": 0.5, "scope": "layer", "densities": [0.5]}, "same": 1},
            "c": {
                "rounds": 4,
                "pruning": {"rate": 1, "scope": "layer", "densities": None, "x": 7},
                "same": 1,
            },
        }
    )
    assert list(table) == ["rounds", "pruning.rate", "pruning.scope", "pruning.densities", "pruning.x"]
    assert table.index.tolist() == ["a", "b", "c"]
    assert table["pruning.rate"].tolist() == [0.2, 0.5, 1.0] and table["rounds"].dtype == int
    assert table["pruning.densities"].tolist() == ["null", "[0.5]", "null"]
    assert table["pruning.x"].isna().tolist() == [True, True, False] and table["pruning.x"]["c"] == 7


@pytest.fixture(scope="module")
def experiments():
    """Six experiments with two seeds that differ in two settings."""
    layers, seeds = ["relu1", "output"], [0, 1]
    matrix = synthetic.all_layers(synthetic.similarity(3, layers, seeds, ["cca", "cka"]))
    matrix = synthetic.across_seeds(matrix, 0.5)
    found = []
    for rate, scope in product([0.2, 0.5, 0.8], ["global", "layer"]):
        own = synthetic.SETTINGS | {"pruning": {"rate": rate, "scope": scope}}
        table = matrix.assign(value=matrix["value"] * rate)
        accuracy = synthetic.accuracy(3, seeds)
        found.append(Experiment(f"mine-rate={rate}-scope={scope}", own, layers, table, accuracy, {}))
    return found


def test_the_overviews_table_has_one_row_for_each_network_layer_and_measure(experiments):
    table = overview_table(experiments)
    assert list(table)[:5] == ["experiment", "pruning.rate", "pruning.scope", "seed", "round"]
    assert {"density", "test_accuracy", "layer", "measure", "value", "chance", "status"} <= {*table}
    assert not any(name.endswith(("_a", "_b")) for name in table)
    assert len(table) == len(experiments) * 2 * 3 * 2 * 2
    assert not table.duplicated(["experiment", "seed", "round", "layer", "measure"]).any()
    assert table["pruning.rate"].dtype == float
    for one in experiments:
        part = table[table["experiment"] == one.name]
        assert set(part["pruning.rate"]) == {one.settings["pruning"]["rate"]}
        dense = one.similarity.query("seed_a == seed_b and round_b == 0 and layer_a == layer_b")
        keys = ["seed", "round", "layer", "measure"]
        expected = dense.set_index(["seed_a", "round_a", "layer_a", "measure"])["value"].rename_axis(keys)
        assert part.set_index(keys)["value"].sort_index().equals(expected.sort_index())
        networks = part.drop_duplicates(["seed", "round"])
        assert networks["test_accuracy"].tolist() == one.accuracy["test_accuracy"].tolist()
    # One table is enough for a question across experiments.
    means = table.query("measure == 'cca' and round == 2").groupby(["pruning.rate", "layer"])["value"].mean()
    assert isinstance(means, pd.Series) and len(means) == 6
