"""Rows of the similarity matrix: pairs, orders, correspondence of rows, damage, memory, bytes."""

import json
import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from prunescope import files, hdf5, kinds
from prunescope.errors import InputError
from prunescope.settings import base
from prunescope.settings.similarity import Similarity
from prunescope.similarity import moments, passes
from prunescope.similarity.matrix import COLUMNS, compare_round, compare_seeds, compare_siblings
from prunescope.similarity.measures import load as load_measure
from prunescope.similarity.pairs import Pair
from prunescope.similarity.scores import compare
from prunescope.similarity.statuses import DEAD
from prunescope.similarity.whitening import represent

# The recordings here have no labels.
ALL = [name for name in kinds.known("measure") if load_measure(name).needs != "labels"]
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # of NumPy, which users would see


def record(path, seed=0, round=0, layers=None, *, view="pooled", examples=None, **attributes):
    """Write an activation file; layers are drawn from the seed and the round unless given."""
    if layers is None:
        rng = np.random.default_rng([seed, round])
        shared = np.random.default_rng(9).standard_normal((300, 6))
        layers = {
            name: (shared @ rng.standard_normal((6, p)) + rng.standard_normal((300, p))).astype(np.float32)
            for name, p in (("features.relu1", 5), ("features.relu0", 8), ("output", 3))
        }
    n = len(next(iter(layers.values())))
    with h5py.File(path, "w") as file:
        common = {
            "schema": 3,
            "seed": seed,
            "round": round,
            "view": view,
            "positions": "all",
            "dataset": "abc",
        }
        file.attrs.update(common | {"density": 0.8**round} | attributes)
        file["examples"] = np.arange(n) if examples is None else examples
        for order, (name, matrix) in enumerate(layers.items()):
            data = file.create_dataset(f"layers/{name}", data=matrix)
            data.attrs.update(order=order, width=matrix.shape[1], shape=matrix.shape[1:])
            # As many positions as each image has rows.
            each = len(matrix) // len(file["examples"])
            data.attrs.update(grid=[each] if each > 1 else [], positions=range(each))
    hdf5.seal(path)
    return path


@pytest.fixture
def rounds(tmp_path):
    return [record(tmp_path / f"round{r}.h5", round=r) for r in range(4)]


def table(result):
    return result.to_pandas()


@pytest.mark.parametrize("pairs", ["same-layer", "all-layers"])
@pytest.mark.parametrize("threads", [1, 2])
def test_ill_conditioned_layers_are_compared_to_the_last_digits(tmp_path, pairs, threads):
    """Against the SVD of the matrices, for condition numbers of 1e6: moments alone are off by 1e-5."""

    def basis(matrix):
        x = matrix.astype(np.float64)
        x -= x.mean(axis=0)
        return np.linalg.svd(x / x.std(axis=0), full_matrices=False)[0]

    rng, layers = np.random.default_rng(0), []
    for number in range(3):
        turns = [np.linalg.qr(rng.standard_normal((12, 12)))[0] for _ in range(2)]
        good = rng.standard_normal((900, 12)) + (layers[0]["good"] if layers else 0)
        ill = (good @ turns[0] * np.geomspace(1, 1e-6, 12)) @ turns[1]
        ill = ill if number != 1 else good
        layers.append({"good": good, "ill": ill, "dead": np.zeros((900, 12))})
    paths = [record(tmp_path / f"{i}.h5", round=i, layers=given) for i, given in enumerate(layers)]
    settings = Similarity(measures=["cca", "pwcca"], pairs=pairs)
    frames = [table(compare_round(paths[: i + 1], settings, threads)) for i in range(3)]
    checked = 0
    for row in pd.concat(frames).itertuples():
        if "dead" in (row.layer_a, row.layer_b):
            assert row.status == DEAD
        elif row.measure == "cca":
            a, b = (layers[row.round_a][row.layer_a], layers[row.round_b][row.layer_b])
            expected = np.linalg.svd(basis(a).T @ basis(b), compute_uv=False).mean()
            assert row.value == pytest.approx(expected, abs=1e-9)
            checked += 1
    assert checked == {"same-layer": 2 * 9, "all-layers": 4 * 9}[pairs]


