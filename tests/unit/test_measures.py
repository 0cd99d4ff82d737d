"""Measures as kinds: the facts of their table, and the status that follows from sizes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prunescope import kinds
from prunescope.errors import InputError
from prunescope.plan import reference
from prunescope.similarity import measures, moments, statuses
from prunescope.similarity.images import Images
from prunescope.similarity.measures import Measure
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.pairs import Pair
from prunescope.similarity.passes import Group
from prunescope.similarity.scores import compare
from prunescope.similarity.statuses import CHANCE, DEAD, FEW, OK, RANK_LOST, TOO_FEW, UNDEFINED
from prunescope.similarity.whitening import represent

ALL = list(kinds.known("measure"))
OF_IMAGES = ("cka_rbf", "knn_jaccard", "rsa")


@pytest.mark.parametrize("name", ALL)
def test_the_table_says_all_but_the_functions(name):
    described, loaded = measures.described(name), load_measure(name)
    literal = set(Measure.__dataclass_fields__) - {"function", "chance", "unique"}
    assert all(getattr(described, key) == getattr(loaded, key) for key in literal)
    assert described.function is None and callable(loaded.function)
    assert loaded.needs in measures.NEEDS and loaded.basis in measures.BASES
    assert loaded.url.startswith("https://") and not loaded.reference.startswith("http")


def test_labels_differ():
    labels = {name: measures.described(name).label for name in ALL}
    assert len(set(labels.values())) == len(labels)
    assert labels["cca"] == "mean CCA" and labels["svcca_trim98"] == "SVCCA (top 98 %)"


@pytest.mark.parametrize("name", ALL)
def test_status_rules(name):
    this = load_measure(name)
    correlates, few = "raw" not in this.bases, FEW if this.biased else OK
    # The smaller half of 80 to 90 images has 40, that of 91 has 41.
    saturated = 90 if name == "cca_cv" else 40
    assert this.status(1000, 20, (0, 20)) == DEAD
    assert this.status(saturated, 20, (20, 20)) == (TOO_FEW if this.saturates else few)
    assert this.status(saturated + 1, 20, (20, 20)) == few
    # 20 images of each half with 2 positions: 40 rows in 38 dimensions.
    assert this.status(80, 20, (20, 19), images=40) == (TOO_FEW if name == "cca_cv" else few)
    assert this.status(80, 20, (19, 19), images=40) == few
    assert this.status(399, 20, (5, 5)) == few
    assert this.status(400, 20, (20, 20)) == OK
    assert this.status(4000, 20, (20, 20), rows=399.0) == few
    assert this.status(3, 1, (1, 1)) == (
        TOO_FEW if name in ("cka_debiased", "cka_within", "cca_cv", *OF_IMAGES) else few
    )
    assert this.status(400, 20, (20, 20), rotated=True) == (
        UNDEFINED if name in ("pwcca", "units", "soft_match", "rsa") else OK
    )
    assert this.status(400, 20, (9, 20)) == (RANK_LOST if correlates else OK)
    assert this.status(399, 20, (20, 9)) == (RANK_LOST if correlates else few)
    assert this.biased == (name not in ("cka_debiased", "cka_within", *OF_IMAGES))


@pytest.mark.parametrize("name", ALL)
def test_what_is_foreseen_from_sizes_comes_true(name):
    this, rng = load_measure(name), np.random.default_rng(0)
    seen = set()
    for n in (3, 8, 12, 25, 39, 40, 60, 170):
        for widths in ((2, 2), (8, 3), (8, 8)):
            matrices = [rng.standard_normal((n, width)) for width in widths]
            status = compare(Group(matrices, lambda _, found: represent(found)).pair(0, 1), [this])[0].status
            expected = measures.described(name).foreseen(n, *widths)
            # An estimate can be negative with any number of rows, 8 units are always more than 3, and the
            # chance of few units varies much.
            if status not in (UNDEFINED, RANK_LOST, CHANCE):
                order = [one.name for one in statuses.STATUSES]
                best, worst = (order.index(one) for one in expected)
                assert worst <= order.index(status) <= best, (n, widths)
            assert n < this.enough_rows(max(widths)) or expected == (OK, OK)
            seen.add(expected)
    assert (OK, OK) in seen


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("widths", [(8, 8), (8, 5), (1, 1)])
def test_the_worst_case_foreseen_is_that_all_units_vary_and_rows_of_an_image_are_equal(name, widths):
    this = measures.described(name)
    for n in range(2, 45):
        best, worst = this.foreseen(n, *widths)
        full = [min(width, n - 1) for width in widths]
        half = np.bincount(Images.of(n).fold < min(n, 20) // 2).min() if this.halves else n
        few = n < this.fewest_rows or (this.saturates and half <= sum(full))
        assert (worst == TOO_FEW) == few and worst != RANK_LOST, n
        least = n < this.fewest_rows or (this.saturates and half <= 2)
        assert (best == TOO_FEW) == least and best != RANK_LOST, n
        assert this.foreseen(n, *widths, images=n) == (best, worst)
    for missing, biased in ((1, this.biased), (0, False)):
        found = this.foreseen(321, 8, 5, images=max(1, 8 * this.rows_per_unit - missing))
        assert found == (OK, FEW if biased else OK)


def test_rows_that_are_enough():
    assert measures.described("cca").enough_rows(64) == 1280
    assert measures.described("cka").enough_rows(64) == 1280
    assert measures.described("cka_debiased").enough_rows(64) == 4
    assert kinds.known("measure")["cca"].facts["rows_per_unit"] == 20


@pytest.mark.parametrize("halves", [False, True])
def test_rows_are_enough_as_soon_as_they_do_not_saturate_a_measure(halves):
    facts = {"saturates": True, "halves": halves, "basis": "units"}
    this = replace(measures.described("cka_debiased"), fewest_rows=0, **facts)
    assert this.enough_rows(10) == (51 if halves else 21)
    assert this.foreseen(this.enough_rows(10), 10) == (OK, OK)
    assert this.foreseen(this.enough_rows(10) - 1, 10) == (OK, TOO_FEW)


def test_a_measure_needs_no_more_than_a_function_and_three_facts():
    best = Measure(
        name="best",
        label="best CCA",
        reference="somebody, 2020",
        unchanged_by="invertible linear maps",
        function=lambda pair: pair.correlations[0],
    )
    matrix = np.random.default_rng(0).standard_normal((50, 4))
    gram = moments.all_pairs([matrix, matrix @ np.diag([1, 2, 3, 4])])
    assert not best.biased and replace(best, rows_per_unit=1).biased
    (score,) = compare(Pair(*(represent(gram.moments(i)) for i in (0, 1)), gram.cross(0, 1)), [best])
    assert score.measure == "best" and score.status == OK
    assert score.value == score.reverse_value == pytest.approx(1) and np.isnan(score.chance)


def test_statuses_are_data():
    """One list defines a status's meaning, whether there is a value, and which of two the matrix has."""
    assert statuses.TRUSTED == (OK,) and statuses.gravest([]) == OK
    assert statuses.gravest([OK, FEW, RANK_LOST, TOO_FEW]) == TOO_FEW
    assert statuses.gravest([FEW, RANK_LOST]) == RANK_LOST
    assert not {DEAD, TOO_FEW, UNDEFINED} & set(statuses.GIVEN) and {FEW, RANK_LOST} < set(statuses.GIVEN)
    page = (Path(__file__).parents[2] / "results/README.md").read_text()
    assert all(f"`{status.name}` | {status.meaning} |" in page for status in statuses.STATUSES), "make docs"


