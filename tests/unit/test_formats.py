"""Files of weights that other programs wrote: names, masks and what is refused."""

import re

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn
from torch.nn.utils import prune

from prunescope import checkpoints, kinds
from prunescope.errors import InputError
from prunescope.networks import formats, modules, weights
from prunescope.networks.build import build
from prunescope.networks.masks import census

SHAPE = (1, 8, 8)
NETWORK = {"name": "lenet_small", "arguments": {}, "shape": SHAPE, "classes": 10}


@pytest.fixture(scope="module")
def network():
    return build(**NETWORK, seed=5)


def prune_by_torch() -> nn.Module:
    """Return the network as torch.nn.utils.prune leaves it, the bias of the last layer pruned as well."""
    changed = build(**NETWORK, seed=5)
    for module in weighted(changed):
        prune.l1_unstructured(module, "weight", amount=0.3)
    prune.l1_unstructured(changed.output, "bias", amount=0.5)
    return changed


def weighted(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


@pytest.fixture(scope="module")
def pruned():
    return prune_by_torch()


@pytest.fixture(scope="module")
def plain():
    """The effective weights of the pruned network."""
    removed = prune_by_torch()
    for module in weighted(removed):
        prune.remove(module, "weight")
    prune.remove(removed.output, "bias")
    return removed.state_dict()


def lightning(state: dict) -> dict:
    """The form of a PyTorch Lightning checkpoint whose module keeps the network as `self.net`."""
    return {
        "epoch": 3,
        "global_step": 1200,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"net.{name}": value for name, value in state.items()}
        | {"loss.weight": torch.ones(3)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}],
        "hyper_parameters": {"lr": 0.1},
    }


FORMS = {
    "plain": lambda state: state,
    "data parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "lightning": lightning,
    "training program": lambda state: {"model_state_dict": state, "optimizer": {"state": {}}, "epoch": 2},
    "one state dict": lambda state: {"backbone": state, "epoch": 2},
    "compiled": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "compiled and parallel": lambda state: {
        f"module._orig_mod.{name}": value for name, value in state.items()
    },
    "with moving average": lambda state: {
        "model": state,
        "model_ema": {name: torch.zeros_like(value) for name, value in state.items()},
    },
    "half precision": lambda state: {name: value.bfloat16() for name, value in state.items()},
    "double precision": lambda state: {name: value.double() for name, value in state.items()},
    "nested": lambda state: {"checkpoint": {"model": state, "epoch": 3}, "args": [1, {"lr": 0.1}]},
    "in a list": lambda state: [3, state],
    "with other values": lambda state: {**state, "epoch": 3, "optimizer": {"state": {0: torch.ones(2)}}},
    "next to another network": lambda state: {"critic": {"conv1.weight": torch.ones(3)}, "actor": state},
    "extra state": lambda state: {**state, "conv1._extra_state": {"version": 2}, "_extra_state": None},
    "sparse": lambda state: {name: value.to_sparse() for name, value in state.items()},
    "compressed rows": lambda state: {
        name: value.to_sparse_csr() if value.ndim == 2 else value for name, value in state.items()
    },
}


def load(path):
    return weights.elsewhere(NETWORK | {"more": {"weights": str(path)}})


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_dense_network(network, tmp_path, form):
    torch.save(FORMS[form](network.state_dict()), tmp_path / "a.pt")
    found, masks = load(tmp_path / "a.pt")
    assert masks == {}, "nothing is zero"
    kept = torch.bfloat16 if form == "half precision" else torch.float32
    for name, value in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], value.to(kept).float())


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("half precision", "sparse")])
def test_forms_of_a_network_that_torch_pruned(pruned, plain, tmp_path, form):
    torch.save(FORMS[form](pruned.state_dict()), tmp_path / "a.pt")
    found, masks = load(tmp_path / "a.pt")
    for name, value in plain.items():
        assert torch.equal(found.state_dict()[name], value)
    given = {name: value for name, value in pruned.state_dict().items() if name.endswith("_mask")}
    assert len(given) == 6 and {f"{name}_mask" for name in masks} == set(given)
    for name, mask in given.items():
        assert torch.equal(masks[name.removesuffix("_mask")], mask.bool())


