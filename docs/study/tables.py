"""Write the tables of docs/study from the results of the study: `make study` does it after the workflow.

Values have five decimals. Every number of docs/study.md follows from these tables, see claims.py.
"""

import argparse
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch

import prunescope as ps
from prunescope import checkpoints
from prunescope.files import read_parquet
from prunescope.findings import levels, slices
from prunescope.tables import layers as layers_of

HERE = Path(__file__).parent
# Measure of the verdicts, and the test accuracy below which a network of ten classes does not classify.
PRIMARY, LEAST_ACCURACY = "cka_debiased", 0.28
CONTROLS = ("retrain", "siblings", "shuffled-masks", "new-weights")
PAIR = ["series", "seed", "seed_b", "round", "layer"]
# Numbers of images in the view `channels`, and the number in the other views.
IMAGES, IMAGES_OF_VIEWS = (500, 1000, 2000, 5000), 1000
VIEWS = ("channels", "pooled", "flatten")
# Positions of each map in the view `channels`, as in the experiments.
POSITIONS = {"mnist": 16, "cifar10": 4}
# The authors' two dense networks, see docs/study.md.
LAYERS = ["relu1", "pool1", "relu2", "pool2", "relu3", "relu4", "output"]
PUBLISHED = {
    "svcca_trim98": (0.7036, 0.7124, 0.6040, 0.7061, 0.7852, 0.7711, 0.9486),
    "cka": (0.9557, 0.9576, 0.9430, 0.9324, 0.9384, 0.9489, 0.9330),
}


def read(results: Path, name: str) -> dict[str, levels.Tables]:
    """Read the tables of an experiment and of its controls that have been run, by series."""
    tables = {}
    for control in ("none", *CONTROLS):
        folder = results / (name if control == "none" else f"{name}-{control}")
        matrix = folder / ("siblings.parquet" if control == "siblings" else "similarity.parquet")
        if not matrix.exists():
            continue
        tables[slices.series(control)] = levels.Tables(
            folder.name,
            read_parquet(folder / "accuracy.parquet"),
            read_parquet(matrix),
            *(read_parquet(folder / f"{table}.parquet") for table in ("weights", "predictions")),
            _barriers(folder, results / f"{name}-other-seeds"),
        )
    return tables


def _barriers(folder: Path, other_seeds: Path) -> pd.DataFrame | None:
    """Return the lines of an experiment; the dense networks of its seeds are connected in another one."""
    parts = [read_parquet(path) for path in [folder / "barriers.parquet"] if path.exists()]
    if (
        other_seeds.name == f"{folder.name}-other-seeds"
        and (path := other_seeds / "barriers.parquet").exists()
    ):
        table = read_parquet(path)
        own = {"experiment_a": folder.name, "experiment_b": folder.name}
        parts.append(table.assign(**own))
    return pd.concat(parts, ignore_index=True) if parts else None


def networks(tables: dict[str, levels.Tables]) -> pd.DataFrame:
    """List all networks: density and accuracy."""
    columns = ["series", "seed", "round", "density", "test_accuracy", "train_accuracy", "test_loss"]
    return pd.concat([one.accuracy.assign(series=series) for series, one in tables.items()])[columns]


def rows(tables: dict[str, levels.Tables], untrained: pd.DataFrame | None) -> pd.DataFrame:
    """Return each layer's similarity to the same layer of the dense network, and of all pairs, by measure."""
    parts = []
    for series, one in tables.items():
        if one.again:
            own = one.similarity[one.similarity["experiment_a"] == one.name]
        else:
            own = slices.pruned(slices.to_dense(one.similarity))
        parts.append(own.assign(series=series))
    dense = next(iter(tables.values())).similarity
    dense = dense[(dense["round_a"] == 0) & (dense["round_b"] == 0)]
    parts.append(_pairs(dense).assign(series=slices.OTHER_SEEDS))
    if untrained is not None:
        parts.append(_pairs(untrained).assign(series=slices.UNTRAINED))
    names = {"seed_a": "seed", "round_a": "round", "layer_a": "layer"}
    return pd.concat(parts, ignore_index=True).rename(columns=names)


def _pairs(rows: pd.DataFrame) -> pd.DataFrame:
    return slices.each_pair_once(slices.same_layer(rows))