def test_one_row_of_blocks_holds_both_orders_of_every_pair(rounds):
    frame = table(compare_round(rounds, Similarity(measures=["cca", "pwcca"])))
    found = (
        frame[frame.measure == "cca"]
        .groupby("layer_a")[["round_a", "round_b"]]
        .apply(lambda pairs: sorted(pairs.itertuples(index=False, name=None)))
    )
    expected = sorted([(3, s) for s in range(4)] + [(s, 3) for s in range(3)])
    assert list(found.index) == ["features.relu0", "features.relu1", "output"]
    assert all(pairs == expected for pairs in found)
    assert (frame.layer_a == frame.layer_b).all()
    assert frame.columns.tolist() == COLUMNS.names
    assert (frame[(frame.round_a == 3) & (frame.round_b == 3)].value - 1).abs().max() < 1e-9


def test_orders_are_mirrored_and_sides_keep_what_is_theirs(rounds, tmp_path):
    wider = np.random.default_rng(0).standard_normal((300, 11)).astype(np.float32)
    wider[:, 4] = 2.5
    paths = [
        record(tmp_path / "a.h5", layers={"x": wider}),
        record(tmp_path / "b.h5", round=1, layers={"x": wider[:, :7] ** 3}),
    ]
    frame = table(compare_round(paths, Similarity(measures=ALL))).set_index(["round_a", "round_b", "measure"])
    for measure in ALL:
        there, back = frame.loc[1, 0, measure], frame.loc[0, 1, measure]
        assert (there.width_a, there.width_b, back.width_a, back.width_b) == (7, 11, 11, 7)
        assert (there.rank_a, there.rank_b) == (back.rank_b, back.rank_a)
        assert (there.density_a, there.density_b) == (back.density_b, back.density_a) == (0.8, 1.0)
        assert (there.value == back.value) == load_measure(measure).symmetric
    assert frame.loc[1, 0, "cca"].rank_a == 6 and frame.loc[1, 0, "cca"].rank_b == 10


def test_values_are_those_of_the_matrices(rounds):
    frame = table(compare_round(rounds, Similarity(measures=ALL))).set_index(
        ["layer_a", "round_b", "measure"]
    )
    with h5py.File(rounds[3]) as a, h5py.File(rounds[1]) as b:
        for layer in a["layers"]:
            matrices = [file["layers"][layer][...] for file in (a, b)]
            gram = moments.all_pairs(matrices)
            sides = [replace(represent(gram.moments(i)), rows=matrices[i]) for i in (0, 1)]
            pair = Pair(*sides, gram.cross(0, 1), aligned=True)
            for score in compare(pair, [load_measure(name) for name in ALL]):
                row = frame.loc[layer, 1, score.measure]
                assert row.value == pytest.approx(score.value, abs=1e-10)
                assert row.status == score.status and row.n == 300
                np.testing.assert_allclose(row.chance, score.chance)
                if score.measure == "cca":
                    np.testing.assert_allclose(row.spectrum, score.spectrum, atol=1e-10)
                else:
                    assert row.spectrum is None


def test_the_log_counts_values_with_a_warning(rounds, tmp_path, caplog):
    caplog.set_level("INFO", "prunescope")
    compare_round(rounds[:1], Similarity(measures=["cca", "cka"]))
    compare_round(
        [record(tmp_path / "dead.h5", layers={"x": np.ones((300, 2))})], Similarity(measures=["cca"])
    )
    *known, dead = [line.partition("recordings compared: ")[2] for line in caplog.messages]
    assert known == 3 * ["1"] and dead == "1; dead layer: 1 values"


def test_first_round_is_compared_with_itself(rounds):
    frame = table(compare_round(rounds[:1], Similarity()))
    assert len(frame) == 3 * len(Similarity().measures)
    assert frame.value.to_numpy() == pytest.approx(1, abs=1e-9)


