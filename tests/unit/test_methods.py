"""Ways of pruning: criteria against independent definitions, allocations, and whole rounds."""

import copy
import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stages import MINIMAL
from test_training import blobs, how, job
from torch import nn
from torch.func import functional_call, hessian
from torch.nn import functional as F

from prunescope import kinds, tables
from prunescope.data import datasets
from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.networks.build import build
from prunescope.networks.preprocessing import normalise
from prunescope.plan import sizes
from prunescope.pruning import amounts, imp, network_criteria, selection
from prunescope.pruning.dense import initial, save, train_dense
from prunescope.pruning.imp import Offered, prune
from prunescope.settings.experiment import validated
from prunescope.settings.pruning import PruningSettings
from prunescope.settings.reading import merge
from prunescope.training.data import place
from prunescope.training.evaluate import predict, score
from prunescope.training.loop import COLUMNS
from prunescope.user_code import used

# With almost no learning, the result shows where a round started.
STILL = how(epochs=1, optimizer={"name": "sgd", "lr": 1e-12})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.h5"
    datasets.save(path, blobs())
    return datasets.load(path)


def offered(prepared, network=None, prunable=("*",), **fields):
    this = job(prepared, **fields)
    network = network or initial(this)[0]
    return Offered(
        this, network, modules.prunable(network, list(prunable)), place(prepared, this.training, this.device)
    )


# Criteria ---------------------------------------------------------------------------------------------------


def reference_gradient(offer, network):
    """The gradient for the sample, all of whose images are in one batch."""
    train, data = offer.sample.train, offer.data
    outputs = network(normalise(train.images.permute(0, 3, 1, 2), data.mean, data.std))
    names, parameters = zip(*network.named_parameters(), strict=True)
    return dict(
        zip(names, torch.autograd.grad(F.cross_entropy(outputs, train.labels), parameters), strict=True)
    )


def test_snip_is_the_saliency_of_the_untrained_network_on_the_same_images(prepared, monkeypatch):
    monkeypatch.setattr(imp, "SAMPLED", 64)
    offer = offered(prepared)
    snip = kinds.call("criterion", "snip", offer)
    gradient = reference_gradient(offer, initial(job(prepared))[0])
    assert len(offer.sample.train) == 64
    on_sample = SimpleNamespace(weights=offer.weights, gradients={name: gradient[name] for name in snip})
    saliency = kinds.call("criterion", "saliency", on_sample)
    for name, found in snip.items():
        torch.testing.assert_close(found, saliency[name])
        assert found.any()


def test_the_sample_depends_on_the_seed_alone(prepared, monkeypatch):
    monkeypatch.setattr(imp, "SAMPLED", 20)
    first, round2, seed1 = (
        offered(prepared, **more).sample.train for more in ({}, {"number": 2}, {"seed": 1})
    )
    assert torch.equal(first.images, round2.images) and not torch.equal(first.images, seed1.images)
    whole = offered(prepared).data.train
    images = {
        (image.numpy().tobytes(), int(label)) for image, label in zip(whole.images, whole.labels, strict=True)
    }
    assert {
        (image.numpy().tobytes(), int(label)) for image, label in zip(first.images, first.labels, strict=True)
    } <= images
    assert len(first) == 20
    monkeypatch.setattr(imp, "SAMPLED", 10_000)
    assert len(offered(prepared).sample.train) == len(whole)


