"""Ownership of round 0 follows from the chain of `extends` and the settings of dense training."""

import itertools

import pytest
import yaml

from prunescope.plan import sharing
from prunescope.settings.load import Catalogue, load_lineage

ROOT = {
    "dataset": "digits",
    "seeds": [0, 1],
    "network": {"name": "lenet_small"},
    "training": {"epochs": 4, "optimizer": {"name": "sgd", "lr": 0.1}},
    "activations": {"layers": ["ReLU"]},
    "similarity": {"measures": ["cca", "cka_debiased"]},
}


def lineage(*chain: dict) -> list[tuple[str, dict]]:
    """Experiments a, b, c, ..., each of which extends the previous one."""
    names = "abcdefgh"[: len(chain)]
    inline = dict(zip(names, chain, strict=True))
    inline |= {b: {"extends": a} | inline[b] for a, b in itertools.pairwise(names)}
    return load_lineage(names[-1], Catalogue((), inline))


def owners(*chain: dict, seed=0) -> dict[str, str]:
    found = lineage(*chain)
    return {file: sharing.owner(found, seed, file) for file in sharing.ROUND0}


ALL = dict.fromkeys(sharing.ROUND0, "a")
OWN = dict.fromkeys(sharing.ROUND0, "b")
RECORDED = dict.fromkeys(("activations.h5", "units.json", "similarity.parquet"), "b")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ALL),
        ({"description": "x", "rounds": 9, "figures": {"dpi": 300}}, ALL),
        ({"pruning": {"rate": 0.5, "criterion": "random", "prunable": ["Conv2d"]}}, ALL),
        ({"pruning": {"retraining": "finetune", "finetune": {"epochs": 2}}}, ALL),
        ({"control": "retrain"}, ALL),
        # With other layers or measures, the network is the same.
        ({"activations": {"layers": ["output"]}}, ALL | RECORDED),
        ({"activations": {"threads": 2}}, ALL | RECORDED),
        ({"similarity": {"measures": ["cka"]}}, ALL | {"similarity.parquet": "b"}),
        ({"similarity": {"measures": ["cka_debiased", "cca"], "threads": 2, "across_seeds": True}}, ALL),
        # Everything that changes the bits of the dense network.
        ({"training": {"epochs": 5}}, OWN),
        ({"training": {"optimizer": {"lr": 0.2}}}, OWN),
        ({"training": {"threads": 2}}, OWN),
        ({"training": {"precision": "bfloat16"}}, OWN),
        ({"dataset": "mnist"}, OWN),
        ({"network": {"name": "lenet5"}}, OWN),
    ],
)
def test_what_an_experiment_shares_with_the_one_it_extends(changes, expected):
    assert owners(ROOT, changes) == expected


@pytest.mark.parametrize(
    ("parent", "child", "shared"),
    [
        # The parent stores the initial weights, in case another experiment needs them.
        ({}, {"retraining": "rewind"}, True),
        ({}, {"retraining": "rewind", "rewind_epoch": 1}, False),
        ({}, {"rewind_epoch": 1}, True),
        ({"retraining": "rewind", "rewind_epoch": 1}, {}, True),
        ({"retraining": "rewind", "rewind_epoch": 1}, {"rewind_epoch": 2}, False),
        ({"retraining": "rewind", "rewind_epoch": 1}, {"retraining": "lr-rewind"}, True),
    ],
)
def test_the_moment_to_rewind_to_counts_for_those_that_rewind(parent, child, shared):
    found = owners(ROOT | {"pruning": parent}, {"pruning": child})
    assert found == (ALL if shared else OWN)


def test_seeds_are_shared_one_by_one():
    found = lineage(ROOT, {"seeds": [1, 2]}, {"seeds": [2, 3]})
    assert [sharing.owner(found, seed, "checkpoint.pt") for seed in (2, 3)] == ["b", "c"]
    assert [sharing.owner(found[:2], seed, "checkpoint.pt") for seed in (1, 2)] == ["a", "b"]


def test_the_first_ancestor_owns_the_file_even_past_one_that_differs():
    other, back = {"training": {"epochs": 5}}, {"training": {"epochs": 4}}
    assert set(owners(ROOT, other, back).values()) == {"a"}
    assert set(owners(ROOT, other, {}).values()) == {"b"}
    assert set(owners(ROOT, {}, {"pruning": {"rate": 0.5}}).values()) == {"a"}
    layers = {"activations": {"layers": ["output"]}}
    assert owners(ROOT, layers, {})["activations.h5"] == "b"
    assert owners(ROOT, layers, ROOT)["activations.h5"] == "a"


def test_an_owner_always_makes_the_file_itself():
    """The last one needs other weights for rewinding than the first stores, and the second uses the first."""
    late = {"pruning": {"retraining": "rewind", "rewind_epoch": 2}}
    plain, early = (
        {"pruning": {"retraining": "lr-rewind"}},
        {"pruning": {"retraining": "rewind", "rewind_epoch": 0}},
    )
    assert set(owners(ROOT | late, plain, early).values()) == {"c"}
    every = [
        {},
        late,
        plain,
        early,
        {"seeds": [1, 0]},
        {"seeds": [0]},
        {"activations": {"layers": ["output"]}},
    ]
    for chain in itertools.product(every, repeat=3):
        found = lineage(ROOT | chain[0], *chain[1:])
        names = [name for name, _ in found]
        for file in sharing.ROUND0:
            whose = sharing.owner(found, 0, file)
            assert sharing.owner(found[: names.index(whose) + 1], 0, file) == whose
            assert sharing.owner(found, 0, "checkpoint.pt") == sharing.owner(
                found[: names.index(whose) + 1], 0, "checkpoint.pt"
            )


def test_what_is_incomplete_by_itself_owns_nothing():
    incomplete = {key: value for key, value in ROOT.items() if key != "dataset"}
    found = lineage(incomplete, {"dataset": "digits"}, {"rounds": 1})
    assert [name for name, _ in found] == ["b", "c"]
    assert sharing.owner(found, 0, "checkpoint.pt") == "b"


def test_comparisons_of_seeds_and_of_untrained_networks():
    same = lineage(ROOT, {"control": "retrain"})
    fewer = lineage(ROOT, {"control": "retrain", "seeds": [1]})
    other = lineage(ROOT, {"control": "retrain", "similarity": {"measures": ["cka"]}})
    assert [sharing.owner_across_seeds(found) for found in (same, fewer, other)] == ["a", "b", "b"]
    assert [sharing.owner_of_untrained(found) for found in (same, fewer, other)] == ["a", "b", "b"]
    # Another experiment has a table of its own.
    assert sharing.owner_of_untrained(lineage(ROOT, {"rounds": 1})) == "b"


def test_files_of_networks():
    found = lineage(ROOT, {"activations": {"layers": ["output"]}})
    assert sharing.network_file(found, 1, 0, "checkpoint.pt") == "results/a/seed1/round0/checkpoint.pt"
    assert sharing.network_file(found, 1, 0, "activations.h5") == "results/b/seed1/round0/activations.h5"
    assert sharing.network_file(found, 1, 2, "checkpoint.pt") == "results/b/seed1/round2/checkpoint.pt"


def test_files_that_extend_each_other(tmp_path):
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(ROOT))
    (tmp_path / "b.yaml").write_text("extends: a\nrounds: 1\n")
    assert [name for name, _ in load_lineage("b", Catalogue((tmp_path,)))] == ["a", "b"]
