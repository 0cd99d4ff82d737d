"""The training loop against a plain one; exact zeros, repeatable, resumable, clear errors."""

import csv
import dataclasses
import json
import math
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from snakemake.rules import Namedlist
from torch import nn
from torch.nn import functional as F

from prunescope import checkpoints, files, identity, logits
from prunescope.data import datasets
from prunescope.errors import InputError
from prunescope.networks import modules
from prunescope.networks.build import build
from prunescope.networks.masks import apply_masks
from prunescope.networks.preprocessing import normalise
from prunescope.plan import stages
from prunescope.provenance import derive_seed
from prunescope.pruning import dense, rounds
from prunescope.pruning.dense import enough_memory, initial, train_dense
from prunescope.pruning.imp import prune
from prunescope.pruning.rounds import Round, peak_memory
from prunescope.settings.pruning import PruningSettings
from prunescope.settings.training import Training
from prunescope.training.data import place
from prunescope.training.evaluate import gradients, predict, reproducible, score
from prunescope.training.loop import Task, batches, learning_rate, optimizer_of, schedule_factor, train
from prunescope.training.resume import State

SCRIPTS = Path(__file__).parents[2] / "workflow/scripts"
CPU = torch.device("cpu")
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}
ADAM = {"name": "adam", "lr": 0.003, "weight_decay": 1e-3}
ADAMW = {"name": "adamw", "lr": 0.003, "betas": [0.8, 0.99], "weight_decay": 1e-2}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def blobs(train=150, test=40, classes=4, shape=(1, 8, 8)):
    """Images of a class share a pattern: learnable in a few steps."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(40, 216, (classes, *shape))

    def draw(count):
        labels = rng.integers(0, classes, count)
        noise = rng.integers(-40, 40, (count, *shape))
        return np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8), labels

    train_images, train_labels = draw(train)
    test_images, test_labels = draw(test)
    names = tuple(f"class {index}" for index in range(classes))
    return datasets.Dataset("blobs", "made up", train_images, train_labels, test_images, test_labels, names)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "blobs.h5"
    datasets.save(path, blobs())
    return datasets.load(path)


def how(epochs=2, optimizer=SGD, batch_size=32, **options):
    return Training(epochs=epochs, optimizer=optimizer, batch_size=batch_size, **options)


def fresh(seed=0):
    return build("lenet_small", {}, (1, 8, 8), 4, seed)


def half(network):
    """Keep every other weight."""
    return {
        name: (torch.arange(weight.numel()) % 2).bool().view(weight.shape)
        for name, weight in modules.prunable(network, ["Conv2d", "Linear"]).items()
    }


def run(prepared, settings, network=None, masks=None, seed=0, round=0, state=None, **options):
    network = network or fresh()
    if masks:
        apply_masks(network, masks)
    data = place(prepared, settings, CPU)
    progress = train(network, data, settings, Task(seed, round, masks or {}, **options), state)
    return network, progress


def same(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# Schedules -------------------------------------------------------------------------------------------------


def factors(epochs, at, **schedule):
    return [schedule_factor(epoch, how(epochs=epochs, schedule=schedule)) for epoch in at]


def test_schedules_by_hand():
    assert factors(9, [0, 5, 9], name="constant") == [1, 1, 1]
    steps = factors(15, [0, 10.99, 11, 12.9, 13, 15], name="steps", milestones=[11, 13], gamma=0.1)
    assert steps == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    cosine = factors(8, [0, 2, 4, 8], name="cosine", final=0.2)
    assert cosine == pytest.approx([1, 0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2, 0.6, 0.2])
    at = np.linspace(0, 24, 97)
    linear = factors(24, at, name="linear", points=[[0, 0], [5, 1], [24, 0]])
    np.testing.assert_allclose(linear, np.interp(at, [0, 5, 24], [0, 1, 0]), atol=1e-12)
    assert factors(9, [1, 4, 9], name="linear", points=[[2, 0.5], [4, 1]]) == [0.5, 1, 1]


def test_warmup_rises_from_zero_before_any_schedule():
    warm = factors(10, [0, 0.5, 1, 2, 5], name="steps", milestones=[4], warmup_epochs=2)
    assert warm == pytest.approx([0, 0.25, 0.5, 1, 0.1])
    assert factors(10, [2, 6, 10], name="cosine", warmup_epochs=2) == pytest.approx([1, 0.5, 0])


def test_every_step_learns_even_where_the_schedule_starts_and_ends_at_zero():
    settings = how(epochs=2, schedule={"name": "linear", "points": [[0, 0], [1, 1], [2, 0]]})
    rates = [learning_rate(step, 5, settings) for step in range(10)]
    assert rates == pytest.approx([0.01, 0.03, 0.05, 0.07, 0.09, 0.09, 0.07, 0.05, 0.03, 0.01])


# The loop --------------------------------------------------------------------------------------------------


def plain_loop(prepared, settings, masks, make_optimizer, clip=None):
    """The expected training, written in the obvious way: weight × mask inside the network."""
    network = fresh().double()
    masks = {name: mask.double() for name, mask in masks.items()}
    optimizer = make_optimizer(network.parameters())
    mean, std = prepared.mean, prepared.std
    pixels = (np.asarray(prepared.train_images) / 255 - mean[:, None, None]) / std[:, None, None]
    images, labels = torch.from_numpy(pixels), torch.from_numpy(prepared.train_labels)
    for epoch in range(settings.epochs):
        generator = torch.Generator().manual_seed(derive_seed(0, "order", 0, epoch))
        for batch in torch.randperm(len(labels), generator=generator).split(settings.batch_size):
            effective = {n: p * masks[n] if n in masks else p for n, p in network.named_parameters()}
            logits = torch.func.functional_call(network, effective, (images[batch],))
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=settings.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(network.parameters(), clip)
            optimizer.step()
    return {n: (p * masks[n] if n in masks else p).detach() for n, p in network.named_parameters()}


def without_decay_of_biases(parameters):
    parameters = list(parameters)
    groups = [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": 0.1},
        {"params": [one for one in parameters if one.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, 0.1, 0.9, nesterov=True)


@pytest.mark.parametrize(
    ("optimizer", "reference", "options"),
    [
        (SGD, lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=1e-3, nesterov=True), {}),
        (SGD, lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=1e-3, nesterov=True), {"clip_norm": 0.05}),
        (ADAM, lambda p: torch.optim.Adam(p, 0.003, weight_decay=1e-3), {"label_smoothing": 0.2}),
        (
            ADAMW,
            lambda p: torch.optim.AdamW(p, 0.003, (0.8, 0.99), weight_decay=1e-2),
            {"channels_last": False},
        ),
        (SGD | {"weight_decay": 0.1}, without_decay_of_biases, {"decay_norm_and_bias": False}),
    ],
)
def test_masked_training_is_training_a_network_of_masked_weights(prepared, optimizer, reference, options):
    settings = how(optimizer=optimizer, **options)
    masks = half(fresh())
    network, _ = run(prepared, settings, masks=masks)
    expected = plain_loop(prepared, settings, masks, reference, options.get("clip_norm"))
    for name, parameter in network.named_parameters():
        np.testing.assert_allclose(parameter.detach(), expected[name], rtol=2e-3, atol=2e-5, err_msg=name)
        if name in masks:
            assert not parameter.detach()[~masks[name]].view(torch.int32).any(), "plain zeros"


def test_history_is_what_a_fresh_measurement_finds(prepared):
    settings = how(epochs=20, validation=30)
    start = time.monotonic()
    network, progress = run(prepared, settings)
    assert 0 < sum(entry["seconds"] for entry in progress.history) < time.monotonic() - start
    assert [entry["epoch"] for entry in progress.history] == list(range(1, 21))
    assert [entry["step"] for entry in progress.history] == list(range(4, 81, 4))
    assert list(progress.history[0]) == [
        *("epoch", "step", "lr", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
        *("validation_loss", "validation_accuracy", "seconds", "images_per_second"),
    ]
    network.eval()
    pixels = (np.asarray(prepared.test_images) / 255 - prepared.mean[:, None, None]) / prepared.std[
        :, None, None
    ]
    with torch.no_grad():
        logits = network(torch.from_numpy(pixels).float()).double()
    labels = torch.from_numpy(prepared.test_labels)
    last = progress.history[-1]
    assert last["test_accuracy"] == float((logits.argmax(1) == labels).double().mean())
    assert last["test_loss"] == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
    assert last["train_loss"] < progress.history[0]["train_loss"] / 2
    assert 0.9 < last["train_accuracy"] <= 1


def test_training_loss_and_accuracy_are_means_over_the_images_of_one_epoch(prepared):
    """With a learning rate of almost 0, the network does not change."""
    network, progress = run(prepared, how(epochs=2, optimizer={"name": "sgd", "lr": 1e-12}, batch_size=149))
    data = place(prepared, how(), CPU)
    loss, accuracy = score(predict(network, data.train, data, how()), data.train.labels)
    for entry in progress.history:
        assert entry["train_loss"] == pytest.approx(loss, rel=1e-5)
        assert entry["train_accuracy"] == pytest.approx(accuracy)


class Watched(nn.Module):
    """Keeps a random number, as dropout draws them, for each batch in training mode; counts batches."""

    def __init__(self):
        super().__init__()
        self.norm, self.output = nn.BatchNorm1d(64), nn.Linear(64, 4)
        self.drawn = []

    def forward(self, images):
        if self.training:
            self.drawn.append(float(torch.rand(())))
        return self.output(self.norm(images.flatten(1)))


def test_every_training_step_is_in_training_mode_and_no_other_batch(prepared):
    """A round starts from the network of a checkpoint, which is in evaluation mode."""
    network, _ = run(prepared, how(epochs=2, validation=30), Watched().eval())
    assert int(network.norm.num_batches_tracked) == len(network.drawn) == 2 * 4


@pytest.mark.parametrize("channels_last", [True, False])
def test_weights_have_the_memory_format_that_is_set(prepared, channels_last):
    network, _ = run(prepared, how(epochs=1, channels_last=channels_last))
    assert network.conv2.weight.is_contiguous(memory_format=torch.channels_last) == channels_last


def test_dropout_depends_on_seed_round_and_epoch(prepared):
    def drawn(**task):
        return run(prepared, how(epochs=2, batch_size=150), Watched(), **task)[0].drawn

    first, *others = [drawn(), drawn(seed=1), drawn(round=1)]
    assert first == drawn()
    assert len({*first, *others[0], *others[1]}) == 6


@pytest.mark.parametrize(
    "options", [{"precision": "bfloat16"}, {"augmentation": {"crop": 1, "cutout": 2, "rotate": 5.0}}]
)
def test_other_arithmetic_and_augmentation_still_learn(prepared, options):
    network, progress = run(prepared, how(epochs=25, **options))
    assert progress.history[-1]["test_accuracy"] > 0.9
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())


def test_decay_can_leave_out_norms_and_biases():
    network = build("vgg_svhn", {}, (3, 32, 32), 10, 0)
    (decayed, decay), (others, none) = optimizer_of(network, how(decay_norm_and_bias=False)).groups
    assert ({parameter.ndim for parameter in decayed}, decay) == ({2, 4}, 1e-3)
    assert ({parameter.ndim for parameter in others}, none) == ({1}, 0)
    assert len(decayed) + len(others) == len(list(network.parameters()))
    assert len(optimizer_of(network, how()).groups) == 1


def test_gradients_are_those_of_the_mean_loss(prepared):
    settings = how(augmentation={"crop": 2}, precision="float32")
    data = place(prepared, settings, CPU)
    network = fresh()
    names = ["conv1.weight", "output.weight"]
    found = gradients(network, names, data, settings)
    reference = fresh().double().eval()
    pixels = (np.asarray(prepared.train_images) / 255 - prepared.mean[:, None, None]) / prepared.std[
        :, None, None
    ]
    F.cross_entropy(reference(torch.from_numpy(pixels)), torch.from_numpy(prepared.train_labels)).backward()
    for name in names:
        np.testing.assert_allclose(found[name], reference.get_parameter(name).grad, rtol=1e-3, atol=1e-6)


# Seeds and data --------------------------------------------------------------------------------------------


class Partly(nn.Module):
    """A frozen layer, an unused one, and one that is trained; returns a pair in training mode if asked."""

    def __init__(self, pair=False):
        super().__init__()
        self.frozen, self.unused, self.output = nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        self.frozen.requires_grad_(False)
        self.pair = pair

    def forward(self, images):
        outputs = self.output(self.frozen(images.flatten(1)).relu())
        return (outputs, outputs) if self.pair and self.training else outputs


@pytest.mark.parametrize("prunable", ["Linear", "frozen"])
@pytest.mark.parametrize("optimizer", [SGD, ADAM, ADAMW], ids=lambda one: one["name"])
def test_parameters_that_are_frozen_or_unused_stay_as_they_are(prepared, optimizer, prunable):
    network = Partly()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weights = modules.prunable(network, [prunable])
    masks = {name: torch.arange(one.numel()).view(one.shape) % 2 == 0 for name, one in weights.items()}
    run(prepared, how(optimizer=optimizer, clip_norm=1.0), network, masks)
    for name, value in network.state_dict().items():
        kept = before[name] * masks[name] if name in masks else before[name]
        assert torch.equal(value, kept) == (not name.startswith("output")), name


def test_the_gradient_of_a_frozen_weight_is_known_and_that_of_an_unused_one_is_zero(prepared):
    settings, network = how(), Partly()
    names = [f"{layer}.weight" for layer in ("frozen", "unused", "output")]
    found = gradients(network, names, place(prepared, settings, CPU), settings)
    assert [bool(found[name].any()) for name in names] == [True, False, True]
    assert [one.requires_grad for one in network.parameters()] == [False] * 2 + [True] * 4


def test_a_network_that_cannot_be_trained_is_refused_in_one_line(prepared):
    network = Partly().requires_grad_(False)
    with pytest.raises(InputError, match="no parameter requires a gradient"):
        run(prepared, how(), network)
    with pytest.raises(
        InputError, match="Partly returns a tuple in training mode; it must return one tensor"
    ):
        run(prepared, how(), Partly(pair=True))


def test_same_seed_same_bytes_other_seed_or_round_others(prepared):
    settings = how(augmentation={"crop": 1, "flip": True})
    first, _ = run(prepared, settings, seed=1)
    assert same(first, run(prepared, settings, seed=1)[0])
    assert not same(first, run(prepared, settings, seed=2)[0])
    assert not same(first, run(prepared, settings, seed=1, round=1)[0])


def test_augmentation_does_not_shift_the_order(prepared):
    def labels(settings, round=0, epoch=0):
        data = place(prepared, settings, CPU)
        return torch.cat([batch for _, _, batch in batches(data, settings, 0, round, epoch, 0)])

    plain = labels(how())
    assert torch.equal(plain, labels(how(augmentation={"crop": 1, "flip": True})))
    assert torch.equal(plain.sort().values, torch.from_numpy(prepared.train_labels).sort().values)
    assert not torch.equal(plain, labels(how(), epoch=1))
    assert not torch.equal(plain, labels(how(), round=1))


def test_validation_and_subset_are_disjoint_and_fixed(prepared):
    data = place(prepared, how(validation=20, examples=50), CPU)
    rows = {tuple(image.flatten().tolist()) for image in data.train.images}
    held_out = {tuple(image.flatten().tolist()) for image in data.validation.images}
    assert (len(rows), len(held_out)) == (50, 20)
    assert not rows & held_out
    again = place(prepared, how(validation=20, examples=50), CPU)
    assert torch.equal(data.train.labels, again.train.labels)
    whole = place(prepared, how(validation=20, examples=130), CPU)
    assert (len(whole.train), len(whole.validation)) == (130, 20)
    assert len(place(prepared, how(validation=149), CPU).train) == 1


def test_symmetric_normalisation_maps_to_minus_one_to_one(prepared):
    data = place(prepared, how(normalisation="symmetric"), CPU)
    pixels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    assert normalise(pixels, data.mean, data.std).flatten().tolist() == pytest.approx([-1, 1])


# Rewinding -------------------------------------------------------------------------------------------------


def test_rewind_weights_are_those_of_that_step(prepared):
    start = fresh()
    _, progress = run(prepared, how(epochs=3), rewind=0)
    assert all(torch.equal(progress.rewind[name], value) for name, value in start.state_dict().items())
    _, progress = run(prepared, how(epochs=3), rewind=5)
    one_epoch, _ = run(prepared, how(epochs=1))
    assert all(torch.equal(progress.rewind[name], value) for name, value in one_epoch.state_dict().items())
    three, progress = run(prepared, how(epochs=3), rewind=15)
    assert all(torch.equal(progress.rewind[name], value) for name, value in three.state_dict().items())


def test_a_rewound_round_runs_the_rest_of_the_schedule(prepared):
    schedule = {"name": "steps", "milestones": [2]}
    _, progress = run(prepared, how(epochs=4, schedule=schedule), start=7)
    assert [(entry["epoch"], entry["step"]) for entry in progress.history] == [(2, 10), (3, 15), (4, 20)]
    assert [entry["lr"] for entry in progress.history] == pytest.approx([0.1, 0.01, 0.01])
    first, second = (entry["images_per_second"] * entry["seconds"] for entry in progress.history[:2])
    assert (round(first), round(second)) == (150 - 2 * 32, 150)


# Failures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "where"), [(0, "epoch 1, step [2-5]"), (7, "epoch 2, step [45]")])
def test_a_diverged_loss_names_epoch_step_and_learning_rate(prepared, start, where):
    schedule = {"name": "steps", "milestones": [1], "gamma": 0.5}
    settings = how(epochs=3, optimizer={"name": "sgd", "lr": 1e30}, schedule=schedule)
    with pytest.raises(InputError, match=rf"^training: the loss became (nan|inf) in {where} of 5, at "):
        run(prepared, settings, start=start)


def test_only_training_on_a_gpu_changes_torchs_settings(monkeypatch):
    """Deterministic algorithms are not requested on the CPU: the request imports torch's compiler."""
    calls, cudnn = [], torch.backends.cudnn
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *how, **more: calls.append((how, more)))
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.setattr(cudnn, "deterministic", False)
    monkeypatch.setattr(cudnn, "benchmark", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    for device, changed in (("cpu", False), ("cuda", True)):
        reproducible(torch.device(device))
        assert calls == [((True,), {"warn_only": True})] * changed
        assert torch.utils.deterministic.fill_uninitialized_memory != changed
        assert (cudnn.deterministic, cudnn.benchmark) == (changed, not changed)
        assert os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None) == (":4096:8" if changed else None)


