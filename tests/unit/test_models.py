"""Experiments with networks that were trained elsewhere: configuration, layers, measurements."""

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from prunescope import checkpoints, files
from prunescope.activations import record, store
from prunescope.data import datasets
from prunescope.errors import InputError
from prunescope.logits import opened
from prunescope.plan import sharing, sizes, stages, targets
from prunescope.pruning import imported, rounds
from prunescope.pruning.rounds import Round
from prunescope.settings import elsewhere
from prunescope.settings.activations import RecordingSettings
from prunescope.settings.load import Catalogue, load_experiment, load_lineage
from prunescope.settings.reading import merge
from prunescope.settings.training import Forward

pytestmark = pytest.mark.usefixtures("folder")
NET = """
from torch import nn

class MyNet(nn.Module):
    def __init__(self, shape, classes, width=6, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], width, 3, padding=1, stride=stride)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, 8, 3, padding=1)
        self.relu2 = nn.ReLU()
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        x = self.relu2(self.conv2(self.relu1(self.conv1(x))))
        return self.head(x.mean((2, 3)))

def other(classes):
    return nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(5 * 64, classes))
"""
BASE = {
    "dataset": "mine",
    "network": {"name": "file:nets/mine.py:MyNet"},
    "models": [
        {"weights": "dense.pt", "label": "dense"},
        {"weights": "half.pt", "label": "50 %"},
        {"weights": "seed1.pt", "lineage": 7},
    ],
    "activations": {"layers": ["relu?", "head"], "examples": 20},
}
DATA = {
    "root": ".",
    "datasets": {"mine": "numpy:mine.npz", "unlabelled": "numpy:unlabelled.npz"},
    "download": False,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with data, a network of the user's own, and its weights."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets/mine.py").write_text(NET)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 4
    np.savez("mine.npz", x_train=images[:30], y_train=labels[:30], x_test=images[30:], y_test=labels[30:])
    np.savez("unlabelled.npz", x=images)
    for seed, name in enumerate(("dense.pt", "half.pt", "seed1.pt")):
        network = make(seed)
        if name == "half.pt":
            for module in (network.conv1, network.conv2, network.head):
                module.weight.data[::2] = 0
        torch.save(network.state_dict(), name)
    torch.manual_seed(3)
    torch.save(namespace()["other"](4).state_dict(), "other.pt")
    return tmp_path


def namespace() -> dict:
    found: dict = {}
    exec(NET, found)
    return found


def make(seed: int, **arguments) -> nn.Module:
    torch.manual_seed(seed)
    return namespace()["MyNet"]((1, 8, 8), 4, **arguments)


def load(experiment: dict | None = None, **changes) -> dict:
    written = merge(BASE if experiment is None else experiment, changes)
    return load_experiment("x", Catalogue((), {"x": written}))


def describe(**changes) -> dict:
    return sizes.describe(load(**changes), "experiments.x", DATA)


def model(place: int, **changes) -> dict:
    """Return the models with keys of one of them changed; None removes a key."""
    changed = [dict(one) for one in BASE["models"]]
    changed[place] = {key: value for key, value in {**changed[place], **changes}.items() if value is not None}
    return {"models": changed}


# --- configuration ---------------------------------------------------------------------------------------


def test_lineages_are_seeds_and_their_order_is_the_round():
    experiment = load()
    assert experiment["seeds"] == [0, 7] and experiment["rounds"] == 1
    assert stages.networks(experiment) == [(0, 0), (0, 1), (7, 0)]
    assert [elsewhere.find(experiment, *place)["weights"] for place in stages.networks(experiment)] == [
        "dense.pt",
        "half.pt",
        "seed1.pt",
    ]
    with pytest.raises(InputError, match="lineage 7 ends at round 0"):
        elsewhere.find(experiment, 7, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rounds": 2}, "rounds: nothing is trained or pruned in an experiment with models"),
        ({"seeds": [1]}, "seeds: nothing is trained"),
        ({"pruning": {"rate": 0.5}}, "pruning: nothing is trained"),
        ({"control": "retrain"}, "control: nothing is trained"),
        ({"training": {"epochs": 3}}, "training.epochs: nothing is trained"),
        ({"training": {"normalisation": "data"}}, "(did you mean 'dataset'?)"),
        (
            {"training": {"normalisation": {"mean": [0.5]}}},
            "training.normalisation.std: required key is missing",
        ),
        ({"training": {"normalisation": {"mean": [0.5], "std": [0]}}}, "std[0] = 0: must be greater than 0"),
        ({"models": []}, "models = []: must not be empty"),
        ({"models": [{"label": "a"}]}, "models[0].weights: required key is missing"),
        (
            {"models": [{"weights": "a.pt", "lable": "b"}]},
            "models[0].lable: unknown key (did you mean 'label'?)",
        ),
        ({"network": {"weights": "a.pt"}}, 'network.weights = "a.pt": is not used with models'),
    ],
)
def test_mistakes_are_one_line(changes, words):
    with pytest.raises(InputError, match=r"^experiments\.x: [^\n]*$") as caught:
        load(**changes)
    assert words in str(caught.value)