def test_all_layers(rounds):
    frame = table(compare_round(rounds[:2], Similarity(measures=["cka", "pwcca"], pairs="all-layers")))
    cka = frame[frame.measure == "cka"]
    between = cka[(cka.round_a == 1) & (cka.round_b == 0)].pivot(
        index="layer_a", columns="layer_b", values="value"
    )
    mirrored = cka[(cka.round_a == 0) & (cka.round_b == 1)].pivot(
        index="layer_b", columns="layer_a", values="value"
    )
    within = cka[(cka.round_a == 1) & (cka.round_b == 1)].pivot(
        index="layer_a", columns="layer_b", values="value"
    )
    assert between.shape == within.shape == (3, 3)
    np.testing.assert_array_equal(between, mirrored)
    np.testing.assert_allclose(np.diag(within), 1)
    np.testing.assert_array_equal(within, within.T)
    assert len(cka) == 9 + 9 + 9
    same = table(compare_round(rounds[:2], Similarity(measures=["cka"])))
    np.testing.assert_allclose(
        np.diag(between),
        same[(same.round_a == 1) & (same.round_b == 0)].sort_values("layer_a").value,
        atol=1e-12,
    )


def test_across_seeds(tmp_path):
    paths = [record(tmp_path / f"seed{seed}.h5", seed=seed, round=2) for seed in (3, 5, 8)]
    frame = table(compare_seeds(paths, Similarity(measures=["cca"])))
    pairs = set(zip(frame.seed_a, frame.seed_b, strict=True))
    assert pairs == {(a, b) for a in (3, 5, 8) for b in (3, 5, 8) if a != b}
    assert table(compare_seeds(paths[:1], Similarity(measures=["cca"]))).empty
    assert len(frame) == 6 * 3 and set(frame.round_a) == set(frame.round_b) == {2}


def test_sums_on_a_device_change_rounding_only(rounds):
    """As on a GPU, but by torch on the CPU."""
    settings = Similarity(measures=ALL, intervals=True)
    found, expected = (table(compare_round(rounds, settings, device=device)) for device in ("cpu:0", "cpu"))
    for column in ("value", "low", "high", "chance"):
        np.testing.assert_allclose(found[column], expected[column], atol=1e-9)
    assert expected["low"].notna().any() and found["status"].equals(expected["status"])


def test_bytes_do_not_depend_on_threads_or_repetition(rounds, tmp_path):
    written = []
    for i, threads in enumerate((1, 1, 3)):
        path = tmp_path / f"{i}.parquet"
        files.write_parquet(path, compare_round(rounds, Similarity(measures=ALL), threads))
        written.append(path.read_bytes())
    assert written[0] == written[1] == written[2]
    assert pq.read_schema(path).equals(COLUMNS)


def test_batches_change_rounding_only(rounds, monkeypatch):
    expected = table(compare_round(rounds, Similarity(measures=ALL)))
    monkeypatch.setattr(passes, "BATCH_NUMBERS", 1)
    monkeypatch.setattr(moments, "MOST_ROWS", 64)
    monkeypatch.setattr(moments, "LEAST_ROWS", 64)
    found = table(compare_round(rounds, Similarity(measures=ALL)))
    np.testing.assert_allclose(found.pop("value"), expected.pop("value"), atol=1e-9)
    columns = ["round_a", "round_b", "layer_a", "measure", "status", "rank_a", "rank_b"]
    assert found[columns].equals(expected[columns])


@pytest.mark.parametrize("which", ["none", "own", "other"])
def test_only_matrices_that_need_it_are_read_again(which):
    """Each pass reads all rows of what it compares; a rough mean reads the first ones."""
    rng = np.random.default_rng(0)
    matrices = {name: rng.standard_normal((1500, 3)) for name in ("own", "other", "third")}
    reads = dict.fromkeys(matrices, 0)

    class Counted:
        def __init__(self, name):
            self.name, self.shape = name, (1500, 3)

        def __getitem__(self, rows):
            reads[self.name] += rows.stop is None or rows.stop == 1500
            return matrices[self.name][rows]

    if which != "none":
        matrices[which][:, 2] = matrices[which][:, 0] + 1e-5 * rng.standard_normal(1500)
    own = passes.Group([Counted("own")], lambda _, found: represent(found))
    pairs = list(own.against([Counted("other"), Counted("third")], lambda _, pairs: next(pairs)))
    assert [pair.whitened is not None for pair in pairs] == [which != "none", which == "own"]
    assert reads == {
        "own": 2 + (which != "none") + (which == "own"),
        "other": 1 + (which != "none"),
        "third": 1 + (which == "own"),
    }


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path):
    def peak(n):
        rng = np.random.default_rng(0)
        layers = {"x": rng.standard_normal((n, 24)).astype(np.float32)}
        paths = [record(tmp_path / f"{n}-{r}.h5", round=r, layers=layers) for r in range(3)]
        tracemalloc.start()
        compare_round(paths, Similarity())
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(4 * 40_000) <= 1.1 * peak(40_000)