def test_out_of_memory_is_one_line():
    with (
        pytest.raises(
            InputError, match=r"^training.batch_size: 32 needs more memory than device cpu has[^\n]*$"
        ),
        enough_memory(CPU, 32),
    ):
        torch.empty(10**15)
    with pytest.raises(RuntimeError, match="shapes"), enough_memory(CPU, 32):
        torch.ones(2, 3) @ torch.ones(2, 3)


# Killed and resumed ----------------------------------------------------------------------------------------


def in_a_process(statement: str) -> list[str]:
    """Command of a process that runs a statement with this module as `t`."""
    paths = [str(SCRIPTS), str(Path(__file__).parent)]
    code = f"import sys; sys.path[:0] = {paths!r}; import test_training as t; t.torch.set_num_threads(1); "
    return [sys.executable, "-c", code + statement]


def dropout_training(prepared, folder):
    """Save the state at every step, so that a kill happens in the middle of an epoch."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2000), nn.ReLU(), nn.Dropout(0.5), nn.Linear(2000, 4))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.linspace(-0.1, 0.1, parameter.numel()).view(parameter.shape))
    masks = {"1.weight": torch.arange(128_000).view(2000, 64) % 3 > 0}
    settings = how(epochs=4, optimizer=ADAM, batch_size=10, clip_norm=1.0)
    state = State(folder / ".training-state.pt", "this job", every=0.0)
    network, progress = run(prepared, settings, network, masks, rewind=17, state=state)
    content = {"weights": checkpoints.snapshot(network), "rewind": progress.rewind}
    checkpoints.write(folder / "result.pt", content)
    measures = [[v for k, v in entry.items() if "second" not in k] for entry in progress.history]
    files.write_json(folder / "history.json", {"measures": measures})


def kill_when(command, ready):
    """Start a process and send SIGKILL once `ready()` is true; fail if it ends before."""
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        try:
            while not ready():
                assert process.poll() is None
                time.sleep(0.002)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL


def test_killed_within_an_epoch_and_resumed_ends_in_the_same_bytes(prepared, tmp_path):
    data = tmp_path / "blobs.h5"
    datasets.save(data, blobs())
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    dropout_training(prepared, whole)

    state = killed / ".training-state.pt"
    statement = f"t.dropout_training(t.datasets.load({str(data)!r}), t.Path({str(killed)!r}))"
    kill_when(in_a_process(statement), state.exists)
    step = checkpoints.read(state, "state")["progress"]["step"]
    assert 0 < step < 60
    assert not (killed / "result.pt").exists()
    dropout_training(prepared, killed)
    assert files.sha256(whole / "result.pt") == files.sha256(killed / "result.pt")
    assert (whole / "history.json").read_text() == (killed / "history.json").read_text()


@pytest.mark.parametrize(("every", "saved"), [(0.0, [3]), (300.0, [])])
def test_within_an_epoch_the_state_is_saved_from_time_to_time(prepared, tmp_path, every, saved):
    class Stopped(Watched):
        def forward(self, images):
            if len(self.drawn) == 3:
                raise KeyboardInterrupt
            return super().forward(images)

    path = tmp_path / ".training-state.pt"
    assert State(path, "a job") == State(path, "a job", 300.0)
    with pytest.raises(KeyboardInterrupt):
        run(prepared, how(), Stopped(), state=State(path, "a job", every))
    assert [checkpoints.read(file, "state")["progress"]["step"] for file in tmp_path.iterdir()] == saved


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_step_waits_for_the_device(prepared, monkeypatch, precision):
    """Tensors on torch's device `meta` have shapes but no values, so reading a value fails.

    The check at the end of the epoch is the first to read one. The test uses Adam, because fused SGD cannot
    run there.
    """
    autocast = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda _device, *how, **more: autocast("cpu", *how, **more))
    changes = {"crop": 1, "flip": True, "cutout": 3, "rotate": 5.0}
    settings = how(optimizer=ADAM, clip_norm=1.0, augmentation=changes, precision=precision)
    network, data = fresh(), place(prepared, settings, torch.device("meta"))
    masks = {name: mask.to("meta") for name, mask in half(network).items()}
    with pytest.raises(NotImplementedError) as asked:
        train(network, data, settings, Task(0, 0, masks))
    assert [entry.name for entry in asked.traceback][1:3] == ["train", "_check_losses"]


def test_a_state_of_another_job_or_a_damaged_one_is_ignored(prepared, tmp_path):
    path = tmp_path / ".training-state.pt"
    first, _ = run(prepared, how(), state=State(path, "a job"))
    unfinished = path.read_bytes()
    other = State(path, "another job")
    assert same(first, run(prepared, how(), state=other)[0])
    path.write_bytes(unfinished[:500])
    assert same(first, run(prepared, how(), state=State(path, "a job"))[0])
    other.discard()
    assert not list(tmp_path.iterdir())
    other.discard()


def job(prepared, number=0, **fields):
    this = {"experiment": "tiny", "seed": 0, "network": {"name": "lenet_small", "arguments": {}}}
    return Round(**(this | {"number": number, "training": how(), "dataset": prepared} | fields))


def test_an_unfinished_training_belongs_to_one_job(prepared, tmp_path, monkeypatch):
    def unfinished(made_from, more=None, **fields):
        this = job(prepared, **{"number": 1, "state": tmp_path / "state", "made_from": made_from, **fields})
        return dense.unfinished(this, **(more or {})).digest

    one = unfinished({"code": "a", "previous": "b"})
    assert one == unfinished({"previous": "b", "code": "a"})
    others = [
        unfinished({"code": "c", "previous": "b"}),
        unfinished({"code": "a", "previous": "b"}, seed=1),
        unfinished({"code": "a", "previous": "b"}, number=2),
        unfinished({"code": "a", "previous": "b"}, training=how(epochs=3)),
        unfinished({"code": "a", "previous": "b"}, {"pruning": {"rate": 0.5}}),
        unfinished({"code": "a", "previous": "b"}, network={"name": "lenet300", "arguments": {}}),
        unfinished({"code": "a", "previous": "b"}, dataset=dataclasses.replace(prepared, digest="other")),
        unfinished({"code": "a", "previous": "b"}, device=torch.device("meta")),
    ]
    # These round differently.
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    others.append(unfinished({"code": "a", "previous": "b"}))
    monkeypatch.setattr(torch, "__version__", "another version")
    others.append(unfinished({"code": "a", "previous": "b"}))
    assert len({one, *others}) == 11


def test_a_training_with_another_rewind_point_is_not_resumed(prepared, tmp_path):
    """The state would hold the weights of the other step."""
    state = tmp_path / "state"
    for options in ({"rewind_step": 3}, {"rewind_step": 4}, {"rewind_epoch": 1}, {"rewind_epoch": 0}):
        step, found = train_dense(job(prepared, state=state), **options).rewind
        assert step == options.get("rewind_step", 5 * options.get("rewind_epoch", 0))
        _, expected = train_dense(job(prepared), **options).rewind
        assert all(torch.equal(found[name], value) for name, value in expected.items()), options


def test_by_default_the_weights_before_the_first_step_are_kept_for_rewinding(prepared):
    this = job(prepared, training=how(epochs=1))
    assert set(this.built) == {"name", "arguments", "shape", "classes"}
    step, weights = train_dense(this).rewind
    assert step == 0
    assert all(torch.equal(weights[name], value) for name, value in initial(this)[0].state_dict().items())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux counts it there")
def test_peak_memory_is_what_the_system_counts_in_bytes():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    assert peak_memory() == pytest.approx(1024 * int(status["VmHWM"].split()[0]), rel=0.05)


def test_a_training_with_other_pruning_is_not_resumed(prepared, tmp_path):
    state = tmp_path / "state"
    dense = train_dense(job(prepared)).checkpoint
    for rate in (0.2, 0.5):
        this = job(prepared, number=1, state=state)
        pruned = prune(this, PruningSettings(rate=rate), dense).checkpoint
        assert all(not pruned.weights[name][~mask].any() for name, mask in pruned.masks.items()), rate


# Rounds ----------------------------------------------------------------------------------------------------


def test_each_round_prunes_what_the_one_before_has_left_and_keeps_other_zeros(prepared):
    """A network that was sparse from the start can have zeros in weights that are not prunable."""
    before = train_dense(job(prepared, training=how(epochs=1))).checkpoint
    sparse = {"conv1.weight": before.weights["conv1.weight"] > 0}
    before = dataclasses.replace(before, masks=sparse)
    settings, left = PruningSettings(prunable=["Linear"], rate=0.5), None
    for number in (1, 2):
        before = prune(job(prepared, number, training=how(epochs=1)), settings, before).checkpoint
        masks = dict(before.masks)
        assert torch.equal(masks.pop("conv1.weight"), sparse["conv1.weight"])
        total = left or sum(mask.numel() for mask in masks.values())
        left = sum(int(mask.sum()) for mask in masks.values())
        assert left == total - total // 2


def test_each_density_is_pruned_from_the_dense_network(prepared):
    """The masks are those of sorting the weights of round 0, and the remaining weights have its values."""
    dense = train_dense(job(prepared, training=how(epochs=1))).checkpoint
    still = how(epochs=1, optimizer={"name": "sgd", "lr": 1e-12})
    settings = PruningSettings(**{"from": "dense"}, rate=0.5)
    sizes = torch.cat(
        [dense.weights[name].abs().flatten() for name in modules.prunable(dense.build(), ["*"])]
    )
    for number in (1, 3):
        pruned = prune(job(prepared, number, training=still), settings, dense).checkpoint
        left = len(sizes)
        for _ in range(number):
            left -= left // 2
        threshold = sizes.sort().values[-left]
        for name, mask in pruned.masks.items():
            assert torch.equal(mask, dense.weights[name].abs() >= threshold)
            assert torch.allclose(pruned.weights[name], dense.weights[name] * mask, atol=1e-6)


def test_weights_of_which_only_some_were_sparse_from_the_start_are_all_pruned(prepared):
    before = train_dense(job(prepared, training=how(epochs=1))).checkpoint
    before = dataclasses.replace(before, masks={"conv1.weight": before.weights["conv1.weight"] > 0})
    settings = PruningSettings(prunable=["Conv2d"], rate=0.5)
    masks = prune(job(prepared, 1, training=how(epochs=1)), settings, before).checkpoint.masks
    left = before.weights["conv2.weight"].numel() + int(before.masks["conv1.weight"].sum())
    assert sum(int(mask.sum()) for mask in masks.values()) == left - left // 2
    assert masks.keys() == {"conv1.weight", "conv2.weight"}


def test_initial_weights_depend_on_the_seed_and_are_those_of_the_untrained_network(prepared):
    first, second = (initial(job(prepared, seed=seed))[0].state_dict() for seed in (0, 1))
    assert not torch.equal(first["conv1.weight"], second["conv1.weight"])
    untrained = rounds.untrained(job(prepared, seed=1)).weights
    assert all(torch.equal(untrained[name], value) for name, value in second.items())


def test_the_accuracy_of_a_checkpoint_is_that_of_its_weights(prepared):
    outcome = train_dense(job(prepared, training=how(epochs=3, optimizer={"name": "sgd", "lr": 0.01})))
    first, *_, last = (entry["test_accuracy"] for entry in outcome.history)
    assert first != last == outcome.checkpoint.accuracy


def test_shuffled_masks_depend_on_the_seed(prepared):
    masks, settings = half(fresh()), PruningSettings(control="shuffled-masks")
    dense = train_dense(job(prepared, training=how(epochs=1))).checkpoint

    def shuffled(seed):
        this = job(prepared, 1, training=how(epochs=1), seed=seed)
        found = prune(this, settings, dense, controlled=masks).checkpoint.masks
        return torch.cat([mask.flatten() for mask in found.values()]).tolist()

    assert shuffled(0) == shuffled(0) != shuffled(1)


def test_a_sibling_differs_only_in_the_order_of_the_images(prepared):
    """From the same start: after one step with all images, in any order, the weights are the same."""
    once = how(epochs=1, batch_size=150)
    for training, same in ((once, True), (how(epochs=1), False)):
        ours = train_dense(job(prepared, training=training)).checkpoint
        sibling = train_dense(job(prepared, training=training, again=True)).checkpoint
        alike = [
            torch.allclose(ours.weights[name], value, atol=1e-5) for name, value in sibling.weights.items()
        ]
        assert all(alike) == same
    orders = {job(prepared, number, again=True).order for number in range(3)} | {job(prepared).order}
    assert len(orders) == 4 and job(prepared, seed=1, again=True).order not in orders


# The scripts, run as Snakemake runs them -------------------------------------------------------------------


def named(paths: dict) -> Namedlist:
    """Paths in order and by name; a name can have several or none."""
    found = Namedlist()
    for name, given in paths.items():
        start = len(found)
        found.extend(given if isinstance(given, list) else [given])
        found._set_name(name, start, end=len(found) if isinstance(given, list) else None)
    return found


def run_script(job: dict) -> None:
    files_ = {name: named(job[name]) for name in ("input", "output")}
    given = SimpleNamespace(
        rule=job["rule"],
        log=[job["log"]],
        threads=1,
        wildcards=Namedlist(fromdict=job["wildcards"]),
        config={"data": {"download": False}},
        params=Namedlist(fromdict=job["params"]),
        resources=SimpleNamespace(**job["resources"]),
        **files_,
    )
    runpy.run_path(str(SCRIPTS / f"{job['rule']}.py"), init_globals={"snakemake": given})


class Chain:
    """The rounds of one seed in a folder."""

    def __init__(self, folder: Path, data: Path, retraining="lr-rewind", masks=None, **pruned):
        self.folder, self.data, self.masks = folder, data, masks
        self.training = {
            "epochs": 40,
            "batch_size": 8,
            "optimizer": SGD | {"lr": 0.02},
            "schedule": {"name": "cosine"},
            "augmentation": {"crop": 1},
        }
        self.pruning = {
            "criterion": "magnitude",
            "scope": "global",
            "prunable": ["*"],
            "rate": 0.3,
            "rates": {},
            "from": "previous",
            "at": "training",
            "unit": "weight",
        }
        self.pruning |= {"density": None, "retraining": retraining, "control": "none", **pruned}

    def path(self, round: int, name: str) -> Path:
        return self.folder / f"tiny/seed5/round{round}" / name

    def job(self, round: int, seed: int = 5) -> dict:
        names = {"checkpoint": "checkpoint.pt", "training": "training.csv"}
        names |= {"metrics": "metrics.json", "predictions": "predictions.h5"}
        inputs = {"dataset": str(self.data)}
        settings = {"network": {"name": "lenet_small", "arguments": {}}, "training": self.training}
        if round == 0:
            names["rewind"] = "rewind.pt"
            settings |= {"rewind": {"epoch": 2, "step": None}, "again": False}
        else:
            experiment = {"pruning": self.pruning, "control": self.pruning["control"]}
            experiment["network"] = {"name": "lenet_small", "weights": None}
            needed = stages.starts_from(experiment)
            every = {
                "origin": self.path(stages.origin_of(experiment, round), names["checkpoint"]),
                "rewind": self.path(0, "rewind.pt"),
            }
            every["masks"] = self.masks and self.masks.path(round, names["checkpoint"])
            inputs |= {key: str(path) if key in needed else [] for key, path in every.items()}
            settings |= {"pruning": self.pruning, "again": self.pruning["control"] == "siblings"}
        self.path(round, "").mkdir(parents=True, exist_ok=True)
        receipts = [identity.receipt_beside(path) for path in inputs.values() if path]
        inputs["receipts"] = list(dict.fromkeys(map(str, receipts)))
        names["receipt"] = "receipts/job.json"
        return {
            "rule": "prune_round" if round else "train_dense",
            "log": str(self.folder / "log"),
            "wildcards": {"experiment": "tiny", "seed": str(seed), "round": str(round)},
            "input": inputs,
            "output": {key: str(self.path(round, name)) for key, name in names.items()},
            "params": {"settings": settings, "code": "1"},
            "resources": {"gpu": 0},
        }

    def run(self, round: int, **options) -> None:
        run_script(self.job(round, **options))


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Round 0 and one round of learning-rate rewinding, never interrupted."""
    folder = tmp_path_factory.mktemp("chain")
    from synthetic import JOB  # not needed by the processes that import this module

    datasets.save(folder / "blobs.h5", blobs())
    identity.write(folder / "receipts/blobs.json", [folder / "blobs.h5"], JOB)
    chain = Chain(folder, folder / "blobs.h5")
    chain.run(0)
    chain.run(1)
    return chain