def similarity(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the values: a column for each measure."""
    wide = rows.pivot(index=PAIR, columns="measure", values="value")
    return wide.reindex(pd.MultiIndex.from_frame(rows[PAIR].drop_duplicates())).reset_index()


def warnings(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the values that cannot be taken as they are."""
    return rows.loc[~rows["status"].isin(slices.SIZES), [*PAIR, "measure", "status"]]


def chance(rows: pd.DataFrame) -> pd.DataFrame:
    """Return chance levels of the primary measure, of pruned networks."""
    own = rows[(rows["series"] == slices.PRUNED) & (rows["measure"] == PRIMARY)]
    return own[["seed", "round", "layer", "chance_high", "chance_classes"]]


def distances(tables: dict[str, levels.Tables], layers: list[str], untrained) -> pd.DataFrame:
    """Return the distance of each network to the dense one, a column for each level."""
    found = levels.distances(tables, PRIMARY, layers, LEAST_ACCURACY, untrained)
    found = found[found["layer"] == ""]
    keys = ["series", "seed", "seed_b", "round", "density"]
    wide = found.pivot(index=keys, columns="level", values="distance")
    wide = wide.reindex(pd.MultiIndex.from_frame(found[keys].drop_duplicates())).reset_index()
    return wide.reindex(columns=[*keys, *levels.LEVELS])


def views(results: Path, name: str, dataset: str, layers: list[str], positions: int) -> pd.DataFrame:
    """Compare the last round of each seed with its dense network in other views, and for fewer images."""
    run, parts = ps.load(results / name), []
    last = int(run.accuracy["round"].max())
    for seed in sorted(run.accuracy["seed"].unique()):
        checkpoint = checkpoints.load(results / name / f"seed{seed}/round{last}/checkpoint.pt")
        images = _images(results / f"data/{dataset}.h5", checkpoint, max(IMAGES))
        pair = [run.network(int(seed), round) for round in (last, 0)]
        cases = [("channels", count) for count in IMAGES] + [(view, IMAGES_OF_VIEWS) for view in VIEWS[1:]]
        for view, count in cases:
            found = ps.compare_models(
                *pair, images[:count], layers=layers, measures=[PRIMARY], view=view, positions=positions
            )
            parts.append(found.assign(seed=seed, round=last, view=view, images=count))
    columns = ["seed", "round", "view", "images", "layer_a", "value", "status"]
    return pd.concat(parts)[columns].rename(columns={"layer_a": "layer"})


def _images(path: Path, checkpoint, count: int) -> torch.Tensor:
    """Return the first test images of a fixed order, scaled as in training."""
    with h5py.File(path) as file:
        chosen = np.random.default_rng(0).permutation(len(file["test/labels"]))[:count]
        pixels = torch.from_numpy(file["test/images"][:][chosen])
    mean, std = (torch.as_tensor(one).view(1, -1, 1, 1) for one in (checkpoint.mean, checkpoint.std))
    return (pixels / 255 - mean) / std


def authors(results: Path) -> pd.DataFrame:
    """Put the authors' dense networks next to ours, trained by their recipe with both optimisers."""
    parts = [
        pd.DataFrame({"networks": "published", "layer": LAYERS, "measure": measure, "value": values})
        for measure, values in PUBLISHED.items()
    ]
    for optimizer in ("sgd", "adam"):
        for measure, folder in (("svcca_trim98", ""), ("cka", "-flatten")):
            path = results / f"study-mnist-{optimizer}{folder}/similarity.parquet"
            if path.exists():
                found = slices.of_measure(_pairs(read_parquet(path)), measure)
                found = found.rename(columns={"layer_a": "layer", "seed_a": "seed"})
                parts.append(found.assign(networks=optimizer))
    return pd.concat(parts).reindex(columns=["networks", "seed", "seed_b", "layer", "measure", "value"])


def write(folder: Path, study: str, tables: dict[str, pd.DataFrame]) -> None:
    """Write the tables as CSV files."""
    for name, table in tables.items():
        counts = {column: "Int64" for column in ("seed", "seed_b") if column in table}
        path = folder / f"{study}-{name}.csv"
        table.round(5).astype(counts).to_csv(path, index=False, lineterminator="\n")
        print(f"{path}: {len(table)} rows, {path.stat().st_size / 1e3:.0f} kB")


def main():
    """Write all tables of a study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=["mnist", "cifar10"])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--name", help="the experiment; by default study-STUDY")
    parser.add_argument("--dataset", help="by default that of the study")
    parser.add_argument("--folder", type=Path, default=HERE)
    given = parser.parse_args()
    name = given.name or f"study-{given.study}"
    tables = read(given.results, name)
    path = given.results / name / "untrained/similarity.parquet"
    untrained = read_parquet(path) if path.exists() else None
    layers = list(layers_of(given.results / name / "similarity.parquet"))
    found = rows(tables, untrained)
    made = {
        "networks": networks(tables),
        "similarity": similarity(found),
        "warnings": warnings(found),
        "chance": chance(found),
        "distances": distances(tables, layers, untrained),
        "views": views(given.results, name, given.dataset or given.study, layers, POSITIONS[given.study]),
    }
    if given.study == "mnist":
        made["authors"] = authors(given.results)
    write(given.folder, given.study, made)


if __name__ == "__main__":
    main()