def one_line(path_a, path_b, words, run, *arguments):
    with pytest.raises(InputError) as error:
        run(*arguments)
    message = str(error.value)
    assert "\n" not in message
    for word in (*words, *(str(path) for path in (path_a, path_b) if path)):
        assert word in message


@pytest.mark.parametrize(
    "other, words",
    [
        ({"examples": np.arange(300) + 1}, ["indices"]),
        ({"view": "flatten"}, ["view", "pooled", "flatten"]),
        ({"dataset": "xyz"}, ["dataset", "abc", "xyz"]),
        (
            {"layers": {"features.relu1": np.ones((300, 2)), "output": np.ones((300, 3))}},
            ["no layer features.relu0"],
        ),
    ],
)
def test_rows_that_do_not_correspond(rounds, tmp_path, other, words):
    path = record(tmp_path / "other.h5", round=4, **other)
    for compare_files in (compare_round, compare_seeds):
        one_line(rounds[0], path, words, compare_files, [rounds[0], path], Similarity())


def test_a_layer_with_other_positions_in_another_network_has_no_value(tmp_path):
    rng = np.random.default_rng(0)
    a = record(tmp_path / "a.h5", layers={"x": rng.random((300, 2))}, examples=np.arange(100))
    b = record(tmp_path / "b.h5", round=1, layers={"x": rng.random((400, 5))}, examples=np.arange(100))
    frame = table(compare_round([a, b], Similarity(measures=["cka"]))).set_index(["round_a", "round_b"])
    assert frame.loc[(1, 1), "status"] == "ok" and len(frame) == 3
    for pair in ((0, 1), (1, 0)):
        apart = frame.loc[pair]
        assert np.isnan(apart["value"]) and apart["status"] == "other positions" and apart["n"] == 0
        assert (apart["width_a"], apart["width_b"]) == ((2, 5) if pair == (0, 1) else (5, 2))