def test_a_mask_of_the_file_counts_and_elsewhere_exact_zeros_do(pruned, plain, tmp_path):
    state = dict(pruned.state_dict())
    # A weight that is kept may be zero by chance; the mask says that it was not pruned.
    where = state["conv1.weight_mask"].nonzero()[0]
    state["conv1.weight_orig"] = state["conv1.weight_orig"].clone()
    state["conv1.weight_orig"][tuple(where)] = 0.0
    torch.save(state, tmp_path / "masked.pt")
    assert load(tmp_path / "masked.pt")[1]["conv1.weight"][tuple(where)]
    save_file(plain, tmp_path / "zeros.safetensors")
    masks = load(tmp_path / "zeros.safetensors")[1]
    for name in ("conv1.weight", "output.weight"):
        assert torch.equal(masks[name], plain[name] != 0)
    assert "output.bias" not in masks, "a bias of zero is not pruned unless the file says so"


def test_a_checkpoint_of_this_workflow_keeps_its_masks(network, tmp_path):
    masks = {"conv1.weight": torch.rand(network.conv1.weight.shape) < 0.5}
    masks["conv1.weight"][0, 0, 0, 0] = True
    state = network.state_dict()
    state["conv1.weight"][0, 0, 0, 0] = 0  # kept, but zero
    state["conv1.weight"] = state["conv1.weight"] * masks["conv1.weight"]
    ours = checkpoints.Checkpoint("e", 0, 1, NETWORK, [0.0], [1.0], state, masks, 0.5, 0.5, "d")
    checkpoints.save(tmp_path / "checkpoint.pt", ours)
    read = formats.read(tmp_path / "checkpoint.pt", state)
    assert (read.key, read.others, read.left_out) == ("weights", (), ())
    found, kept = load(tmp_path / "checkpoint.pt")
    assert torch.equal(kept["conv1.weight"], masks["conv1.weight"])
    assert all(torch.equal(found.state_dict()[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({"conv9.weight": torch.ones(2, dtype=torch.bool)}, "the mask of conv9.weight matches no weight"),
        ({"conv1.weight": torch.ones(2, dtype=torch.bool)}, "the mask of conv1.weight matches no weight"),
        ({"output.bias": torch.zeros(10, dtype=torch.bool)}, "output.bias removes weights that are not zero"),
        ({"output.bias": [True] * 10}, "its masks are not tensors"),
        ([torch.ones(2)], "its masks are not tensors"),
    ],
)
def test_masks_that_match_no_weight_are_refused(network, tmp_path, masks, words):
    state = network.state_dict()
    ours = checkpoints.Checkpoint("e", 0, 1, NETWORK, [0.0], [1.0], state, masks, 0.5, 0.5, "d")
    checkpoints.save(tmp_path / "checkpoint.pt", ours)
    with pytest.raises(InputError, match=rf"^weights = [^\n]*{words}[^\n]*; save it again$"):
        load(tmp_path / "checkpoint.pt")


def test_the_prefix_is_that_of_most_names(network, tmp_path):
    state = {f"net.{name}": value for name, value in network.state_dict().items()}
    torch.save(state | {"teacher.conv1.weight": torch.ones(1)}, tmp_path / "a.pt")
    found = formats.read(tmp_path / "a.pt", network.state_dict())
    assert (found.prefix, found.left_out) == ("net.", ("teacher.conv1.weight",))


class Evil:
    def __reduce__(self):
        return print, ("code of the file ran",)


REFUSED = {
    "module": (lambda net: net, "save only the weights: torch.save(network.state_dict(), FILE)"),
    "evil": (lambda net: {"state_dict": net.state_dict(), "callback": Evil()}, "could run code"),
    "numbers": (lambda net: {"accuracy": 0.9}, "holds no state dict"),
    "empty": (lambda net: {}, "holds no state dict"),
    "two": (
        lambda net: {"generator": net.state_dict(), "discriminator": net.state_dict()},
        "several state dicts (generator, discriminator)",
    ),
    "student and teacher": (
        lambda net: {f"{who}.{name}": value for who in "ab" for name, value in net.state_dict().items()},
        "several networks of this kind (under a., b.)",
    ),
    "missing": (lambda net: dict([*net.state_dict().items()][1:]), "missing: conv1.weight"),
    "unexpected": (lambda net: {**net.state_dict(), "extra": torch.ones(2)}, "unexpected: extra"),
    "another size": (
        lambda net: build(**NETWORK | {"classes": 7}, seed=0).state_dict(),
        "of another shape: output.weight (7×32 instead of 10×32), output.bias (7 instead of 10)",
    ),
    "quantised": (
        lambda net: {
            **net.state_dict(),
            "output.weight": torch.quantize_per_tensor(net.output.weight.data, 0.1, 0, torch.qint8),
        },
        "output.weight is quantised (torch.qint8); save the weights before quantisation",
    ),
    "no values": (
        lambda net: {**net.state_dict(), "output.weight": net.output.weight.data.to("meta")},
        "output.weight has no values",
    ),
    "complex": (
        lambda net: {**net.state_dict(), "output.bias": net.output.bias.data * 1j},
        "output.bias has the type torch.complex64 instead of torch.float32",
    ),
    "integers": (
        lambda net: {**net.state_dict(), "output.bias": (net.output.bias.data * 127).to(torch.int8)},
        "output.bias has the type torch.int8 instead of torch.float32",
    ),
    "a type of few bits": (
        lambda net: {
            **net.state_dict(),
            "output.bias": torch.zeros(10, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
        },
        "output.bias has the type torch.float4_e2m1fn_x2 instead of torch.float32",
    ),
    "not finite": (
        lambda net: {**net.state_dict(), "output.bias": net.output.bias.data / 0},
        "10 of 10 values of output.bias are NaN or infinite",
    ),
    "too large for the type": (
        lambda net: {**net.state_dict(), "output.bias": torch.full((10,), 1e300, dtype=torch.float64)},
        "10 of 10 values of output.bias are NaN or infinite",
    ),
    "a layout of its own": (
        lambda net: {
            **net.state_dict(),
            "output.bias": torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged),
        },
        "save only the weights",
    ),
    "sparse with a huge shape": (
        lambda net: {
            **net.state_dict(),
            "conv1.weight_orig": torch.sparse_coo_tensor(torch.zeros(1, 1).long(), torch.ones(1), (2**50,)),
            "conv1.weight_mask": torch.ones(1).expand(2**50),
        },
        "conv1.weight_mask has 1,125,899,906,842,624 values, more than any tensor of the network",
    ),
    "a mask that scales": (
        lambda net: {"output.bias_orig": net.output.bias.data, "output.bias_mask": torch.full((10,), 0.5)},
        "output.bias_mask has values other than 0 and 1",
    ),
    "mask of another size": (
        lambda net: {"conv1.weight_orig": net.conv1.weight.data, "conv1.weight_mask": torch.ones(2)},
        "conv1.weight_mask and conv1.weight_orig have different shapes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_one_line_that_advises_to_delete_nothing(network, tmp_path, capfd, case):
    make, words = REFUSED[case]
    torch.save(make(network), tmp_path / "a.pt")
    before = (tmp_path / "a.pt").read_bytes()
    with pytest.raises(InputError, match=r"^weights = [^\n]*$") as caught:
        load(tmp_path / "a.pt")
    assert words in str(caught.value) and "a.pt" in str(caught.value)
    assert not re.search("delete|remove", str(caught.value))
    assert "ran" not in capfd.readouterr().out
    assert (tmp_path / "a.pt").read_bytes() == before


def test_a_damaged_checkpoint_of_a_user_is_not_to_be_deleted(network, tmp_path):
    ours = checkpoints.Checkpoint("e", 0, 1, NETWORK, [0.0], [1.0], network.state_dict(), {}, 1.0, 0.5, "d")
    checkpoints.save(tmp_path / "checkpoint.pt", ours)
    content = bytearray((tmp_path / "checkpoint.pt").read_bytes())
    for cut in (content[: len(content) // 2], b"", b"weights"):
        (tmp_path / "checkpoint.pt").write_bytes(cut)
        with pytest.raises(InputError, match="cannot be read") as caught:
            load(tmp_path / "checkpoint.pt")
        assert "delete" not in str(caught.value)
        assert ("not a file of torch.save" in str(caught.value)) == (cut == b"weights")


def test_a_flipped_bit_of_a_weight_is_refused(network, tmp_path):
    """torch.load itself does not look at the archive's checksums."""
    path = tmp_path / "a.pt"
    torch.save(network.state_dict(), path)
    content = bytearray(path.read_bytes())
    content[content.index(network.state_dict()["conv1.weight"].numpy().tobytes())] ^= 1
    path.write_bytes(content)
    assert set(torch.load(path, weights_only=True)) == set(network.state_dict())
    with pytest.raises(
        InputError, match=r"^weights = [^\n]*cannot be read \([^\n]* in the archive is damaged\)$"
    ):
        load(path)


@pytest.mark.parametrize("case", ["text", "empty", "TorchScript"])
def test_what_is_no_file_of_weights_is_named(network, tmp_path, recwarn, case):
    path = tmp_path / "a.pt"
    path.write_text("hello" if case == "text" else "")
    if case == "TorchScript":
        torch.jit.save(torch.jit.trace(network.eval(), torch.zeros(1, 1, 8, 8)), path)
        recwarn.clear()
    words = {
        "text": "not a file of torch.save",
        "empty": "the file is empty",
        "TorchScript": "a TorchScript archive",
    }
    with pytest.raises(InputError, match=f"^weights = [^\n]*{words[case]}[^\n]*$"):
        load(path)
    assert not recwarn.list


class Tied(nn.Module):
    """A network in which a module has two names, and two modules one weight."""

    def __init__(self, shape, classes):
        super().__init__()
        self.first = nn.Linear(64, 64, bias=False)
        self.again = self.first
        self.blocks = nn.ModuleDict({"enc": nn.Linear(64, 64), "dec": nn.Linear(64, 64)})
        self.blocks["dec"].weight = self.blocks["enc"].weight
        self.output = nn.Linear(64, classes)

    def forward(self, images):
        return self.output(self.blocks["dec"](self.blocks["enc"](self.first(images.flatten(1)))))


def test_weights_that_modules_share_count_once_by_any_of_their_names(tmp_path):
    """`safetensors.torch.save_model` writes only one of the names."""
    source, both = Tied(SHAPE, 10), Tied(SHAPE, 10).state_dict()
    save_model(source, tmp_path / "a.safetensors")
    torch.save(source.state_dict(), tmp_path / "a.pt")
    for file in ("a.safetensors", "a.pt"):
        state = formats.read(tmp_path / file, both).state
        assert (len(state) == len(both)) == (file == "a.pt")
        network = Tied(SHAPE, 10)
        assert weights.fit(network, state, file, draw_head=False) == []
        assert all(
            torch.equal(value, source.state_dict()[name]) for name, value in network.state_dict().items()
        )
    with pytest.raises(InputError, match=r"blocks.enc.weight and blocks.dec.weight are one weight"):
        weights.fit(source, {**both, "blocks.dec.weight": torch.zeros(64, 64)}, "b", draw_head=False)

    names = ["first.weight", "blocks.enc.weight", "output.weight"]
    for pattern, name in [
        *(("first", names[0]), ("again", names[0]), ("again.weight", names[0])),
        *(
            ("blocks.enc", names[1]),
            ("blocks.dec", names[1]),
            ("blocks.dec.w*", names[1]),
            ("*.dec", names[1]),
        ),
    ]:
        assert [*modules.prunable(source, [pattern])] == [name]
        assert modules.layer_rates(source, names, {pattern: 0.5}) == {name: 0.5}
    assert [*modules.prunable(source, ["Linear"])] == names
    assert [*modules.select(source, ["again"], "k")] == ["first"]
    assert modules.chosen(source, {"x": "again"}) == {"x": source.first}

    mask = torch.rand(64, 64) < 0.3
    source.blocks["dec"].weight.data *= mask
    torch.save(source.state_dict(), tmp_path / "pruned.pt")
    masks = weights.zeros(source, trained_further=False)
    assert [*masks] == names and torch.equal(masks[names[1]], mask)
    counts = census(source, masks, SHAPE)
    kept = {layer["name"]: layer["kept"] for layer in counts["layers"]}
    assert kept == {"first": 64**2, "blocks.enc": int(mask.sum()), "output": 640}
    assert counts["prunable"] == 2 * 64**2 + 640
    assert counts["macs_dense"] == 3 * 64**2 + 640, "both modules compute"
    assert counts["macs_effective"] == 64**2 + 2 * int(mask.sum()) + 640
    assert counts["unpruned"] == {"Linear.bias": {"parameters": 138, "share": 138 / counts["parameters"]}}


class Remembering(nn.Linear):
    def __init__(self, state):
        super().__init__(64, 10)
        self.memory = state

    def get_extra_state(self):
        return self.memory

    def set_extra_state(self, state):
        self.memory = state


@pytest.mark.parametrize("state", [{"steps": 3, "names": ["a"]}, torch.ones(3), None])
def test_the_extra_state_of_a_module_is_kept(state, tmp_path, monkeypatch):
    def function(*, state=None):
        return nn.Sequential(nn.Flatten(), Remembering(state))

    monkeypatch.setattr(kinds, "load", lambda *_: function)
    given = build(**NETWORK | {"arguments": {"state": state}}, seed=1)
    torch.save(given.state_dict(), tmp_path / "a.pt")
    read, _ = load(tmp_path / "a.pt")
    ours = checkpoints.Checkpoint(
        "e", 0, 1, NETWORK, [0.0], [1.0], checkpoints.snapshot(read), {}, 1.0, 0.5, "d"
    )
    checkpoints.save(tmp_path / "checkpoint.pt", ours)
    for network in (read, checkpoints.load(tmp_path / "checkpoint.pt").build()):
        assert str(network[1].memory) == str(state)
    with pytest.raises(InputError, match=r"^network: the state of 1._extra_state contains a Evil"):
        build(**NETWORK | {"arguments": {"state": [Evil()]}}, seed=1)


def test_weights_that_are_not_used_are_reported(network, tmp_path, caplog):
    caplog.set_level("INFO", "prunescope")
    torch.save({"model": network.state_dict(), "ema": network.state_dict(), "epoch": 2}, tmp_path / "a.pt")
    load(tmp_path / "a.pt")
    assert "a.pt: read from model; not used: ema" in caplog.text
    caplog.clear()
    torch.save({"model_state_dict": network.state_dict(), "epoch": 2}, tmp_path / "a.pt")
    load(tmp_path / "a.pt")
    assert "not used" not in caplog.text
    torch.save({**network.state_dict(), "epoch": 2, "log": {"loss": [1.0]}}, tmp_path / "a.pt")
    load(tmp_path / "a.pt")
    assert "a.pt: not tensors, ignored: epoch, log" in caplog.text


def test_what_is_left_out_is_reported(network, tmp_path, caplog):
    torch.save(lightning(network.state_dict()), tmp_path / "a.ckpt")
    found = formats.read(tmp_path / "a.ckpt", network.state_dict())
    assert (found.prefix, found.left_out) == ("net.", ("loss.weight",))
    caplog.set_level("INFO", "prunescope")
    load(tmp_path / "a.ckpt")
    assert "prefix net." in caplog.text and "loss.weight" in caplog.text