def test_rounds_write_checkpoint_measures_and_one_line_per_epoch(chain):
    dense, pruned = (checkpoints.load(chain.path(round, "checkpoint.pt")) for round in (0, 1))
    metrics = json.loads(chain.path(1, "metrics.json").read_text())
    assert (dense.density, dense.masks, pruned.round, pruned.seed) == (1, {}, 1, 5)
    total = sum(mask.numel() for mask in pruned.masks.values())
    left = total - math.floor(0.3 * total)
    assert (metrics["prunable"], metrics["prunable_kept"]) == (total, left)
    assert sum(int(mask.sum()) for mask in pruned.masks.values()) == left
    assert pruned.density == metrics["density"] == left / total
    for name, mask in pruned.masks.items():
        assert not pruned.weights[name][~mask].view(torch.int32).any()
    with open(chain.path(1, "training.csv")) as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 41))
    assert float(rows[-1]["test_accuracy"]) == metrics["test_accuracy"] == pruned.accuracy > 0.9
    assert metrics["images_per_second"] * metrics["training_seconds"] == pytest.approx(40 * 150)
    assert metrics["environment"]["packages"]["torch"]
    assert {"seconds", "images_per_second", "peak_memory_bytes", "device", "threads", "precision"} <= set(
        metrics
    )
    assert metrics["training_seconds"] <= metrics["seconds"] < 600
    assert metrics["training_seconds"] == pytest.approx(sum(float(row["seconds"]) for row in rows))
    assert 0 < metrics["evaluation_seconds"] < metrics["seconds"]
    log = (chain.folder / "log").read_text()
    assert "epoch 40/40: loss" in log
    assert "images/s, 0:00:00 left" in log
    assert not list(chain.folder.glob("tiny/seed5/round*/.*")), "no state is left behind"