def test_batch_norms_of_untrained_networks_use_the_images(prepared):
    """A scale of 1000 before a batch norm changes no gradient of what follows it."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    offer = offered(prepared, network)
    before = kinds.call("criterion", "snip", offer)["4.weight"]
    with torch.no_grad():
        network[1].weight *= 1000
        network[1].bias *= 1000
    torch.testing.assert_close(
        kinds.call("criterion", "snip", offer)["4.weight"], before, rtol=1e-3, atol=1e-6
    )
    assert torch.equal(network[2].running_mean, torch.zeros(8)), "the network itself is not changed"


@pytest.mark.parametrize("batches", [1, 4])
def test_grasp_is_the_weight_times_the_hessian_times_the_gradient(prepared, monkeypatch, batches):
    """Against the whole Hessian of all prunable weights; several batches add up."""
    monkeypatch.setattr("prunescope.training.data.EVALUATED", 64 * math.ceil(150 / batches))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Tanh(), nn.Linear(3, 4))
    offer = offered(prepared, network)
    assert len(list(offer.sample.train.batches())) == batches
    found = kinds.call("criterion", "grasp", offer)
    names = list(found)
    state = {name: value.detach().double() for name, value in network.named_parameters()}
    flat = torch.cat([state[name].flatten() for name in names])
    train, data = offer.sample.train, offer.data
    images = normalise(train.images.permute(0, 3, 1, 2), data.mean, data.std).double()

    def loss(weights):
        parts = zip(names, weights.split([state[name].numel() for name in names]), strict=True)
        own = {name: part.view_as(state[name]) for name, part in parts}
        return F.cross_entropy(functional_call(network, state | own, images), train.labels)

    expected = flat * (hessian(loss)(flat) @ torch.func.grad(loss)(flat))
    scores = torch.cat([found[name].flatten() for name in names]).double()
    torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_grasp_says_how_the_norm_of_the_gradient_changes_without_a_weight(prepared):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Tanh(), nn.Linear(3, 4))
    offer = offered(prepared, network)
    scores = kinds.call("criterion", "grasp", offer)["3.weight"]

    def squared_norm(factor: float, cell: tuple[int, int]) -> float:
        other = copy.deepcopy(network)
        with torch.no_grad():
            other[3].weight[cell] *= factor
        gradient = reference_gradient(offer, other)
        return float(sum(gradient[name].double().square().sum() for name in ("1.weight", "3.weight")))

    for cell in itertools.product(range(4), range(3)):
        change = (squared_norm(0.95, cell) - squared_norm(1.05, cell)) / 0.1
        assert change == pytest.approx(-2 * float(scores[cell]), rel=0.05, abs=1e-3)


@pytest.mark.parametrize(("name", "shape"), [("lenet300", (1, 8, 8)), ("vgg_svhn", (3, 32, 32))])
def test_synflow_conserves_its_score_from_layer_to_layer(name, shape):
    """The scores of each layer add up to R, the output of the network with |w| for ones."""
    network = build(name, {}, shape, 4, 0)
    weights = {name: weight.detach().clone() for name, weight in modules.prunable(network, ["*"]).items()}
    scores = kinds.call(
        "criterion", "synflow", SimpleNamespace(network=network, weights=weights, shape=shape)
    )
    sums = [float(score.sum()) for score in scores.values()]
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-9) and sums[0] > 0
    assert all((score >= 0).all() for score in scores.values())


def test_synflow_of_given_batch_norms_uses_their_scale_without_sign_and_shift():
    """All of R flows through the first and the last layer, also where branches are added."""
    network = build("resnet20", {}, (3, 8, 8), 4, 0)
    torch.manual_seed(0)
    for module in modules.batch_norms(network):
        for value, least in ((module.weight, -2), (module.bias, -1), (module.running_mean, -1)):
            nn.init.uniform_(value, least, 1)
        nn.init.uniform_(module.running_var, 0.5, 2)
    weights = {name: weight.detach().clone() for name, weight in modules.prunable(network, ["*"]).items()}
    scores = kinds.call(
        "criterion", "synflow", SimpleNamespace(network=network, weights=weights, shape=(3, 8, 8))
    )
    sums = [float(score.sum()) for score in scores.values()]
    assert sums[0] == pytest.approx(sums[-1], rel=1e-9) and all(
        (score >= 0).all() for score in scores.values()
    )
    assert max(sums[1:-1]) < sums[0], "branches have a part of it"


def test_synflow_of_two_layers_by_hand():
    first, second = torch.tensor([[1.0, -2.0], [0.5, 3.0]]), torch.tensor([[-1.0, 4.0]])
    network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        network[1].weight.copy_(first)
        network[3].weight.copy_(second)
        network[1].bias.fill_(7)
    weights = {"1.weight": first, "3.weight": second}
    scores = kinds.call(
        "criterion", "synflow", SimpleNamespace(network=network, weights=weights, shape=[1, 1, 2])
    )
    assert scores["1.weight"].tolist() == [[1, 2], [2, 12]]
    assert scores["3.weight"].tolist() == [[3, 14]]


def wanda(network, images, prunable=("*",)):
    """Scores for images in place of a sample, and ‖x‖₂ of each weight."""
    weights = modules.prunable(network, list(prunable))
    plain = torch.zeros(images.shape[1], dtype=torch.float64)
    data = SimpleNamespace(
        train=SimpleNamespace(batches=lambda: ((part, None) for part in images.split(3))),
        mean=plain,
        std=plain + 1 / 255,
        resizing=None,
    )
    copies = {name: weight.detach().clone() for name, weight in weights.items()}
    given = {"network": copy.deepcopy(network), "weights": copies, "sample": data, "settings": how()}
    return kinds.call("criterion", "wanda", SimpleNamespace(**given)), network_criteria.input_lengths(**given)


def test_wanda_of_a_linear_layer_by_hand():
    """‖x‖ = 5, 2, 1: |w| · ‖x‖ is 5, 4, 3 and 10, 2, 4."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[-1.0, 2.0, 3.0], [2.0, -1.0, 4.0]]))
    images = torch.tensor([[3.0, 0.0, 1.0], [-4.0, 2.0, 0.0]]).view(2, 3, 1, 1)
    scores, lengths = wanda(network, images)
    assert lengths["1.weight"].tolist() == [[5, 2, 1], [5, 2, 1]]
    assert (3 * scores["1.weight"]).tolist() == [[2, 1, 0], [2, 0, 1]]


