"""torchvision's data sets by name: each one in the table, and small copies that torchvision reads."""

import inspect
import json

import numpy as np
import pytest
from PIL import Image

from prunescope.data import sources
from prunescope.data.sources import torchvision as source
from prunescope.errors import InputError

datasets = pytest.importorskip("torchvision.datasets")
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", source.SIZES)
def test_every_name_is_a_data_set_whose_splits_and_labels_are_found(name):
    kind = getattr(datasets, name)
    parameters = inspect.signature(kind.__init__).parameters
    text = "".join(
        inspect.getsource(part) for part in kind.__mro__ if part.__module__.startswith("torchvision")
    )
    assert "root" in parameters and "target" in text
    shape, classes, train, test = source.SIZES[name]
    assert shape[0] in (1, 3) and shape[1] == shape[2]
    assert classes > 1 and train > 0
    if "train" in parameters:
        assert name not in source.SPLITS and test
    elif "split" in parameters:
        names = source.SPLITS.get(name, ("train", "test"))
        assert test and all(f'"{split}"' in text or f"'{split}'" in text for split in names)
    else:
        assert not test
    assert any(f"self.{attribute}" in text for attribute in (*source.LABELS, source.PAIRS))


# Sizes as the papers and pages of the data sets state them: shape; classes; training and test images, each
# as a sum over parts or classes where it is one.
STATED = {
    "Caltech101": ((3, None, None), 101, 9_145 - 468, 0),  # without the background
    "Caltech256": ((3, None, None), 256 + 1, 29_780 + 827, 0),  # with the clutter
    "CIFAR10": ((3, 32, 32), 10, 10 * 5_000, 10 * 1_000),
    "CIFAR100": ((3, 32, 32), 100, 100 * 500, 100 * 100),
    "Country211": ((3, None, None), 211, 211 * 150, 211 * 100),
    "DTD": ((3, None, None), 47, 47 * 40, 47 * 40),
    "EuroSAT": ((3, 64, 64), 10, 5 * 3_000 + 4 * 2_500 + 2_000, 0),
    "FashionMNIST": ((1, 28, 28), 10, 10 * 6_000, 10 * 1_000),
    "FGVCAircraft": ((3, None, None), 100, 10_000 - 3_333, 3_333),
    "Flowers102": ((3, None, None), 102, 102 * 10, 8_189 - 2 * 102 * 10),
    "Food101": ((3, None, None), 101, 101 * 750, 101 * 250),
    "GTSRB": ((3, None, None), 43, 26_640, 12_630),
    "ImageNet": ((3, None, None), 1_000, 1_281_167, 1_000 * 50),
    "Imagenette": ((3, None, None), 10, 13_394 - 3_925, 3_925),
    "KMNIST": ((1, 28, 28), 10, 10 * 6_000, 10 * 1_000),
    "MNIST": ((1, 28, 28), 10, 70_000 - 10_000, 10_000),
    "OxfordIIITPet": ((3, None, None), 37, 7_349 - 3_669, 3_669),
    "RenderedSST2": ((3, None, None), 2, 3_610 + 3_310, 912 + 909),
    "SEMEION": ((1, 16, 16), 10, 1_593, 0),
    "StanfordCars": ((3, None, None), 196, 16_185 - 8_041, 8_041),
    "STL10": ((3, 96, 96), 10, 10 * 500, 10 * 800),
    "SUN397": ((3, None, None), 397, 108_754, 0),
    "SVHN": ((3, 32, 32), 10, 99_289 - 26_032, 26_032),
    "USPS": ((1, 16, 16), 10, 9_298 - 2_007, 2_007),
}


def test_sizes_are_those_that_the_data_sets_state():
    assert source.SIZES == STATED


def picture(path, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    size = RNG.integers(20, 40, 2)
    image = Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8)).convert(mode)
    image.save(path)
    return np.asarray(image.convert("RGB"))


