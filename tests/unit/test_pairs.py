"""Which networks are compared at every level."""

from prunescope.levels.pairs import COLUMNS, Network, both_orders, named, pairs


def networks(name: str, seeds: int, rounds: int) -> list[Network]:
    return [Network(name, seed, round) for seed in range(seeds) for round in range(rounds + 1)]


def test_pairs_are_of_one_seed_or_one_round():
    every = networks("a", seeds=3, rounds=2)
    compared = [(every[i], every[j]) for i, j in pairs(every, "a")]
    # Three rounds of three seeds: 3 pairs of rounds for each seed, 3 pairs of seeds for each round.
    assert len(compared) == len(set(compared)) == 18
    assert all((a.seed == b.seed) != (a.round == b.round) for a, b in compared)


def test_a_control_is_compared_with_the_same_round_of_the_experiment_it_controls():
    every = networks("control", 2, 2) + [Network("a", seed, round) for seed in (0, 1) for round in (1, 2)]
    compared = [(every[i], every[j]) for i, j in pairs(every, "control")]
    across = [(a, b) for a, b in compared if a.experiment != b.experiment]
    assert len(compared) == 2 * 3 + 3 + 4
    assert len(across) == 4 and all(a[1:] == b[1:] for a, b in across)
    assert not any({a.experiment, b.experiment} == {"a"} for a, b in compared)


def test_rounds_of_siblings_are_not_compared_with_each_other():
    every = networks("again", 2, 2) + networks("a", 2, 2)
    compared = [(every[i], every[j]) for i, j in pairs(every, "again", lineage=False)]
    assert len(compared) == 3 + 6 and all(a.round == b.round for a, b in compared)


def test_columns_name_both_networks_in_both_orders():
    every = networks("a", 1, 2)
    rows = [(every[i], every[j]) for i, j in both_orders(pairs(every, "a"))]
    table = named(rows, {"value": range(6)})
    assert list(table) == [*COLUMNS, "value"] and len(table) == 6
    assert {*zip(table.round_a, table.round_b, strict=True)} == {
        (0, 1),
        (1, 0),
        (0, 2),
        (2, 0),
        (1, 2),
        (2, 1),
    }
    assert named([], {"value": []}).dtypes["round_a"] == "int64"