def test_an_unknown_measure_is_one_line():
    with pytest.raises(InputError, match=r"similarity\.measures = 'cka2': unknown \(did you mean 'cka'\?\)"):
        measures.described("cka2")


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"rows_per_unit": "20"}, "the fact rows_per_unit of mine is '20', which is not of type int"),
        ({"symmetric": 1}, "the fact symmetric of mine is 1, which is not true or false"),
        ({"symetric": True}, r"mine has the unknown fact symetric \(did you mean 'symmetric'\?\)"),
        ({"basis": "rows"}, "the fact basis of mine must be raw or units or components or regression"),
        ({"needs": "images"}, "the fact needs of mine must be moments or rows or labels"),
    ],
)
def test_wrong_facts_of_a_measure_are_one_line(monkeypatch, facts, words):
    kind = kinds.Kind("x.py:mine", "", name="mine", facts={"unchanged_by": "maps", **facts})
    monkeypatch.setattr(kinds, "find", lambda *_: kind)
    with pytest.raises(InputError, match=rf"^similarity\.measures = 'mine': {words}$"):
        measures.described("mine")


def test_the_table_for_the_documentation():
    head, _, *rows = reference.measure_table().splitlines()
    assert head == "| measure | label | unchanged by | reference |"
    assert [row.split("`")[1] for row in rows] == ALL
    assert all(row.count("|") == 5 for row in rows)
    files = [Path(__file__).parents[2] / "docs" / row.split("](")[1].split(")")[0] for row in rows]
    assert all(f"def {name}(" in file.read_text() for name, file in zip(ALL, files, strict=True))
