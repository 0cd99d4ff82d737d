"""Which networks are compared, what later rounds start from, and the targets of an experiment."""

import pytest

from prunescope.plan import compared, sharing, stages, targets
from prunescope.settings.load import Catalogue, load_lineage

EXPERIMENT = {
    "dataset": "digits",
    "seeds": [0, 1],
    "rounds": 2,
    "network": {"name": "lenet_small"},
    "training": {"epochs": 4, "optimizer": {"name": "sgd", "lr": 0.1}},
    "activations": {"layers": ["ReLU"]},
    "similarity": {"measures": ["cca"]},
    "figures": {"formats": []},
}
KINDS = ("retrain", "siblings", "shuffled-masks", "new-weights")


def lineages(**changes) -> dict:
    """The lineage of the experiment x, changed, and of each of its controls, by name."""
    inline = {"x": EXPERIMENT | changes} | {kind: {"extends": "x", "control": kind} for kind in KINDS}
    return {name: load_lineage(name, Catalogue((), inline)) for name in inline}


def test_controls_are_those_of_one_experiment_by_kind():
    every = lineages()
    kinds = dict(zip(KINDS, KINDS, strict=True))
    assert compared.controls("x", every.values(), again=True) == {"siblings": kinds.pop("siblings")}
    assert compared.controls("x", every.values()) == kinds
    assert compared.controls("retrain", every.values()) == {}
    again = load_lineage("b", Catalogue((), {"x": EXPERIMENT, "b": {"extends": "x", "control": "retrain"}}))
    assert compared.controls("x", [again, every["retrain"]]) == {"retrain": "b"}, "the first of a kind"


def test_levels_compare_the_networks_of_a_control_with_those_that_it_controls():
    every = lineages()
    networks = [("x", seed, round) for seed in (0, 1) for round in (0, 1, 2)]
    assert compared.networks(every["x"]) == networks
    # Siblings train the dense network again; the other controls share it.
    for name, rounds in (("retrain", (1, 2)), ("siblings", (0, 1, 2))):
        theirs = [("x", seed, round) for seed in (0, 1) for round in rounds]
        assert compared.networks(every[name]) == [(name, *one[1:]) for one in networks] + theirs
    assert compared.identities("x", [("x", 0, 1), ("y", 2, 3)]) == [[None, 0, 1], ["y", 2, 3]]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x", {"rewind": "x/seed1/round0/rewind.pt"}),
        ("retrain", {"rewind": "x/seed1/round0/rewind.pt"}),
        ("siblings", {"rewind": "x/seed1/round0/rewind.pt", "masks": "x/seed1/round2/checkpoint.pt"}),
        ("shuffled-masks", {"rewind": "x/seed1/round0/rewind.pt", "masks": "x/seed1/round2/checkpoint.pt"}),
        ("new-weights", {"masks": "x/seed1/round2/checkpoint.pt"}),
    ],
)
def test_files_that_a_round_starts_from(name, expected):
    lineage = lineages(pruning={"retraining": "rewind"})[name]
    files = sharing.starting_files(lineage, 1, 2)
    assert files.keys() == stages.starts_from(lineage[-1][1])
    origin = files.pop("origin", None)
    assert files == {key: f"results/{path}" for key, path in expected.items()}
    whose = "x" if name == "siblings" else name
    assert origin in (None, f"results/{whose}/seed1/round1/checkpoint.pt")


def test_rows_of_the_matrix():
    rows = [f"results/x/seed{seed}/round{round}/similarity.parquet" for seed in (0, 1) for round in (0, 1, 2)]
    assert sharing.rows(lineages()["x"]) == rows
    across = [f"results/x/across-seeds/round{round}/similarity.parquet" for round in (0, 1, 2)]
    measures = EXPERIMENT["similarity"]
    assert sharing.rows(lineages(similarity=measures | {"across_seeds": True})["x"]) == rows + across
    dense = lineages(similarity=measures | {"across_seeds": "dense"})
    assert sharing.rows(dense["x"]) == rows + across[:1]
    assert sharing.rows(dense["retrain"])[-1] == across[0], "it is compared once"
    assert sharing.rows(lineages(similarity=measures | {"across_seeds": True}, seeds=[0])["x"]) == rows[:3]


def test_targets_of_an_experiment():
    def of(name, **changes) -> set[str]:
        return {path.removeprefix("results/") for path in targets.of_experiment(lineages(**changes)[name])}

    levels = {"predictions.parquet", "weights.parquet", "channels.parquet", "accuracy.parquet"}
    files = {f"x/{file}" for file in levels | {"similarity.parquet", "report.html", "findings.json"}}
    assert of("x") == files
    assert of("siblings") == {f"siblings/{file}" for file in levels | {"siblings.parquet"}}
    similarity = EXPERIMENT["similarity"] | {"untrained": True, "spectrum": True}
    more = {"x/figures", "x/spectrum.parquet", "x/untrained/similarity.parquet", "x/barriers.parquet"}
    assert of("x", similarity=similarity, figures={}, landscape={}) == files | more
    assert "x/untrained/similarity.parquet" in of("retrain", similarity=similarity)