def test_predictions_are_of_the_evaluation_that_gave_the_accuracy(chain):
    for round in (0, 1):
        network = checkpoints.load(chain.path(round, "checkpoint.pt"))
        data = place(datasets.load(chain.data), how(), CPU)
        with logits.opened([chain.path(round, "predictions.h5")]) as (stored,):
            assert np.array_equal(stored[:], predict(network.build(), data.test, data, how()))
            right = stored[:].argmax(1) == stored.labels
        assert int(right.sum()) / len(right) == network.accuracy and stored.classes == 4


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_that_was_killed_at_its_end_still_has_its_predictions(prepared, tmp_path, precision):
    settings, found = how(epochs=2, precision=precision), []
    for _ in range(2):
        network = build("lenet_small", {}, (1, 8, 8), 4, 0)
        data = place(prepared, settings, CPU)
        progress = train(network, data, settings, Task(0, 0), State(tmp_path / "state", "job"))
        assert score(progress.logits, data.test.labels)[1] == progress.history[-1]["test_accuracy"]
        found.append(progress.logits)
    assert torch.equal(*found) and len(progress.history) == 2


@pytest.mark.parametrize("round", [0, 1])
def test_a_killed_job_run_again_writes_the_same_checkpoint(chain, tmp_path, round):
    again = Chain(tmp_path, chain.data)
    if round == 1:
        shutil.copytree(chain.path(0, ""), again.path(0, ""))
    state = again.path(round, ".training-state.pt")
    kill_when(in_a_process(f"t.run_script({again.job(round)!r})"), state.exists)
    assert not again.path(round, "checkpoint.pt").exists()
    again.run(round)
    assert "resuming after step" in (tmp_path / "log").read_text()
    for name in ("predictions.h5", "checkpoint.pt", "rewind.pt")[: 3 - round]:
        assert files.sha256(again.path(round, name)) == files.sha256(chain.path(round, name))