def test_all_layers_compares_the_layers_whose_positions_correspond(tmp_path):
    """Two maps of four pixels, one of nine, two vectors, in an order that mixes them."""
    sizes = {"conv1": (4, 3), "fc1": (1, 5), "conv2": (9, 4), "conv3": (4, 2), "fc2": (1, 3)}
    paths, rng = [], np.random.default_rng(0)
    for number in range(2):
        layers = {name: rng.random((60 * each, units)) for name, (each, units) in sizes.items()}
        paths.append(record(tmp_path / f"{number}.h5", round=number, layers=layers, examples=np.arange(60)))
    matrix = compare_round(paths, Similarity(measures=["cka", "pwcca"], pairs="all-layers"))
    frame = table(matrix)
    keys = ["round_a", "layer_a", "round_b", "layer_b", "measure"]
    assert not frame.duplicated(keys).any()
    # Both orders of each pair of rounds, and within round 1 each layer with itself once.
    assert len(frame) == 2 * (2 * 25 + 25)
    same = frame["layer_a"].map(sizes).str[0] == frame["layer_b"].map(sizes).str[0]
    assert (frame["status"] == "other positions").equals(~same)
    assert frame["value"].isna().equals(~same) and frame["spectrum"].isna().all()
    assert (frame.loc[same, "n"] == 60 * frame.loc[same, "layer_a"].map(sizes).str[0]).all()
    assert list(json.loads(matrix.schema.metadata[b"layers"])) == list(sizes)
    # As if the layers with corresponding rows had been recorded alone.
    alone = []
    for number in range(2):
        with h5py.File(paths[number]) as file:
            layers = {name: file[f"layers/{name}"][...] for name in ("conv1", "conv3")}
        alone.append(
            record(tmp_path / f"few{number}.h5", round=number, layers=layers, examples=np.arange(60))
        )
    few = table(compare_round(alone, Similarity(measures=["cka", "pwcca"], pairs="all-layers")))
    both = few.merge(frame, on=keys)
    assert len(both) == len(few) == 2 * 12 and (both["value_x"] == both["value_y"]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_activations_that_are_not_finite(rounds, tmp_path, bad):
    matrix = np.random.default_rng(0).standard_normal((300, 4))
    good = record(tmp_path / "good.h5", layers={"x": matrix})
    matrix = matrix.copy()
    matrix[7, 2] = matrix[250, 0] = bad
    matrix[8, 2] = -bad  # their mean is invalid
    broken = record(tmp_path / "broken.h5", round=6, layers={"x": matrix})
    for paths in ([broken], [good, broken], [broken, good]):
        one_line(broken, None, ["layer x", "round 6", "3 of 1200"], compare_round, paths, Similarity())


def test_damaged_files(rounds, tmp_path):
    whole = rounds[1].read_bytes()
    short = tmp_path / "short.h5"
    for content in (b"", b"not HDF5", whole[: len(whole) // 2]):
        short.write_bytes(content)
        one_line(short, None, ["delete it and run again"], compare_round, [rounds[0], short], Similarity())
    one_line(
        tmp_path / "none.h5",
        None,
        ["not a readable"],
        compare_round,
        [tmp_path / "none.h5"],
        Similarity(),
    )
    incomplete = record(tmp_path / "incomplete.h5")
    with h5py.File(incomplete, "a") as file:
        del file["layers/output"].attrs["width"]
    one_line(incomplete, None, ["damaged"], compare_round, [incomplete], Similarity())
    hdf5.seal(incomplete)
    one_line(incomplete, None, ["not a readable"], compare_round, [incomplete], Similarity())
    foreign = record(tmp_path / "foreign.h5", schema=99)
    one_line(foreign, None, ["schema 99"], compare_round, [foreign], Similarity())


def test_damage_inside_a_compressed_layer(tmp_path):
    path = record(tmp_path / "a.h5", layers={"other": np.ones((300, 2))})
    with h5py.File(path, "a") as file:
        del file["layers/other"]
        data = file.create_dataset(
            "layers/x", data=np.random.default_rng(0).random((300, 50)), compression="gzip"
        )
        data.attrs.update(order=0, width=50, shape=[50], grid=[], positions=[0])
        place = data.id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[place.byte_offset : place.byte_offset + 200] = bytes(200)
    path.write_bytes(content)
    one_line(path, None, ["damaged"], compare_round, [path], Similarity())
    hdf5.seal(path)
    one_line(path, None, ["layer x"], compare_round, [path], Similarity())


def test_the_order_of_measures_means_nothing(rounds):
    there, back = (compare_round(rounds, Similarity(measures=names)) for names in (ALL, ALL[::-1]))
    pd.testing.assert_frame_equal(table(there), table(back))
    assert table(compare_round(rounds[:1], Similarity(measures=ALL[::-1]))).measure.tolist() == 3 * ALL


def test_an_unknown_measure():
    words = ["similarity: measures[0]", "'ccca'", "did you mean 'cca'"]
    one_line(None, None, words, base.load, Similarity, {"measures": ["ccca"]}, "similarity")


def test_siblings_name_both_experiments(tmp_path):
    paths = [record(tmp_path / f"{seed}.h5", seed=seed, density=0.5 + seed) for seed in (0, 1)]
    named = table(compare_siblings(paths, Similarity(measures=["pwcca"]), experiments=("mine", "again")))
    plain = table(compare_seeds(paths, Similarity(measures=["pwcca"])))
    pd.testing.assert_frame_equal(named.iloc[:, 2:], plain)
    assert list(named)[:2] == ["experiment_a", "experiment_b"]
    for side in "ab":
        expected = named[f"density_{side}"].map({0.5: "mine", 1.5: "again"})
        assert (named[f"experiment_{side}"] == expected).all(), "each side is of its own file"
