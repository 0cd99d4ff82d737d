"""Every shipped experiment is valid and fits its network and its data set's images."""

from pathlib import Path

import pytest

from prunescope.networks import modules
from prunescope.networks.build import build
from prunescope.plan import sharing, stages
from prunescope.settings.activations import Activations
from prunescope.settings.load import Catalogue, load_experiment, load_lineage
from prunescope.settings.pruning import PruningSettings
from prunescope.settings.training import Training
from prunescope.training.loop import learning_rate, optimizer_of

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "svhn": (3, 32, 32), "cifar10": (3, 32, 32)}
CONTROLLED = ("digits-lenet", "mnist-lenet5", "mnist-lenet300", "svhn-vgg", "cifar10-vgg")
CONTROLS = ("retrain", "shuffled-masks", "new-weights")
SIBLINGS = "digits-lenet-siblings"
METHODS = ("one-shot", "snip", "grasp", "synflow", "erk", "wanda", "channels", "no-retraining")
SHIPPED = {
    *("cifar10-resnet", "cifar10-resnet20", "cifar10-vgg-cpu", "mnist-lenet5-finetune"),
    *CONTROLLED,
    SIBLINGS,
    *(f"digits-lenet-{method}" for method in METHODS),
    *(f"{name}-{control}" for name in CONTROLLED for control in CONTROLS),
}


def test_all_are_here():
    assert set(Catalogue().names()) >= SHIPPED


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_part_of_an_experiment_can_be_used(name):
    experiment = load_experiment(name)
    shape = SHAPES[experiment["dataset"]]
    network = build(**stages.network_params(experiment["network"]), shape=shape, classes=10, seed=0)
    assert modules.select(network, experiment["activations"]["layers"], "activations.layers")
    rounds = range(experiment["rounds"] + 1)
    assert stages.networks(experiment) == [(seed, round) for seed in experiment["seeds"] for round in rounds]
    params = stages.prune_params(experiment, 1)
    PruningSettings(**params["pruning"])
    weights = modules.prunable(network, experiment["pruning"]["prunable"])
    modules.layer_rates(network, list(weights), experiment["pruning"]["rates"])
    for trained in (stages.train_params(experiment)["training"], params["training"]):
        recipe = Training(**trained)
        optimizer_of(network, recipe)
        rates = [learning_rate(step, 2, recipe) for step in range(2 * recipe.epochs)]
        assert all(0 < rate <= recipe.optimizer.lr for rate in rates)


@pytest.mark.parametrize("method", METHODS)
def test_ways_of_pruning_share_the_dense_network(method):
    lineage = load_lineage(f"digits-lenet-{method}", Catalogue())
    assert {sharing.owner(lineage, seed, file) for seed in (0, 1) for file in sharing.ROUND0} == {
        "digits-lenet"
    }
    page = (Path(__file__).parents[2] / "docs/methods.md").read_text()
    assert f"`digits-lenet-{method}`" in page


@pytest.mark.parametrize("name", CONTROLLED)
def test_controls_differ_in_nothing_but_their_control(name):
    experiment = load_experiment(name)
    for control in CONTROLS:
        lineage = load_lineage(f"{name}-{control}", Catalogue())
        child = lineage[-1][1]
        own = {key: child[key] for key in ("description", "figures")}
        assert child == experiment | {"control": control} | own
        for seed in child["seeds"]:
            for file in sharing.ROUND0:
                assert sharing.owner(lineage, seed, file) == name


def test_siblings_train_their_own_round_0():
    lineage = load_lineage(SIBLINGS, Catalogue())
    files = {sharing.owner(lineage, 0, file) for file in sharing.ROUND0}
    assert files == {sharing.owner_across_seeds(lineage), SIBLINGS}
    assert sharing.owner_of_untrained(lineage) == "digits-lenet"


def test_a_token_is_recorded_as_a_list_of_one_position():
    assert Activations(layers=["blocks"], view="tokens", token=3).sampled == [3]
    assert Activations(layers=["blocks"], view="tokens", positions=4).sampled == 4