def first_round(chain, tmp_path, **options):
    """Continue the shared round 0 in another way; return what the round starts from and ends with."""
    other = Chain(tmp_path, chain.data, **options)
    shutil.copytree(chain.path(0, ""), other.path(0, ""))
    # Such a small learning rate leaves the initial weights of the round unchanged.
    other.training = other.training | {"epochs": 4, "optimizer": {"name": "sgd", "lr": 1e-12}}
    other.run(1)
    return (
        checkpoints.load(chain.path(0, "checkpoint.pt")),
        checkpoints.load(other.path(1, "checkpoint.pt")),
        other,
    )


@pytest.mark.parametrize("retraining", ["lr-rewind", "finetune", "rewind"])
def test_what_a_round_starts_from(chain, tmp_path, retraining):
    dense, pruned, other = first_round(chain, tmp_path, retraining=retraining)
    rewound = checkpoints.load_rewind(chain.path(0, "rewind.pt"))[1]
    origin = {"rewind": rewound}.get(retraining, dense.weights)
    for name, mask in pruned.masks.items():
        assert torch.allclose(pruned.weights[name], origin[name] * mask, atol=1e-6)
    kept, removed = (
        torch.cat([dense.weights[name][mask if keep else ~mask].abs() for name, mask in pruned.masks.items()])
        for keep in (True, False)
    )
    assert removed.max() <= kept.min(), "scores are those of the trained weights"
    with open(other.path(1, "training.csv")) as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file)]
    assert epochs == ([3, 4] if retraining == "rewind" else [1, 2, 3, 4])