@pytest.mark.parametrize("groups", [1, 2])
def test_wanda_sees_the_unfolded_inputs_of_a_convolution(groups):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=groups), nn.Flatten())
    images = torch.randn(7, 4, 6, 5)
    lengths = wanda(network, images)[1]["0.weight"]
    columns = F.unfold(images, (3, 2), stride=2, padding=1).double()
    expected = columns.square().sum((0, 2)).sqrt().view(groups, 1, 4 // groups, 3, 2)
    torch.testing.assert_close(
        lengths, expected.expand(-1, 6 // groups, -1, -1, -1).reshape(6, -1, 3, 2), rtol=1e-5, atol=0
    )


def test_wanda_takes_the_same_number_from_each_output_in_every_round(prepared):
    before, settings = (
        train_dense(job(prepared, training=STILL)).checkpoint,
        {"criterion": "wanda", "scope": "layer"},
    )
    for number in (1, 2):
        before = prune(
            job(prepared, number, training=STILL), PruningSettings(**settings, rate=0.4), before
        ).checkpoint
        for name, mask in before.masks.items():
            left = mask.flatten(1).sum(1)
            assert left.max() - left.min() <= 1, name


ATTENTION = """
from torch import nn

class Attention(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.attention = nn.MultiheadAttention(64, 1, batch_first=True)
        self.output = nn.Linear(64, classes)

    def forward(self, x):
        return self.output(self.attention(*3 * [x.flatten(2)])[0].mean(1))
"""


def test_wanda_refuses_weights_without_inputs_of_their_own(tmp_path):
    """The plan does, and so does the criterion."""
    (tmp_path / "net.py").write_text(ATTENTION)
    data = {"root": ".", "datasets": {"digits": "sklearn:digits"}}
    pruning = {"criterion": "wanda", "scope": "layer", "prunable": ["*"]}
    changes = {"network": {"name": "file:net.py:Attention"}, "activations": {"layers": ["output"]}}
    with used(tmp_path):
        this = validated(merge(MINIMAL, changes | {"pruning": pruning}), "x")
        with pytest.raises(
            InputError, match=r"^x: .*'wanda': attention.in_proj_weight is not .* leave it out"
        ):
            sizes.describe(this, "x", data)
        network = build("file:net.py:Attention", {}, (1, 8, 8), 10, 0)
    with pytest.raises(InputError, match=r"attention.in_proj_weight is not .* leave it out"):
        wanda(network, torch.randn(2, 1, 8, 8))
    assert modules.unusual(network, ["output.weight"]) == ""


@pytest.mark.parametrize("name", ["0.out_proj.weight", "1.weight"])
def test_wanda_refuses_layers_that_do_not_run_and_outputs_on_another_axis(name):
    """Attention reads the weight of its output projection itself."""
    network = nn.Sequential(nn.MultiheadAttention(4, 1), nn.ConvTranspose2d(1, 2, 3))
    with pytest.raises(InputError, match=rf"{name} is not the weight of an ordinary .* leave it out"):
        wanda(network, torch.randn(2, 1, 8, 8), [name])


def test_wanda_removes_as_much_from_each_output_where_inputs_are_zero():
    """Weights that were pruned before are not among the lowest of those that remain."""
    before = torch.tensor([[False, False, True, True, True, True], [True, True, True, True, False, False]])
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
    with torch.no_grad():
        network[1].weight.copy_(before)
    images = torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0, 1.0]).view(1, 6, 1, 1)
    masks = selection.prune(wanda(network, images)[0], {"1.weight": before}, {("1.weight",): 6})
    assert masks["1.weight"].sum(1).tolist() == [3, 3] and not masks["1.weight"][:, 2].any()