def test_number_of_outputs_is_for_models_only():
    written = {key: value for key, value in BASE.items() if key != "models"}
    training = {"training": {"epochs": 1, "optimizer": {"name": "adam", "lr": 0.1}}}
    load(written | training)
    with pytest.raises(
        InputError, match=r"network.classes = 3: is only for experiments with models; remove it"
    ):
        load(written | training, network={"classes": 3})


def test_training_is_not_inherited(tmp_path):
    trained = {key: value for key, value in BASE.items() if key != "models"} | {
        "seeds": [3],
        "rounds": 4,
        "pruning": {"rate": 0.5},
        "training": {"epochs": 1, "optimizer": {"name": "adam", "lr": 0.1}, "normalisation": "symmetric"},
    }
    catalogue = Catalogue(
        (), {"a": trained, "b": {"extends": "a", "models": BASE["models"]}, "c": {"extends": "b"}}
    )
    for name in ("b", "c"):
        experiment = load_experiment(name, catalogue)
        assert experiment["training"]["normalisation"] == "symmetric"
        assert experiment["seeds"] == [0, 7] and elsewhere.given(name, catalogue)
        lineage = load_lineage(name, catalogue)
        assert (
            sharing.network_file(lineage, 0, 0, "checkpoint.pt")
            == f"results/{name}/seed0/round0/checkpoint.pt"
        )
        yaml.safe_dump(stages.shown(experiment))
        again = Catalogue((), {name: stages.shown(experiment)})
        assert load_experiment(name, again) == experiment, "reports show what can be run again"
    assert not elsewhere.given("a", catalogue)


def test_experiments_of_grids_can_have_models():
    """Also those that no configuration selects: a target can name them."""
    grid = {"similarity.pairs": ["same-layer", "all-layers"], "activations.view": ["pooled"]}
    trained = {key: value for key, value in BASE.items() if key != "models"}
    written = {
        "a": BASE | {"grid": grid},
        "b": trained | {"grid": {"models": [BASE["models"]], "activations.view": ["pooled"]}},
        "c": {"extends": "a-view=pooled-pairs=all-layers"},
        "trained": trained | {"grid": grid},
        "broken": {"extends": "missing", "grid": grid},
    }
    catalogue = Catalogue((), written)
    found = elsewhere.trained_elsewhere(catalogue)
    grids = {name for start in ("a", "b") for name in catalogue.grid(start).experiments}
    expected = {"a", "c", *(name for name in grids if elsewhere.given(name, catalogue))}
    assert found == expected and set(catalogue.selected("a") + catalogue.selected("b")) < found


def test_targets_that_only_a_training_makes(folder):
    catalogue = Catalogue((), {"x": BASE})
    patterns = [
        f"results/{{experiment}}/seed{{seed}}/round{{round}}/{file}"
        for file in ("checkpoint.pt", "training.csv")
    ]
    targets.check(["results/x/seed0/round1/checkpoint.pt"], patterns, catalogue, DATA)
    for target, words in (
        ("results/x/seed7/round1/checkpoint.pt", "has rounds 0 to 0; add one to models"),
        ("results/x/seed0/round1/training.csv", "nothing is trained in x"),
    ):
        with pytest.raises(InputError, match=words):
            targets.check([target], patterns, catalogue, DATA)


# --- looking at the files --------------------------------------------------------------------------------


def test_files_are_read_while_the_graph_is_planned(folder):
    network = describe()["network"]
    assert network["shapes"] == {"relu1": [6, 8, 8], "relu2": [8, 8, 8], "head": [4]}
    (folder / "half.pt").unlink()
    with pytest.raises(InputError, match=r"^experiments.x: models\[1\]: weights = 'half.pt': cannot be read"):
        describe()


