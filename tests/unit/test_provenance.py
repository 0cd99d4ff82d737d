"""Independent seeds; the environment that changes bits."""

from prunescope import provenance


def test_seeds_are_stable_and_separate():
    assert provenance.derive_seed(0, "order", 1) == provenance.derive_seed(0, "order", 1)
    seeds = {
        provenance.derive_seed(s, p, r)
        for s in range(20)
        for p in ("order", "augmentation")
        for r in range(20)
    }
    assert len(seeds) == 800 and all(0 <= seed < 2**63 for seed in seeds)


def test_environment_names_what_changes_bits():
    found = provenance.environment()
    assert found["packages"]["torch"] and found["packages"]["numpy"] and found["python"]
