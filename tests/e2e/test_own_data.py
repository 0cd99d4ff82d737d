"""A new user's own data, from the folder to the matrix: photos of any size and mode, and one .npz file."""

import os

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

pytestmark = pytest.mark.slow

PHOTOS = {"source": "imagefolder:photos", "resize": 8, "test_fraction": 0.25}
EXPERIMENT = {
    "extends": "digits-lenet",
    "seeds": [0],
    "rounds": 0,
    "training": {"epochs": 1, "schedule": {"name": "constant"}},
    "activations": {"examples": None},
}


def configure(project, photos: dict) -> None:
    config = {
        "experiments": {name: EXPERIMENT | {"dataset": name} for name in ("photos", "arrays")},
        "data": {"root": "data", "datasets": {"photos": photos, "arrays": "numpy:mine.npz"}},
    }
    (project.folder / "config/config.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture(scope="module")
def built_once(tmp_path_factory, create):
    rng = np.random.default_rng(0)
    project = create(tmp_path_factory.mktemp("own") / "project")
    data = project.folder / "data"
    for number in range(80):
        path = data / f"photos/class{number % 4}/{number}.{'png' if number % 3 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (*rng.integers(9, 40, 2), 3), dtype=np.uint8)
        Image.fromarray(pixels).convert("L" if number % 5 == 0 else "RGB").save(path)
    x, y = rng.integers(0, 256, (60, 8, 8), dtype=np.uint8), np.arange(60) % 3
    np.savez(data / "mine.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    configure(project, PHOTOS)
    project.targets = [f"results/{name}/similarity.parquet" for name in ("photos", "arrays")]
    project.snakemake("--resources", "gpu=0", "--", *project.targets)
    return project


@pytest.fixture
def own(built_once):
    """The project as it was built; a test may change its configuration and its first photo."""
    photo = built_once.folder / "data/photos/class0/0.jpg"
    whole, built = photo.read_bytes(), photo.stat()
    yield built_once
    configure(built_once, PHOTOS)
    photo.write_bytes(whole)
    # A copy in another folder would be other data: the path counts, like the time.
    os.utime(photo, ns=(built.st_atime_ns, built.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "channels", "train", "test"), [("photos", 3, 60, 20), ("arrays", 1, 40, 20)]
)
def test_own_data_ends_in_a_matrix(own, name, channels, train, test):
    with h5py.File(own.folder / f"results/data/{name}.h5") as file:
        assert file["train/images"].shape == (train, channels, 8, 8)
        assert file["test/images"].shape == (test, channels, 8, 8)
    matrix = pd.read_parquet(own.folder / f"results/{name}/similarity.parquet")
    assert matrix.layer_a.nunique() == 5 and len(matrix) == 5 * matrix.measure.nunique()
    values = matrix.value.dropna()
    assert len(values) and np.allclose(values, 1), "one network, compared with itself"


def test_a_changed_option_or_file_reruns_what_depends_on_it(own):
    assert own.jobs("--", *own.targets) == set()
    of_photos = {
        "prepare_dataset photos",
        "train_dense photos 0",
        "extract_activations photos 0 0",
        "compare_round photos 0 0",
        "assemble_matrix photos",
    }
    configure(own, PHOTOS | {"test_fraction": 0.3})
    assert own.jobs("--", *own.targets) == of_photos
    configure(own, PHOTOS)
    photo = own.folder / "data/photos/class0/0.jpg"
    whole = photo.read_bytes()
    photo.write_bytes(b"no image")
    refused = own.snakemake("--dry-run", check=False)
    line = "prunescope: data/photos: class0/0.jpg is not a readable image; remove or replace it"
    assert refused.returncode and line in refused.stdout.splitlines(), refused.stdout
    photo.write_bytes(whole)
    assert own.jobs("--", *own.targets) == set(), "only its time has changed"
    photo.write_bytes((photo.parent / "12.jpg").read_bytes())
    assert own.jobs("--", *own.targets) == of_photos


def test_what_cannot_be_prepared_stops_the_plan_with_one_line(own):
    configure(own, {"source": "imagefolder:photos", "test_fraction": 0.25})
    refused = own.snakemake("--dry-run", check=False)
    lines = [line for line in refused.stdout.splitlines() if line.startswith("prunescope: ")]
    assert refused.returncode and len(lines) == 1 and "or set resize, e.g." in lines[0], refused.stdout
    assert "Traceback" not in refused.stdout