OTHER = {"weights": "other.pt", "lineage": 7, "network": {"name": "file:nets/mine.py:other"}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"arguments": {"width": 7}}}, "models[0]: weights = 'dense.pt': the weights do not fit"),
        (
            model(2, weights="other.pt"),
            "models[2]: weights = 'other.pt': the weights do not fit the network; missing",
        ),
        (model(2, **OTHER), "models[2]: layers: Sequential has no module 'relu1'"),
        (
            model(2, layers={"relu9": "relu1"}),
            "models[2]: layers: 'relu9' is not a recorded layer of the first model",
        ),
        (model(2, layers={"relu1": "relu3"}), "no module 'relu3' (did you mean"),
        (
            model(1, layers={"relu1": "relu2"}),
            "models[1]: layers: {relu1: relu2, relu2: relu2, head: head} names",
        ),
        (
            model(2, **OTHER, layers={"relu1": "1", "relu2": "1", "head": "3"}),
            "names a module twice",
        ),
        (
            {
                "models": [
                    {"weights": "dense.pt"},
                    {
                        "weights": "small.pt",
                        "network": {"name": "file:nets/mine.py:MyNet", "arguments": {"stride": 2}},
                    },
                ]
            },
            "models[1]: layer 'relu1' has 4×4 positions, but 8×8 in earlier models",
        ),
        (
            {"training": {"normalisation": {"mean": [0, 0, 0], "std": [1, 1, 1]}}},
            "models[0]: training.normalisation: has values for 3 channels, but the images have 1",
        ),
        ({"dataset": "unlabelled"}, "models[0]: network.classes: the images of unlabelled have no labels"),
        (
            {"network": {"classes": 5}},
            "models[0]: weights = 'dense.pt': the weights do not fit the network; of another",
        ),
    ],
)
def test_what_does_not_fit_is_found_before_any_job(folder, changes, words):
    torch.save(make(0, stride=2).state_dict(), "small.pt")
    with pytest.raises(InputError, match=r"^experiments\.x: [^\n]*$") as caught:
        describe(**changes)
    assert words in str(caught.value) and "delete" not in str(caught.value)


def test_layers_of_another_network_get_the_names_of_the_first(folder):
    wanted = {"relu1": "1", "head": "3"}
    changes = merge(model(2, **OTHER, layers=wanted), {"activations": {"layers": ["relu1", "head"]}})
    experiment = load(**changes)
    assert sizes.describe(experiment, "x", DATA)["network"]["shapes"] == {"relu1": [6, 8, 8], "head": [4]}
    assert elsewhere.recorded(experiment, experiment["models"][2], ["relu1", "head"]) == wanted
    assert elsewhere.recorded(experiment, experiment["models"][1], ["relu1", "head"]) == ["relu1", "head"]
    # All pairs of layers are compared, whatever their names.
    every = merge(changes, {"similarity": {"pairs": "all-layers"}, "activations": {"view": "pooled"}})
    every["models"][2]["layers"] = {"tanh": "1", "logits": "3"}
    shapes = sizes.describe(load(**every), "x", DATA)["network"]["shapes"]
    assert list(shapes) == ["relu1", "head", "tanh", "logits"]


@pytest.mark.parametrize("pairs", ["same-layer", "all-layers"])
def test_layers_can_have_names_of_other_modules(pairs):
    """The name of a layer is unrelated to the names of modules."""
    changes = {"similarity": {"pairs": pairs}, "activations": {"view": "pooled"}}
    changes |= model(1, layers={"relu1": "conv1", "relu2": "conv2", "head": "relu2"})
    assert describe(**changes)["network"]["shapes"] == {
        "relu1": [6, 8, 8],
        "relu2": [8, 8, 8],
        "head": [8, 8, 8],
    }


def test_models_with_the_network_of_the_first_have_its_layers():
    wanted = {"first": "relu1", "out": "head"}
    experiment = load(**model(0, layers=wanted))
    shapes = sizes.describe(experiment, "x", DATA)["network"]["shapes"]
    assert shapes == {"first": [6, 8, 8], "out": [4]}
    assert elsewhere.recorded(experiment, experiment["models"][1], list(shapes)) == wanted
    # The network of the experiment is another one than that of the first model.
    changes = model(0, weights="other.pt", network=OTHER["network"]) | {"activations": {"layers": ["3"]}}
    with pytest.raises(InputError, match=r"models\[1\]: layers: MyNet has no module '3'"):
        describe(**changes)


def test_untrained_networks_are_recorded_like_the_first_model():
    own = {"network": OTHER["network"], "layers": {"a": "1"}, "normalisation": "symmetric"}
    plain = stages.untrained_params(load())
    assert plain["activations"]["layers"] == BASE["activations"]["layers"]
    assert stages.untrained_params(load(**model(1, **own))) == plain
    first = stages.untrained_params(load(**model(0, **own)))
    assert first["network"]["name"] == OTHER["network"]["name"] and "weights" not in first["network"]["more"]
    assert first["training"]["normalisation"] == "symmetric" and first["activations"]["layers"] == {"a": "1"}


# --- the import ------------------------------------------------------------------------------------------