def food101(root):
    folder, lists = root / "food-101", {}
    for split, count in (("train", 3), ("test", 2)):
        for name in ("apple_pie", "waffles"):
            files = [f"{name}/{split}{number}" for number in range(count)]
            lists.setdefault(split, {})[name] = files
            for number, file in enumerate(files):
                picture(folder / f"images/{file}.jpg", "L" if number else "RGB")
    (folder / "meta").mkdir()
    for split, found in lists.items():
        (folder / f"meta/{split}.json").write_text(json.dumps(found))
    return ("apple_pie", "waffles"), [0, 0, 0, 1, 1, 1], [0, 0, 1, 1]


def gtsrb(root):
    folder = root / "gtsrb/GTSRB"
    for name in ("00000", "00001"):
        for number in range(2):
            picture(folder / f"Training/{name}/{number}.ppm")
    for number in range(3):
        picture(folder / f"Final_Test/Images/{number}.ppm")
    rows = ["Filename;ClassId", "0.ppm;1", "1.ppm;0", "2.ppm;1"]
    (root / "gtsrb/GT-final_test.csv").write_text("\n".join(rows))
    return ("0", "1"), [0, 0, 1, 1], [1, 0, 1]


def eurosat(root):
    for name in ("Forest", "River", "SeaLake"):
        for number in range(4):
            picture(root / f"eurosat/2750/{name}/{number}.jpg")
    return ("Forest", "River", "SeaLake"), [0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(("name", "make"), [("Food101", food101), ("GTSRB", gtsrb), ("EuroSAT", eurosat)])
def test_a_small_copy_is_read(name, make, tmp_path, monkeypatch):
    classes, train, test = make(tmp_path)
    split = name != "EuroSAT"
    counts = (len(train), len(test)) if split else (len(train) + len(test), 0)
    monkeypatch.setitem(source.SIZES, name, ((3, None, None), len(classes), *counts))
    given = {"source": f"torchvision:{name}", "resize": 16} | ({} if split else {"test_fraction": 0.5})
    assert sources.describe(given, str(tmp_path)) == {
        "shape": [3, 16, 16],
        "classes": len(classes),
        "train": len(train),
        "test": len(test),
    }
    data = sources.fetch("x", given, str(tmp_path), download=False)
    assert data.classes == classes and data.shape == (3, 16, 16)
    assert data.train_labels.tolist() == train and data.test_labels.tolist() == test
    transforms = pytest.importorskip("torchvision.transforms")
    resize = transforms.Compose([transforms.Resize(16), transforms.CenterCrop(16)])
    kind = getattr(datasets, name)
    part = kind(tmp_path, split="test") if split else kind(tmp_path)
    expected = {np.asarray(resize(image)).tobytes() for image, _ in part}
    found = {image.transpose(1, 2, 0).tobytes() for image in np.asarray(data.test_images)}
    assert found <= expected and (found == expected or not split)
    monkeypatch.setitem(source.SIZES, name, ((3, None, None), len(classes), counts[0] + 2, counts[1]))
    with pytest.raises(InputError, match=r"damaged: shape, classes, training and test images are \(\[3, 16"):
        sources.fetch("x", given, str(tmp_path), download=False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("torchvision:Food101", "the images differ in size; set resize, e.g. {source: 'torchvision:Food101'"),
        ({"source": "torchvision:EuroSAT"}, "no separate test images; set test_fraction"),
        (
            {"source": "torchvision:Food101", "resize": 8, "test_fraction": 0.1},
            "already has test images; remove it",
        ),
    ],
)
def test_what_is_missing_is_known_before_the_download(given, words, tmp_path):
    with pytest.raises(InputError) as caught:
        sources.describe(given, str(tmp_path))
    assert words in str(caught.value)


def test_known_sizes_need_no_files():
    given = {"source": "torchvision:Flowers102", "resize": 32}
    assert sources.describe(given, "nowhere") == {
        "shape": [3, 32, 32],
        "classes": 102,
        "train": 1020,
        "test": 6149,
    }