@pytest.mark.parametrize("retraining", ["lr-rewind", "rewind"])
@pytest.mark.parametrize("control", ["retrain", "shuffled-masks", "new-weights", "siblings"])
def test_what_a_round_of_a_control_starts_from(chain, tmp_path, retraining, control):
    """With almost no learning, the result shows where the round started."""
    dense, trained, other = first_round(chain, tmp_path, retraining=retraining, control=control, masks=chain)
    rewound = checkpoints.load_rewind(chain.path(0, "rewind.pt"))[1]
    origin = rewound if retraining == "rewind" else dense.weights
    masks = checkpoints.load(chain.path(1, "checkpoint.pt")).masks
    fresh = build(**dense.network, seed=derive_seed(5, "new weights", 1)).state_dict()
    if control == "retrain":
        assert (trained.masks, trained.density) == ({}, 1)
    elif control == "new-weights":
        assert all(torch.equal(trained.masks[name], mask) for name, mask in masks.items())
        origin = fresh
    elif control == "siblings":
        assert all(torch.equal(trained.masks[name], mask) for name, mask in masks.items())
    else:
        assert not all(torch.equal(trained.masks[name], mask) for name, mask in masks.items())
        assert all(trained.masks[name].sum() == mask.sum() for name, mask in masks.items())
    for name, weight in trained.weights.items():
        kept = origin[name] * trained.masks.get(name, True)
        assert torch.allclose(weight, kept, atol=1e-6), name
    with open(other.path(1, "training.csv")) as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file)]
    rewinds = retraining == "rewind" and control != "new-weights"
    assert epochs == ([3, 4] if rewinds else [1, 2, 3, 4])


def test_criteria_choose_differently_but_equally_many(chain, tmp_path):
    masks = {}
    for criterion in ("magnitude", "random", "saliency"):
        _, pruned, _ = first_round(chain, tmp_path / criterion, criterion=criterion)
        masks[criterion] = torch.cat([mask.flatten() for mask in pruned.masks.values()])
    assert len({int(mask.sum()) for mask in masks.values()}) == 1
    assert not torch.equal(masks["magnitude"], masks["random"])
    assert not torch.equal(masks["magnitude"], masks["saliency"])