# Allocations ------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(1, 12), min_size=2, max_size=4), min_size=1, max_size=6),
    part=st.fractions(0, 1),
)
def test_densities_of_erk_are_in_proportion_and_add_up(shapes, part):
    named = {str(place): shape for place, shape in enumerate(shapes)}
    sizes = {name: math.prod(shape) for name, shape in named.items()}
    count = int(part * sum(sizes.values()))
    found = amounts.erk(named, sizes, count)
    assert sum(found.values()) == count and list(found) == list(named)
    assert all(0 <= found[name] <= sizes[name] for name in named)
    # The density over (sum of dimensions / product) is the same for all layers that are not full.
    free = [name for name in named if found[name] < sizes[name]]
    lowest = max(((found[name] - 1) / sum(named[name]) for name in free), default=0)
    highest = min(((found[name] + 1) / sum(named[name]) for name in free), default=math.inf)
    assert lowest <= highest
    assert all(found[name] <= highest * sum(named[name]) + 1 for name in named)


def test_erk_of_lenet300_by_hand():
    """At 5 %: 13,310 weights in proportion to 1,084 : 400 : 110."""
    shapes = {"1": [300, 784], "2": [100, 300], "3": [10, 100]}
    left = {name: math.prod(shape) for name, shape in shapes.items()}
    counts = amounts.kept(shapes, left, "erk", 0.2, {}, 0.05)
    assert counts == {("1",): 9_051, ("2",): 3_340, ("3",): 919} and sum(counts.values()) == 13_310
    # At 20 %, the last layer keeps all of its weights.
    counts = amounts.kept(shapes, left, "erk", 0.2, {}, 0.2)
    rest = 53_240 - 1_000
    assert counts == {("1",): round(rest * 1_084 / 1_484), ("2",): round(rest * 400 / 1_484), ("3",): 1_000}


def test_erk_takes_no_weight_back():
    shapes = {"a": [10, 10], "b": [4, 5]}
    assert amounts.erk(shapes, {"a": 3, "b": 20}, 12) == {"a": 3, "b": 9}


def test_the_last_of_several_steps_is_exact():
    left, counts = {"a": 700, "b": 301, "c": 5}, {("a", "b"): 116, ("c",): 0}
    path = [amounts.on_the_way(left, counts, step / 100) for step in range(101)]
    assert path[0] == {("a", "b"): 1001, ("c",): 5} and path[-1] == counts
    for names in counts:
        kept = [one[names] for one in path]
        assert kept == sorted(kept, reverse=True)
    assert path[50]["a", "b"] == round(math.sqrt(1001 * 116)), "each step keeps the same fraction"


# Rounds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["magnitude", "random", "snip", "grasp", "synflow"])
@pytest.mark.parametrize("scope", ["global", "layer", "erk"])
def test_a_round_at_initialisation_starts_from_the_untrained_network(prepared, criterion, scope):
    this = job(prepared, 2, training=STILL)
    own = PruningSettings(
        **{"from": "dense"}, at="initialisation", criterion=criterion, scope=scope, density=0.1
    )
    pruned = prune(this, own).checkpoint
    start = initial(this)[0].state_dict()
    total = sum(mask.numel() for mask in pruned.masks.values())
    left = {name: int(mask.sum()) for name, mask in pruned.masks.items()}
    assert pruned.density == sum(left.values()) / total
    each = {name: math.ceil(0.1 * mask.numel()) for name, mask in pruned.masks.items()}
    assert sum(left.values()) == (sum(each.values()) if scope == "layer" else math.ceil(0.1 * total))
    if scope == "layer":
        assert left == each
    if scope == "erk":
        sizes = {name: mask.numel() for name, mask in pruned.masks.items()}
        shapes = {name: mask.shape for name, mask in pruned.masks.items()}
        assert left == amounts.erk(shapes, sizes, math.ceil(0.1 * total))
    for name, mask in pruned.masks.items():
        assert torch.allclose(pruned.weights[name], start[name] * mask, atol=1e-6)


def test_iterated_synflow_leaves_paths_where_one_step_cuts_the_network(prepared):
    """Tanaka et al.: scoring again while pruning avoids that whole layers are removed."""
    this = job(prepared, 1, training=STILL)
    own = PruningSettings(**{"from": "dense"}, at="initialisation", criterion="synflow", density=0.005)
    masks = prune(this, own).checkpoint.masks
    assert all(mask.any() for mask in masks.values())
    once = kinds.call("criterion", "synflow", offered(prepared))
    scores = torch.cat([score.flatten() for score in once.values()])
    threshold = scores.sort().values[-sum(int(mask.sum()) for mask in masks.values())]
    assert any(not torch.equal(masks[name], score >= threshold) for name, score in once.items())