def bring(place: tuple[int, int] = (0, 0), **changes):
    experiment = load(**changes)
    source = DATA["datasets"][experiment["dataset"]]
    from prunescope.data import sources

    prepared = sources.fetch(experiment["dataset"], source, ".", False)
    datasets.save("data.h5", prepared)
    params = stages.import_params(experiment, *place)
    this = Round("x", *place, params["network"], Forward(**params["training"]), datasets.load("data.h5"))
    return imported.bring(this), this


def test_an_import_measures_what_the_network_does_on_the_test_images(folder):
    scaling = {"mean": [0.2], "std": [0.4]}
    (made, metrics, outputs), this = bring((0, 1), training={"normalisation": scaling})
    network = make(1)
    network.load_state_dict(torch.load("half.pt"))
    with torch.no_grad():
        pixels = torch.from_numpy(np.asarray(this.dataset.test_images)) / 255
        logits = network((pixels - 0.2) / 0.4)
    labels = torch.from_numpy(this.dataset.test_labels)
    assert metrics["test_accuracy"] == pytest.approx(float((logits.argmax(1) == labels).float().mean()))
    assert metrics["test_loss"] == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-5)
    assert (made.mean, made.std) == ([0.2], [0.4])
    zeros = sum(int((value == 0).sum()) for name, value in network.state_dict().items() if "weight" in name)
    total = sum(value.numel() for name, value in network.state_dict().items() if "weight" in name)
    assert made.density == metrics["density"] == pytest.approx(1 - zeros / total) and zeros
    assert all(
        torch.equal(made.build().state_dict()[name], value) for name, value in network.state_dict().items()
    )
    assert metrics["train_accuracy"] is None and metrics["epochs"] == 0 and metrics["weights"] == "half.pt"
    assert 0 < metrics["seconds"] < 600
    paths = {"checkpoint": "checkpoint.pt", "metrics": "metrics.json", "predictions": "predictions.h5"}
    rounds.save(this, made, metrics, outputs, paths)
    with opened(["predictions.h5"]) as (stored,):
        assert np.allclose(stored[:], logits, atol=1e-5) and np.array_equal(stored.labels, labels)
    assert files.read_json("metrics.json")["test_accuracy"] == metrics["test_accuracy"]
    assert checkpoints.load("checkpoint.pt").accuracy == made.accuracy


@pytest.mark.parametrize("changes", [{"dataset": "unlabelled", "network": {"classes": 4}}])
def test_accuracy_is_not_measured_without_labels(folder, changes):
    (made, metrics, outputs), _ = bring(**changes)
    assert outputs.shape[1] == 4
    assert metrics["test_accuracy"] is None and metrics["test_loss"] is None and np.isnan(made.accuracy)
    describe(**changes)


def test_accuracy_is_not_measured_for_other_classes(folder):
    torch.manual_seed(0)
    torch.save(namespace()["MyNet"]((1, 8, 8), 9).state_dict(), "dense.pt")
    (made, metrics, outputs), _ = bring(network={"classes": 9})
    assert outputs.shape[1] == 9
    assert metrics["test_accuracy"] is None and made.network["classes"] == 9


def test_a_file_that_changes_after_planning_is_refused(folder):
    experiment = load()
    params = stages.import_params(experiment, 0, 0)
    torch.save(make(5).state_dict(), "dense.pt")
    from prunescope.data import sources

    datasets.save("data.h5", sources.fetch("mine", "numpy:mine.npz", ".", False))
    this = Round("x", 0, 0, params["network"], Forward(**params["training"]), datasets.load("data.h5"))
    with pytest.raises(InputError, match=r"dense\.pt: changed since the workflow was planned"):
        imported.bring(this)


def test_outputs_that_are_not_finite_are_refused(folder):
    state = make(0).state_dict()
    for name in ("conv1.weight", "head.weight"):
        state[name] = state[name].sign() * 3e38
    torch.save(state, "dense.pt")
    with pytest.raises(InputError, match="outputs for the test images are NaN or infinite"):
        bring()
    state["head.bias"][0] = float("inf")
    torch.save(state, "dense.pt")
    with pytest.raises(InputError, match=r"1 of 4 values of head\.bias are NaN or infinite"):
        bring()


def test_modules_are_recorded_under_the_names_of_layers(folder):
    (made, *_), _ = bring()
    settings = RecordingSettings(layers={"second": "relu2", "first": "relu1"}, examples=20)
    record.record("a.h5", made, datasets.load("data.h5"), settings, "code")
    plain = RecordingSettings(layers=["relu?"], examples=20)
    record.record("b.h5", made, datasets.load("data.h5"), plain, "code")
    with store.recordings(["a.h5", "b.h5"]) as (renamed, usual):
        assert list(renamed.matrices) == ["first", "second"], "in the order of the network"
        for name, other in (("first", "relu1"), ("second", "relu2")):
            np.testing.assert_array_equal(renamed.matrices[name][:], usual.matrices[other][:])