@pytest.mark.parametrize("control", ["none", "shuffled-masks"])
def test_given_weights_that_are_sparse_stay_so_at_initialisation(prepared, tmp_path, control):
    network = initial(job(prepared))[0]
    with torch.no_grad():
        network.conv1.weight[:4] = 0
    torch.save(network.state_dict(), tmp_path / "given.pt")
    given = {"name": "lenet_small", "arguments": {}, "more": {"weights": str(tmp_path / "given.pt")}}
    this = job(prepared, 1, training=STILL, network=given)
    own = PruningSettings(
        **{"from": "dense"}, at="initialisation", prunable=["conv2"], rate=0.5, control=control
    )
    half = {"conv2.weight": torch.arange(16 * 8 * 9).view(16, 8, 3, 3) % 2 == 0}
    pruned = prune(this, own, controlled=half).checkpoint
    assert not pruned.weights["conv1.weight"][:4].any() and pruned.weights["conv1.weight"][4:].all()
    assert int(pruned.masks["conv2.weight"].sum()) == 16 * 8 * 9 // 2
    assert pruned.masks["linear3.weight"].all(), "the masks of the zeros cover all weights"


def test_rounds_at_initialisation_can_follow_from_each_other(prepared):
    own = PruningSettings(at="initialisation", criterion="snip", rate=0.5)
    dense = train_dense(job(prepared, training=STILL)).checkpoint
    first = prune(job(prepared, 1, training=STILL), own, dense).checkpoint
    second = prune(job(prepared, 2, training=STILL), own, first).checkpoint
    start = initial(job(prepared))[0].state_dict()
    total = sum(mask.numel() for mask in first.masks.values())
    assert sum(int(mask.sum()) for mask in first.masks.values()) == total - total // 2
    for name, mask in second.masks.items():
        assert not (mask & ~first.masks[name]).any()
        assert torch.allclose(second.weights[name], start[name] * mask, atol=1e-6)


def test_a_round_without_retraining_is_the_pruned_network(prepared, tmp_path):
    dense = train_dense(job(prepared, training=how(epochs=2, validation=20)))
    this = job(prepared, 1, training=how(epochs=0, validation=20))
    outcome = prune(this, PruningSettings(retraining="none", rate=0.5), dense.checkpoint)
    network, metrics = outcome.checkpoint.build(), outcome.metrics
    for name, mask in outcome.checkpoint.masks.items():
        assert torch.equal(outcome.checkpoint.weights[name], dense.checkpoint.weights[name] * mask)
    others = outcome.checkpoint.weights.keys() - outcome.checkpoint.masks.keys()
    assert all(
        torch.equal(outcome.checkpoint.weights[name], dense.checkpoint.weights[name]) for name in others
    )
    data = place(prepared, this.training, this.device)
    logits = predict(network, data.test, data, this.training)
    assert torch.equal(outcome.logits, logits)
    loss, accuracy = score(logits, data.test.labels)
    assert (metrics["test_loss"], metrics["test_accuracy"]) == (loss, accuracy)
    assert outcome.checkpoint.accuracy == accuracy < dense.checkpoint.accuracy
    assert metrics["validation_loss"] > 0 and metrics["train_loss"] is metrics["train_accuracy"] is None
    assert (metrics["epochs"], metrics["steps"], metrics["images_per_second"]) == (0, 0, None)
    assert metrics.keys() == dense.metrics.keys()

    for number, one in enumerate((dense, outcome)):
        names = ("checkpoint", "training", "metrics", "predictions", "rewind")
        save(this, one, {name: tmp_path / f"{name}{number}" for name in names})
    header = (tmp_path / "training1").read_text().splitlines()
    assert header == [",".join(COLUMNS)]
    assert set(COLUMNS) < set((tmp_path / "training0").read_text().splitlines()[0].split(","))
    paths = [tmp_path / f"training{number}" for number in (0, 1)]
    curves = tables.training_curves([dense.metrics, metrics], paths)
    assert curves["round"].tolist() == [0, 0] and curves["test_loss"].dtype == float
    empty = tables.training_curves([metrics], paths[1:])
    assert len(empty) == 0 and {"seed", "round", "epoch"} <= set(empty.columns)


def test_given_weights_can_be_round_0_as_they_are(prepared):
    dense = train_dense(job(prepared, training=how(epochs=0)))
    assert dense.history == [] and dense.metrics["epochs"] == 0
    step, weights = dense.rewind
    start = initial(job(prepared))[0].state_dict()
    for state in (dense.checkpoint.weights, weights):
        assert step == 0 and all(torch.equal(state[name], value) for name, value in start.items())
